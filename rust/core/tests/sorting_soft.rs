//! Projections onto the permutahedron against a naive twin that pools anew until nothing is out of order.

use argrad_core::Job;
use argrad_core::sorting::Lists;
use argrad_core::sorting::soft::{Operation, Options, Regularization, rank, sort};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Falling s less the falling least-squares fit to s - w.
fn project(s: &[f64], w: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<Vec<usize>> = (0..s.len()).map(|i| vec![i]).collect();
    let value = |block: &Vec<usize>| block.iter().map(|&i| s[i] - w[i]).sum::<f64>() / block.len() as f64;
    while let Some(at) = blocks.windows(2).position(|pair| value(&pair[0]) <= value(&pair[1])) {
        let next = blocks.remove(at + 1);
        blocks[at].extend(next);
    }
    blocks.iter().flat_map(|block| block.iter().map(|&i| s[i] - value(block)).collect::<Vec<_>>()).collect()
}

fn scores() -> impl Strategy<Value = Vec<f64>> {
    let score = prop_oneof![-3.0..3.0, (-6i32..6).prop_map(f64::from), -100.0..100.0];
    prop::collection::vec(score, 1..40)
}

fn options(lists: Lists<'_>, descending: bool, regularization: Regularization) -> Options<'_> {
    Options { lists, mask: None, descending, regularization, straight_through: false, fill: f64::NAN }
}

fn ranks(x: &[f64], strength: f64, options: &Options<'_>) -> (Vec<f64>, Vec<i32>) {
    let (mut rank, mut block) = (vec![0.0; x.len()], vec![0; x.len()]);
    let mut outputs = rank::Outputs { rank: &mut rank, block: &mut block, weight: &mut [] };
    rank::forward(x, &[strength], options, &mut outputs, &Job::default()).unwrap();
    (rank, block)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(41), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn least_squares_ranks_are_those_of_naive_pooling(x in scores(), strength in 0.01f64..30.0, descending: bool) {
        let n = x.len();
        let options = options(Lists::even(1, n), descending, Regularization::L2);
        let (found, _) = ranks(&x, strength, &options);
        let sign = options.sign(Operation::Rank);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| (sign * x[j]).total_cmp(&(sign * x[i])));
        let s: Vec<f64> = order.iter().map(|&i| sign * x[i] / strength).collect();
        let w: Vec<f64> = (0..n).map(|i| (n - i) as f64).collect();
        for (place, y) in project(&s, &w).into_iter().enumerate() {
            prop_assert!((found[order[place]] - y).abs() < 1e-8, "{found:?} {y} at {place}");
        }
    }

    #[test]
    fn least_squares_sorts_are_those_of_naive_pooling(x in scores(), strength in 0.01f64..30.0) {
        let n = x.len();
        let options = options(Lists::even(1, n), true, Regularization::L2);
        let (mut value, mut order) = (vec![0.0; n], vec![0; n]);
        let mut outputs = sort::Outputs { value: &mut value, order: &mut order, weight: &mut [] };
        sort::forward(&x, &[strength], &options, &mut outputs, &Job::default()).unwrap();
        let mut w = x.clone();
        w.sort_by(|a, b| b.total_cmp(a));
        let s: Vec<f64> = (0..n).map(|i| (n - i) as f64 / strength).collect();
        for (found, y) in value.iter().zip(project(&s, &w)) {
            prop_assert!((found - y).abs() < 1e-8 * (1.0 + y.abs()), "{value:?}");
        }
    }

    #[test]
    fn the_gradient_of_ranks_is_their_slope(x in scores(), strength in 0.1f64..10.0, descending: bool) {
        let n = x.len();
        let options = options(Lists::even(1, n), descending, Regularization::L2);
        let (before, block) = ranks(&x, strength, &options);
        let grad: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
        let (mut to_x, mut to_strength) = (vec![0.0; n], vec![0.0]);
        let known = rank::Known { x: &x, strength: &[strength], block: &block, weight: &[], grad: &grad };
        rank::vjp(&known, &options, &mut to_x, &mut to_strength, &Job::default()).unwrap();
        let total = |ranks: &[f64]| ranks.iter().zip(&grad).map(|(r, g)| r * g).sum::<f64>();
        let h = 1e-7;
        let (moved, same) = ranks(&x, strength * (1.0 + h), &options);
        // Away from a change of blocks, where the slope jumps.
        if same == block {
            let slope = (total(&moved) - total(&before)) / (h * strength);
            prop_assert!((slope - to_strength[0]).abs() < 1e-3 * (1.0 + slope.abs()), "{slope} {to_strength:?}");
        }
        prop_assert!(to_x.iter().sum::<f64>().abs() < 1e-9 * (1.0 + to_x.iter().map(|d| d.abs()).sum::<f64>()));
    }
}

//! The draws against naive twins that loop over rows one by one.

use argrad_core::rng::Stream;
use argrad_core::selection::draws::{Scheme, multinomial, systematic_repeated, without_replacement};
use argrad_core::selection::inclusion::{Inclusion, inclusion};
use argrad_core::selection::keys::keys;
use argrad_core::selection::{chain, clusters, streams};
use argrad_core::{Job, simd};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Weights of very different sizes, with zeros and equals.
fn weights() -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0, (-30i32..30).prop_map(|e| 10f64.powi(e)), 1e3..1e6];
    (prop::collection::vec(weight, 1..400), 0usize..3000).prop_map(|(mut weights, zeros)| {
        // Long runs of zeros put the positive rows into different blocks.
        let at = zeros % (weights.len() + 1);
        weights.splice(at..at, std::iter::repeat_n(0.0, zeros));
        weights
    })
}

fn positives(weights: &[f64]) -> usize {
    weights.iter().filter(|&&w| w > 0.0).count()
}

fn first_above(weights: &[f64], target: f64) -> usize {
    let (mut total, mut last) = (0.0, 0);
    for (row, &w) in weights.iter().enumerate() {
        total += w;
        if w > 0.0 {
            last = row;
            if total > target {
                return row;
            }
        }
    }
    last
}

/// The twin that sums without blocks may round an edge differently.
fn nearly_at_an_edge(weights: &[f64], target: f64) -> bool {
    let mut total = 0.0;
    let sum: f64 = weights.iter().sum();
    weights.iter().any(|w| {
        total += w;
        (total - target).abs() <= 1e-12 * sum
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(20), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_the_smallest_in_order(weights in weights(), seed: u64, share in 0.0f64..1.0) {
        let most = positives(&weights);
        prop_assume!(most > 0);
        let size = 1 + ((most - 1) as f64 * share) as usize;
        let drawn = keys(&weights, size, true, seed, &Job::default()).unwrap();
        let stream = Stream::new(seed, streams::KEYS);
        let mut all: Vec<(f64, usize)> = (0..weights.len())
            .filter(|&i| weights[i] > 0.0)
            .map(|i| (-libm::log1p(-stream.uniform(i as u64)) / weights[i], i))
            .collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        prop_assert_eq!(&drawn.rows, &all[..size].iter().map(|&(_, row)| row).collect::<Vec<_>>());
        for (&row, &weight) in drawn.rows.iter().zip(&drawn.weights) {
            let q = all.get(size).map_or(1.0, |&(tau, _)| 1.0 - (-weights[row] * tau).exp());
            prop_assert!((weight * q - 1.0).abs() < 1e-6 || q < 1e-9);
        }
    }

    #[test]
    fn probabilities_are_filled_up_to_the_size(weights in weights(), share in 0.0f64..1.0) {
        let most = positives(&weights);
        prop_assume!(most > 0);
        let size = 1 + ((most - 1) as f64 * share) as usize;
        let pi = inclusion(&weights, size, &Job::default()).unwrap();
        prop_assert!((pi.iter().sum::<f64>() - size as f64).abs() < 1e-9 * size as f64);
        prop_assert!(pi.iter().zip(&weights).all(|(&p, &w)| (p == 0.0) == (w == 0.0) && p <= 1.0));
        // One multiplier for all that are not certain, and no certain row below it.
        let open: Vec<f64> = pi.iter().zip(&weights).filter(|&(&p, _)| p > 0.0 && p < 1.0).map(|(p, w)| p / w).collect();
        let tau = open.iter().copied().fold(0.0, f64::max);
        prop_assert!(open.iter().all(|&other| (other / tau - 1.0).abs() < 1e-12));
        prop_assert!(pi.iter().zip(&weights).all(|(&p, &w)| p < 1.0 || open.is_empty() || w * tau > 1.0 - 1e-9));
    }

    #[test]
    fn draws_without_replacement_are_distinct_and_of_the_size(weights in weights(), seed: u64, share in 0.0f64..1.0) {
        let most = positives(&weights);
        prop_assume!(most > 0);
        let size = 1 + ((most - 1) as f64 * share) as usize;
        let job = Job::default();
        let pi = Inclusion::of(&weights, size, &job).unwrap();
        for scheme in [Scheme::Systematic, Scheme::Pivotal, Scheme::Poisson] {
            let drawn = without_replacement(&weights, &pi, size, scheme, true, seed, &job).unwrap();
            prop_assert!(scheme == Scheme::Poisson || drawn.rows.len() == size);
            prop_assert!(drawn.rows.windows(2).all(|pair| pair[0] < pair[1]));
            let certain = drawn.rows.iter().filter(|&&row| pi.probability(weights[row]) == 1.0).count();
            prop_assert_eq!(certain, pi.certain());
            for (&row, &weight) in drawn.rows.iter().zip(&drawn.weights) {
                prop_assert!(weights[row] > 0.0);
                prop_assert_eq!(weight, 1.0 / pi.probability(weights[row]));
            }
        }
    }

    #[test]
    fn equal_steps_fall_where_the_running_sum_says(weights in weights(), seed: u64, size in 1usize..200) {
        prop_assume!(positives(&weights) > 0);
        let drawn = systematic_repeated(&weights, size, true, seed, &Job::default()).unwrap();
        let u = Stream::new(seed, streams::SYSTEMATIC).uniform(0);
        let total: f64 = weights.iter().sum();
        prop_assert_eq!(drawn.rows.len(), size);
        for (j, &row) in drawn.rows.iter().enumerate() {
            let target = (j as f64 + u) * (total / size as f64);
            prop_assert!(weights[row] > 0.0);
            prop_assert!(row == first_above(&weights, target) || nearly_at_an_edge(&weights, target));
        }
    }

    #[test]
    fn sorted_and_permuted_draws_are_one_sample(weights in weights(), seed: u64, size in 1usize..3000) {
        prop_assume!(positives(&weights) > 0);
        let draw = |sorted| multinomial(&weights, size, sorted, false, seed, &Job::default()).unwrap().rows;
        let (ascending, mut permuted) = (draw(true), draw(false));
        prop_assert!(ascending.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert!(ascending.iter().all(|&row| weights[row] > 0.0));
        permuted.sort_unstable();
        prop_assert_eq!(ascending, permuted);
    }

    #[test]
    fn chains_visit_each_point_once_and_the_nearest_next(points in prop::collection::vec(-9i8..9, 2..60)) {
        let rows: Vec<f32> = points.iter().take(points.len() / 2 * 2).map(|&x| f32::from(x)).collect();
        let order = chain::chain(&rows, 2, &Job::default()).unwrap();
        let square = |a: usize, b: usize| (rows[2 * a] - rows[2 * b]).powi(2) + (rows[2 * a + 1] - rows[2 * b + 1]).powi(2);
        let mut left: Vec<usize> = (1..rows.len() / 2).collect();
        prop_assert_eq!(order[0], 0);
        for pair in order.windows(2) {
            let best = left.iter().copied().min_by(|&a, &b| {
                (square(pair[0], a), a).partial_cmp(&(square(pair[0], b), b)).unwrap()
            });
            prop_assert_eq!(Some(pair[1]), best);
            left.retain(|&row| row != pair[1]);
        }
        prop_assert!(left.is_empty());
    }

    #[test]
    fn strata_are_members_in_proportion(sizes in prop::collection::vec(0usize..50, 1..30), seed: u64, share in 0.0f64..1.0) {
        let starts: Vec<usize> = std::iter::once(0)
            .chain(sizes.iter().scan(0, |sum, size| { *sum += size; Some(*sum) }))
            .collect();
        let n = starts[sizes.len()];
        prop_assume!(n > 0);
        let size = 1 + ((n - 1) as f64 * share) as usize;
        let (rows, counts) = clusters::stratified(&starts, size, seed);
        prop_assert_eq!(rows.len(), size);
        prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
        for (cluster, &count) in counts.iter().enumerate() {
            let inside = rows.iter().filter(|&&row| (starts[cluster]..starts[cluster + 1]).contains(&row)).count();
            prop_assert_eq!(inside, count);
            prop_assert!(count == size * sizes[cluster] / n || count == (size * sizes[cluster]).div_ceil(n));
        }
        let pilots = clusters::pilot(&starts, 4, seed);
        prop_assert_eq!(pilots.len(), sizes.iter().map(|&size| size.min(4)).sum::<usize>());
    }
}

#[test]
fn threads_and_levels_do_not_matter() {
    let weights: Vec<f32> = (0..300_000u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 8) % 1000) as f32).collect();
    let job = Job::default();
    let all = || {
        let pi = Inclusion::of(&weights, 5000, &job).unwrap();
        let mut found = vec![
            keys(&weights, 5000, true, 7, &job).unwrap(),
            multinomial(&weights, 5000, false, true, 7, &job).unwrap(),
            systematic_repeated(&weights, 5000, true, 7, &job).unwrap(),
        ];
        for scheme in [Scheme::Systematic, Scheme::Pivotal, Scheme::Poisson] {
            found.push(without_replacement(&weights, &pi, 5000, scheme, true, 7, &job).unwrap());
        }
        found
    };
    let mut results = Vec::new();
    for level in simd::available() {
        simd::force(level.name()).unwrap();
        for threads in [1, 3] {
            results.push(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(all));
        }
    }
    simd::force("auto").unwrap();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

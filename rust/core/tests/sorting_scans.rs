//! `SoftSort` and `LapSum` against naive twins that loop over all pairs.

use argrad_core::Job;
use argrad_core::lent::Lent;
use argrad_core::sorting::Lists;
use argrad_core::sorting::laplace::{self, Task};
use argrad_core::sorting::products::{self, Gradients, Inputs, Method};
use argrad_core::sorting::softsort_vector::{self, Room};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Scores with ties, large and small gaps, and a temperature.
fn case() -> impl Strategy<Value = (Vec<f64>, f64)> {
    let score = prop_oneof![Just(0.0), Just(1.0), -3.0..3.0, (-6i32..6).prop_map(|e| 10f64.powi(e))];
    (prop::collection::vec(score, 1..40), (-3.0..3.0f64).prop_map(|e| 10f64.powf(e)))
}

fn sorted(x: &[f64]) -> Vec<f64> {
    let mut s = x.to_vec();
    s.sort_by(f64::total_cmp);
    s
}

fn dense(x: &[f64], t: f64) -> Vec<Vec<f64>> {
    let row = |s: f64| {
        let weights: Vec<f64> = x.iter().map(|&x| (-(s - x).abs() / t).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    };
    sorted(x).into_iter().map(row).collect()
}

fn cumulative(t: f64) -> f64 {
    if t < 0.0 { 0.5 * t.exp() } else { 1.0 - 0.5 * (-t).exp() }
}

fn product(method: Method, x: &[f64], v: &[f64], t: f64, transposed: bool) -> (Vec<f64>, Vec<i32>) {
    let (mut y, mut places) = (vec![0.0; v.len()], vec![0; x.len()]);
    let lists = Lists::even(1, x.len());
    let m = v.len() / x.len();
    products::product(
        method,
        x,
        v,
        &lists,
        None,
        &[t],
        false,
        transposed,
        m,
        &mut y,
        &mut places,
        None,
        &Job::default(),
    )
    .unwrap();
    (y, places)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(20), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn softsort_is_its_dense_matrix((x, t) in case(), m in 1usize..10) {
        let v: Vec<f64> = (0..x.len() * m).map(|i| (i as f64).sin()).collect();
        let matrix = dense(&x, t);
        let (found, _) = product(Method::SoftSort, &x, &v, t, false);
        let (back, _) = product(Method::SoftSort, &x, &v, t, true);
        for i in 0..x.len() {
            for c in 0..m {
                let exact: f64 = (0..x.len()).map(|j| matrix[i][j] * v[j * m + c]).sum();
                prop_assert!((found[i * m + c] - exact).abs() < 1e-12);
                let exact: f64 = (0..x.len()).map(|j| matrix[j][i] * v[j * m + c]).sum();
                prop_assert!((back[i * m + c] - exact).abs() < 1e-12 * x.len() as f64);
            }
        }
    }

    #[test]
    fn the_permutation_of_laplace_is_doubly_stochastic_and_transposes((x, t) in case()) {
        let n = x.len();
        let ones = vec![1.0; n];
        for transposed in [false, true] {
            let (sums, _) = product(Method::Laplace, &x, &ones, t, transposed);
            prop_assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-11), "{sums:?}");
        }
        let (u, v): (Vec<f64>, Vec<f64>) = (0..n).map(|i| ((i as f64).sin(), (i as f64).cos())).unzip();
        let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (pv, _) = product(Method::Laplace, &x, &v, t, false);
        let (pu, _) = product(Method::Laplace, &x, &u, t, true);
        prop_assert!((inner(&u, &pv) - inner(&pu, &v)).abs() < 1e-11 * n as f64);
    }

    #[test]
    fn ranks_are_sums_over_pairs_and_sorting_inverts_them((x, t) in case()) {
        let lists = Lists::even(1, x.len());
        let run = |task| {
            let (mut y, mut places) = (vec![0.0; x.len()], vec![0; x.len()]);
            laplace::values(task, &x, &lists, None, &[t], false, &mut y, &mut places, &Job::default()).unwrap();
            y
        };
        let lapsum = |b: f64| x.iter().map(|x| cumulative((b - x) / t)).sum::<f64>();
        for (&x, rank) in x.iter().zip(run(Task::Rank)) {
            prop_assert!((0.5 + lapsum(x) - rank).abs() < 1e-11);
        }
        // A rounding error of b is one of b / t temperatures.
        let reach = x.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        for (r, b) in run(Task::Sort).into_iter().enumerate() {
            prop_assert!((lapsum(b) - (r as f64 + 0.5)).abs() < 1e-11 + 1e-14 * x.len() as f64 * reach / t);
        }
    }

    #[test]
    fn gradients_of_products_are_differences((x, t) in case(), at in 0usize..40) {
        // Away from ties, where both are smooth.
        let x: Vec<f64> = x.iter().enumerate().map(|(i, x)| x + t * 0.01 * (i as f64 + (i as f64).sin())).collect();
        let (n, h) = (x.len(), 1e-6 * t);
        prop_assume!(sorted(&x).windows(2).all(|pair| pair[1] - pair[0] > 20.0 * h));
        prop_assume!(x.iter().all(|x| x.abs() < 1e3 * t));
        let (g, v): (Vec<f64>, Vec<f64>) = (0..n).map(|i| ((i as f64).sin(), (i as f64 * 0.7).cos())).unzip();
        for method in [Method::SoftSort, Method::Laplace] {
            let value = |x: &[f64]| product(method, x, &v, t, false).0.iter().zip(&g).map(|(y, g)| y * g).sum::<f64>();
            let (_, places) = product(method, &x, &v, t, false);
            let inputs = Inputs {
                x: |i: usize| x[i], v: |i: usize| v[i], g: |i: usize| g[i], temperature: |_: usize| t,
                places: &places, m: 1, descending: false,
            };
            let (mut to_x, mut to_v, mut to_g, mut to_t) = (vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0]);
            let mut out = Gradients { x: &mut to_x, v: &mut to_v, g: &mut to_g, temperature: &mut to_t };
            products::gradients(method, &Lists::even(1, n), &inputs, |y| y, &mut out, &Job::default()).unwrap();
            let (mut low, mut high) = (x.clone(), x.clone());
            low[at % n] -= h;
            high[at % n] += h;
            let difference = (value(&high) - value(&low)) / (2.0 * h);
            prop_assert!((to_x[at % n] - difference).abs() * t < 1e-6, "{method:?} {} {difference}", to_x[at % n]);
        }
    }
}

/// The kernel for one column walks in blocks; the general one walks the whole list.
#[test]
fn blocks_of_one_column_are_the_whole_list() {
    for (n, levels, descending) in [(1, 1, false), (700, 90, false), (10_000, 1_000_000, true), (20_000, 3, false)] {
        let x: Vec<f64> = (0..n).map(|i| f64::from((i * 7919 % 1_000_003) % levels) / f64::from(levels)).collect();
        let (g, v): (Vec<f64>, Vec<f64>) = x.iter().map(|x| ((x * 37.0).sin(), (x * 91.0).cos())).unzip();
        let (lists, job, t) = (Lists::even(1, x.len()), Job::default(), 1e-3);
        let (mut y, mut places) = (vec![0.0; x.len()], vec![0; x.len()]);
        let method = Method::SoftSort;
        products::product(method, &x, &v, &lists, None, &[t], descending, false, 1, &mut y, &mut places, None, &job)
            .unwrap();
        let inputs = Inputs {
            x: |i: usize| x[i],
            v: |i: usize| v[i],
            g: |i: usize| g[i],
            temperature: |_: usize| t,
            places: &places,
            m: 1,
            descending,
        };
        let zeros = || (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0]);
        let (mut whole, mut blocks) = (zeros(), zeros());
        let mut out = Gradients { x: &mut whole.0, v: &mut whole.1, g: &mut whole.2, temperature: &mut whole.3 };
        products::gradients(method, &lists, &inputs, |y| y, &mut out, &job).unwrap();
        let mut out = Gradients { x: &mut blocks.0, v: &mut blocks.1, g: &mut blocks.2, temperature: &mut blocks.3 };
        softsort_vector::gradients(&lists, &x, &v, &g, &[t], &places, descending, None, &mut out, &job).unwrap();
        let close = |a: &[f64], b: &[f64]| {
            let size = b.iter().fold(1e-300, |most: f64, b| most.max(b.abs()));
            a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-10 * size)
        };
        assert!(close(&y, &whole.2), "values of {n}");
        assert!(close(&blocks.0, &whole.0), "scores of {n}");
        assert!(close(&blocks.1, &whole.1) && close(&blocks.2, &whole.2), "products of {n}");
        // Three groups of equal items all but balance each other: running sums of a whole list leave 9 digits of what is
        // left, so that it was computed from the groups' sizes and sums, with 60 digits.
        let total = if levels == 3 { [-3.417_942_057_315_948e-140].to_vec() } else { whole.3 };
        assert!(close(&blocks.3, &total), "temperature of {n}: {:?} {total:?}", blocks.3);
    }
}

/// What a product keeps changes no bit of its derivatives.
#[test]
fn derivatives_are_the_same_from_what_was_kept() {
    let lists = [0, 300, 600, 5600, 5600, 5602];
    let items = lists[5] as usize;
    let number = |i: usize| ((i * 7919 % 10_007) as f32 / 500.0).sin();
    let [mut x, v, g] = [1, 2, 3].map(|factor| (0..items).map(|i| number(factor * i + 77)).collect::<Vec<f32>>());
    x[items - 1] = f32::NAN;
    let mask: Vec<bool> = (0..items).map(|i| i % 11 != 3 || i > 5600 || (300..303).contains(&i)).collect();
    let (bounds, job, t) = (Lists::ragged(&lists, items).unwrap(), Job::default(), [0.1f32; 5]);
    let (mut y, mut again, mut places) = (vec![0.0; items], vec![0.0; items], vec![0; items]);
    let mut memo: Vec<_> = (0..5).map(|_| Lent::<Room<f32>>::new()).collect();
    let method = Method::SoftSort;
    let mask = Some(&mask[..]);
    products::product(method, &x, &v, &bounds, mask, &t, true, false, 1, &mut y, &mut places, None, &job).unwrap();
    let kept = Some(&mut memo[..]);
    products::product(method, &x, &v, &bounds, mask, &t, true, false, 1, &mut again, &mut places, kept, &job).unwrap();
    let bits = |numbers: &[f32]| numbers.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&y), bits(&again));
    let gradients = |memo: Option<&mut [Lent<Room<f32>>]>, rows: usize| {
        let (mut a, mut b, mut c, mut d) = (vec![0.0; items], vec![0.0; items], vec![0.0; rows], vec![0.0; 5]);
        let mut out = Gradients { x: &mut a, v: &mut b, g: &mut c, temperature: &mut d };
        softsort_vector::gradients(&bounds, &x, &v, &g, &t, &places, true, memo, &mut out, &job).unwrap();
        [bits(&a), bits(&b), bits(&c), bits(&d)]
    };
    let plain = gradients(None, items);
    assert!(plain[0].iter().any(|&bits| f32::from_bits(bits).is_nan()));
    for _ in 0..2 {
        assert_eq!(gradients(Some(&mut memo), items), plain);
    }
    assert_eq!(gradients(Some(&mut memo), 0)[..2], plain[..2]);
}

//! Soft top-k masks against bisection, and the sums and derivatives they promise.

use argrad_core::Job;
use argrad_core::sorting::Lists;
use argrad_core::sorting::topk::{Kind, Problem, Settings, forward, vjp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const KINDS: [Kind; 5] = [Kind::Logistic, Kind::Laplace, Kind::Clip, Kind::Power(3.0), Kind::Gaussian];

fn curve(kind: Kind, t: f64) -> f64 {
    match kind {
        Kind::Logistic | Kind::Cutoff => 1.0 / (1.0 + (-t).exp()),
        Kind::Laplace => {
            if t < 0.0 {
                t.exp() / 2.0
            } else {
                1.0 - (-t).exp() / 2.0
            }
        }
        Kind::Clip => t.clamp(0.0, 1.0),
        Kind::Power(exponent) => t.clamp(0.0, 1.0).powf(exponent),
        Kind::Gaussian => libm::erfc(-t / std::f64::consts::SQRT_2) / 2.0,
    }
}

/// The mask by bisection of the threshold.
fn naive(kind: Kind, x: &[f64], k: f64, tau: f64) -> Vec<f64> {
    let (mut low, mut high) = (-1e4 - 800.0 * tau, 1e4 + 800.0 * tau);
    let mask = |theta: f64| x.iter().map(|v| curve(kind, (v - theta) / tau)).collect::<Vec<_>>();
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if mask(middle).iter().sum::<f64>() > k { low = middle } else { high = middle }
    }
    mask(0.5 * (low + high))
}

fn run(kind: Kind, x: &[f64], k: f64, tau: f64) -> (Vec<f64>, Vec<[f64; 2]>, Problem<'static, f64>) {
    let settings = Settings { kind, largest: true, log: false, hard: false };
    let keep = |values: Vec<f64>| -> &'static [f64] { values.leak() };
    let (x, k, tau) = (keep(x.to_vec()), keep(vec![k]), keep(vec![tau]));
    let problem = Problem { x, k, tau, lists: Lists::even(1, x.len()), mask: None, settings };
    let (mut y, mut thetas) = (vec![0.0; x.len()], vec![[0.0; 2]]);
    forward(&problem, &mut y, &mut thetas, &Job::default()).unwrap();
    (y, thetas, problem)
}

/// Items with equals and with very different distances.
fn items() -> impl Strategy<Value = Vec<f64>> {
    let item = prop_oneof![-3.0..3.0, Just(0.5), (-9i32..3).prop_map(|e| 10f64.powi(e)), -1e3..1e3];
    prop::collection::vec(item, 2..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masks_are_those_of_bisection(x in items(), part in 0.001..0.999f64, whole in any::<bool>(), exponent in -4..4i32, kind in 0usize..5) {
        let (kind, tau) = (KINDS[kind], 10f64.powi(exponent));
        let k = part * x.len() as f64;
        let k = if whole { k.ceil().min(x.len() as f64 - 1.0) } else { k };
        let (y, _, _) = run(kind, &x, k, tau);
        let total: f64 = y.iter().sum();
        prop_assert!((total - k).abs() <= 1e-11 * k, "sum {total} for k {k}");
        // The naive threshold has the rounding of its items, which a small temperature magnifies.
        let tolerance = 1e-9 + 1e-11 / tau;
        for (found, expected) in y.iter().zip(naive(kind, &x, k, tau)) {
            prop_assert!((found - expected).abs() <= tolerance, "{kind:?} {found} {expected}");
        }
    }

    #[test]
    fn gradients_are_differences(x in items(), part in 0.05..0.95f64, kind in 0usize..5) {
        // Smooth curves only, at a temperature at which differences are meaningful.
        let kind = if KINDS[kind] == Kind::Clip { Kind::Logistic } else { KINDS[kind] };
        let (n, tau, h) = (x.len(), 2.0, 1e-5);
        let k = part * n as f64;
        let g: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
        let (_, thetas, problem) = run(kind, &x, k, tau);
        let (mut dx, mut dk, mut dtau) = (vec![0.0; n], vec![0.0], vec![0.0]);
        vjp(&problem, &thetas, &g, &mut dx, &mut dk, &mut dtau, &Job::default()).unwrap();
        let value = |x: &[f64], k: f64, tau: f64| -> f64 {
            run(kind, x, k, tau).0.iter().zip(&g).map(|(y, g)| y * g).sum()
        };
        let close = |found: f64, above: f64, below: f64| (found - (above - below) / (2.0 * h)).abs() < 2e-4;
        for i in [0, n / 2, n - 1] {
            let mut moved = [x.clone(), x.clone()];
            moved[0][i] += h;
            moved[1][i] -= h;
            prop_assert!(close(dx[i], value(&moved[0], k, tau), value(&moved[1], k, tau)), "{kind:?} to x");
        }
        prop_assert!(close(dtau[0], value(&x, k, tau + h), value(&x, k, tau - h)), "{kind:?} to tau");
    }
}

//! `neuralsort` against dense naive twins.

use argrad_core::sorting::Lists;
use argrad_core::sorting::neuralsort::{Inputs, Kept, Options, forward, vjp};
use argrad_core::{Job, simd};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Scores with ties, at several scales.
fn scores() -> impl Strategy<Value = Vec<f64>> {
    let score = prop_oneof![Just(0.0), Just(1.0), -3.0..3.0, -1e-3..1e-3, -50.0..50.0];
    prop::collection::vec(score, 1..70)
}

/// The matrix after `steps` scalings; `x` in decreasing order for rank 1 of the largest.
fn dense(x: &[f64], temperature: f64, descending: bool, steps: usize) -> Vec<Vec<f64>> {
    let n = x.len();
    let sum = |j: usize| x.iter().map(|s| (x[j] - s).abs()).sum::<f64>();
    let mut p: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let c = (n as f64 - 1.0 - 2.0 * i as f64) * if descending { 1.0 } else { -1.0 };
            let logits: Vec<f64> = (0..n).map(|j| (c * x[j] - sum(j)) / temperature).collect();
            let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exps: Vec<f64> = logits.iter().map(|l| (l - top).exp()).collect();
            let total: f64 = exps.iter().sum();
            exps.iter().map(|e| e / total).collect()
        })
        .collect();
    for _ in 0..steps {
        for j in 0..n {
            let total: f64 = p.iter().map(|row| row[j]).sum();
            p.iter_mut().for_each(|row| row[j] /= total);
        }
        for row in &mut p {
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|e| *e /= total);
        }
    }
    p
}

fn run(x: &[f64], v: &[f64], temperature: f64, options: &Options) -> (Vec<f64>, Vec<i32>, Vec<i64>) {
    let inputs = Inputs { x, v, width: v.len() / x.len(), temperature: &[temperature], lists: Lists::even(1, x.len()) };
    let (mut y, mut places, mut steps) = (vec![0.0; v.len()], vec![0; x.len()], vec![0]);
    forward(&inputs, None, options, (&mut y, &mut places, &mut steps), &Job::default()).unwrap();
    (y, places, steps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_are_those_of_the_dense_matrix(
        x in scores(), temperature in 0.05f64..20.0, descending: bool, transposed: bool, iterations in 0usize..4,
    ) {
        let v: Vec<f64> = (0..2 * x.len()).map(|i| (i as f64 * 0.7).sin()).collect();
        let p = dense(&x, temperature, descending, iterations);
        let options = Options { descending, transposed, iterations, tolerance: 0.0 };
        let (y, _, steps) = run(&x, &v, temperature, &options);
        prop_assert_eq!(steps[0] as usize, iterations);
        for i in 0..x.len() {
            for c in 0..2 {
                let sum: f64 = (0..x.len()).map(|j| if transposed { p[j][i] } else { p[i][j] } * v[2 * j + c]).sum();
                prop_assert!((sum - y[2 * i + c]).abs() < 1e-10, "{} {}", sum, y[2 * i + c]);
            }
        }
    }

    #[test]
    fn gradients_are_differences(x in scores(), temperature in 0.3f64..5.0, transposed: bool, iterations in 0usize..3) {
        // Where scores are equal the function has a kink, so that each is kept 1e-3 from the others.
        let rank = |i: usize| x.iter().enumerate().filter(|&(j, &y)| (y, j) < (x[i], i)).count() as f64;
        let x: Vec<f64> = (0..x.len()).map(|i| x[i] / 10.0 + 1e-3 * rank(i)).collect();
        let n = x.len();
        let v: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin()).collect();
        let grad: Vec<f64> = (0..n).map(|i| (i as f64 * 1.3).cos()).collect();
        let options = Options { descending: true, transposed, iterations, tolerance: 0.0 };
        let (_, places, steps) = run(&x, &v, temperature, &options);
        let inputs = Inputs { x: &x, v: &v, width: 1, temperature: &[temperature], lists: Lists::even(1, n) };
        let kept = Kept { places: &places, steps: &steps, grad: &grad };
        let (mut dx, mut dv, mut dt) = (vec![0.0; n], vec![0.0; n], vec![0.0]);
        vjp(&inputs, &kept, &options, (&mut dx, &mut dv, &mut dt), &Job::default()).unwrap();
        let value = |h: f64| {
            let moved = |x: &[f64], k: f64| -> Vec<f64> {
                x.iter().enumerate().map(|(i, x)| x + h * (k * (i + 1) as f64).sin()).collect()
            };
            let (y, ..) = run(&moved(&x, 1.9), &moved(&v, 2.3), temperature + 0.4 * h, &options);
            y.iter().zip(&grad).map(|(y, g)| y * g).sum::<f64>()
        };
        let h = 1e-6;
        let expected = (value(h) - value(-h)) / (2.0 * h);
        let along = |d: &[f64], k: f64| d.iter().enumerate().map(|(i, d)| d * (k * (i + 1) as f64).sin()).sum::<f64>();
        let found = along(&dx, 1.9) + along(&dv, 2.3) + 0.4 * dt[0];
        let size = 1.0 + dx.iter().chain(&dv).map(|d| d.abs()).sum::<f64>();
        prop_assert!((found - expected).abs() < 1e-5 * size, "{} {}", found, expected);
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let x: Vec<f64> = (0..300).map(|i| f64::from(i * 37 % 300).sin() * 2.0).collect();
    let mut seen = Vec::new();
    for level in simd::available() {
        simd::force(level.name()).unwrap();
        let options = Options { descending: true, transposed: true, iterations: 3, tolerance: 0.0 };
        let plain = Options { iterations: 0, ..options };
        seen.push((run(&x, &x, 0.5, &options), run(&x, &x, 0.5, &plain)));
    }
    simd::force("auto").unwrap();
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

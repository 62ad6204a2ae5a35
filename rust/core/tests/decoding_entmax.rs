//! Entmax, its conjugate and capped projections against bisection and differences, on every instruction set.

use argrad_core::Job;
use argrad_core::decoding::constrained::{self, Kind, Problem};
use argrad_core::decoding::entmax::{
    Rows, Support, Target, TopRows, conjugate, conjugate_vjp, entmax, entmax_vjp, topk_softmax,
};
use levels::on_every_level;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

mod levels;

fn settings() -> ProptestConfig {
    ProptestConfig { cases: 150, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() }
}

/// Rows of every length around the sizes of vectors and blocks, of many kinds and scales.
fn rows() -> impl Strategy<Value = Vec<f64>> {
    let length = prop_oneof![1usize..40, 1usize..700, 4000usize..6000];
    (length, 0usize..6, -3i32..4, any::<u64>()).prop_map(|(v, kind, scale, seed)| {
        let mut state = seed | 1;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let scale = 10.0f64.powi(scale);
        let mut x: Vec<f64> = (0..v).map(|_| (uniform() + uniform() + uniform() - 1.5) * scale).collect();
        match kind {
            0 => x.fill(uniform() - 0.5),
            1 => x.sort_by(f64::total_cmp),
            2 => x.iter_mut().for_each(|x| *x = (*x * 2.0).round() / 2.0), // many ties, both zeros
            3 => x.iter_mut().for_each(|x| *x = if *x < 0.0 { f64::NEG_INFINITY } else { *x }),
            _ => {}
        }
        if x.iter().all(|&x| x == f64::NEG_INFINITY) {
            x[0] = 1.0;
        }
        x
    })
}

fn alphas() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), Just(1.5), Just(2.0), Just(1.0 + 1e-9), 1.02f64..2.0, 2.0f64..5.0]
}

/// Entmax by bisection in theta, from the definition.
fn naive(x: &[f64], alpha: f64) -> Vec<f64> {
    let (b, top) = (alpha - 1.0, x.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let curve = |theta: f64| -> Vec<f64> {
        let power = |x: &f64| {
            let u = x - top - theta;
            if b == 0.0 {
                u.exp()
            } else if 1.0 + b * u > 0.0 {
                ((b * u).ln_1p() / b).exp()
            } else {
                0.0
            }
        };
        x.iter().map(power).collect()
    };
    let (mut low, mut high) = (0.0, if b > 0.0 { b.recip().min(40.0) } else { 40.0 });
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if curve(middle).iter().sum::<f64>() >= 1.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    let p = curve(low);
    let total: f64 = p.iter().sum();
    p.into_iter().map(|p| p / total).collect()
}

fn projected(x: &[f64], alpha: f64) -> (Vec<f64>, Support) {
    let (mut out, mut kept) = (vec![0.0; x.len()], [Support::default()]);
    entmax(Rows { x, v: x.len(), alpha: &[alpha] }, &mut out, &mut kept, &Job::default()).unwrap();
    (out, kept[0].clone())
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn entmax_is_that_of_bisection(x in rows(), alpha in alphas()) {
        let p = on_every_level(|| projected(&x, alpha).0);
        // For large alpha bisection's own theta is too coarse for small probabilities, which are roots of it.
        let tolerance = if alpha > 2.0 { 1e-15f64.powf((alpha - 1.0).recip()) } else { 1e-11 };
        for (found, expected) in p.iter().zip(naive(&x, alpha)) {
            prop_assert!((found - expected).abs() <= tolerance, "{found} {expected}");
        }
        prop_assert!((p.iter().sum::<f64>() - 1.0).abs() <= 1e-13 * (x.len() as f64).sqrt());
    }

    #[test]
    fn single_precision_is_that_of_double(x in rows(), alpha in alphas()) {
        let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        let (mut out, mut kept) = (vec![0.0; x.len()], [Support::default()]);
        entmax(Rows { x: &single, v: x.len(), alpha: &[alpha] }, &mut out, &mut kept, &Job::default()).unwrap();
        let wide: Vec<f64> = single.iter().map(|&x| f64::from(x)).collect();
        for (found, expected) in out.iter().zip(projected(&wide, alpha).0) {
            prop_assert!((f64::from(*found) - expected).abs() <= 1.3e-7 * expected + 1e-13, "{found} {expected}");
        }
    }

    #[test]
    fn nearly_equal_numbers_are_those_of_bisection(
        length in 4096usize..6000, alpha in 1.02f64..3.5, width in -4.0f64..0.5, masked in any::<bool>(), seed in 0usize..100
    ) {
        // Around the widest range that one polynomial is used for, numbers with and without -inf among them.
        let b = alpha - 1.0;
        let width = 10f64.powf(width) * (length as f64).powf(-b) / b;
        let number = |i: usize| match (i + seed) % 7 {
            3 if masked => f64::NEG_INFINITY,
            _ => 5.0 + width * ((i * i + seed) as f64 * 0.7).sin(),
        };
        let x: Vec<f64> = (0..length).map(number).collect();
        let p = on_every_level(|| projected(&x, alpha).0);
        // Bisection's theta has the rounding of numbers near 1, and p changes by p^(1-b) times as much.
        for (found, expected) in p.iter().zip(naive(&x, alpha)) {
            let tolerance = 1e-12 * expected + 2e-15 * expected.powf(1.0 - b) + 1e-14;
            prop_assert!((found - expected).abs() <= tolerance, "{found} {expected}");
        }
        prop_assert!((p.iter().sum::<f64>() - 1.0).abs() <= 2e-14);
        let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        let rounded = on_every_level(|| {
            let (mut out, mut kept) = (vec![0.0; length], [Support::default()]);
            entmax(Rows { x: &single, v: length, alpha: &[alpha] }, &mut out, &mut kept, &Job::default()).unwrap();
            out
        });
        let wide: Vec<f64> = single.iter().map(|&x| f64::from(x)).collect();
        for (found, expected) in rounded.iter().zip(projected(&wide, alpha).0) {
            prop_assert!((f64::from(*found) - expected).abs() <= 7e-8 * expected + 1e-13, "{found} {expected}");
        }
    }

    #[test]
    fn gradients_are_those_of_differences(x in rows(), alpha in alphas(), seed in 0usize..100) {
        prop_assume!(x.len() < 700 && alpha < 1.5);
        let v = x.len();
        let wave = |i: usize, f: f64| ((i + seed) as f64 * f).sin();
        let (g, along): (Vec<_>, Vec<_>) = (0..v).map(|i| (wave(i, 1.7), 0.1 * wave(i, 0.9))).unzip();
        let h = 1e-6;
        let moved = |s: f64| -> Vec<f64> { x.iter().zip(&along).map(|(x, t)| x + s * h * t).collect() };
        let value = |x: &[f64]| -> f64 { projected(x, alpha).0.iter().zip(&g).map(|(p, g)| p * g).sum() };
        let (mut dx, mut slope) = (vec![0.0; v], [0.0]);
        let rows = Rows { x: &x, v, alpha: &[alpha] };
        entmax_vjp(rows, None, &g, (&mut dx, &mut slope), false, &Job::default()).unwrap();
        let found: f64 = dx.iter().zip(&along).map(|(d, t)| d * t).sum();
        let expected = (value(&moved(1.0)) - value(&moved(-1.0))) / (2.0 * h);
        prop_assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        let kept = [projected(&x, alpha).1];
        let mut again = vec![0.0; v];
        entmax_vjp(rows, Some(&kept), &g, (&mut again, &mut slope), false, &Job::default()).unwrap();
        prop_assert_eq!(dx, again);
    }

    #[test]
    fn losses_are_not_negative_and_have_the_prediction_as_gradient(x in rows(), alpha in alphas()) {
        let (v, p) = (x.len(), projected(&x, alpha).0);
        let class = x.iter().position(|x| x.is_finite()).unwrap();
        let rows = Rows { x: &x, v, alpha: &[alpha] };
        let target = Target::Class(&[class as i64]);
        let (mut value, mut kept) = ([0.0], [Support::default()]);
        conjugate(rows, target, &mut value, &mut kept, &Job::default()).unwrap();
        let (mut dx, mut slope) = (vec![0.0; v], [0.0]);
        conjugate_vjp(rows, target, Some(&kept), &[2.0], (&mut dx, &mut slope), true, &Job::default()).unwrap();
        prop_assert!(value[0] >= 0.0);
        for (i, (d, p)) in dx.iter().zip(&p).enumerate() {
            prop_assert_eq!(*d, 2.0 * (p - f64::from(u8::from(i == class))));
        }
        prop_assert!(slope[0].is_finite());
    }

    #[test]
    fn capped_projections_are_optimal(x in rows(), sparse in any::<bool>(), seed in 0usize..100) {
        let v = x.len();
        let live = x.iter().filter(|x| x.is_finite()).count() as f64;
        let upper: Vec<f64> = (0..v).map(|i| (1.2 + ((i + seed) as f64).sin()) * 1.5 / live).collect();
        let most: f64 = x.iter().zip(&upper).filter(|(x, _)| x.is_finite()).map(|(_, u)| u).sum();
        let total = if sparse { 0.7 * most } else { 1.0 };
        prop_assume!(most > 1.01 * total);
        let kind = if sparse { Kind::Sparsemax(total) } else { Kind::Softmax };
        let p = on_every_level(|| {
            let mut out = vec![0.0; v];
            constrained::forward(Problem { x: &x, upper: &upper, v, kind }, &mut out, &Job::default()).unwrap();
            out
        });
        prop_assert!((p.iter().sum::<f64>() / total - 1.0).abs() < 1e-12);
        // Free items have one threshold; capped ones lie above it and those left out below.
        let threshold = |x: f64, p: f64| if sparse { x - p } else { x - p.ln() };
        let scale = x.iter().filter(|x| x.is_finite()).fold(1.0f64, |top, x| top.max(x.abs()));
        let free = (0..v).filter(|&i| p[i] > 1e-12 && p[i] < upper[i] * (1.0 - 1e-12));
        let level: Vec<f64> = free.map(|i| threshold(x[i], p[i])).collect();
        let spread = level.iter().copied().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), t| (a.min(t), b.max(t)));
        prop_assert!(level.is_empty() || spread.1 - spread.0 < 1e-9 * scale, "{spread:?}");
        for i in 0..v {
            prop_assert!(p[i] >= 0.0 && p[i] <= upper[i]);
            if let (true, true) = (p[i] == upper[i], !level.is_empty()) {
                prop_assert!(threshold(x[i], upper[i]) >= spread.0 - 1e-9 * scale);
            }
            if sparse && p[i] == 0.0 && !level.is_empty() {
                prop_assert!(x[i] <= spread.1 + 1e-9 * scale);
            }
        }
    }

    #[test]
    fn the_k_largest_have_their_softmax(x in rows(), k in 1usize..50) {
        let v = x.len();
        let (mut out, mut kept) = (vec![0.0; v], [Support::default()]);
        let rows = TopRows { x: &x, v, k: &[k as i64], temperature: &[0.7], bias: None };
        topk_softmax(rows, &mut out, &mut kept, &Job::default()).unwrap();
        let mut order: Vec<usize> = (0..v).filter(|&i| x[i].is_finite()).collect();
        order.sort_by(|&a, &b| x[b].partial_cmp(&x[a]).unwrap());
        order.truncate(k);
        let weight = |i: usize| ((x[i] - x[order[0]]) / 0.7).exp();
        let total: f64 = order.iter().map(|&i| weight(i)).sum();
        for (i, p) in out.iter().enumerate() {
            let expected = if order.contains(&i) { weight(i) / total } else { 0.0 };
            prop_assert!((p - expected).abs() <= 1e-13, "{p} {expected}");
        }
    }
}

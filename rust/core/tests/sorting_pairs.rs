//! Sums over pairs against loops.

use argrad_core::sorting::Lists;
use argrad_core::sorting::pairs::table::{DOUBLE, SINGLE, bound};
use argrad_core::sorting::pairs::{Batch, Gradients, Kernel, sums, vjp};
use argrad_core::{Job, simd};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Positions of several characters: crowded, spread, in islands, equal; a few infinite.
fn positions() -> impl Strategy<Value = Vec<f64>> {
    let one = prop_oneof![
        12 => -3.0..3.0,
        6 => -300.0..300.0,
        3 => (0i32..4, -1.0f64..1.0).prop_map(|(e, u)| 10f64.powi(3 * e) * u),
        2 => Just(0.5),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ];
    prop_oneof![prop::collection::vec(one.clone(), 0..40), prop::collection::vec(one, 100..400)]
}

fn value(kernel: Kernel, x: f64, y: f64, temperature: f64) -> f64 {
    let z = if x == y { 0.0 } else { (x - y) / temperature };
    if z == f64::NEG_INFINITY {
        0.0
    } else if z == f64::INFINITY {
        kernel.at_infinity()
    } else {
        kernel.value(z)
    }
}

/// The sums and, for each, the sum of the absolute values of its terms, at least the sum of absolute weights.
fn naive(kernel: Kernel, x: &[f64], y: &[f64], w: &[f64], temperature: f64) -> Vec<(f64, f64)> {
    let total: f64 = w.iter().map(|w| w.abs()).sum();
    x.iter()
        .map(|&x| {
            let terms =
                y.iter().zip(w).filter(|(_, w)| **w != 0.0).map(|(&y, &w)| w * value(kernel, x, y, temperature));
            let (mut sum, mut size) = (0.0, 0.0);
            terms.for_each(|term| (sum, size) = (sum + term, size + term.abs()));
            (sum, size.max(total))
        })
        .collect()
}

fn close(found: f64, (expected, size): (f64, f64), tolerance: f64) -> bool {
    found == expected || (found.is_nan() && expected.is_nan()) || (found - expected).abs() <= tolerance * size
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, rng_seed: RngSeed::Fixed(40), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_and_gradients_agree_with_loops(
        x in positions(), y in positions(), scale in -3i32..3, seed in 0u32..1000, softplus: bool, sparse: bool,
    ) {
        let temperature = 10f64.powi(scale);
        let kernel = if softplus { Kernel::SOFTPLUS } else { Kernel::SIGMOID };
        let w: Vec<f64> = (0..y.len()).map(|j| if sparse && j % 3 == 0 { 0.0 } else { f64::from(j as u32 * 7 + seed).sin() }).collect();
        let g: Vec<f64> = (0..x.len()).map(|i| f64::from(i as u32 * 5 + seed).cos()).collect();
        let batch = Batch {
            x: &x, y: &y, weights: &w, temperature: &[temperature], kernel, x_mask: None, y_mask: None,
            x_lists: Lists::even(1, x.len()), y_lists: Lists::even(1, y.len()),
        };
        let (mut out, job) = (vec![0.0; x.len()], Job::default());
        sums(&batch, &mut out, &job).unwrap();
        let expected = naive(kernel, &x, &y, &w, temperature);
        for (found, expected) in out.iter().zip(&expected) {
            prop_assert!(close(*found, *expected, bound(kernel, DOUBLE) + 1e-14), "{found} {expected:?}");
        }
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; y.len()]);
        let out = Gradients { x: Some(&mut dx), y: None, weights: Some(&mut dw), temperature: None };
        vjp(&batch, &g, out, &job).unwrap();
        let slopes = naive(kernel.derived(1, 0), &x, &y, &w, temperature);
        for (i, found) in dx.iter().enumerate() {
            let (sum, size) = slopes[i];
            prop_assert!(close(found * temperature, (sum * g[i], size), 1e-11), "{found} {sum}");
        }
        for (j, found) in dw.iter().enumerate() {
            let column: Vec<f64> = x.iter().map(|&x| value(kernel, x, y[j], temperature)).collect();
            let terms: Vec<f64> = column.iter().zip(&g).map(|(k, g)| k * g).collect();
            let size = terms.iter().map(|t| t.abs()).sum::<f64>().max(g.iter().map(|g| g.abs()).sum());
            prop_assert!(close(*found, (terms.iter().sum(), size), 1e-12), "{found} {terms:?}");
        }
        // In single precision the same, with its own bound; the exact sum takes the rounded inputs.
        let [x, y, w] = [&x, &y, &w].map(|v| v.iter().map(|&v| v as f32).collect::<Vec<_>>());
        let batch = Batch {
            x: &x, y: &y, weights: &w, temperature: &[temperature as f32], kernel, x_mask: None, y_mask: None,
            x_lists: Lists::even(1, x.len()), y_lists: Lists::even(1, y.len()),
        };
        let mut out = vec![0.0f32; x.len()];
        sums(&batch, &mut out, &job).unwrap();
        let [x, y, w] = [&x, &y, &w].map(|v| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
        let expected = naive(kernel, &x, &y, &w, f64::from(temperature as f32));
        for (found, expected) in out.iter().zip(&expected) {
            let tolerance = bound(kernel, SINGLE) + f64::from(f32::EPSILON);
            prop_assert!(close(f64::from(*found), *expected, tolerance), "{found} {expected:?}");
        }
    }
}

/// Where the i-th item lies.
type Place = fn(usize) -> f64;

/// The worst errors seen over placements made to be bad: at panels' borders, in pairs of clusters, on a lattice.
#[test]
fn adversarial_placements_stay_within_the_certified_bound() {
    let (n, job) = (500, Job::default());
    let placements: [(&str, Place); 5] = [
        ("borders", |i| (i % 2) as f64 * 2.999_999_999 + 3.0 * (i % 9) as f64),
        ("clusters", |i| 2.9 * (i % 2) as f64 + 1e-3 * (i as f64).sin()),
        ("lattice", |i| 0.37 * i as f64),
        ("one point", |_| 1.5),
        ("islands", |i| 1e8 * (i % 5) as f64 + (i as f64).sin()),
    ];
    for (name, place) in placements {
        let x: Vec<f64> = (0..n).map(place).collect();
        let y: Vec<f64> = (0..n).map(|j| place(j) + 1e-9).collect();
        let w: Vec<f64> = (0..n).map(|j| if j % 2 == 0 { 1.0 } else { -0.5 }).collect();
        for kernel in [Kernel::SIGMOID, Kernel::SOFTPLUS] {
            let mut out = vec![0.0; n];
            let batch = Batch {
                x: &x,
                y: &y,
                weights: &w,
                temperature: &[1.0],
                kernel,
                x_mask: None,
                y_mask: None,
                x_lists: Lists::even(1, n),
                y_lists: Lists::even(1, n),
            };
            sums(&batch, &mut out, &job).unwrap();
            let expected = naive(kernel, &x, &y, &w, 1.0);
            let worst = out.iter().zip(&expected).map(|(a, b)| (a - b.0).abs() / b.1).fold(0.0, f64::max);
            let bound = bound(kernel, DOUBLE);
            println!("{name}, {kernel:?}: certified {bound:.1e}, seen {worst:.1e}");
            assert!(worst <= bound + 1e-14, "{name} {kernel:?}: {worst:e} {bound:e}");
        }
    }
}

#[test]
fn the_threads_and_the_instruction_set_do_not_matter() {
    let (n, m) = (40_000, 30_000);
    let wave = |k: usize, f: f64| (0..k).map(|i| ((i as f64) * f).sin() * 40.0).collect::<Vec<f64>>();
    let (x, y, w) = (wave(n, 0.7), wave(m, 0.3), wave(m, 1.1));
    let run = || {
        let mut out = vec![0.0; n];
        let batch = Batch {
            x: &x,
            y: &y,
            weights: &w,
            temperature: &[1.0],
            kernel: Kernel::SOFTPLUS,
            x_mask: None,
            y_mask: None,
            x_lists: Lists::even(1, n),
            y_lists: Lists::even(1, m),
        };
        sums(&batch, &mut out, &Job::default()).unwrap();
        out
    };
    let expected = run();
    for level in simd::available() {
        simd::force(level.name()).unwrap();
        assert!(run() == expected, "{}", level.name());
        for threads in [2, 5] {
            let found = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
            assert!(found == expected, "{} {threads}", level.name());
        }
    }
    simd::force("auto").unwrap();
}

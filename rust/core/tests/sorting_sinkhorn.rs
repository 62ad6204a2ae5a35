//! Sinkhorn sort and SOFT top-k against a naive twin: dense Sinkhorn iterations, and differences for the derivatives.

use argrad_core::sorting::Lists;
use argrad_core::sorting::sinkhorn::{Moved, Problem, Shape, Solution, forward, vjp};
use argrad_core::{Job, simd};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

struct Case {
    x: Vec<f64>,
    mask: Option<Vec<bool>>,
    shape: Shape,
    descending: bool,
    transposed: bool,
    temperature: f64,
}

impl Case {
    fn problem<'a>(&'a self, x: &'a [f64], temperature: &'a [f64]) -> Problem<'a, f64> {
        Problem {
            x,
            lists: Lists::even(1, x.len()),
            mask: self.mask.as_deref(),
            temperature,
            shape: self.shape,
            descending: self.descending,
            transposed: self.transposed,
            columns: 1,
        }
    }

    fn rows(&self) -> usize {
        if let Shape::Top(k) = self.shape { k } else { self.x.len() }
    }

    fn sides(&self) -> (usize, usize) {
        if self.transposed { (self.rows(), self.x.len()) } else { (self.x.len(), self.rows()) }
    }

    #[allow(clippy::type_complexity)] // the solution's three parts
    fn run(&self, x: &[f64], temperature: f64, factor: &[f64]) -> (Vec<f64>, (Vec<i32>, Vec<i64>, Vec<i64>)) {
        let (n, temperature) = (x.len(), [temperature]);
        let mut out = vec![0.0; self.sides().1];
        let (mut order, mut items, mut ranks) = (vec![-1; n], vec![0; n], vec![0; n]);
        let problem = self.problem(x, &temperature);
        let (o, i, r) = (&mut order, &mut items, &mut ranks);
        forward(&problem, factor, 100, 1e-13, &mut out, o, i, r, &Job::default()).unwrap();
        (out, (order, items, ranks))
    }

    /// The product by the plan that Sinkhorn's iterations reach on a dense matrix.
    fn naive(&self, factor: &[f64]) -> Vec<f64> {
        let counts: Vec<usize> = (0..self.x.len()).filter(|&i| self.mask.as_ref().is_none_or(|mask| mask[i])).collect();
        let n = counts.len();
        let sign = if self.descending { -1.0 } else { 1.0 };
        let (rows, spacing, masses) = match self.shape {
            Shape::Full => (n, 1.0 / (n.max(2) - 1) as f64, vec![1.0; n]),
            Shape::Top(k) => {
                let mut masses = vec![1.0; k];
                masses.extend((k < n).then_some((n - k) as f64));
                (k, 1.0, masses)
            }
        };
        let level = |r: usize, i: usize| {
            let away = sign * self.x[counts[i]] - spacing * r as f64;
            -away * away / self.temperature
        };
        let log_sum = |values: Vec<f64>| {
            let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
        };
        let (mut a, mut b) = (vec![0.0; n], vec![0.0; masses.len()]);
        for _ in 0..3000 {
            for (i, a) in a.iter_mut().enumerate() {
                *a = -log_sum((0..masses.len()).map(|r| level(r, i) + b[r]).collect());
            }
            for (r, b) in b.iter_mut().enumerate() {
                *b = masses[r].ln() - log_sum((0..n).map(|i| level(r, i) + a[i]).collect());
            }
        }
        let entry = |r: usize, i: usize| (level(r, i) + a[i] + b[r]).exp();
        let mut out = vec![0.0; self.sides().1];
        for r in 0..rows {
            for i in 0..n {
                let (from, to) = if self.transposed { (r, counts[i]) } else { (counts[i], r) };
                out[to] += entry(r, i) * factor[from];
            }
        }
        out
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let score = prop_oneof![Just(0.0), Just(0.25), -1.0..1.0];
    let list = prop::collection::vec((score, prop::bool::weighted(0.8)), 1..12);
    (list, any::<[bool; 3]>(), 0usize..12, 0.0f64..1.0).prop_map(|(list, flags, k, warm)| {
        let (x, mask): (Vec<f64>, Vec<bool>) = list.into_iter().unzip();
        let count = if flags[0] { mask.iter().filter(|&&m| m).count() } else { x.len() };
        let shape = if k == 0 || count == 0 { Shape::Full } else { Shape::Top(1 + k % count) };
        // Warm enough for the naive iterations to converge.
        let temperature = if shape == Shape::Full { 0.15 + 3.0 * warm } else { 1.5 + 10.0 * warm };
        Case { x, mask: flags[0].then_some(mask), shape, descending: flags[1], transposed: flags[2], temperature }
    })
}

fn wave(count: usize, phase: f64) -> Vec<f64> {
    (0..count).map(|i| (1.3 * i as f64 + phase).sin()).collect()
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} {:?} {:?} {} {} {}",
            self.x, self.mask, self.shape, self.descending, self.transposed, self.temperature
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, rng_seed: RngSeed::Fixed(45), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_are_those_of_dense_iterations(case in cases()) {
        let factor = wave(case.sides().0, 0.4);
        let (found, _) = case.run(&case.x, case.temperature, &factor);
        for (found, expected) in found.iter().zip(case.naive(&factor)) {
            prop_assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }

    #[test]
    fn gradients_are_those_of_differences(case in cases()) {
        let (inner, outer) = case.sides();
        let (factor, grad) = (wave(inner, 0.4), wave(outer, 1.1));
        let (_, (order, items, ranks)) = case.run(&case.x, case.temperature, &factor);
        let solution = Solution { order: &order, items: &items, ranks: &ranks };
        let mut to = (vec![0.0; case.x.len()], vec![0.0; inner], vec![0.0]);
        let out = Moved { x: &mut to.0, factor: &mut to.1, temperature: &mut to.2 };
        let temperature = [case.temperature];
        vjp(&case.problem(&case.x, &temperature), &factor, &solution, &grad, true, out, &Job::default()).unwrap();
        let value = |x: &[f64], temperature: f64| {
            case.run(x, temperature, &factor).0.iter().zip(&grad).map(|(y, g)| y * g).sum::<f64>()
        };
        let h = 1e-5;
        let slope = (value(&case.x, case.temperature + h) - value(&case.x, case.temperature - h)) / (2.0 * h);
        prop_assert!((to.2[0] - slope).abs() < 1e-6, "{} {slope}", to.2[0]);
        for i in 0..case.x.len() {
            let mut x = case.x.clone();
            x[i] += h;
            let above = value(&x, case.temperature);
            x[i] -= 2.0 * h;
            let slope = (above - value(&x, case.temperature)) / (2.0 * h);
            prop_assert!((to.0[i] - slope).abs() < 1e-5, "{i}: {} {slope}", to.0[i]);
        }
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let case = Case {
        x: wave(300, 0.2),
        mask: None,
        shape: Shape::Full,
        descending: true,
        transposed: false,
        temperature: 0.01,
    };
    let factor = wave(300, 0.7);
    let found: Vec<_> = simd::available()
        .iter()
        .map(|level| {
            simd::force(level.name()).unwrap();
            case.run(&case.x, case.temperature, &factor).0
        })
        .collect();
    simd::force("auto").unwrap();
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_stopped_job_ends_a_long_list() {
    let (x, job) = (wave(3000, 0.1), Job::default());
    job.stop();
    let temperature = [0.01];
    let case =
        Case { x: x.clone(), mask: None, shape: Shape::Full, descending: false, transposed: false, temperature: 0.01 };
    let mut out = vec![0.0; 3000];
    let (mut order, mut items, mut ranks) = (vec![-1; 3000], vec![0; 3000], vec![0; 3000]);
    let problem = case.problem(&x, &temperature);
    assert!(forward(&problem, &x, 9, 0.0, &mut out, &mut order, &mut items, &mut ranks, &job).is_err());
}

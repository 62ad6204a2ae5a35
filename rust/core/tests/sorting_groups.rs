//! The order of two groups against a naive twin that mixes one list at a time.

use argrad_core::Job;
use argrad_core::sorting::groups::{Found, Groups, Mean, Score, forward, second, vjp};
use argrad_core::sorting::network::{Distribution, Form, Lane};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Rows of `length` items with masks and ties.
#[derive(Debug, Clone)]
struct Case {
    length: usize,
    x: Vec<f64>,
    positive: Vec<bool>,
    mask: Option<Vec<bool>>,
    steepness: Vec<f64>,
    negatives: usize,
    log: bool,
    mean: Mean,
    gradient: Vec<f64>,
}

fn case() -> impl Strategy<Value = Case> {
    let score = prop_oneof![9 => -2.0..2.0f64, 1 => (-3i32..4).prop_map(f64::from)];
    let means = prop_oneof![Just(Mean::No), Just(Mean::Items), Just(Mean::Lists(1)), Just(Mean::Lists(2))];
    let limits = prop_oneof![Just(usize::MAX), 1usize..6];
    (prop_oneof![0usize..12, 12usize..40], 1usize..8, any::<[bool; 2]>(), means, limits).prop_flat_map(
        move |(length, lists, [masked, log], mean, negatives)| {
            let lists = if mean == Mean::Lists(2) { 2 * lists } else { lists };
            let size = length * lists;
            let outputs = match mean {
                Mean::No => size,
                Mean::Items => lists,
                Mean::Lists(runs) => runs,
            };
            (
                prop::collection::vec(score.clone(), size),
                prop::collection::vec(prop::bool::weighted(0.3), size),
                prop::collection::vec(prop::bool::weighted(0.8), size),
                prop::collection::vec(0.5..20.0f64, lists),
                prop::collection::vec(-1.0..1.0f64, outputs),
            )
                .prop_map(move |(x, positive, mask, steepness, gradient)| {
                    let mask = masked.then_some(mask);
                    Case { length, x, positive, mask, steepness, negatives, log, mean, gradient }
                })
        },
    )
}

impl Case {
    fn groups<'a, T>(&'a self, x: &'a [T], steepness: &'a [T]) -> Groups<'a, T> {
        Groups {
            x,
            steepness,
            length: self.length,
            positive: &self.positive,
            mask: self.mask.as_deref(),
            negatives: self.negatives,
            form: Form::OddEven,
            distribution: Distribution::Cauchy,
            log: self.log,
            mean: self.mean,
        }
    }

    fn found<T: Score>(&self) -> Found<T> {
        let narrow = |values: &[f64]| values.iter().map(|&value| <T as Lane>::of(value)).collect::<Vec<T>>();
        forward(&self.groups(&narrow(&self.x), &narrow(&self.steepness)), self.mean != Mean::No, &Job::default())
            .unwrap()
    }
}

/// The probability of every item that takes part in a list.
fn naive(case: &Case, list: usize) -> Vec<(usize, f64)> {
    let all = list * case.length..(list + 1) * case.length;
    let group = |positive: bool| {
        let mut items: Vec<usize> = all
            .clone()
            .filter(|&i| case.positive[i] == positive && case.mask.as_ref().is_none_or(|mask| mask[i]))
            .collect();
        items.sort_by(|&i, &j| case.x[i].total_cmp(&case.x[j]));
        items
    };
    let (mut items, good) = (group(false), group(true));
    if items.is_empty() || good.is_empty() {
        return Vec::new();
    }
    items.drain(..items.len().saturating_sub(case.negatives));
    let m = items.len();
    items.extend(good);
    let (n, mut x) = (items.len(), items.iter().map(|&i| case.x[i]).collect::<Vec<f64>>());
    let mut rows: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for (i, j) in (0..n).flat_map(|t| (t % 2..n - 1).step_by(2).map(|i| (i, i + 1))) {
        let w = (1.0 / (case.steepness[list] * (x[j] - x[i]).abs())).atan() / std::f64::consts::PI;
        let w = if x[i] <= x[j] { w } else { 1.0 - w };
        (x[i], x[j]) = ((1.0 - w) * x[i] + w * x[j], w * x[i] + (1.0 - w) * x[j]);
        for column in 0..n {
            let (a, b) = (rows[i][column], rows[j][column]);
            (rows[i][column], rows[j][column]) = ((1.0 - w) * a + w * b, w * a + (1.0 - w) * b);
        }
    }
    let own = |column: usize| if column < m { 0..m } else { m..n };
    items.into_iter().enumerate().map(|(column, i)| (i, own(column).map(|r| rows[r][column]).sum())).collect()
}

fn expected(case: &Case) -> (Vec<f64>, Vec<i64>) {
    let none = if case.log { 0.0 } else { 1.0 };
    let (mut value, mut count, mut means) = (vec![none; case.gradient.len()], Vec::new(), Vec::new());
    for list in 0..case.steepness.len() {
        let mut chances = naive(case, list);
        count.push(chances.len() as i64);
        if case.log {
            chances.iter_mut().for_each(|(_, chance)| *chance = chance.max(1e-12).ln());
        }
        if case.mean == Mean::No {
            chances.iter().for_each(|&(item, chance)| value[item] = chance);
        } else if !chances.is_empty() {
            means.push((list, chances.iter().map(|&(_, chance)| chance).sum::<f64>() / chances.len() as f64));
        }
    }
    let lists = if case.mean == Mean::No { 1 } else { case.steepness.len() / value.len() };
    for (place, slot) in value.iter_mut().enumerate() {
        let own: Vec<f64> = means.iter().filter(|&&(list, _)| list / lists == place).map(|&(_, mean)| mean).collect();
        if !own.is_empty() {
            *slot = own.iter().sum::<f64>() / own.len() as f64;
        }
    }
    (value, count)
}

fn close(found: impl IntoIterator<Item = f64>, expected: &[f64], tolerance: f64) -> bool {
    let found: Vec<f64> = found.into_iter().collect();
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(45), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_those_of_the_matrix(case in case()) {
        let (value, count) = expected(&case);
        let (double, single) = (case.found::<f64>(), case.found::<f32>());
        prop_assert_eq!(&double.count, &count);
        prop_assert_eq!(&single.count, &count);
        prop_assert_eq!(&single.order, &double.order);
        prop_assert!(close(double.value, &value, 1e-11));
        prop_assert!(close(single.value.into_iter().map(f64::from), &value, 2e-5));
    }

    #[test]
    fn gradients_are_the_slopes(case in case()) {
        let found = case.found::<f64>();
        let groups = case.groups(&case.x, &case.steepness);
        let gradients = vjp(&groups, &found.order, &case.gradient, &Job::default()).unwrap();
        let (h, move_x) = (1e-6, |i: usize| ((i * i) as f64).sin());
        let along: Vec<f64> = (0..case.x.len()).map(move_x).collect();
        let inner: f64 = gradients.x.iter().zip(&along).map(|(a, b)| a * b).sum::<f64>()
            + gradients.steepness.iter().sum::<f64>();
        let ones = vec![1.0; case.steepness.len()];
        let tangents: [&[f64]; 2] = [&along, &ones];
        let (_, slopes) = second(&groups, &found.order, &case.gradient, tangents, &Job::default()).unwrap();
        let total: f64 = slopes.iter().zip(&case.gradient).map(|(a, b)| a * b).sum();
        prop_assert!((total - inner).abs() < 1e-9 * (1.0 + inner.abs()), "{total} {inner}");
        // A tie that the shift undoes changes the order inside a group.
        let tied = case.x.chunks(case.length.max(1)).any(|list| {
            (0..list.len()).any(|i| (0..i).any(|j| (list[i] - list[j]).abs() < 1e-5))
        });
        if !tied {
            let value = |sign: f64| {
                let x = case.x.iter().zip(&along).map(|(x, t)| x + sign * h * t).collect();
                let steepness = case.steepness.iter().map(|s| s + sign * h).collect();
                let value = Case { x, steepness, ..case.clone() }.found::<f64>().value;
                value.iter().zip(&case.gradient).map(|(a, b)| a * b).sum::<f64>()
            };
            let slope = (value(1.0) - value(-1.0)) / (2.0 * h);
            prop_assert!((slope - inner).abs() < 1e-6 * (1.0 + inner.abs()), "{slope} {inner}");
        }
        if case.mean != Mean::No {
            let (slopes, size) = (&found.slopes, case.x.len() / case.gradient.len());
            for (place, (&gradient, own)) in case.gradient.iter().zip(slopes.chunks(size.max(1))).enumerate() {
                let expected = &gradients.x[place * size..];
                let close = |(slope, x): (&f64, &f64)| (slope * gradient - x).abs() <= 1e-12 * (1.0 + x.abs());
                prop_assert!(own.iter().zip(expected).all(close));
            }
        }
        for (i, &counts) in case.mask.iter().flatten().enumerate() {
            prop_assert!(counts || gradients.x[i] == 0.0);
        }
    }
}

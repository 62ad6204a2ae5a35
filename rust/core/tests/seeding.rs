//! The fast seeding against naive twins.

use argrad_core::real::{Real, canon};
use argrad_core::rng::Stream;
use argrad_core::seeding::anchors::{Prepared, prepare};
use argrad_core::seeding::assign::assign;
use argrad_core::seeding::exact::{Start, seed_path};
use argrad_core::seeding::score::Centers;
use argrad_core::seeding::start::{first_center, from_first};
use argrad_core::seeding::{Method, Plan, Points, Refresh, Seeded, seed, streams};
use argrad_core::{Error, Job};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const FROZEN: Plan =
    Plan { tighten: false, refresh: Refresh::Never, max_batch: 2048, max_proposals: None, potential_draws: 0 };

/// Small integers make ties and duplicates common.
fn matrix() -> impl Strategy<Value = (Vec<f32>, usize)> {
    (1usize..20, 1usize..60)
        .prop_flat_map(|(d, n)| (proptest::collection::vec((-4i8..5).prop_map(f32::from), n * d), Just(d)))
}

fn start(points: Points<'_, f32>, number: u64) -> Start<'_, f32> {
    let job = Job::default();
    let first = first_center(points, number, &job).unwrap();
    let (envelope, frame) = from_first(points, first, &job).unwrap();
    Start { first, envelope, frame, anchors: None }
}

fn run(points: Points<'_, f32>, k: usize, number: u64, plan: Plan) -> Seeded {
    seed_path(points, &[k], number, start(points, number), plan, &Job::default()).unwrap().remove(0)
}

/// One proposal at a time, every distance by `canon`: the definition of the frozen walk. None when a thousand proposals in
/// a row fail, because the walk then looks whether any row is left, and is frozen no longer.
fn sequential(points: Points<'_, f32>, k: usize, number: u64) -> Option<Vec<usize>> {
    let Start { first, envelope, .. } = start(points, number);
    let (rows, accept) = (Stream::new(number, streams::PROPOSAL), Stream::new(number, streams::ACCEPT));
    let (mut chosen, mut last) = (vec![first], 0);
    for t in 0.. {
        if chosen.len() == k || envelope.total() == 0.0 {
            break;
        }
        if t - last >= 1000 {
            return None;
        }
        let row = envelope.at(rows.uniform(t));
        let limit = accept.uniform(t) * f64::from(envelope.bound(row));
        let nearest = chosen.iter().map(|&c| f64::from(canon(points.row(row), 1.0, points.row(c))));
        if nearest.fold(f64::INFINITY, f64::min) > limit {
            chosen.push(row);
            last = t;
        }
    }
    Some(chosen)
}

fn distinct(points: Points<'_, f32>) -> usize {
    let mut rows: Vec<Vec<u32>> =
        (0..points.n()).map(|i| points.row(i).iter().map(|x| x.to_bits()).collect()).collect();
    rows.sort();
    rows.dedup();
    rows.len()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(20),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn frozen_batches_equal_the_sequential_walk((rows, d) in matrix(), number: u64, share in 0.0f64..1.0) {
        let points = Points::new(&rows, d, None).unwrap();
        let k = 1 + (share * (distinct(points) - 1) as f64) as usize;
        let expected = sequential(points, k, number);
        prop_assume!(expected.is_some());
        let expected = expected.unwrap_or_default();
        for max_batch in [1, 7, 64, 1000] {
            let got = run(points, k, number, Plan { max_batch, ..FROZEN });
            prop_assert_eq!(&got.indices, &expected, "batch {}", max_batch);
        }
    }

    #[test]
    fn every_schedule_gives_distinct_rows_and_fills_with_unused_ones(
        (rows, d) in matrix(), number: u64, k in 1usize..60, every in 1usize..5, max_batch in 1usize..100,
    ) {
        let points = Points::new(&rows, d, None).unwrap();
        let k = k.min(points.n());
        for refresh in [Refresh::Auto, Refresh::Never, Refresh::Every(every)] {
            let got = run(points, k, number, Plan { refresh, max_batch, ..Plan::default() });
            prop_assert_eq!(got.drawn, k.min(distinct(points)));
            let mut sorted = got.indices.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), k);
        }
    }

    #[test]
    fn a_path_is_made_of_prefixes((rows, d) in matrix(), number: u64) {
        let points = Points::new(&rows, d, None).unwrap();
        let ks: Vec<usize> = (1..=distinct(points)).step_by(3).collect();
        let path = seed_path(points, &ks, number, start(points, number), Plan::default(), &Job::default()).unwrap();
        for pair in path.windows(2) {
            prop_assert_eq!(&pair[0].indices[..], &pair[1].indices[..pair[0].indices.len()]);
        }
    }

    #[test]
    fn anchored_bounds_hold(
        (mut rows, d) in matrix(), centers in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        pivots in 0usize..6, offset in -1e4f32..1e4, stretch in 1e-3f32..1e3,
    ) {
        rows.iter_mut().for_each(|x| *x = *x * stretch + offset);
        let points = Points::new(&rows, d, None).unwrap();
        let job = Job::default();
        let shared = prepare(points, pivots, &job).unwrap();
        let scale = shared.frame.scale;
        let mut chosen = Centers::new(shared.frame.clone());
        centers.iter().for_each(|c| chosen.push(points.row(c.index(points.n()))));
        let mut delta = shared.far();
        shared.approach(&chosen, 0, &mut delta);
        let tight = shared.envelope(points, &delta, &job).unwrap();
        let paper = prepare(points, 0, &job).unwrap().paper_envelope(points, centers[0].index(points.n()), &job).unwrap();
        for i in 0..points.n() {
            let to = |c: usize| canon(points.row(i), scale, chosen.scaled(c));
            let nearest = (0..chosen.count()).map(to).fold(f32::INFINITY, f32::min);
            prop_assert!(tight.bound(i) >= nearest);
            prop_assert!(paper.bound(i) >= to(0));
        }
        let located = Prepared::locate(&shared.anchors, scale, &rows, d);
        prop_assert_eq!(located.1, shared.squares);
    }

    #[test]
    fn assignment_is_the_first_nearest_by_canon((rows, d) in matrix(), k in 1usize..40, offset in -1e4f32..1e4) {
        let rows: Vec<f32> = rows.iter().map(|x| x + offset).collect();
        let points = Points::new(&rows, d, None).unwrap();
        let centers: Vec<f32> = rows.iter().rev().copied().cycle().take(k * d).collect();
        let got = assign(points, &centers, &Job::default()).unwrap();
        for i in 0..points.n() {
            let distances: Vec<f32> =
                centers.chunks(d).map(|c| canon(points.row(i), got.scale, &scaled(c, got.scale))).collect();
            let best = (1..k).fold(0, |best, c| if distances[c] < distances[best] { c } else { best });
            prop_assert_eq!((got.labels[i] as usize, got.squares[i]), (best, distances[best]));
        }
    }

    #[test]
    fn powers_of_two_do_not_change_the_choice((rows, d) in matrix(), number: u64, exponent in -20i32..20) {
        let factor = 2f32.powi(exponent);
        let scaled: Vec<f32> = rows.iter().map(|x| x * factor).collect();
        let k = distinct(Points::new(&rows, d, None).unwrap());
        for method in [Method::Exact(Plan::default()), Method::Pass, Method::Greedy(3), Method::GreedyCoreset(3, 20)] {
            let choose = |rows: &[f32]| {
                seed(Points::new(rows, d, None).unwrap(), k, method, None, number, &Job::default()).unwrap().indices
            };
            prop_assert_eq!(choose(&rows), choose(&scaled));
        }
    }
}

fn scaled(center: &[f32], scale: f32) -> Vec<f32> {
    center.iter().map(|x| x * scale).collect()
}

#[test]
fn a_stopped_job_ends_every_method() {
    let rows: Vec<f64> = (0..4000).map(|i| f64::from(i * 7919 % 4001)).collect();
    let points = Points::new(&rows, 2, None).unwrap();
    let job = Job::default();
    job.stop();
    let exact = Method::Exact(Plan::default());
    for method in [exact, Method::Rejection(None, 0), Method::Pass, Method::Greedy(2), Method::GreedyCoreset(2, 50)] {
        assert_eq!(seed(points, 50, method, None, 0, &job), Err(Error::Interrupted));
    }
}

#[test]
fn bad_entries_are_reported_with_their_place() {
    let mut rows = vec![1.0f32; 5000 * 3];
    rows[4999 * 3 + 1] = f32::NAN;
    let points = Points::new(&rows, 3, None).unwrap();
    for method in [Method::Exact(Plan::default()), Method::Rejection(None, 0), Method::Pass, Method::Uniform] {
        let error = seed(points, 2, method, None, 0, &Job::default()).unwrap_err();
        assert_eq!(error.to_string(), "X must be finite, got NaN at row 4999, column 1");
    }
}

#[test]
fn extreme_magnitudes_are_rescaled() {
    for factor in [1e-40f32, 1e-25, 1e25, 3e37] {
        let rows: Vec<f32> = (0..40).map(|i| factor * (i % 10) as f32).collect();
        let points = Points::new(&rows, 1, None).unwrap();
        let got = seed(points, 10, Method::Exact(Plan::default()), None, 3, &Job::default()).unwrap();
        assert_eq!(got.drawn, 10, "{factor}");
        let shared = prepare(points, 3, &Job::default()).unwrap();
        assert!(shared.squares.iter().all(|x| x.is_finite()) && shared.frame.scale != f32::ONE, "{factor}");
    }
}

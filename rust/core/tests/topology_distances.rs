//! Distances between persistence diagrams against every matching of small ones.

use argrad_core::Job;
use argrad_core::topology::distances::{ASIDE, Bars, Cost, DIAGONAL, Norm, Partners, Point, match_diagrams, sliced};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The least cost over all ways to give the bars of `x` from `i` on partners among those of `y` that are left.
fn least(x: &[Point], y: &[Point], i: usize, left: &mut [bool], join: &dyn Fn(f64, f64) -> f64, norm: Norm) -> f64 {
    if i == x.len() {
        let rest = (0..y.len()).filter(|&j| left[j]).map(|j| norm.to_diagonal(y[j]));
        return rest.fold(0.0, join);
    }
    let mut best = join(norm.to_diagonal(x[i]), least(x, y, i + 1, left, join, norm));
    for j in 0..y.len() {
        if left[j] {
            left[j] = false;
            best = best.min(join(norm.between(x[i], y[j]), least(x, y, i + 1, left, join, norm)));
            left[j] = true;
        }
    }
    best
}

fn solve(x: &[Point], y: &[Point], cost: Cost) -> Partners {
    let groups = [vec![0; x.len()], vec![0; y.len()]];
    let bars = [Bars { points: x, groups: &groups[0] }, Bars { points: y, groups: &groups[1] }];
    match_diagrams(bars[0], bars[1], cost, &Job::default()).unwrap()
}

/// Bars on a coarse grid, with ties, or anywhere.
fn bars() -> impl Strategy<Value = Vec<Point>> {
    let end = prop_oneof![(0_i32..5).prop_map(f64::from), -2.0..2.0];
    prop::collection::vec([end.clone(), end], 0..5)
}

fn lengths(x: &[Point], y: &[Point], found: &Partners, norm: Norm) -> Vec<f64> {
    let mut moves = Vec::new();
    for (i, &j) in found.first.iter().enumerate() {
        if j == DIAGONAL {
            moves.push(norm.to_diagonal(x[i]));
        } else {
            assert_eq!(found.second[j as usize], i as i64);
            moves.push(norm.between(x[i], y[j as usize]));
        }
    }
    moves.extend((0..y.len()).filter(|&j| found.second[j] == DIAGONAL).map(|j| norm.to_diagonal(y[j])));
    moves
}

#[test]
fn norms_are_those_of_the_plane() {
    let (x, y, bar) = ([1.0, 2.0], [4.0, 6.0], [1.0, 4.0]);
    for (norm, p) in [(Norm::One, 1.0), (Norm::of(1.5), 1.5), (Norm::Two, 2.0), (Norm::of(3.0), 3.0)] {
        let power = |a: f64, b: f64| (a.powf(p) + b.powf(p)).powf(1.0 / p);
        assert!((norm.between(x, y) - power(3.0, 4.0)).abs() < 1e-12);
        assert!((norm.to_diagonal(bar) - power(1.5, 1.5)).abs() < 1e-12);
    }
    assert_eq!((Norm::Max.between(x, y), Norm::Max.to_diagonal(bar)), (4.0, 1.5));
    assert_eq!(Norm::Max.to_diagonal([-1e308, 1e308]), 1e308);
}

/// Bars with the same infinite end are matched in their order, and fewer of them on one side are infinitely far away.
#[test]
fn infinite_bars_lie_on_lines() {
    const FAR: f64 = f64::INFINITY;
    let x = [[3.0, FAR], [0.0, 1.0], [1.0, FAR], [2.0, -FAR]];
    let y = [[1.5, FAR], [-1.0, -FAR], [3.25, FAR]];
    let transport = Cost::Transport { order: 1.0, internal: Norm::Max };
    let found = solve(&x, &y, transport);
    assert_eq!(found.first, [2, DIAGONAL, 0, 1]);
    assert!((found.distance[0] - 4.25).abs() < 1e-12);
    assert!((solve(&x, &y, Cost::Bottleneck).distance[0] - 3.0).abs() < 1e-12);
    let groups = [0; 4];
    let bars = |points| Bars { points, groups: &groups[..<[_]>::len(points)] };
    let slices = sliced(bars(&x), bars(&y), 5, &Job::default()).unwrap();
    assert_eq!(slices.slopes[0][0], [-1.0, 0.0]);
    assert_eq!(slices.slopes[1][1], [-1.0, 0.0]);
    for (x, y) in [(&x[..], &y[..2]), (&x[2..3], &y[1..2]), (&x[..0], &y[..1])] {
        assert_eq!(solve(x, y, transport).distance, [FAR]);
        let shares = sliced(bars(x), bars(y), 5, &Job::default()).unwrap().shares;
        assert_eq!(shares.iter().flatten().sum::<f64>(), FAR);
    }
}

/// What belongs to no diagram may be anything; a NaN elsewhere is an error.
#[test]
fn bars_of_no_diagram_stand_aside() {
    let (x, y) = ([[f64::NAN, 1.0], [0.0, 2.0]], [[0.0, 2.0]]);
    let bars = |groups| Bars { points: &x, groups };
    let other = Bars { points: &y, groups: &[0] };
    let found = match_diagrams(bars(&[-1, 0]), other, Cost::Bottleneck, &Job::default()).unwrap();
    assert_eq!((found.first, found.distance), (vec![ASIDE, 0], vec![0.0]));
    assert!(match_diagrams(bars(&[0, 0]), other, Cost::Bottleneck, &Job::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn transport_is_the_best_of_all(x in bars(), y in bars(), power in 0_usize..3, p in 0_usize..4) {
        let (order, internal) = ([1.0, 2.0, 3.5][power], Norm::of([1.0, 1.5, 2.0, f64::INFINITY][p]));
        let found = solve(&x, &y, Cost::Transport { order, internal });
        let best = least(&x, &y, 0, &mut vec![true; y.len()], &|a, b| (a.powf(order) + b.powf(order)).powf(1.0 / order), internal);
        let own: f64 = lengths(&x, &y, &found, internal).iter().map(|a| a.powf(order)).sum::<f64>().powf(1.0 / order);
        let distance = found.distance.first().copied().unwrap_or(0.0);
        prop_assert!((distance - best).abs() < 1e-9, "{distance} {best}");
        prop_assert!((distance - own).abs() < 1e-9);
    }

    #[test]
    fn bottleneck_is_the_best_of_all(x in bars(), y in bars()) {
        let found = solve(&x, &y, Cost::Bottleneck);
        let best = least(&x, &y, 0, &mut vec![true; y.len()], &f64::max, Norm::Max);
        let own = lengths(&x, &y, &found, Norm::Max).into_iter().fold(0.0, f64::max);
        prop_assert_eq!(found.distance.first().copied().unwrap_or(0.0), best);
        prop_assert_eq!(own, best);
    }

    #[test]
    fn slopes_of_slices_are_those_of_the_distance(x in bars(), y in bars(), i in 0_usize..5) {
        let at = |x: &[Point]| {
            let groups = [vec![0; x.len()], vec![0; y.len()]];
            let bars = [Bars { points: x, groups: &groups[0] }, Bars { points: &y, groups: &groups[1] }];
            let found = sliced(bars[0], bars[1], 9, &Job::default()).unwrap();
            (found.shares.iter().flatten().sum::<f64>(), found.slopes)
        };
        let (value, slopes) = at(&x);
        prop_assert!(value >= 0.0);
        prop_assume!(i < x.len());
        let mut moved = x.clone();
        moved[i][0] += 1e-7;
        let (other, again) = at(&moved);
        prop_assume!(again == slopes);
        prop_assert!((other - value - 1e-7 * slopes[0][i][0]).abs() < 1e-12);
    }
}

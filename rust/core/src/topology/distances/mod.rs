//! Distances between persistence diagrams, as the matchings that attain them.
//!
//! A diagram is a list of bars; bars of many diagrams lie in one array, each with the number of its group (an image and
//! a degree). Bars with an infinite end are matched among those with the same infinite ends, in the order of the other
//! end, which is optimal because they lie on a line; different numbers of them are infinitely far apart.

mod bottleneck;
mod kd;
mod sliced;
mod transport;

pub use sliced::{Slices, sliced};

use crate::error::{Result, invalid};
use crate::job::Job;
use rayon::prelude::*;

/// Birth and death.
pub type Point = [f64; 2];

/// The partner of a bar that is matched to the diagonal.
pub const DIAGONAL: i64 = -1;
/// The partner of a bar that takes no part.
pub const ASIDE: i64 = -2;

/// Bars of many diagrams.
#[derive(Debug, Clone, Copy)]
pub struct Bars<'a> {
    /// Birth and death of each.
    pub points: &'a [Point],
    /// The number of the diagram that each belongs to; negative: of none.
    pub groups: &'a [i64],
}

/// What a matching costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cost {
    /// (SUM of distances to the power of `order`) to the power of 1 / `order`; distances in the norm `internal`.
    Transport {
        /// >= 1, finite.
        order: f64,
        /// Norm of differences.
        internal: Norm,
    },
    /// The largest distance, in the norm of the maximum.
    Bottleneck,
}

/// The norm of a difference of two bars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    /// The larger of the two differences.
    Max,
    /// Their sum.
    One,
    /// The root of the sum of their squares.
    Two,
    /// The exponent > 1.
    Power(f64),
}

/// An optimal matching.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partners {
    /// The place of each first bar's partner among the second bars, [`DIAGONAL`] or [`ASIDE`].
    pub first: Vec<i64>,
    /// The same for the second bars.
    pub second: Vec<i64>,
    /// The distance of each pair of diagrams, up to the last one that has a bar.
    pub distance: Vec<f64>,
}

/// Matches of one pair of diagrams, as places in the whole lists; and the distance.
struct Found {
    pairs: Vec<(usize, usize)>,
    distance: f64,
}

impl Norm {
    /// The norm with this exponent.
    #[must_use]
    pub fn of(exponent: f64) -> Self {
        match exponent {
            1.0 => Self::One,
            2.0 => Self::Two,
            p if p.is_infinite() => Self::Max,
            p => Self::Power(p),
        }
    }

    /// The distance of two bars.
    #[must_use]
    #[inline]
    pub fn between(self, x: Point, y: Point) -> f64 {
        let (b, d) = ((x[0] - y[0]).abs(), (x[1] - y[1]).abs());
        match self {
            Self::Max => b.max(d),
            Self::One => b + d,
            Self::Two => b.hypot(d),
            Self::Power(p) => {
                let (small, large) = if b < d { (b, d) } else { (d, b) };
                if large == 0.0 { 0.0 } else { large * ((small / large).powf(p) + 1.0).powf(1.0 / p) }
            }
        }
    }

    /// The distance of a bar to the diagonal.
    #[must_use]
    #[inline]
    pub fn to_diagonal(self, x: Point) -> f64 {
        // Halves first: the difference of huge ends may overflow.
        let half = (x[0] / 2.0 - x[1] / 2.0).abs();
        match self {
            Self::Max => half,
            Self::One => 2.0 * half,
            Self::Two => std::f64::consts::SQRT_2 * half,
            Self::Power(p) => (1.0 / p).exp2() * half,
        }
    }
}

impl Bars<'_> {
    fn check(&self, argument: &str) -> Result<()> {
        let bad = |(i, point): (usize, &Point)| {
            (self.groups[i] >= 0 && point.iter().any(|x| x.is_nan())).then_some((i, *point))
        };
        match self.points.iter().enumerate().find_map(bad) {
            Some((i, [b, d])) => Err(invalid!("{argument} must be bars without NaN, got ({b}, {d}) at place {i}")),
            None => Ok(()),
        }
    }

    /// The places of the bars of each group.
    fn members(&self, count: usize) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); count];
        for (i, &group) in self.groups.iter().enumerate().filter(|(_, group)| **group >= 0) {
            members[group as usize].push(i);
        }
        members
    }
}

fn count(first: &Bars, second: &Bars) -> usize {
    first.groups.iter().chain(second.groups).map(|group| group + 1).max().unwrap_or(0).max(0) as usize
}

/// An optimal matching of every pair of diagrams.
///
/// # Errors
/// [`crate::Error::Invalid`] for a NaN; [`crate::Error::Interrupted`].
pub fn match_diagrams(first: Bars, second: Bars, cost: Cost, job: &Job) -> Result<Partners> {
    first.check("first")?;
    second.check("second")?;
    let count = count(&first, &second);
    let members: Vec<_> = first.members(count).into_iter().zip(second.members(count)).collect();
    let found: Result<Vec<Found>> =
        members.into_par_iter().map(|(a, b)| match_one(&first, &a, &second, &b, cost, job)).collect();
    let start = |bars: &Bars| bars.groups.iter().map(|&group| if group < 0 { ASIDE } else { DIAGONAL }).collect();
    let mut out = Partners { first: start(&first), second: start(&second), distance: Vec::with_capacity(count) };
    for found in found? {
        for (i, j) in found.pairs {
            out.first[i] = j as i64;
            out.second[j] = i as i64;
        }
        out.distance.push(found.distance);
    }
    Ok(out)
}

fn match_one(first: &Bars, a: &[usize], second: &Bars, b: &[usize], cost: Cost, job: &Job) -> Result<Found> {
    let (mut pairs, same) = infinite(first.points, a, second.points, b);
    let norm = if let Cost::Transport { internal, .. } = cost { internal } else { Norm::Max };
    // Distances of bars on a line of infinite ones: that of their finite ends.
    let mut lengths: Vec<f64> = pairs.iter().map(|&(i, j)| on_line(first.points[i], second.points[j])).collect();
    let (a, b) = (finite(first.points, a), finite(second.points, b));
    let (x, y): (Vec<_>, Vec<_>) = (gather(first.points, &a), gather(second.points, &b));
    let partners = match cost {
        Cost::Transport { order, internal } => transport::partners(&x, &y, order, internal, job)?,
        Cost::Bottleneck => bottleneck::partners(&x, &y, job)?,
    };
    let mut alone = vec![true; y.len()];
    for (i, &j) in partners.iter().enumerate() {
        if let Some(j) = j {
            pairs.push((a[i], b[j]));
            alone[j] = false;
            lengths.push(norm.between(x[i], y[j]));
        } else {
            lengths.push(norm.to_diagonal(x[i]));
        }
    }
    lengths.extend((0..y.len()).filter(|&j| alone[j]).map(|j| norm.to_diagonal(y[j])));
    let order = if let Cost::Transport { order, .. } = cost { order } else { f64::INFINITY };
    let distance = if same { total(&lengths, order) } else { f64::INFINITY };
    Ok(Found { pairs, distance })
}

/// The norm of nonnegative numbers; scaled, so that no power overflows.
fn total(lengths: &[f64], order: f64) -> f64 {
    let largest = lengths.iter().copied().fold(0.0, f64::max);
    if order.is_infinite() || largest == 0.0 || largest.is_infinite() {
        return largest;
    }
    let sum: f64 = lengths.iter().map(|x| (x / largest).powf(order)).sum();
    largest * sum.powf(1.0 / order)
}

fn gather(points: &[Point], places: &[usize]) -> Vec<Point> {
    places.iter().map(|&i| points[i]).collect()
}

/// Bars off the diagonal with finite ends. A bar on the diagonal never needs a partner.
fn finite(points: &[Point], places: &[usize]) -> Vec<usize> {
    places
        .iter()
        .copied()
        .filter(|&i| points[i].iter().all(|x| x.is_finite()) && points[i][0] != points[i][1])
        .collect()
}

/// Which ends are infinite, and the finite one.
fn line(point: Point) -> ([i8; 2], f64) {
    let side = |x: f64| if x.is_finite() { 0 } else { x.signum() as i8 };
    let ends = [side(point[0]), side(point[1])];
    (
        ends,
        if ends[0] == 0 {
            point[0]
        } else if ends[1] == 0 {
            point[1]
        } else {
            0.0
        },
    )
}

/// The distance of two bars with the same infinite ends.
fn on_line(x: Point, y: Point) -> f64 {
    (line(x).1 - line(y).1).abs()
}

/// The matches among the bars with infinite ends, and whether none is left over.
fn infinite(x: &[Point], a: &[usize], y: &[Point], b: &[usize]) -> (Vec<(usize, usize)>, bool) {
    let sorted = |points: &[Point], places: &[usize]| {
        let on = |&i: &usize| points[i].iter().any(|x| x.is_infinite()) && points[i][0] != points[i][1];
        let mut found: Vec<_> = places.iter().copied().filter(on).map(|i| (line(points[i]), i)).collect();
        found.sort_by(|l, r| l.0.0.cmp(&r.0.0).then(l.0.1.total_cmp(&r.0.1)).then(l.1.cmp(&r.1)));
        found
    };
    let (left, right) = (sorted(x, a), sorted(y, b));
    let (mut pairs, mut i, mut j) = (Vec::new(), 0, 0);
    while i < left.len() && j < right.len() {
        match left[i].0.0.cmp(&right[j].0.0) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                pairs.push((left[i].1, right[j].1));
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    let same = pairs.len() == left.len() && pairs.len() == right.len();
    (pairs, same)
}

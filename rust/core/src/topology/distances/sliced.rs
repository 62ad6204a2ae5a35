//! The sliced Wasserstein distance: the mean over directions of the transport of the bars' projections on a line, where
//! each diagram is completed by the other's bars put on the diagonal.
//!
//! The transport on a line is the sum of the distances between equal ranks. It is linear in the bars as long as no order
//! changes, so what is computed is its slope: the distance is the scalar product of slopes and bars.

use super::{Bars, Point, count, finite, gather, infinite, on_line};
use crate::error::Result;
use crate::job::Job;
use rayon::prelude::*;

/// The distance as a sum over bars, and its gradient to them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slices {
    /// What each first bar contributes, then each second bar.
    pub shares: [Vec<f64>; 2],
    /// The derivatives to birth and death.
    pub slopes: [Vec<Point>; 2],
}

/// The sliced Wasserstein distance of every pair of diagrams.
///
/// # Errors
/// [`crate::Error::Invalid`] for a NaN; [`crate::Error::Interrupted`].
pub fn sliced(first: Bars, second: Bars, directions: usize, job: &Job) -> Result<Slices> {
    first.check("first")?;
    second.check("second")?;
    let count = count(&first, &second);
    let members: Vec<_> = first.members(count).into_iter().zip(second.members(count)).collect();
    let found: Result<Vec<Slices>> = members
        .par_iter()
        .map(|(a, b)| {
            let (a, b) = (finite(first.points, a), finite(second.points, b));
            slice_one(&gather(first.points, &a), &gather(second.points, &b), directions, job)
        })
        .collect();
    let size = [first.points.len(), second.points.len()];
    let mut out = Slices { shares: size.map(|n| vec![0.0; n]), slopes: size.map(|n| vec![[0.0; 2]; n]) };
    for ((a, b), found) in members.iter().zip(found?) {
        let places = [finite(first.points, a), finite(second.points, b)];
        for side in 0..2 {
            for (k, &i) in places[side].iter().enumerate() {
                out.shares[side][i] = found.shares[side][k];
                out.slopes[side][i] = found.slopes[side][k];
            }
        }
        add_infinite(&first, a, &second, b, &mut out);
    }
    Ok(out)
}

/// Bars with an infinite end lie on a line: their transport is that of the other end, in every direction.
fn add_infinite(first: &Bars, a: &[usize], second: &Bars, b: &[usize], out: &mut Slices) {
    let (pairs, same) = infinite(first.points, a, second.points, b);
    for &(i, j) in &pairs {
        out.shares[0][i] = on_line(first.points[i], second.points[j]);
        for k in 0..2 {
            let (x, y) = (first.points[i][k], second.points[j][k]);
            let sign = if x == y { 0.0 } else { (x - y).signum() };
            (out.slopes[0][i][k], out.slopes[1][j][k]) = (sign, -sign);
        }
    }
    if !same {
        let shares = if let Some(&i) = a.first() { &mut out.shares[0][i] } else { &mut out.shares[1][b[0]] };
        *shares = f64::INFINITY;
    }
}

/// A projection, and the bar it is of: those of the second diagram after those of the first.
type Projection = (f64, u32);

fn slice_one(x: &[Point], y: &[Point], directions: usize, job: &Job) -> Result<Slices> {
    // A common shift along the diagonal changes nothing and keeps the digits that count.
    let ends = || x.iter().chain(y).flatten().copied();
    let center = ends().fold(f64::INFINITY, f64::min) / 2.0 + ends().fold(f64::NEG_INFINITY, f64::max) / 2.0;
    let bars: Vec<Point> = x.iter().chain(y).map(|&[b, d]| [b - center, d - center]).collect();
    let mut slopes = vec![[0.0; 2]; bars.len()];
    let (mut own, mut other): (Vec<Projection>, Vec<Projection>) = (Vec::new(), Vec::new());
    for k in 0..directions {
        job.check()?;
        let angle = std::f64::consts::PI * (k as f64 / directions as f64 - 0.5);
        let (sine, cosine) = angle.sin_cos();
        own.clear();
        other.clear();
        for (i, &[birth, death]) in bars.iter().enumerate() {
            let direct = (birth * cosine + death * sine, i as u32);
            let flat = (f64::midpoint(birth, death) * (cosine + sine), i as u32);
            own.push(if i < x.len() { direct } else { flat });
            other.push(if i < x.len() { flat } else { direct });
        }
        for list in [&mut own, &mut other] {
            list.sort_unstable_by(|l, r| l.0.total_cmp(&r.0).then(l.1.cmp(&r.1)));
        }
        let mut push = |(_, i): Projection, sign: f64, direct: bool| {
            let flat = f64::midpoint(cosine, sine);
            let [birth, death] = if direct { [cosine, sine] } else { [flat, flat] };
            slopes[i as usize][0] += sign * birth;
            slopes[i as usize][1] += sign * death;
        };
        for (&a, &b) in own.iter().zip(&other).filter(|(a, b)| a.0 != b.0) {
            let sign = if a.0 > b.0 { 1.0 } else { -1.0 };
            push(a, sign, (a.1 as usize) < x.len());
            push(b, -sign, (b.1 as usize) >= x.len());
        }
    }
    let scale = 1.0 / directions as f64;
    slopes.iter_mut().flatten().for_each(|slope| *slope *= scale);
    let shares: Vec<f64> = slopes.iter().zip(&bars).map(|(s, bar)| s[0] * bar[0] + s[1] * bar[1]).collect();
    let split = |list: &[f64]| [list[..x.len()].to_vec(), list[x.len()..].to_vec()];
    Ok(Slices { shares: split(&shares), slopes: [slopes[..x.len()].to_vec(), slopes[x.len()..].to_vec()] })
}

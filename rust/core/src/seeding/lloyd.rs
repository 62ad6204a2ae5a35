//! Lloyd's k-means, kept small: assign, average, repeat.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::assign::{Assigned, assign};
use crate::seeding::envelope::{Envelope, NO_HOME};
use crate::seeding::points::{BLOCK, Points};
use crate::seeding::streams;
use rayon::prelude::*;

/// A finished clustering.
#[derive(Debug, Clone)]
pub struct Clustering<T> {
    /// Row-major, `k x d`.
    pub centers: Vec<T>,
    /// Nearest centre of every row.
    pub labels: Vec<u32>,
    /// `sum a_i |x_i - c(i)|^2` for these centres and labels.
    pub potential: f64,
    /// Updates of the centres.
    pub iterations: usize,
}

/// Improves `centers` until the labels stay, the potential falls by less than `tol` of itself, or `max_iter` updates.
///
/// A cluster that lost all its rows restarts from a row drawn in proportion to `a_i D^2`.
///
/// # Errors
/// As [`assign`].
pub fn lloyd<T: Real>(
    points: Points<'_, T>,
    mut centers: Vec<T>,
    max_iter: usize,
    tol: f64,
    seed: u64,
    job: &Job,
) -> Result<Clustering<T>> {
    let mut now = assign(points, &centers, job)?;
    let mut potential = potential(points, &now);
    let mut iterations = 0;
    while iterations < max_iter {
        job.check()?;
        let mut moved = means(points, &centers, &now.labels);
        reseed_empty(
            points,
            &mut moved,
            &now,
            centers.len() / points.d(),
            Stream::new(seed, streams::EMPTY),
            iterations,
            job,
        )?;
        let next = assign(points, &moved, job)?;
        let lower = self::potential(points, &next);
        if lower > potential {
            break; // rounding: the centres at hand are already optimal to the last bits
        }
        iterations += 1;
        let settled = next.labels == now.labels || potential - lower <= tol * potential;
        (centers, now, potential) = (moved, next, lower);
        if settled {
            break;
        }
    }
    Ok(Clustering { centers, labels: now.labels, potential, iterations })
}

/// `sum a_i D^2_i`, in row order inside blocks and in block order.
#[must_use]
pub fn potential<T: Real>(points: Points<'_, T>, assigned: &Assigned<T>) -> f64 {
    let block = |(b, squares): (usize, &[T])| -> f64 {
        squares.iter().enumerate().map(|(j, x)| points.weight(b * BLOCK + j) * x.wide()).sum()
    };
    let sums: Vec<f64> = assigned.squares.par_chunks(BLOCK).enumerate().map(block).collect();
    sums.iter().sum::<f64>() / assigned.scale.wide().powi(2)
}

/// Rows sorted by label (row order inside), and where each label's rows start.
fn grouped(labels: &[u32], k: usize) -> (Vec<u32>, Vec<usize>) {
    let mut starts = vec![0; k + 1];
    labels.iter().for_each(|&label| starts[label as usize + 1] += 1);
    (0..k).for_each(|c| starts[c + 1] += starts[c]);
    let mut next = starts.clone();
    let mut order = vec![0; labels.len()];
    for (i, &label) in labels.iter().enumerate() {
        order[next[label as usize]] = i as u32;
        next[label as usize] += 1;
    }
    (order, starts)
}

/// The weighted mean of each cluster, summed in `f64` in row order; a cluster without weight keeps its centre.
fn means<T: Real>(points: Points<'_, T>, centers: &[T], labels: &[u32]) -> Vec<T> {
    let d = points.d();
    let (order, starts) = grouped(labels, centers.len() / d);
    let mut out = centers.to_vec();
    out.par_chunks_mut(d).enumerate().for_each(|(c, center)| {
        let mut sum = vec![0.0; d];
        let mut mass = 0.0;
        for &i in &order[starts[c]..starts[c + 1]] {
            let a = points.weight(i as usize);
            mass += a;
            sum.iter_mut().zip(points.row(i as usize)).for_each(|(s, x)| *s += a * x.wide());
        }
        if mass > 0.0 {
            center.iter_mut().zip(sum).for_each(|(c, s)| *c = T::of(s / mass));
        }
    });
    out
}

fn reseed_empty<T: Real>(
    points: Points<'_, T>,
    centers: &mut [T],
    assigned: &Assigned<T>,
    k: usize,
    stream: Stream,
    iteration: usize,
    job: &Job,
) -> Result<()> {
    let mut filled = vec![false; k];
    for (i, &label) in assigned.labels.iter().enumerate() {
        filled[label as usize] |= points.weight(i) > 0.0;
    }
    let empty: Vec<usize> = (0..k).filter(|&c| !filled[c]).collect();
    if empty.is_empty() {
        return Ok(());
    }
    let squares = &assigned.squares;
    let envelope = Envelope::new(points, NO_HOME, job, |first, bounds| {
        bounds.copy_from_slice(&squares[first..first + bounds.len()]);
    })?;
    if envelope.total() <= 0.0 {
        return Ok(());
    }
    for c in empty {
        let row = envelope.at(stream.uniform((iteration * k + c) as u64));
        centers[c * points.d()..(c + 1) * points.d()].copy_from_slice(points.row(row));
    }
    Ok(())
}

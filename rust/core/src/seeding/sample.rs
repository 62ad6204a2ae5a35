//! Rows drawn in proportion to `a_i D^2(x_i, C)` for given centres, by the rejection that seeds k-means++.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::anchors::Prepared;
use crate::seeding::assign::assign;
use crate::seeding::envelope::{Envelope, NO_HOME};
use crate::seeding::points::Points;
use crate::seeding::score::{Centers, Shifted};
use crate::seeding::streams;

const BATCH: usize = 2048;
/// Proposals per row beyond which one pass over the rows is cheaper than going on.
const MAX_RATE: usize = 64;

/// Draws `size` rows independently (repeats are possible).
///
/// # Errors
/// When every row coincides with a centre; as [`assign`] otherwise.
pub fn sample<T: Real>(
    points: Points<'_, T>,
    prepared: &Prepared<T>,
    rows: &[T],
    size: usize,
    seed: u64,
    job: &Job,
) -> Result<Vec<usize>> {
    Points::new(rows, points.d(), None)?.check_finite("centers", job)?;
    let mut centers = Centers::new(prepared.frame.clone());
    rows.chunks_exact(points.d()).for_each(|center| centers.push(center));
    let mut delta = prepared.far();
    prepared.approach(&centers, 0, &mut delta);
    let envelope = prepared.envelope(points, &delta, job)?;
    let (propose, accept) = (Stream::new(seed, streams::SAMPLE), Stream::new(seed, streams::SAMPLE_ACCEPT));
    let mut out = Vec::with_capacity(size);
    let mut first = 0;
    while out.len() < size && envelope.total() > 0.0 {
        job.check()?;
        let drawn = envelope.draw(propose, first, BATCH);
        let limit = |t: usize| accept.uniform(first + t as u64) * envelope.bound(drawn[t]).wide();
        let shifted = Shifted::gather(&points, &drawn, centers.frame());
        let near = centers.nearest(0..centers.count(), &shifted, |t| points.row(drawn[t]), limit);
        let accepted = drawn.iter().zip(near).filter_map(|(&row, near)| near.is_none().then_some(row));
        out.extend(accepted.take(size - out.len()));
        first += BATCH as u64;
        if first as usize > MAX_RATE * (out.len() + BATCH) {
            return by_pass(points, rows, size, seed, job);
        }
    }
    if out.len() < size { by_pass(points, rows, size, seed, job) } else { Ok(out) }
}

fn by_pass<T: Real>(points: Points<'_, T>, rows: &[T], size: usize, seed: u64, job: &Job) -> Result<Vec<usize>> {
    let assigned = assign(points, rows, job)?;
    let exact = Envelope::new(points, NO_HOME, job, |first, bounds| {
        bounds.copy_from_slice(&assigned.squares[first..first + bounds.len()]);
    })?;
    if exact.total() <= 0.0 {
        return Err(invalid!("centers must leave a row of positive weight at a positive distance, got none"));
    }
    // Past the proposal numbers that the rejection may have used.
    Ok(exact.draw(Stream::new(seed, streams::SAMPLE), 1 << 62, size))
}

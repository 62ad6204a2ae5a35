//! The reference law: k-means++ by one pass over the rows per centre.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::envelope::Envelope;
use crate::seeding::fill::fill_up;
use crate::seeding::plan::Seeded;
use crate::seeding::points::Points;
use crate::seeding::start::{first_center, from_first};
use crate::seeding::streams;

/// k-means++ as Arthur and Vassilvitskii wrote it: O(n k d).
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn seed<T: Real>(points: Points<'_, T>, k: usize, seed: u64, job: &Job) -> Result<Seeded> {
    let first = first_center(points, seed, job)?;
    let (mut envelope, frame) = from_first(points, first, job)?;
    let mut out = Seeded { indices: vec![first], first_total: envelope.total(), ..Seeded::default() };
    let stream = Stream::new(seed, streams::PROPOSAL);
    job.expect(k);
    while out.indices.len() < k && envelope.total() > 0.0 {
        let row = envelope.at(stream.uniform(out.proposals));
        out.proposals += 1;
        lower_to(&mut envelope, points, row, out.indices.len(), frame.scale, job)?;
        out.indices.push(row);
        job.reached(out.indices.len());
    }
    out.drawn = out.indices.len();
    out.potential = envelope.total() / frame.scale.wide().powi(2);
    fill_up(points, &mut out.indices, k, seed);
    Ok(out)
}

/// `w_i = min(w_i, canon(x_i, x_row))` for every row.
fn lower_to<T: Real>(
    envelope: &mut Envelope<'_, T>,
    points: Points<'_, T>,
    row: usize,
    number: usize,
    scale: T,
    job: &Job,
) -> Result<()> {
    let center = points.scaled(row, scale);
    envelope.lower_all(job, |start, bounds, homes| {
        let mut distances = vec![T::ZERO; bounds.len()];
        T::canon_rows(points.range(start, start + bounds.len()), scale, &center, &mut distances);
        for ((bound, home), distance) in bounds.iter_mut().zip(homes).zip(distances) {
            if distance < *bound {
                (*bound, *home) = (distance, number as u32);
            }
        }
        Ok(())
    })
}

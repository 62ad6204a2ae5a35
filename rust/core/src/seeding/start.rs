//! Before the first batch: the first centre, the scale, and the envelope it gives.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::envelope::{Envelope, draw_by_weight};
use crate::seeding::points::{Points, power_of_two_for};
use crate::seeding::score::Frame;
use crate::seeding::streams;
use rayon::prelude::*;

/// The first centre in proportion to the weights.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn first_center<T: Real>(points: Points<'_, T>, seed: u64, job: &Job) -> Result<usize> {
    draw_by_weight(points, Stream::new(seed, streams::FIRST).uniform(0), job)
}

/// The envelope `w_i = canon(x_i, c_1)`: one pass over the rows, which also finds NaN and infinities.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn from_first<'a, T: Real>(points: Points<'a, T>, first: usize, job: &Job) -> Result<(Envelope<'a, T>, Frame<T>)> {
    let build = |scale: T| {
        let center = points.scaled(first, scale);
        let envelope = Envelope::new(points, 0, job, |start, bounds| {
            T::canon_rows(points.range(start, start + bounds.len()), scale, &center, bounds);
        })?;
        Ok((envelope, Frame { scale, origin: center }))
    };
    let (envelope, frame) = build(T::ONE)?;
    match rescue(points, first, envelope.bounds(), job)? {
        None => Ok((envelope, frame)),
        Some(scale) => build(scale),
    }
}

/// Decides from first distances whether a scale is needed, and which; reports NaN and infinities.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn rescue<T: Real>(points: Points<'_, T>, reference: usize, distances: &[T], job: &Job) -> Result<Option<T>> {
    let worst = distances.par_chunks(super::points::BLOCK).map(largest).reduce(|| T::ZERO, larger);
    if !worst.is_finite() {
        points.check_finite("X", job)?;
    }
    let (low, high) = (libm::ldexp(1.0, -T::EXPONENT), libm::ldexp(1.0, T::EXPONENT));
    if (low..=high).contains(&worst.wide()) {
        return Ok(None);
    }
    let reach = points.reach(points.row(reference), job)?;
    Ok(if reach > 0.0 { Some(power_of_two_for(reach)) } else { None })
}

fn largest<T: Real>(values: &[T]) -> T {
    values.iter().copied().fold(T::ZERO, larger)
}

/// The larger; anything that is not finite counts as infinite.
fn larger<T: Real>(a: T, b: T) -> T {
    if !a.is_finite() || !b.is_finite() {
        T::INFINITY
    } else if b > a {
        b
    } else {
        a
    }
}

//! Before the first batch: the first centre, the scale, and the envelope it gives.

use crate::error::Result;
use crate::job::Job;
use crate::real::{Real, canon};
use crate::rng::Stream;
use crate::seeding::envelope::{Envelope, NO_HOME, draw_by_weight};
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

/// What many seedings share: the mean and every row's squared distance to it.
#[derive(Debug, Clone)]
pub struct Prepared<T> {
    /// Scale, and the weighted mean times the scale as origin.
    pub frame: Frame<T>,
    /// Canonical squared distances to the mean, scaled.
    pub norms: Vec<T>,
}

/// Measures every row's distance to the mean: the only passes over the rows that the norm envelope needs.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn prepare<T: Real>(points: Points<'_, T>, job: &Job) -> Result<Prepared<T>> {
    let build = |scale: T| {
        let origin = points.mean(scale, job)?;
        let mut norms = vec![T::ZERO; points.n()];
        norms.par_chunks_mut(super::points::BLOCK).enumerate().try_for_each(|(block, norms)| {
            job.check()?;
            let start = block * super::points::BLOCK;
            T::canon_rows(points.range(start, start + norms.len()), scale, &origin, norms);
            Ok::<_, crate::Error>(())
        })?;
        Ok(Prepared { frame: Frame { scale, origin }, norms })
    };
    let prepared = build(T::ONE)?;
    match rescue(points, 0, &prepared.norms, job)? {
        None => Ok(prepared),
        Some(scale) => build(scale),
    }
}

/// The norm envelope's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// `(|x - m| + |c_1 - m|)^2`, the triangle inequality itself.
    Triangle,
    /// `2 (|x - m|^2 + |c_1 - m|^2)`, the bound of the RS-k-means++ paper; never smaller.
    Paper,
}

/// The envelope that needs no pass over the rows: norms about the mean and one number of the first centre.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn from_norms<'a, T: Real>(
    points: Points<'a, T>,
    prepared: &Prepared<T>,
    first: usize,
    shape: Norm,
    job: &Job,
) -> Result<Envelope<'a, T>> {
    let own = canon(points.row(first), prepared.frame.scale, &prepared.frame.origin).wide();
    from_norms_about(points, prepared, own, shape, job)
}

/// [`from_norms`] for any centre whose squared distance to the mean is `own`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn from_norms_about<'a, T: Real>(
    points: Points<'a, T>,
    prepared: &Prepared<T>,
    own: f64,
    shape: Norm,
    job: &Job,
) -> Result<Envelope<'a, T>> {
    let inflation = norm_inflation::<T>(points.d());
    Envelope::new(points, NO_HOME, job, |start, bounds| {
        for (bound, norm) in bounds.iter_mut().zip(&prepared.norms[start..]) {
            let value = match shape {
                Norm::Triangle => triangle(norm.wide(), own),
                Norm::Paper => 2.0 * (norm.wide() + own),
            };
            *bound = T::of(value * inflation);
        }
    })
}

/// `(|x - m| + |c - m|)^2` from the two squares.
#[inline]
#[must_use]
pub fn triangle(norm: f64, own: f64) -> f64 {
    norm + own + 2.0 * (norm * own).sqrt()
}

/// Keeps `w_i >= canon(x_i, c)` under the rounding of both norms, of `canon` and of the formulas above.
#[must_use]
pub fn norm_inflation<T: Real>(d: usize) -> f64 {
    1.0 + 4.0 * (d.div_ceil(T::LANES) + 12) as f64 * T::UNIT
}

/// Decides from first distances whether a scale is needed, and which; reports NaN and infinities.
fn rescue<T: Real>(points: Points<'_, T>, reference: usize, distances: &[T], job: &Job) -> Result<Option<T>> {
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

//! Greedy seeding on a coreset: the quality of greedy k-means++ at a fraction of its cost.
//!
//! A lightweight coreset (half uniform, half in proportion to the squared distance to the mean) stands for all rows.
//! Greedy k-means++ on it overfits: a candidate is itself a row of the coreset, and the distance that it removes there
//! counts with its full weight though it stands for one row only. So a candidate's own row is left out of its score.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::envelope::{Envelope, NO_HOME};
use crate::seeding::exact::Seeded;
use crate::seeding::fill::fill_up;
use crate::seeding::greedy::lowest;
use crate::seeding::panels::Panels;
use crate::seeding::points::Points;
use crate::seeding::score::{Frame, Shifted};
use crate::seeding::start::prepare;
use crate::seeding::streams;

/// Rows of the coreset for every centre, and at least.
const ROWS_PER_CENTER: usize = 50;
const MIN_ROWS: usize = 20_000;

/// A weighted sample that stands for all rows.
pub struct Coreset {
    /// Rows, ascending, each once.
    pub indices: Vec<usize>,
    /// Weights, unbiased.
    pub weights: Vec<f64>,
}

/// Draws a lightweight coreset of at most `size` distinct rows, systematically, given squared distances to the mean.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn lightweight<T: Real>(points: Points<'_, T>, norms: &[T], size: usize, seed: u64, job: &Job) -> Result<Coreset> {
    if size >= points.n() {
        let indices: Vec<usize> = (0..points.n()).filter(|&i| points.weight(i) > 0.0).collect();
        let weights = indices.iter().map(|&i| points.weight(i)).collect();
        return Ok(Coreset { indices, weights });
    }
    let mass = Envelope::new(points, NO_HOME, job, |_, bounds| bounds.fill(T::ONE))?.total();
    let spread = Envelope::new(points, NO_HOME, job, |first, bounds| {
        bounds.copy_from_slice(&norms[first..first + bounds.len()]);
    })?;
    let mean = (spread.total() / mass).max(f64::MIN_POSITIVE);
    // Proportional to 1/2 * a / A + 1/2 * a v / sum(a v), up to a factor.
    let score = Envelope::new(points, NO_HOME, job, |first, bounds| {
        for (bound, norm) in bounds.iter_mut().zip(&norms[first..]) {
            *bound = T::of(1.0 + norm.wide() / mean);
        }
    })?;
    let shift = Stream::new(seed, streams::CORESET).uniform(0);
    let mut out = Coreset { indices: Vec::with_capacity(size), weights: Vec::with_capacity(size) };
    for j in 0..size {
        let row = score.at((j as f64 + shift) / size as f64);
        let weight = score.total() / (size as f64 * score.bound(row).wide());
        if out.indices.last() == Some(&row) {
            *out.weights.last_mut().expect("indices and weights grow together") += weight;
        } else {
            out.indices.push(row);
            out.weights.push(weight);
        }
    }
    Ok(out)
}

/// Greedy k-means++ on a lightweight coreset of `size` rows (0 for the default): O(n d + size k d).
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn seed<T: Real>(
    points: Points<'_, T>,
    k: usize,
    trials: usize,
    size: usize,
    seed: u64,
    job: &Job,
) -> Result<Seeded> {
    let size = if size == 0 { MIN_ROWS.max(ROWS_PER_CENTER * k) } else { size };
    let prepared = prepare(points, job)?;
    let coreset = lightweight(points, &prepared.norms, size.max(k), seed, job)?;
    let mut out = greedy(points, &coreset, &prepared.frame, k, trials, seed, job)?;
    out.drawn = out.indices.len();
    fill_up(points, &mut out.indices, k, seed);
    Ok(out)
}

fn greedy<T: Real>(
    points: Points<'_, T>,
    coreset: &Coreset,
    frame: &Frame<T>,
    k: usize,
    trials: usize,
    seed: u64,
    job: &Job,
) -> Result<Seeded> {
    let shifted = Shifted::gather(&points, &coreset.indices, frame);
    let panels = Panels::new(&shifted, points.d());
    // The envelope sums and draws; its rows are the coreset's.
    let sample = Points::new(&shifted.rows, points.d(), Some(&coreset.weights))?;
    let mut scores = panels.scores(trials);
    let mut envelope = Envelope::new(sample, NO_HOME, job, |_, bounds| bounds.fill(T::ONE))?;
    let stream = Stream::new(seed, streams::TRIAL);
    let first = envelope.at(Stream::new(seed, streams::FIRST).uniform(0));
    panels.measure(&[first], None, &coreset.weights, &mut scores, job)?;
    envelope = Envelope::new(sample, NO_HOME, job, |start, bounds| scores.copy_distances(0, start, bounds))?;
    let mut out = Seeded { indices: vec![coreset.indices[first]], first_total: envelope.total(), ..Seeded::default() };
    job.expect(k);
    while out.indices.len() < k && envelope.total() > 0.0 {
        let draw = |t| envelope.at(stream.uniform(out.proposals + t as u64));
        let rows: Vec<usize> = (0..trials).map(draw).collect();
        out.proposals += trials as u64;
        panels.measure(&rows, Some(envelope.bounds()), &coreset.weights, &mut scores, job)?;
        let losses: Vec<f64> = rows
            .iter()
            .zip(scores.gains())
            .map(|(&row, gain)| {
                let own = coreset.weights[row] * envelope.bound(row).wide();
                own - gain
            })
            .collect();
        let best = lowest(&losses);
        envelope.lower_all(job, |start, bounds, _| scores.lower(best, start, bounds))?;
        envelope.tighten(std::iter::once((rows[best], T::ZERO, NO_HOME)));
        out.indices.push(coreset.indices[rows[best]]);
        job.reached(out.indices.len());
    }
    out.potential = f64::NAN;
    Ok(out)
}

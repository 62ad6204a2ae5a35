//! Greedy seeding on a coreset: the quality of greedy k-means++ at a fraction of its cost.
//!
//! A coreset stands for all rows: half uniform, half in proportion to the squared distance to a rough seeding with a tenth
//! of the centres (the far rows decide which candidate is best, and the rough seeding knows them).
//! Greedy k-means++ on it overfits: a candidate is itself a row of the coreset, and the distance that it removes there
//! counts with its full weight though it stands for one row only. So a candidate's own row is left out of its score.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::envelope::{Envelope, NO_HOME};
use crate::seeding::exact::{self, Start};
use crate::seeding::fill::fill_up;
use crate::seeding::greedy::lowest;
use crate::seeding::panels::Panels;
use crate::seeding::plan::Seeded;
use crate::seeding::points::Points;
use crate::seeding::score::{Frame, Shifted};
use crate::seeding::start::{first_center, from_first};
use crate::seeding::streams;

/// Rows of the coreset for every centre, and at least.
const ROWS_PER_CENTER: usize = 60;
const MIN_ROWS: usize = 20_000;
/// Makes the extension's random numbers differ from the rough seeding's.
const EXTENSION: u64 = 0x9E37_79B9_7F4A_7C15;
/// Centres for one centre of the rough seeding.
const ROUGH: usize = 10;

/// A weighted sample that stands for all rows.
pub struct Coreset {
    /// Rows, ascending, each once.
    pub indices: Vec<usize>,
    /// Weights, unbiased.
    pub weights: Vec<f64>,
}

/// Draws a coreset of at most `size` distinct rows, systematically: half of the probability uniform, half in proportion
/// to `spread` (one number a row).
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn draw<T: Real>(
    points: Points<'_, T>,
    spread: &Envelope<'_, T>,
    size: usize,
    seed: u64,
    job: &Job,
) -> Result<Coreset> {
    if size >= points.n() {
        let indices: Vec<usize> = (0..points.n()).filter(|&i| points.weight(i) > 0.0).collect();
        let weights = indices.iter().map(|&i| points.weight(i)).collect();
        return Ok(Coreset { indices, weights });
    }
    let mass = match points.weights() {
        None => points.n() as f64,
        Some(_) => Envelope::new(points, NO_HOME, job, |_, bounds| bounds.fill(T::ONE))?.total(),
    };
    let mean = spread.total() / mass;
    let mean = if mean > 0.0 { mean } else { 1.0 };
    let score = Envelope::new(points, NO_HOME, job, |first, bounds| {
        for (bound, square) in bounds.iter_mut().zip(&spread.bounds()[first..]) {
            *bound = T::of(1.0 + square.wide() / mean);
        }
    })?;
    let shift = Stream::new(seed, streams::CORESET).uniform(0);
    let mut out = Coreset { indices: Vec::with_capacity(size), weights: Vec::with_capacity(size) };
    for j in 0..size {
        let row = score.at((j as f64 + shift) / size as f64);
        let weight = score.total() / (size as f64 * score.bound(row).wide());
        match out.weights.last_mut() {
            Some(last) if out.indices.last() == Some(&row) => *last += weight,
            _ => {
                out.indices.push(row);
                out.weights.push(weight);
            }
        }
    }
    Ok(out)
}

/// Greedy k-means++ on a coreset of `size` rows (0 for the default): O(n k d / 10 + size k d log k).
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
    let first = first_center(points, seed, job)?;
    let (envelope, frame) = from_first(points, first, job)?;
    let start = Start { first, envelope, frame: frame.clone(), anchors: None };
    let spread = exact::distances(points, k.div_ceil(ROUGH), seed, start, job)?;
    let coreset = draw(points, &spread, size.max(k), seed, job)?;
    drop(spread);
    let mut out = greedy(points, &coreset, &frame, k, trials, seed, job)?;
    if out.indices.len() < k {
        // The coreset has no more rows at a distance (it may lack some, and takes very close ones for equal).
        exact::extend(points, &mut out.indices, k, seed ^ EXTENSION, job)?;
    }
    out.drawn = out.indices.len();
    (out.potential, out.potential_stderr) = (f64::NAN, f64::NAN);
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
    // The envelope sums and draws; its rows are the coreset's.
    let sample = Points::new(&shifted.rows, points.d(), Some(&coreset.weights))?;
    let uniform = Envelope::new(sample, NO_HOME, job, |_, bounds| bounds.fill(T::ONE))?;
    let first = uniform.at(Stream::new(seed, streams::FIRST).uniform(0));
    let mut pool = Pool::new(Panels::new(&shifted, points.d(), POOL.max(trials)), POOL.max(trials), seed);
    pool.panels.measure(&[first], job)?;
    let mut envelope = Envelope::new(sample, NO_HOME, job, |start, bounds| pool.panels.copy(0, start, bounds))?;
    let mut out = Seeded { indices: vec![coreset.indices[first]], first_total: envelope.total(), ..Seeded::default() };
    job.reached(0); // the rough seeding counted its own centres
    job.expect(k);
    while out.indices.len() < k && envelope.total() > 0.0 {
        let mut losses = Vec::with_capacity(trials);
        let mut candidates = Vec::with_capacity(trials);
        while losses.len() < trials {
            let columns = pool.take(trials - losses.len(), &envelope);
            let gains = pool.panels.gains(&columns, envelope.bounds(), &coreset.weights, job)?;
            for (&column, gain) in columns.iter().zip(gains) {
                let row = pool.rows[column];
                losses.push(coreset.weights[row] * envelope.bound(row).wide() - gain);
                candidates.push((row, column));
            }
            if losses.len() < trials {
                pool.refill(&envelope, candidates.iter().map(|&(row, _)| row), job)?;
                (0..candidates.len()).for_each(|t| candidates[t].1 = t);
            }
        }
        let (row, column) = candidates[lowest(&losses)];
        envelope.lower_all(job, |start, bounds, _| {
            pool.panels.lower(column, start, bounds);
            Ok(())
        })?;
        envelope.tighten(std::iter::once((row, T::ZERO, NO_HOME)));
        out.indices.push(coreset.indices[row]);
        job.reached(out.indices.len());
    }
    out.proposals = pool.proposals;
    Ok(out)
}

/// Candidates measured ahead of their use, in one pass over the coreset.
///
/// They are drawn in proportion to the distances `w` of that moment; when its turn comes, a candidate is accepted with
/// probability `w_now / w`, and then has the law of a fresh draw.
struct Pool<'a, T> {
    panels: Panels<'a, T>,
    /// Candidates that are measured together, at least those of one step.
    size: usize,
    rows: Vec<usize>,
    /// `w` at the time of drawing, times the acceptance number.
    limits: Vec<f64>,
    next: usize,
    draws: Stream,
    accepts: Stream,
    proposals: u64,
}

/// Candidates in a pool, unless a step takes more.
const POOL: usize = 64;

impl<'a, T: Real> Pool<'a, T> {
    fn new(panels: Panels<'a, T>, size: usize, seed: u64) -> Self {
        let (draws, accepts) = (Stream::new(seed, streams::TRIAL), Stream::new(seed, streams::TRIAL_ACCEPT));
        Self { panels, size, rows: Vec::new(), limits: Vec::new(), next: 0, draws, accepts, proposals: 0 }
    }

    /// Up to `count` accepted candidates; fewer when the pool runs dry.
    fn take(&mut self, count: usize, envelope: &Envelope<'_, T>) -> Vec<usize> {
        let mut columns = Vec::with_capacity(count);
        while columns.len() < count && self.next < self.rows.len() {
            if envelope.bound(self.rows[self.next]).wide() > self.limits[self.next] {
                columns.push(self.next);
            }
            self.next += 1;
        }
        columns
    }

    /// Draws and measures a new pool; `keep` (rows already accepted for the step at hand) come first.
    fn refill(&mut self, envelope: &Envelope<'_, T>, keep: impl Iterator<Item = usize>, job: &Job) -> Result<()> {
        self.rows = keep.collect();
        self.next = self.rows.len();
        self.limits = vec![0.0; self.next];
        while self.rows.len() < self.size {
            let row = envelope.at(self.draws.uniform(self.proposals));
            self.rows.push(row);
            self.limits.push(self.accepts.uniform(self.proposals) * envelope.bound(row).wide());
            self.proposals += 1;
        }
        self.panels.measure(&self.rows, job)
    }
}

//! Greedy k-means++: several candidates per centre, of which the one with the lowest potential stays.

use crate::error::Result;
use crate::job::Job;
use crate::real::{Real, canon};
use crate::rng::Stream;
use crate::seeding::envelope::Envelope;
use crate::seeding::fill::fill_up;
use crate::seeding::plan::Seeded;
use crate::seeding::points::{BLOCK, Points};
use crate::seeding::start::{first_center, from_first};
use crate::seeding::streams;
use rayon::prelude::*;

/// The candidates of one step, and what is known of them.
struct Candidates<T> {
    rows: Vec<usize>,
    /// Scaled coordinates of each.
    scaled: Vec<Vec<T>>,
    /// `quarter[h][t]`: a row of home `h` with a bound up to this cannot be nearer to candidate `t` than to its home.
    quarter: Vec<f64>,
}

impl<T: Real> Candidates<T> {
    fn new(points: Points<'_, T>, rows: Vec<usize>, chosen: &[usize], scale: T) -> Self {
        let scaled: Vec<Vec<T>> = rows.iter().map(|&row| points.scaled(row, scale)).collect();
        // d(x, c) >= d(c, home) - d(x, home) >= d(x, home) when d(c, home) >= 2 d(x, home); the margin covers rounding.
        let margin = 0.25 * (1.0 - 4.0 * (points.d().div_ceil(T::LANES) + 8) as f64 * T::UNIT);
        let quarter = chosen
            .par_iter()
            .with_min_len(64)
            .flat_map_iter(|&home| scaled.iter().map(move |c| canon(points.row(home), scale, c).wide() * margin))
            .collect();
        Self { rows, scaled, quarter }
    }

    fn len(&self) -> usize {
        self.rows.len()
    }
}

/// Greedy k-means++ on all rows: the law of scikit-learn's default, O(n k d) at worst.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn seed<T: Real>(points: Points<'_, T>, k: usize, trials: usize, seed: u64, job: &Job) -> Result<Seeded> {
    let first = first_center(points, seed, job)?;
    let (mut envelope, frame) = from_first(points, first, job)?;
    let mut out = Seeded { indices: vec![first], first_total: envelope.total(), ..Seeded::default() };
    let stream = Stream::new(seed, streams::TRIAL);
    job.expect(k);
    while out.indices.len() < k && envelope.total() > 0.0 {
        let rows = (0..trials).map(|_| {
            out.proposals += 1;
            envelope.at(stream.uniform(out.proposals - 1))
        });
        let candidates = Candidates::new(points, rows.collect(), &out.indices, frame.scale);
        let potentials = potentials(points, &envelope, &candidates, frame.scale, job)?;
        let best = lowest(&potentials);
        accept(points, &mut envelope, &candidates, best, out.indices.len(), frame.scale, job)?;
        out.indices.push(candidates.rows[best]);
        job.reached(out.indices.len());
    }
    out.drawn = out.indices.len();
    out.potential = envelope.total() / frame.scale.wide().powi(2);
    fill_up(points, &mut out.indices, k, seed);
    Ok(out)
}

/// Position of the lowest value, the first among equals.
#[must_use]
pub fn lowest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, t| if values[t] < values[best] { t } else { best })
}

/// The potential after each candidate, summed in row order inside blocks and in block order.
fn potentials<T: Real>(
    points: Points<'_, T>,
    envelope: &Envelope<'_, T>,
    candidates: &Candidates<T>,
    scale: T,
    job: &Job,
) -> Result<Vec<f64>> {
    let trials = candidates.len();
    let mut sums = vec![0.0; points.n().div_ceil(BLOCK) * trials];
    sums.par_chunks_mut(trials).enumerate().try_for_each(|(block, sums)| {
        job.check()?;
        for i in block * BLOCK..((block + 1) * BLOCK).min(points.n()) {
            let bound = envelope.bound(i);
            let quarter = &candidates.quarter[envelope.home(i) as usize * trials..];
            for (t, sum) in sums.iter_mut().enumerate() {
                let mut distance = bound;
                if bound.wide() > quarter[t] {
                    let value = canon(points.row(i), scale, &candidates.scaled[t]);
                    distance = if value < bound { value } else { bound };
                }
                *sum += points.weight(i) * distance.wide();
            }
        }
        Ok::<_, crate::Error>(())
    })?;
    let mut total = vec![0.0; trials];
    sums.chunks(trials).for_each(|block| total.iter_mut().zip(block).for_each(|(sum, part)| *sum += part));
    Ok(total)
}

fn accept<T: Real>(
    points: Points<'_, T>,
    envelope: &mut Envelope<'_, T>,
    candidates: &Candidates<T>,
    best: usize,
    number: usize,
    scale: T,
    job: &Job,
) -> Result<()> {
    let trials = candidates.len();
    envelope.lower_all(job, |start, bounds, homes| {
        for (j, (bound, home)) in bounds.iter_mut().zip(homes).enumerate() {
            if bound.wide() > candidates.quarter[*home as usize * trials + best] {
                let value = canon(points.row(start + j), scale, &candidates.scaled[best]);
                if value < *bound {
                    (*bound, *home) = (value, number as u32);
                }
            }
        }
        Ok(())
    })
}

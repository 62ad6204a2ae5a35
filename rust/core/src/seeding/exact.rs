//! Batched envelope rejection: exactly the law of k-means++ at the cost of about one pass over the rows.
//!
//! ```text
//! w_i >= D^2(x_i, S) for every row
//! until |S| = k:
//!     draw B proposals (i, u): i ~ a_i w_i, u uniform        they do not depend on S, so a batch may be drawn at once
//!     reject those that a centre of S already rejects:  min_c canon(x_i, c) <= u w_i
//!     walk the others in order: accept unless a centre accepted earlier in this walk rejects
//!     lower w_i of the rejected rows to the distance just found (for the next batch: inside a batch it breaks the law)
//!     refresh w when the rejected proposals have cost as much as a refresh
//! ```
//! An accepted proposal has the law `a_i D^2(x_i, S) / Phi(S)` whatever its place in the batch, because the pairs (i, u)
//! are independent of S given the past. Batch sizes and refreshes follow from counts, never from clocks.

use crate::error::Result;
use crate::job::Job;
use crate::real::{Real, canon};
use crate::rng::Stream;
use crate::seeding::anchors::Prepared;
use crate::seeding::envelope::{Envelope, NO_HOME, draw_by_weight};
use crate::seeding::fill::fill_up;
use crate::seeding::plan::{Plan, Refresh, Seeded};
use crate::seeding::points::Points;
use crate::seeding::resolve::{Survivors, hits};
use crate::seeding::score::{Centers, Frame, Shifted};
use crate::seeding::start::from_first;
use crate::seeding::streams;

/// The smallest batch: below it the fixed cost of a round dominates.
const MIN_BATCH: usize = 32;
/// Centres that the first stage of the filter looks at; every stage looks at four times as many.
const STAGE: usize = 64;
/// Distances a refresh computes in the time in which the filter computes one.
const REFRESH_GAIN: usize = 2;
/// Proposals per centre beyond which a refresh is due at once.
const MAX_RATE: f64 = 64.0;
/// A batch of this size without a single acceptance forces a refresh: this ends the walk over duplicates.
const HOPELESS: usize = 1024;

/// Where a walk starts: the envelope of its first centre.
pub struct Start<'a, T> {
    /// The first centre's row.
    pub first: usize,
    /// Bounds that hold for it.
    pub envelope: Envelope<'a, T>,
    /// Scale and origin.
    pub frame: Frame<T>,
    /// The anchors that the bounds were made of; they are made anew as centres come near the anchors.
    pub anchors: Option<&'a Prepared<T>>,
}

/// Chooses rows with the law of k-means++ and reports the state at each of the ascending counts `ks`: the seeding for a
/// smaller count is the beginning of the seeding for a larger one.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn seed_path<T: Real>(
    points: Points<'_, T>,
    ks: &[usize],
    seed: u64,
    start: Start<'_, T>,
    plan: Plan,
    job: &Job,
) -> Result<Vec<Seeded>> {
    let mut walk = Walk::new(points, seed, start, plan);
    job.expect(ks.last().copied().unwrap_or(0));
    let mut path = Vec::with_capacity(ks.len());
    for &k in ks {
        walk.run(k, job)?;
        let mut state = walk.out.clone();
        state.drawn = state.indices.len();
        (state.potential, state.potential_stderr) = walk.potential();
        fill_up(points, &mut state.indices, k, seed);
        path.push(state);
    }
    Ok(path)
}

/// Adds centres by the law of k-means++ to those in `chosen` until there are `k`, or no row is left at a distance.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn extend<T: Real>(points: Points<'_, T>, chosen: &mut Vec<usize>, k: usize, seed: u64, job: &Job) -> Result<()> {
    let (envelope, frame) = from_first(points, chosen[0], job)?;
    let mut walk = Walk::new(points, seed, Start { first: chosen[0], envelope, frame, anchors: None }, Plan::default());
    chosen[1..].iter().for_each(|&row| walk.add(row));
    walk.refresh(job)?;
    walk.run(k, job)?;
    *chosen = walk.out.indices;
    Ok(())
}

/// The exact squared distances of all rows to a seeding of `k` centres.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn distances<'a, T: Real>(
    points: Points<'a, T>,
    k: usize,
    seed: u64,
    start: Start<'a, T>,
    job: &Job,
) -> Result<Envelope<'a, T>> {
    let mut walk = Walk::new(points, seed, start, Plan::default());
    walk.run(k, job)?;
    walk.refresh(job)?;
    Ok(walk.envelope)
}

struct Walk<'a, T> {
    points: Points<'a, T>,
    k: usize,
    seed: u64,
    plan: Plan,
    envelope: Envelope<'a, T>,
    centers: Centers<T>,
    /// Centres that the last full refresh has seen.
    refreshed: usize,
    /// Distances spent on rejected proposals since then.
    wasted: usize,
    /// Proposals rejected since the last centre.
    failures: u64,
    /// Proposals and acceptances of the last batches.
    recent: Vec<(usize, usize)>,
    /// Anchors, if the bounds are made of them, the distance from each to the nearest centre, and the centres seen.
    anchors: Option<&'a Prepared<T>>,
    delta: Vec<f64>,
    approached: usize,
    out: Seeded,
}

/// One batch of proposals.
struct Batch<T> {
    rows: Vec<usize>,
    limits: Vec<f64>,
    shifted: Shifted<T>,
    /// The nearest centre known, for the proposals that it rejects.
    near: Vec<Option<(T, u32)>>,
    /// Distances spent on the proposals that the filter rejects.
    spent: Vec<usize>,
}

impl<'a, T: Real> Walk<'a, T> {
    fn new(points: Points<'a, T>, seed: u64, start: Start<'a, T>, plan: Plan) -> Self {
        let Start { first, envelope, frame, anchors } = start;
        let mut walk = Self {
            points,
            k: 1,
            seed,
            plan,
            centers: Centers::new(frame),
            refreshed: usize::from(envelope.home(0) != NO_HOME),
            anchors,
            delta: anchors.map_or_else(Vec::new, Prepared::far),
            approached: 0,
            wasted: 0,
            failures: 0,
            recent: Vec::new(),
            out: Seeded { first_total: envelope.total(), ..Seeded::default() },
            envelope,
        };
        walk.add(first);
        walk
    }

    fn run(&mut self, k: usize, job: &Job) -> Result<()> {
        self.k = k;
        while self.out.indices.len() < k && self.envelope.total() > 0.0 {
            job.check()?;
            self.batch(job)?;
            job.reached(self.out.indices.len());
        }
        Ok(())
    }

    fn add(&mut self, row: usize) {
        self.out.indices.push(row);
        self.centers.push(self.points.row(row));
    }

    /// Proposals per centre over the last three batches.
    fn rate(&self) -> f64 {
        let (proposals, accepted) = self.recent.iter().rev().take(3).fold((0, 0), |sum, x| (sum.0 + x.0, sum.1 + x.1));
        if proposals == 0 { 1.0 } else { proposals as f64 / accepted.max(1) as f64 }
    }

    fn batch(&mut self, job: &Job) -> Result<()> {
        let missing = self.k - self.out.indices.len();
        let wanted = (1.1 * self.rate() * missing as f64).ceil() as usize;
        let mut batch = self.propose(wanted.clamp(MIN_BATCH.min(self.plan.max_batch), self.plan.max_batch));
        let survivors = self.filter(&mut batch, job)?;
        let before = self.out.indices.len();
        let processed = self.walk(&batch, &survivors, job)?;
        let accepted = self.out.indices.len() - before;
        self.out.proposals += processed as u64;
        // Proposals behind a cut are drawn again: they must not have decided anything yet.
        self.wasted += batch.spent[..processed].iter().sum::<usize>();
        self.recent.push((processed, accepted));
        if self.plan.tighten {
            self.tighten(&mut batch, &survivors, processed, before);
        }
        if self.out.indices.len() < self.k && self.refresh_is_due(processed, accepted) {
            self.refresh(job)?;
        }
        self.rebase(job)
    }

    /// Makes the bounds anew from the anchors whenever the centres have doubled: it costs no distance to a row.
    fn rebase(&mut self, job: &Job) -> Result<()> {
        let Some(anchors) = self.anchors else { return Ok(()) };
        if self.centers.count() < 2 * self.approached.max(1) {
            return Ok(());
        }
        anchors.approach(&self.centers, self.approached, &mut self.delta);
        self.approached = self.centers.count();
        self.recent.clear();
        let delta = &self.delta;
        self.envelope.lower_all(job, |first, bounds, _| {
            for (j, bound) in bounds.iter_mut().enumerate() {
                let value = anchors.bound(first + j, delta);
                *bound = if value < *bound { value } else { *bound };
            }
            Ok(())
        })
    }

    fn propose(&self, size: usize) -> Batch<T> {
        let first = self.out.proposals;
        let rows = self.envelope.draw(Stream::new(self.seed, streams::PROPOSAL), first, size);
        let accept = Stream::new(self.seed, streams::ACCEPT);
        let limit = |(t, &i): (usize, &usize)| accept.uniform(first + t as u64) * self.envelope.bound(i).wide();
        let limits = rows.iter().enumerate().map(limit).collect();
        let shifted = Shifted::gather(&self.points, &rows, self.centers.frame());
        Batch { near: vec![None; rows.len()], spent: vec![0; rows.len()], rows, limits, shifted }
    }

    /// Fills `batch.near` for the proposals that a present centre rejects, and returns the others.
    fn filter(&self, batch: &mut Batch<T>, job: &Job) -> Result<Vec<usize>> {
        let mut alive: Vec<usize> = (0..batch.rows.len()).collect();
        let (mut end, mut size, mut visited) = (self.centers.count(), STAGE, 0);
        while end > 0 && !alive.is_empty() {
            job.check()?;
            let start = end.saturating_sub(size);
            visited += end - start;
            let copied;
            let shifted = if alive.len() == batch.rows.len() {
                &batch.shifted
            } else {
                copied = batch.shifted.select(&alive);
                &copied
            };
            let row = |j: usize| self.points.row(batch.rows[alive[j]]);
            let found = self.centers.nearest(start..end, shifted, row, |j| batch.limits[alive[j]]);
            let mut left = Vec::with_capacity(alive.len());
            for (&t, found) in alive.iter().zip(found) {
                batch.near[t] = found;
                match found {
                    Some(_) => batch.spent[t] = visited,
                    None => left.push(t),
                }
            }
            alive = left;
            (end, size) = (start, size * 4);
        }
        Ok(alive)
    }

    /// Goes through the batch in order and returns how many proposals were looked at.
    fn walk(&mut self, batch: &Batch<T>, survivors: &[usize], job: &Job) -> Result<usize> {
        let shifted = batch.shifted.select(survivors);
        let frame = self.centers.frame().clone();
        let hits = hits(
            &Survivors {
                shifted: &shifted,
                limits: survivors.iter().map(|&t| batch.limits[t]).collect(),
                distance: &|a, b| {
                    let (a, b) = (batch.rows[survivors[a]], batch.rows[survivors[b]]);
                    canon(self.points.row(b), frame.scale, &self.points.scaled(a, frame.scale))
                },
            },
            job,
        )?;
        let mut accepted = vec![0u64; survivors.len().div_ceil(64)];
        let mut next = 0;
        for t in 0..batch.rows.len() {
            let mut accept = false;
            if survivors.get(next) == Some(&t) {
                accept = hits.row(next).iter().zip(&accepted).all(|(hit, accepted)| hit & accepted == 0);
                accepted[next / 64] |= u64::from(accept) << (next % 64);
                next += 1;
            }
            self.failures += 1;
            if accept {
                self.add(batch.rows[t]);
                self.failures = 0;
            } else if Some(self.failures) == self.plan.max_proposals {
                // The batch ends here: the proposals behind must meet the new centre, and keep their numbers.
                self.add_uniform(job)?;
                return Ok(t + 1);
            }
            if self.out.indices.len() == self.k {
                return Ok(t + 1);
            }
        }
        Ok(batch.rows.len())
    }

    fn add_uniform(&mut self, job: &Job) -> Result<()> {
        let uniform = Stream::new(self.seed, streams::UNIFORM).uniform(self.out.uniform as u64);
        let row = draw_by_weight(self.points, uniform, job)?;
        self.add(row);
        self.out.uniform += 1;
        self.failures = 0;
        Ok(())
    }

    /// Lowers the bounds of the rows looked at: accepted ones to zero, rejected ones to the distance found.
    fn tighten(&mut self, batch: &mut Batch<T>, survivors: &[usize], processed: usize, before: usize) {
        let seen = &survivors[..survivors.partition_point(|&t| t < processed)];
        let fresh = before..self.centers.count();
        if !fresh.is_empty() {
            // Any centre gives a valid bound, so accepted and rejected survivors are treated alike: the accepted find
            // themselves at distance zero.
            let shifted = batch.shifted.select(seen);
            let row = |j: usize| self.points.row(batch.rows[seen[j]]);
            let found = self.centers.nearest(fresh, &shifted, row, |j| batch.limits[seen[j]]);
            seen.iter().zip(found).for_each(|(&t, found)| batch.near[t] = found);
        }
        let changes = batch.rows[..processed].iter().zip(&batch.near);
        self.envelope.tighten(changes.filter_map(|(&i, near)| near.map(|(bound, home)| (i, bound, home))));
    }

    fn refresh_is_due(&self, processed: usize, accepted: usize) -> bool {
        let added = self.centers.count() - self.refreshed;
        let hopeless = accepted == 0 && self.failures >= HOPELESS as u64;
        match self.plan.refresh {
            _ if added == 0 => false,
            _ if hopeless => true,
            Refresh::Never => false,
            Refresh::Every(centers) => added >= centers,
            Refresh::Auto => {
                let price = self.points.n().saturating_mul(added) / REFRESH_GAIN;
                self.wasted > price || (self.rate() > MAX_RATE && processed >= HOPELESS)
            }
        }
    }

    /// Brings every bound down to the distance to the nearest centre.
    fn refresh(&mut self, job: &Job) -> Result<()> {
        let (points, centers, range) = (self.points, &self.centers, self.refreshed..self.centers.count());
        self.envelope.lower_all(job, |first, bounds, homes| {
            let limits: Vec<f64> = bounds.iter().map(|bound| bound.wide()).collect();
            centers.nearest_of_range(range.clone(), points, first, &limits, job, |j, value, center| {
                if value < bounds[j] {
                    (bounds[j], homes[j]) = (value, center);
                }
            })
        })?;
        self.refreshed = self.centers.count();
        self.wasted = 0;
        self.recent.clear();
        self.out.refreshes += 1;
        Ok(())
    }

    /// The potential and its standard error: `W * mean(D^2 / w)` over fresh proposals is unbiased, as `E[D^2 / w] = Phi / W`.
    fn potential(&self) -> (f64, f64) {
        let (total, draws) = (self.envelope.total(), self.plan.potential_draws);
        if draws == 0 {
            return (f64::NAN, f64::NAN);
        }
        if total <= 0.0 {
            return (0.0, 0.0);
        }
        let rows = self.envelope.draw(Stream::new(self.seed, streams::POTENTIAL), 0, draws);
        let shifted = Shifted::gather(&self.points, &rows, self.centers.frame());
        let row = |j: usize| self.points.row(rows[j]);
        let found = self.centers.nearest(0..self.centers.count(), &shifted, row, |_| f64::INFINITY);
        let ratio = |(found, &i): (&Option<(T, u32)>, &usize)| {
            found.map_or(1.0, |(value, _)| value.wide() / self.envelope.bound(i).wide())
        };
        let ratios: Vec<f64> = found.iter().zip(&rows).map(ratio).collect();
        let mean = ratios.iter().sum::<f64>() / draws as f64;
        let variance = ratios.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (draws.max(2) - 1) as f64;
        let unit = total / self.centers.frame().scale.wide().powi(2);
        (unit * mean, unit * (variance / draws as f64).sqrt())
    }
}

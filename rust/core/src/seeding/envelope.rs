//! The envelope: one upper bound `w_i >= D^2(x_i, S)` a row, its sums, and the draw of rows in proportion to `a_i w_i`.
//!
//! Sums are `f64`, in one order fixed by the row numbers: 32 rows make a group, 32 groups a block of 1024 rows. A change
//! of some rows recomputes their groups and blocks from scratch (never "minus old plus new": that drifts and depends on
//! history).

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::points::{BLOCK, Points};
use rayon::prelude::*;

const GROUP: usize = 32;
const GROUPS: usize = BLOCK / GROUP;
/// Blocks that one parallel task takes at a time.
const TASK: usize = 8;

/// Marks a row whose bound comes from no centre.
pub const NO_HOME: u32 = u32::MAX;

/// Upper bounds of the squared distances, and their weighted sums.
#[derive(Debug)]
pub struct Envelope<'a, T> {
    points: Points<'a, T>,
    bound: Vec<T>,
    home: Vec<u32>,
    groups: Vec<f64>,
    blocks: Vec<f64>,
    /// `prefix[b]` is the sum of the blocks before `b`; the last entry is the total.
    prefix: Vec<f64>,
}

impl<'a, T: Real> Envelope<'a, T> {
    /// Fills the bounds block by block: `fill(first_row, bounds of these rows)`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn new(points: Points<'a, T>, home: u32, job: &Job, fill: impl Fn(usize, &mut [T]) + Sync) -> Result<Self> {
        let n = points.n();
        let mut bound = vec![T::ZERO; n];
        let mut groups = vec![0.0; n.div_ceil(GROUP)];
        bound.par_chunks_mut(TASK * BLOCK).zip(groups.par_chunks_mut(TASK * GROUPS)).enumerate().try_for_each(
            |(task, (bounds, sums))| {
                job.check()?;
                let first = task * TASK * BLOCK;
                fill(first, bounds);
                for (g, (bounds, sum)) in bounds.chunks(GROUP).zip(sums).enumerate() {
                    *sum = group_sum(&points, first + g * GROUP, bounds);
                }
                Ok(())
            },
        )?;
        let mut envelope = Self { points, bound, home: vec![home; n], groups, blocks: Vec::new(), prefix: Vec::new() };
        envelope.sum_up();
        Ok(envelope)
    }

    fn sum_up(&mut self) {
        self.blocks = self.groups.chunks(GROUPS).map(|groups| groups.iter().sum()).collect();
        self.rebuild_prefix();
    }

    fn rebuild_prefix(&mut self) {
        self.prefix.clear();
        self.prefix.push(0.0);
        let mut total = 0.0;
        for block in &self.blocks {
            total += block;
            self.prefix.push(total);
        }
    }

    /// The sum of all `a_i w_i`.
    #[must_use]
    pub fn total(&self) -> f64 {
        *self.prefix.last().unwrap_or(&0.0)
    }

    /// The bound of row `i`.
    #[inline]
    #[must_use]
    pub fn bound(&self, i: usize) -> T {
        self.bound[i]
    }

    /// All bounds.
    #[must_use]
    pub fn bounds(&self) -> &[T] {
        &self.bound
    }

    /// The bounds alone.
    #[must_use]
    pub fn into_bounds(self) -> Vec<T> {
        self.bound
    }

    /// The number of the centre whose distance the bound of row `i` is.
    #[inline]
    #[must_use]
    pub fn home(&self, i: usize) -> u32 {
        self.home[i]
    }

    /// The row at `uniform` of the inverse cumulative distribution of `a_i w_i`. Rows with `a_i w_i = 0` are never drawn.
    #[must_use]
    pub fn at(&self, uniform: f64) -> usize {
        let target = uniform * self.total();
        // Strict comparisons throughout: an entry of zero mass is stepped over.
        let block = self.prefix[1..].partition_point(|&sum| sum <= target);
        let block = if block < self.blocks.len() { block } else { last_positive(&self.blocks) };
        let rest = target - self.prefix[block];
        let start = block * GROUPS;
        let groups = &self.groups[start..(start + GROUPS).min(self.groups.len())];
        let (group, rest) = scan(groups.iter().copied(), rest);
        let start = (start + group) * GROUP;
        let end = (start + GROUP).min(self.bound.len());
        start + scan((start..end).map(|i| self.mass(i)), rest).0
    }

    #[inline]
    fn mass(&self, i: usize) -> f64 {
        self.points.weight(i) * self.bound[i].wide()
    }

    /// The rows of the proposals `first..first + count` of `stream`.
    #[must_use]
    pub fn draw(&self, stream: Stream, first: u64, count: usize) -> Vec<usize> {
        (0..count).into_par_iter().with_min_len(64).map(|t| self.at(stream.uniform(first + t as u64))).collect()
    }

    /// Lowers single bounds: `(row, bound, home)`. Larger bounds than the present ones are ignored.
    pub fn tighten(&mut self, changes: impl Iterator<Item = (usize, T, u32)>) {
        let mut touched = Vec::new();
        for (i, bound, home) in changes {
            if bound < self.bound[i] {
                self.bound[i] = bound;
                self.home[i] = home;
                touched.push(i / GROUP);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for &g in &touched {
            let end = ((g + 1) * GROUP).min(self.bound.len());
            self.groups[g] = group_sum(&self.points, g * GROUP, &self.bound[g * GROUP..end]);
        }
        touched.iter_mut().for_each(|g| *g /= GROUPS);
        touched.dedup();
        for &b in &touched {
            self.blocks[b] = self.groups[b * GROUPS..((b + 1) * GROUPS).min(self.groups.len())].iter().sum();
        }
        self.rebuild_prefix();
    }

    /// Lowers bounds in bulk: `lower(first_row, bounds, homes)` for runs of whole blocks, in parallel.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn lower_all(
        &mut self,
        job: &Job,
        lower: impl Fn(usize, &mut [T], &mut [u32]) -> Result<()> + Sync,
    ) -> Result<()> {
        let points = self.points;
        self.bound
            .par_chunks_mut(BLOCK)
            .zip(self.home.par_chunks_mut(BLOCK))
            .zip(self.groups.par_chunks_mut(GROUPS))
            .enumerate()
            .try_for_each(|(block, ((bounds, homes), sums))| {
                job.check()?;
                let first = block * BLOCK;
                lower(first, bounds, homes)?;
                for (g, (bounds, sum)) in bounds.chunks(GROUP).zip(sums).enumerate() {
                    *sum = group_sum(&points, first + g * GROUP, bounds);
                }
                Ok(())
            })?;
        self.sum_up();
        Ok(())
    }
}

#[inline]
fn group_sum<T: Real>(points: &Points<'_, T>, first: usize, bounds: &[T]) -> f64 {
    match points.weights() {
        None => bounds.iter().map(|w| w.wide()).sum(),
        Some(weights) => bounds.iter().zip(&weights[first..]).map(|(w, a)| a * w.wide()).sum(),
    }
}

/// The first entry at which the running sum exceeds `rest`, and what is left of `rest` there; the last positive entry
/// if rounding carries past the end.
#[inline]
fn scan(entries: impl Iterator<Item = f64>, rest: f64) -> (usize, f64) {
    let mut sum = 0.0;
    let mut last = (0, 0.0);
    for (j, entry) in entries.enumerate() {
        if entry > 0.0 {
            last = (j, rest - sum);
        }
        sum += entry;
        if sum > rest {
            return last;
        }
    }
    last
}

fn last_positive(entries: &[f64]) -> usize {
    entries.iter().rposition(|&entry| entry > 0.0).unwrap_or(0)
}

/// Draws one row in proportion to the weights, by the same inverse cumulative distribution.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn draw_by_weight<T: Real>(points: Points<'_, T>, uniform: f64, job: &Job) -> Result<usize> {
    if points.weights().is_none() {
        return Ok(((uniform * points.n() as f64) as usize).min(points.n() - 1));
    }
    Ok(Envelope::new(points, NO_HOME, job, |_, bounds| bounds.fill(T::ONE))?.at(uniform))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope<'a>(rows: &'a [f64], weights: Option<&'a [f64]>) -> Envelope<'a, f64> {
        let points = Points::new(rows, 1, weights).unwrap();
        Envelope::new(points, 0, &Job::default(), |first, bounds| {
            bounds.copy_from_slice(&rows[first..first + bounds.len()]);
        })
        .unwrap()
    }

    #[test]
    fn rows_without_mass_are_never_drawn() {
        let mut rows = vec![0.0; 3000];
        rows[5] = 1.0;
        rows[1030] = 2.0;
        rows[2999] = 1.0;
        let envelope = envelope(&rows, None);
        for (uniform, row) in [(0.0, 5), (0.24, 5), (0.25, 1030), (0.74, 1030), (0.75, 2999), (1.0, 2999)] {
            assert_eq!(envelope.at(uniform), row, "{uniform}");
        }
    }

    #[test]
    fn tightening_equals_building_anew() {
        let mut rows: Vec<f64> = (0..2500).map(|i| f64::from(i % 17) + 0.1).collect();
        let weights: Vec<f64> = (0..2500).map(|i| f64::from(i % 3)).collect();
        let before = rows.clone();
        let mut changed = envelope(&before, Some(&weights));
        changed.tighten([(7, 0.05, 1), (7, 0.01, 2), (2000, 9.0, 1), (2499, 0.0, 3)].into_iter());
        (rows[7], rows[2499]) = (0.01, 0.0);
        rows[2000] = rows[2000].min(9.0);
        let fresh = envelope(&rows, Some(&weights));
        assert_eq!(changed.prefix, fresh.prefix);
        assert_eq!((changed.home(7), changed.home(2499)), (2, 3));
    }
}

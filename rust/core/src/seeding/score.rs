//! The nearest centre within a limit, in matrix-product form with an exact recheck.
//!
//! `|x - c|^2 = |x|^2 + |c|^2 - 2 x.c` costs one fused multiply-add a coordinate but rounds differently on every
//! processor. Its distance to [`canon`] is bounded ([`band`]), so it only *preselects*: every centre that could be the
//! nearest is measured by `canon`, and that value alone decides. Filtering proposals, refreshing the envelope and
//! assigning rows to clusters are this one operation with different limits.

use crate::error::Result;
use crate::job::Job;
use crate::real::{Real, band, canon};
use crate::seeding::points::Points;
use rayon::prelude::*;

/// Centres that one matrix product takes at a time; a tile of products stays in the second-level cache.
const TILE: usize = 1024;
/// Rows that one task takes at a time.
const ROWS: usize = 128;

/// The scale and the origin of a seeding: rows enter matrix products as `scale * x - origin`.
#[derive(Debug, Clone)]
pub struct Frame<T> {
    /// An exact power of two.
    pub scale: T,
    /// Near the rows, to keep cancellation small; already scaled.
    pub origin: Vec<T>,
}

/// A matrix of shifted rows and their squared norms.
#[derive(Debug, Clone, Default)]
pub struct Shifted<T> {
    /// `scale * x - origin`, row-major.
    pub rows: Vec<T>,
    /// Squared norms of `rows`.
    pub norms: Vec<T>,
}

impl<T: Real> Shifted<T> {
    fn push(&mut self, row: &[T], frame: &Frame<T>) {
        let start = self.rows.len();
        self.rows.resize(start + row.len(), T::ZERO);
        T::shift(row, frame.scale, &frame.origin, &mut self.rows[start..]);
        self.norms.push(T::square(&self.rows[start..]));
    }

    /// Shifts the rows that `rows` names, in parallel.
    #[must_use]
    pub fn gather(points: &Points<'_, T>, rows: &[usize], frame: &Frame<T>) -> Self {
        let d = points.d();
        let mut out = Self { rows: vec![T::ZERO; rows.len() * d], norms: vec![T::ZERO; rows.len()] };
        out.rows.par_chunks_mut(ROWS * d).zip(out.norms.par_chunks_mut(ROWS)).zip(rows.par_chunks(ROWS)).for_each(
            |((rows, norms), indices)| {
                for ((shifted, square), &i) in rows.chunks_exact_mut(d).zip(norms).zip(indices) {
                    T::shift(points.row(i), frame.scale, &frame.origin, shifted);
                    *square = T::square(shifted);
                }
            },
        );
        out
    }

    /// Copies the rows that `rows` names out of this matrix.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let d = self.rows.len() / self.norms.len().max(1);
        let mut out = Self { rows: Vec::with_capacity(rows.len() * d), norms: Vec::with_capacity(rows.len()) };
        for &j in rows {
            out.rows.extend_from_slice(&self.rows[j * d..(j + 1) * d]);
            out.norms.push(self.norms[j]);
        }
        out
    }

    /// Shifts contiguous rows into this buffer.
    fn fill(&mut self, rows: &[T], frame: &Frame<T>) {
        self.rows.resize(rows.len(), T::ZERO);
        let d = frame.origin.len();
        for (row, shifted) in rows.chunks_exact(d).zip(self.rows.chunks_exact_mut(d)) {
            T::shift(row, frame.scale, &frame.origin, shifted);
        }
        self.norms.clear();
        self.norms.extend(self.rows.chunks_exact(d).map(T::square));
    }
}

/// The centres chosen so far.
#[derive(Debug, Clone)]
pub struct Centers<T> {
    frame: Frame<T>,
    /// `scale * c`, the second operand of `canon`.
    scaled: Vec<T>,
    shifted: Shifted<T>,
}

impl<T: Real> Centers<T> {
    /// No centre yet.
    #[must_use]
    pub fn new(frame: Frame<T>) -> Self {
        Self { frame, scaled: Vec::new(), shifted: Shifted { rows: Vec::new(), norms: Vec::new() } }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shifted.norms.len()
    }

    /// The scale and origin in use.
    #[must_use]
    pub fn frame(&self) -> &Frame<T> {
        &self.frame
    }

    /// Adds an (unscaled) row as the next centre.
    pub fn push(&mut self, row: &[T]) {
        self.scaled.extend(row.iter().map(|&x| x * self.frame.scale));
        self.shifted.push(row, &self.frame);
    }

    /// `scale` times centre `c`.
    #[inline]
    #[must_use]
    pub fn scaled(&self, c: usize) -> &[T] {
        let d = self.frame.origin.len();
        &self.scaled[c * d..(c + 1) * d]
    }

    /// For every row the nearest of the centres `range`, if its canonical squared distance is at most the row's limit:
    /// `(distance, centre)`, ties to the lower centre. `raw(j)` is row `j` unscaled, `shifted` holds the same rows.
    pub fn nearest<'x>(
        &self,
        range: std::ops::Range<usize>,
        shifted: &Shifted<T>,
        raw: impl Fn(usize) -> &'x [T] + Sync,
        limit: impl Fn(usize) -> f64 + Sync,
    ) -> Vec<Option<(T, u32)>> {
        let d = self.frame.origin.len();
        let mut out = vec![None; shifted.norms.len()];
        let task = ROWS.min(out.len().div_ceil(rayon::current_num_threads()).next_multiple_of(8)).max(8);
        out.par_chunks_mut(task).enumerate().for_each(|(chunk, found)| {
            let first = chunk * task;
            let rows = Rows {
                rows: &shifted.rows[first * d..(first + found.len()) * d],
                norms: &shifted.norms[first..first + found.len()],
            };
            let mut scratch = Scratch::default();
            self.nearest_here(range.clone(), rows, &mut scratch, |j| raw(first + j), |j| limit(first + j), found);
        });
        out
    }

    /// [`Centers::nearest`] of the rows from `start` on, as many as there are limits, strip by strip on this thread:
    /// `found(j, distance, centre)` for each row `start + j` that has a centre within `limits[j]`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`], with only some of the rows looked at.
    pub fn nearest_of_range(
        &self,
        range: std::ops::Range<usize>,
        points: Points<'_, T>,
        start: usize,
        limits: &[f64],
        job: &Job,
        mut found: impl FnMut(usize, T, u32),
    ) -> Result<()> {
        let mut scratch = Scratch::default();
        let mut shifted = Shifted { rows: Vec::new(), norms: Vec::new() };
        let mut nearest = Vec::new();
        for strip in (0..limits.len()).step_by(ROWS) {
            job.check()?;
            let width = ROWS.min(limits.len() - strip);
            shifted.fill(points.range(start + strip, start + strip + width), &self.frame);
            nearest.clear();
            nearest.resize(width, None);
            let rows = Rows { rows: &shifted.rows, norms: &shifted.norms };
            let row = |j: usize| points.row(start + strip + j);
            self.nearest_here(range.clone(), rows, &mut scratch, row, |j| limits[strip + j], &mut nearest);
            let hits = nearest.iter().enumerate().filter_map(|(j, near)| near.map(|near| (j, near)));
            hits.for_each(|(j, (distance, center))| found(strip + j, distance, center));
        }
        Ok(())
    }

    /// [`Centers::nearest`] of one task's rows, on this thread; entries of `found` may hold an earlier result to beat.
    fn nearest_here<'x>(
        &self,
        range: std::ops::Range<usize>,
        rows: Rows<'_, T>,
        scratch: &mut Scratch<T>,
        raw: impl Fn(usize) -> &'x [T],
        limit: impl Fn(usize) -> f64,
        found: &mut [Option<(T, u32)>],
    ) {
        let d = self.frame.origin.len();
        let mut start = range.start;
        while start < range.end {
            let end = (start + TILE).min(range.end);
            let width = end - start;
            scratch.products.resize(found.len() * width, T::ZERO);
            T::product(rows.rows, &self.shifted.rows[start * d..end * d], d, &mut scratch.products, width);
            let norms = &self.shifted.norms[start..end];
            let widest = norms.iter().map(|x| x.wide()).fold(0.0, f64::max).sqrt();
            for (j, best) in found.iter_mut().enumerate() {
                let here = &scratch.products[j * width..(j + 1) * width];
                let slack = band::<T>(d) * (rows.norms[j].wide().sqrt() + widest).powi(2) + T::TINY;
                let most = best.map_or(limit(j), |(value, _)| value.wide());
                let low = T::lowest(norms, here);
                if rows.norms[j].wide() + low.wide() > most + slack {
                    continue;
                }
                let highest = (low.wide() + 2.0 * slack).min(most + slack - rows.norms[j].wide());
                // Rounded up, so that the comparison in T keeps every candidate.
                let highest = T::of(highest + highest.abs() * 4.0 * T::UNIT);
                scratch.candidates.clear();
                T::below(norms, here, highest, &mut scratch.candidates);
                for &c in &scratch.candidates {
                    let c = start + c as usize;
                    let value = canon(raw(j), self.frame.scale, self.scaled(c));
                    if best.map_or(value.wide() <= most, |(low, _)| value < low) {
                        *best = Some((value, c as u32));
                    }
                }
            }
            start = end;
        }
    }
}

/// Borrowed shifted rows, row-major, and their squared norms.
#[derive(Debug, Clone, Copy)]
struct Rows<'a, T> {
    rows: &'a [T],
    norms: &'a [T],
}

/// Buffers that one thread re-uses from tile to tile.
#[derive(Debug, Default)]
struct Scratch<T> {
    products: Vec<T>,
    candidates: Vec<u32>,
}

//! Distances from many fixed rows to a few candidates at a time, with the same bits on every processor.
//!
//! Rows are stored transposed in panels of one register's width, so that lane `l` belongs to row `l` and no sum ever
//! crosses lanes: coordinates are added in increasing order, whatever the instruction set.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::seeding::score::Shifted;
use rayon::prelude::*;

/// Candidates that share one pass over a panel.
const WIDTH: usize = 8;
/// The fixed rows, and their distances to the candidates measured last.
pub struct Panels<'a, T> {
    d: usize,
    rows: &'a Shifted<T>,
    /// Panel by panel, coordinate by coordinate, lane by lane.
    lanes: Vec<T>,
    columns: usize,
    /// Task by task, candidate by candidate, row by row.
    distances: Vec<T>,
}

impl<'a, T: Real> Panels<'a, T> {
    /// Rows that one task takes: with 64 panels of some hundred coordinates they stay in the second-level cache.
    const TASK: usize = 64 * T::LANES;

    /// Transposes the rows, with room for `columns` candidates at a time.
    #[must_use]
    pub fn new(rows: &'a Shifted<T>, d: usize, columns: usize) -> Self {
        let n = rows.norms.len();
        let mut lanes = vec![T::ZERO; n.div_ceil(T::LANES) * T::LANES * d];
        lanes.par_chunks_mut((T::LANES * d).max(1)).enumerate().for_each(|(panel, lanes)| {
            for lane in 0..T::LANES.min(n - panel * T::LANES) {
                let row = (panel * T::LANES + lane) * d;
                for j in 0..d {
                    lanes[j * T::LANES + lane] = rows.rows[row + j];
                }
            }
        });
        let distances = vec![T::ZERO; n.div_ceil(Self::TASK) * Self::TASK * columns];
        Self { d, rows, lanes, columns, distances }
    }

    /// Measures every row's squared distance to every candidate, given by row number.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn measure(&mut self, candidates: &[usize], job: &Job) -> Result<()> {
        let groups: Vec<(Vec<T>, Vec<T>)> = candidates.chunks(WIDTH).map(|group| self.interleave(group)).collect();
        let (d, rows, lanes) = (self.d, self.rows, &self.lanes);
        self.distances.par_chunks_mut(Self::TASK * self.columns).enumerate().try_for_each(|(task, distances)| {
            job.check()?;
            let first = task * Self::TASK;
            let count = Self::TASK.min(rows.norms.len() - first);
            let padded = count.next_multiple_of(T::LANES);
            let mut norms = rows.norms[first..first + count].to_vec();
            norms.resize(padded, T::ZERO);
            let lanes = &lanes[first * d..(first + padded) * d];
            for (g, (coordinates, squares)) in groups.iter().enumerate() {
                let width = WIDTH.min(candidates.len() - g * WIDTH);
                let here = &mut distances[g * WIDTH * Self::TASK..(g * WIDTH + width) * Self::TASK];
                T::panel_distances(lanes, &norms, coordinates, squares, here, Self::TASK);
            }
            Ok(())
        })
    }

    /// Coordinates of up to `WIDTH` candidates, coordinate by coordinate, and their squared norms.
    fn interleave(&self, group: &[usize]) -> (Vec<T>, Vec<T>) {
        let mut coordinates = vec![T::ZERO; self.d * WIDTH];
        let mut squares = vec![T::ZERO; WIDTH];
        for (t, &row) in group.iter().enumerate() {
            for j in 0..self.d {
                coordinates[j * WIDTH + t] = self.rows.rows[row * self.d + j];
            }
            squares[t] = self.rows.norms[row];
        }
        (coordinates, squares)
    }

    /// The distances of `count` rows from `start` on, which must not cross a task, to one candidate.
    fn column(&self, column: usize, start: usize, count: usize) -> &[T] {
        let at = (start / Self::TASK * self.columns + column) * Self::TASK + start % Self::TASK;
        &self.distances[at..at + count]
    }

    /// For some of the measured candidates, `sum a_i max(0, bound_i - distance_i)`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn gains(&self, columns: &[usize], bounds: &[T], weights: &[f64], job: &Job) -> Result<Vec<f64>> {
        let tasks = bounds.par_chunks(Self::TASK).zip(weights.par_chunks(Self::TASK)).enumerate();
        let sums = tasks.map(|(task, (bounds, weights))| {
            job.check()?;
            let start = task * Self::TASK;
            let gain = |&column: &usize| T::gain(bounds, self.column(column, start, bounds.len()), weights);
            Ok(columns.iter().map(gain).collect())
        });
        let sums: Vec<Vec<f64>> = sums.collect::<Result<_>>()?;
        let mut gains = vec![0.0; columns.len()];
        sums.iter().for_each(|task| gains.iter_mut().zip(task).for_each(|(gain, sum)| *gain += sum));
        Ok(gains)
    }

    /// Copies the distances to candidate `column` of the rows from `start` on.
    pub fn copy(&self, column: usize, start: usize, out: &mut [T]) {
        for (part, out) in out.chunks_mut(Self::TASK).enumerate() {
            out.copy_from_slice(self.column(column, start + part * Self::TASK, out.len()));
        }
    }

    /// Lowers the bounds of the rows from `start` on to the distances to candidate `column`.
    pub fn lower(&self, column: usize, start: usize, bounds: &mut [T]) {
        for (part, bounds) in bounds.chunks_mut(Self::TASK).enumerate() {
            let distances = self.column(column, start + part * Self::TASK, bounds.len());
            for (bound, distance) in bounds.iter_mut().zip(distances) {
                *bound = if distance < bound { *distance } else { *bound };
            }
        }
    }
}

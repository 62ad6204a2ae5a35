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
/// Panels that one task takes.
const TASK: usize = 64;

/// The fixed rows.
pub struct Panels<'a, T> {
    d: usize,
    rows: &'a Shifted<T>,
    /// Panel by panel, coordinate by coordinate, lane by lane.
    lanes: Vec<T>,
}

/// What one measurement found.
pub struct Scores<T> {
    trials: usize,
    /// Task by task, candidate by candidate, row by row.
    distances: Vec<T>,
    gains: Vec<f64>,
}

impl<'a, T: Real> Panels<'a, T> {
    /// Transposes the rows.
    #[must_use]
    pub fn new(rows: &'a Shifted<T>, d: usize) -> Self {
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
        Self { d, rows, lanes }
    }

    /// Room for the results of `trials` candidates.
    #[must_use]
    pub fn scores(&self, trials: usize) -> Scores<T> {
        let trials = trials.max(1);
        let n = self.rows.norms.len().div_ceil(T::LANES * TASK) * T::LANES * TASK;
        Scores { trials, distances: vec![T::ZERO; n * trials], gains: vec![0.0; trials] }
    }

    /// Measures every row's squared distance to every candidate (given by row number), and with `bounds` the gain
    /// `sum a_i max(0, bound_i - distance_i)` of each.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn measure(
        &self,
        candidates: &[usize],
        bounds: Option<&[T]>,
        weights: &[f64],
        out: &mut Scores<T>,
        job: &Job,
    ) -> Result<()> {
        let (d, trials) = (self.d, out.trials);
        let groups: Vec<(Vec<T>, Vec<T>)> = candidates.chunks(WIDTH).map(|group| self.interleave(group)).collect();
        let task_rows = TASK * T::LANES;
        let mut sums = vec![0.0; out.distances.len() / (task_rows * trials) * trials];
        out.distances.par_chunks_mut(task_rows * trials).zip(sums.par_chunks_mut(trials)).enumerate().try_for_each(
            |(task, (distances, sums))| {
                job.check()?;
                let first = task * task_rows;
                let count = task_rows.min(self.rows.norms.len() - first);
                let lanes = &self.lanes[first * d..(first + count.next_multiple_of(T::LANES)) * d];
                let mut norms = self.rows.norms[first..first + count].to_vec();
                norms.resize(count.next_multiple_of(T::LANES), T::ZERO);
                for (g, (coordinates, squares)) in groups.iter().enumerate() {
                    let width = WIDTH.min(candidates.len() - g * WIDTH);
                    let here = &mut distances[g * WIDTH * task_rows..(g * WIDTH + width) * task_rows];
                    T::panel_distances(lanes, &norms, coordinates, squares, here, task_rows);
                }
                if let Some(bounds) = bounds {
                    let (bounds, weights) = (&bounds[first..first + count], &weights[first..first + count]);
                    for (t, sum) in sums.iter_mut().enumerate().take(candidates.len()) {
                        *sum = T::gain(bounds, &distances[t * task_rows..t * task_rows + count], weights);
                    }
                }
                Ok::<_, crate::Error>(())
            },
        )?;
        out.gains.fill(0.0);
        sums.chunks(trials).for_each(|task| out.gains.iter_mut().zip(task).for_each(|(gain, sum)| *gain += sum));
        Ok(())
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
}

impl<T: Real> Scores<T> {
    /// The gain of each candidate.
    #[must_use]
    pub fn gains(&self) -> &[f64] {
        &self.gains
    }

    fn distance(&self, trial: usize, row: usize) -> T {
        let task_rows = TASK * T::LANES;
        self.distances[(row / task_rows * self.trials + trial) * task_rows + row % task_rows]
    }

    /// Copies the distances to candidate `trial` of the rows from `start` on.
    pub fn copy_distances(&self, trial: usize, start: usize, out: &mut [T]) {
        out.iter_mut().enumerate().for_each(|(j, bound)| *bound = self.distance(trial, start + j));
    }

    /// Lowers bounds to the distances to candidate `trial`.
    pub fn lower(&self, trial: usize, start: usize, bounds: &mut [T]) {
        for (j, bound) in bounds.iter_mut().enumerate() {
            let distance = self.distance(trial, start + j);
            *bound = if distance < *bound { distance } else { *bound };
        }
    }
}

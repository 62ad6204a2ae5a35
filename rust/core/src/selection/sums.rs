//! Sums of weights by blocks of 1024 rows, and the walk that finds the rows at given heights of the running sum.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::real::Real;
use crate::simd::dispatch;
use rayon::prelude::*;

/// Rows of a block; its sum is formed row after row, from the first to the last.
pub const BLOCK: usize = 1024;
/// Blocks summed side by side, since one chain of additions waits for its own results.
const SIDE: usize = 8;
/// Blocks of one parallel task.
const TASK: usize = 8 * SIDE;

/// The running sum of the weights below a cap, at the block boundaries.
#[derive(Debug)]
pub struct Sums {
    /// Weights from here on count as zero.
    cap: f64,
    /// `prefix[b]` is the sum of the blocks before `b`; the last entry is the total.
    prefix: Vec<f64>,
    /// Rows that count.
    positives: usize,
}

dispatch! {
    /// Sums each block of weights below `cap`; returns how many of them are positive, or None if one is invalid.
    fn sum_blocks<T: Real>(weights: &[T], cap: f64, out: &mut [f64]) -> Option<usize> = sum_blocks_lanes
}

#[inline(always)]
fn sum_blocks_lanes<T: Real>(weights: &[T], cap: f64, out: &mut [f64]) -> Option<usize> {
    let (mut largest, mut positives) = (0, 0);
    for (rows, sums) in weights.chunks(SIDE * BLOCK).zip(out.chunks_mut(SIDE)) {
        for w in rows {
            // The bits of numbers >= 0 ascend with the numbers; those of negative numbers and NaN are above infinity's.
            largest = largest.max((w.wide() + 0.0).to_bits());
            positives += u64::from(*w > T::ZERO && w.wide() < cap);
        }
        if rows.len() == SIDE * BLOCK {
            let mut acc = [0.0; SIDE];
            for j in 0..BLOCK {
                for (l, acc) in acc.iter_mut().enumerate() {
                    *acc += below(rows[l * BLOCK + j].wide(), cap);
                }
            }
            sums.copy_from_slice(&acc);
        } else {
            for (rows, sum) in rows.chunks(BLOCK).zip(sums) {
                *sum = rows.iter().fold(0.0, |acc, w| acc + below(w.wide(), cap));
            }
        }
    }
    (largest < f64::INFINITY.to_bits()).then_some(positives as usize)
}

#[inline(always)]
fn below(w: f64, cap: f64) -> f64 {
    if w < cap { w } else { 0.0 }
}

impl Sums {
    /// Sums the weights below `cap`.
    ///
    /// # Errors
    /// When a weight is NaN, infinite or negative (with its row), or the sum overflows.
    pub fn new<T: Real>(weights: &[T], cap: f64, job: &Job) -> Result<Self> {
        let mut blocks = vec![0.0; weights.len().div_ceil(BLOCK)];
        let counts = weights.par_chunks(TASK * BLOCK).zip(blocks.par_chunks_mut(TASK)).map(|(rows, sums)| {
            job.check()?;
            sum_blocks(rows, cap, sums).ok_or_else(|| bad_weight(weights))
        });
        let positives = counts.try_reduce(|| 0, |a, b| Ok(a + b))?;
        let mut prefix = Vec::with_capacity(blocks.len() + 1);
        let mut total = 0.0;
        prefix.push(total);
        for sum in blocks {
            total += sum;
            prefix.push(total);
        }
        if total == f64::INFINITY {
            return Err(invalid!("weights must be of a finite sum, got {total}"));
        }
        Ok(Self { cap, prefix, positives })
    }

    /// The sum of all weights below the cap.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.prefix[self.prefix.len() - 1]
    }

    /// How many rows have a positive weight below the cap.
    #[must_use]
    pub const fn positives(&self) -> usize {
        self.positives
    }

    /// For each of the ascending `targets` the first row at which the running sum exceeds it; between them, in order,
    /// the rows at or above the cap. A target that rounding carried to the total falls to the last positive row.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn walk<T: Real>(&self, weights: &[T], targets: &[f64], job: &Job) -> Result<Vec<usize>> {
        let blocks = self.prefix.len() - 1;
        let last = (0..blocks).rfind(|&b| self.prefix[b] < self.prefix[b + 1]);
        let parts: Vec<Vec<usize>> = (0..blocks.div_ceil(TASK))
            .into_par_iter()
            .map(|task| {
                job.check()?;
                let mut rows = Vec::new();
                for b in task * TASK..((task + 1) * TASK).min(blocks) {
                    let from = targets.partition_point(|&target| target < self.prefix[b]);
                    let to = match last {
                        Some(last) if b == last => targets.len(),
                        _ => targets.partition_point(|&target| target < self.prefix[b + 1]),
                    };
                    // Blocks after the last positive one own no targets, also not those that rounding carried there.
                    let own = if last.is_some_and(|last| b > last) { &[][..] } else { &targets[from..to] };
                    self.walk_block(weights, b, own, &mut rows);
                }
                Ok(rows)
            })
            .collect::<Result<_>>()?;
        Ok(parts.concat())
    }

    fn walk_block<T: Real>(&self, weights: &[T], block: usize, targets: &[f64], rows: &mut Vec<usize>) {
        if targets.is_empty() && self.cap == f64::INFINITY {
            return;
        }
        let first = block * BLOCK;
        let mut targets = targets.iter().peekable();
        // The last row of positive weight, and the place behind it among the rows that are found.
        let (mut sum, mut last) = (0.0, None);
        for (i, w) in (first..).zip(weights[first..].iter().take(BLOCK)) {
            let w = w.wide();
            if w >= self.cap {
                rows.push(i);
            } else if w > 0.0 {
                sum += w;
                // Strict: a target at the edge belongs to the row that begins there.
                let edge = self.prefix[block] + sum;
                while targets.next_if(|&&target| target < edge).is_some() {
                    rows.push(i);
                }
                last = Some((i, rows.len()));
            }
        }
        if let Some((row, place)) = last {
            rows.splice(place..place, targets.map(|_| row));
        }
    }
}

/// The error that names the first weight which is not a finite number of at least zero.
pub fn bad_weight<T: Real>(weights: &[T]) -> crate::Error {
    let bad = |w: &T| !(*w >= T::ZERO && *w < T::INFINITY);
    match weights.iter().position(bad) {
        Some(row) => invalid!("weights must be finite and >= 0, got {} at row {row}", weights[row]),
        None => invalid!("weights must be finite and >= 0, got one that changed during the call"),
    }
}

/// The error for a draw without replacement of more rows than there are.
#[must_use]
pub fn too_few(positives: usize, size: usize) -> crate::Error {
    invalid!("size must be at most the number of positive weights, {positives}, got {size}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_at_and_beyond_the_edges_fall_to_positive_rows() {
        let mut weights = vec![0.0; 3 * BLOCK];
        (weights[3], weights[BLOCK + 1], weights[BLOCK + 2]) = (1.0, 2.0, 4.0);
        let sums = Sums::new(&weights, f64::INFINITY, &Job::default()).unwrap();
        let rows = sums.walk(&weights, &[0.0, 0.5, 1.0, 3.0, 7.0, 7.1], &Job::default()).unwrap();
        assert_eq!(rows, [3, 3, BLOCK + 1, BLOCK + 2, BLOCK + 2, BLOCK + 2]);
        assert_eq!((sums.total(), sums.positives()), (7.0, 3));
    }

    #[test]
    fn rows_at_the_cap_come_in_between_and_carry_no_mass() {
        let weights = [1.0f32, 9.0, 1.0, 0.0, 9.5];
        let sums = Sums::new(&weights, 9.0, &Job::default()).unwrap();
        assert_eq!((sums.total(), sums.positives()), (2.0, 2));
        assert_eq!(sums.walk(&weights, &[1.5], &Job::default()).unwrap(), [1, 2, 4]);
    }

    #[test]
    fn a_target_beyond_the_total_stays_in_order() {
        let weights = [1.0, 1.0, 9.0, 9.5];
        let sums = Sums::new(&weights, 9.0, &Job::default()).unwrap();
        assert_eq!(sums.walk(&weights, &[2.0], &Job::default()).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn side_by_side_sums_are_the_sequential_ones() {
        let weights: Vec<f64> = (0..9 * BLOCK + 77).map(|i| f64::from(i as u32).sin().abs()).collect();
        let sums = Sums::new(&weights, f64::INFINITY, &Job::default()).unwrap();
        let mut total = 0.0;
        for (rows, prefix) in weights.chunks(BLOCK).zip(&sums.prefix[1..]) {
            total += rows.iter().fold(0.0, |acc, w| acc + w);
            assert_eq!(total, *prefix);
        }
    }
}

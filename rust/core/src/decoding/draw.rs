//! Exact draws from a short list of weights.

use crate::decoding::at;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;

/// Draws of [`decode`](crate::decoding).
pub const DECODE: u64 = 0x400;
/// Draws from distributions that the caller has.
pub const SAMPLE: u64 = 0x401;

/// Where a draw stands: the numbers of one seed, read at row and step, so that nothing depends on the batch.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The seed.
    pub seed: u64,
    /// Number of the row, or of the request it belongs to; its lower 32 bits count.
    pub row: u64,
    /// Number of the step; its lower 32 bits count.
    pub step: u64,
}

impl Place {
    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    #[must_use]
    pub fn uniform(&self, stream: u64) -> f64 {
        Stream::new(self.seed, stream).uniform(self.row << 32 | self.step & u64::from(u32::MAX))
    }
}

/// The places of the rows of a call. Slices hold a number for each row, or one for all.
#[derive(Debug)]
pub struct Places<'a> {
    /// The seeds.
    pub seed: &'a [u64],
    /// The numbers of the rows; none: 0, 1, ...
    pub row: Option<&'a [u64]>,
    /// The steps.
    pub step: &'a [u64],
}

impl Places<'_> {
    /// The place of a row.
    #[must_use]
    pub fn at(&self, row: usize) -> Place {
        let number = self.row.map_or(row as u64, |numbers| at(numbers, row));
        Place { seed: at(self.seed, row), row: number, step: at(self.step, row) }
    }
}

/// A draw: the token, how many there were to choose from, and the logarithm of its probability.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Draw {
    /// Its place in the row of logits.
    pub token: i64,
    /// Tokens that could be drawn.
    pub size: i64,
    /// log of its probability among them.
    pub log_probability: f64,
}

/// Draws one of the first `sizes[i]` of the `k` tokens of row `i`, by weights that need not sum to 1.
///
/// # Errors
/// When a size is not from 1 to k, a weight is negative or not finite, all are 0, a token of them is negative, or the job
/// was stopped.
pub fn sample<T: Real>(
    indices: &[i64],
    weights: &[T],
    sizes: &[i64],
    k: usize,
    places: &Places,
    draws: &mut [Draw],
    job: &Job,
) -> Result<()> {
    for (row, (draw, &size)) in draws.iter_mut().zip(sizes).enumerate() {
        if row % 1024 == 0 {
            job.check()?;
        }
        let Some(count) = usize::try_from(size).ok().filter(|count| (1..=k).contains(count)) else {
            return Err(invalid!("size must be from 1 to {k}, got {size} in row {row}"));
        };
        let (indices, weights) = (&indices[row * k..][..count], &weights[row * k..][..count]);
        if let Some(wrong) = weights.iter().find(|x| !(x.is_finite() && **x >= T::ZERO)) {
            return Err(invalid!("values must be finite and >= 0, got {wrong} in row {row}"));
        }
        let weights: Vec<f64> = weights.iter().map(|x| x.wide()).collect();
        let Some(place) = pick(&weights, places.at(row).uniform(SAMPLE)) else {
            return Err(invalid!("values must have a positive, finite sum, got row {row} without one"));
        };
        if indices[place] < 0 {
            return Err(invalid!(
                "indices must be >= 0 in the first {size} places, got {} in row {row}",
                indices[place]
            ));
        }
        let whole: f64 = weights.iter().sum();
        *draw = Draw { token: indices[place], size, log_probability: libm::log(weights[place] / whole) };
    }
    Ok(())
}

/// The first place whose running sum exceeds `u` times the whole sum, in double precision; none where that is 0.
///
/// A weight of 0 is never chosen: the running sum stays there what it was. With u = 0 it is the first weight > 0, and the
/// last weight > 0 is reached without a guard. The sum runs from left to right, so decreasing weights make it short.
#[must_use]
pub fn pick(weights: &[f64], u: f64) -> Option<usize> {
    let whole = weights.iter().fold(0.0, |sum, weight| sum + weight);
    let target = u * whole;
    let mut sum = 0.0;
    weights.iter().position(|weight| {
        sum += weight;
        sum > target
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_reached_and_zeros_are_not() {
        let weights = [0.0, 0.5, 0.0, 0.3, 1e-15, 0.2, 0.0];
        assert_eq!(pick(&weights, 0.0), Some(1));
        assert_eq!(pick(&weights, 1.0 - f64::EPSILON / 2.0), Some(5));
        let (mut sum, whole) = (0.0, weights.iter().fold(0.0, |sum, weight| sum + weight));
        for (j, weight) in weights.iter().enumerate() {
            if *weight > 0.0 {
                assert_eq!(pick(&weights, (sum + weight / 2.0) / whole), Some(j));
            }
            sum += weight;
        }
        assert_eq!(pick(&[0.25, 0.25, 0.5], 0.25), Some(1)); // on a boundary the next one: the interval is half open
        assert_eq!(pick(&[0.0, 0.0], 0.5), None);
        assert_eq!(pick(&[], 0.5), None);
    }
}

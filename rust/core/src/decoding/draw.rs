//! Exact draws from a short list of weights.

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

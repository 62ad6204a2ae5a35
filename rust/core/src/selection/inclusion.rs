//! Inclusion probabilities `min(1, tau w)` that sum to the sample size.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::real::Real;
use crate::selection::sums::{Sums, too_few};
use rayon::prelude::*;

/// The smallest positive number.
const SMALLEST: f64 = f64::from_bits(1);
/// 2^-900: a size over a smaller total may overflow.
const TINY: f64 = f64::from_bits((1023 - 900) << 52);
/// 2^600.
const UP: f64 = f64::from_bits((1023 + 600) << 52);

/// The map from weights to inclusion probabilities: 1 from `cap` on, `tau w scale` below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inclusion {
    tau: f64,
    /// 1, or a power of two that brings tiny weights to where `tau` does not overflow.
    scale: f64,
    cap: f64,
    certain: usize,
}

impl Inclusion {
    /// Weights that are inclusion probabilities already.
    #[must_use]
    pub fn given<T: Real>(probabilities: &[T]) -> Self {
        Self { tau: 1.0, scale: 1.0, cap: 1.0, certain: probabilities.par_iter().filter(|p| p.wide() >= 1.0).count() }
    }

    /// Water-filling: raises `tau` until the probabilities, cut at 1, sum to `size`.
    ///
    /// # Errors
    /// When fewer than `size` weights are positive; as [`Sums::new`].
    pub fn of<T: Real>(weights: &[T], size: usize, job: &Job) -> Result<Self> {
        let mut sums = Sums::new(weights, f64::INFINITY, job)?;
        let positives = sums.positives();
        if positives < size {
            return Err(too_few(positives, size));
        }
        let mut filled = Self { tau: 0.0, scale: 1.0, cap: f64::INFINITY, certain: 0 };
        loop {
            filled.certain = positives - sums.positives();
            if sums.positives() <= size.saturating_sub(filled.certain) {
                return Ok(Self { tau: 0.0, scale: 1.0, cap: SMALLEST, certain: positives });
            }
            // Certain rows can use up the size only by rounding, where the others together weigh next to nothing: they
            // keep the multiplier at hand, lest a positive weight get probability zero.
            if size > filled.certain {
                filled.scale = if sums.total() < TINY { UP } else { 1.0 };
                filled.tau = (size - filled.certain) as f64 / (sums.total() * filled.scale);
            }
            // The smallest weight whose share would reach 1; the certain rows are those from it on.
            let least = weights.par_iter().map(|w| w.wide()).filter(|&w| w < filled.cap && filled.share(w) >= 1.0);
            let least = least.reduce(|| f64::INFINITY, f64::min);
            if least == f64::INFINITY {
                return Ok(filled);
            }
            filled.cap = least;
            sums = Sums::new(weights, filled.cap, job)?;
        }
    }

    /// The inclusion probability of a row of weight `w`.
    #[inline]
    #[must_use]
    pub fn probability(&self, w: f64) -> f64 {
        if w >= self.cap { 1.0 } else { self.share(w) }
    }

    #[inline]
    fn share(&self, w: f64) -> f64 {
        self.tau * (w * self.scale)
    }

    /// Weights from here on are included for certain.
    #[must_use]
    pub const fn cap(&self) -> f64 {
        self.cap
    }

    /// How many rows are included for certain.
    #[must_use]
    pub const fn certain(&self) -> usize {
        self.certain
    }
}

/// The inclusion probabilities of all rows: `min(1, tau w)`, of sum `size`.
///
/// # Errors
/// As [`Inclusion::of`].
pub fn inclusion<T: Real>(weights: &[T], size: usize, job: &Job) -> Result<Vec<f64>> {
    if size == 0 {
        return Err(invalid!("size must be >= 1, got 0"));
    }
    let filled = Inclusion::of(weights, size, job)?;
    Ok(weights.par_iter().with_min_len(4096).map(|w| filled.probability(w.wide())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heavy_rows_are_certain_and_the_sum_is_the_size() {
        let weights = [0.0, 1.0, 1.0, 2.0, 50.0, 8.0];
        let pi = inclusion(&weights, 3, &Job::default()).unwrap();
        assert_eq!((pi[0], pi[4], pi[5]), (0.0, 1.0, 1.0));
        assert_eq!(pi[1..4], [0.25, 0.25, 0.5]);
    }

    #[test]
    fn a_weight_lost_in_rounding_keeps_a_positive_probability() {
        assert_eq!(inclusion(&[1.0, 1e16], 1, &Job::default()).unwrap(), [1e-16, 1.0]);
    }

    #[test]
    fn subnormal_weights_have_their_shares() {
        let tiny = [SMALLEST, 2.0 * SMALLEST, SMALLEST, 12.0 * SMALLEST];
        assert_eq!(inclusion(&tiny, 1, &Job::default()).unwrap(), [0.0625, 0.125, 0.0625, 0.75]);
        assert_eq!(inclusion(&tiny, 2, &Job::default()).unwrap(), [0.25, 0.5, 0.25, 1.0]);
    }

    #[test]
    fn all_positive_rows_when_the_size_is_their_number() {
        assert_eq!(inclusion(&[3.0, 0.0, 1e-300], 2, &Job::default()).unwrap(), [1.0, 0.0, 1.0]);
    }
}

//! The rows to seed from, and the exact power-of-two scale that keeps their squared distances in range.

use crate::error::{Error, Result, invalid};
use crate::job::Job;
use crate::real::Real;
use rayon::prelude::*;

/// Rows of one unit of summation and of work.
pub const BLOCK: usize = 1024;

/// `n` rows of `d` numbers, row-major, with optional weights.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a, T> {
    rows: &'a [T],
    d: usize,
    weights: Option<&'a [f64]>,
}

impl<'a, T: Real> Points<'a, T> {
    /// Wraps a matrix of `d` columns.
    ///
    /// # Errors
    /// When there is no column, too many rows, or `weights` are of another length, negative, not finite or all zero.
    pub fn new(rows: &'a [T], d: usize, weights: Option<&'a [f64]>) -> Result<Self> {
        if d == 0 {
            return Err(invalid!("X must have at least one column, got 0"));
        }
        let n = rows.len() / d;
        if n >= u32::MAX as usize {
            return Err(invalid!("X must have fewer than {} rows, got {n}", u32::MAX));
        }
        if let Some(weights) = weights {
            check_weights(weights, n)?;
        }
        Ok(Self { rows, d, weights })
    }

    /// Number of rows.
    #[must_use]
    pub fn n(&self) -> usize {
        self.rows.len() / self.d
    }

    /// Number of columns.
    #[must_use]
    pub fn d(&self) -> usize {
        self.d
    }

    /// Row `i`.
    #[inline]
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [T] {
        &self.rows[i * self.d..(i + 1) * self.d]
    }

    /// Rows `start..end`, contiguous.
    #[inline]
    #[must_use]
    pub fn range(&self, start: usize, end: usize) -> &'a [T] {
        &self.rows[start * self.d..end * self.d]
    }

    /// Weight of row `i`.
    #[inline]
    #[must_use]
    pub fn weight(&self, i: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[i])
    }

    /// The weights, if any were given.
    #[must_use]
    pub fn weights(&self) -> Option<&'a [f64]> {
        self.weights
    }

    /// Row `i` times `scale` (a power of two): the form in which centres are kept.
    #[must_use]
    pub fn scaled(&self, i: usize, scale: T) -> Vec<T> {
        self.row(i).iter().map(|&x| x * scale).collect()
    }

    /// The weighted mean of the rows times `scale`, summed in `f64` block by block.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn mean(&self, scale: T, job: &Job) -> Result<Vec<T>> {
        let partial: Vec<(Vec<f64>, f64)> = (0..self.n().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                job.check()?;
                let mut sum = vec![0.0; self.d];
                let mut mass = 0.0;
                for i in block * BLOCK..((block + 1) * BLOCK).min(self.n()) {
                    let a = self.weight(i);
                    mass += a;
                    sum.iter_mut().zip(self.row(i)).for_each(|(s, x)| *s += a * (x.wide() * scale.wide()));
                }
                Ok((sum, mass))
            })
            .collect::<Result<_>>()?;
        let mut sum = vec![0.0; self.d];
        let mut mass = 0.0;
        for (block, a) in &partial {
            mass += a;
            sum.iter_mut().zip(block).for_each(|(s, x)| *s += x);
        }
        Ok(sum.iter().map(|s| T::of(s / mass)).collect())
    }

    /// The first entry that is NaN or infinite, as an error.
    ///
    /// # Errors
    /// [`Error::NotFinite`] or [`Error::Interrupted`].
    pub fn check_finite(&self, argument: &'static str, job: &Job) -> Result<()> {
        let first = self.rows.par_chunks(BLOCK * self.d).enumerate().find_map_first(|(block, rows)| {
            let stopped = job.check().is_err();
            let bad = rows.iter().position(|x| !x.is_finite()).map(|at| block * BLOCK * self.d + at);
            if stopped { Some(usize::MAX) } else { bad }
        });
        job.check()?;
        first.map_or(Ok(()), |at| Err(not_finite(argument, at, self.d, self.rows[at])))
    }

    /// The largest absolute difference to `center`, as `f64`; infinite if a difference overflows.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn reach(&self, center: &[T], job: &Job) -> Result<f64> {
        self.rows
            .par_chunks(BLOCK * self.d)
            .map(|rows| {
                job.check()?;
                let worst = rows
                    .chunks_exact(self.d)
                    .flat_map(|row| row.iter().zip(center).map(|(x, c)| (x.wide() / 2.0 - c.wide() / 2.0).abs()))
                    .fold(0.0, f64::max);
                Ok(worst)
            })
            .try_reduce(|| 0.0, |a: f64, b: f64| Ok(a.max(b)))
            .map(|half| half * 2.0)
    }
}

fn not_finite<T: Real>(argument: &'static str, at: usize, d: usize, value: T) -> Error {
    Error::NotFinite { argument, row: at / d, column: at % d, value: value.to_string() }
}

/// Weights must be finite, not negative and not all zero.
///
/// # Errors
/// [`Error::Invalid`] with the position.
pub fn check_weights(weights: &[f64], n: usize) -> Result<()> {
    if weights.len() != n {
        return Err(invalid!("sample_weight must have one weight per row ({n}), got {}", weights.len()));
    }
    if let Some(i) = weights.iter().position(|a| !(a.is_finite() && *a >= 0.0)) {
        return Err(invalid!("sample_weight must be finite and not negative, got {} at position {i}", weights[i]));
    }
    if n > 0 && weights.iter().all(|&a| a == 0.0) {
        return Err(invalid!("sample_weight must have a positive entry, got zeros only"));
    }
    Ok(())
}

/// The power of two that brings `reach` (a largest absolute coordinate difference) near one.
#[must_use]
pub fn power_of_two_for<T: Real>(reach: f64) -> T {
    let exponent = -libm::ilogb(reach).clamp(-1000, 1000);
    T::of(libm::ldexp(1.0, exponent.clamp(-T::EXPONENT, T::EXPONENT)))
}

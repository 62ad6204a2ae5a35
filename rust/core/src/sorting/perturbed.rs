//! Noise for perturbed optimisers, drawn by counter and so never stored, and its products with coefficients.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::rng::{Stream, unit};
use crate::sorting::lists::{Lists, Output};

/// What one random number costs, about, in nanoseconds.
pub const COST: usize = 40;

/// The random numbers' stream for each distribution.
const STREAMS: [u64; 2] = [0x300, 0x301];

/// The distribution of the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Normal, of mean 0 and variance 1.
    Gaussian,
    /// With distribution function `exp(-exp(-z))`.
    Gumbel,
}

/// The noise of all samples of all rows. Sample m of row r takes the numbers from `(r * samples + m) * n` on, so that a
/// row's noise depends neither on the rows after it nor on how many samples are drawn at a time.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Its distribution.
    pub noise: Noise,
    /// The seed.
    pub seed: u64,
    /// Samples of a row.
    pub samples: usize,
    /// Items of a row.
    pub n: usize,
}

impl Source {
    /// Calls `each(j, z, w)` for every item of a sample: z is the noise and w the derivative of minus its log density.
    fn sample(&self, row: usize, m: usize, mut each: impl FnMut(usize, f64, f64)) {
        let first = (row * self.samples + m) as u64 * self.n as u64;
        let stream = Stream::new(self.seed, STREAMS[self.noise as usize]);
        match self.noise {
            Noise::Gaussian => {
                let mut j = 0;
                while j < self.n {
                    let index = first + j as u64;
                    let pair = normal_pair(stream.pair(index >> 1));
                    for &z in &pair[(index & 1) as usize..] {
                        if j < self.n {
                            each(j, z, z);
                            j += 1;
                        }
                    }
                }
            }
            Noise::Gumbel => {
                for j in 0..self.n {
                    // ln u = -exp(-z), so that the derivative 1 - exp(-z) is 1 + ln u.
                    let log = libm::log(unit(stream.word(first + j as u64)) + 0.5 / (1u64 << 53) as f64);
                    each(j, -libm::log(-log), 1.0 + log);
                }
            }
        }
    }
}

/// Two independent normal numbers (Box and Muller, 1958).
fn normal_pair([a, b]: [u64; 2]) -> [f64; 2] {
    let radius = (-2.0 * libm::log(1.0 - unit(a))).sqrt();
    let (sine, cosine) = libm::sincos(std::f64::consts::TAU * unit(b));
    [radius * cosine, radius * sine]
}

/// Fills `out`, of shape (samples of the range, rows, n), with `x + sigma z`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn points<T: Real>(source: &Source, x: &[T], sigma: f64, first: usize, out: &mut [T], job: &Job) -> Result<()> {
    let Some(rows) = x.len().checked_div(source.n).filter(|&rows| rows > 0) else { return Ok(()) };
    let (count, out) = (out.len() / x.len(), Output::new(out));
    // A list is a sample of a row: many samples of one row are spread over threads as well.
    Lists::even(count * rows, source.n).each(
        job,
        || (),
        |(), list, range| {
            let row = list % rows;
            let x = &x[row * source.n..][..source.n];
            // SAFETY: lists do not overlap.
            let out = unsafe { out.part(range) };
            source.sample(row, first + list / rows, |j, z, _| out[j] = T::of(sigma.mul_add(z, x[j].wide())));
            Ok(())
        },
    )
}

/// Adds to `total`, of shape (rows, n), each sample's coefficient of its row times the derivative of minus the noise's log
/// density; `coefficients` is of shape (samples of the range, rows). Samples are added in their order.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn pull(source: &Source, coefficients: &[f64], first: usize, total: &mut [f64], job: &Job) -> Result<()> {
    let Some(rows) = total.len().checked_div(source.n).filter(|&rows| rows > 0) else { return Ok(()) };
    let total = Output::new(total);
    Lists::even(rows, source.n).each(
        job,
        || (),
        |(), row, range| {
            // SAFETY: lists do not overlap.
            let total = unsafe { total.part(range) };
            for (m, of_sample) in coefficients.chunks_exact(rows).enumerate() {
                source.sample(row, first + m, |j, _, w| total[j] += of_sample[row] * w);
            }
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_row_sample_and_item_alone() {
        for noise in [Noise::Gaussian, Noise::Gumbel] {
            let source = Source { noise, seed: 5, samples: 4, n: 3 };
            let (mut all, mut two) = (vec![0.0; 4 * 2 * 3], vec![0.0; 2 * 2 * 3]);
            points(&source, &[0.0; 6], 1.0, 0, &mut all, &Job::default()).unwrap();
            points(&source, &[0.0; 6], 1.0, 2, &mut two, &Job::default()).unwrap();
            assert_eq!(all[12..], two);
            let mut one = vec![0.0; 4 * 3];
            points(&source, &[0.0; 3], 1.0, 0, &mut one, &Job::default()).unwrap();
            assert!((0..4).all(|m| one[3 * m..][..3] == all[6 * m..][..3]));
        }
    }
}

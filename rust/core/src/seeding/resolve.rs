//! Which earlier survivor of a batch would, once accepted, reject which later one.

use crate::error::Result;
use crate::job::Job;
use crate::real::{Real, band};
use crate::seeding::score::Shifted;
use rayon::prelude::*;

/// Rows of the triangle that one task takes: one word of bits.
const ROWS: usize = 64;

/// The survivors of a batch in proposal order.
pub struct Survivors<'a, T> {
    /// Their shifted rows.
    pub shifted: &'a Shifted<T>,
    /// Their limits `u w`.
    pub limits: Vec<f64>,
    /// The canonical squared distance between two of them.
    pub distance: &'a (dyn Fn(usize, usize) -> T + Sync),
}

/// A strictly lower triangular bit matrix.
pub struct Hits {
    words: usize,
    bits: Vec<u64>,
}

impl Hits {
    /// Bit `a` of row `b` is set when survivor `a < b`, if accepted, rejects `b`.
    #[must_use]
    pub fn row(&self, b: usize) -> &[u64] {
        &self.bits[b * self.words..(b + 1) * self.words]
    }
}

/// Fills the triangle: bit (b, a) = canonical distance of a and b at most the limit of b, the later one.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn hits<T: Real>(survivors: &Survivors<'_, T>, job: &Job) -> Result<Hits> {
    let count = survivors.limits.len();
    let words = count.div_ceil(64);
    let mut bits = vec![0u64; count * words];
    let d = survivors.shifted.rows.len() / count.max(1);
    let norms = &survivors.shifted.norms;
    bits.par_chunks_mut((ROWS * words).max(1)).enumerate().try_for_each(|(strip, bits)| {
        job.check()?;
        let first = strip * ROWS;
        let last = (first + ROWS).min(count);
        let mut products = vec![T::ZERO; (last - first) * last];
        let rows = &survivors.shifted.rows;
        T::product(&rows[first * d..last * d], &rows[..last * d], d, &mut products, last);
        let widest = norms[..last].iter().map(|x| x.wide()).fold(0.0, f64::max).sqrt();
        let mut candidates = Vec::new();
        for b in first..last {
            let own = norms[b].wide();
            let slack = band::<T>(d) * (own.sqrt() + widest).powi(2) + T::TINY;
            let limit = survivors.limits[b];
            let here = &products[(b - first) * last..(b - first) * last + b];
            let highest = limit + slack - own;
            candidates.clear();
            T::below(&norms[..b], here, T::of(highest + highest.abs() * 4.0 * T::UNIT), &mut candidates);
            for &a in &candidates {
                let a = a as usize;
                let rough = own + norms[a].wide() - 2.0 * here[a].wide();
                if rough < limit - slack || (survivors.distance)(a, b).wide() <= limit {
                    bits[(b - first) * words + a / 64] |= 1 << (a % 64);
                }
            }
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok(Hits { words, bits })
}

//! Uniforms in bulk: the numbers of [`Stream::uniform`], many lanes at a time.

use crate::elementary::ln_f64;
use crate::rng::{Stream, unit};
use crate::simd::dispatch;

/// Rows whose uniforms are made together: they stay in the first-level cache.
pub const TILE: usize = 1024;
/// Blocks of two numbers in flight, enough to hide the latency of the multiplications.
const LANES: usize = 32;

dispatch! {
    /// Fills `out` with the uniforms `first..first + out.len()` of `stream`; `first` is even.
    pub fn uniforms(stream: Stream, first: u64, out: &mut [f64]) = uniforms_lanes
}

#[inline(always)]
fn uniforms_lanes(stream: Stream, first: u64, out: &mut [f64]) {
    let mut block = first / 2;
    let mut chunks = out.chunks_exact_mut(2 * LANES);
    for chunk in &mut chunks {
        let mut words = [[0u64; 2]; LANES];
        for (lane, pair) in words.iter_mut().enumerate() {
            *pair = stream.pair(block + lane as u64);
        }
        for (pair, word) in chunk.chunks_exact_mut(2).zip(words) {
            pair[0] = unit(word[0]);
            pair[1] = unit(word[1]);
        }
        block += LANES as u64;
    }
    for pair in chunks.into_remainder().chunks_mut(2) {
        let word = stream.pair(block);
        pair.iter_mut().zip(word).for_each(|(value, word)| *value = unit(word));
        block += 1;
    }
}

dispatch! {
    /// Replaces each uniform by its [`exponential`].
    pub fn exponentials(values: &mut [f64]) = exponentials_lanes
}

#[inline(always)]
fn exponentials_lanes(values: &mut [f64]) {
    values.iter_mut().for_each(|value| *value = exponential(*value));
}

/// `-ln(1 - u)`: the exponential variate of a uniform in [0, 1) that is a multiple of 2^-53, so that 1 - u is exact.
#[inline(always)]
#[must_use]
pub fn exponential(u: f64) -> f64 {
    -ln_f64(1.0 - u)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_equals_single() {
        for len in [1, 2, 63, 64, 65, 1000] {
            let stream = Stream::new(0x1234_5678_9abc, 0x200);
            let first = (1u64 << 33) - 10; // the counter's upper half changes inside
            let mut out = vec![0.0; len];
            uniforms(stream, first, &mut out);
            assert!(out.iter().zip(first..).all(|(&value, index)| value == stream.uniform(index)));
        }
    }
}

//! Successive draws without replacement by exponential keys, in one pass.
//!
//! Row `i` has the key `E_i / w_i`, with `E_i = -ln(1 - V_i)` and `V_i` the uniform number `i` of the stream. The rows of
//! the smallest keys, in ascending order, are successive draws in proportion to the weights. Since `E >= V`, a key can be
//! below a limit only if `V <= w * limit`: all but the few rows for which this holds go without a logarithm. The limit
//! comes from a sample of the weights; whenever it was too low the pass is repeated with a higher one, so that the
//! smallest keys are found in every case and the guess decides about the time only.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::selection::sums::{bad_weight, too_few};
use crate::selection::uniforms::{TILE, exponentials, uniforms};
use crate::selection::{Drawn, streams};
use crate::simd::dispatch;
use rayon::prelude::*;

/// Rows of one parallel task.
const TASK: usize = 64 * TILE;
/// Keys that are sorted together.
const RANGE: usize = 64;
/// Rows of the sample from which the limit is guessed.
const GUESS: usize = 8192;
/// `V <= w * limit` must hold whenever the rounded key is at most the limit: a few roundings of slack.
const SLACK: f64 = 1.0 + 1.0 / (1u64 << 40) as f64;

/// Draws `size` rows without replacement; the rows come in the order of drawing.
///
/// The weight of a row is `1 / q`, `q = 1 - exp(-w tau)`, with `tau` the smallest key that was not drawn (1 if none is
/// left): the inverse of its probability given all other keys. Equal keys go to the lower row first.
///
/// # Errors
/// When a weight is NaN, infinite or negative (with its row), or fewer than `size` weights are positive.
pub fn keys<T: Real>(weights: &[T], size: usize, with_weights: bool, seed: u64, job: &Job) -> Result<Drawn> {
    if size == 0 {
        return Err(invalid!("size must be >= 1, got 0"));
    }
    let mut scan = Scan::guess(weights, size, seed);
    let found = loop {
        let found = scan.pass(weights, seed, job)?;
        let count: usize = found.iter().map(|part| part.keys.len()).sum();
        let largest = found.iter().map(|part| part.largest).fold(0.0, f64::max);
        if let Some(scale) = rescaled(scan.scale, largest) {
            scan = Scan { scale, limit: f64::INFINITY };
        } else if count > size || scan.limit == f64::INFINITY {
            break found;
        } else {
            let positives = weights.par_iter().filter(|&&w| w > T::ZERO).count();
            if positives < size {
                return Err(too_few(positives, size));
            }
            let higher = scan.limit * 4.0 * (size + 1) as f64 / (count + 1) as f64;
            scan.limit = if positives == size { f64::INFINITY } else { higher };
        }
    };
    let keys = ascending(&found, job)?;
    if keys.len() < size {
        return Err(too_few(keys.len(), size));
    }
    let rows = keys[..size].par_iter().with_min_len(4096).map(|&key| key as u64 as usize).collect::<Vec<_>>();
    let weights = if with_weights { inverses(weights, &rows, keys.get(size), scan.scale) } else { Vec::new() };
    Ok(Drawn { rows, weights })
}

/// `1 / (1 - exp(-w tau))` for the drawn rows, with `tau` the first key that was not drawn.
fn inverses<T: Real>(weights: &[T], rows: &[usize], next: Option<&u128>, scale: f64) -> Vec<f64> {
    let mut out = vec![1.0; rows.len()];
    let Some(&next) = next else { return out };
    let tau = f64::from_bits((next >> 64) as u64);
    out.par_chunks_mut(1024).zip(rows.par_chunks(1024)).for_each(|(out, rows)| {
        // The scattered reads go first, so that they wait for memory side by side.
        out.iter_mut().zip(rows).for_each(|(out, &row)| *out = weights[row].wide());
        for out in out {
            *out = -1.0 / libm::expm1(-(*out * scale * tau));
        }
    });
    out
}

/// Sorts keys: one scattering into short ranges, then each range alone.
///
/// Keys are spread evenly enough over their range for this; where they are not, a range is long and takes a long sort.
fn ascending(found: &[Found], job: &Job) -> Result<Vec<u128>> {
    let keys = || found.iter().flat_map(|part| &part.keys);
    let count: usize = found.iter().map(|part| part.keys.len()).sum();
    let value = |key: u128| f64::from_bits((key >> 64) as u64);
    let top = keys().map(|&key| value(key)).fold(f64::MIN_POSITIVE, f64::max);
    let ranges = (count / RANGE).max(1);
    let range = |key: u128| ((value(key) / top * ranges as f64) as usize).min(ranges - 1);
    let mut starts = vec![0; ranges + 1];
    for part in found {
        job.check()?;
        part.keys.iter().for_each(|&key| starts[range(key) + 1] += 1);
    }
    for r in 0..ranges {
        starts[r + 1] += starts[r];
    }
    let mut free = starts.clone();
    let mut sorted = vec![0; count];
    for part in found {
        job.check()?;
        for &key in &part.keys {
            let at = &mut free[range(key)];
            sorted[*at] = key;
            *at += 1;
        }
    }
    let mut rest = sorted.as_mut_slice();
    let mut parts = Vec::with_capacity(ranges);
    for pair in starts.windows(2) {
        let (part, tail) = rest.split_at_mut(pair[1] - pair[0]);
        parts.push(part);
        rest = tail;
    }
    parts.into_par_iter().with_min_len(64).try_for_each(|part| {
        job.check()?;
        if part.len() < 100 * RANGE {
            part.sort_unstable();
        } else {
            part.par_sort_unstable();
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok(sorted)
}

/// One pass: which keys are looked for.
#[derive(Debug, Clone, Copy)]
struct Scan {
    /// Power of two by which weights are multiplied, lest keys of tiny weights overflow.
    scale: f64,
    /// Keys (of scaled weights) up to this limit are kept.
    limit: f64,
}

/// What a pass found: key bits in the upper half, the row in the lower.
struct Found {
    keys: Vec<u128>,
    largest: f64,
}

impl Scan {
    /// A limit below which `size + 1` keys lie, most probably, and not many more.
    fn guess<T: Real>(weights: &[T], size: usize, seed: u64) -> Self {
        let n = weights.len();
        let stream = Stream::new(seed, streams::GUESS);
        let pick = |i: usize| if n <= GUESS { i } else { stream.below(i as u64, n as u64) as usize };
        let positive = |i: usize| weights[pick(i)].wide().max(0.0);
        let mut sample: Vec<f64> = (0..n.min(GUESS)).map(positive).filter(|&w| w < f64::INFINITY).collect();
        let scale = scale_for(sample.iter().copied().fold(0.0, f64::max));
        for w in &mut sample {
            *w *= scale;
        }
        let wanted = (size + 1) as f64;
        let target = wanted + 5.0 * wanted.sqrt() + 10.0;
        let reached = |limit: f64| expected(&sample, n, limit) >= target;
        // A power of two that is high enough, then its binary digits.
        let mut high =
            target / (sample.iter().sum::<f64>().max(f64::MIN_POSITIVE) / sample.len().max(1) as f64 * n as f64);
        let mut doublings = 0;
        while !reached(high) {
            doublings += 1;
            if doublings > 40 {
                return Self { scale, limit: f64::INFINITY };
            }
            high *= 2.0;
        }
        let (mut low, mut limit) = (high / 2.0, high);
        for _ in 0..8 {
            let middle = f64::midpoint(low, limit);
            if reached(middle) { limit = middle } else { low = middle }
        }
        Self { scale, limit }
    }

    fn pass<T: Real>(self, weights: &[T], seed: u64, job: &Job) -> Result<Vec<Found>> {
        let stream = Stream::new(seed, streams::KEYS);
        let tasks = weights.par_chunks(TASK).enumerate().map(|(task, rows)| {
            job.check()?;
            let mut found = Found { keys: Vec::new(), largest: 0.0 };
            let (mut draws, mut marks) = ([0.0; TILE], [0; TILE]);
            for (tile, rows) in rows.chunks(TILE).enumerate() {
                let first = task * TASK + tile * TILE;
                let draws = &mut draws[..rows.len()];
                uniforms(stream, first as u64, draws);
                let largest = mark(rows, draws, self.scale, self.limit * SLACK, &mut marks);
                if !(0.0..f64::INFINITY).contains(&largest) {
                    return Err(bad_weight(weights));
                }
                found.largest = found.largest.max(largest);
                self.collect(rows, draws, &marks, first, &mut found.keys);
            }
            Ok(found)
        });
        tasks.collect()
    }

    /// Appends the keys of the marked rows that are within the limit.
    fn collect<T: Real>(self, rows: &[T], draws: &[f64], marks: &[u8; TILE], first: usize, keys: &mut Vec<u128>) {
        // Positions first and logarithms after: the jumps of the one loop do not hold up the arithmetic of the other.
        let (mut marked, mut count) = ([0; TILE], 0);
        for (group, marks) in marks.chunks_exact(8).enumerate() {
            let mut bits = u64::from_le_bytes(marks.try_into().expect("groups of eight"));
            while bits != 0 {
                marked[count] = group * 8 + (bits.trailing_zeros() / 8) as usize;
                count += 1;
                bits &= bits - 1;
            }
        }
        let (marked, mut variates) = (&marked[..count], [0.0; TILE]);
        marked.iter().zip(&mut variates).for_each(|(&j, variate)| *variate = draws[j]);
        exponentials(&mut variates[..count]);
        for (&j, variate) in marked.iter().zip(variates) {
            let w = rows[j].wide() * self.scale;
            let key = variate / w;
            if w > 0.0 && key <= self.limit {
                keys.push(u128::from(key.to_bits()) << 64 | (first + j) as u128);
            }
        }
    }
}

dispatch! {
    /// Marks with 1 the rows whose key may be within the limit, all others with 0. Returns the largest weight, which is
    /// not below infinity if any weight is invalid.
    fn mark<T: Real>(weights: &[T], draws: &[f64], scale: f64, limit: f64, marks: &mut [u8; TILE]) -> f64 = mark_lanes
}

#[inline(always)]
fn mark_lanes<T: Real>(weights: &[T], draws: &[f64], scale: f64, limit: f64, marks: &mut [u8; TILE]) -> f64 {
    let mut largest = 0;
    marks[weights.len()..].fill(0);
    for ((w, v), mark) in weights.iter().zip(draws).zip(marks.iter_mut()) {
        let w = w.wide();
        // The bits of numbers >= 0 ascend with the numbers; those of negative numbers and NaN are above infinity's.
        largest = largest.max((w + 0.0).to_bits());
        *mark = u8::from(*v <= w * scale * limit);
    }
    f64::from_bits(largest)
}

/// A low estimate of the number of keys up to `limit`, from a sample of the weights of `n` rows.
fn expected(sample: &[f64], n: usize, limit: f64) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for w in sample {
        let x = (w * limit).min(1e9);
        // At most 1 - exp(-x), and close to it where keys are few.
        let share = 1.0 - 1.0 / (1.0 + x + 0.5 * x * x);
        sum += share;
        squares += share * share;
    }
    let m = sample.len().max(1) as f64;
    let mean = sum / m;
    let error = if sample.len() < GUESS { 0.0 } else { ((squares / m - mean * mean).max(0.0) / m).sqrt() };
    n as f64 * (mean - 3.0 * error)
}

/// A power of two that brings `largest` near 2^900, if such a one exists.
fn scale_for(largest: f64) -> f64 {
    if largest <= 0.0 {
        return 1.0;
    }
    libm::ldexp(1.0, (900 - libm::ilogb(largest)).clamp(0, 1023))
}

/// The scale that fits the largest weight, if `scale` lets it overflow or was made for a far larger one.
fn rescaled(scale: f64, largest: f64) -> Option<f64> {
    let fits = largest * scale < f64::MAX / (1u64 << 60) as f64;
    if fits { None } else { Some(scale_for(largest)).filter(|&fitting| fitting != scale) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::uniforms::exponential;

    fn naive(weights: &[f64], size: usize, seed: u64) -> Vec<usize> {
        let stream = Stream::new(seed, streams::KEYS);
        let mut keys: Vec<(f64, usize)> = (0..weights.len())
            .filter(|&i| weights[i] > 0.0)
            .map(|i| (exponential(stream.uniform(i as u64)) / weights[i], i))
            .collect();
        keys.sort_by(|a, b| a.partial_cmp(b).unwrap());
        keys[..size].iter().map(|&(_, row)| row).collect()
    }

    #[test]
    fn the_guess_never_decides() {
        // One heavy row in 10^5 that a sample misses, tiny and huge scales, sizes up to all rows.
        for (scale, heavy) in [(1.0, 1.0), (1e-290, 1e5), (1e200, 1e80), (1e-3, 1e12)] {
            let mut weights: Vec<f64> = (0..100_000).map(|i| scale * f64::from(i % 7)).collect();
            weights[77] *= heavy;
            let positives = weights.iter().filter(|&&w| w > 0.0).count();
            for size in [1, 50, 20_000, positives - 1, positives] {
                let drawn = keys(&weights, size, false, 3, &Job::default()).unwrap();
                assert_eq!(drawn.rows, naive(&weights, size, 3), "{scale} {heavy} {size}");
            }
        }
    }

    #[test]
    fn a_weight_that_overflows_the_guessed_scale_is_found() {
        let mut weights = vec![1e-300; 100_000];
        weights[99_999] = 1e100;
        weights[5] = 1e99;
        let drawn = keys(&weights, 2, true, 1, &Job::default()).unwrap();
        assert_eq!(drawn.rows.iter().sum::<usize>(), 100_004);
        assert!(drawn.weights.iter().all(|&w| w == 1.0));
    }
}

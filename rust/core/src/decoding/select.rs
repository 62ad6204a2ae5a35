//! The k largest of a row.
//!
//! ```text
//! few k (AVX-512):              t = a key that at least k of the maxima of the places equal mod 256 reach
//!     rarely many more than k:  next
//! t = a key that at least k of the maxima of blocks reach: so many logits reach it, all of the k largest among them
//! the logits that reach t, in blocks whose maximum does: mostly few more than k
//!     many more (neighbors):    t = a key that at least k of the maxima of these blocks' lanes reach
//!     again (few numbers):      t = a key that at least k of the logits in these blocks reach
//!     many equal t:             those above it, and the first of those that equal it
//! selection of k;  sort
//! ```
//!
//! The key is found by bisection of the integers, counting with vector instructions: it need not be exact.

use crate::decoding::leaf::WIDTH;
use crate::decoding::logit::Logit;
use crate::simd::dispatch;

#[inline(always)]
fn count_lanes<T: Logit>(keys: &[T::Key], least: T::Key) -> usize {
    keys.iter().map(|&key| u32::from(key >= least)).sum::<u32>() as usize
}

dispatch! {
    /// How many keys are at least `least`.
    fn count<T: Logit>(keys: &[T::Key], least: T::Key) -> usize = count_lanes::<T>
}

#[inline(always)]
fn range_lanes<T: Logit>(keys: &[T::Key]) -> [T::Key; 2] {
    let (mut low, mut high) = (T::INFINITY.key(), T::LOWEST);
    for &key in keys {
        low = if key < low { key } else { low };
        high = if key > high { key } else { high };
    }
    [low, high]
}

dispatch! {
    /// The smallest and the largest key.
    fn range<T: Logit>(keys: &[T::Key]) -> [T::Key; 2] = range_lanes::<T>
}

/// A key that at least `k` of the keys reach, and at most `k + k / 4` where few are equal.
pub fn threshold<T: Logit>(keys: &[T::Key], k: usize) -> T::Key {
    let [mut low, mut high] = range::<T>(keys);
    while low < high {
        let middle = T::between(low, high);
        let found = count::<T>(keys, middle);
        if found < k {
            high = T::before(middle);
            continue;
        }
        low = middle;
        if found <= k + k / 4 {
            break;
        }
    }
    low
}

#[inline(always)]
fn above_lanes<T: Logit>(values: &[T], bound: T) -> usize {
    values.iter().map(|&x| u32::from(x > bound)).sum::<u32>() as usize
}

dispatch! {
    /// How many numbers are greater.
    pub fn above<T: Logit>(values: &[T], bound: T) -> usize = above_lanes
}

#[inline(always)]
fn gather_lanes<T: Logit>(values: &[T], start: usize, least: T, out: &mut Vec<T::Packed>) {
    for (piece, at) in values.chunks(WIDTH).zip((start..).step_by(WIDTH)) {
        let mut mask = 0u32;
        for (l, &x) in piece.iter().enumerate() {
            mask |= u32::from(x >= least) << l;
        }
        while mask != 0 {
            let l = mask.trailing_zeros() as usize;
            out.push(T::pack(piece[l].key(), (at + l) as u32));
            mask &= mask - 1;
        }
    }
}

dispatch! {
    /// Appends the numbers that are at least `least`; the first of `values` has the index `start`.
    fn gather_from<T: Logit>(values: &[T], start: usize, least: T, out: &mut Vec<T::Packed>) = gather_lanes
}

/// See [`Logit::gather`].
pub fn gather<T: Logit>(
    values: &[T],
    block: usize,
    maxima: &[T::Key],
    least: T,
    most: usize,
    out: &mut Vec<T::Packed>,
) {
    let key = least.key();
    let blocks = maxima.iter().zip(values.chunks(block)).enumerate().filter(|(_, (maximum, _))| **maximum >= key);
    for (number, (_, values)) in blocks {
        gather_from(values, number * block, least, out);
        if out.len() > most {
            break;
        }
    }
}

/// Sorts tokens and keeps the first `k`.
pub fn arrange<T: Logit>(found: &mut Vec<T::Packed>, k: usize) {
    if found.len() > k {
        found.select_nth_unstable(k);
        found.truncate(k);
    }
    found.sort_unstable();
}

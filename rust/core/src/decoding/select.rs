//! The k largest of a row.
//!
//! ```text
//! t = a key that at least k of the maxima of blocks reach: so many logits reach it, all of the k largest among them
//! the logits of blocks whose maximum reaches t, as far as they do: the candidates                about k of them
//! more than k: a key that at least k candidates reach, then selection;   sort
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

/// A key that at least `k` of the keys reach, and at most `k + k / 4` where few are equal.
pub fn threshold<T: Logit>(keys: &[T::Key], k: usize) -> T::Key {
    let (mut low, mut high) = (T::LOWEST, T::INFINITY.key());
    if let (Some(&least), Some(&most)) = (keys.iter().min(), keys.iter().max()) {
        (low, high) = (least, most);
    }
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
    pub fn gather<T: Logit>(values: &[T], start: usize, least: T, out: &mut Vec<T::Packed>) = gather_lanes
}

/// Keeps the `k` largest, sorted.
pub fn settle<T: Logit>(found: &mut Vec<T::Packed>, k: usize, keys: &mut Vec<T::Key>) {
    if found.len() > 4 * k {
        keys.clear();
        keys.extend(found.iter().map(|&packed| T::unpack(packed).0));
        let least = threshold::<T>(keys, k);
        found.retain(|&packed| T::unpack(packed).0 >= least);
    }
    if found.len() > k {
        if k > 0 {
            found.select_nth_unstable(k - 1);
        }
        found.truncate(k);
    }
    found.sort_unstable();
}

//! Packed keys sorted digit by digit, and by insertion where they are nearly sorted.

use super::order::Packed;
use crate::fresh::room;

/// So many keys are sorted faster by comparisons.
const FEW: usize = 48;

/// Sorts nearly sorted keys by insertion; false, half done, where that takes many moves. Keys that are equal stay in order of
/// position.
pub(super) fn insert<P: Packed>(keys: &mut [P]) -> bool {
    let mut moves = 0;
    for i in 1..keys.len() {
        let key = keys[i];
        let mut at = i;
        while at > 0 && keys[at - 1] > key {
            keys[at] = keys[at - 1];
            at -= 1;
        }
        keys[at] = key;
        moves += i - at;
        if moves > 2 * keys.len() {
            return false;
        }
    }
    true
}

/// Sorts by the uppermost `DIGITS` digits of the key, least significant digit first. Each pass keeps the
/// order of equal digits; the first reads the items from where they are.
///
/// ```text
/// for each digit of DIGIT bits, from the lowest:     (skipped where all keys agree)
///     starts[d] = number of keys with a smaller digit
///     for each key in order: spare[starts[digit]++] = key;   swap
/// ```
pub(super) fn radix<P: Packed, const DIGIT: u32, const DIGITS: usize>(
    items: impl Iterator<Item = P> + Clone,
    n: usize,
    [keys, spare]: &mut [Vec<P>; 2],
    counts: &mut Vec<u32>,
) {
    let bins = 1usize << DIGIT;
    let shift = |digit: usize| P::BITS.saturating_sub(DIGITS as u32 * DIGIT) + digit as u32 * DIGIT;
    counts.clear();
    counts.resize(bins * DIGITS, 0);
    let counts = &mut counts[..bins * DIGITS];
    for key in items.clone() {
        for digit in 0..DIGITS {
            counts[digit * bins + (key.key() >> shift(digit)) as usize % bins] += 1;
        }
    }
    room(keys, n, P::default());
    room(spare, n, P::default());
    let mut moved = false;
    for digit in 0..DIGITS {
        let starts = &mut counts[digit * bins..][..bins];
        if starts.iter().find(|&&count| count > 0).is_none_or(|&count| count as usize == n) {
            continue;
        }
        let mut before = 0;
        for start in starts.iter_mut() {
            before += std::mem::replace(start, before);
        }
        // SAFETY: the starts of the bins and their sizes were counted from the same keys, so that no bin outgrows its part
        // of the n places.
        unsafe {
            if moved {
                scatter::<_, DIGIT>(keys.iter().copied(), shift(digit), starts, spare);
            } else {
                scatter::<_, DIGIT>(items.clone(), shift(digit), starts, spare);
            }
        }
        moved = true;
        std::mem::swap(keys, spare);
    }
    if !moved {
        keys.clear();
        keys.extend(items);
    }
}

/// Sorts keys of `HIGH` + 2 `LOW` bits, most significant digit first: only one pass goes through all of the memory.
///
/// ```text
/// by the uppermost HIGH bits:    keys = items, bin by bin
/// for each bin, in the cache:    by its two digits of LOW bits, as above;  a few keys by comparisons
/// ```
pub(super) fn radix_from_above<P: Packed, const HIGH: u32, const LOW: u32>(
    items: impl Iterator<Item = P> + Clone,
    n: usize,
    [keys, spare]: &mut [Vec<P>; 2],
    counts: &mut Vec<u32>,
) {
    let (bins, shift) = (1usize << HIGH, 2 * LOW);
    assert_eq!(P::BITS, HIGH + 2 * LOW);
    counts.clear();
    counts.resize(bins + (2 << LOW), 0);
    let (ends, counts) = counts.split_at_mut(bins);
    for key in items.clone() {
        ends[(key.key() >> shift) as usize % bins] += 1;
    }
    room(keys, n, P::default());
    room(spare, n, P::default());
    let mut before = 0;
    for start in ends.iter_mut() {
        before += std::mem::replace(start, before);
    }
    // SAFETY: the starts of the bins and their sizes were counted from the same keys. Afterwards they are the bins' ends.
    unsafe { scatter::<_, HIGH>(items, shift, ends, keys) };
    let mut start = 0;
    for &end in ends.iter() {
        let range = start..end as usize;
        start = range.end;
        sort_bin::<_, LOW>(&mut keys[range.clone()], &mut spare[range], counts);
    }
}

/// Sorts keys that differ in their lowest two digits only; what is in `spare` is lost.
fn sort_bin<P: Packed, const DIGIT: u32>(keys: &mut [P], spare: &mut [P], counts: &mut [u32]) {
    if keys.len() <= FEW {
        keys.sort_unstable();
        return;
    }
    let bins = 1usize << DIGIT;
    counts.fill(0);
    let (low, high) = counts.split_at_mut(bins);
    for key in &*keys {
        low[key.key() as usize % bins] += 1;
        high[(key.key() >> DIGIT) as usize % bins] += 1;
    }
    for starts in [&mut *low, &mut *high] {
        let mut before = 0;
        for start in starts {
            before += std::mem::replace(start, before);
        }
    }
    // SAFETY: the starts of the bins and their sizes were counted from the same keys.
    unsafe {
        scatter::<_, DIGIT>(keys.iter().copied(), 0, low, spare);
        scatter::<_, DIGIT>(spare.iter().copied(), DIGIT, high, keys);
    }
}

/// Puts each key where its digit starts, and moves that start.
///
/// # Safety
/// No start moves beyond the end of `out`.
#[inline(always)]
unsafe fn scatter<P: Packed, const DIGIT: u32>(
    keys: impl Iterator<Item = P>,
    shift: u32,
    starts: &mut [u32],
    out: &mut [P],
) {
    let bins = 1 << DIGIT;
    let starts = &mut starts[..bins];
    for key in keys {
        let start = &mut starts[(key.key() >> shift) as usize % bins];
        // SAFETY: by contract.
        unsafe { *out.get_unchecked_mut(*start as usize) = key };
        *start += 1;
    }
}

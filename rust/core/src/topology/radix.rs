//! Sorting pairs of a key and a number by their keys.

use crate::error::Result;
use crate::job::Job;

/// Below this length a comparison sort is as fast.
const SHORT: usize = 512;
/// Bits of one digit.
const DIGIT: u32 = 11;

/// A key above a number.
#[must_use]
#[inline]
pub const fn pack(key: u32, number: u32) -> u64 {
    (key as u64) << 32 | number as u64
}

/// Sorts packed pairs by their keys; pairs of one key keep their order. What is in `spare` is lost.
///
/// # Errors
/// [`crate::Error::Interrupted`]; the pairs are lost, too.
pub fn sort_unless_stopped(pairs: &mut Vec<u64>, spare: &mut Vec<u64>, job: &Job) -> Result<()> {
    let (mut low, mut high) = (u32::MAX, 0);
    job.sweep(pairs.len(), |piece| {
        (low, high) = pairs[piece].iter().fold((low, high), |(low, high), &pair| {
            let key = (pair >> 32) as u32;
            (low.min(key), high.max(key))
        });
    })?;
    let bits = if low < high { u32::BITS - (high - low).leading_zeros() } else { return Ok(()) };
    if pairs.len() < SHORT {
        pairs.sort_by_key(|&pair| pair >> 32);
        return Ok(());
    }
    let passes = bits.div_ceil(DIGIT);
    let width = bits.div_ceil(passes);
    let digit = |pair: u64, pass: u32| (((pair >> 32) as u32 - low) >> (pass * width)) as usize & ((1 << width) - 1);
    let mut counts = vec![[0u32; 1 << DIGIT]; passes as usize];
    job.sweep(pairs.len(), |piece| {
        for &pair in &pairs[piece] {
            (0..passes).for_each(|pass| counts[pass as usize][digit(pair, pass)] += 1);
        }
    })?;
    spare.clear();
    job.resize(spare, pairs.len(), 0)?;
    for pass in 0..passes {
        let places = &mut counts[pass as usize];
        let mut sum = 0;
        for place in &mut places[..1 << width] {
            (*place, sum) = (sum, sum + *place);
        }
        job.sweep(pairs.len(), |piece| {
            for &pair in &pairs[piece] {
                let place = &mut places[digit(pair, pass)];
                spare[*place as usize] = pair;
                *place += 1;
            }
        })?;
        std::mem::swap(pairs, spare);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_by_key_and_equal_keys_keep_their_order() {
        let mut state = 1u64;
        for (n, mask) in [(0, 1), (1, 1), (100, 7), (5000, 7), (5000, u32::MAX), (3000, 0xffff_0000), (3000, 0)] {
            let mut pairs: Vec<_> = (0..n)
                .map(|i| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    pack((state >> 32) as u32 & mask, i)
                })
                .collect();
            let mut expected = pairs.clone();
            expected.sort_unstable();
            sort_unless_stopped(&mut pairs, &mut Vec::new(), &Job::default()).unwrap();
            assert_eq!(pairs, expected, "{n} {mask:x}");
        }
    }
}

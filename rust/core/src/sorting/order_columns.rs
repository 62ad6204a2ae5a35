//! The order of a list of middle length, sorted in eight columns.
//!
//! Batcher's bitonic sort compares fixed places, so that a comparison of two rows of eight columns is two instructions of
//! AVX-512; without them digits are faster. Numbers are those of [`order_network`](super::order_network): key and position in
//! the fraction of a float.
//!
//! ```text
//! the columns:   for size = 2, 4, ..., rows:  halves of each block are sorted: compare i and size - 1 - i of it,
//!                                             then i and i + d for d = size / 4, size / 8, ..., 1
//! their merges:  the same for blocks of 2, 4 and 8 columns one below the other: the first comparisons are between columns
//! ```

use super::columns::{COLUMNS, Row, flat_mut};
use super::order::{Key, Packed};
use super::order_network::{POSITION, packed};
use crate::simd::{Level, dispatch, level};

/// Lists of other lengths are faster otherwise.
const LENGTHS: std::ops::RangeInclusive<usize> = 65..=1 << 13;

/// As [`order`](super::order::order); `None` where it does not pay.
pub fn order<T: Key>(
    x: &[T],
    mask: Option<&[bool]>,
    descending: bool,
    rows: &mut Vec<Row>,
    out: &mut [i32],
) -> Option<usize> {
    if level() < Level::Avx512 || T::Packed::BITS != 32 || !LENGTHS.contains(&x.len()) {
        return None;
    }
    rows.clear();
    rows.resize(x.len().div_ceil(COLUMNS).next_power_of_two(), Row::of(f64::INFINITY));
    let count = match mask {
        None => {
            pack(x, descending, flat_mut(rows));
            x.len()
        }
        Some(mask) => {
            let items = x.iter().zip(0..).zip(mask).filter(|&(_, &counts)| counts);
            let places = flat_mut(rows).iter_mut().zip(items);
            places.map(|(to, ((x, i), _))| *to = packed(x.directed(descending), i)).count()
        }
    };
    sort(rows);
    let (found, rest) = out.split_at_mut(count);
    for (column, places) in found.chunks_mut(rows.len()).enumerate() {
        for (place, row) in places.iter_mut().zip(rows.iter()) {
            *place = (row.0[column % COLUMNS].to_bits() % (1 << POSITION)) as i32;
        }
    }
    rest.fill(-1);
    Some(count)
}

dispatch! {
    fn pack<T: Key>(x: &[T], descending: bool, to: &mut [f64]) = pack_each
}

#[inline(always)]
fn pack_each<T: Key>(x: &[T], descending: bool, to: &mut [f64]) {
    let to = &mut to[..x.len()];
    for i in 0..x.len() {
        to[i] = packed(x[i].directed(descending), i as u64);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn sort(_: &mut [Row]) {}

/// Sorts the columns one below the other; the number of rows is a power of two.
#[cfg(target_arch = "x86_64")]
fn sort(rows: &mut [Row]) {
    // SAFETY: a row has the size and the alignment of a register, and `order` has asked for the instructions.
    unsafe {
        network::sort(std::slice::from_raw_parts_mut(rows.as_mut_ptr().cast(), rows.len()));
    }
}

#[cfg(target_arch = "x86_64")]
mod network {
    use std::arch::x86_64::{
        __m512d, _mm512_mask_blend_pd, _mm512_max_pd, _mm512_min_pd, _mm512_permutexvar_pd, _mm512_setr_epi64,
    };

    #[target_feature(enable = "avx512f")]
    pub fn sort(rows: &mut [__m512d]) {
        let n = rows.len();
        let mut size = 2;
        while size <= n {
            for block in rows.chunks_exact_mut(size) {
                for i in 0..size / 2 {
                    (block[i], block[size - 1 - i]) = ordered(block[i], block[size - 1 - i]);
                }
            }
            halves(rows, size / 4);
            size *= 2;
        }
        across::<1>(rows);
        halves(rows, n / 2);
        across::<3>(rows);
        within::<1>(rows);
        halves(rows, n / 2);
        across::<7>(rows);
        within::<2>(rows);
        within::<1>(rows);
        halves(rows, n / 2);
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn ordered(x: __m512d, y: __m512d) -> (__m512d, __m512d) {
        (_mm512_min_pd(x, y), _mm512_max_pd(x, y))
    }

    /// Compares rows at distances `d`, d / 2, ..., 1: two distances at a time, which halves the traffic.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn halves(rows: &mut [__m512d], mut d: usize) {
        while d >= 2 {
            for block in rows.chunks_exact_mut(2 * d) {
                let (lower, upper) = block.split_at_mut(d);
                let ((a, b), (c, e)) = (lower.split_at_mut(d / 2), upper.split_at_mut(d / 2));
                for (((a, b), c), e) in a.iter_mut().zip(b).zip(c).zip(e) {
                    let ((low, high), (next_low, next_high)) = (ordered(*a, *c), ordered(*b, *e));
                    (*a, *b) = ordered(low, next_low);
                    (*c, *e) = ordered(high, next_high);
                }
            }
            d /= 4;
        }
        if d == 1 {
            for pair in rows.chunks_exact_mut(2) {
                (pair[0], pair[1]) = ordered(pair[0], pair[1]);
            }
        }
    }

    /// Compares each place of a block of columns with its mirror image; `X` is the number of columns less 1.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn across<const X: i64>(rows: &mut [__m512d]) {
        let (lower, upper) = rows.split_at_mut(rows.len() / 2);
        for (a, b) in lower.iter_mut().zip(upper.iter_mut().rev()) {
            (*a, *b) = (kept::<X>(*a, *b), kept::<X>(*b, *a));
        }
    }

    /// Compares columns at distance `X`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn within<const X: i64>(rows: &mut [__m512d]) {
        rows.iter_mut().for_each(|row| *row = kept::<X>(*row, *row));
    }

    /// What stays with `a` where column l is compared with column l ^ X of `b`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn kept<const X: i64>(a: __m512d, b: __m512d) -> __m512d {
        let others = _mm512_setr_epi64(X, 1 ^ X, 2 ^ X, 3 ^ X, 4 ^ X, 5 ^ X, 6 ^ X, 7 ^ X);
        let (low, high) = ordered(a, _mm512_permutexvar_pd(others, b));
        // The columns in the upper half of their block.
        let upper = [0b1010_1010, 0b1100_1100, 0b1111_0000][X.ilog2() as usize];
        _mm512_mask_blend_pd(upper, low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sorting::order::{self, Scratch};

    #[test]
    fn orders_are_those_of_the_other_ways() {
        for n in [65, 100, 128, 129, 512, 1000, 1024, 1025, 4000, 4096, 8192] {
            for levels in [1, 7, 101, 1 << 20] {
                let mut x: Vec<f32> = (0..n).map(|i| ((i * 7919 + 31) % levels) as f32 - levels as f32 / 3.0).collect();
                [x[3], x[n / 2], x[n - 1]] = [f32::NAN, f32::NEG_INFINITY, -0.0];
                let mask: Vec<bool> = (0..n).map(|i| i % 5 != 1).collect();
                for (mask, descending) in [(None, false), (None, true), (Some(&mask[..]), false)] {
                    let (mut expected, mut found) = (vec![0; n], vec![0; n]);
                    let expected_count = order::order(&x, mask, descending, &mut Scratch::default(), &mut expected);
                    let count = order(&x, mask, descending, &mut Vec::new(), &mut found);
                    assert_eq!(count.is_some(), level() == Level::Avx512);
                    if let Some(count) = count {
                        assert_eq!((count, &found), (expected_count, &expected), "{n} {levels} {descending}");
                    }
                }
            }
        }
    }

    #[test]
    fn other_lengths_and_types_are_left_alone() {
        let mut out = [0; 65];
        assert_eq!(order(&[0.0f32; 64], None, false, &mut Vec::new(), &mut out), None);
        assert_eq!(order(&[0.0f64; 65], None, false, &mut Vec::new(), &mut out), None);
    }
}

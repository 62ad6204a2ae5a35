//! The order of a list: positions of its items by value, stable, with one rule for signs of zero, NaN and masks.
//!
//! A value becomes a key that sorts as it does, packed above its position into one integer, so that a sort moves values
//! and positions together and equal values stay in order of position.

use super::lists::Lists;
use super::order_network::Ahead;
use super::order_radix::{insert, radix, radix_from_above};
use crate::real::Real;
use std::fmt::Debug;

/// A key above a position.
pub trait Packed: Copy + Ord + Default + Debug + Send + Sync + 'static {
    /// Bits of the key.
    const BITS: u32;
    /// Packs a key of [`Packed::BITS`] bits and a position.
    fn pack(key: u64, position: u32) -> Self;
    /// The key.
    fn key(self) -> u64;
    /// The position.
    fn position(self) -> u32;
}

impl Packed for u64 {
    const BITS: u32 = 32;
    #[inline(always)]
    fn pack(key: u64, position: u32) -> Self {
        key << 32 | Self::from(position)
    }
    #[inline(always)]
    fn key(self) -> u64 {
        self >> 32
    }
    #[inline(always)]
    fn position(self) -> u32 {
        self as u32
    }
}

impl Packed for u128 {
    const BITS: u32 = 64;
    #[inline(always)]
    fn pack(key: u64, position: u32) -> Self {
        Self::from(key) << 64 | Self::from(position)
    }
    #[inline(always)]
    fn key(self) -> u64 {
        (self >> 64) as u64
    }
    #[inline(always)]
    fn position(self) -> u32 {
        self as u32
    }
}

/// Values with a bit pattern that sorts as they do.
pub trait Key: Real {
    /// The key together with a position.
    type Packed: Packed;
    /// Larger for larger values; one key for both zeros; NaN above everything. As many bits as the value.
    fn key(self) -> u64;
    /// The value of a key, widened.
    fn value(key: u64) -> f64;
    /// The working memory of a sort.
    fn buffers(scratch: &mut Scratch) -> &mut [Vec<Self::Packed>; 2];
    /// Takes a list that was sorted ahead, together with its neighbours; false where that does not pay.
    fn sorted_ahead(list: &List<'_, Self>, scratch: &mut Scratch) -> bool;

    /// The key by which `descending` lists are sorted upwards; NaN still above everything.
    #[inline(always)]
    fn directed(self, descending: bool) -> u64 {
        let all = u64::MAX >> (64 - Self::Packed::BITS);
        let key = self.key();
        if descending && key != all { !key & all } else { key }
    }

    /// The value of a directed key.
    #[inline(always)]
    #[must_use]
    fn undirected(key: u64, descending: bool) -> f64 {
        let all = u64::MAX >> (64 - Self::Packed::BITS);
        if descending && key != all { Self::value(!key & all) } else { Self::value(key) }
    }
}

impl Key for f32 {
    type Packed = u64;
    #[inline(always)]
    fn key(self) -> u64 {
        let bits = (self + 0.0).to_bits();
        let key = bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
        u64::from(if self.is_nan() { u32::MAX } else { key })
    }
    #[inline(always)]
    fn value(key: u64) -> f64 {
        let key = key as u32;
        f64::from(Self::from_bits(key ^ if key >> 31 == 1 { 1 << 31 } else { u32::MAX }))
    }
    fn buffers(scratch: &mut Scratch) -> &mut [Vec<u64>; 2] {
        &mut scratch.single
    }
    fn sorted_ahead(list: &List<'_, Self>, scratch: &mut Scratch) -> bool {
        scratch.ahead.take(list, &mut scratch.single[0])
    }
}

impl Key for f64 {
    type Packed = u128;
    #[inline(always)]
    fn key(self) -> u64 {
        let bits = (self + 0.0).to_bits();
        let key = bits ^ if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
        if self.is_nan() { u64::MAX } else { key }
    }
    #[inline(always)]
    fn value(key: u64) -> f64 {
        Self::from_bits(key ^ if key >> 63 == 1 { 1 << 63 } else { u64::MAX })
    }
    fn buffers(scratch: &mut Scratch) -> &mut [Vec<u128>; 2] {
        &mut scratch.double
    }
    fn sorted_ahead(_: &List<'_, Self>, _: &mut Scratch) -> bool {
        false
    }
}

/// Working memory of [`sorted`] and [`order`], kept from list to list.
#[derive(Debug, Default)]
pub struct Scratch {
    single: [Vec<u64>; 2],
    double: [Vec<u128>; 2],
    counts: Vec<u32>,
    ahead: Ahead,
}

impl Scratch {
    /// Makes the memory fit for lists of another `x`.
    pub fn forget(&mut self) {
        self.ahead.forget();
    }

    /// The number of bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let single: usize = self.single.iter().map(|keys| keys.capacity() * size_of::<u64>()).sum();
        let double: usize = self.double.iter().map(|keys| keys.capacity() * size_of::<u128>()).sum();
        single + double
    }
}

/// One of several lists that are sorted one after the other.
#[derive(Debug, Clone, Copy)]
pub struct List<'a, T> {
    /// The items of all lists.
    pub x: &'a [T],
    /// Which of them count.
    pub mask: Option<&'a [bool]>,
    /// The lists.
    pub lists: Lists<'a>,
    /// The list to sort.
    pub list: usize,
    /// The direction.
    pub descending: bool,
}

/// [`sorted`] for one of several lists, and working memory for as many packed numbers. `scratch` serves lists of one `x`
/// in rising order only, until [`Scratch::forget`].
pub fn sorted_list<'s, T: Key>(
    list: &List<'_, T>,
    scratch: &'s mut Scratch,
) -> (&'s [T::Packed], &'s mut Vec<T::Packed>) {
    if !T::sorted_ahead(list, scratch) {
        let range = list.lists.range(list.list);
        sorted(&list.x[range.clone()], list.mask.map(|mask| &mask[range]), list.descending, scratch);
    }
    let [keys, spare] = T::buffers(scratch);
    (keys, spare)
}

/// Lists up to this length are sorted by comparisons.
const SHORT: usize = 64;
/// Lists up to this length have digits of 10 bits, so that the counts of a digit cost less than a pass over the list.
const MIDDLE: usize = 1 << 12;
/// Lists up to this length have few items that agree in their uppermost digits.
const LONG: usize = 1 << 15;
/// Lists beyond this length leave the cache, so that a pass over them is dear.
const HUGE: usize = 1 << 16;

/// Packed keys (directed) and positions of the items that count, in order: by increasing value (decreasing if
/// `descending`), equal values by position, NaN at the end. Items whose `mask` is false are left out.
pub fn sorted<'s, T: Key>(
    x: &[T],
    mask: Option<&[bool]>,
    descending: bool,
    scratch: &'s mut Scratch,
) -> &'s [T::Packed] {
    let mut counts = std::mem::take(&mut scratch.counts);
    let packed = x.iter().zip(0..).map(|(&x, i)| T::Packed::pack(x.directed(descending), i));
    match mask {
        None => sort(packed, x.len(), T::buffers(scratch), &mut counts),
        Some(mask) => {
            let counted = packed.zip(mask).filter(|&(_, &counts)| counts).map(|(key, _)| key);
            sort(counted, mask.iter().filter(|&&counts| counts).count(), T::buffers(scratch), &mut counts);
        }
    }
    scratch.counts = counts;
    &T::buffers(scratch)[0]
}

/// Sorts `n` packed keys into the first buffer.
fn sort<P: Packed>(items: impl Iterator<Item = P> + Clone, n: usize, buffers: &mut [Vec<P>; 2], counts: &mut Vec<u32>) {
    if n <= SHORT {
        buffers[0].clear();
        buffers[0].extend(items);
        buffers[0].sort_unstable();
        return;
    }
    if n <= LONG {
        match (P::BITS, n <= MIDDLE) {
            (32, true) => radix::<_, 10, 2>(items.clone(), n, buffers, counts),
            (32, false) => radix::<_, 11, 2>(items.clone(), n, buffers, counts),
            (_, true) => radix::<_, 10, 3>(items.clone(), n, buffers, counts),
            (_, false) => radix::<_, 11, 3>(items.clone(), n, buffers, counts),
        }
        if insert(&mut buffers[0]) {
            return;
        }
    }
    match P::BITS {
        32 if n > HUGE => radix_from_above::<_, 14, 9>(items, n, buffers, counts),
        32 => radix::<_, 11, 3>(items, n, buffers, counts),
        _ => radix::<_, 11, 6>(items, n, buffers, counts),
    }
}

/// Fills `out` with the positions of the items by increasing value (decreasing if `descending`), equal values by
/// position, NaN at the end. Items whose `mask` is false are left out; their number of trailing entries is -1. Returns
/// the number of items that count.
pub fn order<T: Key>(
    x: &[T],
    mask: Option<&[bool]>,
    descending: bool,
    scratch: &mut Scratch,
    out: &mut [i32],
) -> usize {
    let keys = sorted(x, mask, descending, scratch);
    for (place, key) in out.iter_mut().zip(keys) {
        *place = key.position() as i32;
    }
    out[keys.len()..].fill(-1);
    keys.len()
}

/// The number of items that count, read back from an order.
#[must_use]
pub fn counted(order: &[i32]) -> usize {
    order.partition_point(|&position| position >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(x: &[f32], mask: Option<&[bool]>, descending: bool) -> Vec<i32> {
        let mut out = vec![0; x.len()];
        let count = order(x, mask, descending, &mut Scratch::default(), &mut out);
        assert_eq!(count, counted(&out));
        out
    }

    #[test]
    fn zeros_are_equal_ties_keep_their_order_and_nan_is_last() {
        let x = [0.0, -0.0, f32::INFINITY, f32::NAN, -1.0, f32::NEG_INFINITY, 0.0];
        assert_eq!(positions(&x, None, false), [5, 4, 0, 1, 6, 2, 3]);
        assert_eq!(positions(&x, None, true), [2, 0, 1, 6, 4, 5, 3]);
    }

    #[test]
    fn every_length_and_type_is_sorted_by_value_and_then_position() {
        for n in [1usize, 64, 65, 1000, 4097, 10_000, 40_000, 70_000] {
            let x: Vec<f64> = (0..n).map(|i| ((i * 7919) % 613) as f64 * 0.37 - 100.0).collect();
            let narrow: Vec<f32> = x.iter().map(|&x| x as f32).collect();
            let mut expected: Vec<i32> = (0..n as i32).collect();
            expected.sort_by(|&i, &j| x[i as usize].total_cmp(&x[j as usize]));
            let mut found = vec![0; n];
            order(&x, None, false, &mut Scratch::default(), &mut found);
            assert_eq!(found, expected);
            assert_eq!(positions(&narrow, None, false), expected);
            expected.sort_unstable();
            expected.sort_by(|&i, &j| x[j as usize].total_cmp(&x[i as usize]));
            assert_eq!(positions(&narrow, None, true), expected);
        }
    }

    #[test]
    fn values_that_agree_in_their_uppermost_digits_are_sorted() {
        for n in [1000usize, 10_000] {
            let places: Vec<usize> = (0..n).map(|i| i * 7919 % n).collect();
            let x: Vec<f32> = places.iter().map(|&place| (place as f32).mul_add(f32::EPSILON, 1.0)).collect();
            let found = positions(&x, None, false);
            assert!(found.iter().map(|&i| places[i as usize]).eq(0..n));
        }
    }

    #[test]
    fn huge_lists_are_sorted_whatever_their_bins_hold() {
        // All in one bin, many in a few, few in many, and signs, infinities, NaN and ties among them.
        for (spread, center) in [(0.0f32, 1.0f32), (1e-6, 1.0), (1.0, 0.0), (1e30, 0.0)] {
            let number = |i: usize| ((i * 7919 + 13) % 70_001) as f32 / 70_001.0 - 0.5;
            let mut x: Vec<f32> = (0..100_000).map(|i| number(i).powi(3).mul_add(spread, center)).collect();
            [x[5], x[77_777], x[99_999], x[12]] = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -0.0];
            let mask: Vec<bool> = (0..x.len()).map(|i| i % 7 != 2).collect();
            for mask in [None, Some(&mask[..])] {
                for descending in [false, true] {
                    let mut expected: Vec<i32> = (0..100_000).collect();
                    expected.retain(|&i| mask.is_none_or(|mask| mask[i as usize]));
                    expected.sort_by_key(|&i| x[i as usize].directed(descending));
                    expected.resize(x.len(), -1);
                    let mut found = vec![0; x.len()];
                    order(&x, mask, descending, &mut Scratch::default(), &mut found);
                    assert!(found == expected, "{spread} {descending} {}", mask.is_some());
                }
            }
        }
    }

    #[test]
    fn values_come_back_from_their_keys() {
        for x in [0.0f32, 1.5, -2.25, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, -1e-45, 1e30] {
            for descending in [false, true] {
                assert_eq!(f32::undirected(x.directed(descending), descending), f64::from(x));
                assert_eq!(f64::undirected(f64::from(x).directed(descending), descending), f64::from(x));
            }
        }
    }

    #[test]
    fn masked_items_are_left_out() {
        let mask = [true, false, true, false];
        assert_eq!(positions(&[3.0, 0.0, 1.0, 2.0], Some(&mask), false), [2, 0, -1, -1]);
    }
}

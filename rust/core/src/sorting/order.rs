//! The order of a list: positions of its items by value, stable, with one rule for signs of zero, NaN and masks.

use crate::real::Real;

/// Values with a bit pattern that sorts as they do.
pub trait Key: Real {
    /// Larger for larger values; one key for both zeros; NaN above everything.
    fn key(self) -> u64;
}

impl Key for f32 {
    #[inline(always)]
    fn key(self) -> u64 {
        let bits = (self + 0.0).to_bits();
        let key = u64::from(bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 });
        if self.is_nan() { u64::MAX } else { key }
    }
}

impl Key for f64 {
    #[inline(always)]
    fn key(self) -> u64 {
        let bits = (self + 0.0).to_bits();
        let key = bits ^ if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
        if self.is_nan() { u64::MAX } else { key }
    }
}

/// Working memory of [`order`], kept from list to list.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: Vec<(u64, u32)>,
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
    let flip = |x: T| if descending && !x.wide().is_nan() { !x.key() } else { x.key() };
    let keys = &mut scratch.keys;
    keys.clear();
    keys.extend((0..x.len()).filter(|&i| mask.is_none_or(|mask| mask[i])).map(|i| (flip(x[i]), i as u32)));
    keys.sort_unstable();
    let count = keys.len();
    for (place, &(_, position)) in out.iter_mut().zip(keys.iter()) {
        *place = position as i32;
    }
    out[count..].fill(-1);
    count
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
    fn masked_items_are_left_out() {
        let mask = [true, false, true, false];
        assert_eq!(positions(&[3.0, 0.0, 1.0, 2.0], Some(&mask), false), [2, 0, -1, -1]);
    }
}

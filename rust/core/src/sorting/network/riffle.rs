//! Lists of one length that lie one after the other, side by side into the lanes of a tile, and back.
//!
//! ```text
//! riffle     cut a deck into 4 equal parts and take one card of each in turn: card (a, k) of 4 x m becomes (k, a)
//! ```
//!
//! On 4 x 4 lists of m numbers, numbered (a, b, k), one riffle makes (b, k, a) and another (k, a, b): number k of all
//! lists, side by side. It is a transposition for any m, in passes of whole vectors. 32 lists take half a riffle more.

use crate::simd::dispatch;

#[inline(always)]
fn four<T: Copy>(from: &[T], to: &mut [T]) {
    let (front, back) = from.split_at(from.len() / 2);
    let ((a, b), (c, d)) = (front.split_at(front.len() / 2), back.split_at(back.len() / 2));
    for ((((slot, &a), &b), &c), &d) in to.as_chunks_mut::<4>().0.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *slot = [a, b, c, d];
    }
}

#[inline(always)]
fn four_back<T: Copy>(from: &[T], to: &mut [T]) {
    let (front, back) = to.split_at_mut(from.len() / 2);
    let ((a, b), (c, d)) = (front.split_at_mut(from.len() / 4), back.split_at_mut(from.len() / 4));
    for ((((slot, a), b), c), d) in from.as_chunks::<4>().0.iter().zip(a).zip(b).zip(c).zip(d) {
        [*a, *b, *c, *d] = *slot;
    }
}

#[inline(always)]
fn two<T: Copy>(from: &[T], to: &mut [T]) {
    let (a, b) = from.split_at(from.len() / 2);
    for ((slot, &a), &b) in to.as_chunks_mut::<2>().0.iter_mut().zip(a).zip(b) {
        *slot = [a, b];
    }
}

#[inline(always)]
fn two_back<T: Copy>(from: &[T], to: &mut [T]) {
    let (a, b) = to.split_at_mut(from.len() / 2);
    for ((slot, a), b) in from.as_chunks::<2>().0.iter().zip(a).zip(b) {
        [*a, *b] = *slot;
    }
}

#[inline(always)]
fn thirty_two<T: Copy>(from: &[T], to: &mut [T], spare: &mut [T]) {
    four(from, to);
    four(to, spare);
    two(spare, to);
}

#[inline(always)]
fn thirty_two_back<T: Copy>(from: &[T], to: &mut [T], spare: &mut [T]) {
    two_back(from, to);
    four_back(to, spare);
    four_back(spare, to);
}

#[inline(always)]
fn sixteen<T: Copy>(from: &[T], to: &mut [T], spare: &mut [T]) {
    four(from, spare);
    four(spare, to);
}

#[inline(always)]
fn sixteen_back<T: Copy>(from: &[T], to: &mut [T], spare: &mut [T]) {
    four_back(from, spare);
    four_back(spare, to);
}

dispatch! {
    /// 32 lists into lanes.
    pub fn interleave_f32(from: &[f32], to: &mut [f32], spare: &mut [f32]) = thirty_two::<f32>
}
dispatch! {
    /// 32 lists out of lanes.
    pub fn separate_f32(from: &[f32], to: &mut [f32], spare: &mut [f32]) = thirty_two_back::<f32>
}
dispatch! {
    /// Sixteen lists into lanes.
    pub fn interleave_f64(from: &[f64], to: &mut [f64], spare: &mut [f64]) = sixteen::<f64>
}
dispatch! {
    /// Sixteen lists out of lanes.
    pub fn separate_f64(from: &[f64], to: &mut [f64], spare: &mut [f64]) = sixteen_back::<f64>
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_go_into_lanes_and_back() {
        for m in [0, 1, 3, 11, 40] {
            let lists: Vec<f32> = (0..32 * m).map(|i| i as f32).collect();
            let (mut lanes, mut back, mut spare) = (lists.clone(), lists.clone(), lists.clone());
            interleave_f32(&lists, &mut lanes, &mut spare);
            assert!(lanes.iter().enumerate().all(|(i, &x)| x == lists[i % 32 * m + i / 32]));
            separate_f32(&lanes, &mut back, &mut spare);
            assert_eq!(back, lists);
        }
    }
}

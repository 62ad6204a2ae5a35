//! Lists of one length that lie one after the other, side by side into the lanes of a tile, and back.
//!
//! ```text
//! riffle     cut a deck into 4 equal parts and take one card of each in turn: card (a, k) of 4 x m becomes (k, a)
//! ```
//!
//! On 4 x 4 lists of m numbers, numbered (a, b, k), one riffle makes (b, k, a) and another (k, a, b): number k of all
//! lists, side by side. It is a transposition for any m, in passes of whole vectors.

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
    /// Sixteen lists into lanes.
    pub fn interleave_f32(from: &[f32], to: &mut [f32], spare: &mut [f32]) = sixteen::<f32>
}
dispatch! {
    /// Sixteen lists out of lanes.
    pub fn separate_f32(from: &[f32], to: &mut [f32], spare: &mut [f32]) = sixteen_back::<f32>
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
            let lists: Vec<f32> = (0..16 * m).map(|i| i as f32).collect();
            let (mut lanes, mut back, mut spare) = (lists.clone(), lists.clone(), lists.clone());
            interleave_f32(&lists, &mut lanes, &mut spare);
            assert!(lanes.iter().enumerate().all(|(i, &x)| x == lists[i % 16 * m + i / 16]));
            separate_f32(&lanes, &mut back, &mut spare);
            assert_eq!(back, lists);
        }
    }
}

//! Sums over the tokens above a logit, and the tokens between two, over whole rows.

use crate::decoding::leaf::LEAF;
use crate::decoding::logit::{Decay, Logit};
use crate::decoding::order::Prefix;
use crate::decoding::row::Token;
use crate::decoding::statistics::Statistics;
use crate::simd::dispatch;

const LANES: usize = 256;
const WIDTH: usize = 16;

#[inline(always)]
fn above_lanes<T: Logit>(leaf: &[T], least: T, decay: &Decay<T>) -> [f64; 3] {
    let (mut a, mut b, mut n) = ([T::ZERO; LANES], [T::ZERO; LANES], [0u32; LANES]);
    for chunk in leaf.chunks(LANES) {
        for (((a, b), n), &x) in a.iter_mut().zip(&mut b).zip(&mut n).zip(chunk) {
            let e = decay.weight(x);
            let e = if x >= least { e } else { T::ZERO };
            *a = *a + e;
            *b = e.fma(decay.fall(x), *b);
            *n += u32::from(x >= least);
        }
    }
    [total(&a.map(T::wide)), total(&b.map(T::wide)), total(&n.map(f64::from))]
}

dispatch! {
    /// SUM e, SUM e (maximum - l) and the number of the logits that are at least `least`.
    fn above_leaf<T: Logit>(leaf: &[T], least: T, decay: &Decay<T>) -> [f64; 3] = above_lanes
}

/// The lanes, added pairwise.
#[inline(always)]
fn total(lanes: &[f64; LANES]) -> f64 {
    let mut lanes = *lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The sums over the tokens whose logit is at least `least`; leaves are added in the order of their indices.
pub fn above<T: Logit>(values: &[T], least: T, statistics: &Statistics) -> Prefix {
    let decay = Decay::new(T::of(statistics.maximum), statistics.temperature);
    let mut sums = Prefix::default();
    for leaf in values.chunks(LEAF) {
        let [mass, fall, count] = above_leaf(leaf, least, &decay);
        sums.mass += mass;
        sums.moment -= fall / statistics.temperature;
        sums.count += count as usize;
    }
    sums
}

#[inline(always)]
fn between_lanes<T: Logit>(values: &[T], low: T, high: T, out: &mut Vec<Token>) {
    for (piece, at) in values.chunks(WIDTH).zip((0..).step_by(WIDTH)) {
        let mut mask = 0u32;
        for (l, &x) in piece.iter().enumerate() {
            mask |= u32::from(x >= low && x < high) << l;
        }
        while mask != 0 {
            let l = mask.trailing_zeros() as usize;
            out.push(Token { logit: piece[l].wide() + 0.0, index: (at + l) as u32 });
            mask &= mask - 1;
        }
    }
}

dispatch! {
    /// Appends the tokens whose logit is from `low` to below `high`.
    pub fn between<T: Logit>(values: &[T], low: T, high: T, out: &mut Vec<Token>) = between_lanes
}

//! The inner loops over a leaf, 4096 consecutive logits, written once for every instruction set.
//!
//! The order of summation is part of the definition: 256 lanes, lane = index mod 256, at most 16 additions each; the lanes
//! are added pairwise in double precision, and leaves in the order of their indices.

use crate::decoding::logit::{Decay, Logit};
use crate::decoding::statistics::Sums;
use crate::simd::dispatch;

/// Logits in a leaf.
pub const LEAF: usize = 4096;
const LANES: usize = 256;
/// Logits that are compared at once.
pub const WIDTH: usize = 16;

/// What is known of a leaf, with `e_j` = exp((`l_j` - maximum) / T).
#[derive(Debug, Clone, Copy, Default)]
pub struct Leaf {
    pub maximum: f64,
    pub z0: f64,
    /// SUM `e_j` (maximum - `l_j`).
    pub z1: f64,
    pub z2: f64,
    /// SUM (maximum - `l_j`) over the `count` logits that are not -inf, and of the squares.
    pub fall: f64,
    pub fall_square: f64,
    pub count: usize,
}

/// The maxima of the leaf's blocks as keys, and whether a number may be NaN or infinite.
#[inline(always)]
fn maxima_lanes<T: Logit>(leaf: &[T], block: usize, keys: &mut [T::Key]) -> bool {
    let mut check = [T::ZERO; WIDTH];
    for (chunk, key) in leaf.chunks(block).zip(keys) {
        let mut top = [-T::INFINITY; WIDTH];
        let mut pieces = chunk.chunks_exact(WIDTH);
        for piece in &mut pieces {
            let piece: &[T; WIDTH] = piece.try_into().expect("of this width");
            for l in 0..WIDTH {
                top[l] = if piece[l] > top[l] { piece[l] } else { top[l] };
                check[l] = piece[l].fma(T::ZERO, check[l]);
            }
        }
        for (l, &x) in pieces.remainder().iter().enumerate() {
            top[l] = if x > top[l] { x } else { top[l] };
            check[l] = x.fma(T::ZERO, check[l]);
        }
        let mut half = WIDTH / 2;
        while half > 0 {
            for l in 0..half {
                top[l] = if top[l + half] > top[l] { top[l + half] } else { top[l] };
            }
            half /= 2;
        }
        *key = top[0].key();
    }
    check.iter().any(|&lane| lane != T::ZERO)
}

dispatch! {
    /// See `maxima_lanes`.
    pub fn maxima<T: Logit>(leaf: &[T], block: usize, keys: &mut [T::Key]) -> bool = maxima_lanes
}

#[inline(always)]
fn normalizer_lanes<T: Logit>(leaf: &[T], maximum: T, decay: &Decay<T>) -> f64 {
    let mut lanes = [T::ZERO; LANES];
    for chunk in leaf.chunks(LANES) {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            let fall = maximum - x;
            let near = if fall < decay.limit { fall } else { decay.limit };
            let e = T::decay(near, decay);
            *lane = *lane + if fall <= decay.limit { e } else { T::ZERO };
        }
    }
    total(&lanes)
}

dispatch! {
    /// SUM exp((`l_j` - maximum) / T).
    fn normalizer<T: Logit>(leaf: &[T], maximum: T, decay: &Decay<T>) -> f64 = normalizer_lanes
}

#[inline(always)]
fn moments_lanes<T: Logit>(leaf: &[T], maximum: T, decay: &Decay<T>) -> [f64; 3] {
    let (mut a, mut b, mut c) = ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
    for chunk in leaf.chunks(LANES) {
        for (((a, b), c), &x) in a.iter_mut().zip(&mut b).zip(&mut c).zip(chunk) {
            let fall = maximum - x;
            let near = if fall < decay.limit { fall } else { decay.limit };
            let e = T::decay(near, decay);
            let e = if fall <= decay.limit { e } else { T::ZERO };
            *a = *a + e;
            *b = e.fma(near, *b);
            *c = e.fma(e, *c);
        }
    }
    [total(&a), total(&b), total(&c)]
}

dispatch! {
    /// SUM e, SUM e (maximum - l), SUM e^2 with e = exp((`l_j` - maximum) / T).
    fn moments<T: Logit>(leaf: &[T], maximum: T, decay: &Decay<T>) -> [f64; 3] = moments_lanes
}

#[inline(always)]
fn spread_lanes<T: Logit>(leaf: &[T], maximum: T) -> [f64; 3] {
    let (mut a, mut b, mut n) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
    for chunk in leaf.chunks(WIDTH) {
        for (((a, b), n), &x) in a.iter_mut().zip(&mut b).zip(&mut n).zip(chunk) {
            let live = x > -T::INFINITY;
            let fall = if live { maximum.wide() - x.wide() } else { 0.0 };
            *a += fall;
            *b = fall.mul_add(fall, *b);
            *n += if live { 1.0 } else { 0.0 };
        }
    }
    [total(&a), total(&b), total(&n)]
}

dispatch! {
    /// SUM (maximum - l), its squares, and the count of what is not -inf.
    fn spread<T: Logit>(leaf: &[T], maximum: T) -> [f64; 3] = spread_lanes
}

/// The lanes, added pairwise in double precision.
#[inline(always)]
fn total<T: Logit, const N: usize>(lanes: &[T; N]) -> f64 {
    let mut wide = lanes.map(T::wide);
    let mut half = N / 2;
    while half > 0 {
        for l in 0..half {
            wide[l] += wide[l + half];
        }
        half /= 2;
    }
    wide[0]
}

/// What was asked for of a leaf whose maximum is known.
pub fn sums<T: Logit>(leaf: &[T], maximum: T, decay: &Decay<T>, wanted: Sums) -> Leaf {
    let mut found = Leaf { maximum: maximum.wide(), ..Leaf::default() };
    if maximum == -T::INFINITY {
        return found;
    }
    match wanted {
        Sums::Nothing => {}
        Sums::Normalizer => found.z0 = normalizer(leaf, maximum, decay),
        Sums::Moments | Sums::Spread => [found.z0, found.z1, found.z2] = moments(leaf, maximum, decay),
    }
    if wanted == Sums::Spread {
        let [fall, fall_square, count] = spread(leaf, maximum);
        (found.fall, found.fall_square, found.count) = (fall, fall_square, count as usize);
    }
    found
}

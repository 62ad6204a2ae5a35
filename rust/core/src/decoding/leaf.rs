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
    /// Over the `count` logits that are not -inf: a number near their mean, SUM (`l_j` - center), and of the squares.
    pub center: f64,
    pub step: f64,
    pub step_square: f64,
    pub count: usize,
}

/// The maxima of the leaf's blocks as keys, and whether a number may be NaN.
///
/// A number that is not finite makes its lane of `check` NaN, one instruction for a vector of numbers.
#[inline(always)]
fn maxima_lanes<T: Logit>(leaf: &[T], block: usize, keys: &mut [T::Key]) -> bool {
    let (mut check, mut spoilt) = ([T::ZERO; WIDTH], false);
    for (chunk, key) in leaf.chunks(block).zip(keys) {
        let mut top = [-T::INFINITY; WIDTH];
        let (pieces, rest) = chunk.as_chunks::<WIDTH>();
        for piece in pieces {
            top = larger(piece, &top);
            check = spoil(piece, &check);
        }
        let mut best = highest(top);
        for &x in rest {
            best = if x > best { x } else { best };
            spoilt |= !x.is_finite();
        }
        *key = best.key();
    }
    spoilt || check.iter().any(|&lane| lane != T::ZERO)
}

#[inline(always)]
fn larger<T: Logit, const N: usize>(a: &[T; N], b: &[T; N]) -> [T; N] {
    std::array::from_fn(|l| if a[l] > b[l] { a[l] } else { b[l] })
}

#[inline(always)]
fn spoil<T: Logit>(piece: &[T; WIDTH], check: &[T; WIDTH]) -> [T; WIDTH] {
    std::array::from_fn(|l| piece[l].fma(T::ZERO, check[l]))
}

#[inline(always)]
fn highest<T: Logit>(top: [T; WIDTH]) -> T {
    let (low, high) = top.split_at(8);
    let top: [T; 8] = larger(low.try_into().expect("8 lanes"), high.try_into().expect("8 lanes"));
    let (low, high) = top.split_at(4);
    let top: [T; 4] = larger(low.try_into().expect("4 lanes"), high.try_into().expect("4 lanes"));
    let [a, b] = larger(&[top[0], top[1]], &[top[2], top[3]]);
    if a > b { a } else { b }
}

dispatch! {
    /// See `maxima_lanes`; [`Logit::maxima`] is the one to call.
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

/// Two passes, so that nothing cancels: a number near the mean, then sums of the differences to it.
#[inline(always)]
fn spread_lanes<T: Logit>(leaf: &[T]) -> [f64; 4] {
    let (mut a, mut b, mut n) = ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
    for chunk in leaf.chunks(LANES) {
        for ((a, n), &x) in a.iter_mut().zip(&mut n).zip(chunk) {
            let live = x > -T::INFINITY;
            *a = *a + if live { x } else { T::ZERO };
            *n = *n + if live { T::ONE } else { T::ZERO };
        }
    }
    let count = total(&n);
    let center = T::of(total(&a) / count);
    a.fill(T::ZERO);
    for chunk in leaf.chunks(LANES) {
        for ((a, b), &x) in a.iter_mut().zip(&mut b).zip(chunk) {
            let step = if x > -T::INFINITY { x - center } else { T::ZERO };
            *a = *a + step;
            *b = step.fma(step, *b);
        }
    }
    [center.wide(), total(&a), total(&b), count]
}

dispatch! {
    /// A number c near the mean, SUM (l - c), SUM (l - c)^2, and the count of what is not -inf.
    fn spread<T: Logit>(leaf: &[T]) -> [f64; 4] = spread_lanes
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
        let count;
        [found.center, found.step, found.step_square, count] = spread(leaf);
        found.count = count as usize;
    }
    found
}

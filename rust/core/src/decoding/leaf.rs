//! The inner loops over a leaf, 4096 consecutive logits, written once for every instruction set.
//!
//! The order of summation is part of the definition: 256 lanes, lane = index mod 256. Four terms of a lane are added
//! pairwise in the logits' precision, these sums, and then the lanes, pairwise, in double precision; leaves follow in the
//! order of their indices. More additions in single precision would cost digits where one token has most of the weight.

use crate::decoding::logit::{Decay, Logit};
use crate::decoding::statistics::Sums;
use crate::simd::dispatch;

/// Logits in a leaf.
pub const LEAF: usize = 4096;
pub const LANES: usize = 256;
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
fn lane_maxima_lanes<T: Logit>(block: &[T], keys: &mut [T::Key; WIDTH]) {
    let mut top = [-T::INFINITY; WIDTH];
    let (pieces, rest) = block.as_chunks::<WIDTH>();
    for piece in pieces {
        top = larger(piece, &top);
    }
    for (top, &x) in top.iter_mut().zip(rest) {
        *top = if x > *top { x } else { *top };
    }
    *keys = top.map(T::key);
}

dispatch! {
    /// The maxima of the places of a block that are equal mod 16, as keys.
    pub fn lane_maxima<T: Logit>(block: &[T], keys: &mut [T::Key; WIDTH]) = lane_maxima_lanes
}

/// Four rows of lanes.
pub(super) type Group<T> = [[T; LANES]; 4];

/// The groups of the leaf; the last one is filled up with -inf in `last`.
#[inline(always)]
pub(super) fn groups<'a, T: Logit>(leaf: &'a [T], last: &'a mut Group<T>) -> impl Iterator<Item = &'a Group<T>> {
    let (groups, _) = leaf.as_chunks::<LANES>().0.as_chunks::<4>();
    let rest = &leaf[groups.len() * 4 * LANES..];
    if !rest.is_empty() {
        *last = [[-T::INFINITY; LANES]; 4];
        last.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
    }
    groups.iter().chain((!rest.is_empty()).then_some(&*last))
}

/// A loop of its own: with two widths in one, compilers take half of the vector for both.
#[inline(always)]
pub(super) fn add<T: Logit>(lanes: &mut [f64; LANES], sums: &[T; LANES]) {
    for l in 0..LANES {
        lanes[l] += sums[l].wide();
    }
}

#[inline(always)]
fn normalizer_lanes<T: Logit>(leaf: &[T], decay: &Decay<T>) -> f64 {
    let (mut lanes, mut last) = ([0.0; LANES], [[T::ZERO; LANES]; 4]);
    for [a, b, c, d] in groups(leaf, &mut last) {
        let mut sums = [T::ZERO; LANES];
        for l in 0..LANES {
            let low = decay.weight(a[l]) + decay.weight(b[l]);
            sums[l] = low + (decay.weight(c[l]) + decay.weight(d[l]));
        }
        add(&mut lanes, &sums);
    }
    total(&lanes)
}

dispatch! {
    /// SUM exp((`l_j` - maximum) / T); [`Logit::normalizer`] is the one to call.
    pub fn normalizer<T: Logit>(leaf: &[T], decay: &Decay<T>) -> f64 = normalizer_lanes
}

#[inline(always)]
fn moments_lanes<T: Logit>(leaf: &[T], decay: &Decay<T>) -> [f64; 3] {
    let (mut first, mut second, mut third) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let mut last = [[T::ZERO; LANES]; 4];
    for [a, b, c, d] in groups(leaf, &mut last) {
        let (mut e, mut falls, mut squares) = ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
        for l in 0..LANES {
            let [ea, eb] = [decay.weight(a[l]), decay.weight(b[l])];
            let [ec, ed] = [decay.weight(c[l]), decay.weight(d[l])];
            let [fa, fb] = [decay.fall(a[l]), decay.fall(b[l])];
            let [fc, fd] = [decay.fall(c[l]), decay.fall(d[l])];
            e[l] = (ea + eb) + (ec + ed);
            falls[l] = eb.fma(fb, ea * fa) + ed.fma(fd, ec * fc);
            squares[l] = eb.fma(eb, ea * ea) + ed.fma(ed, ec * ec);
        }
        add(&mut first, &e);
        add(&mut second, &falls);
        add(&mut third, &squares);
    }
    [total(&first), total(&second), total(&third)]
}

dispatch! {
    /// SUM e, SUM e (maximum - l), SUM e^2 with e = exp((`l_j` - maximum) / T).
    fn moments<T: Logit>(leaf: &[T], decay: &Decay<T>) -> [f64; 3] = moments_lanes
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
pub(super) fn total<T: Logit, const N: usize>(lanes: &[T; N]) -> f64 {
    let mut wide = [0.0; N];
    for l in 0..N {
        wide[l] = lanes[l].wide();
    }
    let mut half = N / 2;
    while half > 0 {
        for l in 0..half {
            wide[l] += wide[l + half];
        }
        half /= 2;
    }
    wide[0]
}

/// What was asked for of a leaf whose maximum is known and not +inf.
pub fn sums<T: Logit>(leaf: &[T], maximum: T, temperature: f64, wanted: Sums) -> Leaf {
    let mut found = Leaf { maximum: maximum.wide(), ..Leaf::default() };
    if wanted == Sums::Nothing || maximum == -T::INFINITY {
        return found;
    }
    let decay = Decay::new(maximum, temperature);
    if wanted == Sums::Normalizer {
        found.z0 = T::normalizer(leaf, &decay);
    } else {
        [found.z0, found.z1, found.z2] = moments(leaf, &decay);
    }
    if wanted == Sums::Spread {
        let count;
        [found.center, found.step, found.step_square, count] = spread(leaf);
        found.count = count as usize;
    }
    found
}

//! From products with a network's matrix to probabilities, and from gradients to the factors of its derivative.

use crate::dual::{Dual, Number};
use crate::elementary::ln_f32;
use crate::simd::dispatch;
use crate::sorting::network::Lane;

/// A negative of a smaller probability gets it from a product of its own.
const CANCELS: f64 = 1.0 / 32.0;
/// Logarithms of smaller probabilities are that of this one, with slope 0.
const LEAST: f64 = 1e-12;

/// Lanes of the widest tile.
const MOST: usize = 32;

/// What probabilities come in.
pub trait Chance: Lane {
    /// Replaces probabilities by their natural logarithms, cut off at [`LEAST`].
    fn logarithms(values: &mut [Self]);
    /// The mean of each lane.
    fn means(values: &[Self], means: &mut [Self]);
}

impl Chance for f32 {
    fn logarithms(values: &mut [Self]) {
        logarithms_f32(values);
    }
    fn means(values: &[Self], means: &mut [Self]) {
        means_f32(values, means);
    }
}

impl Chance for f64 {
    fn logarithms(values: &mut [Self]) {
        values.iter_mut().for_each(|value| *value = if *value < LEAST { LEAST } else { *value }.ln());
    }
    fn means(values: &[Self], means: &mut [Self]) {
        means_each(values, means, |sum: Self| sum);
    }
}

impl Chance for Dual {
    fn logarithms(values: &mut [Self]) {
        let cut = |value: Self| if value.value < LEAST { Number::of(LEAST) } else { value };
        values.iter_mut().for_each(|value| *value = Number::ln(cut(*value)));
    }
    fn means(values: &[Self], means: &mut [Self]) {
        means_each(values, means, |sum: Self| sum);
    }
}

dispatch! {
    fn logarithms_f32(values: &mut [f32]) = logarithms_each
}
dispatch! {
    fn means_f32(values: &[f32], means: &mut [f32]) = means_narrow
}
dispatch! {
    /// Probabilities from the products with u, and with 1 - u if there are two columns; whether one cancels if not.
    pub fn chances<T: Chance>(u: &[T], step: &[T], shape: (usize, usize), chances: &mut [T]) -> bool = chances_each::<T>
}
dispatch! {
    /// The right factor of the derivative: the gradients to the products, from those to the values.
    pub fn factor<T: Chance>(chances: &[T], step: &[T], gradients: &[T], shape: (bool, usize, usize), v: &mut [T])
        = factor_each::<T>
}

#[inline(always)]
fn logarithms_each(values: &mut [f32]) {
    for value in values {
        *value = ln_f32(if *value < LEAST as f32 { LEAST as f32 } else { *value });
    }
}

#[inline(always)]
fn means_narrow(values: &[f32], means: &mut [f32]) {
    means_each(values, means, |sum: f64| sum as f32);
}

/// Sums are wide.
#[inline(always)]
fn means_each<T: Copy, A: Number + From<T>>(values: &[T], means: &mut [T], narrow: impl Fn(A) -> T) {
    let (mut sums, lanes) = ([A::of(0.0); MOST], means.len());
    for row in values.chunks_exact(lanes) {
        for l in 0..lanes.min(MOST) {
            sums[l] += A::from(row[l]);
        }
    }
    let count = A::of((values.len() / lanes) as f64);
    means.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = narrow(sum / count));
}

#[inline(always)]
fn chances_each<T: Chance>(u: &[T], step: &[T], (lanes, columns): (usize, usize), chances: &mut [T]) -> bool {
    let (one, bound, mut cancels) = (T::of(1.0), T::of(CANCELS), false);
    if columns == 1 {
        for ((slot, &c), &step) in chances.iter_mut().zip(u).zip(step) {
            let rest = one - c;
            *slot = if step == one { c } else { rest };
            let own = if step == one { bound } else { rest };
            cancels |= own < bound;
        }
        return cancels;
    }
    let rows = chances.chunks_exact_mut(lanes).zip(u.chunks_exact(2 * lanes)).zip(step.chunks_exact(lanes));
    for ((slots, both), step) in rows {
        let (u, own) = both.split_at(lanes);
        for (((slot, &c), &own), &step) in slots.iter_mut().zip(u).zip(own).zip(step) {
            let rest = if one - c < bound { own } else { one - c };
            *slot = if step == one { c } else { rest };
        }
    }
    false
}

/// The derivative of a value by its probability.
#[inline(always)]
fn slope<T: Chance>(chance: T, log: bool) -> T {
    let found = if log { T::of(1.0) / chance } else { T::of(1.0) };
    if log & (chance < T::of(LEAST)) { T::default() } else { found }
}

#[inline(always)]
fn factor_each<T: Chance>(
    chances: &[T],
    step: &[T],
    gradients: &[T],
    (log, lanes, columns): (bool, usize, usize),
    v: &mut [T],
) {
    let (one, zero, bound) = (T::of(1.0), T::default(), T::of(CANCELS));
    if columns == 1 {
        for (((slot, &chance), &step), &gradient) in v.iter_mut().zip(chances).zip(step).zip(gradients) {
            let found = gradient * slope(chance, log);
            *slot = if step == one { found } else { -found };
        }
        return;
    }
    let rows = chances.chunks_exact(lanes).zip(step.chunks_exact(lanes)).zip(gradients.chunks_exact(lanes));
    for (both, ((chances, step), gradients)) in v.chunks_exact_mut(2 * lanes).zip(rows) {
        let (v, own) = both.split_at_mut(lanes);
        for l in 0..lanes {
            let found = gradients[l] * slope(chances[l], log);
            let (positive, alone) = (step[l] == one, chances[l] < bound);
            v[l] = if positive {
                found
            } else if alone {
                zero
            } else {
                -found
            };
            own[l] = if !positive & alone { found } else { zero };
        }
    }
}

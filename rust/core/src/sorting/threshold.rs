//! The threshold at which a sum of curves is k: `sum_i F((v_i - theta) / tau) = k`.
//!
//! One safeguarded Newton iteration serves every curve. It works on tails: with P the sum of F over the items below the
//! threshold, M that of 1 - F over the c items above, the equation is P - M + c - k = 0 without cancellation, and
//!
//! ```text
//! ln(P + max(c - k, 0)) - ln(M + max(k - c, 0))
//! ```
//!
//! has its root in the same place and is nearly linear in theta where curves have exponential tails (wide gaps,
//! small k / n, large tau), so few passes are needed. Every pass writes the curve's values: those of the last are the
//! result, so that what is returned has the sum that was measured.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::simd::dispatch;
use crate::sorting::curves::{Curve, Float, normal_quantile};
use std::cmp::Ordering;

/// A threshold as `anchor + tau * shift`: differences to the anchor are exact where tau is below an item's last digit.
/// An infinite anchor stands for a list without an item between 0 and 1, a NaN for one with a NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// About the threshold, in the unit of the items.
    pub anchor: f64,
    /// The rest, in units of the temperature.
    pub shift: f64,
}

impl Threshold {
    /// A threshold that no finite item comes near.
    #[must_use]
    pub const fn far(anchor: f64) -> Self {
        Self { anchor, shift: 0.0 }
    }

    /// `(v - theta) / tau` for `inverse = 1 / tau`.
    #[inline(always)]
    #[must_use]
    pub fn scaled(self, v: f64, inverse: f64) -> f64 {
        (v - self.anchor).mul_add(inverse, -self.shift)
    }
}

/// Sums over a list at one threshold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// F over items below, and 1 - F over items above.
    pub tails: [f64; 2],
    /// F' over items below and above.
    pub slopes: [f64; 2],
    /// How many items are above.
    pub above: f64,
}

/// Number types with passes over a list, compiled for each instruction set.
pub trait Passes: Float {
    /// Largest residual that counts as zero, relative to k and to the tails. (Tails far smaller than k decide nothing
    /// but which of the items around a gap the gradient to k belongs to.)
    const TOLERANCE: [f64; 2];
    /// Sums of tails below it have lost digits.
    const FAINT: f64;

    /// Writes F to `y` and sums the tails.
    fn tails<C: Curve>(curve: C, v: &[Self], place: [Self; 3], y: &mut [Self]) -> Sums;

    /// Writes F' to `out`; returns the sums of F' and of F' g.
    fn slopes<C: Curve>(curve: C, v: &[Self], place: [Self; 3], g: &[Self], out: &mut [Self]) -> [f64; 2];

    /// Turns F' in `out` into F' (g - mean) / tau; returns the sum of t times it.
    fn centre(v: &[Self], place: [Self; 3], g: &[Self], mean: Self, out: &mut [Self]) -> f64;

    /// Sum, sum of squares (both about the first item), minimum and maximum.
    fn moments(v: &[Self]) -> [f64; 4];
}

/// Items that are worked on together: their sums are formed in their own precision, `L` at a time, before they are widened.
/// Loops over a block have fixed lengths and no branches, so that they become vector instructions.
const BLOCK: usize = 64;

/// Does `$work` with every block of the slices under their names: inputs are padded by the given values, outputs cut. (A
/// closure for the work would not be compiled for the instruction set at hand.)
macro_rules! blocks {
    ($length:expr, [$($input:ident: $pad:expr),*], [$($output:ident),*], $work:block) => {
        let length = $length;
        let whole = length - length % BLOCK;
        for start in (0..whole).step_by(BLOCK) {
            $(let $input: &[T; BLOCK] = $input[start..start + BLOCK].try_into().expect("a whole block");)*
            $(let $output: &mut [T; BLOCK] = (&mut $output[start..start + BLOCK]).try_into().expect("a whole block");)*
            $work
        }
        if whole < length {
            $(let mut padded = [$pad; BLOCK];
            padded[..length - whole].copy_from_slice(&$input[whole..]);
            let $input = &padded;)*
            $(let rest = &mut $output[whole..];
            let mut room = [T::ZERO; BLOCK];
            room[..rest.len()].copy_from_slice(rest);
            let $output = &mut room;)*
            $work
            $(rest.copy_from_slice(&$output[..rest.len()]);)*
        }
    };
}

/// Adds a block's items to `L` wide sums.
#[inline(always)]
fn add<T: Real, const L: usize>(sums: &mut [f64; L], item: impl Fn(usize) -> T) {
    for l in 0..L {
        let mut part = item(l);
        for row in 1..BLOCK / L {
            part = part + item(row * L + l);
        }
        sums[l] += part.wide();
    }
}

fn total<const L: usize>(lanes: &[f64; L]) -> f64 {
    lanes.iter().sum()
}

#[inline(always)]
fn tails_lanes<T: Float, const L: usize, C: Curve>(curve: C, v: &[T], place: [T; 3], y: &mut [T]) -> Sums {
    let [anchor, inverse, shift] = place;
    let mut whole = [[0.0; L]; 5];
    // Padding counts as items infinitely far below: they add nothing.
    blocks!(v.len(), [v: -T::INFINITY], [y], {
        let (mut tails, mut slopes, mut high) = ([T::ZERO; BLOCK], [T::ZERO; BLOCK], [T::ZERO; BLOCK]);
        for i in 0..BLOCK {
            let (tail, slope, above) = curve.at((v[i] - anchor).fma(inverse, -shift));
            y[i] = if above { T::ONE - tail } else { tail };
            (tails[i], slopes[i]) = (tail, slope);
            high[i] = if above { T::ONE } else { T::ZERO };
        }
        let [below, above, low_slopes, high_slopes, count] = &mut whole;
        add(below, |i| tails[i] * (T::ONE - high[i]));
        add(above, |i| tails[i] * high[i]);
        add(low_slopes, |i| slopes[i] * (T::ONE - high[i]));
        add(high_slopes, |i| slopes[i] * high[i]);
        add(count, |i| high[i]);
    });
    let [a, b, c, d, e] = &whole;
    Sums { tails: [total(a), total(b)], slopes: [total(c), total(d)], above: total(e) }
}

#[inline(always)]
fn slopes_lanes<T: Float, const L: usize, C: Curve>(
    curve: C,
    v: &[T],
    place: [T; 3],
    g: &[T],
    out: &mut [T],
) -> [f64; 2] {
    let [anchor, inverse, shift] = place;
    let mut whole = [[0.0; L]; 2];
    blocks!(v.len(), [v: -T::INFINITY, g: T::ZERO], [out], {
        for i in 0..BLOCK {
            out[i] = curve.at((v[i] - anchor).fma(inverse, -shift)).1;
        }
        let [slopes, weighted] = &mut whole;
        add(slopes, |i| out[i]);
        add(weighted, |i| out[i] * g[i]);
    });
    [total(&whole[0]), total(&whole[1])]
}

#[inline(always)]
fn centre_lanes<T: Float, const L: usize>(v: &[T], place: [T; 3], g: &[T], mean: T, out: &mut [T]) -> f64 {
    let [anchor, inverse, shift] = place;
    let mut whole = [0.0; L];
    // Padding with the anchor keeps 0 * t finite.
    blocks!(v.len(), [v: anchor, g: T::ZERO], [out], {
        for i in 0..BLOCK {
            out[i] = out[i] * (g[i] - mean) * inverse;
        }
        add(&mut whole, |i| out[i] * (v[i] - anchor).fma(inverse, -shift));
    });
    total(&whole)
}

#[inline(always)]
fn moments_lanes<T: Float, const L: usize>(v: &[T]) -> [f64; 4] {
    let first = v[0];
    let (mut sum, mut squares) = ([0.0; L], [0.0; L]);
    let (mut low, mut high) = ([first; L], [first; L]);
    blocks!(v.len(), [v: first], [], {
        add(&mut sum, |i| v[i] - first);
        add(&mut squares, |i| (v[i] - first) * (v[i] - first));
        for row in 0..BLOCK / L {
            for l in 0..L {
                let x = v[row * L + l];
                low[l] = if x < low[l] { x } else { low[l] };
                high[l] = if x > high[l] { x } else { high[l] };
            }
        }
    });
    let least = low.iter().fold(f64::INFINITY, |a, b| a.min(b.wide()));
    let most = high.iter().fold(f64::NEG_INFINITY, |a, b| a.max(b.wide()));
    [total(&sum), total(&squares), least, most]
}

macro_rules! passes {
    ($t:ident, $lanes:literal, $tolerance:expr, $faint:expr, $tails:ident, $slopes:ident, $centre:ident, $moments:ident) => {
        dispatch! {
            fn $tails<C: Curve>(curve: C, v: &[$t], place: [$t; 3], y: &mut [$t]) -> Sums = tails_lanes::<$t, $lanes, C>
        }
        dispatch! {
            fn $slopes<C: Curve>(curve: C, v: &[$t], place: [$t; 3], g: &[$t], out: &mut [$t]) -> [f64; 2]
                = slopes_lanes::<$t, $lanes, C>
        }
        dispatch! {
            fn $centre(v: &[$t], place: [$t; 3], g: &[$t], mean: $t, out: &mut [$t]) -> f64
                = centre_lanes::<$t, $lanes>
        }
        dispatch! {
            fn $moments(v: &[$t]) -> [f64; 4] = moments_lanes::<$t, $lanes>
        }

        impl Passes for $t {
            const TOLERANCE: [f64; 2] = $tolerance;
            const FAINT: f64 = $faint;
            fn tails<C: Curve>(curve: C, v: &[Self], place: [Self; 3], y: &mut [Self]) -> Sums {
                $tails(curve, v, place, y)
            }
            fn slopes<C: Curve>(curve: C, v: &[Self], place: [Self; 3], g: &[Self], out: &mut [Self]) -> [f64; 2] {
                $slopes(curve, v, place, g, out)
            }
            fn centre(v: &[Self], place: [Self; 3], g: &[Self], mean: Self, out: &mut [Self]) -> f64 {
                $centre(v, place, g, mean, out)
            }
            fn moments(v: &[Self]) -> [f64; 4] {
                $moments(v)
            }
        }
    };
}

passes!(f32, 16, [2.5e-7, 1e-5], 1e-25, tails_f32, slopes_f32, centre_f32, moments_f32);
passes!(f64, 8, [1e-14, 1e-12], 1e-270, tails_f64, slopes_f64, centre_f64, moments_f64);

/// Farther from an item, in units of the temperature, every curve is 0 or 1 to the last digit.
const REACH: f64 = 800.0;

/// A Newton iteration in units of the temperature, inside a bracket.
struct Search {
    start: f64,
    bracket: [f64; 2],
    tolerance: [f64; 2],
    faint: f64,
    passes: usize,
}

impl Search {
    #[allow(clippy::too_many_arguments)] // one list's problem, its output and how to write a threshold
    /// The threshold, written as `place(s)`, with the curve's values there in `y`; None after too many passes.
    fn run<T: Passes, C: Curve>(
        &self,
        curve: C,
        v: &[T],
        k: f64,
        inverse: f64,
        place: impl Fn(f64) -> Threshold,
        y: &mut [T],
        job: &Job,
    ) -> Result<Option<Threshold>> {
        let ([mut low, mut high], mut s, mut moved) = (self.bracket, self.start, f64::INFINITY);
        for _ in 0..self.passes {
            job.check()?;
            let here = place(s);
            let sums = T::tails(curve, v, [T::of(here.anchor), T::of(inverse), T::of(here.shift)], y);
            let ([below, above], spare) = (sums.tails, sums.above - k);
            let residual = below - above + spare;
            let [of_k, of_tails] = self.tolerance;
            let small = residual.abs() <= (of_k * k).min(of_tails * (below + above));
            // A Newton step this short leaves an error of its square.
            if (small || moved < 1e-9) && below + above >= self.faint {
                return Ok(Some(here));
            }
            if residual > 0.0 {
                low = s;
            } else {
                high = s;
            }
            let (top, bottom) = (below + spare.max(0.0), above + (-spare).max(0.0));
            let step = (top / bottom).ln() / (sums.slopes[0] / top + sums.slopes[1] / bottom);
            let mut next = s + step;
            moved = step.abs();
            if !(next > low && next < high) {
                (next, moved) = (0.5 * (low + high), f64::INFINITY);
            }
            if next == s {
                return Ok(if self.faint == 0.0 { Some(here) } else { None });
            }
            s = next;
        }
        Ok(None)
    }
}

/// Solves `sum F((v - theta) / tau) = k` for `0 < k < v.len()`, all items finite, and fills `y` with the curve's values.
/// `moments` are those of `v`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn solve<T: Passes, C: Curve>(
    curve: C,
    v: &[T],
    moments: [f64; 4],
    k: f64,
    tau: f64,
    y: &mut [T],
    job: &Job,
) -> Result<Threshold> {
    let n = v.len() as f64;
    let inverse = tau.max(1e-300).recip();
    let [sum, squares, least, most] = moments;
    let mean = sum / n;
    let spread = (squares / n - mean * mean).max(0.0).sqrt();
    // The quantile of the items (as if normal) and that of the curve, blended as those of a sum of two variables.
    let (a, b) = (-spread * normal_quantile(k / n), -tau * curve.quantile(k / n));
    let offset = if a * b > 0.0 { a.hypot(b).copysign(a) } else { a + b };
    let guess = v[0].wide() + mean + offset;
    let base =
        if guess.is_finite() { guess.clamp(least - REACH * tau, most + REACH * tau) } else { 0.5 * (least + most) };
    let bracket = [(least - base) * inverse - REACH, (most - base) * inverse + REACH];
    let search = Search { start: 0.0, bracket, tolerance: T::TOLERANCE, faint: T::FAINT, passes: 12 };
    let place = |s: f64| {
        let theta = tau.mul_add(s, base);
        let anchor = T::of(theta).wide();
        Threshold { anchor, shift: T::of((theta - anchor) * inverse).wide() }
    };
    if T::of(inverse).is_finite()
        && let Some(found) = search.run(curve, v, k, inverse, place, y, job)?
    {
        return Ok(found);
    }
    between_items(curve, v, k, tau, y, job)
}

/// The same for temperatures below the distances of the items at the boundary, in double precision: the iteration starts
/// from the boundary items themselves, found by selection.
fn between_items<T: Passes, C: Curve>(
    curve: C,
    v: &[T],
    k: f64,
    tau: f64,
    y: &mut [T],
    job: &Job,
) -> Result<Threshold> {
    let inverse = tau.max(1e-300).recip();
    let wide: Vec<f64> = v.iter().map(|x| x.wide()).collect();
    let [inner, outer] = boundary(&wide, k.ceil() as usize, &mut Vec::new()).map(|i| wide[i]);
    let whole = k.fract() == 0.0;
    let anchor = if whole { 0.5 * inner + 0.5 * outer } else { inner };
    let reach = |item: f64, side: f64| if whole { (item - anchor) * inverse + side * REACH } else { side * REACH };
    let bracket = [reach(outer, -1.0), reach(inner, 1.0)];
    let mut values = vec![0.0; v.len()];
    let search = Search { start: 0.0, bracket, tolerance: f64::TOLERANCE, faint: 0.0, passes: 2000 };
    let place = |shift| Threshold { anchor, shift };
    let found = search.run(curve, &wide, k, inverse, place, &mut values, job)?;
    for (y, value) in y.iter_mut().zip(&values) {
        *y = T::of(*value);
    }
    // The bracket is below one unit in the last place after far fewer passes than that.
    let found = found.unwrap_or(Threshold { anchor, shift: 0.0 });
    // In the items' precision if that is exact enough for their gradient.
    let near = T::of(found.anchor).wide();
    let shift = found.shift + (found.anchor - near) * inverse;
    let rounded = Threshold { anchor: near, shift: T::of(shift).wide() };
    Ok(if shift.abs() < 4.0 { rounded } else { found })
}

/// Positions of the k-th and the next largest item (the k-th again when there is no other), equal items by position.
/// `places` becomes all positions, those of the k largest first.
pub fn boundary<T: Real>(v: &[T], k: usize, places: &mut Vec<u32>) -> [usize; 2] {
    let before =
        |&a: &u32, &b: &u32| v[b as usize].partial_cmp(&v[a as usize]).unwrap_or(Ordering::Equal).then(a.cmp(&b));
    places.clear();
    places.extend(0..v.len() as u32);
    let (_, &mut inner, rest) = places.select_nth_unstable_by(k - 1, before);
    let outer = rest.iter().copied().min_by(before).unwrap_or(inner);
    [inner as usize, outer as usize]
}

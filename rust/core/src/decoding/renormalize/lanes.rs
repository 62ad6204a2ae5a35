//! The loops over the tokens of a support, eight at a time, with the arithmetic of [`crate::elementary`].
//!
//! Each is written once as a function of one token and becomes vector instructions; sums have eight lanes, so every
//! instruction set gives the same bits.

use crate::elementary::{exp_f64, ln_f64};
use crate::simd::dispatch;

pub(super) const LANES: usize = 8;

/// Fills `$out` with the first result of `$step` for every number of `$x`, and is the sums of both results.
///
/// A macro, because a closure would be compiled without the instruction set of the function around it.
macro_rules! sweep {
    ($x:expr, $out:expr, |$number:ident| $step:expr) => {
        sweep!(
            $x,
            $out,
            eight | block | {
                let (mut values, mut slopes) = ([0.0; LANES], [0.0; LANES]);
                for l in 0..LANES {
                    let $number = block[l];
                    (values[l], slopes[l]) = $step;
                }
                (values, slopes)
            }
        )
    };
    ($x:expr, $out:expr, eight |$block:ident| $step:expr) => {{
        let (x, out): (&[f64], &mut [f64]) = ($x, $out);
        let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
        for (x, out) in x.chunks(LANES).zip(out.chunks_mut(LANES)) {
            let $block = &load(x);
            let (values, slopes): ([f64; LANES], [f64; LANES]) = $step;
            store(&values, out);
            for l in 0..LANES {
                first[l] += if l < x.len() { values[l] } else { 0.0 };
                second[l] += if l < x.len() { slopes[l] } else { 0.0 };
            }
        }
        [total(first), total(second)]
    }};
}

/// Up to eight numbers; the first one again in the places that are left.
#[inline(always)]
pub(super) fn load(x: &[f64]) -> [f64; LANES] {
    x.try_into().unwrap_or_else(|_| {
        let mut block = [x[0]; LANES];
        for l in 1..LANES {
            block[l] = if l < x.len() { x[l] } else { x[0] };
        }
        block
    })
}

#[inline(always)]
pub(super) fn store(values: &[f64; LANES], out: &mut [f64]) {
    if let Ok(out) = <&mut [f64; LANES]>::try_from(&mut *out) {
        *out = *values;
    } else {
        for l in 0..LANES {
            if l < out.len() {
                out[l] = values[l];
            }
        }
    }
}

#[inline(always)]
pub(super) fn total(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// `ln(1 + x)`: the second term is what the sum's rounding took. Minus infinity at -1.
#[inline(always)]
fn ln_1p(x: f64) -> f64 {
    let y = 1.0 + x;
    let log = ln_f64(y) + (x - (y - 1.0)) / y;
    if y > 0.0 { log } else { f64::NEG_INFINITY }
}

/// `exp(x) - 1`, to an ulp of the larger of the result and x: by its series where x is small.
#[inline(always)]
fn exp_m1(x: f64) -> f64 {
    let near = if x.abs() < 0.3 { x } else { 0.0 };
    let mut series = 1.0 / 87_178_291_200.0;
    for c in [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
    ] {
        series = f64::mul_add(series, near, c);
    }
    if x.abs() < 0.3 { series * near } else { exp_f64(x) - 1.0 }
}

#[inline(always)]
fn exponentials_lanes(x: &[f64], factor: f64, out: &mut [f64]) -> f64 {
    sweep!(x, out, |x| (exp_f64(x * factor), 0.0))[0]
}

dispatch! {
    /// `out = exp(factor x)`; returns the sum.
    pub fn exponentials(x: &[f64], factor: f64, out: &mut [f64]) -> f64 = exponentials_lanes
}

#[inline(always)]
fn less_one_lanes(x: &[f64], factor: f64, out: &mut [f64]) {
    sweep!(x, out, |x| (exp_m1(x * factor), 0.0));
}

dispatch! {
    /// `out = exp(factor x) - 1`.
    pub fn less_one(x: &[f64], factor: f64, out: &mut [f64]) = less_one_lanes
}

#[inline(always)]
fn by_ratio_lanes(offsets: &[f64], log_d: f64, log_p: f64, b: f64, q: &mut [f64]) -> [f64; 2] {
    sweep!(offsets, q, |offset| {
        let high = offset - log_d;
        let z = exp_f64(if high < 700.0 { high } else { 700.0 });
        let log = if high < 700.0 { ln_1p(z) } else { high };
        let q = exp_f64(log_p + (log_d + log) / b);
        (q, q / (1.0 + z))
    })
}

dispatch! {
    /// `q^b = p_1^b (d + exp(offset))`; the second sum is that of `-b d dq/dd`.
    pub fn by_ratio(offsets: &[f64], log_d: f64, log_p: f64, b: f64, q: &mut [f64]) -> [f64; 2] = by_ratio_lanes
}

#[inline(always)]
fn by_multiplier_lanes(powers: &[f64], lift: f64, b: f64, q: &mut [f64]) -> [f64; 2] {
    sweep!(powers, q, |power| {
        let log = ln_1p(power + lift) / b;
        (exp_f64(log), exp_f64((1.0 - b) * log))
    })
}

dispatch! {
    /// `q^b = 1 + power + b mu`, with powers `p^b - 1`; the second sum is that of `dq/dmu`.
    pub fn by_multiplier(powers: &[f64], lift: f64, b: f64, q: &mut [f64]) -> [f64; 2] = by_multiplier_lanes
}

#[inline(always)]
fn by_power_lanes(powers: &[f64], m: f64, b: f64, q: &mut [f64]) -> [f64; 2] {
    sweep!(powers, q, |power| {
        let y = power + m;
        let q = exp_f64(ln_f64(y) / b);
        (q, q / (b * y))
    })
}

dispatch! {
    /// `q^b = p^b + m`; the second sum is that of `dq/dm`.
    pub fn by_power(powers: &[f64], m: f64, b: f64, q: &mut [f64]) -> [f64; 2] = by_power_lanes
}

#[inline(always)]
fn by_level_lanes(logs: &[f64], t: f64, b: f64, q: &mut [f64]) -> [f64; 2] {
    sweep!(logs, q, |x| {
        let less = exp_f64(-b * (x - t).abs());
        let q = exp_f64((if x > t { x } else { t }) + ln_1p(less) / b);
        (q, q / (1.0 + less) * if x > t { less } else { 1.0 })
    })
}

dispatch! {
    /// `q^b = p^b + exp(b t)`; the second sum is that of `dq/dt`.
    pub fn by_level(logs: &[f64], t: f64, b: f64, q: &mut [f64]) -> [f64; 2] = by_level_lanes
}

#[inline(always)]
fn priced_lanes(logs: &[f64], value: f64, next: f64, b: f64, q: &mut [f64]) -> [f64; 2] {
    let lift = b * (value - next);
    let start = exp_m1(lift);
    sweep!(logs, q, |x| {
        let (high, far) = (b * (value - x), exp_f64(b * (next - x)));
        let more = if lift < 1.0 { start * far } else { exp_f64(high) - far };
        let log = x + ln_1p(if more > -1.0 { more } else { 0.0 }) / b;
        let log = if more > -1.0 { log } else { f64::INFINITY };
        let log = if high > 700.0 { value } else { log };
        (exp_f64(log), exp_f64((1.0 - b) * log))
    })
}

dispatch! {
    /// What tokens get at the multiplier at which a token of log-probability `next` gets `exp(value)`; the second sum is that
    /// of the derivatives to the multiplier m / b, `q^(1 - b)`.
    ///
    /// `q^b = p^b + c^b - next^b`, relative to `p^b`; c itself where its power is too large for a double.
    pub fn priced(logs: &[f64], value: f64, next: f64, b: f64, q: &mut [f64]) -> [f64; 2] = priced_lanes
}

#[inline(always)]
fn conjugates_lanes(q: &[f64], a: f64, out: &mut [f64]) -> f64 {
    sweep!(q, out, |q| (exp_f64(a * ln_f64(q)) / a, 0.0))[0]
}

dispatch! {
    /// SUM `q^a / a`, the conjugates of phi; `out` is overwritten.
    pub fn conjugates(q: &[f64], a: f64, out: &mut [f64]) -> f64 = conjugates_lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_accurate_near_zero_and_far() {
        for i in -4000..4000 {
            for x in [f64::from(i) * 1e-3, f64::from(i) * 1e-7, f64::from(i) * 1e-13, f64::from(i) * 0.1] {
                let exact = libm::expm1(x);
                assert!((exp_m1(x) - exact).abs() <= 4e-16 * exact.abs().max(x.abs().min(1.0)), "{x}");
                if x > -1.0 {
                    let exact = libm::log1p(x);
                    assert!((ln_1p(x) - exact).abs() <= 7e-16 * exact.abs(), "{x} {} {exact}", ln_1p(x));
                }
            }
        }
        assert_eq!(ln_1p(-1.0), f64::NEG_INFINITY);
        assert_eq!(exp_m1(f64::NEG_INFINITY), -1.0);
    }

    #[test]
    fn sums_of_any_length_are_those_of_the_values() {
        for n in [0, 1, 7, 8, 9, 30, 64] {
            let x: Vec<f64> = (0..n).map(|i| f64::from(i) / 10.0).collect();
            let mut out = vec![0.0; n as usize];
            let sum = exponentials(&x, -2.0, &mut out);
            assert!((sum - out.iter().sum::<f64>()).abs() < 1e-14);
            assert!(x.iter().zip(&out).all(|(x, y)| (y - libm::exp(-2.0 * x)).abs() < 1e-15));
        }
    }
}

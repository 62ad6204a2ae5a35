//! The loops over the tokens of a support, eight at a time, with the arithmetic of [`crate::elementary`].
//!
//! Each is written once as a function of one token and becomes vector instructions; sums have eight lanes, so every
//! instruction set gives the same bits.

use crate::elementary::{exp_f64, ln_f64};
use crate::simd::dispatch;

const LANES: usize = 8;

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
            let mut block = [x[0]; LANES];
            block[..x.len()].copy_from_slice(x);
            let $block = &block;
            let (values, slopes): ([f64; LANES], [f64; LANES]) = $step;
            out.copy_from_slice(&values[..x.len()]);
            for l in 0..LANES {
                first[l] += if l < x.len() { values[l] } else { 0.0 };
                second[l] += if l < x.len() { slopes[l] } else { 0.0 };
            }
        }
        [total(first), total(second)]
    }};
}

#[inline(always)]
fn total(mut lanes: [f64; LANES]) -> f64 {
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
fn priced_lanes(logs: &[f64], value: f64, next: f64, b: f64, q: &mut [f64]) -> f64 {
    let (lift, full) = (b * (value - next), exp_f64(value));
    let start = exp_m1(lift);
    let sums = sweep!(logs, q, |x| {
        let (high, far) = (b * (value - x), exp_f64(b * (next - x)));
        let more = if lift < 1.0 { start * far } else { exp_f64(high) - far };
        let q = exp_f64(x + ln_1p(if more > -1.0 { more } else { 0.0 }) / b);
        let q = if more > -1.0 { q } else { f64::INFINITY };
        (if high > 700.0 { full } else { q }, 0.0)
    });
    sums[0]
}

dispatch! {
    /// What tokens get at the multiplier at which a token of log-probability `next` gets `exp(value)`; the sum.
    ///
    /// `q^b = p^b + c^b - next^b`, relative to `p^b`; c itself where its power is too large for a double.
    pub fn priced(logs: &[f64], value: f64, next: f64, b: f64, q: &mut [f64]) -> f64 = priced_lanes
}

#[inline(always)]
fn conjugates_lanes(q: &[f64], a: f64, out: &mut [f64]) -> f64 {
    sweep!(q, out, |q| (exp_f64(a * ln_f64(q)) / a, 0.0))[0]
}

dispatch! {
    /// SUM `q^a / a`, the conjugates of phi; `out` is overwritten.
    pub fn conjugates(q: &[f64], a: f64, out: &mut [f64]) -> f64 = conjugates_lanes
}

/// What eight tokens of log-probability `x` get at multiplier m > 0 of the dual: the roots q >= p of `(q - p) q^(a-2) = m`;
/// and p.
///
/// With q = p t and c = m p^(1-a) it is `(t - 1) t^(a-2) = c`. Written as `(t - 1) t = c t^(3-a)`, and divided by t, it is
/// solved from the larger of two lower bounds of t below a = 2, from the smaller of two upper bounds above.
#[inline(always)]
fn dual_eight(x: &[f64; LANES], a: f64, m: f64, log_m: f64) -> ([f64; LANES], [f64; LANES]) {
    let (mut p, mut q) = ([0.0; LANES], [0.0; LANES]);
    for l in 0..LANES {
        p[l] = exp_f64(x[l]);
        let root = 0.5 * (m + (m * m + 4.0 * p[l]).sqrt());
        q[l] = if a == 1.5 { root * root } else { 0.5 * (p[l] + (p[l] * p[l] + 4.0 * m).sqrt()) };
    }
    if a == 1.5 || a == 3.0 {
        return (q, p);
    }
    let (mut t, mut log_c) = ([0.0; LANES], [0.0; LANES]);
    for l in 0..LANES {
        log_c[l] = log_m - (a - 1.0) * x[l];
        let (linear, power) = (exp_f64(log_c[l]), exp_f64(log_c[l] / (a - 1.0)));
        let low = if power > 1.0 + linear { power } else { 1.0 + linear };
        let high = 1.0 + if power < linear { power } else { linear };
        t[l] = if a < 2.0 { low } else { high };
    }
    for _ in 0..30 {
        let mut far = 0.0;
        for l in 0..LANES {
            let step = (t[l] - 1.0 - exp_f64(log_c[l] + (2.0 - a) * ln_f64(t[l]))) / (a - 1.0 - (a - 2.0) / t[l]);
            let next = t[l] - step;
            far += if step.abs() > 1e-9 * t[l] { 1.0 } else { 0.0 }; // the error is of the order of the step's square
            t[l] = if next > 1.0 { next } else { 1.0 };
        }
        if far == 0.0 {
            break;
        }
    }
    for l in 0..LANES {
        q[l] = p[l] * t[l];
    }
    (q, p)
}

#[inline(always)]
fn by_dual_lanes(logs: &[f64], m: f64, log_m: f64, a: f64, q: &mut [f64]) -> [f64; 2] {
    sweep!(
        logs,
        q,
        eight | x | {
            let (q, p) = dual_eight(x, a, m, log_m);
            let mut slopes = [0.0; LANES];
            for l in 0..LANES {
                slopes[l] = exp_f64((3.0 - a) * ln_f64(q[l])) / ((a - 1.0) * q[l] - (a - 2.0) * p[l]);
            }
            (q, slopes)
        }
    )
}

dispatch! {
    /// The dual's values at multiplier m; the second sum is that of `dq/dm`.
    pub fn by_dual(logs: &[f64], m: f64, log_m: f64, a: f64, q: &mut [f64]) -> [f64; 2] = by_dual_lanes
}

#[inline(always)]
fn dual_conjugate(q: f64, p: f64, a: f64) -> f64 {
    exp_f64((a - 1.0) * ln_f64(q)) * (q * (a - 1.0) / a - p * (a - 2.0) / (a - 1.0))
}

#[inline(always)]
fn dual_conjugates_lanes(logs: &[f64], m: f64, log_m: f64, a: f64, out: &mut [f64]) -> f64 {
    let sums = sweep!(
        logs,
        out,
        eight | x | {
            let (q, p) = dual_eight(x, a, m, log_m);
            let mut psi = [0.0; LANES];
            for l in 0..LANES {
                psi[l] = dual_conjugate(q[l], p[l], a);
            }
            (psi, [0.0; LANES])
        }
    );
    sums[0]
}

dispatch! {
    /// SUM psi, the conjugates of the dual at multiplier m; `out` is overwritten.
    pub fn dual_conjugates(logs: &[f64], m: f64, log_m: f64, a: f64, out: &mut [f64]) -> f64 = dual_conjugates_lanes
}

#[inline(always)]
fn dual_priced_lanes(penalty: f64, p: f64, a: f64) -> f64 {
    if dual_conjugate(p, p, a) >= penalty {
        return p;
    }
    let scale = if a < 2.0 { a / (a - 1.0) } else { a * (a - 1.0) };
    let (mut low, mut high) = (p, exp_f64(ln_f64(scale * penalty) / a).max(p));
    let mut q = high;
    for _ in 0..60 {
        let power = exp_f64((a - 2.0) * ln_f64(q));
        let excess = power * q * (q * (a - 1.0) / a - p * (a - 2.0) / (a - 1.0)) - penalty;
        if excess > 0.0 {
            high = q;
        } else {
            low = q;
        }
        let before = q;
        q -= excess / (power * (q * (a - 1.0) - p * (a - 2.0)));
        if (q - before).abs() <= 1e-9 * q {
            break; // the error is of the order of the step's square
        }
        if !(low < q && q < high) {
            q = f64::midpoint(low, high);
        }
    }
    q
}

dispatch! {
    /// The value q >= p of a token whose psi is the penalty, p itself where its psi is more already: by Newton's method, kept
    /// between bounds.
    pub fn dual_priced(penalty: f64, p: f64, a: f64) -> f64 = dual_priced_lanes
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

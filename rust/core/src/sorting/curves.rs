//! The distribution functions of the threshold family: increasing curves F from 0 to 1 with their derivatives.

use crate::elementary::{decay_f32, decay_f64, exp_f64};
use crate::real::Real;
use std::ops::Div;

/// A [`Real`] with what a curve needs.
pub trait Float: Real + Div<Output = Self> {
    /// `exp(-x)` for x >= 0, as plain arithmetic.
    #[must_use]
    fn decay(self) -> Self;
    /// The absolute value.
    #[must_use]
    fn magnitude(self) -> Self;
}

impl Float for f32 {
    #[inline(always)]
    fn decay(self) -> Self {
        decay_f32(self)
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
}

impl Float for f64 {
    #[inline(always)]
    fn decay(self) -> Self {
        decay_f64(self)
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
}

/// An increasing function F from 0 to 1. The smaller of F and 1 - F keeps its relative precision on both sides.
pub trait Curve: Copy + Send + Sync {
    /// `(min(F, 1 - F), F', whether F >= 1/2)` at `t`, which is not NaN; written so that loops over it vectorise.
    fn at<T: Float>(self, t: T) -> (T, T, bool);
    /// F''.
    fn bend(self, t: f64) -> f64;
    /// ln F; minus infinity where F is 0.
    fn log(self, t: f64) -> f64;
    /// The derivative of ln F and the derivative of that; 0 where F is 0.
    fn log_slopes(self, t: f64) -> (f64, f64);
    /// About where F is `p`, for a first guess.
    fn quantile(self, p: f64) -> f64;
}

/// `ln(1 + u)` for `-1/2 <= u <= 1`, to about an ulp: 2 atanh(u / (2 + u)) by its series.
#[inline(always)]
fn log_one_plus(u: f64) -> f64 {
    let z = u / (2.0 + u);
    let w = z * z;
    // w <= 1/9, so the term after the last is below 1e-17.
    let mut sum = 1.0 / 33.0;
    for odd in [31.0, 29.0, 27.0, 25.0, 23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0f64] {
        sum = f64::mul_add(sum, w, odd.recip());
    }
    2.0 * z * sum
}

/// `1 / (1 + exp(-t))`: Sinkhorn with two targets, binary entropy.
#[derive(Debug, Clone, Copy)]
pub struct Logistic;

impl Curve for Logistic {
    #[inline(always)]
    fn at<T: Float>(self, t: T) -> (T, T, bool) {
        let e = t.magnitude().decay();
        let upper = T::ONE / (T::ONE + e);
        let tail = e * upper;
        (tail, tail * upper, t >= T::ZERO)
    }
    fn bend(self, t: f64) -> f64 {
        let e = exp_f64(-t.abs());
        let upper = 1.0 / (1.0 + e);
        -(e * upper * upper * (1.0 - e) * upper).copysign(t)
    }
    #[inline(always)]
    fn log(self, t: f64) -> f64 {
        t.min(0.0) - log_one_plus(exp_f64(-t.abs()))
    }
    #[inline(always)]
    fn log_slopes(self, t: f64) -> (f64, f64) {
        let (tail, slope, upper) = self.at(t);
        (if upper { tail } else { 1.0 - tail }, -slope)
    }
    fn quantile(self, p: f64) -> f64 {
        (p / (1.0 - p)).ln()
    }
}

/// `exp(t) / 2` below 0, `1 - exp(-t) / 2` above: `LapSum`.
#[derive(Debug, Clone, Copy)]
pub struct Laplace;

impl Curve for Laplace {
    #[inline(always)]
    fn at<T: Float>(self, t: T) -> (T, T, bool) {
        let tail = t.magnitude().decay() * T::of(0.5);
        (tail, tail, t >= T::ZERO)
    }
    fn bend(self, t: f64) -> f64 {
        -(0.5 * exp_f64(-t.abs())).copysign(t)
    }
    #[inline(always)]
    fn log(self, t: f64) -> f64 {
        if t < 0.0 { t - std::f64::consts::LN_2 } else { log_one_plus(-0.5 * exp_f64(-t)) }
    }
    #[inline(always)]
    fn log_slopes(self, t: f64) -> (f64, f64) {
        let tail = 0.5 * exp_f64(-t.abs());
        let ratio = tail / (1.0 - tail);
        if t < 0.0 { (1.0, 0.0) } else { (ratio, -ratio / (1.0 - tail)) }
    }
    fn quantile(self, p: f64) -> f64 {
        if p < 0.5 { (2.0 * p).ln() } else { -(2.0 - 2.0 * p).ln() }
    }
}

/// `t` cut to 0..1: the Euclidean projection.
#[derive(Debug, Clone, Copy)]
pub struct Clip;

impl Curve for Clip {
    #[inline(always)]
    fn at<T: Float>(self, t: T) -> (T, T, bool) {
        let low = if t > T::ZERO { t } else { T::ZERO };
        let y = if low < T::ONE { low } else { T::ONE };
        let upper = y >= T::of(0.5);
        let inside = t > T::ZERO && t < T::ONE;
        (if upper { T::ONE - y } else { y }, if inside { T::ONE } else { T::ZERO }, upper)
    }
    fn bend(self, _: f64) -> f64 {
        0.0
    }
    fn log(self, t: f64) -> f64 {
        t.clamp(0.0, 1.0).ln()
    }
    fn log_slopes(self, t: f64) -> (f64, f64) {
        if t > 0.0 && t < 1.0 { (t.recip(), -(t * t).recip()) } else { (0.0, 0.0) }
    }
    fn quantile(self, p: f64) -> f64 {
        p
    }
}

/// `t^exponent` for t cut to 0..1: the projection in a p-norm, exponent 1 / (p - 1).
#[derive(Debug, Clone, Copy)]
pub struct Power {
    /// The exponent, >= 1.
    pub exponent: f64,
}

impl Power {
    /// `t^(exponent - 1)` for t in 0..1. The default p = 4/3 is a square.
    #[inline(always)]
    fn lower(self, t: f64) -> f64 {
        if (self.exponent - 3.0).abs() < 1e-9 { t * t } else { t.powf(self.exponent - 1.0) }
    }
}

impl Curve for Power {
    #[inline(always)]
    fn at<T: Float>(self, t: T) -> (T, T, bool) {
        let wide = t.wide();
        let inside = wide > 0.0 && wide < 1.0;
        let cut = wide.clamp(0.0, 1.0);
        let lower = self.lower(cut);
        let y = lower * cut;
        let upper = y >= 0.5;
        (T::of(if upper { 1.0 - y } else { y }), T::of(if inside { self.exponent * lower } else { 0.0 }), upper)
    }
    fn bend(self, t: f64) -> f64 {
        let inside = t > 0.0 && t < 1.0;
        if inside { self.exponent * (self.exponent - 1.0) * self.lower(t) / t } else { 0.0 }
    }
    fn log(self, t: f64) -> f64 {
        self.exponent * t.clamp(0.0, 1.0).ln()
    }
    fn log_slopes(self, t: f64) -> (f64, f64) {
        let inside = t > 0.0 && t < 1.0;
        if inside { (self.exponent / t, -self.exponent / (t * t)) } else { (0.0, 0.0) }
    }
    fn quantile(self, p: f64) -> f64 {
        p.powf(self.exponent.recip())
    }
}

/// The normal distribution function.
#[derive(Debug, Clone, Copy)]
pub struct Gaussian;

/// `(1 + 2 z) exp(z^2) erfc(z)` for z >= 0 as a Chebyshev series in (z - 3.75) / (z + 3.75). The form is that of Shepherd
/// and Laframboise (Math. Comp. 36, 1981); the coefficients were computed in 40 digits from 64 nodes.
const SCALED_ERFC: [f64; 26] = [
    1.177_578_934_567_401_8,
    -4.590_054_580_646_477e-3,
    -8.424_913_336_651_792e-2,
    5.920_993_999_819_189e-2,
    -2.665_866_843_530_575e-2,
    9.074_997_670_705_265e-3,
    -2.413_163_540_417_608e-3,
    4.907_758_365_258_086e-4,
    -6.916_973_302_501_206e-5,
    4.139_027_986_073_01e-6,
    7.740_383_066_198_849e-7,
    -2.188_640_104_923_44e-7,
    1.076_499_946_567_091e-8,
    4.521_959_811_218_287e-9,
    -7.754_400_208_831_135e-10,
    -6.318_088_340_886_684e-11,
    2.868_795_010_630_67e-11,
    1.945_586_854_577_735e-13,
    -9.654_696_748_433_44e-13,
    3.252_548_148_148_74e-14,
    3.347_811_948_206_805e-14,
    -1.864_562_880_419_31e-15,
    -1.250_795_053_068_76e-15,
    7.418_235_256_624e-17,
    5.068_148_904_796e-17,
    -2.237_056_659_4e-18,
];

impl Gaussian {
    /// `exp(t^2 / 2) Phi(-t)` for t >= 0.
    #[inline(always)]
    fn scaled_tail(t: f64) -> f64 {
        let z = t * std::f64::consts::FRAC_1_SQRT_2;
        let u = (z - 3.75) / (z + 3.75);
        let (mut a, mut b) = (0.0, 0.0);
        for c in SCALED_ERFC[1..].iter().rev() {
            (a, b) = (f64::mul_add(2.0 * u, a, c - b), a);
        }
        0.5 * (f64::mul_add(u, a, SCALED_ERFC[0]) - b) / (1.0 + 2.0 * z)
    }

    /// `exp(-t^2 / 2)` with the rounding of the square made good.
    #[inline(always)]
    fn bell(t: f64) -> f64 {
        let square = t * t;
        let rest = f64::mul_add(t, t, -square);
        exp_f64(-0.5 * square) * (1.0 - 0.5 * rest)
    }
}

const SQRT_TAU_INVERSE: f64 = 0.398_942_280_401_432_7;

impl Curve for Gaussian {
    #[inline(always)]
    fn at<T: Float>(self, t: T) -> (T, T, bool) {
        let size = t.wide().abs();
        let size = if size < 50.0 { size } else { 50.0 }; // both results underflow from 39 on
        let bell = Self::bell(size);
        (T::of(bell * Self::scaled_tail(size)), T::of(bell * SQRT_TAU_INVERSE), t >= T::ZERO)
    }
    fn bend(self, t: f64) -> f64 {
        let size = t.abs().min(50.0);
        -(size * Self::bell(size) * SQRT_TAU_INVERSE).copysign(t)
    }
    fn log(self, t: f64) -> f64 {
        if t < 0.0 { -0.5 * t * t + Self::scaled_tail(-t).ln() } else { log_one_plus(-self.at(t).0) }
    }
    fn log_slopes(self, t: f64) -> (f64, f64) {
        let ratio = if t < 0.0 {
            SQRT_TAU_INVERSE / Self::scaled_tail(-t)
        } else {
            let (tail, slope, _) = self.at(t);
            slope / (1.0 - tail)
        };
        (ratio, if t < -1e8 { -1.0 } else { -ratio * (t + ratio) })
    }
    fn quantile(self, p: f64) -> f64 {
        normal_quantile(p)
    }
}

/// The normal quantile to 5e-4 (Abramowitz and Stegun, 26.2.23).
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    let t = (-2.0 * p.min(1.0 - p).ln()).sqrt();
    let top = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let size = t - top / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if p < 0.5 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<C: Curve>(curve: C, t: f64) -> f64 {
        let (tail, _, upper) = curve.at(t);
        if upper { 1.0 - tail } else { tail }
    }

    fn derivatives_agree<C: Curve>(curve: C) {
        let h = 1e-5;
        for i in -40..40 {
            let t = f64::from(i) * 0.173 + 0.031;
            let close = |found: f64, expected: f64| (found - expected).abs() < 1e-6 * (1.0 + expected.abs());
            let slope = (value(curve, t + h) - value(curve, t - h)) / (2.0 * h);
            assert!(close(curve.at(t).1, slope), "F' at {t}");
            let bend = (curve.at(t + h).1 - curve.at(t - h).1) / (2.0 * h);
            assert!(close(curve.bend(t), bend), "F'' at {t}");
            if value(curve, t) > 0.0 && value(curve, t) < 1.0 {
                assert!(close(curve.log(t), value(curve, t).ln()), "ln F at {t}");
                let (ratio, change) = curve.log_slopes(t);
                assert!(close(ratio, (curve.log(t + h) - curve.log(t - h)) / (2.0 * h)), "slope of ln F at {t}");
                let expected = (curve.log_slopes(t + h).0 - curve.log_slopes(t - h).0) / (2.0 * h);
                assert!(close(change, expected), "bend of ln F at {t}");
            }
        }
    }

    #[test]
    fn derivatives_agree_with_differences() {
        derivatives_agree(Logistic);
        derivatives_agree(Laplace);
        derivatives_agree(Clip);
        derivatives_agree(Power { exponent: 3.0 });
        derivatives_agree(Power { exponent: 1.7 });
        derivatives_agree(Gaussian);
    }

    #[test]
    fn the_normal_tail_is_that_of_the_library() {
        for i in 0..3700 {
            let t = f64::from(i) * 0.01;
            let exact = 0.5 * libm::erfc(t * std::f64::consts::FRAC_1_SQRT_2);
            let (tail, _, _) = Gaussian.at(t);
            // The library's argument is rounded: relative error t^2 units of round-off.
            assert!((tail - exact).abs() <= exact * (t * t + 8.0) * 2.3e-16, "{t}: {tail} {exact}");
        }
    }

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for i in -500..=1000 {
            let u = f64::from(i) * 1e-3;
            assert!((log_one_plus(u) - u.ln_1p()).abs() <= 4e-16 * u.ln_1p().abs(), "{u}");
        }
    }
}

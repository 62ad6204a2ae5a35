//! Dual numbers: a value and its derivative along one direction.
//!
//! A vector-Jacobian product written over [`Number`] and run on duals gives the second derivative: with cotangent g and
//! inputs moved along t, the dual parts of `vjp(x + e t, g)` are the gradient of `<t, vjp(x, g)>`, because the Hessian is
//! symmetric; the dual part of the forward function is that gradient with respect to g.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// `f64` or [`Dual`]: what smooth code is written over. Comparisons look at the value alone.
pub trait Number:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + 'static
{
    /// A constant.
    fn of(value: f64) -> Self;
    /// The value without its derivative.
    fn value(self) -> f64;
    /// Applies a function with the given value and first derivative at `self.value()`.
    #[must_use]
    fn chain(self, value: f64, slope: f64) -> Self;

    /// The exponential.
    #[must_use]
    fn exp(self) -> Self {
        let y = self.value().exp();
        self.chain(y, y)
    }

    /// The natural logarithm.
    #[must_use]
    fn ln(self) -> Self {
        self.chain(self.value().ln(), self.value().recip())
    }

    /// The absolute value; its slope at 0 is 0.
    #[must_use]
    fn abs(self) -> Self {
        let x = self.value();
        self.chain(x.abs(), if x == 0.0 { 0.0 } else { x.signum() })
    }
}

impl Number for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self
    }
    #[inline(always)]
    fn chain(self, value: f64, _: f64) -> Self {
        value
    }
}

/// `value + slope e` with `e * e = 0`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// Its derivative along the direction at hand.
    pub slope: f64,
}

impl Dual {
    /// A value that moves at `slope`.
    #[must_use]
    pub const fn new(value: f64, slope: f64) -> Self {
        Self { value, slope }
    }

    /// Pairs values with their slopes.
    #[must_use]
    pub fn zip(values: &[f64], slopes: &[f64]) -> Vec<Self> {
        values.iter().zip(slopes).map(|(&value, &slope)| Self { value, slope }).collect()
    }
}

impl Number for Dual {
    #[inline(always)]
    fn of(value: f64) -> Self {
        Self { value, slope: 0.0 }
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self.value
    }
    #[inline(always)]
    fn chain(self, value: f64, slope: f64) -> Self {
        // A direction of zero stays zero where the slope is infinite (the logarithm at 0).
        Self { value, slope: if self.slope == 0.0 { 0.0 } else { slope * self.slope } }
    }
}

impl PartialEq for Dual {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Dual {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Add for Dual {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, slope: self.slope + other.slope }
    }
}

impl Sub for Dual {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, slope: self.slope - other.slope }
    }
}

impl Mul for Dual {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { value: self.value * other.value, slope: self.slope * other.value + self.value * other.slope }
    }
}

impl Div for Dual {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self { value, slope: (self.slope - value * other.slope) / other.value }
    }
}

impl Neg for Dual {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { value: -self.value, slope: -self.slope }
    }
}

impl AddAssign for Dual {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Dual {
    #[inline(always)]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl MulAssign for Dual {
    #[inline(always)]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `exp(x y) / (ln x - |y|)`.
    fn sample<N: Number>(x: N, y: N) -> N {
        (x * y).exp() / (x.ln() - y.abs())
    }

    #[test]
    fn slopes_agree_with_differences() {
        let (x, y, dx, dy, h) = (1.7, -0.6, 0.3, -1.1, 1e-6);
        let found = sample(Dual::new(x, dx), Dual::new(y, dy)).slope;
        let expected = (sample(x + h * dx, y + h * dy) - sample(x - h * dx, y - h * dy)) / (2.0 * h);
        assert!((found - expected).abs() < 1e-8 * expected.abs(), "{found} {expected}");
    }
}

//! The kernels of pair sums: softplus, its derivatives, and these times powers of their argument.

use crate::elementary::decay_f64;

/// `z^power S_order(z)`, with `S_0` the softplus log(1 + exp z) and `S_m` its m-th derivative; `S_1` is the sigmoid.
///
/// All of them vanish at minus infinity. The first is the integral of the second and so on, and the derivative by the
/// temperature multiplies by z: value, gradient and second derivative of a sum over pairs are sums over this family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    order: usize,
    power: usize,
}

/// What a kernel tends to at plus infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// 0.
    Zero,
    /// 1.
    One,
    /// z.
    Line,
}

impl Kernel {
    /// The number of kernels; [`Kernel::index`] is below it.
    pub const COUNT: usize = 9;
    /// log(1 + exp z).
    pub const SOFTPLUS: Self = Self { order: 0, power: 0 };
    /// 1 / (1 + exp(-z)).
    pub const SIGMOID: Self = Self { order: 1, power: 0 };

    /// Position in a list of all kernels.
    #[must_use]
    pub const fn index(self) -> usize {
        match (self.order, self.power) {
            (0, _) => 0,
            (1, power) => 1 + power,
            (2, power) => 3 + power,
            (_, power) => 6 + power,
        }
    }

    /// The kernel at [`Kernel::index`].
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub const fn at(index: usize) -> Self {
        let (order, power) = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)][index];
        Self { order, power }
    }

    /// `S_{order + m}` times `z^power`: the m-th derivative of softplus or sigmoid, then the power.
    #[must_use]
    pub const fn derived(self, m: usize, power: usize) -> Self {
        Self { order: self.order + m, power }
    }

    /// The limit at plus infinity.
    #[must_use]
    pub const fn tail(self) -> Tail {
        match (self.order, self.power) {
            (0, _) | (1, 1) => Tail::Line,
            (1, _) => Tail::One,
            _ => Tail::Zero,
        }
    }

    /// The value at plus infinity.
    #[must_use]
    pub const fn at_infinity(self) -> f64 {
        match self.tail() {
            Tail::Zero => 0.0,
            Tail::One => 1.0,
            Tail::Line => f64::INFINITY,
        }
    }

    /// The largest absolute value on the strip |Im z| <= y, 2 <= y < pi, where the real part goes up to `reach`.
    ///
    /// ```text
    /// s = sin y, r = Re z        |1 + exp z| >= s max(1, exp r) on the strip
    /// S_1                        min(1, exp r) / s; 1 - S_1 likewise, at -z
    /// S_2 = S_1 (1 - S_1)        exp(-|r|) / s^2
    /// S_3 = S_2 (1 - 2 S_1)      2 exp(-|r|) / s^3
    /// S_0                        (1 + max(r, 0)) / s, the integral of the bound of S_1 from the left
    /// powers                     |z| <= |r| + y, and (|r| + y)^k exp(-|r|) is largest at r = 0 for k <= y
    /// ```
    #[must_use]
    pub fn maximum(self, y: f64, reach: f64) -> f64 {
        let s = y.sin();
        let power = y.powi(self.power as i32);
        match (self.order, self.power) {
            (0, _) => (1.0 + reach) / s,
            (1, 0) => 1.0 / s,
            (1, _) => (reach + y) / s,
            (2, _) => power / (s * s),
            _ => 2.0 * power / (s * s * s),
        }
    }

    /// The value at `z`.
    #[must_use]
    pub fn value(self, z: f64) -> f64 {
        struct Point(f64);
        impl Visit for Point {
            type Out = f64;
            fn visit<V: Value>(self) -> f64 {
                V::at(self.0)
            }
        }
        self.visit(Point(z))
    }

    /// Runs `visitor` with the kernel as a type.
    pub fn visit<T: Visit>(self, visitor: T) -> T::Out {
        match (self.order, self.power) {
            (0, _) => visitor.visit::<Form<0, 0>>(),
            (1, 0) => visitor.visit::<Form<1, 0>>(),
            (1, _) => visitor.visit::<Form<1, 1>>(),
            (2, 0) => visitor.visit::<Form<2, 0>>(),
            (2, 1) => visitor.visit::<Form<2, 1>>(),
            (2, _) => visitor.visit::<Form<2, 2>>(),
            (_, 0) => visitor.visit::<Form<3, 0>>(),
            (_, 1) => visitor.visit::<Form<3, 1>>(),
            (..) => visitor.visit::<Form<3, 2>>(),
        }
    }
}

/// A kernel known at compile time, so that loops over it become vector instructions.
pub trait Value {
    /// The value at `z`, no NaN.
    fn at(z: f64) -> f64;
}

/// Code that wants the kernel as a type.
pub trait Visit {
    /// What the code returns.
    type Out;
    /// Runs it.
    fn visit<V: Value>(self) -> Self::Out;
}

/// `z^POWER S_ORDER(z)`.
#[derive(Debug)]
pub struct Form<const ORDER: usize, const POWER: usize>;

/// exp(-FLAT) counts as 0: a decaying kernel may take any z beyond for this one, and no 0 times infinity arises.
const FLAT: f64 = 800.0;

impl<const ORDER: usize, const POWER: usize> Value for Form<ORDER, POWER> {
    #[inline(always)]
    fn at(z: f64) -> f64 {
        let z = if z > f64::MAX { f64::MAX } else { z };
        let z = if z < -f64::MAX { -f64::MAX } else { z };
        let e = decay_f64(z.abs());
        if ORDER == 0 {
            return if z > 0.0 { z } else { 0.0 } + log_one_plus(e);
        }
        let r = 1.0 / (1.0 + e);
        let low = if z < -FLAT { -FLAT } else { z };
        if ORDER == 1 {
            let sigmoid = if z < 0.0 { e * r } else { r };
            return if POWER == 0 { sigmoid } else { low * sigmoid };
        }
        let flat = if low > FLAT { FLAT } else { low };
        let slope = e * r * r;
        let value = if ORDER == 2 { slope } else { slope * r * if z < 0.0 { 1.0 - e } else { e - 1.0 } };
        match POWER {
            0 => value,
            1 => flat * value,
            _ => flat * flat * value,
        }
    }
}

/// log(1 + e) for e in [0, 1], to a few units of the last place: 2 artanh(s) with s = e / (2 + e), and ln 2 taken off
/// where 1 + e > sqrt 2, so that s^2 < 0.0295.
#[inline(always)]
fn log_one_plus(e: f64) -> f64 {
    let upper = e > 0.414;
    let s = if upper { e - 1.0 } else { e } / if upper { e + 3.0 } else { e + 2.0 };
    let q = s * s;
    let mut series = 1.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = f64::mul_add(series, q, 1.0 / odd);
    }
    f64::mul_add(2.0 * s, series, if upper { std::f64::consts::LN_2 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_positions() {
        for index in 0..Kernel::COUNT {
            assert_eq!(Kernel::at(index).index(), index);
        }
    }

    #[test]
    fn values_agree_with_the_library() {
        for i in -8000..=8000 {
            let z = f64::from(i) * 0.01003;
            let e = (-z.abs()).exp();
            let (softplus, sigmoid) = (z.max(0.0) + e.ln_1p(), if z < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) });
            let slope = e / (1.0 + e) / (1.0 + e);
            let bases = [softplus, sigmoid, slope, slope * -(z / 2.0).tanh()];
            for index in 0..Kernel::COUNT {
                let kernel = Kernel::at(index);
                let (found, expected) = (kernel.value(z), bases[kernel.order] * z.powi(kernel.power as i32));
                // The third derivative changes its sign at 0.
                let tolerance = 2e-15 * expected.abs() + if kernel.order == 3 { 1e-16 } else { 0.0 };
                assert!((found - expected).abs() <= tolerance, "{kernel:?} {z}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_ends_are_exact() {
        for index in 0..Kernel::COUNT {
            let kernel = Kernel::at(index);
            assert_eq!(kernel.value(-1e300), 0.0);
            assert_eq!(kernel.value(1e300), kernel.at_infinity().min(1e300));
            assert!(kernel.value(f64::INFINITY).is_finite());
        }
    }
}

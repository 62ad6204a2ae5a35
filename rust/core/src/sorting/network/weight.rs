//! How strongly a comparator mixes: the distributions, for the number types that a network runs on.
//!
//! A comparator on scores a <= b at the distance d = b - a gives the smaller wire (1 - w) a + w b and the larger one
//! w a + (1 - w) b with w = W(v), v = `steepness` d, W the upper tail of the distribution: W(0) = 1/2, falling to 0. The
//! tail is computed itself, never as 1 - F, so that w d is right for large d as well. There it tends to `limit / steepness`.

use super::riffle::{interleave_f32, interleave_f64, separate_f32, separate_f64};
use super::tile::{
    Tile, backward, backward_f32, backward_f64, backward_single_f32, backward_single_f64, forward, forward_f32,
    forward_f64, forward_single_f32, forward_single_f64,
};
use super::work::Work;
use crate::dual::{Dual, Number};
use crate::elementary::{cauchy_tail_f32, cauchy_tail_f64, decay_f32, decay_f64, normal_tail_f32, normal_tail_f64};
use crate::error::Result;
use std::ops::{Add, Div, Mul, Neg, Range, Sub};

/// The distribution function F of a comparator; W(v) = 1 - F(v) is given below for v >= 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// 1 / (1 + e^v).
    Logistic,
    /// Logistic with the activation replacement trick: v is divided by (d + 1e-10)^(1/4).
    LogisticArt,
    /// 1 / (2 + v).
    Reciprocal,
    /// 1/2 - atan(v) / pi.
    Cauchy,
    /// The upper tail of the standard normal distribution.
    Gaussian,
    /// 1/2 - v to v = 1/4, then 1 / (16 v).
    Optimal,
}

impl Distribution {
    /// The limit of v W(v) for large v.
    #[must_use]
    pub const fn limit(self) -> f64 {
        match self {
            Self::Logistic | Self::LogisticArt | Self::Gaussian => 0.0,
            Self::Reciprocal => 1.0,
            Self::Cauchy => std::f64::consts::FRAC_1_PI,
            Self::Optimal => 1.0 / 16.0,
        }
    }
}

/// What a network runs on: `f32` and `f64` by the lane, and [`Dual`] for second derivatives.
pub trait Lane:
    Copy
    + std::fmt::Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Lists of a tile: some vector registers, so that their latencies overlap.
    const LANES: usize;
    /// Comparators of a block of a single list.
    const SINGLE: usize;
    /// The largest finite number.
    const MAX: f64;
    /// From here on the square of v would overflow: [`Distribution::limit`] is exact to all digits.
    const FAR: f64;
    /// A constant, rounded to nearest.
    fn of(value: f64) -> Self;
    /// The value without its derivative.
    fn wide(self) -> f64;
    /// Whether the sign bit is set.
    fn negative(self) -> bool;
    /// `self * a + b`, rounded once.
    #[must_use]
    fn fma(self, a: Self, b: Self) -> Self;
    /// The square root.
    #[must_use]
    fn root(self) -> Self;
    /// `exp(-self)` for `self >= 0`.
    #[must_use]
    fn decay(self) -> Self;
    /// `1/2 - atan(self) / pi`.
    #[must_use]
    fn cauchy(self) -> Self;
    /// The upper tail of the normal distribution.
    #[must_use]
    fn normal(self) -> Self;
    /// [`Lane::LANES`] lists that lie one after the other, side by side: list l gets lane l. `spare` is as long as `to`.
    fn interleave(from: &[Self], to: &mut [Self], spare: &mut [Self]);
    /// The way back of [`Lane::interleave`].
    fn separate(from: &[Self], to: &mut [Self], spare: &mut [Self]);
    /// [`forward`] on a tile of [`Lane::LANES`] lists or of one.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    fn forward(tile: &mut Tile<Self>, work: &Work<'_>, layers: Range<usize>) -> Result<()>;
    /// [`backward`], as [`Lane::forward`].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    fn backward(tile: &mut Tile<Self>, work: &Work<'_>, layers: Range<usize>) -> Result<()>;
}

macro_rules! lane {
    ($t:ident, $lanes:literal, $far:literal, $decay:ident, $cauchy:ident, $normal:ident, $interleave:ident, $separate:ident,
     [$forward:ident, $forward_single:ident], [$backward:ident, $backward_single:ident]) => {
        impl Lane for $t {
            const LANES: usize = $lanes;
            const SINGLE: usize = 16;
            #[allow(clippy::cast_lossless)] // f64 as f64
            const MAX: f64 = $t::MAX as f64;
            const FAR: f64 = $far;
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as Self
            }
            #[inline(always)]
            #[allow(clippy::useless_conversion)] // f64::from(f64)
            fn wide(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn negative(self) -> bool {
                self.is_sign_negative()
            }
            #[inline(always)]
            fn fma(self, a: Self, b: Self) -> Self {
                self.mul_add(a, b)
            }
            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn decay(self) -> Self {
                $decay(self)
            }
            #[inline(always)]
            fn cauchy(self) -> Self {
                $cauchy(self)
            }
            #[inline(always)]
            fn normal(self) -> Self {
                $normal(self)
            }
            fn interleave(from: &[Self], to: &mut [Self], spare: &mut [Self]) {
                $interleave(from, to, spare);
            }
            fn separate(from: &[Self], to: &mut [Self], spare: &mut [Self]) {
                $separate(from, to, spare);
            }
            fn forward(tile: &mut Tile<Self>, work: &Work<'_>, layers: Range<usize>) -> Result<()> {
                if tile.lists == 1 { $forward_single(tile, work, layers) } else { $forward(tile, work, layers) }
            }
            fn backward(tile: &mut Tile<Self>, work: &Work<'_>, layers: Range<usize>) -> Result<()> {
                if tile.lists == 1 { $backward_single(tile, work, layers) } else { $backward(tile, work, layers) }
            }
        }
    };
}

lane!(
    f32,
    32,
    1e18,
    decay_f32,
    cauchy_tail_f32,
    normal_tail_f32,
    interleave_f32,
    separate_f32,
    [forward_f32, forward_single_f32],
    [backward_f32, backward_single_f32]
);
lane!(
    f64,
    16,
    1e150,
    decay_f64,
    cauchy_tail_f64,
    normal_tail_f64,
    interleave_f64,
    separate_f64,
    [forward_f64, forward_single_f64],
    [backward_f64, backward_single_f64]
);

impl Lane for Dual {
    const LANES: usize = 1;
    const SINGLE: usize = 1;
    const MAX: f64 = f64::MAX;
    const FAR: f64 = <f64 as Lane>::FAR;
    fn of(value: f64) -> Self {
        <Self as Number>::of(value)
    }
    fn wide(self) -> f64 {
        self.value
    }
    fn negative(self) -> bool {
        self.value.is_sign_negative()
    }
    fn fma(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    fn root(self) -> Self {
        let y = self.value.sqrt();
        self.chain(y, 0.5 / y)
    }
    fn decay(self) -> Self {
        let y = decay_f64(self.value);
        self.chain(y, -y)
    }
    fn cauchy(self) -> Self {
        let x = if self.value < Self::FAR { self.value } else { Self::FAR };
        self.chain(cauchy_tail_f64(self.value), slope(Distribution::Cauchy, x, 0.0))
    }
    fn normal(self) -> Self {
        self.chain(normal_tail_f64(self.value), slope(Distribution::Gaussian, self.value, 0.0))
    }
    fn interleave(from: &[Self], to: &mut [Self], _spare: &mut [Self]) {
        to.copy_from_slice(from);
    }
    fn separate(from: &[Self], to: &mut [Self], _spare: &mut [Self]) {
        to.copy_from_slice(from);
    }
    fn forward(tile: &mut Tile<Self>, work: &Work<'_>, layers: Range<usize>) -> Result<()> {
        forward::<Self, 1, 1>(tile, work, layers)
    }
    fn backward(tile: &mut Tile<Self>, work: &Work<'_>, layers: Range<usize>) -> Result<()> {
        backward::<Self, 1, 1>(tile, work, layers)
    }
}

/// v at the distance `d`.
#[inline(always)]
pub fn reach<T: Lane>(distribution: Distribution, d: T, steepness: T) -> T {
    match distribution {
        Distribution::LogisticArt => steepness * d / fourth_root(d),
        _ => steepness * d,
    }
}

/// The derivative of [`reach`] with respect to `d`.
#[inline(always)]
fn reach_slope<T: Lane>(distribution: Distribution, d: T, steepness: T) -> T {
    match distribution {
        Distribution::LogisticArt => {
            let share = d / (d + T::of(1e-10));
            steepness / fourth_root(d) * T::of(0.25).fma(-share, T::of(1.0))
        }
        _ => steepness,
    }
}

#[inline(always)]
fn fourth_root<T: Lane>(d: T) -> T {
    (d + T::of(1e-10)).root().root()
}

/// W(v).
#[inline(always)]
pub fn tail<T: Lane>(distribution: Distribution, v: T) -> T {
    let one = T::of(1.0);
    match distribution {
        Distribution::Logistic | Distribution::LogisticArt => {
            let e = v.decay();
            e / (one + e)
        }
        Distribution::Reciprocal => one / (T::of(2.0) + v),
        Distribution::Cauchy => v.cauchy(),
        Distribution::Gaussian => v.normal(),
        Distribution::Optimal => {
            let (near, far) = (T::of(0.5) - v, T::of(0.0625) / v);
            if v <= T::of(0.25) { near } else { far }
        }
    }
}

/// W'(v), given w = W(v).
#[inline(always)]
fn slope<T: Lane>(distribution: Distribution, v: T, w: T) -> T {
    let one = T::of(1.0);
    match distribution {
        Distribution::Logistic | Distribution::LogisticArt => w * (w - one),
        Distribution::Reciprocal => -(w * w),
        Distribution::Cauchy => T::of(-std::f64::consts::FRAC_1_PI) / v.fma(v, one),
        // 1 / sqrt(2 pi)
        Distribution::Gaussian => T::of(-0.398_942_280_401_432_7) * (T::of(0.5) * v * v).decay(),
        Distribution::Optimal => {
            if v <= T::of(0.25) {
                -one
            } else {
                T::of(-16.0) * w * w
            }
        }
    }
}

/// The derivatives of a comparator at the distance `d` with the weight `w`.
#[derive(Debug, Clone, Copy)]
pub struct Slopes<T> {
    /// Of w by d.
    pub weight: T,
    /// Of w d by d.
    pub shift: T,
    /// Of w by the steepness, times the steepness.
    pub by_steepness: T,
    /// Whether `d` is so large that w and w d have reached their limits, which do not depend on it.
    pub far: bool,
}

/// See [`Slopes`]; `TAME` says that `d` is not far.
#[inline(always)]
pub fn slopes<T: Lane, const TAME: bool>(distribution: Distribution, d: T, w: T, steepness: T) -> Slopes<T> {
    let mut v = reach(distribution, d, steepness);
    let far = !TAME && v > T::of(T::FAR);
    if far {
        v = T::of(T::FAR);
    }
    let by_reach = slope(distribution, v, w);
    let (weight, by_steepness) = (by_reach * reach_slope(distribution, d, steepness), by_reach * v);
    let shift = match distribution {
        Distribution::LogisticArt => d.fma(weight, w),
        // Elsewhere v is proportional to d.
        _ => w + by_steepness,
    };
    Slopes { weight, shift, by_steepness, far }
}

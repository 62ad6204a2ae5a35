//! The number trait (f32, f64) and the canonical squared distance.

use crate::lanes::{below_lanes, canon_rows_lanes, gain_lanes, lowest_lanes, panel_lanes, shift_each, square_lanes};
use crate::simd::dispatch;
use std::fmt::{Debug, Display};
use std::ops::{Add, Mul, Neg, Sub};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`.
pub trait Real:
    sealed::Sealed
    + Copy
    + PartialOrd
    + Default
    + Debug
    + Display
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Accumulators of the canonical distance: one 512-bit register.
    const LANES: usize;
    /// Unit round-off.
    const UNIT: f64;
    /// Powers of two up to this exponent are safe scales.
    const EXPONENT: i32;
    /// Absolute rounding errors stay below this.
    const TINY: f64;
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Rounds to nearest.
    fn of(value: f64) -> Self;
    /// Exact.
    fn wide(self) -> f64;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Fused `self * a + b`, rounded once on every processor.
    #[must_use]
    fn fma(self, a: Self, b: Self) -> Self;

    /// See `canon_rows_lanes`.
    fn canon_rows(rows: &[Self], scale: Self, center: &[Self], out: &mut [Self]);

    /// The sum of squares, in the lane order of `canon_rows_lanes`.
    fn square(row: &[Self]) -> Self;

    /// The smallest `norms[j] - 2 * products[j]`; see `lowest_lanes`.
    fn lowest(norms: &[Self], products: &[Self]) -> Self;

    /// Appends every `j` with `norms[j] - 2 * products[j] <= highest`, in order.
    fn below(norms: &[Self], products: &[Self], highest: Self, out: &mut Vec<u32>);

    /// See [`crate::seeding::panels`]: squared distances of transposed rows to eight interleaved candidates.
    fn panel_distances(
        lanes: &[Self],
        norms: &[Self],
        coords: &[Self],
        squares: &[Self],
        out: &mut [Self],
        stride: usize,
    );

    /// `sum weights * max(0, bounds - distances)` in eight fixed partial sums.
    fn gain(bounds: &[Self], distances: &[Self], weights: &[f64]) -> f64;

    /// `out = scale * row - origin`.
    fn shift(row: &[Self], scale: Self, origin: &[Self], out: &mut [Self]);

    /// `out = a * b^T` for row-major `a` (`m x depth`) and `b` (`n x depth`); row `i` of `out` starts at `i * stride`.
    fn product(a: &[Self], b: &[Self], depth: usize, out: &mut [Self], stride: usize);
}

macro_rules! real {
    ($t:ident, $lanes:literal, $unit:expr, $exponent:literal, $gemm:ident, $canon:ident, $lowest:ident, $square:ident, $below:ident, $shift:ident, $panel:ident, $gain:ident) => {
        impl Real for $t {
            const LANES: usize = $lanes;
            const UNIT: f64 = $unit;
            const EXPONENT: i32 = $exponent;
            #[allow(clippy::cast_lossless)] // f64 as f64
            const TINY: f64 = $t::MIN_POSITIVE as f64;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
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
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn fma(self, a: Self, b: Self) -> Self {
                self.mul_add(a, b)
            }

            #[inline]
            fn canon_rows(rows: &[Self], scale: Self, center: &[Self], out: &mut [Self]) {
                $canon(rows, scale, center, out);
            }

            #[inline]
            fn square(row: &[Self]) -> Self {
                $square(row)
            }

            #[inline]
            fn lowest(norms: &[Self], products: &[Self]) -> Self {
                $lowest(norms, products)
            }

            #[inline]
            fn below(norms: &[Self], products: &[Self], highest: Self, out: &mut Vec<u32>) {
                $below(norms, products, highest, out);
            }

            #[inline]
            fn panel_distances(
                lanes: &[Self],
                norms: &[Self],
                coords: &[Self],
                squares: &[Self],
                out: &mut [Self],
                stride: usize,
            ) {
                $panel(lanes, norms, coords, squares, out, stride);
            }

            #[inline]
            fn gain(bounds: &[Self], distances: &[Self], weights: &[f64]) -> f64 {
                $gain(bounds, distances, weights)
            }

            #[inline]
            fn shift(row: &[Self], scale: Self, origin: &[Self], out: &mut [Self]) {
                $shift(row, scale, origin, out);
            }

            fn product(a: &[Self], b: &[Self], depth: usize, out: &mut [Self], stride: usize) {
                if depth == 0 {
                    out.fill(0.0);
                    return;
                }
                let (m, n) = (a.len() / depth, b.len() / depth);
                if m == 0 || n == 0 {
                    return;
                }
                assert!(n <= stride && (m - 1) * stride + n <= out.len());
                let (d, s) = (depth as isize, stride as isize);
                // SAFETY: the asserted sizes cover every element that m, n, depth and the strides reach.
                unsafe {
                    matrixmultiply::$gemm(
                        m,
                        depth,
                        n,
                        1.0,
                        a.as_ptr(),
                        d,
                        1,
                        b.as_ptr(),
                        1,
                        d,
                        0.0,
                        out.as_mut_ptr(),
                        s,
                        1,
                    );
                }
            }
        }

        dispatch! {
            fn $below(norms: &[$t], products: &[$t], highest: $t, out: &mut Vec<u32>) = below_lanes::<$t, $lanes>
        }

        dispatch! {
            fn $panel(lanes: &[$t], norms: &[$t], coords: &[$t], squares: &[$t], out: &mut [$t], stride: usize)
                = panel_lanes::<$t, $lanes>
        }

        dispatch! {
            fn $gain(bounds: &[$t], distances: &[$t], weights: &[f64]) -> f64 = gain_lanes::<$t>
        }

        dispatch! {
            fn $shift(row: &[$t], scale: $t, origin: &[$t], out: &mut [$t]) = shift_each::<$t>
        }

        dispatch! {
            fn $square(row: &[$t]) -> $t = square_lanes::<$t, $lanes>
        }

        dispatch! {
            fn $lowest(norms: &[$t], products: &[$t]) -> $t = lowest_lanes::<$t, $lanes>
        }

        dispatch! {
            fn $canon(rows: &[$t], scale: $t, center: &[$t], out: &mut [$t]) = canon_rows_lanes::<$t, $lanes>
        }
    };
}

real!(
    f32,
    16,
    1.0 / (1u64 << 24) as f64,
    100,
    sgemm,
    canon_rows_f32,
    lowest_f32,
    square_f32,
    below_f32,
    shift_f32,
    panel_f32,
    gain_f32
);
real!(
    f64,
    8,
    1.0 / (1u64 << 53) as f64,
    1000,
    dgemm,
    canon_rows_f64,
    lowest_f64,
    square_f64,
    below_f64,
    shift_f64,
    panel_f64,
    gain_f64
);

/// One canonical squared distance.
#[inline]
pub fn canon<T: Real>(row: &[T], scale: T, center: &[T]) -> T {
    let mut out = [T::ZERO];
    T::canon_rows(row, scale, center, &mut out);
    out[0]
}

/// Units of round-off by which the matrix-product form and [`canon`] can differ, relative to `(|x| + |c|)^2`.
///
/// The bound is the sum of the rounding errors of the inner product (any order), the norms, their sum, the final
/// subtraction, the shift of the origin and `canon` itself: `max(d, 2) + ceil(d / LANES) + 10`, plus second-order terms.
#[must_use]
pub fn band<T: Real>(d: usize) -> f64 {
    (d.max(2) + d.div_ceil(T::LANES) + 12) as f64 * T::UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd;

    fn naive(x: &[f32], c: &[f32]) -> f64 {
        x.iter().zip(c).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    }

    #[test]
    fn canon_is_close_symmetric_and_zero_on_equal_rows() {
        for d in [1usize, 2, 7, 16, 17, 33, 128, 200] {
            let x: Vec<f32> = (0..d).map(|j| (j as f32 * 0.7).sin() * 3.0).collect();
            let c: Vec<f32> = (0..d).map(|j| (j as f32 * 1.3).cos()).collect();
            let value = canon(&x, 1.0, &c);
            assert!(
                (f64::from(value) - naive(&x, &c)).abs() <= naive(&x, &c) * (d.div_ceil(16) + 7) as f64 * f32::UNIT
            );
            assert_eq!(value, canon(&c, 1.0, &x));
            assert_eq!(canon(&x, 1.0, &x), 0.0);
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let rows: Vec<f32> = (0..11 * 37).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
        let center: Vec<f32> = (0..37).map(|i| (i as f32).cos()).collect();
        let wide: Vec<f64> = rows.iter().map(|&x| f64::from(x)).collect();
        let wide_center: Vec<f64> = center.iter().map(|&x| f64::from(x)).collect();
        let mut seen = Vec::new();
        for level in simd::available() {
            simd::force(level.name()).unwrap();
            let (mut out, mut wide_out) = (vec![0.0; 11], vec![0.0; 11]);
            f32::canon_rows(&rows, 2.0, &center, &mut out);
            f64::canon_rows(&wide, 2.0, &wide_center, &mut wide_out);
            seen.push((out, wide_out));
        }
        simd::force("auto").unwrap();
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

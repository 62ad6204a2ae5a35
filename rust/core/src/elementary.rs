//! Elementary functions as plain arithmetic, so that loops over them become vector instructions and every processor gives
//! the same bits.

/// `exp(x)` in single precision: within 1 ulp, 0 below -104, infinite above 88.8, NaN for NaN.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; the exponential of r is a polynomial, and 2^n is applied in two halves so that
/// subnormal results are rounded once.
#[inline(always)]
#[must_use]
pub fn exp_f32(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4; // 9 bits, so that n * LN2_HIGH is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E + 12_582_912.0) - 12_582_912.0; // round to nearest by the float's own grid
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0] {
        p = f32::mul_add(p, r, c);
    }
    let n = n as i32;
    let half = n >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    p * power(half) * power(n - half)
}

/// `exp(x)` in double precision: within 1 ulp, 0 below -746, infinite above 709.8, NaN for NaN.
#[inline(always)]
#[must_use]
pub fn exp_f64(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1; // 32 bits, so that n * LN2_HIGH is exact
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    let n = (x * std::f64::consts::LOG2_E + ROUND) - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let p = taylor(r);
    let n = n as i64;
    let half = n >> 1;
    let power = |n: i64| f64::from_bits(((n + 1023) as u64) << 52);
    p * power(half) * power(n - half)
}

/// `exp(-x)` in single precision for x >= 0: within 1 ulp, and exactly 0 from 86 on, so that no result is subnormal. Half
/// the work of [`exp_f32`].
#[inline(always)]
#[must_use]
pub fn decay_f32(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4; // as in exp_f32
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let near = if x < 86.0 { x } else { 86.0 };
    let grid = near.mul_add(-std::f32::consts::LOG2_E, 12_582_912.0); // its low bits are n as an integer
    let n = grid - 12_582_912.0;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, -near));
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0] {
        p = f32::mul_add(p, r, c);
    }
    let y = f32::from_bits(p.to_bits().wrapping_add(grid.to_bits() << 23));
    if x < 86.0 { y } else { 0.0 }
}

/// `exp(-x)` in double precision for x >= 0: within 1 ulp, and exactly 0 from 700 on; as [`decay_f32`].
#[inline(always)]
#[must_use]
pub fn decay_f64(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1; // as in exp_f64
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let near = if x < 700.0 { x } else { 700.0 };
    let grid = near.mul_add(-std::f64::consts::LOG2_E, ROUND);
    let n = grid - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, -near));
    let y = f64::from_bits(taylor(r).to_bits().wrapping_add(grid.to_bits() << 52));
    if x < 700.0 { y } else { 0.0 }
}

/// The Taylor series of the exponential to the power 13: its remainder at ln 2 / 2 is 4e-18.
#[inline(always)]
fn taylor(r: f64) -> f64 {
    let mut p = 1.0 / 6_227_020_800.0;
    for c in [
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
        1.0,
    ] {
        p = f64::mul_add(p, r, c);
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_precision_is_within_an_ulp() {
        for i in -1_050_000..=887_000 {
            let x = i as f32 * 1e-4;
            let (found, exact) = (exp_f32(x), f64::from(x).exp());
            let ulp = f32::from_bits((exact as f32).to_bits() + 1) - exact as f32;
            assert!((f64::from(found) - exact).abs() <= f64::from(ulp), "{x}: {found} {exact}");
        }
    }

    #[test]
    fn double_precision_is_within_an_ulp_of_the_library() {
        for i in -745_000..=709_000 {
            let x = f64::from(i) * 1.000_37e-3;
            let (found, exact) = (exp_f64(x), x.exp());
            let ulp = (f64::from_bits(exact.to_bits() + 1) - exact).max(f64::from_bits(1));
            assert!((found - exact).abs() <= 1.5 * ulp, "{x}: {found} {exact}");
        }
    }

    #[test]
    fn decay_is_within_an_ulp_and_ends_in_zero() {
        for i in 0..=860_000 {
            let x = i as f32 * 1e-4;
            let (found, exact) = (decay_f32(x), (-f64::from(x)).exp());
            let ulp = f32::from_bits((exact as f32).to_bits() + 1) - exact as f32;
            assert!(x >= 86.0 || (f64::from(found) - exact).abs() <= f64::from(ulp), "{x}: {found} {exact}");
            let (found, exact) = (decay_f64(f64::from(x)), (-f64::from(x)).exp());
            assert!((found - exact).abs() <= 4e-16 * exact, "{x}: {found} {exact}");
        }
        assert_eq!((decay_f32(0.0), decay_f32(86.0), decay_f32(f32::INFINITY)), (1.0, 0.0, 0.0));
        assert_eq!((decay_f64(0.0), decay_f64(700.0), decay_f64(f64::INFINITY)), (1.0, 0.0, 0.0));
        assert!(decay_f64(699.9) > 0.0 && decay_f32(85.9) > 0.0);
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!((exp_f32(0.0), exp_f32(f32::NEG_INFINITY), exp_f32(f32::INFINITY)), (1.0, 0.0, f32::INFINITY));
        assert_eq!((exp_f64(0.0), exp_f64(f64::NEG_INFINITY), exp_f64(f64::INFINITY)), (1.0, 0.0, f64::INFINITY));
        assert!(exp_f32(f32::NAN).is_nan() && exp_f64(f64::NAN).is_nan());
    }
}

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
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let grid = x * std::f32::consts::LOG2_E + ROUND; // rounds to nearest by the float's own grid
    let n = grid - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0] {
        p = f32::mul_add(p, r, c);
    }
    // The grid's bits count in units of n. A cast would cost more than all the rest: it has to look for NaN.
    let n = (grid.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
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
    let grid = x * std::f64::consts::LOG2_E + ROUND;
    let n = grid - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let p = taylor(r);
    let n = (grid.to_bits() as i64).wrapping_sub(ROUND.to_bits() as i64);
    let half = n >> 1;
    let power = |n: i64| f64::from_bits((n.wrapping_add(1023) as u64) << 52);
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

/// The natural logarithm in single precision of a positive, normal number: within 1 ulp, NaN for NaN.
///
/// x = 2^n (1 + f) with 1 + f from sqrt(1/2) to sqrt(2); ln(1 + f) = f - f^2 / 2 + f^3 times a polynomial.
#[inline(always)]
#[must_use]
pub fn ln_f32(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4; // as in exp_f32
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bits = x.to_bits() as i32;
    let exponent = bits.wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32) >> 23;
    let n = exponent as f32;
    let f = f32::from_bits(bits.wrapping_sub(exponent << 23) as u32) - 1.0;
    let mut p = -0.076_342_25;
    for c in [0.127_614_66, -0.131_602_33, 0.142_017_77, -0.166_233_54, 0.200_012_27, -0.250_008_23, 0.333_333_3, -0.5]
    {
        p = f32::mul_add(p, f, c);
    }
    let y = n.mul_add(LN2_HIGH, p.mul_add(f * f, n * LN2_LOW) + f);
    if x.is_nan() { x } else { y }
}

/// The natural logarithm in double precision of a positive, normal number: within 2 ulp, NaN for NaN.
///
/// x = 2^n (1 + f) as in [`ln_f32`]; ln(1 + f) = 2 artanh(t) with t = f / (2 + f), |t| <= 0.172, by its series.
#[inline(always)]
#[must_use]
pub fn ln_f64(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1; // as in exp_f64
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const GRID: f64 = 6_755_399_441_055_744.0; // adds an integer of at most 51 bits to its low bits
    let bits = x.to_bits();
    let offset = bits.wrapping_sub(std::f64::consts::FRAC_1_SQRT_2.to_bits()) >> 52; // the exponent, modulo 2^12
    let exponent = (offset ^ 0x800).wrapping_sub(0x800);
    let n = f64::from_bits(GRID.to_bits().wrapping_add(exponent)) - GRID;
    let f = f64::from_bits(bits.wrapping_sub(exponent << 52)) - 1.0;
    let t = f / (2.0 + f);
    let square = t * t;
    let mut p = 1.0 / 23.0;
    for c in [
        1.0 / 21.0,
        1.0 / 19.0,
        1.0 / 17.0,
        1.0 / 15.0,
        1.0 / 13.0,
        1.0 / 11.0,
        1.0 / 9.0,
        1.0 / 7.0,
        1.0 / 5.0,
        1.0 / 3.0,
    ] {
        p = f64::mul_add(p, square, c);
    }
    // 2 t = f - t f, and the first is exact.
    let rest = (p * square).mul_add(2.0 * t, -(t * f));
    let y = n.mul_add(LN2_HIGH, n.mul_add(LN2_LOW, rest) + f);
    if x.is_nan() { x } else { y }
}

/// Defines `1/2 - atan(x) / pi` and the upper tail of the normal distribution, both for `x >= 0`.
///
/// The first is `k - atan(t) / pi` with |t| <= tan(pi / 8) for t = x, (x - 1) / (x + 1) or -1 / x, whose arctangent is k pi
/// less than that of x; atan(t) / (pi t) is a polynomial in t^2. The second is `exp(-x^2 / 2) r / (1 + sqrt(2) x)` with r a
/// polynomial in (x - c) / (x + c), c = 4 sqrt(2); what the rounding of x^2 takes from the exponent is put back.
macro_rules! tails {
    ($t:ident, $cauchy:ident, $normal:ident, $decay:ident, $end:literal, $atan:expr, $mills:expr) => {
        /// `1/2 - atan(x) / pi` for `x >= 0`: within 4 ulp, NaN for NaN.
        #[inline(always)]
        #[must_use]
        pub fn $cauchy(x: $t) -> $t {
            // One choice after the other, each "then" a sum: masked additions where there are such.
            let (apart, far) = (x > 0.414_213_56, x > 2.414_213_6);
            let numerator = if apart { x - 1.0 } else { x };
            let numerator = if far { -1.0 } else { numerator };
            let denominator = if apart { x + 1.0 } else { 1.0 };
            let denominator = if far { x } else { denominator };
            let offset = if apart { 0.25 } else { 0.5 };
            let offset = if far { 0.0 } else { offset };
            let t = numerator / denominator;
            let square = t * t;
            let [first, rest @ ..] = $atan;
            let mut p: $t = first;
            for c in rest {
                p = p.mul_add(square, c);
            }
            (-t).mul_add(p, offset)
        }

        /// The probability that a standard normal variable exceeds `x >= 0`: within 8 ulp (of the smallest normal number
        /// where the result is smaller), 1/2 at 0, NaN for NaN.
        #[inline(always)]
        #[must_use]
        pub fn $normal(x: $t) -> $t {
            let x = if x > $end { $end } else { x };
            let center = 4.0 * std::$t::consts::SQRT_2;
            let t = (x - center) / (x + center);
            let [first, rest @ ..] = $mills;
            let mut p: $t = first;
            for c in rest {
                p = p.mul_add(t, c);
            }
            let square = x * x;
            let lost = x.mul_add(x, -square);
            let y = $decay(0.5 * square) * lost.mul_add(-0.5, 1.0) * p / x.mul_add(std::$t::consts::SQRT_2, 1.0);
            if x == 0.0 { 0.5 } else { y }
        }
    };
}

tails!(
    f32,
    cauchy_tail_f32,
    normal_tail_f32,
    decay_f32,
    16.0,
    [-0.019_182_324, 0.033_644_81, -0.045_325_84, 0.063_656_196, -0.106_103_21, std::f32::consts::FRAC_1_PI],
    [
        -4.703_786e-6,
        5.708_966e-5,
        -0.000_108_927_5,
        -0.000_354_523_13,
        0.002_522_016,
        -0.008_115_245,
        0.018_581_705,
        -0.033_159_498,
        0.046_866_752,
        -0.050_520_476,
        0.034_048_505,
        0.007_689_885,
        -0.069_810_56,
        0.616_497_6,
    ]
);

tails!(
    f64,
    cauchy_tail_f64,
    normal_tail_f64,
    decay_f64,
    40.0,
    [
        -0.005_667_633_957_914_248,
        0.012_084_716_779_078_377,
        -0.016_027_228_898_845_648,
        0.018_611_191_653_538_257,
        -0.021_208_834_334_443_892,
        0.024_484_540_738_000_46,
        -0.028_937_223_286_017_562,
        0.035_367_763_965_908_7,
        -0.045_472_840_862_822_99,
        0.063_661_977_236_569_98,
        -0.106_103_295_394_596_22,
        std::f64::consts::FRAC_1_PI,
    ],
    [
        -1.382_060_116_867_289_2e-10,
        4.648_812_631_854_829_6e-10,
        1.616_198_672_254_101_6e-9,
        -6.169_365_701_899_222e-9,
        -1.036_290_124_409_098_1e-8,
        5.315_908_796_909_074_3e-8,
        3.885_971_620_543_456e-8,
        -4.105_323_966_648_668_3e-7,
        1.458_671_278_654_486_6e-7,
        2.853_289_149_620_37e-6,
        -5.610_567_832_982_953e-6,
        -1.219_886_557_151_164_6e-5,
        7.531_071_304_325_973e-5,
        -9.962_857_623_632_59e-5,
        -0.000_378_886_621_797_128_8,
        0.002_515_985_034_551_128,
        -0.008_098_867_031_467_385,
        0.018_583_757_763_169_003,
        -0.033_165_182_905_930_29,
        0.046_866_417_499_556_32,
        -0.050_519_533_018_159_056,
        0.034_048_527_127_334_194,
        0.007_689_826_051_309_987,
        -0.069_810_558_420_281_14,
        0.616_497_559_312_776_3,
    ]
);

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

    #[test]
    fn logarithms_are_within_an_ulp() {
        for i in 0..=3_000_000 {
            for x in [f32::from_bits(0x3f00_0000 + i * 6), f32::from_bits(0x0080_0000 + i * 700)] {
                let (found, exact) = (ln_f32(x), f64::from(x).ln());
                let size = (exact as f32).abs();
                let ulp = f32::from_bits(size.to_bits() + 1) - size;
                assert!((f64::from(found) - exact).abs() <= f64::from(ulp), "{x}: {found} {exact}");
            }
        }
        assert!(ln_f32(1.0) == 0.0 && ln_f32(f32::NAN).is_nan());
    }

    #[test]
    fn logarithms_in_double_precision_are_within_two_ulp() {
        for i in 0..2_000_000 {
            let near = 0.5 + f64::from(i) * 1e-6;
            for x in [near, near * near * 1e-300, near * 1e200, 1.0 + f64::from(i) * 1e-15] {
                let (found, exact) = (ln_f64(x), libm::log(x));
                let ulp = f64::from_bits(exact.abs().to_bits() + 1) - exact.abs();
                assert!((found - exact).abs() <= 2.0 * ulp, "{x}: {found} {exact}");
            }
        }
        assert!(ln_f64(1.0) == 0.0 && ln_f64(f64::NAN).is_nan());
    }

    const NORMAL: [(f64, f64); 19] = [
        (0.000_976_562_5, 0.499_610_407_991_219_5),
        (0.125, 0.450_261_775_169_887_14),
        (0.3, 0.382_088_577_811_047_4),
        (0.75, 0.226_627_352_376_868_2),
        (1.0, 0.158_655_253_931_457_05),
        (1.5, 0.066_807_201_268_858_07),
        (2.0, 0.022_750_131_948_179_21),
        (2.625, 0.004_332_448_363_012_558),
        (3.3, 0.000_483_424_142_383_777_5),
        (4.125, 1.853_673_784_620_199_4e-5),
        (5.0, 2.866_515_718_791_939e-7),
        (5.656_25, 7.735_803_169_490_264e-9),
        (6.3, 1.488_228_221_762_312_7e-10),
        (8.0, 6.220_960_574_271_784e-16),
        (10.7, 5.088_910_855_027_318e-27),
        (14.0, 7.793_536_819_192_8e-45),
        (20.3, 6.429_244_467_698_346e-92),
        (27.5, 8.778_170_556_878_084e-167),
        (33.0, 4.061_185_620_915_855e-239),
    ];

    /// The largest error of `found` in units of `ulp(exact)`, over 0 and a grid that covers `lowest..highest` evenly in
    /// the logarithm.
    fn worst(lowest: f64, highest: f64, error: impl Fn(f64) -> f64) -> f64 {
        let step = (highest / lowest).ln() / 400_000.0;
        (0..=400_000).map(|i| error(lowest * (step * f64::from(i)).exp())).fold(error(0.0), f64::max)
    }

    #[test]
    fn tails_in_single_precision_are_within_their_ulps() {
        let ulps = |found: f32, exact: f64| {
            let ulp = f32::from_bits((exact as f32).to_bits() + 1) - exact as f32;
            (f64::from(found) - exact).abs() / f64::from(ulp)
        };
        let cauchy = |x: f64| {
            let x = x as f32;
            ulps(cauchy_tail_f32(x), libm::atan2(1.0, x.into()) / std::f64::consts::PI)
        };
        let normal = |x: f64| {
            let x = x as f32;
            ulps(normal_tail_f32(x), libm::erfc(f64::from(x) / std::f64::consts::SQRT_2) / 2.0)
        };
        let (cauchy, normal) = (worst(1e-6, 1e30, cauchy), worst(1e-6, 12.5, normal));
        assert!(cauchy <= 3.0 && normal <= 8.0, "{cauchy} {normal}");
    }

    #[test]
    fn tails_in_double_precision_are_within_their_ulps() {
        let ulps = |found: f64, exact: f64| (found - exact).abs() / (f64::from_bits(exact.to_bits() + 1) - exact);
        let cauchy = |x: f64| ulps(cauchy_tail_f64(x), libm::atan2(1.0, x) / std::f64::consts::PI);
        let cauchy = worst(1e-12, 1e300, cauchy);
        assert!(cauchy <= 4.0, "{cauchy}");
        // From a table of 40 digits, because the argument of a library's erfc would be rounded first.
        for (x, exact) in NORMAL {
            let found = ulps(normal_tail_f64(x), exact);
            assert!(found <= 5.0, "{x}: {found}");
        }
    }

    #[test]
    fn tails_end_exactly() {
        assert_eq!((cauchy_tail_f32(0.0), cauchy_tail_f32(f32::INFINITY)), (0.5, 0.0));
        assert_eq!((cauchy_tail_f64(0.0), cauchy_tail_f64(f64::INFINITY)), (0.5, 0.0));
        assert_eq!((normal_tail_f32(0.0), normal_tail_f32(f32::INFINITY)), (0.5, 0.0));
        assert_eq!((normal_tail_f64(0.0), normal_tail_f64(f64::INFINITY)), (0.5, 0.0));
        assert!(cauchy_tail_f32(f32::NAN).is_nan() && normal_tail_f32(f32::NAN).is_nan());
        assert!(cauchy_tail_f64(f64::NAN).is_nan() && normal_tail_f64(f64::NAN).is_nan());
    }
}

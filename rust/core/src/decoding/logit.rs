//! The two number types of logits: keys in the order of their values, and the exponential of the sums.

use crate::decoding::cut::{Bracket, Marks, Masses, Room};
use crate::decoding::leaf::LANES;
use crate::decoding::list::{List, Sums};
use crate::decoding::row::Memory;
use crate::decoding::{double, single};
use crate::lent::Store;
use crate::real::Real;
use std::cell::RefCell;
use std::thread::LocalKey;

/// `exp((x - maximum) / temperature)` in the number type, for x <= maximum.
///
/// ```text
/// y = (x - maximum) c,   c = log2(e) / temperature = high + low,   maximum c = whole + part;   2^y = 2^n 2^r
/// n = the integer next to y;   r = x high - (n + whole) - part + x low
/// ```
///
/// The difference itself would be rounded to 2^-22 where it is 4, and one number for c be off by the same factor in every
/// term: both would cost more than the exponential's own error.
#[derive(Debug, Clone, Copy)]
pub struct Decay<T> {
    pub(super) high: T,
    pub(super) low: T,
    pub(super) whole: T,
    pub(super) part: T,
    /// Subtracted first, exactly: the maximum where it is so large that its product would lose digits, else 0.
    pub(super) shift: T,
    /// From here on the exponential is a normal number.
    pub(super) floor: T,
    maximum: T,
}

impl<T: Logit> Decay<T> {
    /// For a finite maximum and a temperature > 0.
    #[must_use]
    pub fn new(maximum: T, temperature: f64) -> Self {
        const LOG2_E: [f64; 2] = [std::f64::consts::LOG2_E, 2.035_527_374_093_103_3e-17];
        let largest = T::LARGEST.wide();
        let high = T::of((LOG2_E[0] / temperature).min(largest / 4.0));
        let rest = (high.wide().mul_add(-temperature, LOG2_E[0]) + LOG2_E[1]) / temperature;
        let low = if rest.abs() < high.wide() { T::of(rest) } else { T::ZERO };
        let shift = if (maximum.wide() * high.wide()).abs() < 4096.0 { T::ZERO } else { maximum };
        let top = maximum.wide() - shift.wide();
        let product = top * high.wide();
        let whole = product.round();
        let part = (product - whole) + (top.mul_add(high.wide(), -product) + top * low.wide());
        let floor = T::of((maximum.wide() - (T::RANGE / high.wide()).min(largest)).max(-largest));
        Self { high, low, whole: T::of(whole), part: T::of(part), shift, floor, maximum }
    }

    /// `exp((x - maximum) / temperature)` for x <= maximum, within 1.3 ulp; 0 where it would not be a normal number.
    #[inline(always)]
    pub fn weight(&self, x: T) -> T {
        let e = T::decay(x, self); // below the floor anything
        if x >= self.floor { e } else { T::ZERO }
    }

    /// `maximum - x`, at most as far as the floor.
    #[inline(always)]
    pub fn fall(&self, x: T) -> T {
        self.maximum - if x > self.floor { x } else { self.floor }
    }
}

/// `f32` or `f64` as logits.
pub trait Logit: Real {
    /// Integers in the order of the values; equal values, the two zeros among them, have one key.
    type Key: Copy + Ord + Default + std::fmt::Debug + Send + Sync + 'static;
    /// Key and index as one integer that increases with decreasing value, then with increasing index.
    type Packed: Copy + Ord + std::fmt::Debug + Send + Sync + 'static;
    /// The largest finite number.
    const LARGEST: Self;
    /// Powers of two down to minus this are normal numbers.
    const RANGE: f64;
    /// 2^r for |r| <= 1/2, by interpolation at Chebyshev's nodes.
    const SERIES: &'static [Self];
    /// The key of minus infinity, below those of all other numbers.
    const LOWEST: Self::Key;
    /// The key of a number that is not NaN.
    fn key(self) -> Self::Key;
    /// The number of a key.
    fn value(key: Self::Key) -> Self;
    /// The key halfway between two, rounded up.
    fn between(low: Self::Key, high: Self::Key) -> Self::Key;
    /// The key before this one.
    fn before(key: Self::Key) -> Self::Key;
    /// The key after this one.
    fn after(key: Self::Key) -> Self::Key;
    /// Packs a key and an index.
    fn pack(key: Self::Key, index: u32) -> Self::Packed;
    /// The key and the index.
    fn unpack(packed: Self::Packed) -> (Self::Key, u32);
    /// See [`Decay::weight`]; for x from the floor on.
    fn decay(x: Self, decay: &Decay<Self>) -> Self;
    /// The maxima of blocks of a leaf as keys, and whether a number may be NaN. Where it costs little, `lanes` become the
    /// maxima of the places that are equal mod 256, of most of the leaf and of what was read before.
    fn maxima(leaf: &[Self], block: usize, keys: &mut [Self::Key], lanes: &mut [Self; LANES]) -> bool;
    /// SUM e over a leaf, in the order of [`leaf`](crate::decoding::leaf).
    fn normalizer(leaf: &[Self], decay: &Decay<Self>) -> f64;
    /// Appends the numbers that are at least `least`, by index; where they are more than `most`, perhaps not all. `maxima`
    /// are those of blocks.
    fn gather(
        values: &[Self],
        block: usize,
        maxima: &[Self::Key],
        least: Self,
        most: usize,
        out: &mut Vec<Self::Packed>,
    );
    /// Sorts different tokens and keeps the first `k`.
    fn arrange(found: &mut Vec<Self::Packed>, k: usize);
    /// Appends the logits inside the bracket, and returns how many are above it.
    fn inside(values: &[Self], bracket: Bracket<Self>, list: &mut List<Self>) -> usize;
    /// Adds SUM e over a leaf, and over its tokens above each of up to two brackets, which are marked with those inside.
    /// `next` will be read next.
    fn masses(
        leaf: &[Self],
        brackets: &[Bracket<Self>],
        decay: &Decay<Self>,
        marks: &mut [Marks; 2],
        masses: &mut Masses,
        next: &[Self],
    );
    /// Adds SUM e over a leaf, and appends its logits that are at least `least`, which is finite. `next` will be read next.
    fn reach(
        leaf: &[Self],
        least: Self,
        decay: &Decay<Self>,
        masses: &mut Masses,
        list: &mut List<Self>,
        next: &[Self],
    );
    /// Adds SUM e over the logits of a list above each of one or two brackets, appends those inside to a list for each, and
    /// returns how many are above.
    fn split(
        all: &List<Self>,
        brackets: &[Bracket<Self>],
        decay: &Decay<Self>,
        masses: &mut Masses,
        lists: [&mut List<Self>; 2],
    ) -> [usize; 2];
    /// Fills in e of each token; the least logit and the greatest, and SUM e and SUM e (maximum - l).
    fn measure(values: &[Self], weights: &mut [Self], decay: &Decay<Self>, maximum: Self) -> ((Self, Self), [f64; 2]);
    /// The sums over the tokens from each of two logits on.
    fn above(values: &[Self], weights: &[Self], least: [Self; 2], maximum: Self) -> [Sums; 2];
    /// See [`places`](crate::decoding::cut::places).
    fn places<'a>(marks: &Marks, room: &'a mut Room) -> (&'a [u32], usize);
    /// The integer next to a number >= 0 and < 2^15.
    fn bin(self) -> u32;
    /// The working memory that this thread keeps.
    fn store() -> &'static LocalKey<RefCell<Store<Memory<Self>>>>;
}

macro_rules! logit {
    ($t:ident, $key:ident, $wide:ident, $unsigned:ident, $packed:ident, $bits:literal, $mantissa:literal, $range:literal, $store:ident, $loops:ident, $series:expr) => {
        thread_local! {
            static $store: RefCell<Store<Memory<$t>>> = const { RefCell::new(Store::new()) };
        }

        impl Logit for $t {
            type Key = $key;
            type Packed = $packed;
            const LARGEST: Self = $t::MAX;
            const RANGE: f64 = $range;
            const SERIES: &'static [Self] = &$series;
            const LOWEST: $key = ($t::NEG_INFINITY.to_bits() as $key) ^ $key::MAX;
            #[inline(always)]
            fn key(self) -> $key {
                let bits = (self + 0.0).to_bits() as $key; // -0 becomes 0
                bits ^ ((bits >> ($bits - 1)) & $key::MAX)
            }
            #[inline(always)]
            fn value(key: $key) -> Self {
                $t::from_bits((key ^ ((key >> ($bits - 1)) & $key::MAX)) as $unsigned)
            }
            #[inline(always)]
            fn between(low: $key, high: $key) -> $key {
                (($wide::from(low) + $wide::from(high) + 1) >> 1) as $key
            }
            #[inline(always)]
            fn before(key: $key) -> $key {
                key - 1
            }
            #[inline(always)]
            fn after(key: $key) -> $key {
                key + 1
            }
            #[inline(always)]
            fn pack(key: $key, index: u32) -> $packed {
                $packed::from(!(key as $unsigned) ^ (1 << ($bits - 1))) << 32 | $packed::from(index)
            }
            #[inline(always)]
            fn unpack(packed: $packed) -> ($key, u32) {
                (!((packed >> 32) as $unsigned ^ (1 << ($bits - 1))) as $key, packed as u32)
            }
            #[inline(always)]
            fn decay(x: Self, decay: &Decay<Self>) -> Self {
                const ROUND: $t = 1.5 * (1u64 << $mantissa) as $t; // rounds to the nearest integer by its own grid
                let x = x - decay.shift;
                let grid = x.mul_add(decay.high, -(decay.whole + decay.part)) + ROUND;
                let n = grid - ROUND;
                let r = x.mul_add(decay.low, x.mul_add(decay.high, -(n + decay.whole)) - decay.part);
                let mut p = Self::SERIES[Self::SERIES.len() - 1];
                for c in Self::SERIES.iter().rev().skip(1) {
                    p = p.mul_add(r, *c);
                }
                $t::from_bits(p.to_bits().wrapping_add(grid.to_bits() << $mantissa))
            }
            #[inline]
            fn maxima(leaf: &[Self], block: usize, keys: &mut [$key], lanes: &mut [Self; LANES]) -> bool {
                $loops::maxima(leaf, block, keys, lanes)
            }
            fn normalizer(leaf: &[Self], decay: &Decay<Self>) -> f64 {
                $loops::normalizer(leaf, decay)
            }
            #[inline]
            fn gather(
                values: &[Self],
                block: usize,
                maxima: &[$key],
                least: Self,
                most: usize,
                out: &mut Vec<$packed>,
            ) {
                $loops::gather(values, block, maxima, least, most, out);
            }
            #[inline]
            fn arrange(found: &mut Vec<$packed>, k: usize) {
                $loops::arrange(found, k);
            }
            fn inside(values: &[Self], bracket: Bracket<Self>, list: &mut List<Self>) -> usize {
                $loops::inside(values, bracket, list)
            }
            fn masses(
                leaf: &[Self],
                brackets: &[Bracket<Self>],
                decay: &Decay<Self>,
                marks: &mut [Marks; 2],
                masses: &mut Masses,
                next: &[Self],
            ) {
                $loops::masses(leaf, brackets, decay, marks, masses, next);
            }
            fn reach(
                leaf: &[Self],
                least: Self,
                decay: &Decay<Self>,
                masses: &mut Masses,
                list: &mut List<Self>,
                next: &[Self],
            ) {
                $loops::reach(leaf, least, decay, masses, list, next);
            }
            fn split(
                all: &List<Self>,
                brackets: &[Bracket<Self>],
                decay: &Decay<Self>,
                masses: &mut Masses,
                lists: [&mut List<Self>; 2],
            ) -> [usize; 2] {
                $loops::split(all, brackets, decay, masses, lists)
            }
            fn measure(
                values: &[Self],
                weights: &mut [Self],
                decay: &Decay<Self>,
                maximum: Self,
            ) -> ((Self, Self), [f64; 2]) {
                $loops::measure(values, weights, decay, maximum)
            }
            fn above(values: &[Self], weights: &[Self], least: [Self; 2], maximum: Self) -> [Sums; 2] {
                $loops::above(values, weights, least, maximum)
            }
            fn places<'a>(marks: &Marks, room: &'a mut Room) -> (&'a [u32], usize) {
                $loops::places(marks, room)
            }
            #[inline(always)]
            fn bin(self) -> u32 {
                (self + (1u64 << $mantissa) as $t).to_bits() as u32 & 0x7FFF
            }
            fn store() -> &'static LocalKey<RefCell<Store<Memory<Self>>>> {
                &$store
            }
        }
    };
}

logit!(
    f32,
    i32,
    i64,
    u32,
    u64,
    32,
    23,
    125.5,
    SINGLE,
    single,
    [1.0, std::f32::consts::LN_2, 0.240_226_5, 0.055_503_57, 0.009_618_083, 0.001_339_086_3, 0.000_154_531_63]
);
logit!(
    f64,
    i64,
    i128,
    u64,
    u128,
    64,
    52,
    1021.5,
    DOUBLE,
    double,
    [
        1.0,
        std::f64::consts::LN_2,
        0.240_226_506_959_100_97,
        0.055_504_108_664_821_6,
        0.009_618_129_107_606_888,
        0.001_333_355_814_641_693_6,
        0.000_154_035_304_417_360_5,
        1.525_273_382_983_612e-5,
        1.321_544_258_792_169e-6,
        1.017_806_244_584_577_4e-7,
        7.072_585_949_269_223e-9,
        4.454_960_598_186_508_6e-10,
    ]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_values_and_go_back() {
        let values = [f32::NEG_INFINITY, -3e38, -1.0, -1e-45, 0.0, 1e-45, 1.0, 3e38, f32::INFINITY];
        for pair in values.windows(2) {
            assert!(pair[0].key() < pair[1].key());
            assert!(f32::pack(pair[0].key(), 0) > f32::pack(pair[1].key(), 9));
            assert!(f64::pack(f64::from(pair[0]).key(), 0) > f64::pack(f64::from(pair[1]).key(), 9));
        }
        assert_eq!((-0.0f32).key(), 0.0f32.key());
        assert_eq!(f32::NEG_INFINITY.key(), f32::LOWEST);
        assert_eq!(f64::NEG_INFINITY.key(), f64::LOWEST);
        for value in values {
            assert_eq!(f32::value(value.key()), value);
            assert_eq!(f32::unpack(f32::pack(value.key(), 77)), (value.key(), 77));
            assert_eq!(f64::unpack(f64::pack(f64::from(value).key(), 77)), (f64::from(value).key(), 77));
        }
        assert!(f64::pack(1.0f64.key(), 3) < f64::pack(1.0f64.key(), 4));
    }

    #[test]
    fn decays_are_exponentials() {
        for temperature in [1e-3, 0.1, 0.7, 1.0, 1.5, 3.0, 1e4] {
            for maximum in [0.0f32, 3.3, -7.7, 41.0, 2000.0, -1e6, 1e30] {
                let wide = f64::from(maximum);
                let (single, double) = (Decay::<f32>::new(maximum, temperature), Decay::<f64>::new(wide, temperature));
                for i in 0..1000 {
                    let x = (wide - 80.0 * temperature * (f64::from(i) / 1000.0)) as f32;
                    if x < single.floor {
                        continue;
                    }
                    let exact = ((f64::from(x) - wide) / temperature).exp();
                    let (a, b) = (f64::from(single.weight(x)), double.weight(f64::from(x)));
                    assert!((a / exact - 1.0).abs() < 1.5e-7, "{temperature} {maximum} {x}: {a} {exact}");
                    assert!((b / exact - 1.0).abs() < 2e-14, "{temperature} {maximum} {x}: {b} {exact}"); // exp's argument is rounded
                }
            }
        }
    }
}

//! Lists of tokens, and sums over those of them above a logit.

use crate::decoding::cut::Bracket;
use crate::decoding::leaf::{WIDTH, total};
use crate::decoding::logit::{Decay, Logit};
use crate::decoding::order::Prefix;
use crate::decoding::row::Token;
use crate::decoding::statistics::Statistics;
use crate::simd::dispatch;

/// Lanes in which the least and the greatest are looked for.
const RANGED: usize = 32;

/// Logits of a row in the order of their places.
#[derive(Debug, Default)]
pub struct List<T> {
    pub values: Vec<T>,
    /// e of each, once they were asked for.
    weights: Vec<T>,
}

/// Lists the logits inside the bracket.
pub fn inside<T: Logit>(values: &[T], bracket: Bracket<T>, list: &mut List<T>) {
    list.clear();
    T::inside(values, bracket, list);
}

#[inline(always)]
fn inside_lanes<T: Logit>(values: &[T], bracket: Bracket<T>, list: &mut List<T>) -> usize {
    let mut above = 0;
    for piece in values.chunks(WIDTH) {
        let (mut mask, mut over) = (0u32, 0u32);
        for (l, &x) in piece.iter().enumerate() {
            mask |= u32::from(x >= bracket.low && x < bracket.high) << l;
            over |= u32::from(x >= bracket.high) << l;
        }
        above += over.count_ones() as usize;
        while mask != 0 {
            list.values.push(piece[mask.trailing_zeros() as usize]);
            mask &= mask - 1;
        }
    }
    above
}

dispatch! {
    /// Appends the logits inside the bracket, and returns how many are above it. [`Logit::inside`] is to be called.
    pub fn inside_any<T: Logit>(values: &[T], bracket: Bracket<T>, list: &mut List<T>) -> usize = inside_lanes
}

#[inline(always)]
fn range_lanes<T: Logit>(values: &[T]) -> (T, T) {
    let (mut low, mut high) = ([T::INFINITY; RANGED], [-T::INFINITY; RANGED]);
    let (pieces, rest) = values.as_chunks::<RANGED>();
    for piece in pieces {
        for l in 0..RANGED {
            low[l] = if piece[l] < low[l] { piece[l] } else { low[l] };
            high[l] = if piece[l] > high[l] { piece[l] } else { high[l] };
        }
    }
    let mut half = RANGED / 2;
    while half > 0 {
        for l in 0..half {
            low[l] = if low[l + half] < low[l] { low[l + half] } else { low[l] };
            high[l] = if high[l + half] > high[l] { high[l + half] } else { high[l] };
        }
        half /= 2;
    }
    rest.iter()
        .fold((low[0], high[0]), |(low, high), &x| (if x < low { x } else { low }, if x > high { x } else { high }))
}

dispatch! {
    /// The least and the greatest.
    pub fn range<T: Logit>(values: &[T]) -> (T, T) = range_lanes
}

impl<T: Logit> List<T> {
    /// Takes all out.
    pub fn clear(&mut self) {
        self.values.clear();
        self.weights.clear();
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> usize {
        (self.values.capacity() + self.weights.capacity()) * size_of::<T>()
    }

    /// Fills in the weights; the least logit and the greatest, and the sums over all.
    pub fn measure(&mut self, statistics: &Statistics) -> ((T, T), Prefix) {
        let decay = Decay::new(T::of(statistics.maximum), statistics.temperature);
        self.weights.resize(self.values.len(), T::ZERO);
        let (range, sums) = T::measure(&self.values, &mut self.weights, &decay, T::of(statistics.maximum));
        (range, prefix((self.values.len(), sums), -T::INFINITY, statistics))
    }

    /// The sums over the tokens from each of two logits on; they were measured.
    pub fn above(&self, least: [T; 2], statistics: &Statistics) -> [Prefix; 2] {
        let [one, two] = T::above(&self.values, &self.weights, least, T::of(statistics.maximum));
        [prefix(one, least[0], statistics), prefix(two, least[1], statistics)]
    }

    /// Keeps the tokens inside the bracket.
    pub fn keep(&mut self, bracket: Bracket<T>, spare: &mut Self) {
        spare.clear();
        T::inside(&self.values, bracket, spare);
        std::mem::swap(self, spare);
    }
}

/// How many tokens there are, SUM e and SUM e (maximum - l).
pub type Sums = (usize, [f64; 2]);

fn prefix<T: Logit>((count, [mass, fall]): Sums, least: T, statistics: &Statistics) -> Prefix {
    let last = Token { logit: least.wide(), index: u32::MAX };
    Prefix { count, mass, moment: -fall / statistics.temperature, last }
}

/// See [`Logit::measure`].
pub fn measure<T: Logit>(values: &[T], weights: &mut [T], decay: &Decay<T>, maximum: T) -> ((T, T), [f64; 2]) {
    weigh(values, weights, decay);
    (range(values), sums(values, weights, -T::INFINITY, maximum).1)
}

/// See [`Logit::above`].
pub fn above<T: Logit>(values: &[T], weights: &[T], least: [T; 2], maximum: T) -> [Sums; 2] {
    least.map(|least| sums(values, weights, least, maximum))
}

#[inline(always)]
fn weigh_lanes<T: Logit>(values: &[T], weights: &mut [T], decay: &Decay<T>) {
    for (e, &x) in weights.iter_mut().zip(values) {
        *e = decay.weight(x);
    }
}

dispatch! {
    fn weigh<T: Logit>(values: &[T], weights: &mut [T], decay: &Decay<T>) = weigh_lanes
}

#[inline(always)]
fn sums_lanes<T: Logit>(values: &[T], weights: &[T], least: T, maximum: T) -> Sums {
    let (mut masses, mut falls, mut counts) = ([0.0; WIDTH], [0.0; WIDTH], [T::ZERO; WIDTH]);
    let ((pieces, rest), (heavy, few)) = (values.as_chunks::<WIDTH>(), weights.as_chunks::<WIDTH>());
    let ((fours, more), (heavies, some)) = (pieces.as_chunks::<4>(), heavy.as_chunks::<4>());
    for (x, e) in fours.iter().zip(heavies) {
        for l in 0..WIDTH {
            let pick = |i: usize, y: T| if x[i][l] >= least { y } else { T::ZERO };
            let e = [pick(0, e[0][l]), pick(1, e[1][l]), pick(2, e[2][l]), pick(3, e[3][l])];
            let fall = |i: usize| e[i] * (maximum - x[i][l]);
            masses[l] += ((e[0] + e[1]) + (e[2] + e[3])).wide();
            falls[l] += ((fall(0) + fall(1)) + (fall(2) + fall(3))).wide();
            let [a, b, c, d] = [pick(0, T::ONE), pick(1, T::ONE), pick(2, T::ONE), pick(3, T::ONE)];
            counts[l] = counts[l] + ((a + b) + (c + d)); // below 2^24
        }
    }
    for (x, e) in more.iter().zip(some) {
        for l in 0..WIDTH {
            let pick = |y: T| if x[l] >= least { y } else { T::ZERO };
            masses[l] += pick(e[l]).wide();
            falls[l] += (pick(e[l]) * (maximum - x[l])).wide();
            counts[l] = counts[l] + pick(T::ONE);
        }
    }
    let (mut mass, mut fall, mut count) = (total(&masses), total(&falls), total(&counts) as usize);
    for (&x, &e) in rest.iter().zip(few) {
        let e = if x >= least { e } else { T::ZERO };
        mass += e.wide();
        fall += (e * (maximum - x)).wide();
        count += usize::from(x >= least);
    }
    (count, [mass, fall])
}

dispatch! {
    fn sums<T: Logit>(values: &[T], weights: &[T], least: T, maximum: T) -> Sums = sums_lanes
}

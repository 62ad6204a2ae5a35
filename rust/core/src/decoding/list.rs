//! Lists of tokens, and sums over those of them above a logit.

use crate::decoding::cut::Bracket;
use crate::decoding::leaf::{WIDTH, total};
use crate::decoding::logit::{Decay, Logit};
use crate::decoding::order::Prefix;
use crate::decoding::statistics::Statistics;
use crate::simd::dispatch;

/// Lanes in which the least and the greatest are looked for.
const RANGED: usize = 64;

/// Tokens in the order of their places.
#[derive(Debug, Default)]
pub struct List<T> {
    pub values: Vec<T>,
    pub places: Vec<u32>,
    /// e of each, once they were asked for.
    weights: Vec<T>,
}

/// Lists the tokens of a row inside the bracket.
pub fn inside<T: Logit>(values: &[T], bracket: Bracket<T>, list: &mut List<T>) {
    list.clear();
    T::inside(values, 0, bracket, list);
}

#[inline(always)]
fn inside_lanes<T: Logit>(values: &[T], start: usize, bracket: Bracket<T>, list: &mut List<T>) -> usize {
    let mut above = 0;
    for (piece, at) in values.chunks(WIDTH).zip((start..).step_by(WIDTH)) {
        let (mut mask, mut over) = (0u32, 0u32);
        for (l, &x) in piece.iter().enumerate() {
            mask |= u32::from(x >= bracket.low && x < bracket.high) << l;
            over |= u32::from(x >= bracket.high) << l;
        }
        above += over.count_ones() as usize;
        while mask != 0 {
            let l = mask.trailing_zeros() as usize;
            list.values.push(piece[l]);
            list.places.push((at + l) as u32);
            mask &= mask - 1;
        }
    }
    above
}

dispatch! {
    /// Appends the tokens inside the bracket, and returns how many are above it; the first of `values` has the place
    /// `start`. [`Logit::inside`] is to be called.
    pub fn inside_any<T: Logit>(values: &[T], start: usize, bracket: Bracket<T>, list: &mut List<T>) -> usize =
        inside_lanes
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
    let least = rest.iter().chain(&low).fold(T::INFINITY, |a, &b| if b < a { b } else { a });
    (least, rest.iter().chain(&high).fold(-T::INFINITY, |a, &b| if b > a { b } else { a }))
}

dispatch! {
    /// The least and the greatest.
    pub fn range<T: Logit>(values: &[T]) -> (T, T) = range_lanes
}

impl<T: Logit> List<T> {
    /// Takes all out.
    pub fn clear(&mut self) {
        self.values.clear();
        self.places.clear();
        self.weights.clear();
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> usize {
        (self.values.capacity() + self.weights.capacity()) * size_of::<T>() + self.places.capacity() * size_of::<u32>()
    }

    /// Fills in the weights.
    pub fn weigh(&mut self, statistics: &Statistics) {
        self.weights.resize(self.values.len(), T::ZERO);
        weigh(&self.values, &mut self.weights, &Decay::new(T::of(statistics.maximum), statistics.temperature));
    }

    /// The sums over the tokens from `least` on.
    pub fn above(&self, least: T, statistics: &Statistics) -> Prefix {
        let [mass, fall, count] = sums(&self.values, &self.weights, least, T::of(statistics.maximum));
        Prefix { count: count as usize, mass, moment: -fall / statistics.temperature, ..Prefix::default() }
    }

    /// Keeps the tokens inside the bracket.
    pub fn keep(&mut self, bracket: Bracket<T>, spare: &mut Self) {
        spare.clear();
        T::inside(&self.values, 0, bracket, spare);
        spare.weights.extend(spare.places.iter().map(|&place| self.weights[place as usize]));
        spare.places.iter_mut().for_each(|place| *place = self.places[*place as usize]);
        std::mem::swap(self, spare);
    }
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
fn sums_lanes<T: Logit>(values: &[T], weights: &[T], least: T, maximum: T) -> [f64; 3] {
    let (mut masses, mut falls, mut counts) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
    let ((pieces, rest), (heavy, few)) = (values.as_chunks::<WIDTH>(), weights.as_chunks::<WIDTH>());
    let ((fours, more), (heavies, some)) = (pieces.as_chunks::<4>(), heavy.as_chunks::<4>());
    for (x, e) in fours.iter().zip(heavies) {
        for l in 0..WIDTH {
            let pick = |i: usize, y: T| if x[i][l] >= least { y } else { T::ZERO };
            let e = [pick(0, e[0][l]), pick(1, e[1][l]), pick(2, e[2][l]), pick(3, e[3][l])];
            let fall = |i: usize| e[i] * (maximum - x[i][l]);
            let [a, b, c, d] = [pick(0, T::ONE), pick(1, T::ONE), pick(2, T::ONE), pick(3, T::ONE)];
            masses[l] += ((e[0] + e[1]) + (e[2] + e[3])).wide();
            falls[l] += ((fall(0) + fall(1)) + (fall(2) + fall(3))).wide();
            counts[l] += ((a + b) + (c + d)).wide();
        }
    }
    let [mut mass, mut fall, mut count] = [total(&masses), total(&falls), total(&counts)];
    let last = more.as_flattened().iter().chain(rest).zip(some.as_flattened().iter().chain(few));
    for (&x, &e) in last.filter(|(x, _)| **x >= least) {
        mass += e.wide();
        fall += (e * (maximum - x)).wide();
        count += 1.0;
    }
    [mass, fall, count]
}

dispatch! {
    fn sums<T: Logit>(values: &[T], weights: &[T], least: T, maximum: T) -> [f64; 3] = sums_lanes
}

//! Sums over the tokens above a logit, and the tokens between two, over whole rows and over lists of tokens.

use crate::decoding::leaf::{LANES, LEAF, WIDTH, add, groups, total};
use crate::decoding::logit::{Decay, Logit};
use crate::decoding::order::Prefix;
use crate::decoding::statistics::Statistics;
use crate::elementary::exp_f64;
use crate::simd::dispatch;

/// Lanes of the sums over a list.
const LISTED: usize = 64;

/// Tokens in the order of their places.
#[derive(Debug, Default)]
pub struct List<T> {
    pub values: Vec<T>,
    pub places: Vec<u32>,
    /// e of each, once they were asked for.
    weights: Vec<T>,
}

/// Logits from `low` to below `high`.
#[derive(Debug, Clone, Copy)]
pub struct Bracket<T> {
    pub low: T,
    pub high: T,
}

#[inline(always)]
fn sums_lanes<T: Logit>(leaf: &[T], least: T, decay: &Decay<T>) -> [f64; 3] {
    let (mut masses, mut falls, mut numbers) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let mut last = [[T::ZERO; LANES]; 4];
    let pick = |x: T, y: T| if x >= least { y } else { T::ZERO };
    for [a, b, c, d] in groups(leaf, &mut last) {
        let (mut mass, mut fall, mut count) = ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
        for l in 0..LANES {
            let [ea, eb] = [pick(a[l], decay.weight(a[l])), pick(b[l], decay.weight(b[l]))];
            let [ec, ed] = [pick(c[l], decay.weight(c[l])), pick(d[l], decay.weight(d[l]))];
            mass[l] = (ea + eb) + (ec + ed);
            fall[l] = eb.fma(decay.fall(b[l]), ea * decay.fall(a[l])) + ed.fma(decay.fall(d[l]), ec * decay.fall(c[l]));
            count[l] = (pick(a[l], T::ONE) + pick(b[l], T::ONE)) + (pick(c[l], T::ONE) + pick(d[l], T::ONE));
        }
        add(&mut masses, &mass);
        add(&mut falls, &fall);
        add(&mut numbers, &count);
    }
    [total(&masses), total(&falls), total(&numbers)]
}

dispatch! {
    /// SUM e, SUM e (maximum - l) and the number of the logits that are at least `least`.
    fn sums<T: Logit>(leaf: &[T], least: T, decay: &Decay<T>) -> [f64; 3] = sums_lanes
}

/// The sums over the tokens whose logit is at least `least`, above -inf; leaves are added in the order of their places.
pub fn above<T: Logit>(values: &[T], least: T, statistics: &Statistics) -> Prefix {
    let decay = Decay::new(T::of(statistics.maximum), statistics.temperature);
    let mut found = Prefix::default();
    for leaf in values.chunks(LEAF) {
        let [mass, fall, count] = sums(leaf, least, &decay);
        found.mass += mass;
        found.moment -= fall / statistics.temperature;
        found.count += count as usize;
    }
    found
}

#[inline(always)]
fn whole_lanes<T: Logit>(leaf: &[T], decay: &Decay<T>) -> f64 {
    let (mut lanes, mut last) = ([0.0; LANES], [[T::ZERO; LANES]; 4]);
    for [a, b, c, d] in groups(leaf, &mut last) {
        let mut all = [T::ZERO; LANES];
        for l in 0..LANES {
            let low = decay.weight(a[l]) + decay.weight(b[l]);
            all[l] = low + (decay.weight(c[l]) + decay.weight(d[l]));
        }
        add(&mut lanes, &all);
    }
    total(&lanes)
}

dispatch! {
    /// SUM e.
    fn whole<T: Logit>(leaf: &[T], decay: &Decay<T>) -> f64 = whole_lanes
}

#[inline(always)]
fn masses_lanes<T: Logit>(leaf: &[T], first: T, second: T, decay: &Decay<T>) -> [f64; 3] {
    let (mut whole, mut one, mut two) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let mut last = [[T::ZERO; LANES]; 4];
    for [a, b, c, d] in groups(leaf, &mut last) {
        let (mut all, mut high, mut higher) = ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
        for l in 0..LANES {
            let [ea, eb] = [decay.weight(a[l]), decay.weight(b[l])];
            let [ec, ed] = [decay.weight(c[l]), decay.weight(d[l])];
            all[l] = (ea + eb) + (ec + ed);
            let pick = |x: T, e: T| if x >= first { e } else { T::ZERO };
            high[l] = (pick(a[l], ea) + pick(b[l], eb)) + (pick(c[l], ec) + pick(d[l], ed));
            let pick = |x: T, e: T| if x >= second { e } else { T::ZERO };
            higher[l] = (pick(a[l], ea) + pick(b[l], eb)) + (pick(c[l], ec) + pick(d[l], ed));
        }
        add(&mut whole, &all);
        add(&mut one, &high);
        add(&mut two, &higher);
    }
    [total(&whole), total(&one), total(&two)]
}

dispatch! {
    /// SUM e over all logits, and over those from either bound on.
    fn masses<T: Logit>(leaf: &[T], first: T, second: T, decay: &Decay<T>) -> [f64; 3] = masses_lanes
}

/// In one pass: SUM e over the row; and for each of up to two brackets the tokens above it, without the moment, and a list
/// of those inside.
pub fn sweep<T: Logit>(
    values: &[T],
    brackets: &[Bracket<T>],
    statistics: &Statistics,
) -> (f64, Vec<(Prefix, List<T>)>) {
    let decay = Decay::new(T::of(statistics.maximum), statistics.temperature);
    let high = |i: usize| brackets.get(i).map_or(T::INFINITY, |bracket| bracket.high);
    let (mut mass, mut found) = (0.0, Vec::new());
    found.resize_with(brackets.len(), <(Prefix, List<T>)>::default);
    for (number, leaf) in values.chunks(LEAF).enumerate() {
        if brackets.is_empty() {
            mass += whole(leaf, &decay);
            continue;
        }
        let [all, sums @ ..] = masses(leaf, high(0), high(1), &decay);
        mass += all;
        for (((above, list), bracket), sum) in found.iter_mut().zip(brackets).zip(sums) {
            above.mass += sum;
            above.count += T::inside(leaf, number * LEAF, *bracket, list);
        }
    }
    (mass, found)
}

/// The tokens of a row inside the bracket.
pub fn inside<T: Logit>(values: &[T], bracket: Bracket<T>) -> List<T> {
    let mut list = List::default();
    T::inside(values, 0, bracket, &mut list);
    list
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
    let (mut low, mut high) = ([T::INFINITY; WIDTH], [-T::INFINITY; WIDTH]);
    let (pieces, rest) = values.as_chunks::<WIDTH>();
    for piece in pieces {
        for l in 0..WIDTH {
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
    /// Fills in the weights.
    pub fn weigh(&mut self, statistics: &Statistics) {
        self.weights.resize(self.values.len(), T::ZERO);
        weigh(&self.values, &mut self.weights, &Decay::new(T::of(statistics.maximum), statistics.temperature));
    }

    /// The sums over the tokens from `least` on.
    pub fn above(&self, least: T, statistics: &Statistics) -> Prefix {
        let [mass, fall, count] = list_sums(&self.values, &self.weights, least, T::of(statistics.maximum));
        Prefix { count: count as usize, mass, moment: -fall / statistics.temperature, ..Prefix::default() }
    }

    /// Keeps the tokens inside the bracket.
    pub fn keep(&mut self, bracket: Bracket<T>, spare: &mut Self) {
        spare.values.clear();
        spare.places.clear();
        T::inside(&self.values, 0, bracket, spare);
        spare.weights.clear();
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
fn list_sums_lanes<T: Logit>(values: &[T], weights: &[T], least: T, maximum: T) -> [f64; 3] {
    let mut found = [0.0; 3];
    for (values, weights) in values.chunks(LEAF).zip(weights.chunks(LEAF)) {
        let (mut mass, mut fall, mut count) = ([T::ZERO; LISTED], [T::ZERO; LISTED], [T::ZERO; LISTED]);
        let ((pieces, rest), (heavy, few)) = (values.as_chunks::<LISTED>(), weights.as_chunks::<LISTED>());
        for (x, e) in pieces.iter().zip(heavy) {
            for l in 0..LISTED {
                let inside = x[l] >= least;
                let e = if inside { e[l] } else { T::ZERO };
                mass[l] = mass[l] + e;
                fall[l] = e.fma(maximum - x[l], fall[l]);
                count[l] = count[l] + if inside { T::ONE } else { T::ZERO };
            }
        }
        for (l, (&x, &e)) in rest.iter().zip(few).enumerate().filter(|(_, (x, _))| **x >= least) {
            mass[l] = mass[l] + e;
            fall[l] = e.fma(maximum - x, fall[l]);
            count[l] = count[l] + T::ONE;
        }
        for (sum, lanes) in found.iter_mut().zip([&mass, &fall, &count]) {
            *sum += total(lanes);
        }
    }
    found
}

dispatch! {
    fn list_sums<T: Logit>(values: &[T], weights: &[T], least: T, maximum: T) -> [f64; 3] = list_sums_lanes
}

#[inline(always)]
fn weights_lanes(tokens: &mut [[f64; 3]], statistics: &Statistics) {
    for [logit, e, moment] in tokens {
        let d = (*logit - statistics.maximum) / statistics.temperature;
        *e = exp_f64(d);
        *moment = if *e > 0.0 { *e * d } else { 0.0 };
    }
}

dispatch! {
    /// Fills in e and e d beside the logits.
    pub fn weights(tokens: &mut [[f64; 3]], statistics: &Statistics) = weights_lanes
}

#[inline(always)]
fn least_lanes<T: Logit>(weight: f64, statistics: &Statistics) -> T {
    let (mut low, mut high) = ((-T::LARGEST).key(), T::INFINITY.key());
    while low < high {
        let middle = T::between(low, high);
        let x = T::value(T::before(middle)).wide();
        if exp_f64((x - statistics.maximum) / statistics.temperature) >= weight {
            high = T::before(middle);
        } else {
            low = middle;
        }
    }
    T::value(low)
}

dispatch! {
    /// The smallest logit whose e is at least this weight.
    pub fn least<T: Logit>(weight: f64, statistics: &Statistics) -> T = least_lanes
}

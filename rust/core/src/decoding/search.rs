//! The end of a prefix of the sorted order, found without sorting.
//!
//! ```text
//! a sample of the row, sorted, tells between which two logits the prefix ends, most likely: a bracket      Guess
//! one pass over the row sums the tokens above the bracket and lists those inside                           cut
//! the list is halved at the middle of its logits, with the sums of the upper half, until few are left;
//! these are sorted and walked through                                                                      narrow
//! ```
//!
//! Where the sample was wrong, the pass is made again with a wider bracket: the answer is always exact.

use crate::decoding::cut::{self, Bracket, List};
use crate::decoding::logit::Logit;
use crate::decoding::order::{Prefix, compare, weighed};
use crate::decoding::row::Token;
use crate::decoding::statistics::Statistics;

/// So many tokens are sorted.
const FEW: usize = 96;
/// Tokens in a sample of a row, and twice so many from this length on.
const SAMPLE: usize = 256;
const LONG: usize = 1 << 16;
/// Standard errors that the ends of a bracket are away from where the prefix is expected to end.
const SAFETY: f64 = 3.0;

/// What `first` looks for: true for all prefixes from some one on.
pub type Stop<'a> = &'a dyn Fn(&Prefix) -> bool;

/// Tokens from all over a row that come after those of a prefix, sorted, with sums of e, e d and e^2 up to each.
#[derive(Debug)]
pub struct Sample {
    base: Prefix,
    tokens: Vec<f64>,
    sums: Vec<[f64; 3]>,
    /// Tokens that one of the sample stands for.
    share: f64,
}

impl Sample {
    /// Of a row whose largest tokens are `base`.
    pub fn new<T: Logit>(values: &[T], base: Prefix, statistics: &Statistics) -> Self {
        let v = values.len();
        let size = if v < LONG { SAMPLE } else { 2 * SAMPLE };
        let token = |i: usize| {
            let (start, end) = (i * v / size, (i + 1) * v / size);
            // A step that is always the same could meet a pattern of the row.
            let index = start + (i * 40_503 % 0x1_0000) * (end - start) / 0x1_0000;
            let x = values[index];
            let fresh = base.count == 0 || x.wide() < base.last.logit;
            (fresh && x > -T::INFINITY).then(|| x.key())
        };
        let mut keys: Vec<T::Key> = (0..size).filter_map(token).collect();
        keys.sort_unstable();
        let tokens: Vec<f64> = keys.iter().rev().map(|&key| T::value(key).wide()).collect();
        let mut sum = [0.0; 3];
        let add = |[_, e, moment]: [f64; 3]| {
            sum = [sum[0] + e, sum[1] + moment, sum[2] + e * e];
            sum
        };
        let sums = weighed(tokens.iter().copied(), statistics).into_iter().map(add).collect();
        Self { base, tokens, sums, share: v as f64 / size as f64 }
    }

    /// The mass of the whole row, about.
    pub fn mass(&self) -> f64 {
        self.base.mass + self.share * self.sums.last().map_or(0.0, |sum| sum[0])
    }

    /// Where a prefix ends; all tokens of the sample stand for the mass `left`.
    pub fn guess(&self, left: f64, stop: Stop) -> Guess<'_> {
        let whole = self.sums.last().copied().unwrap_or_default();
        let scale = if left > 0.0 && whole[0] > 0.0 { left / whole[0] } else { self.share };
        let prefix = |i: usize| Prefix {
            count: self.base.count + (self.share * (i + 1) as f64) as usize,
            mass: self.base.mass + scale * self.sums[i][0],
            moment: self.base.moment + scale * self.sums[i][1],
            last: Token { logit: self.tokens[i], index: 0 },
        };
        let n = self.tokens.len();
        let place = partition(n, |i| !stop(&prefix(i)));
        // The variance of a share q of the whole, by weights and by numbers, in units of places.
        let at = place.min(n.saturating_sub(1));
        let (head, e) = match self.sums.get(at) {
            Some(sum) => (*sum, sum[0] - if at > 0 { self.sums[at - 1][0] } else { 0.0 }),
            None => ([0.0; 3], 0.0),
        };
        let q = if whole[0] > 0.0 { head[0] / whole[0] } else { 0.0 };
        let variance = (head[2] * (1.0 - q) * (1.0 - q) + (whole[2] - head[2]) * q * q).max(0.0);
        let count = n.max(1) as f64;
        let by_mass = if e > 0.0 { variance.sqrt() / e } else { count };
        let rank = place as f64 / count;
        let by_count = (count * rank * (1.0 - rank)).sqrt();
        let width = (SAFETY * by_mass.max(by_count)).min(count) as usize + 3;
        Guess { tokens: &self.tokens, place, width }
    }
}

/// Where a prefix ends, as far as a sample tells.
#[derive(Debug)]
pub struct Guess<'a> {
    tokens: &'a [f64],
    place: usize,
    /// Places of the sample that it may be wrong by.
    pub width: usize,
}

impl Guess<'_> {
    /// From `width` places after to `width` places before; without end where the sample ends.
    pub fn bracket<T: Logit>(&self, width: usize) -> Bracket<T> {
        let low = self.tokens.get(self.place + width).map_or(-T::LARGEST, |&x| T::of(x));
        let high = self.place.checked_sub(width).and_then(|i| self.tokens.get(i)).map_or(T::INFINITY, |&x| T::of(x));
        Bracket { low, high: if high > low { high } else { T::INFINITY } }
    }
}

/// The shortest prefix that satisfies `stop`, and the one before it, among tokens that come after those of `base`; none
/// where all together do not.
pub fn narrow<T: Logit>(base: Prefix, mut list: List<T>, statistics: &Statistics, stop: Stop) -> Option<[Prefix; 2]> {
    let (mut base, mut spare, mut tied) = (base, List::default(), false);
    if list.values.len() > FEW {
        list.weigh(statistics);
    }
    while list.values.len() > FEW && !tied {
        let (low, high) = cut::range(&list.values);
        tied = low >= high;
        if !tied {
            let bracket = Bracket { low, high: T::value(T::after(high.key())) };
            let (above, bracket) = halve(base, &list, bracket, statistics, stop);
            list.keep(bracket, &mut spare);
            base = above;
        }
    }
    if tied { walk_ties(base, &list, statistics, stop) } else { walk(base, &list, statistics, stop) }
}

/// The same, token by token.
fn walk<T: Logit>(base: Prefix, list: &List<T>, statistics: &Statistics, stop: Stop) -> Option<[Prefix; 2]> {
    let tokens = list.values.iter().zip(&list.places);
    let mut tokens: Vec<Token> = tokens.map(|(x, &index)| Token { logit: x.wide() + 0.0, index }).collect();
    tokens.sort_unstable_by(compare);
    let weights = weighed(tokens.iter().map(|token| token.logit), statistics);
    let mut before = base;
    tokens.iter().zip(weights).find_map(|(&token, [_, e, moment])| {
        let prefix = before.with(token, e, moment);
        let found = stop(&prefix).then_some([before, prefix]);
        before = prefix;
        found
    })
}

/// The same for equal logits, whose sums are multiples.
fn walk_ties<T: Logit>(base: Prefix, list: &List<T>, statistics: &Statistics, stop: Stop) -> Option<[Prefix; 2]> {
    let one = weighed(list.values.iter().take(1).map(|x| x.wide() + 0.0), statistics);
    let [logit, e, moment] = *one.first()?;
    let prefix = |i: usize| match i {
        0 => base,
        _ => Prefix {
            count: base.count + i,
            mass: base.mass + i as f64 * e,
            moment: base.moment + i as f64 * moment,
            last: Token { logit, index: list.places[i - 1] },
        },
    };
    let count = list.places.len();
    let place = partition(count, |i| !stop(&prefix(i + 1)));
    (place < count).then(|| [prefix(place), prefix(place + 1)])
}

/// Halves the bracket, in which the prefix ends, until it holds a quarter of the list; with the sums of what lies above.
fn halve<T: Logit>(
    base: Prefix,
    list: &List<T>,
    mut bracket: Bracket<T>,
    statistics: &Statistics,
    stop: Stop,
) -> (Prefix, Bracket<T>) {
    let (mut top, mut above, mut inside) = (base, 0, list.values.len());
    let mut by_value = true;
    while inside > list.values.len() / 4 {
        let (low, high) = (bracket.low, bracket.high);
        let mut middle = T::of(0.5 * low.wide() + 0.5 * high.wide());
        if !(by_value && middle > low && middle < high) {
            middle = T::value(T::between(low.key(), high.key()));
            if middle >= high {
                break; // one value
            }
        }
        let sums = list.above(middle, statistics);
        let here = Prefix {
            count: base.count + sums.count,
            mass: base.mass + sums.mass,
            moment: base.moment + sums.moment,
            last: Token { logit: middle.wide(), index: u32::MAX },
        };
        let before = inside;
        if stop(&here) {
            bracket.low = middle;
            inside = sums.count - above;
        } else {
            bracket.high = middle;
            inside -= sums.count - above;
            (top, above) = (here, sums.count);
        }
        // Of logits that are far apart, numbers in the order of their bits are halved sooner.
        by_value = !by_value || inside < before - before / 8;
    }
    (top, bracket)
}

/// The first of 0..n that `before` is false for, n where there is none; it is true for all that come before.
fn partition(n: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

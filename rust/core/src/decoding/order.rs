//! The tokens of a row in the order of their logits, without sorting them all.

use crate::decoding::cut;
use crate::decoding::logit::Logit;
use crate::decoding::row::{Row, Token};
use crate::decoding::search::{self, Guess};
use crate::decoding::statistics::Statistics;
use crate::elementary::exp_f64;
use std::cmp::Ordering;

/// Tokens in a sample of a row.
const SAMPLE: usize = 256;

/// Sums over the first tokens of a row, with e = exp(d) and d = (logit - maximum) / T.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prefix {
    /// How many they are.
    pub count: usize,
    /// SUM e.
    pub mass: f64,
    /// SUM e d.
    pub moment: f64,
    /// The last of them.
    pub last: Token,
}

impl Prefix {
    /// The prefix with one token more.
    pub fn with(self, last: Token, statistics: &Statistics) -> Self {
        let [e, moment] = weigh(last.logit, statistics);
        Self { count: self.count + 1, mass: self.mass + e, moment: self.moment + moment, last }
    }
}

/// e and e d.
pub fn weigh(logit: f64, statistics: &Statistics) -> [f64; 2] {
    let d = (logit - statistics.maximum) / statistics.temperature;
    let e = exp_f64(d);
    [e, if e > 0.0 { e * d } else { 0.0 }]
}

/// Value decreasing, then index increasing.
pub fn compare(a: &Token, b: &Token) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.index.cmp(&b.index))
}

/// The order of a row's tokens.
#[derive(Debug)]
pub struct Order<'a, T: Logit> {
    values: &'a [T],
    row: Row<'a, T>,
    /// The largest tokens, sorted: rows are peaked, and most prefixes end among them.
    known: Vec<Prefix>,
    /// There is no token beyond those that are known.
    complete: bool,
    whole: Option<Prefix>,
}

impl<'a, T: Logit> Order<'a, T> {
    /// Of a row whose `k` largest tokens are probably enough.
    pub fn new(values: &'a [T], row: Row<'a, T>, k: usize) -> Self {
        let mut order = Self { values, row, known: Vec::new(), complete: false, whole: None };
        order.know(k);
        order
    }

    /// What is known of the row.
    pub fn statistics(&self) -> &Statistics {
        &self.row.statistics
    }

    /// Sorts the `k` largest tokens, with their sums.
    pub fn know(&mut self, k: usize) {
        if self.complete || k <= self.known.len() {
            return;
        }
        let statistics = self.row.statistics;
        let tokens = self.row.largest(k);
        self.complete = tokens.len() < k || k >= self.values.len();
        let mut prefix = Prefix::default();
        self.known.clear();
        self.known.extend(tokens.iter().map(|&token| {
            prefix = prefix.with(token, &statistics);
            prefix
        }));
    }

    /// The first `count` tokens, which are known.
    pub fn prefix(&self, count: usize) -> Prefix {
        if count == 0 { Prefix::default() } else { self.known[count - 1] }
    }

    /// The known tokens of these places, each as the prefix that it ends.
    pub fn tokens(&self, start: usize, end: usize) -> &[Prefix] {
        &self.known[start..end]
    }

    /// Numbers in the row.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// How many tokens are known.
    pub fn reach(&self) -> usize {
        self.known.len()
    }

    /// The whole row; `count` and `last` may be beyond the last token that is not -inf.
    pub fn whole(&mut self) -> Prefix {
        if self.complete {
            return self.prefix(self.reach());
        }
        *self.whole.get_or_insert_with(|| {
            let (count, last) = (self.values.len(), Token { logit: -T::LARGEST.wide(), index: u32::MAX });
            let Statistics { z0, z1, .. } = self.row.statistics;
            if z0 > 0.0 {
                return Prefix { count, mass: z0, moment: z1, last };
            }
            Prefix { count, last, ..cut::above(self.values, -T::LARGEST, &self.row.statistics) }
        })
    }

    /// How many tokens are not -inf.
    pub fn live(&self) -> usize {
        if self.complete { self.known.len() } else { self.values.iter().filter(|x| **x > -T::INFINITY).count() }
    }

    /// All tokens whose logit is at least `least`; none where those are all there are.
    pub fn at_least(&mut self, least: f64) -> Option<Prefix> {
        let known = &self.known;
        let count = known.partition_point(|x| x.last.logit >= least);
        if count < known.len() {
            return Some(self.prefix(count));
        }
        let bound = ceil::<T>(least);
        if self.complete || bound <= -T::LARGEST {
            return None;
        }
        let last = Token { logit: bound.wide(), index: u32::MAX };
        Some(Prefix { last, ..cut::above(self.values, bound, &self.row.statistics) })
    }

    /// The smallest logit that has at least this weight; -inf for 0.
    pub fn logit(&self, weight: f64) -> f64 {
        if weight <= 0.0 {
            return f64::NEG_INFINITY;
        }
        let reaches = |key: T::Key| self.row.statistics.weight(T::value(key).wide()) >= weight;
        let (mut low, mut high) = ((-T::LARGEST).key(), T::INFINITY.key());
        while low < high {
            let middle = T::between(low, high);
            if reaches(T::before(middle)) {
                high = T::before(middle);
            } else {
                low = middle;
            }
        }
        T::value(low).wide()
    }

    /// Calls `each` with the tokens between two prefixes and their weights, in order.
    pub fn visit(&mut self, before: &Prefix, until: &Prefix, mut each: impl FnMut(Token, f64)) {
        let statistics = self.row.statistics;
        let mut show = |token: Token| each(token, statistics.weight(token.logit));
        if until.count <= self.known.len() {
            return self.known[before.count..until.count].iter().for_each(|prefix| show(prefix.last));
        }
        let tokens = self.row.at_least(T::of(until.last.logit));
        tokens[before.count..until.count.min(tokens.len())].iter().for_each(|&token| show(token));
    }

    /// The shortest prefix that satisfies `stop`, and the prefix before it; none where the whole row does not.
    pub fn first(&mut self, stop: &dyn Fn(&Prefix) -> bool) -> Option<[Prefix; 2]> {
        let known = &self.known;
        let place = known.partition_point(|prefix| !stop(prefix));
        if place < known.len() {
            return Some([self.prefix(place), self.prefix(place + 1)]);
        }
        if self.complete {
            return None;
        }
        let (values, statistics) = (self.values, self.row.statistics);
        let base = known.last().copied().unwrap_or_default();
        let mut sample = sample_of(values, &base);
        let left = if statistics.z0 > 0.0 { statistics.z0 - base.mass } else { 0.0 };
        let guess = Guess::new(&mut sample, base, values.len() as f64 / SAMPLE as f64, left, &statistics, stop);
        let split = |high: f64, low: f64, between: &mut Vec<Token>| {
            let (high, low) = (T::of(high), T::of(low.max(-T::LARGEST.wide())));
            cut::between(values, low, high, between);
            cut::above(values, high, &statistics)
        };
        search::search(&split, &guess, usize::MAX, &statistics, stop)
    }
}

/// Tokens from all over the row that come after those of `base`.
fn sample_of<T: Logit>(values: &[T], base: &Prefix) -> Vec<Token> {
    let v = values.len();
    let token = |i: usize| {
        let (start, end) = (i * v / SAMPLE, (i + 1) * v / SAMPLE);
        // A step that is always the same could meet a pattern of the row.
        let index = start + (i * 40_503 % 0x1_0000) * (end - start) / 0x1_0000;
        let token = Token { logit: values[index].wide() + 0.0, index: index as u32 };
        let fresh = base.count == 0 || compare(&base.last, &token) == Ordering::Less;
        (fresh && token.logit > f64::NEG_INFINITY).then_some(token)
    };
    (0..SAMPLE).filter_map(token).collect()
}

/// The smallest number that is at least `x`.
fn ceil<T: Logit>(x: f64) -> T {
    let near = T::of(x);
    if near.wide() >= x { near } else { T::value(T::after(near.key())) }
}

//! The tokens of a row in the order of their logits, without sorting them all.

use crate::decoding::cut::{self, Bracket};
use crate::decoding::list;
use crate::decoding::logit::Logit;
use crate::decoding::row::{Row, Token};
use crate::decoding::search::{self, Sample, Stop};
use crate::decoding::statistics::Statistics;

/// A share of a row's tokens that is listed sooner than it is summed in place.
const FEW: f64 = 0.5;
/// Rows are flat where so large a share of their blocks have a token that is at most so many temperatures below the largest:
/// a sample then tells where prefixes end.
const FLAT: f64 = 1.0 / 8.0;
const NEAR: f64 = 4.0;
/// Prefixes that are so many times longer than what would be sorted end elsewhere; rows have many more.
const BEYOND: f64 = 4.0;
const LONG: usize = 64;

/// Sums over the first tokens of a row, with e = exp(d) and d = (logit - maximum) / T.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prefix {
    /// How many they are.
    pub count: usize,
    /// SUM e.
    pub mass: f64,
    /// SUM e d.
    pub moment: f64,
    /// The last of them; where a search has found it, its index is its number among those of this logit, see
    /// [`Order::last`].
    pub last: Token,
}

impl Prefix {
    /// The prefix with one token more, whose e and e d are given.
    #[inline]
    pub fn with(self, last: Token, e: f64, moment: f64) -> Self {
        Self { count: self.count + 1, mass: self.mass + e, moment: self.moment + moment, last }
    }

    /// The prefix with the tokens that come after it.
    pub fn and(self, next: &Self) -> Self {
        let (count, mass, moment) = (self.count + next.count, self.mass + next.mass, self.moment + next.moment);
        Self { count, mass, moment, last: next.last }
    }
}

/// Logits with their e and e d.
pub fn weighed(logits: impl Iterator<Item = f64>, statistics: &Statistics) -> Vec<[f64; 3]> {
    let mut tokens: Vec<_> = logits.map(|logit| [logit, 0.0, 0.0]).collect();
    cut::weights(&mut tokens, statistics);
    tokens
}

/// The order of a row's tokens.
#[derive(Debug)]
pub struct Order<'a, T: Logit> {
    values: &'a [T],
    row: Row<'a, T>,
    /// The largest tokens, sorted: rows are peaked, and most prefixes end among them.
    known: Vec<Prefix>,
    /// Those that searches begin after: the known ones, or some of the largest in any order.
    base: Prefix,
    /// There is no token beyond those that are known.
    complete: bool,
    whole: Option<Prefix>,
    /// The sums of the tokens above those that were gathered into the row's lists; none once a list was used.
    swept: [Option<Prefix>; 2],
}

impl<'a, T: Logit> Order<'a, T> {
    /// Of a row whose `k` largest tokens are probably enough.
    pub fn new(values: &'a [T], row: Row<'a, T>, k: usize) -> Self {
        let top = Token { logit: T::value(T::after(T::of(row.statistics.maximum).key())).wide(), index: u32::MAX };
        let base = Prefix { last: top, ..Prefix::default() };
        let mut order = Self { values, row, known: Vec::new(), base, complete: false, whole: None, swept: [None; 2] };
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
        let weights = weighed(tokens.iter().map(|token| token.logit), &statistics);
        let mut prefix = Prefix::default();
        self.known.clear();
        self.known.extend(tokens.iter().zip(weights).map(|(&token, [_, e, moment])| {
            prefix = prefix.with(token, e, moment);
            prefix
        }));
        self.base = prefix;
    }

    /// The first `count` tokens, which are known.
    pub fn prefix(&self, count: usize) -> Prefix {
        if count == 0 { Prefix::default() } else { self.known[count - 1] }
    }

    /// The last token of a prefix that is not empty.
    pub fn last(&self, prefix: &Prefix) -> Token {
        if prefix.count <= self.known.len() {
            return self.prefix(prefix.count).last;
        }
        let Token { logit, index: number } = prefix.last;
        let (place, index) = (cut::find(self.values, T::of(logit), number as usize), number);
        Token { logit, index: place.map_or(index, |place| place as u32) }
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
        cut::least::<T>(weight, &self.row.statistics).wide()
    }

    /// Calls `each` with the tokens between two prefixes and their weights, in order.
    pub fn visit(&mut self, before: &Prefix, until: &Prefix, mut each: impl FnMut(Token, f64)) {
        let statistics = self.row.statistics;
        let mut show = |tokens: &mut dyn Iterator<Item = Token>| {
            let tokens: Vec<Token> = tokens.collect();
            let weights = weighed(tokens.iter().map(|token| token.logit), &statistics);
            tokens.iter().zip(weights).for_each(|(&token, [_, e, _])| each(token, e));
        };
        if until.count <= self.known.len() {
            return show(&mut self.known[before.count..until.count].iter().map(|prefix| prefix.last));
        }
        let tokens = self.row.at_least(T::of(until.last.logit));
        show(&mut tokens[before.count..until.count.min(tokens.len())].iter().copied());
    }

    /// The shortest prefix that satisfies `stop`, and the prefix before it; none where the whole row does not.
    pub fn first(&mut self, stop: Stop) -> Option<[Prefix; 2]> {
        let known = &self.known;
        let place = known.partition_point(|prefix| !stop(prefix));
        if place < known.len() {
            return Some([self.prefix(place), self.prefix(place + 1)]);
        }
        if self.complete {
            return None;
        }
        let statistics = self.row.statistics;
        let swept = self.swept.iter().position(|above| above.is_some_and(|above| !stop(&above)));
        if let Some(at) = swept
            && let Some(above) = self.swept[at].take()
        {
            let [one, two, spare] = self.row.lists();
            let list = if at == 0 { one } else { two };
            if let Some(found) = search::narrow(above, list, spare, &statistics, stop) {
                return Some(found);
            }
        }
        let base = self.base;
        if self.known.is_empty() && stop(&base) {
            self.know(base.count.max(1));
            return self.first(stop);
        }
        let sample = Sample::new(self.values, base, &statistics);
        let whole = self.whole.map_or(statistics.z0, |whole| whole.mass);
        let guess = sample.guess(whole - base.mass, stop);
        let mut width = guess.width;
        let [_, list, spare] = self.row.lists();
        self.swept[1] = None;
        loop {
            let bracket = guess.bracket(width);
            let above = cut::above(self.values, bracket.high, &statistics);
            width *= 8.0;
            if stop(&above) {
                continue;
            }
            list::inside(self.values, bracket, list);
            let found = search::narrow(above, list, spare, &statistics, stop);
            if found.is_some() || bracket.low <= -T::LARGEST {
                return found;
            }
        }
    }

    /// A sample of a row whose `k` largest tokens are probably not enough for a share of the mass; none of other rows.
    fn flat(&mut self, k: usize, share: f64) -> Option<Sample> {
        let Statistics { maximum, temperature, .. } = self.row.statistics;
        let near = maximum - NEAR * temperature;
        let (blocks, flat) =
            self.row.maxima().fold((0, 0), |(blocks, flat), x| (blocks + 1, flat + usize::from(x >= near)));
        if (flat as f64) < FLAT * f64::from(blocks) {
            return None;
        }
        let least = self.row.head(k).wide();
        let statistics = self.row.statistics;
        let (_, sums) = self.row.lists()[0].measure(&statistics);
        self.base = Prefix { last: Token { logit: least, index: u32::MAX }, ..sums };
        let sample = Sample::new(self.values, self.base, &statistics);
        let target = share * sample.mass();
        let least = sample.guess(0.0, &|prefix| prefix.mass >= target).least();
        (least > BEYOND * k as f64).then_some(sample)
    }

    /// Sums the row, and on the way gathers the tokens among which prefixes of these shares of the mass end. The `k` largest
    /// tokens are sorted if they are probably enough. The row `next` will be read next.
    pub fn sweep(&mut self, shares: &[f64], k: usize, next: &[T]) {
        let found =
            if LONG * k < self.values.len() { shares.first().and_then(|&share| self.flat(k, share)) } else { None };
        if found.is_none() {
            self.know(k);
        }
        if self.complete {
            return;
        }
        let (statistics, base) = (self.row.statistics, self.base);
        let sample = found.unwrap_or_else(|| Sample::new(self.values, base, &statistics));
        let (mass, unsorted) = (sample.mass(), self.known.is_empty());
        let bracket = |&share: &f64| {
            if share * mass > base.mass {
                let guess = sample.guess(0.0, &|prefix| prefix.mass >= share * mass);
                return Some(guess.bracket(guess.width));
            }
            unsorted.then_some(Bracket { low: T::of(base.last.logit), high: T::INFINITY })
        };
        let (mut brackets, mut count) = ([Bracket { low: T::INFINITY, high: T::INFINITY }; 2], 0);
        for found in shares.iter().filter_map(bracket) {
            brackets[count] = found;
            count += 1;
        }
        let (values, brackets) = (self.values, &brackets[..count]);
        let least = brackets.iter().fold(f64::INFINITY, |least, bracket| least.min(bracket.low.wide()));
        let few = count > 0 && sample.count(least) < FEW * values.len() as f64;
        let (mass, above) = if few {
            cut::sweep_few(values, brackets, &statistics, self.row.lists(), next)
        } else {
            cut::sweep(values, brackets, &statistics, &mut self.row.lists()[..2], next)
        };
        let last = Token { logit: -T::LARGEST.wide(), index: u32::MAX };
        self.whole = Some(Prefix { count: self.values.len(), mass, moment: f64::NAN, last });
        self.swept = [0, 1].map(|i| (i < count).then_some(above[i]));
    }
}

/// The smallest number that is at least `x`.
fn ceil<T: Logit>(x: f64) -> T {
    let near = T::of(x);
    if near.wide() >= x { near } else { T::value(T::after(near.key())) }
}

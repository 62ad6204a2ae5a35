//! How many tokens a row keeps, and what they get.
//!
//! The cost of the k largest tokens is discretely convex in k, so the search ends at the first token that gains no more than
//! the penalty. A row's largest tokens are asked for as far as the search goes.

use crate::decoding::at;
use crate::decoding::logit::Logit;
use crate::decoding::renormalize::{Rule, exponentials, root_shift};
use crate::decoding::row::{Memory, Reading, Row, Token};
use crate::decoding::statistics::{Statistics, Sums};
use crate::decoding::worth::{self, Search};
use crate::error::{Result, invalid};

/// Tokens that are asked for first where the search decides: half of what the rule can want at most, within these bounds.
const FIRST: [usize; 2] = [16, 32];

/// What decides how many tokens each row keeps.
#[derive(Debug, Clone, Copy)]
pub enum Amount<'a> {
    /// The price of a token.
    Penalties(&'a [f64]),
    /// The number of tokens; 64 bits, with a sign.
    Sizes(&'a [u64]),
}

/// What rows are asked for. Slices hold a number for each row, or one for all.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Which values the tokens get.
    pub rule: Rule,
    /// 0 keeps the largest token alone.
    pub temperatures: &'a [f64],
    /// How many tokens.
    pub amount: Amount<'a>,
    /// No row keeps more.
    pub most: usize,
}

/// What one row is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// So many tokens, if there are.
    Size(usize),
    /// As many as are worth this price.
    Penalty(f64),
}

impl Request<'_> {
    fn first(&self) -> usize {
        (self.most / 2).clamp(FIRST[0], FIRST[1]).min(self.most)
    }

    /// Temperature and wish of row `number`.
    ///
    /// # Errors
    /// When one of them is out of range.
    pub fn of(&self, number: usize) -> Result<(f64, Wanted)> {
        let temperature = at(self.temperatures, number);
        if !(0.0..f64::INFINITY).contains(&temperature) {
            return Err(invalid!("temperature must be finite and >= 0, got {temperature} in row {number}"));
        }
        let wanted = match self.amount {
            Amount::Sizes(sizes) => match at(sizes, number) as i64 {
                k if k < 1 => return Err(invalid!("k must be >= 1, got {k} in row {number}")),
                k => Wanted::Size(k as usize),
            },
            Amount::Penalties(penalties) => match at(penalties, number) {
                0.0 => Wanted::Size(usize::MAX),
                f64::INFINITY => Wanted::Size(1),
                penalty if penalty >= 1e-12 => Wanted::Penalty(penalty),
                penalty => {
                    return Err(invalid!("penalty must be 0 or >= 1e-12, got {penalty} in row {number}"));
                }
            },
        };
        Ok(match wanted {
            _ if temperature == 0.0 => (temperature, Wanted::Size(1)),
            Wanted::Size(k) => (temperature, Wanted::Size(k.min(self.most))),
            Wanted::Penalty(_) => (temperature, wanted),
        })
    }
}

/// The tokens that a row keeps.
#[derive(Debug, Default)]
pub struct Kept {
    /// The tokens in order, and perhaps some more.
    pub tokens: Vec<Token>,
    /// Their probabilities p, up to a factor where the rule is proportional.
    pub p: Vec<f64>,
    /// The logarithms of these.
    pub logs: Vec<f64>,
    /// What each of them gets: as many as are kept.
    pub q: Vec<f64>,
    /// Statistics of the row.
    pub statistics: Statistics,
}

impl Kept {
    /// Reads row `number` and decides.
    ///
    /// # Errors
    /// When the row or what it is asked for is refused.
    pub fn of<T: Logit>(values: &[T], number: usize, request: &Request<'_>, memory: &mut Memory<T>) -> Result<Self> {
        let (temperature, wanted) = request.of(number)?;
        let expected = match wanted {
            Wanted::Size(k) => k.min(values.len()),
            Wanted::Penalty(_) => request.first(),
        };
        let proportional = request.rule.is_proportional();
        let sums = if proportional || wanted == Wanted::Size(1) { Sums::Nothing } else { Sums::Normalizer };
        let temperature = if temperature > 0.0 { temperature } else { 1.0 };
        let row = Row::read(values, number, Reading { temperature, sums, expected }, memory)?;
        let mut prefix = Prefix::new(row, values.len(), request.most);
        let (k, near) = match wanted {
            Wanted::Size(k) => (prefix.ask(k), None),
            Wanted::Penalty(penalty) => {
                prefix.ask(request.first());
                prefix.search(request.rule, penalty)
            }
        };
        let mut kept = prefix.kept;
        let p = &kept.p[..k];
        let rest = if prefix.complete && k == kept.p.len() { 0.0 } else { 1.0 - p.iter().sum::<f64>() };
        request.rule.renormalize(p, &kept.logs[..k], rest, near, &mut kept.q);
        Ok(kept)
    }
}

impl Kept {
    /// Takes over the tokens of a longer prefix that have a positive probability, with the normaliser and its logarithm.
    fn append(&mut self, prefix: &[Token], [z, log_z]: [f64; 2]) {
        let before = self.p.len();
        let Some(fresh) = prefix.get(before..) else { return };
        let Statistics { maximum, temperature, .. } = self.statistics;
        self.tokens.truncate(before);
        self.tokens.extend_from_slice(fresh);
        self.logs.extend(fresh.iter().map(|token| (token.logit - maximum) / temperature));
        self.p.resize(self.logs.len(), 0.0);
        exponentials(&self.logs[before..], 1.0, &mut self.p[before..]);
        self.p[before..].iter_mut().for_each(|p| *p /= z);
        self.logs[before..].iter_mut().for_each(|x| *x -= log_z);
        let positive = self.p.partition_point(|&p| p > 0.0);
        self.p.truncate(positive);
        self.logs.truncate(positive);
    }
}

/// The largest tokens of a row, as far as they were asked for.
struct Prefix<'a, T: Logit> {
    row: Row<'a, T>,
    kept: Kept,
    /// Tokens in the row.
    v: usize,
    /// No more are of interest.
    most: usize,
    /// The normaliser, 1 where nobody needs it, and its logarithm.
    z: [f64; 2],
    /// Whether there are no more tokens of positive probability.
    complete: bool,
    /// What a token gets that is just worth its price, about; 0 where only ratios are known.
    value: f64,
}

impl<'a, T: Logit> Prefix<'a, T> {
    fn new(row: Row<'a, T>, v: usize, most: usize) -> Self {
        let statistics = row.statistics;
        let z = if statistics.z0 > 0.0 { [statistics.z0, libm::log(statistics.z0)] } else { [1.0, 0.0] };
        Self { row, kept: Kept { statistics, ..Kept::default() }, v, most: most.min(v), z, complete: false, value: 0.0 }
    }

    /// Finds the `k` largest tokens and returns how many there are; those of probability 0 do not count.
    fn ask(&mut self, k: usize) -> usize {
        let (k, known) = (k.min(self.most), self.kept.p.len());
        if k <= known || self.complete {
            return k.min(known);
        }
        self.kept.append(self.row.largest(k), self.z);
        self.complete = self.kept.p.len() < k || k == self.v;
        self.kept.p.len()
    }

    /// Whether there is a token after the first `k`; asks for more where that is not known.
    fn goes_beyond(&mut self, k: usize) -> bool {
        let known = self.kept.p.len();
        if k < known {
            return true;
        }
        if self.complete || k >= self.most {
            return false;
        }
        let [least, most] = self.outlook();
        if most < 8.0 * known as f64 {
            let Statistics { maximum, temperature, .. } = self.kept.statistics;
            let tokens = self.row.at_least(T::of(maximum + temperature * (libm::log(least) + self.z[1])));
            self.kept.append(&tokens[..tokens.len().min(self.most)], self.z);
            self.complete = self.kept.p.len() == self.v;
        }
        k < self.kept.p.len() || self.ask((2 * known).max(k + 1)) > k
    }

    /// The smallest probability that is likely to be kept, and how many tokens have that at most.
    ///
    /// ```text
    /// token j is kept if it gets c or more, and gets about p_j + r_j / j, where r_j <= r_k - (j - k) p_j and p_j <= p_k
    /// so j <= (k p_k + r_k) / c;   p_j by the power of j that the known tokens fall with
    /// ```
    fn outlook(&self) -> [f64; 2] {
        let p = &self.kept.p;
        let (known, last) = (p.len() as f64, p[p.len() - 1]);
        let rest = (1.0 - p.iter().sum::<f64>()).max(0.0);
        let count = ((known * last + rest) / self.value).max(known + 8.0);
        let power = libm::log2(p[p.len() / 2] / last).clamp(0.5, 4.0);
        let least = last * libm::pow(known / count, power);
        [least, known + rest / least]
    }

    /// The first k whose next token gains at most the penalty, and a multiplier near its own where one is known.
    fn search(&mut self, rule: Rule, penalty: f64) -> (usize, Option<f64>) {
        if rule.is_proportional() {
            return (self.scan(proportional(penalty)), None);
        }
        self.value = worth::value(rule, penalty);
        if rule.alpha == 2.0 {
            (self.scan(euclidean(penalty)), None)
        } else if rule.alpha == 1.5 && !rule.dual {
            (self.scan(roots(penalty)), None)
        } else {
            self.hunt(rule, penalty)
        }
    }

    /// `is_worth(k, p_k, p_{k+1})` is asked for one k after the other.
    fn scan(&mut self, mut is_worth: impl FnMut(f64, f64, f64) -> bool) -> usize {
        let mut k = 1;
        while self.goes_beyond(k) && is_worth(k as f64, self.kept.p[k - 1], self.kept.p[k]) {
            k += 1;
        }
        k
    }

    /// Tries one k after the other, each where the one before lets expect the answer.
    fn hunt(&mut self, rule: Rule, penalty: f64) -> (usize, Option<f64>) {
        let mut search = Search::new(rule, penalty, &self.kept.p);
        while let Some(k) = search.next() {
            // What the tokens at hand can tell comes before more tokens, and these before the end.
            let limits = [self.kept.p.len() - 1, self.most - 1];
            let k = limits.into_iter().find(|&limit| limit > search.low).map_or(k, |limit| k.min(limit));
            if self.goes_beyond(k) {
                search.look(&self.kept.p, &self.kept.logs, k);
            } else {
                search.end(self.kept.p.len());
            }
        }
        (search.high, search.near)
    }
}

/// alpha = 1: `h(k) = -ln s_k`, so a token is worth its price while `p_{k+1} > (e^penalty - 1) s_k`.
fn proportional(penalty: f64) -> impl FnMut(f64, f64, f64) -> bool {
    let (factor, mut sum) = (libm::expm1(penalty), 0.0);
    move |_, p, next| {
        sum += p;
        next > factor * sum
    }
}

/// alpha = 2: the gain is `(r_k + k p_{k+1})^2 / (2 k (k + 1))`.
fn euclidean(penalty: f64) -> impl FnMut(f64, f64, f64) -> bool {
    let mut sum = 0.0;
    move |k, p, next| {
        sum += p;
        let most = (1.0 - sum).max(0.0) + k * next;
        most * most > 2.0 * penalty * k * (k + 1.0)
    }
}

/// alpha = 1.5: with `v_k` what is added to the square roots, their sum `A_k`, `d = v_k - v_{k+1}` and the value
/// `w = (sqrt p_{k+1} + v_{k+1})^2` of the next token, its gain is `2/3 w^1.5 + d w + k d^3 / 3`: nothing cancels.
fn roots(penalty: f64) -> impl FnMut(f64, f64, f64) -> bool {
    let (mut sum, mut all) = (0.0, 0.0);
    move |k, p, next| {
        (sum, all) = (sum + p, all + p.sqrt());
        let (rest, root) = ((1.0 - sum).max(0.0), next.sqrt());
        let shift = root_shift(all + root, k + 1.0, (rest - next).max(0.0));
        let value = (root + shift) * (root + shift);
        let less = value / ((all * all + k * rest).sqrt() + all + k * shift);
        2.0 / 3.0 * value * (root + shift) + less * value + k * less * less * less / 3.0 > penalty
    }
}

//! How many tokens a row keeps, and what they get.
//!
//! The cost of the k largest tokens is discretely convex in k, so the search ends at the first token that gains no more than
//! the penalty. A row's largest tokens are asked for as far as the search goes.

use crate::decoding::at;
use crate::decoding::logit::Logit;
use crate::decoding::renormalize::{Rule, by_dual, dual_priced, exponentials, priced, root_shift};
use crate::decoding::row::{Memory, Reading, Row, Token};
use crate::decoding::statistics::{Statistics, Sums};
use crate::elementary::exp_f64;
use crate::error::{Result, invalid};

/// Tokens that are asked for first where the search decides.
const FIRST: usize = 64;

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
            Wanted::Penalty(_) => request.most.min(FIRST),
        };
        let proportional = request.rule.is_proportional();
        let sums = if proportional || wanted == Wanted::Size(1) { Sums::Nothing } else { Sums::Normalizer };
        let temperature = if temperature > 0.0 { temperature } else { 1.0 };
        let row = Row::read(values, number, Reading { temperature, sums, expected }, memory)?;
        let mut prefix = Prefix::new(row, values.len(), request.most);
        let k = match wanted {
            Wanted::Size(k) => prefix.ask(k),
            Wanted::Penalty(penalty) => prefix.search(request.rule, penalty),
        };
        let mut kept = prefix.kept;
        let p = &kept.p[..k];
        let rest = if prefix.complete && k == kept.p.len() { 0.0 } else { 1.0 - p.iter().sum::<f64>() };
        request.rule.renormalize(p, &kept.logs[..k], rest, &mut kept.q);
        Ok(kept)
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
}

impl<'a, T: Logit> Prefix<'a, T> {
    fn new(row: Row<'a, T>, v: usize, most: usize) -> Self {
        let statistics = row.statistics;
        let z = if statistics.z0 > 0.0 { [statistics.z0, libm::log(statistics.z0)] } else { [1.0, 0.0] };
        Self { row, kept: Kept { statistics, ..Kept::default() }, v, most: most.min(v), z, complete: false }
    }

    /// Finds the `k` largest tokens and returns how many there are; those of probability 0 do not count.
    fn ask(&mut self, k: usize) -> usize {
        let Kept { tokens, p, logs, statistics, .. } = &mut self.kept;
        let k = k.min(self.most);
        if k <= p.len() || self.complete {
            return k.min(p.len());
        }
        let before = p.len();
        for token in &self.row.largest(k)[before..] {
            tokens.push(*token);
            logs.push((token.logit - statistics.maximum) / statistics.temperature);
        }
        p.resize(logs.len(), 0.0);
        exponentials(&logs[before..], 1.0, &mut p[before..]);
        p[before..].iter_mut().for_each(|p| *p /= self.z[0]);
        logs[before..].iter_mut().for_each(|x| *x -= self.z[1]);
        let positive = p.partition_point(|&p| p > 0.0);
        p.truncate(positive);
        logs.truncate(positive);
        self.complete = p.len() < k || k == self.v;
        p.len()
    }

    /// Whether there is a token after the first `k`; asks for more where that is not known.
    fn goes_beyond(&mut self, k: usize) -> bool {
        if k < self.kept.p.len() {
            return true;
        }
        if self.complete || k >= self.most {
            return false;
        }
        self.ask((4 * self.kept.p.len()).max(k + 1)) > k
    }

    /// The first k whose next token gains at most the penalty.
    fn search(&mut self, rule: Rule, penalty: f64) -> usize {
        self.ask(FIRST);
        if rule.is_proportional() {
            self.scan(proportional(penalty))
        } else if rule.alpha == 2.0 {
            self.scan(euclidean(penalty))
        } else if rule.alpha == 1.5 && !rule.dual {
            self.scan(roots(penalty))
        } else {
            self.gallop(rule, penalty)
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

    /// Doubles k until it is enough, then halves the interval.
    fn gallop(&mut self, rule: Rule, penalty: f64) -> usize {
        let mut search = Search::new(rule, penalty);
        let (mut low, mut high) = (0, 8);
        loop {
            let known = self.kept.p.len() - 1;
            if known > low {
                high = high.min(known); // what the tokens at hand can tell comes before more tokens
            }
            if !self.goes_beyond(high) || !search.is_worth(&self.kept, high) {
                break;
            }
            (low, high) = (high, 2 * high);
        }
        high = self.ask(high);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if search.is_worth(&self.kept, middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
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

/// The search for every other alpha.
///
/// ```text
/// the gain g of token k+1 lies between psi(its value under the multiplier of k+1) and psi(its value under that of k), psi = q^a / a
/// c = the value whose psi is the penalty;   m = the multiplier at which token k+1 gets c;   S = what tokens 1..k get at m
/// S >= 1:       the multiplier of k is at most m, so g <= penalty: enough
/// S + c < 1:    the multiplier of k+1 is more than m, so g > penalty: worth it
/// otherwise     two solutions and the difference of their costs
/// ```
///
/// So one sum decides unless it falls into an interval of length c, and nothing is solved far from the answer. The dual is
/// the same with its own psi, which depends on p as well.
struct Search {
    rule: Rule,
    penalty: f64,
    q: Vec<f64>,
}

impl Search {
    fn new(rule: Rule, penalty: f64) -> Self {
        Self { rule, penalty, q: Vec::new() }
    }

    /// Whether token k + 1 is worth its price, 1 <= k < the number of tokens.
    fn is_worth(&mut self, kept: &Kept, k: usize) -> bool {
        let decided = if self.rule.dual { self.dual(kept, k) } else { self.primal(kept, k) };
        decided.unwrap_or_else(|| self.cost(kept, k) - self.cost(kept, k + 1) > self.penalty)
    }

    fn cost(&mut self, kept: &Kept, k: usize) -> f64 {
        let p = &kept.p[..k];
        self.rule.cost(p, &kept.logs[..k], 1.0 - p.iter().sum::<f64>(), &mut self.q)
    }

    fn primal(&mut self, kept: &Kept, k: usize) -> Option<bool> {
        let a = self.rule.alpha;
        let (value, next) = (libm::log(a * self.penalty) / a, kept.logs[k]);
        if next > value {
            return Some(true);
        }
        decide(priced(&kept.logs[..k], value, next, a - 1.0, self.room(k)), exp_f64(value))
    }

    fn dual(&mut self, kept: &Kept, k: usize) -> Option<bool> {
        let (a, next) = (self.rule.alpha, kept.p[k]);
        let value = dual_priced(self.penalty, next, a);
        let m = (value - next) * libm::pow(value, a - 2.0);
        if m <= 0.0 {
            return Some(true);
        }
        let [sum, _] = by_dual(&kept.logs[..k], m, libm::log(m), a, self.room(k));
        decide(sum, value)
    }

    fn room(&mut self, k: usize) -> &mut [f64] {
        self.q.resize(self.q.len().max(k), 0.0);
        &mut self.q[..k]
    }
}

/// See [`Search`]: whether the next token is worth its price, if the sum tells.
fn decide(sum: f64, value: f64) -> Option<bool> {
    if sum >= 1.0 {
        Some(false)
    } else if sum + value < 1.0 {
        Some(true)
    } else {
        None
    }
}

//! Whether one more token is worth its price, for the rules without a closed form.
//!
//! ```text
//! h(k) = max over m of L(k, m),   L(k, m) = m - SUM psi(m),   dL/dm = 1 - SUM q(m)         psi = q^a / a in the primal
//! c = the value whose psi is the penalty;   m = the multiplier at which token k+1 gets c;   S = what tokens 1..k get at m
//! S >= 1:       the multiplier of k is at most m, so the gain of token k+1 is at most the penalty: enough
//! S + c < 1:    the multiplier of k+1 is more than m, so the gain is more than the penalty: worth it
//! otherwise     L(k, m) - L(k+1, m) is the penalty, so with D = dS/dm and d = dc/dm of token k+1
//!               gain - penalty = (h(k) - L(k, m)) - (h(k+1) - L(k+1, m)), about (1 - S)^2 / 2D - (S + c - 1)^2 / 2(D + d)
//! ```
//!
//! So one sum decides unless both squares are about equal; then two solutions and the difference of their costs do. Nothing
//! is solved far from the answer. The dual is the same with its own psi, which depends on p as well.
//!
//! How far the squares are from the truth: |d log q' / d log q| <= K for every token, K = |a - 2| in the primal and twice as
//! much in the dual, and the relative change of a value with m is largest for the smallest (the largest where a < 1). Sums move
//! by at most c here. While no value changes by more than the factor exp(w), w = 2 c rate / D, slopes change by at most
//! exp(K w), and values by less than that factor if (2 K + 1) w <= log 2: so none does, and each square is right up to exp(K w).

use crate::decoding::renormalize::{Rule, by_dual, dual_priced, priced};
use crate::elementary::exp_f64;

/// Squares that are so near to one another are not compared, however small w.
const NEAR: f64 = 1e-6;

/// So many times the next k is the one that is expected; after that intervals are halved.
const TRIALS: usize = 8;

/// The search at one penalty.
#[derive(Debug)]
pub struct Search {
    rule: Rule,
    penalty: f64,
    /// Token number `low` is worth its price; the first one always is.
    pub low: usize,
    /// Token number `high + 1` is not.
    pub high: usize,
    /// A multiplier of the dual near that of `high`, where one is known.
    pub near: Option<f64>,
    expected: usize,
    trials: usize,
    q: Vec<f64>,
}

/// m (in the dual), S, D, c and d of the module, and the derivative of m to the probability of token k + 1, without its sign.
struct Trial {
    multiplier: f64,
    sum: f64,
    slope: f64,
    value: f64,
    own: f64,
    fall: f64,
}

/// What a token gets that is just worth its price; in the dual, one of a small probability.
pub fn value(Rule { alpha, dual }: Rule, penalty: f64) -> f64 {
    let factor = if dual { alpha / (alpha - 1.0) } else { alpha };
    exp_f64(libm::log(factor * penalty) / alpha)
}

impl Trial {
    /// The k at which S + c / 2 would be 1 if all went on as it does here: each token adds c, and m moves with p.
    fn expected(&self, p: &[f64], k: usize) -> usize {
        let rate = self.slope * self.fall;
        let far = |j: usize| self.sum + self.value * (j as f64 - k as f64 + 0.5) + rate * (p[k] - p[j]) - 1.0;
        let mut j = k;
        while j > 1 && far(j) > 0.0 {
            j -= 1;
        }
        while j + 1 < p.len() && far(j) < 0.0 {
            j += 1;
        }
        j
    }
}

impl Search {
    /// For a rule with alpha > 0, other than 1 (above 1 in the dual), and the probabilities of the largest tokens.
    pub fn new(rule: Rule, penalty: f64, p: &[f64]) -> Self {
        // As if token k + 1 would get an equal share of the rest.
        let value = value(rule, penalty);
        let (mut k, mut rest) = (1, 1.0 - p[0]);
        while k < p.len() && rest > k as f64 * (value - p[k]) {
            rest -= p[k];
            k += 1;
        }
        Self { rule, penalty, low: 0, high: usize::MAX, near: None, expected: k, trials: 0, q: Vec::new() }
    }

    /// Which k to look at; None where `high` is the answer.
    pub fn next(&mut self) -> Option<usize> {
        if self.high - self.low < 2 {
            return None;
        }
        self.trials += 1;
        Some(match self.trials > TRIALS {
            false => self.expected.clamp(self.low + 1, self.high - 1),
            true if self.high == usize::MAX => 2 * self.low + 1,
            true => usize::midpoint(self.low, self.high),
        })
    }

    /// There are no more tokens than `high`.
    pub fn end(&mut self, high: usize) {
        (self.high, self.near) = (high, None);
    }

    /// Finds out whether token k + 1 is worth its price, 1 <= k < the number of tokens, whose probabilities and logarithms are
    /// given.
    pub fn look(&mut self, p: &[f64], logs: &[f64], k: usize) {
        let trial = if self.rule.dual { self.dual(p, logs, k) } else { self.primal(logs, k) };
        let Some(trial) = trial else {
            (self.low, self.expected) = (k, 2 * k);
            return;
        };
        let decided = if trial.sum >= 1.0 {
            Some(false)
        } else if trial.sum + trial.value < 1.0 {
            Some(true)
        } else {
            self.compare(&trial)
        };
        if decided.unwrap_or_else(|| self.cost(p, logs, k) - self.cost(p, logs, k + 1) > self.penalty) {
            self.low = k;
        } else {
            self.high = k;
            // A step of Newton's method, which is on its side by the sum's curvature.
            let near = trial.multiplier - (trial.sum - 1.0) / trial.slope;
            self.near = (self.rule.dual && near > 0.0 && near < f64::INFINITY).then_some(near);
        }
        self.expected = trial.expected(p, k);
    }

    fn compare(&self, trial: &Trial) -> Option<bool> {
        let Trial { sum, slope, value, own, .. } = *trial;
        let bend = (self.rule.alpha - 2.0).abs() * if self.rule.dual { 2.0 } else { 1.0 };
        let rate = if self.rule.alpha < 1.0 { 1.0 } else { own / value };
        let width = 2.0 * value * rate / slope;
        if value < NEAR || (2.0 * bend + 1.0) * width > std::f64::consts::LN_2 {
            return None;
        }
        let (less, more) = (1.0 - sum, sum + value - 1.0);
        let (first, second) = (less * less * (slope + own), more * more * slope);
        let margin = (1.0 + NEAR) * exp_f64(2.0 * bend * width);
        if first > margin * second {
            Some(true)
        } else if margin * first < second {
            Some(false)
        } else {
            None
        }
    }

    fn cost(&mut self, p: &[f64], logs: &[f64], k: usize) -> f64 {
        self.rule.cost(&p[..k], &logs[..k], 1.0 - p[..k].iter().sum::<f64>(), &mut self.q)
    }

    /// None where token k + 1 has more than c already.
    fn primal(&mut self, logs: &[f64], k: usize) -> Option<Trial> {
        let (a, next) = (self.rule.alpha, logs[k]);
        let log = libm::log(a * self.penalty) / a;
        if next > log {
            return None;
        }
        let [sum, slope] = priced(&logs[..k], log, next, a - 1.0, self.room(k));
        let fall = exp_f64((a - 2.0) * next);
        Some(Trial { multiplier: 0.0, sum, slope, value: exp_f64(log), own: exp_f64((2.0 - a) * log), fall })
    }

    fn dual(&mut self, p: &[f64], logs: &[f64], k: usize) -> Option<Trial> {
        let a = self.rule.alpha;
        let (value, m) = dual_priced(self.penalty, p[k], logs[k], a);
        if m <= 0.0 {
            return None;
        }
        let (q, room) = self.room(2 * k).split_at_mut(k);
        let [sum, slope] = by_dual([&p[..k], &logs[..k]], m, a, [q, room]);
        let own = value * (value - p[k]) / (m * (value * (a - 1.0) - p[k] * (a - 2.0)));
        Some(Trial { multiplier: m, sum, slope, value, own, fall: m / ((value - p[k]) * (a - 1.0)) })
    }

    fn room(&mut self, k: usize) -> &mut [f64] {
        self.q.resize(self.q.len().max(k), 0.0);
        &mut self.q[..k]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// Probabilities of a row, decreasing, from nearly equal to far apart, and their logarithms.
    fn row(seed: u64, v: u64) -> [Vec<f64>; 2] {
        let (stream, spread) = (Stream::new(seed, 7), [0.1, 1.0, 3.0, 10.0][(seed % 4) as usize]);
        let mut x: Vec<f64> = (0..v).map(|i| spread * libm::log(stream.uniform(i) + 1e-30)).collect();
        x.sort_by(|a, b| b.total_cmp(a));
        let whole = libm::log(x.iter().map(|x| exp_f64(*x)).sum());
        let logs: Vec<f64> = x.iter().map(|x| x - whole).collect();
        [logs.iter().map(|x| exp_f64(*x)).collect(), logs]
    }

    #[test]
    fn the_search_ends_where_costs_say_in_few_trials() {
        let primal = [0.3, 0.8, 1.3, 1.9, 2.2, 3.0, 6.0].map(|alpha| Rule { alpha, dual: false });
        let dual = [1.05, 1.2, 1.5, 1.7, 2.5, 3.0, 4.0, 8.0].map(|alpha| Rule { alpha, dual: true });
        for rule in primal.into_iter().chain(dual) {
            let (mut trials, mut rows) = (0, 0);
            for seed in 0..120 {
                let [p, logs] = row(seed, 2 + seed % 90);
                let mut q = Vec::new();
                let mut cost = |k: usize| rule.cost(&p[..k], &logs[..k], 1.0 - p[..k].iter().sum::<f64>(), &mut q);
                let costs: Vec<f64> = (1..=p.len()).map(&mut cost).collect();
                for penalty in [0.1, 1e-2, 1e-3, 1e-4] {
                    let gain = |k: usize| costs[k - 1] - costs[k];
                    let exact = (1..p.len()).find(|&k| gain(k) <= penalty).unwrap_or(p.len());
                    let mut search = Search::new(rule, penalty, &p);
                    while let Some(k) = search.next() {
                        if k < p.len() {
                            search.look(&p, &logs, k);
                        } else {
                            search.end(p.len());
                        }
                    }
                    let near = |k: usize| k < p.len() && (gain(k) - penalty).abs() < 1e-12;
                    let equal = search.high == exact || near(search.high) || near(exact);
                    assert!(equal, "{rule:?} {penalty} {seed}: {} {exact}", search.high);
                    (trials, rows) = (trials + search.trials, rows + 1);
                }
            }
            assert!(trials <= 6 * rows, "{rule:?}: {trials} trials of {rows} rows");
        }
    }
}

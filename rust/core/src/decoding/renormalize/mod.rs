//! What the tokens of a support get: a Bregman projection of a distribution onto the simplex over these tokens.
//!
//! ```text
//! phi(x) = x^a / (a (a - 1)),  b = a - 1,  p = what they had, r = 1 - SUM p = what is to be handed out
//! primal   argmin D(q, p):   q_i^b = p_i^b + m                 every token rises by the same amount in its b-th power
//! dual     argmin D(p, q):   (q_i - p_i) q_i^(a - 2) = m
//! m such that SUM q = 1
//! ```
//!
//! Closed forms where there are any, Newton's method elsewhere: each solver starts where the curvature keeps it on its side
//! of the root, so that it never overshoots and needs no safeguard.

mod dual;
mod lanes;
mod primal;

pub use dual::{by_dual, dual_priced};
pub use lanes::{exponentials, priced};

/// Where less than this is to be handed out, all tokens get the same share more: within twice of it of the exact result.
const LITTLE: f64 = 1e-9;
/// Solvers end where the sum is so near to 1, or comes no nearer.
const NEAR: f64 = 2e-14;
/// A formality: none takes more than 20.
const STEPS: usize = 100;

/// A member of the family, and the side of the divergence that the result stands on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Any number or infinity in the primal; 1 or at least 1.05 in the dual.
    pub alpha: f64,
    /// Whether the result is the second argument of the divergence.
    pub dual: bool,
}

impl Rule {
    /// Whether the result is the shares that tokens had of the support, so that nothing else of the row matters.
    #[must_use]
    pub fn is_proportional(&self) -> bool {
        (self.alpha - 1.0).abs() < 1e-8
    }

    /// Fills `q` with what each of the tokens gets, and returns the number of Newton steps.
    ///
    /// `p` is decreasing and `logs` its logarithm; `rest` = 1 - SUM p, negative where rounding made it so. Primal rules with
    /// alpha > 1 take zeros at the end of `p`. `near` is a multiplier of the dual near that of the result, where one is known.
    pub fn renormalize(&self, p: &[f64], logs: &[f64], rest: f64, near: Option<f64>, q: &mut Vec<f64>) -> usize {
        let k = p.len() as f64;
        q.clear();
        q.extend_from_slice(p);
        let mut steps = 0;
        if rest <= LITTLE || p.len() < 2 || self.is_proportional() {
            // Nothing to be done but the division.
        } else if self.alpha == 2.0 {
            q.iter_mut().for_each(|q| *q += rest / k);
        } else if self.dual {
            (steps, _) = dual::solve(self.alpha, [p, logs], rest, near, q);
        } else if self.alpha == 1.5 {
            let shift = root_shift(p.iter().map(|p| p.sqrt()).sum(), k, rest);
            q.iter_mut().for_each(|q| *q = (q.sqrt() + shift).powi(2));
        } else if self.alpha == f64::INFINITY {
            let level = water_level(p, rest);
            q.iter_mut().for_each(|q| *q = q.max(level));
        } else if self.alpha == f64::NEG_INFINITY {
            let tied = p.iter().take_while(|&&x| x == p[0]).count();
            q[..tied].iter_mut().for_each(|q| *q += rest / tied as f64);
        } else {
            (steps, _) = primal::solve(self.alpha, p, logs, rest, q);
        }
        let sum: f64 = q.iter().sum();
        q.iter_mut().for_each(|q| *q /= sum);
        steps
    }

    /// The cost of a support up to what all supports share, for adaptive rules without a closed form; fills `q` with anything.
    ///
    /// By the value of the Lagrangian at the multiplier that was found, `mu - SUM psi`, whose error is quadratic in that of
    /// the multiplier.
    pub fn cost(&self, p: &[f64], logs: &[f64], rest: f64, q: &mut Vec<f64>) -> f64 {
        let (a, b) = (self.alpha, self.alpha - 1.0);
        q.clear();
        q.resize(p.len(), 0.0);
        if p.len() < 2 {
            return if self.dual { 1.0 / a - p[0] / b } else { -libm::expm1(b * logs[0]) / b - 1.0 / a };
        }
        if rest <= LITTLE {
            return -lanes::conjugates(p, a, q) / if self.dual { b } else { 1.0 }; // the multiplier is 0
        }
        if self.dual {
            let (_, m) = dual::solve(a, [p, logs], rest, None, q);
            m - dual::conjugates(p, q, a)
        } else {
            let (_, mu) = primal::solve(a, p, logs, rest, q);
            let given = std::mem::take(q);
            q.resize(given.len(), 0.0);
            mu - lanes::conjugates(&given, a, q)
        }
    }
}

/// Repeats `step`, which fills in values from its unknown, returns their sum less 1 and moves on, until that is little or
/// grows no less.
fn iterate(mut step: impl FnMut() -> f64) -> usize {
    let mut before = f64::INFINITY;
    for number in 1..=STEPS {
        let distance = step().abs();
        if distance <= NEAR || distance >= before {
            return number;
        }
        before = distance;
    }
    STEPS
}

/// What alpha = 1.5 adds to each of `count` square roots whose sum is given.
#[inline]
#[must_use]
pub fn root_shift(roots: f64, count: f64, rest: f64) -> f64 {
    rest / (roots + (roots * roots + count * rest).sqrt())
}

/// The level that what is below it is lifted to so that `rest` is handed out.
fn water_level(p: &[f64], rest: f64) -> f64 {
    let (mut water, mut level) = (rest, f64::INFINITY);
    for (i, &x) in p.iter().rev().enumerate() {
        if x >= level {
            break;
        }
        water += x;
        level = water / (i + 1) as f64;
    }
    level
}

#[cfg(test)]
mod tests;

//! Derivatives on a support, over numbers or dual numbers.
//!
//! ```text
//! with b = alpha - 1, L(p) = (p^b - 1) / b, s = p^(1-b) = 1 / L'(p):
//! entmax solves L(p_i) = z_i - theta, so a change dz, and one of alpha, which adds -dL/dalpha to both sides, give
//! dp = J (dz - C dalpha),   J v = s (v - <s, v> / SUM s),   C = dL/dalpha = l^2 m_1(b l),  l = log p
//! J is symmetric: cotangent g gives J g to z and -<J g, C> to alpha
//! conjugate: Omega*(z) = <p, z> - Omega(p),  Omega(p) = <p, L(p)> / alpha;  its derivative is p to z and -dOmega/dalpha to alpha
//! ```

use crate::decoding::entmax::solve::moment;
use crate::dual::{Dual, Number};
use crate::elementary::{exp_f64, ln_f64};

/// What the derivatives take from a row: p, b, and what is made of them.
pub struct Point<N> {
    /// The probabilities.
    pub p: Vec<N>,
    alpha: N,
    s: Vec<N>,
    total: N,
}

/// The derivative n of `(e^w - 1) / w`.
fn chained<N: Number>(n: usize, w: N) -> N {
    w.chain(moment(n, w.value()), moment(n + 1, w.value()))
}

fn ln<N: Number>(p: N) -> N {
    p.chain(ln_f64(p.value()), p.value().recip())
}

/// `p^(1-b)`, with its derivatives to both.
fn slope<N: Number>(p: N, b: N) -> N {
    let (x, y) = (p.value(), b.value());
    if y == 1.0 {
        return N::of(1.0) - b.chain(0.0, ln_f64(x));
    }
    let l = ln_f64(x);
    let s = if y == 0.5 { x.sqrt() } else { exp_f64((1.0 - y) * l) };
    p.chain(s, (1.0 - y) * (s / x)) - b.chain(0.0, l * s)
}

impl Point<f64> {
    /// Of a row's probabilities.
    pub fn new(p: &[f64], alpha: f64) -> Self {
        Self::of(p.to_vec(), alpha)
    }

    /// The point that moves with the row and alpha: its probabilities are dual numbers.
    pub fn moving(&self, along: &[f64], along_alpha: f64) -> Point<Dual> {
        let pull = if along_alpha == 0.0 { vec![0.0; self.p.len()] } else { self.pull() };
        let along: Vec<f64> = along.iter().zip(pull).map(|(t, c)| t - along_alpha * c).collect();
        let slopes = self.jacobian(&along);
        Point::of(Dual::zip(&self.p, &slopes), Dual::new(self.alpha, along_alpha))
    }
}

impl<N: Number> Point<N> {
    fn of(p: Vec<N>, alpha: N) -> Self {
        let b = alpha - N::of(1.0);
        let s: Vec<N> = p.iter().map(|&p| slope(p, b)).collect();
        let mut total = N::of(0.0);
        for &s in &s {
            total += s;
        }
        Self { p, alpha, s, total }
    }

    /// J v.
    pub fn jacobian(&self, v: &[N]) -> Vec<N> {
        let mut mean = N::of(0.0);
        for (&s, &v) in self.s.iter().zip(v) {
            mean += s * v;
        }
        mean = mean / self.total;
        self.s.iter().zip(v).map(|(&s, &v)| s * (v - mean)).collect()
    }

    /// C.
    fn pull(&self) -> Vec<N> {
        let b = self.alpha - N::of(1.0);
        let pull = |&p: &N| {
            let l = ln(p);
            l * l * chained(1, b * l)
        };
        self.p.iter().map(pull).collect()
    }

    /// What alpha gets of entmax's cotangent, from what the row gets.
    pub fn to_alpha(&self, to_row: &[N]) -> N {
        let mut sum = N::of(0.0);
        for (&x, c) in to_row.iter().zip(self.pull()) {
            sum -= x * c;
        }
        sum
    }

    /// Omega(p) and its derivative to alpha.
    pub fn entropy(&self) -> (N, N) {
        self.p.iter().fold((N::of(0.0), N::of(0.0)), |(value, slope), &p| {
            let (v, s) = entropy_term(p, self.alpha);
            (value + v, slope + s)
        })
    }
}

/// `phi(p) = p L(p) / alpha` for p > 0, and its derivative to alpha.
pub fn entropy_term<N: Number>(p: N, alpha: N) -> (N, N) {
    let b = alpha - N::of(1.0);
    let l = ln(p);
    let value = p * l * chained(0, b * l) / alpha;
    (value, (p * l * l * chained(1, b * l) - value) / alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_agree_with_differences() {
        for (p, a) in [(0.3, 1.0), (1e-6, 1.5), (0.9, 1.0 + 1e-9), (0.02, 3.0), (1.0, 2.0)] {
            let h = 1e-5;
            let at = |p: f64, a: f64| entropy_term(p, a);
            let (_, slope) = at(p, a);
            let expected = (at(p, a + h).0 - at(p, a - h).0) / (2.0 * h);
            assert!((slope - expected).abs() < 1e-8, "{p} {a}: {slope} {expected}");
            let (value, second) = entropy_term(Dual::new(p, 0.3 * p), Dual::new(a, 1.0));
            let along = |t: f64| at(p * (1.0 + 0.3 * t), a + t);
            let expected = (along(h).0 - along(-h).0) / (2.0 * h);
            assert!((value.slope - expected).abs() < 1e-8, "{p} {a}: {value:?} {expected}");
            let expected = (along(h).1 - along(-h).1) / (2.0 * h);
            assert!((second.slope - expected).abs() < 1e-7, "{p} {a}: {second:?} {expected}");
        }
    }
}

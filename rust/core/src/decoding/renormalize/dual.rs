//! The dual for every alpha >= 1.05: `(q_i - p_i) q_i^(a - 2) = m`.
//!
//! q(m) of one token is convex in m below alpha = 2 and concave above, and so is the sum. The start is an upper bound of m
//! below 2 (q >= p and q <= 1 bound SUM q^(2-a) from below, and m SUM q^(2-a) = r) and a lower bound above (the smallest
//! token gains at least r / k), so that Newton's method stays on its side.

use super::{NEAR, STEPS};
use crate::elementary::exp_f64;

/// Fills `q` up to a common factor of about 1; 1e-9 < `rest`, at least two tokens, all of them positive.
pub fn solve(a: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> usize {
    let share = rest / p.len() as f64;
    let mut m = if a < 2.0 {
        rest / logs.iter().map(|x| exp_f64((2.0 - a) * x)).sum::<f64>().max(1.0)
    } else {
        share * libm::pow(p[p.len() - 1] + share, a - 2.0)
    };
    let (side, mut before) = (if a < 2.0 { 1.0 } else { -1.0 }, f64::INFINITY);
    for number in 1..=STEPS {
        let (mut excess, mut slope, log_m) = (-1.0, 0.0, libm::log(m));
        for ((q, &p), &x) in q.iter_mut().zip(p).zip(logs) {
            *q = received(a, m, log_m, p, x);
            excess += *q;
            slope += libm::pow(*q, 3.0 - a) / ((a - 1.0) * *q - (a - 2.0) * p);
        }
        let distance = side * excess;
        if distance <= NEAR || distance >= before {
            return number;
        }
        before = distance;
        m -= excess / slope;
    }
    STEPS
}

/// What a token of probability `p` > 0, whose logarithm is `x`, gets at multiplier `m` > 0: the root q >= p.
///
/// With q = p t and c = m p^(1-a) it is (t - 1) t^(a-2) = c. Written as (t - 1) t = c t^(3-a), and divided by t, it is solved from the larger
/// of two lower bounds of t below alpha = 2, from the smaller of two upper bounds above.
#[must_use]
pub fn received(a: f64, m: f64, log_m: f64, p: f64, x: f64) -> f64 {
    if a == 1.5 {
        return (0.5 * (m + (m * m + 4.0 * p).sqrt())).powi(2);
    }
    if a == 3.0 {
        return 0.5 * (p + (p * p + 4.0 * m).sqrt());
    }
    let log_c = log_m - (a - 1.0) * x;
    let (linear, power) = (exp_f64(log_c), exp_f64(log_c / (a - 1.0)));
    let mut t = if a < 2.0 { power.max(1.0 + linear) } else { 1.0 + linear.min(power) };
    for _ in 0..30 {
        let step = (t - 1.0 - exp_f64(log_c + (2.0 - a) * libm::log(t))) / (a - 1.0 - (a - 2.0) / t);
        t = (t - step).max(1.0);
        if step.abs() <= 4e-15 * t {
            break;
        }
    }
    p * t
}

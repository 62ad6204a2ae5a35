//! The dual for every alpha >= 1.05: `(q_i - p_i) q_i^(a - 2) = m`.
//!
//! q(m) of one token is convex in m below alpha = 2 and concave above, and so is the sum. The start is an upper bound of m
//! below 2 (q >= p and q <= 1 bound SUM q^(2-a) from below, and m SUM q^(2-a) = r) and a lower bound above (the smallest
//! token gains at least r / k), so that Newton's method stays on its side.

use super::{iterate, lanes};

/// Fills `q` up to a common factor of about 1 and returns the steps and the multiplier; 1e-9 < `rest`, at least two tokens.
pub fn solve(a: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> (usize, f64) {
    let share = rest / p.len() as f64;
    let mut m = if a < 2.0 {
        rest / lanes::exponentials(logs, 2.0 - a, q).max(1.0)
    } else {
        share * libm::pow(p[p.len() - 1] + share, a - 2.0)
    };
    let (side, mut before) = (if a < 2.0 { 1.0 } else { -1.0 }, m);
    let steps = iterate(|| {
        let [sum, slope] = lanes::by_dual(logs, m, libm::log(m), a, q);
        before = m;
        m -= (sum - 1.0) / slope;
        side * (sum - 1.0)
    });
    (steps, before)
}

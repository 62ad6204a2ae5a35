//! The primal for every finite alpha: `q_i^b = p_i^b + m`, b = alpha - 1.
//!
//! ```text
//! alpha            unknown                          F = SUM q - 1 in it    start                     why this unknown
//! <= 1/2           d = (q_1 / p_1)^b, its log       convex                 upper bound of m          p^b overflows, p_1^b + m cancels
//! 1/2 to 5/4       mu = m / b                       convex                 upper bound               q = p e^mu at alpha = 1
//! 5/4 to 4         m                                convex, concave from 2 upper, lower bound        no cancellation where p is tiny
//! > 4              t = log(m) / b, a level          convex                 the level of alpha = inf  m underflows
//!
//! the bounds, with s = SUM p and r = 1 - s:
//! alpha < 1        the largest gains most, the share of the smallest shrinks:     q_1 <= p_1 + r,   q_k <= p_k / s
//! 1 < alpha < 2    the share of the largest shrinks, the smallest gains least:    q_1 <= p_1 / s,   q_k <= p_k + r / k
//! alpha > 2        the smallest gains most:                                       q_k >= p_k + r / k
//! the level        (p_i^b + exp(b t))^(1/b) >= max(p_i, exp(t)), so exp(t) is at most the level of water;
//!                  log q is convex in t, so F is: at most 9 steps down from there, fewer the larger alpha
//! ```

use super::{iterate, lanes, water_level};
use crate::elementary::exp_f64;

/// Fills `q` up to a common factor of about 1 and returns the steps and the multiplier m / b; 1e-9 < `rest`, at least two
/// tokens.
pub fn solve(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> (usize, f64) {
    if alpha <= 0.5 {
        by_ratio(alpha, p, logs, rest, q)
    } else if alpha < 1.25 {
        by_multiplier(alpha, p, logs, rest, q)
    } else if alpha <= 4.0 {
        by_power(alpha, p, logs, rest, q)
    } else {
        by_level(alpha, p, logs, rest, q)
    }
}

fn by_ratio(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> (usize, f64) {
    let b = alpha - 1.0;
    // q_i^b = p_1^b (d + exp(e_i)), where exp(e_i) = (p_i / p_1)^b - 1
    let offset = |x: f64| {
        let t = b * (x - logs[0]);
        if t > 0.0 { t + libm::log(-libm::expm1(-t)) } else { f64::NEG_INFINITY }
    };
    let offsets: Vec<f64> = logs.iter().map(|&x| offset(x)).collect();
    let mut log_d = b * libm::log1p(rest / p[0]);
    let last = exp_f64(b * (logs[logs.len() - 1] - logs[0])) * libm::expm1(-b * libm::log(p.iter().sum()));
    if last > -0.9 {
        log_d = log_d.max(libm::log1p(last)); // nearer to -1 rounding would make it too large
    }
    let mut at = log_d;
    let steps = iterate(|| {
        let [sum, slope] = lanes::by_ratio(&offsets, log_d, logs[0], b, q);
        at = log_d;
        log_d += libm::log1p(-b * (sum - 1.0).max(0.0) / slope);
        sum - 1.0
    });
    (steps, exp_f64(b * logs[0]) * libm::expm1(at) / b)
}

fn by_multiplier(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> (usize, f64) {
    let (b, last) = (alpha - 1.0, p.len() - 1);
    let whole = libm::log(p.iter().sum());
    // The multiplier at which a token of log-probability `x` gets `exp(y)`.
    let gap = |y: f64, x: f64| {
        let power = exp_f64(b * x);
        (if power == 0.0 { exp_f64(b * y) } else { power * libm::expm1(b * (y - x)) }) / b
    };
    let (top, bottom) = if b < 0.0 {
        (libm::log(p[0] + rest), logs[last] - whole)
    } else {
        (logs[0] - whole, libm::log(p[last] + rest / p.len() as f64))
    };
    let mut mu = gap(top, logs[0]).min(gap(bottom, logs[last]));
    let mut powers = vec![0.0; p.len()];
    lanes::less_one(logs, b, &mut powers);
    let mut at = mu;
    let steps = iterate(|| {
        let [sum, slope] = lanes::by_multiplier(&powers, b * mu, b, q);
        at = mu;
        mu -= (sum - 1.0) / slope;
        sum - 1.0
    });
    (steps, at)
}

fn by_power(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> (usize, f64) {
    let (b, last, k) = (alpha - 1.0, p.len() - 1, p.len() as f64);
    let mut powers = vec![0.0; p.len()];
    lanes::exponentials(logs, b, &mut powers);
    // What lifts the smallest token by an equal share of the rest.
    let equal = libm::expm1(b * libm::log1p(rest / (k * p[last])));
    let mut m = if equal < f64::MAX && powers[last] > 0.0 { powers[last] * equal } else { libm::pow(rest / k, b) };
    if alpha < 2.0 {
        m = m.min(powers[0] * libm::expm1(-b * libm::log(p.iter().sum())));
    }
    let mut at = m;
    let steps = iterate(|| {
        let [sum, slope] = lanes::by_power(&powers, m, b, q);
        at = m;
        m -= (sum - 1.0) / slope;
        sum - 1.0
    });
    (steps, at / b)
}

fn by_level(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> (usize, f64) {
    let b = alpha - 1.0;
    let mut t = libm::log(water_level(p, rest));
    let mut at = t;
    let steps = iterate(|| {
        let [sum, slope] = lanes::by_level(logs, t, b, q);
        at = t;
        t -= (sum - 1.0) / slope;
        sum - 1.0
    });
    (steps, exp_f64(b * at) / b)
}

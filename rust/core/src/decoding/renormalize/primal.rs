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

use super::{NEAR, STEPS, log_add, log_sum, water_level};
use crate::elementary::exp_f64;

/// Fills `q` up to a common factor of about 1; 1e-9 < `rest`, at least two tokens.
pub fn solve(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> usize {
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

/// Repeats `step`, which fills `q` from its unknown, returns how far the sum is from 1 and moves on, until that is little.
fn iterate(mut step: impl FnMut() -> f64) -> usize {
    let mut before = f64::INFINITY;
    for number in 1..=STEPS {
        let distance = step();
        if distance <= NEAR || distance >= before {
            return number;
        }
        before = distance;
    }
    STEPS
}

fn by_ratio(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> usize {
    let b = alpha - 1.0;
    // q_i^b = p_1^b (d + exp(e_i))
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
    iterate(|| {
        let power = |e: f64| log_add(log_d, e);
        q.iter_mut().zip(&offsets).for_each(|(q, &e)| *q = exp_f64(logs[0] + power(e) / b));
        let excess = q.iter().sum::<f64>() - 1.0;
        if excess > 0.0 {
            let slope = log_sum(offsets.iter().map(|&e| power(e)).map(|y| logs[0] + y / b - y));
            log_d = log_add(log_d, libm::log(excess) + libm::log(-b) - slope);
        }
        excess
    })
}

fn by_multiplier(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> usize {
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
    let powers: Vec<f64> = logs.iter().map(|x| libm::expm1(b * x)).collect(); // p^b - 1
    iterate(|| {
        let (mut excess, mut slope) = (-1.0, 0.0);
        for (q, power) in q.iter_mut().zip(&powers) {
            let log = libm::log1p(power + b * mu) / b;
            *q = exp_f64(log);
            excess += *q;
            slope += exp_f64((1.0 - b) * log);
        }
        mu -= excess / slope;
        excess
    })
}

fn by_power(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> usize {
    let (b, last, k) = (alpha - 1.0, p.len() - 1, p.len() as f64);
    let powers: Vec<f64> = logs.iter().map(|x| exp_f64(b * x)).collect();
    // What lifts the smallest token by an equal share of the rest.
    let equal = libm::expm1(b * libm::log1p(rest / (k * p[last])));
    let mut m = if equal < f64::MAX && powers[last] > 0.0 { powers[last] * equal } else { libm::pow(rest / k, b) };
    if alpha < 2.0 {
        m = m.min(powers[0] * libm::expm1(-b * libm::log(p.iter().sum())));
    }
    let side = if alpha < 2.0 { 1.0 } else { -1.0 };
    iterate(|| {
        let (mut excess, mut slope) = (-1.0, 0.0);
        for (q, power) in q.iter_mut().zip(&powers) {
            let y = power + m;
            *q = exp_f64(libm::log(y) / b);
            excess += *q;
            slope += *q / (b * y);
        }
        m -= excess / slope;
        side * excess
    })
}

fn by_level(alpha: f64, p: &[f64], logs: &[f64], rest: f64, q: &mut [f64]) -> usize {
    let b = alpha - 1.0;
    let mut t = libm::log(water_level(p, rest));
    iterate(|| {
        let (mut excess, mut slope) = (-1.0, 0.0);
        for (q, &x) in q.iter_mut().zip(logs) {
            let less = exp_f64(-b * (x - t).abs());
            *q = exp_f64(x.max(t) + libm::log1p(less) / b);
            excess += *q;
            slope += *q / (1.0 + less) * if x > t { less } else { 1.0 };
        }
        t -= excess / slope;
        excess
    })
}

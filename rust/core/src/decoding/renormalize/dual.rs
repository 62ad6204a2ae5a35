//! The dual for every alpha >= 1.05: `(q_i - p_i) q_i^(a - 2) = m`.
//!
//! ```text
//! one token: with e = q - p,   log e = log m + (2 - a) log q,   solved for y = log e
//!     the slope of y - (2 - a) log(p + e^y) in y lies between 1 and a - 1 and never turns, so Newton's method converges from
//!     everywhere; with two more terms of its series it takes two or three steps
//!     start: q is about the larger of p and m^(1/(a-1)), which it would be without the other
//! all tokens: q(m) is convex in m below alpha = 2 and concave above, and so is the sum. The start is an upper bound of m
//!     below 2 (q >= p and q <= 1 bound SUM q^(2-a) from below, and m SUM q^(2-a) = r) and a lower bound above (the smallest
//!     token gains at least r / k), so that Newton's method stays on its side.
//! ```

use super::lanes::{LANES, load, store, total};
use super::{iterate, lanes};
use crate::elementary::{exp_f64, ln_f64};
use crate::simd::dispatch;

/// Fills `q` up to a common factor of about 1 and returns the steps and the multiplier; 1e-9 < `rest`, at least two tokens.
/// A multiplier that is known to be near spares steps.
pub fn solve(a: f64, [p, logs]: [&[f64]; 2], rest: f64, near: Option<f64>, q: &mut [f64]) -> (usize, f64) {
    let share = rest / p.len() as f64;
    let mut m = match near {
        Some(m) => m,
        None if a < 2.0 => rest / lanes::exponentials(logs, 2.0 - a, q).max(1.0),
        None => share * libm::pow(p[p.len() - 1] + share, a - 2.0),
    };
    let (mut before, mut room) = (0.0, vec![0.0; p.len()]);
    let steps = iterate(|| {
        let [sum, slope] = if before == 0.0 || is_quadratic(a) {
            by_dual([p, logs], m, a, [q, &mut room])
        } else {
            let log_m = libm::log(m);
            shift(p, q, log_m - libm::log(before), 2.0 - a, &mut room);
            settle(p, log_m, a, [q, &mut room])
        };
        before = m;
        m -= (sum - 1.0) / slope;
        sum - 1.0
    });
    (steps, before)
}

fn is_quadratic(a: f64) -> bool {
    a == 1.5 || a == 3.0
}

/// alpha = 1.5 and 3, where the equation is quadratic.
#[inline(always)]
fn by_root_lanes(p: &[f64], m: f64, a: f64, q: &mut [f64]) -> [f64; 2] {
    let (mut sums, mut slopes) = ([0.0; LANES], [0.0; LANES]);
    for (p, q) in p.chunks(LANES).zip(q.chunks_mut(LANES)) {
        let (x, mut values) = (load(p), [0.0; LANES]);
        for l in 0..LANES {
            let root = 0.5 * (m + (m * m + 4.0 * x[l]).sqrt());
            let level = 0.5 * (x[l] + (x[l] * x[l] + 4.0 * m).sqrt());
            values[l] = if a == 1.5 { root * root } else { level };
            let slope = if a == 1.5 { 2.0 * root * values[l] / (values[l] + x[l]) } else { 1.0 / (2.0 * level - x[l]) };
            sums[l] += if l < p.len() { values[l] } else { 0.0 };
            slopes[l] += if l < p.len() { slope } else { 0.0 };
        }
        store(&values, q);
    }
    [total(sums), total(slopes)]
}

dispatch! {
    fn by_root(p: &[f64], m: f64, a: f64, q: &mut [f64]) -> [f64; 2] = by_root_lanes
}

#[inline(always)]
fn start_lanes(logs: &[f64], log_m: f64, a: f64, y: &mut [f64]) {
    let level = log_m / (a - 1.0);
    for (x, y) in logs.iter().zip(y) {
        *y = log_m + (2.0 - a) * if *x > level { *x } else { level };
    }
}

dispatch! {
    /// The start for every y.
    fn start(logs: &[f64], log_m: f64, a: f64, y: &mut [f64]) = start_lanes
}

#[inline(always)]
fn shift_lanes(p: &[f64], q: &[f64], change: f64, s: f64, y: &mut [f64]) {
    for ((p, q), y) in p.iter().zip(q).zip(y) {
        *y += change / (1.0 - s * (1.0 - p / q));
    }
}

dispatch! {
    /// The start from the solution at a multiplier whose logarithm changes so much, by the derivative g.
    fn shift(p: &[f64], q: &[f64], change: f64, s: f64, y: &mut [f64]) = shift_lanes
}

/// Eight tokens, one step: their y, q and dq / d log m, and 1 for those that were far.
///
/// With s = 2 - a, u = e / q and g = 1 / (1 - s u), the derivative of y to log m: the residual n g is a series in the
/// step, which is reverted to its third power.
#[inline(always)]
fn step_eight(p: &[f64; LANES], y: &mut [f64; LANES], log_m: f64, s: f64) -> [[f64; LANES]; 3] {
    let [mut q, mut slopes, mut far] = [[0.0; LANES]; 3];
    for l in 0..LANES {
        let e = exp_f64(y[l]);
        let before = p[l] + e;
        let u = e / before;
        let g = 1.0 / (1.0 - s * u);
        let newton = (log_m - y[l] + s * ln_f64(before)) * g;
        let second = 0.5 * s * u * (1.0 - u) * g;
        let third = second * (1.0 - 2.0 * u) * (1.0 / 3.0) + 2.0 * second * second;
        let bend = newton * (second + newton * third);
        let step = newton * if bend.abs() < 0.1 { 1.0 + bend } else { 1.0 };
        far[l] = if newton.abs() > 1e-4 { 1.0 } else { 0.0 }; // the error is of the order of the step's fourth power
        y[l] += step;
        // exp(y) once more, for small steps
        let e = e * (1.0 + step * (1.0 + step * (0.5 + step * (1.0 / 6.0 + step * (1.0 / 24.0)))));
        q[l] = p[l] + e;
        slopes[l] = e * g * (1.0 + 2.0 * second * g * step);
    }
    [q, slopes, far]
}

#[inline(always)]
fn step_lanes(p: &[f64], log_m: f64, a: f64, y: &mut [f64], q: &mut [f64]) -> [f64; 3] {
    let mut sums = [[0.0; LANES]; 3];
    let (blocks, last) = p.as_chunks::<LANES>();
    let ((y_blocks, y_last), (q_blocks, q_last)) = (y.as_chunks_mut::<LANES>(), q.as_chunks_mut::<LANES>());
    for ((p, y), q) in blocks.iter().zip(y_blocks).zip(q_blocks) {
        let found = step_eight(p, y, log_m, 2.0 - a);
        *q = found[0];
        for (sums, found) in sums.iter_mut().zip(&found) {
            sums.iter_mut().zip(found).for_each(|(sum, x)| *sum += x);
        }
    }
    if !last.is_empty() {
        let mut logs = load(y_last);
        let found = step_eight(&load(last), &mut logs, log_m, 2.0 - a);
        store(&logs, y_last);
        store(&found[0], q_last);
        for (sums, found) in sums.iter_mut().zip(&found) {
            sums.iter_mut().zip(found).take(last.len()).for_each(|(sum, x)| *sum += x);
        }
    }
    sums.map(total)
}

dispatch! {
    /// A step of every token; the sums of their values and slopes, and how many were far from the solution.
    fn step(p: &[f64], log_m: f64, a: f64, y: &mut [f64], q: &mut [f64]) -> [f64; 3] = step_lanes
}

/// What tokens of probabilities p, whose logarithms come second, get at multiplier m > 0: fills the first output; the second
/// is room of that length. The sum, and that of `dq/dm`.
pub fn by_dual([p, logs]: [&[f64]; 2], m: f64, a: f64, [q, room]: [&mut [f64]; 2]) -> [f64; 2] {
    if is_quadratic(a) {
        return by_root(p, m, a, q);
    }
    let log_m = libm::log(m);
    start(logs, log_m, a, room);
    settle(p, log_m, a, [q, room])
}

/// Steps until all tokens have arrived.
fn settle(p: &[f64], log_m: f64, a: f64, [q, y]: [&mut [f64]; 2]) -> [f64; 2] {
    for _ in 0..30 {
        let [sum, slope, far] = step(p, log_m, a, y, q);
        if far == 0.0 {
            return [sum, slope / exp_f64(log_m)];
        }
    }
    let [sum, slope, _] = step(p, log_m, a, y, q);
    [sum, slope / exp_f64(log_m)]
}

#[inline(always)]
fn conjugate(q: f64, p: f64, a: f64) -> f64 {
    exp_f64((a - 1.0) * ln_f64(q)) * (q * (a - 1.0) / a - p * (a - 2.0) / (a - 1.0))
}

#[inline(always)]
fn conjugates_lanes(p: &[f64], q: &[f64], a: f64) -> f64 {
    let mut sums = [0.0; LANES];
    for (p, q) in p.chunks(LANES).zip(q.chunks(LANES)) {
        let (x, y) = (load(p), load(q));
        for l in 0..LANES {
            let value = conjugate(y[l], x[l], a);
            sums[l] += if l < p.len() { value } else { 0.0 };
        }
    }
    total(sums)
}

dispatch! {
    /// SUM psi, the conjugates of the dual, of tokens that get q.
    pub fn conjugates(p: &[f64], q: &[f64], a: f64) -> f64 = conjugates_lanes
}

#[inline(always)]
fn priced_lanes(penalty: f64, p: f64, log_p: f64, a: f64) -> (f64, f64) {
    let (log_penalty, whole, part) = (ln_f64(penalty), (a - 1.0) / a, (2.0 - a) / (a - 1.0));
    // psi = q^a (whole + part p / q)
    if a * log_p + ln_f64(whole + part) >= log_penalty {
        return (p, 0.0);
    }
    // right for p = 0
    let mut y = (log_penalty - ln_f64(whole)) / a;
    y = if y > log_p { y } else { log_p };
    for _ in 0..60 {
        let share = part * exp_f64(log_p - y);
        let step = (a * y + ln_f64(whole + share) - log_penalty) / (a - share / (whole + share));
        y -= step;
        if step.abs() <= 1e-8 {
            break; // the error is of the order of the step's square
        }
    }
    let q = exp_f64(y);
    (q, (q - p) * exp_f64((a - 2.0) * y))
}

dispatch! {
    /// The value q of a token whose psi is the penalty, and the multiplier at which it gets that; the multiplier is not
    /// positive where the token's psi is more already.
    ///
    /// By Newton's method for log psi in y = log q, whose slope lies between a and a (a - 1) and never turns: it converges from
    /// everywhere.
    pub fn dual_priced(penalty: f64, p: f64, log_p: f64, a: f64) -> (f64, f64) = priced_lanes
}

//! Rows of many nearly equal numbers: all are in the support, so none is looked for, and powers of all are one polynomial.
//!
//! ```text
//! with c = 1/b and m the middle of the numbers' range:  y_i = y + b (u_i - m) = y (1 + t_i),  p_i = y_i^c,  y to be found
//! (1 + t)^(c-1) = 1 + (c-1) t + (c-1)(c-2)/2 t^2 + ...  for |t| <= r, to as many terms as matter
//! SUM p = 1 where the norm  h(y) = (SUM y_i^c)^b = y (SUM (1 + t_i)^c)^b  is 1: Newton's iteration in y, started from where
//! the mean and the variance of the numbers have it.  h is nearly linear: a step from y to y (1 - d) leaves an error of at
//! most  |c - 1| r^2 / (2 (1 - r)^3) d^2, relative to y.  So one step is enough for single precision
//! ```

use crate::decoding::entmax::SPARSE;
use crate::decoding::entmax::solve::Support;
use crate::decoding::logit::Logit;
use crate::decoding::row::Row;
use crate::elementary::{exp_f64, ln_f64};
use crate::fresh;
use crate::real::Real;
use crate::simd::dispatch;

/// Shorter rows are not worth it.
const SHORTEST: usize = 4096;
/// 1/b and b at most: rounding of y, which its power magnifies, stays harmless.
const STEEPEST: f64 = 50.0;
/// r, and |c - 1| r, at most: terms of the polynomial decrease, and no digits are lost in their sum.
const WIDEST: f64 = 0.4;
/// Terms of the polynomial at most; loops run over 6, 12 or so many.
const TERMS: usize = 24;
/// Steps that no iteration has needed.
const STEPS: usize = 6;
const LANES: usize = 8;
const PIECE: usize = 256;
/// One of so many pieces is looked at for the start.
const STRIDE: usize = 8;

/// An estimate for the numbers of a row that are not -inf, measured from the largest.
#[derive(Debug, Clone, Copy)]
struct Look {
    count: f64,
    mean: f64,
    variance: f64,
}

/// The probabilities of a row as a function of its numbers.
#[derive(Debug, Clone, Copy)]
pub struct Even {
    top: f64,
    /// Half the range of the numbers.
    half: f64,
    /// t of a number is its distance from the largest times the slope b / y, and this.
    offset: f64,
    slope: f64,
    /// `y^c`
    scale: f64,
    terms: usize,
    coefficients: [f64; TERMS],
}

impl Even {
    /// The solution for a row, if it is of this kind.
    pub fn of<T: Logit>(values: &[T], row: &Row<'_, T>, b: f64) -> Option<Self> {
        let (c, top) = (b.recip(), row.statistics.maximum);
        if values.len() < SHORTEST || b.max(c) > STEEPEST {
            return None;
        }
        // y is about count^(-b). Most rows are left after a glance at maxima of blocks, which are no less than the lowest.
        let widest = WIDEST / (c - 1.0).abs().max(1.0);
        let few = (values.len() / SPARSE) as f64;
        let most = 2.0 * widest * power(few, -b) / b;
        if row.maxima().any(|x| top - x > most && x > f64::NEG_INFINITY) {
            return None;
        }
        let (look, half) = (look(values, top), 0.5 * (top - lowest(values).wide()));
        let level = power(look.count, -b);
        let spread = b / level;
        let level = level * power(1.0 + 0.5 * c * (c - 1.0) * spread * spread * look.variance, -b);
        let y = level - b * (half + look.mean);
        if !(look.count > few && level > f64::MIN_POSITIVE && b * half < widest * y) {
            return None;
        }
        let reach = 1.01 * b * half / y;
        let (terms, coefficients) = expanded(c - 1.0, reach, T::UNIT / 64.0)?;
        Self { top, half, offset: 0.0, slope: 0.0, scale: 0.0, terms, coefficients }.solved(values, b, y, reach)
    }

    /// Newton's iteration from y, while r is at most `reach`.
    fn solved<T: Logit>(mut self, values: &[T], b: f64, mut y: f64, reach: f64) -> Option<Self> {
        let c = b.recip();
        let bend = 0.5 * (c - 1.0).abs() * reach * reach / (1.0 - reach).powi(3);
        for _ in 0..STEPS {
            self.slope = b / y;
            self.offset = self.half * self.slope;
            let [sum, slope] = totals(values, &self);
            let h = y * power(sum, b);
            let step = (h - 1.0) * sum / (h * slope);
            y -= y * step;
            if b * self.half > reach * y {
                return None;
            }
            if c * bend * step * step <= T::UNIT / 64.0 {
                (self.slope, self.scale) = (b / y, power(y, c));
                self.offset = self.half * self.slope;
                return Some(self);
            }
        }
        None
    }

    /// The probabilities as a support.
    pub fn support<T: Logit>(&self, values: &[T], found: &mut Support) {
        found.top = self.top;
        found.p.clear();
        found.p.resize(values.len(), 0.0);
        widen(values, self, &mut found.p);
        found.indices.clear();
        found.indices.extend((0..values.len() as u32).filter(|&i| found.p[i as usize] > 0.0));
        found.p.retain(|&p| p > 0.0);
    }

    /// The coefficients, those of the highest powers first.
    #[inline(always)]
    fn series<const N: usize>(&self) -> [f64; N] {
        std::array::from_fn(|i| if N - i > self.terms { 0.0 } else { self.coefficients[N - 1 - i] })
    }

    /// The probabilities, into a row of an output of `size` numbers.
    pub fn write<T: Logit>(&self, values: &[T], out: &mut [T], size: usize) {
        fresh::demand(out, size);
        fill(values, self, out);
    }
}

fn power(x: f64, exponent: f64) -> f64 {
    exp_f64(exponent * ln_f64(x))
}

/// The series of `(1 + t)^n` to terms below `close` for |t| <= `widest`: their number and coefficients.
fn expanded(n: f64, widest: f64, close: f64) -> Option<(usize, [f64; TERMS])> {
    let (mut coefficients, mut term) = ([1.0; TERMS], 1.0);
    for k in 1..TERMS {
        let factor = (n - (k - 1) as f64) / k as f64;
        term *= factor * widest;
        if term.abs() <= close {
            return Some((k, coefficients));
        }
        coefficients[k] = coefficients[k - 1] * factor;
    }
    None
}

/// `(1 + t)^c` and `(1 + t)^(c-1)` for a number; for -inf t = -1, whose powers are 0.
#[inline(always)]
fn powers<T: Logit, const N: usize>(x: T, even: &Even, series: &[f64; N]) -> (f64, f64) {
    let t = (x.wide() - even.top).mul_add(even.slope, even.offset);
    let t = if t > -1.0 { t } else { -1.0 };
    let mut q = 0.0;
    for &coefficient in series {
        q = f64::mul_add(q, t, coefficient);
    }
    (f64::mul_add(q, t, q), if t > -1.0 { q } else { 0.0 })
}

/// The sum of the lanes.
#[inline(always)]
fn folded([a, b, c, d, e, f, g, h]: [f64; LANES]) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[inline(always)]
fn lowest_lanes<T: Logit>(values: &[T]) -> T {
    let mut lanes = [T::INFINITY; 64];
    let lower = |lane: &mut T, x: T| {
        let x = if x > -T::INFINITY { x } else { T::INFINITY };
        *lane = if x < *lane { x } else { *lane };
    };
    let (pieces, rest) = values.as_chunks::<64>();
    for piece in pieces {
        for (lane, &x) in lanes.iter_mut().zip(piece) {
            lower(lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        lower(lane, x);
    }
    lanes.into_iter().fold(T::INFINITY, |least, x| if x < least { x } else { least })
}

dispatch! {
    /// The smallest number that is not -inf.
    fn lowest<T: Logit>(values: &[T]) -> T = lowest_lanes
}

#[inline(always)]
fn look_lanes<T: Logit>(values: &[T], top: f64) -> Look {
    let (mut sums, mut u, mut live) = ([0.0; 3], [0.0; PIECE], [0.0; PIECE]);
    for piece in values.chunks_exact(PIECE).step_by(STRIDE) {
        for ((x, u), live) in piece.iter().zip(&mut u).zip(&mut live) {
            let fall = x.wide() - top;
            (*u, *live) = if fall > f64::NEG_INFINITY { (fall, 1.0) } else { (0.0, 0.0) };
        }
        sums[0] += products(&live, &live);
        sums[1] += products(&u, &live);
        sums[2] += products(&u, &u);
    }
    let mean = sums[1] / sums[0];
    let pieces = (values.len() / PIECE).div_ceil(STRIDE);
    let count = sums[0] * values.len() as f64 / (pieces * PIECE) as f64;
    Look { count, mean, variance: (sums[2] / sums[0] - mean * mean).max(0.0) }
}

dispatch! {
    /// Number, mean and variance, from some pieces.
    fn look<T: Logit>(values: &[T], top: f64) -> Look = look_lanes
}

/// The inner product of two pieces.
#[inline(always)]
fn products(x: &[f64; PIECE], y: &[f64; PIECE]) -> f64 {
    let mut lanes = [0.0; LANES];
    for (x, y) in x.as_chunks::<LANES>().0.iter().zip(y.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            lanes[l] = f64::mul_add(x[l], y[l], lanes[l]);
        }
    }
    folded(lanes)
}

#[inline(always)]
fn sum(x: &[f64; PIECE]) -> f64 {
    let mut lanes = [0.0; LANES];
    for x in x.as_chunks::<LANES>().0 {
        for l in 0..LANES {
            lanes[l] += x[l];
        }
    }
    folded(lanes)
}

/// Sums of pieces are added with a correction; see `solve`.
#[inline(always)]
fn totals_of<T: Logit, const N: usize>(values: &[T], even: &Even) -> [f64; 2] {
    let series = even.series::<N>();
    let (mut total, mut lost) = ([0.0; 2], [0.0; 2]);
    let (mut p, mut q) = ([0.0; PIECE], [0.0; PIECE]);
    for piece in values.chunks(PIECE) {
        for ((&x, p), q) in piece.iter().zip(&mut p).zip(&mut q) {
            (*p, *q) = powers(x, even, &series);
        }
        p[piece.len()..].fill(0.0);
        q[piece.len()..].fill(0.0);
        let sums = [sum(&p), sum(&q)];
        for i in 0..2 {
            let term = sums[i] - lost[i];
            let next = total[i] + term;
            lost[i] = (next - total[i]) - term;
            total[i] = next;
        }
    }
    total
}

#[inline(always)]
fn totals_lanes<T: Logit>(values: &[T], even: &Even) -> [f64; 2] {
    match even.terms {
        ..=6 => totals_of::<T, 6>(values, even),
        7..=12 => totals_of::<T, 12>(values, even),
        _ => totals_of::<T, TERMS>(values, even),
    }
}

dispatch! {
    /// SUM (1 + t)^c and SUM (1 + t)^(c-1).
    fn totals<T: Logit>(values: &[T], even: &Even) -> [f64; 2] = totals_lanes
}

#[inline(always)]
fn fill_of<T: Logit, P: Real, const N: usize>(values: &[T], even: &Even, out: &mut [P]) {
    let series = even.series::<N>();
    for (&x, out) in values.iter().zip(out) {
        *out = P::of(even.scale * powers(x, even, &series).0);
    }
}

#[inline(always)]
fn fill_lanes<T: Logit, P: Real>(values: &[T], even: &Even, out: &mut [P]) {
    match even.terms {
        ..=6 => fill_of::<T, P, 6>(values, even, out),
        7..=12 => fill_of::<T, P, 12>(values, even, out),
        _ => fill_of::<T, P, TERMS>(values, even, out),
    }
}

dispatch! {
    /// The probabilities.
    fn fill<T: Logit>(values: &[T], even: &Even, out: &mut [T]) = fill_lanes
}

dispatch! {
    /// The same in double precision.
    fn widen<T: Logit>(values: &[T], even: &Even, out: &mut [f64]) = fill_lanes
}

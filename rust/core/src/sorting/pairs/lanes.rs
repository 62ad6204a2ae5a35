//! The inner loops of pair sums, in lanes of double precision; the order of every sum is part of the source.

use super::kernel::{Value, Visit};
use super::table::{DOUBLE, SINGLE};
use crate::simd::dispatch;

/// One 512-bit register.
const LANES: usize = 8;
type Lanes = [f64; LANES];

/// Where the items of a panel lie: an item at `v` has the coordinate `((v - origin) - middle) * scale` in [-1, 1].
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// A value from which differences are exact or as good as the values.
    pub origin: f64,
    /// The panel's middle, from the origin.
    pub middle: f64,
    /// The inverse of half its width; negative when the axis is looked at from the other end.
    pub scale: f64,
}

impl Frame {
    #[inline(always)]
    fn coordinates(&self, values: &Lanes) -> Lanes {
        let mut t = [0.0; LANES];
        for l in 0..LANES {
            t[l] = ((values[l] - self.origin) - self.middle) * self.scale;
        }
        t
    }

    /// The coordinate of one item.
    #[must_use]
    pub fn coordinate(&self, value: f64) -> f64 {
        ((value - self.origin) - self.middle) * self.scale
    }

    /// A value at coordinate 0.
    #[inline(always)]
    fn centre(&self) -> f64 {
        self.origin + self.middle
    }
}

/// What [`direct_both`] takes.
pub struct Both<'a> {
    /// Items of one side.
    pub x: &'a [f64],
    /// Items of the other.
    pub y: &'a [f64],
    /// Weights of the first.
    pub x_weights: &'a [f64],
    /// Weights of the second.
    pub y_weights: &'a [f64],
    /// The inverse of the temperature.
    pub inverse: f64,
    /// Sums over `y`.
    pub x_out: &'a mut [f64],
    /// Sums over `x`.
    pub y_out: &'a mut [f64],
}

impl Visit for Both<'_> {
    type Out = ();
    fn visit<V: Value>(self) {
        direct_both::<V>(self);
    }
}

/// The first lanes of `items`, the others `rest`.
#[inline(always)]
fn padded(items: &[f64], rest: f64) -> Lanes {
    let mut out = [rest; LANES];
    out[..items.len()].copy_from_slice(items);
    out
}

/// Halves, then quarters: one tree for every instruction set.
#[inline(always)]
fn total(lanes: &Lanes) -> f64 {
    let mut x = *lanes;
    for width in [4, 2, 1] {
        for l in 0..width {
            x[l] += x[l + width];
        }
    }
    x[0]
}

/// Adds `sum weights * T_k(coordinate)` to `out[k]`.
#[inline(always)]
fn moments_lanes<const P: usize>(values: &[f64], weights: &[f64], frame: Frame, out: &mut [f64]) {
    let mut sums = [[0.0; LANES]; P];
    let (values, last) = values.as_chunks::<LANES>();
    let (weights, last_weights) = weights.as_chunks::<LANES>();
    for (values, weights) in values.iter().zip(weights) {
        add_moments(values, weights, frame, &mut sums);
    }
    if !last.is_empty() {
        add_moments(&padded(last, frame.centre()), &padded(last_weights, 0.0), frame, &mut sums);
    }
    for k in 0..P {
        out[k] += total(&sums[k]);
    }
}

#[inline(always)]
fn add_moments<const P: usize>(values: &Lanes, weights: &Lanes, frame: Frame, sums: &mut [Lanes; P]) {
    // The weighted polynomials obey T_{k+1} = 2 t T_k - T_{k-1} as well.
    let t = frame.coordinates(values);
    let (mut before, mut here) = (*weights, [0.0; LANES]);
    for l in 0..LANES {
        here[l] = weights[l] * t[l];
        sums[0][l] += weights[l];
        sums[1][l] += here[l];
    }
    for k in 2..P {
        for l in 0..LANES {
            let next = f64::mul_add(2.0 * t[l], here[l], -before[l]);
            before[l] = here[l];
            here[l] = next;
            sums[k][l] += next;
        }
    }
}

/// Writes `sum coefficients[k] * T_k(coordinate)` to `out`, by Clenshaw's recurrence.
#[inline(always)]
fn evaluate_lanes<const P: usize>(values: &[f64], frame: Frame, coefficients: &[f64], out: &mut [f64]) {
    let c: &[f64; P] = coefficients[..P].try_into().expect("P coefficients");
    for (values, out) in values.chunks(LANES).zip(out.chunks_mut(LANES)) {
        let t = frame.coordinates(&padded(values, frame.centre()));
        let (mut after, mut here) = ([0.0; LANES], [0.0; LANES]);
        for k in (1..P).rev() {
            for l in 0..LANES {
                let next = f64::mul_add(2.0 * t[l], here[l], c[k] - after[l]);
                after[l] = here[l];
                here[l] = next;
            }
        }
        for l in 0..out.len() {
            out[l] = f64::mul_add(t[l], here[l], c[0] - after[l]);
        }
    }
}

/// Adds the product of one block of the table with `moments` to `out`.
#[inline(always)]
fn couple_lanes<const P: usize>(block: &[f64], moments: &[f64], out: &mut [f64]) {
    let (rows, moments) = (&block.as_chunks::<LANES>().0[..P * P / LANES], &moments[..P]);
    for (q, out) in out[..P].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        // Two chains of sums hide the latency of the multiply-add.
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        for k in (0..P).step_by(2) {
            let (row, next) = (&rows[k * (P / LANES) + q], &rows[(k + 1) * (P / LANES) + q]);
            for l in 0..LANES {
                even[l] = f64::mul_add(row[l], moments[k], even[l]);
                odd[l] = f64::mul_add(next[l], moments[k + 1], odd[l]);
            }
        }
        for l in 0..LANES {
            out[l] += even[l] + odd[l];
        }
    }
}

/// Adds `sum_j weights[j] * kernel((targets[i] - sources[j]) * inverse)` to `out[i]`.
#[inline(always)]
fn direct_lanes<V: Value>(targets: &[f64], sources: &[f64], weights: &[f64], inverse: f64, out: &mut [f64]) {
    let (sources, last) = sources.as_chunks::<LANES>();
    let (weights, last_weights) = weights.as_chunks::<LANES>();
    let (rest, rest_weights) = (padded(last, 0.0), padded(last_weights, 0.0));
    for (&target, out) in targets.iter().zip(out) {
        let mut sum = [0.0; LANES];
        for (sources, weights) in sources.iter().zip(weights) {
            add_terms::<V>(target, sources, weights, inverse, &mut sum);
        }
        if !last.is_empty() {
            add_terms::<V>(target, &rest, &rest_weights, inverse, &mut sum);
        }
        *out += total(&sum);
    }
}

#[inline(always)]
fn add_terms<V: Value>(target: f64, sources: &Lanes, weights: &Lanes, inverse: f64, sum: &mut Lanes) {
    let mut values = [0.0; LANES]; // a loop of its own: together with the sum it would stay scalar
    for l in 0..LANES {
        values[l] = V::at((target - sources[l]) * inverse);
    }
    for l in 0..LANES {
        sum[l] = f64::mul_add(weights[l], values[l], sum[l]);
    }
}

/// Both sums over the same pairs: adds `sum_j y_weights[j] * kernel(z_ij)` to `x_out[i]` and `sum_i x_weights[i] *
/// kernel(z_ij)` to `y_out[j]`, where `z_ij = (x[i] - y[j]) * inverse`.
#[inline(always)]
fn direct_both_lanes<V: Value>(pairs: Both<'_>) {
    let Both { x, y, x_weights, y_weights, inverse, x_out, y_out } = pairs;
    let (blocks, last) = y.as_chunks::<LANES>();
    let (weights, last_weights) = y_weights.as_chunks::<LANES>();
    let (sums, last_sums) = y_out.as_chunks_mut::<LANES>();
    let (rest, rest_weights, mut rest_sums) = (padded(last, 0.0), padded(last_weights, 0.0), [0.0; LANES]);
    for ((&x, &weight), out) in x.iter().zip(x_weights).zip(x_out) {
        let mut sum = [0.0; LANES];
        for ((y, weights), sums) in blocks.iter().zip(weights).zip(&mut *sums) {
            add_both::<V>((x, weight), (y, weights), inverse, &mut sum, sums);
        }
        if !last.is_empty() {
            add_both::<V>((x, weight), (&rest, &rest_weights), inverse, &mut sum, &mut rest_sums);
        }
        *out += total(&sum);
    }
    last_sums.iter_mut().zip(rest_sums).for_each(|(out, sum)| *out += sum);
}

#[inline(always)]
fn add_both<V: Value>(
    (x, weight): (f64, f64),
    (y, weights): (&Lanes, &Lanes),
    inverse: f64,
    sum: &mut Lanes,
    sums: &mut Lanes,
) {
    let mut values = [0.0; LANES]; // as above
    for l in 0..LANES {
        values[l] = V::at((x - y[l]) * inverse);
    }
    for l in 0..LANES {
        sum[l] = f64::mul_add(weights[l], values[l], sum[l]);
        sums[l] = f64::mul_add(weight, values[l], sums[l]);
    }
}

dispatch! {
    /// See `direct_both_lanes`.
    pub fn direct_both<V: Value>(pairs: Both<'_>) = direct_both_lanes::<V>
}

dispatch! {
    /// See `direct_lanes`.
    pub fn direct<V: Value>(targets: &[f64], sources: &[f64], weights: &[f64], inverse: f64, out: &mut [f64])
        = direct_lanes::<V>
}

macro_rules! terms {
    ($p:ident, $moments:ident, $evaluate:ident, $couple:ident) => {
        dispatch! {
            fn $moments(values: &[f64], weights: &[f64], frame: Frame, out: &mut [f64]) = moments_lanes::<$p>
        }
        dispatch! {
            fn $evaluate(values: &[f64], frame: Frame, coefficients: &[f64], out: &mut [f64]) = evaluate_lanes::<$p>
        }
        dispatch! {
            fn $couple(block: &[f64], moments: &[f64], out: &mut [f64]) = couple_lanes::<$p>
        }
    };
}
terms!(SINGLE, moments_single, evaluate_single, couple_single);
terms!(DOUBLE, moments_double, evaluate_double, couple_double);

/// The loops for one number of terms.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// [`SINGLE`] or [`DOUBLE`].
    pub count: usize,
    /// See `moments_lanes`.
    pub moments: fn(&[f64], &[f64], Frame, &mut [f64]),
    /// See `evaluate_lanes`.
    pub evaluate: fn(&[f64], Frame, &[f64], &mut [f64]),
    /// See `couple_lanes`.
    pub couple: fn(&[f64], &[f64], &mut [f64]),
}

impl Terms {
    /// For results in single precision, or in double.
    #[must_use]
    pub const fn new(single: bool) -> Self {
        if single {
            Self { count: SINGLE, moments: moments_single, evaluate: evaluate_single, couple: couple_single }
        } else {
            Self { count: DOUBLE, moments: moments_double, evaluate: evaluate_double, couple: couple_double }
        }
    }
}

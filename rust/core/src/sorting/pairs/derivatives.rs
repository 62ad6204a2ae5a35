//! First and second derivatives of pair sums.
//!
//! With `z = (x_i - y_j) / tau`, K' the kernel's derivative and g the upstream gradient,
//!
//! ```text
//!   to x_i       g_i / tau  sum_j w_j K'(z)
//!   to y_j      -w_j / tau  sum_i g_i K'(z)
//!   to w_j                  sum_i g_i K(z)
//!   to tau      -1 / tau    sum_i g_i sum_j w_j z K'(z),
//! ```
//!
//! and along tangents (dx, dy, dw, dtau) the argument moves by `dz = (dx_i - dy_j) / tau - z dtau / tau`.

use super::{Batch, List, Over, Pairs};
use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::sorting::lists::Output;
use std::ops::Range;

/// Where gradients go; None where one is not wanted. Each has the shape of its input and comes filled with zeros.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// To `x`.
    pub x: Option<&'a mut [T]>,
    /// To `y`.
    pub y: Option<&'a mut [T]>,
    /// To `weights`.
    pub weights: Option<&'a mut [T]>,
    /// To `temperature`.
    pub temperature: Option<&'a mut [T]>,
}

/// The directions in which the inputs move.
#[derive(Debug, Clone, Copy)]
pub struct Tangents<'a, T> {
    /// Of `x`.
    pub x: &'a [T],
    /// Of `y`.
    pub y: &'a [T],
    /// Of `weights`.
    pub weights: &'a [T],
    /// Of `temperature`.
    pub temperature: &'a [T],
}

/// Gradients of the inner product of tangents and first derivatives; filled with zeros before.
#[derive(Debug)]
pub struct Second<'a, T> {
    /// To `x`.
    pub x: &'a mut [T],
    /// To `y`.
    pub y: &'a mut [T],
    /// To `weights`.
    pub weights: &'a mut [T],
    /// To `temperature`.
    pub temperature: &'a mut [T],
    /// To the upstream gradient.
    pub grad: &'a mut [T],
}

/// An output that may not be wanted, shared by threads.
struct Wanted<T>(Option<Output<T>>);

impl<T> Wanted<T> {
    fn new(slice: Option<&mut [T]>) -> Self {
        Self(slice.map(|slice| Output::new(slice)))
    }

    /// # Safety
    /// As for [`Output::part`].
    #[allow(clippy::mut_from_ref)] // as there
    unsafe fn part(&self, range: Range<usize>) -> Option<&mut [T]> {
        // SAFETY: by contract.
        self.0.as_ref().map(|out| unsafe { out.part(range) })
    }
}

/// The vector-Jacobian product of [`super::sums`] with `grad`, of the shape of `x`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Real>(batch: &Batch<'_, T>, grad: &[T], out: Gradients<'_, T>, job: &Job) -> Result<()> {
    let (x, y) = (Wanted::new(out.x), Wanted::new(out.y));
    let (weights, temperature) = (Wanted::new(out.weights), Wanted::new(out.temperature));
    batch.each(job, |list| {
        // SAFETY: lists do not overlap.
        let part = unsafe {
            Gradients {
                x: x.part(list.x.clone()),
                y: y.part(list.y.clone()),
                weights: weights.part(list.y.clone()),
                temperature: temperature.part(list.index..list.index + 1),
            }
        };
        let Some(pairs) = Pairs::new(batch, &list) else {
            spoil(batch, &list, part);
            return Ok(());
        };
        list_vjp(batch, &pairs, &grad[list.x.clone()], part, job)
    })
}

fn spoil<T: Real>(batch: &Batch<'_, T>, list: &List, out: Gradients<'_, T>) {
    for (x, out) in [(true, out.x), (false, out.y), (false, out.weights)] {
        if let Some(out) = out {
            batch.spoil(list, x, out);
        }
    }
    if let Some(out) = out.temperature {
        out.fill(T::of(f64::NAN));
    }
}

fn list_vjp<T: Real>(batch: &Batch<'_, T>, pairs: &Pairs, grad: &[T], out: Gradients<'_, T>, job: &Job) -> Result<()> {
    let (kernel, w, inverse) = (batch.kernel, &pairs.weights, pairs.temperature.recip());
    let slope = kernel.derived(1, 0);
    let g = pairs.x.take(grad);
    let [over_y, over_x] = match (&out.x, &out.y) {
        (Some(_), Some(_)) => pairs.sums(slope, &g, w, job)?,
        (Some(_), None) => [pairs.sum(slope, Over::Y, w, job)?, Vec::new()],
        (None, Some(_)) => [Vec::new(), pairs.sum(slope, Over::X, &g, job)?],
        (None, None) => Default::default(),
    };
    if let Some(out) = out.x {
        pairs.x.put(out, |i| times(g[i], over_y[i]) * inverse);
    }
    if let Some(out) = out.y {
        pairs.y.put(out, |j| -times(w[j], over_x[j]) * inverse);
    }
    if let Some(out) = out.weights {
        let sums = pairs.sum(kernel, Over::X, &g, job)?;
        pairs.y.put(out, |j| sums[j]);
    }
    if let Some(out) = out.temperature {
        let sums = pairs.sum(kernel.derived(1, 1), Over::Y, w, job)?;
        out[0] = T::of(-dot(&g, &sums) * inverse);
    }
    Ok(())
}

/// A product in which 0 wins over infinity.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| times(a, b)).sum()
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(&a, &b)| times(a, b)).collect()
}

/// The second derivative: gradients of `<tangents, vjp(grad)>`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn second<T: Real>(
    batch: &Batch<'_, T>,
    grad: &[T],
    tangents: Tangents<'_, T>,
    out: Second<'_, T>,
    job: &Job,
) -> Result<()> {
    let Second { x, y, weights, temperature, grad: grad_out } = out;
    let (x, y, g) = (Output::new(x), Output::new(y), Output::new(grad_out));
    let (weights, temperature) = (Output::new(weights), Output::new(temperature));
    batch.each(job, |list| {
        // SAFETY: lists do not overlap.
        let part = unsafe {
            Second {
                x: x.part(list.x.clone()),
                y: y.part(list.y.clone()),
                weights: weights.part(list.y.clone()),
                temperature: temperature.part(list.index..list.index + 1),
                grad: g.part(list.x.clone()),
            }
        };
        let Some(pairs) = Pairs::new(batch, &list) else {
            batch.spoil(&list, true, part.grad);
            let Second { x, y, weights, temperature, .. } = part;
            let all = Gradients { x: Some(x), y: Some(y), weights: Some(weights), temperature: Some(temperature) };
            spoil(batch, &list, all);
            return Ok(());
        };
        let moved = Moved {
            x: pairs.x.take(&tangents.x[list.x.clone()]),
            y: pairs.y.take(&tangents.y[list.y.clone()]),
            weights: pairs.y.take(&tangents.weights[list.y.clone()]),
            // Of the logarithm of the temperature.
            log: tangents.temperature[list.index].wide() / pairs.temperature,
        };
        let grad = pairs.x.take(&grad[list.x.clone()]);
        targets_second(batch, &pairs, &grad, &moved, (part.x, part.grad, part.temperature), job)?;
        sources_second(batch, &pairs, &grad, &moved, (part.y, part.weights), job)
    })
}

/// The tangents of one list.
struct Moved {
    x: Vec<f64>,
    y: Vec<f64>,
    weights: Vec<f64>,
    log: f64,
}

/// What the second derivative gives to `x`, the upstream gradient and the temperature: sums over y.
fn targets_second<T: Real>(
    batch: &Batch<'_, T>,
    pairs: &Pairs,
    g: &[f64],
    moved: &Moved,
    (x, grad, temperature): (&mut [T], &mut [T], &mut [T]),
    job: &Job,
) -> Result<()> {
    let (inverse, log, w) = (pairs.temperature.recip(), moved.log, &pairs.weights);
    let w_dy = product(w, &moved.y);
    let sum =
        |m: usize, power: usize, weights: &[f64]| pairs.sum(batch.kernel.derived(m, power), Over::Y, weights, job);
    let (value, slope, slope_z) = (sum(0, 0, &moved.weights)?, sum(1, 0, w)?, sum(1, 1, w)?);
    let (slope_dy, slope_dw, slope_z_dw) = (sum(1, 0, &w_dy)?, sum(1, 0, &moved.weights)?, sum(1, 1, &moved.weights)?);
    let (bend, bend_z, bend_zz) = (sum(2, 0, w)?, sum(2, 1, w)?, sum(2, 2, w)?);
    let (bend_dy, bend_z_dy) = (sum(2, 0, &w_dy)?, sum(2, 1, &w_dy)?);
    pairs.x.put(grad, |i| value[i] + (times(moved.x[i], slope[i]) - slope_dy[i]) * inverse - times(log, slope_z[i]));
    pairs.x.put(x, |i| {
        let along = (times(moved.x[i], bend[i]) - bend_dy[i]) * inverse - times(log, bend_z[i]);
        times(g[i], slope_dw[i] + along - log * slope[i]) * inverse
    });
    let total: f64 = (0..g.len())
        .map(|i| {
            let along = (times(moved.x[i], slope[i] + bend_z[i]) - (slope_dy[i] + bend_z_dy[i])) * inverse
                - times(log, slope_z[i] + bend_zz[i]);
            times(g[i], times(log, slope_z[i]) - slope_z_dw[i] - along)
        })
        .sum();
    temperature[0] = T::of(total * inverse);
    Ok(())
}

/// What the second derivative gives to `y` and the weights: sums over x.
fn sources_second<T: Real>(
    batch: &Batch<'_, T>,
    pairs: &Pairs,
    g: &[f64],
    moved: &Moved,
    (y, weights): (&mut [T], &mut [T]),
    job: &Job,
) -> Result<()> {
    let (inverse, log, w) = (pairs.temperature.recip(), moved.log, &pairs.weights);
    let g_dx = product(g, &moved.x);
    let sum =
        |m: usize, power: usize, weights: &[f64]| pairs.sum(batch.kernel.derived(m, power), Over::X, weights, job);
    let (slope, slope_z, slope_dx) = (sum(1, 0, g)?, sum(1, 1, g)?, sum(1, 0, &g_dx)?);
    let (bend, bend_z, bend_dx) = (sum(2, 0, g)?, sum(2, 1, g)?, sum(2, 0, &g_dx)?);
    pairs.y.put(weights, |j| (slope_dx[j] - times(moved.y[j], slope[j])) * inverse - times(log, slope_z[j]));
    pairs.y.put(y, |j| {
        let along = (bend_dx[j] - times(moved.y[j], bend[j])) * inverse - times(log, bend_z[j]);
        -(times(moved.weights[j] - log * w[j], slope[j]) + times(w[j], along)) * inverse
    });
    Ok(())
}

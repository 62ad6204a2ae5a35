//! Soft sorts.
//!
//! In a block B of sorted places, with s = rho / strength and u the scores there (negated for the rising direction, and y
//! with them):
//!
//! ```text
//! l2:      y_i = (s_i - mean s) + mean u                  dx_j = mean_B g                     ds_i = g_i - mean_B g
//! kl:      y_i = s_i - LSE s + LSE u                      dx_j = softmax(u)_j SUM_B g         ds_i = g_i - softmax(s)_i SUM_B g
//! p-norm:  y_i = psi(s_i - gamma), SUM y = SUM u          dx_j = SUM_B a g / SUM_B a          ds_i = (q - 1) a_i (g_i - dx)
//! VJP to the strength:  - <ds, rho> / strength^2,  a_i = |s_i - gamma|^(q - 2)
//! ```

use super::{Operation, Options, POISON, Regularization, Solved, Solver, power, sum};
use crate::error::Result;
use crate::job::Job;
use crate::lent::Lent;
use crate::sorting::lists::Output;
use crate::sorting::order::{Key, Packed};

/// What [`forward`] fills, all by place.
#[derive(Debug)]
pub struct Outputs<'a, T> {
    /// The sorted scores.
    pub value: &'a mut [T],
    /// The item at each place, [`shared`] where it shares the block of the place before; -1 where there is none or an infinite one. A list with a NaN
    /// begins with [`POISON`].
    pub order: &'a mut [i32],
    /// kl: softmax(u); p-norm: a / SUM a; empty for l2.
    pub weight: &'a mut [T],
}

/// What stands for an item that shares the block of the place before; its own inverse.
#[inline(always)]
const fn shared(entry: i32) -> i32 {
    -2 - entry
}

/// The position of an item from its entry.
#[inline(always)]
const fn position(entry: i32) -> usize {
    (if entry < -1 { shared(entry) } else { entry }) as usize
}

/// Soft sorts of all lists.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn forward<T: Key>(
    x: &[T],
    strength: &[T],
    options: &Options<'_>,
    outputs: &mut Outputs<'_, T>,
    job: &Job,
) -> Result<()> {
    let (value, order, weight) =
        (Output::new(&mut *outputs.value), Output::new(&mut *outputs.order), Output::new(&mut *outputs.weight));
    let weighs = options.regularization != Regularization::L2;
    let sign = options.sign(Operation::Sort);
    options.lists.each(job, Lent::<Solver>::new, |solver, list, range| {
        let strength = strength[list].wide();
        let weights = if weighs { range.clone() } else { 0..0 };
        // SAFETY: lists do not overlap.
        let (value, order, weight) =
            unsafe { (value.part(range.clone()), order.part(range.clone()), weight.part(weights)) };
        let mut solved = solver.solve(Operation::Sort, x, list, options, strength);
        job.check()?;
        let count = solved.keys.len();
        value[count..].fill(T::of(options.fill));
        if solved.poisoned {
            value[..count].fill(T::of(f64::NAN));
            order.fill(-1);
            order[0] = POISON;
            return Ok(());
        }
        order[..solved.finite.start].fill(-1);
        order[solved.finite.end..].fill(-1);
        if options.straight_through {
            copy(&mut value[..count], solved.u, sign);
        }
        project(&mut solved, strength, options.regularization);
        number(&solved, order);
        if weighs && !solved.alone {
            copy(&mut weight[solved.finite.clone()], solved.a, 1.0);
        }
        if !options.straight_through {
            copy(&mut value[..count], solved.u, sign);
        }
        Ok(())
    })
}

/// Writes which item is at each of the finite places.
fn number<P: Packed>(solved: &Solved<'_, P>, order: &mut [i32]) {
    let places = solved.finite.clone();
    for (order, key) in order[places.clone()].iter_mut().zip(&solved.keys[places]) {
        *order = key.position() as i32;
    }
    if !solved.alone {
        for block in solved.blocks() {
            for order in &mut order[block.start + 1..block.end] {
                *order = shared(*order);
            }
        }
    }
}

fn copy<T: Key>(out: &mut [T], values: &[f64], sign: f64) {
    for (out, &value) in out.iter_mut().zip(values) {
        *out = T::of(sign * value);
    }
}

/// Replaces u by the sorted values, and what [`Solved::a`] holds by the weights of the derivative.
fn project<P>(solved: &mut Solved<'_, P>, strength: f64, regularization: Regularization) {
    let (first, ends) = (solved.finite.start, solved.ends);
    let mut start = 0;
    for &end in ends {
        let core = start..end as usize;
        start = core.end;
        let (u, count) = (&mut solved.u[first + core.start..first + core.end], core.len());
        if count == 1 {
            continue;
        }
        // s_i - s_start
        let fall = |i: usize| -(i as f64) / strength;
        match regularization {
            Regularization::L2 => {
                let (top, half) = (u[0], (count - 1) as f64 * 0.5);
                let mean = sum(u, top) / count as f64 + top;
                u.iter_mut().enumerate().for_each(|(i, u)| *u = (half - i as f64) / strength + mean);
            }
            Regularization::Kl => {
                let (a, b) = (&mut solved.a[core.clone()], &solved.b[core]);
                let (sum_s, sum_u) = (sum(a, 0.0) / a[0], sum(b, 0.0));
                let level = u[0] + (sum_u / b[0] / sum_s).ln();
                u.iter_mut().enumerate().for_each(|(i, u)| *u = fall(i) + level);
                a.iter_mut().zip(b).for_each(|(a, b)| *a = b / sum_u);
            }
            Regularization::Power(degree) => {
                let a = &mut solved.a[core];
                let gamma = power::root(a, u.iter().sum(), degree);
                u.iter_mut().zip(&*a).for_each(|(u, s)| *u = power::psi(s - gamma, degree));
                a.iter_mut().for_each(|a| *a = power::power(*a - gamma, degree - 1.0));
                let total: f64 = a.iter().sum();
                a.iter_mut().for_each(|a| *a /= total);
            }
        }
    }
}

/// What [`vjp`] reads: inputs and residuals of [`forward`], and the gradient of the sorted scores.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a, T> {
    /// One number for each list.
    pub strength: &'a [T],
    /// Residual.
    pub order: &'a [i32],
    /// Residual.
    pub weight: &'a [T],
    /// Gradient of the sorted scores.
    pub grad: &'a [T],
}

/// Gradients to the scores and, for l2 and unless `to_strength` is empty, to the strengths.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Key>(
    known: &Known<'_, T>,
    options: &Options<'_>,
    to_x: &mut [T],
    to_strength: &mut [T],
    job: &Job,
) -> Result<()> {
    let sign = options.sign(Operation::Sort);
    let wants_strength = !to_strength.is_empty();
    let (to_x, to_strength) = (Output::new(to_x), Output::new(to_strength));
    options.lists.each(
        job,
        || (),
        |(), list, range| {
            // SAFETY: lists do not overlap.
            let to_x = unsafe { to_x.part(range.clone()) };
            let (order, grad) = (&known.order[range.clone()], &known.grad[range.clone()]);
            if order.first() == Some(&POISON) {
                let mask = options.mask.map(|mask| &mask[range]);
                let counts = |i: usize| mask.is_none_or(|mask| mask[i]);
                to_x.iter_mut().enumerate().for_each(|(i, x)| *x = T::of(if counts(i) { f64::NAN } else { 0.0 }));
            } else {
                let weight = if known.weight.is_empty() { &[] } else { &known.weight[range] };
                spread(options.regularization, order, grad, weight, to_x);
            }
            if wants_strength {
                let total = along_ranks(order, grad);
                let strength = known.strength[list].wide();
                // SAFETY: as above.
                let to_strength = unsafe { to_strength.part(list..list + 1) };
                to_strength[0] = T::of(if total == 0.0 { 0.0 } else { -sign * total / (strength * strength) });
            }
            Ok(())
        },
    )
}

/// The VJP to the scores.
fn spread<T: Key>(regularization: Regularization, order: &[i32], grad: &[T], weight: &[T], to_x: &mut [T]) {
    if order.iter().copied().fold(0, i32::min) == 0 {
        order.iter().zip(grad).for_each(|(&item, &grad)| to_x[item as usize] = grad);
        return;
    }
    let n = order.len();
    to_x.fill(T::ZERO);
    let mut start = 0;
    while start < n {
        let mut end = start + 1;
        while end < n && order[end] < -1 {
            end += 1;
        }
        let block = start..end;
        start = end;
        if block.len() == 1 {
            if order[block.start] >= 0 {
                to_x[order[block.start] as usize] = grad[block.start];
            }
            continue;
        }
        let (items, grad) = (&order[block.clone()], &grad[block.clone()]);
        let sum = || grad.iter().map(|g| g.wide()).sum::<f64>();
        match regularization {
            Regularization::L2 => {
                let mean = T::of(sum() / grad.len() as f64);
                items.iter().for_each(|&item| to_x[position(item)] = mean);
            }
            Regularization::Kl => {
                let sum = sum();
                items.iter().zip(&weight[block]).for_each(|(&item, p)| to_x[position(item)] = T::of(p.wide() * sum));
            }
            Regularization::Power(_) => {
                let mean = T::of(grad.iter().zip(&weight[block]).map(|(g, a)| g.wide() * a.wide()).sum());
                items.iter().for_each(|&item| to_x[position(item)] = mean);
            }
        }
    }
}

/// SUM ds rho for l2, with rho counted from the middle of each block.
fn along_ranks<T: Key>(order: &[i32], grad: &[T]) -> f64 {
    if order.first() == Some(&POISON) {
        return f64::NAN;
    }
    let (mut total, mut start) = (0.0, 0);
    while start < order.len() {
        let rest = &order[start + 1..];
        let end = start + 1 + rest.iter().position(|&entry| entry >= -1).unwrap_or(rest.len());
        let half = (end - start - 1) as f64 * 0.5;
        total += grad[start..end].iter().enumerate().map(|(i, g)| g.wide() * (half - i as f64)).sum::<f64>();
        start = end;
    }
    total
}

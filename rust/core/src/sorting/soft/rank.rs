//! Soft ranks.
//!
//! In a block B of sorted places, with s = u / strength and w the ranks there:
//!
//! ```text
//! l2:      r_i = (s_i - mean s) + mean w                                         a_i = 1
//! kl:      r_i = softmax(s)_i SUM w                                              a_i = r_i
//! p-norm:  r_i = psi(s_i - gamma), SUM r = SUM w                                 a_i = (q - 1) |s_i - gamma|^(q - 2)
//! VJP:     ds_i = a_i (g_i - SUM_B a g / SUM_B a),   dx = ds sign / strength,    dstrength = - <dx, x> / strength
//! ```
//!
//! The VJP needs no order: it is kept which block each item belongs to, and sums over blocks are gathered in one pass
//! over the items as they lie.

use super::{Operation, Options, POISON, Regularization, Solved, Solver, narrow, power};
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::Output;
use crate::sorting::order::{Key, Packed};
use std::ops::Range;

/// What [`forward`] fills, all by item.
#[derive(Debug)]
pub struct Outputs<'a, T> {
    /// The ranks.
    pub rank: &'a mut [T],
    /// The block that an item shares with others, numbered from 0 in each list; -1 for an item whose rank is constant,
    /// [`POISON`] in a list with a NaN. Comes as zeros.
    pub block: &'a mut [i32],
    /// a of the module's description; empty for l2.
    pub weight: &'a mut [T],
}

/// Soft ranks of all lists.
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
    let (rank, block, weight) =
        (Output::new(&mut *outputs.rank), Output::new(&mut *outputs.block), Output::new(&mut *outputs.weight));
    let weighs = options.regularization != Regularization::L2;
    options.lists.each(job, Solver::default, |solver, list, range| {
        let mask = options.mask.map(|mask| &mask[range.clone()]);
        let strength = strength[list].wide();
        let weights = if weighs { range.clone() } else { 0..0 };
        // SAFETY: lists do not overlap.
        let (rank, block, weight) =
            unsafe { (rank.part(range.clone()), block.part(range.clone()), weight.part(weights)) };
        if options.regularization == Regularization::L2 && !options.straight_through {
            let sign = options.sign(Operation::Rank);
            if narrow::rank(&x[range], mask, sign, strength, options.fill, rank, block) {
                return Ok(());
            }
        }
        let mut solved = solver.solve(Operation::Rank, x, list, options, strength);
        job.check()?;
        if mask.is_some() {
            rank.fill(T::of(options.fill));
        }
        block.fill(-1);
        if solved.poisoned {
            for key in solved.keys {
                let at = key.position() as usize;
                (rank[at], block[at]) = (T::of(f64::NAN), POISON);
            }
            return Ok(());
        }
        let hard = options.straight_through.then(|| solved.u.to_vec());
        project(&mut solved, strength, options.regularization);
        place(&solved, strength, block, weight);
        if let Some(u) = hard {
            solved.u.copy_from_slice(&u);
            hard_ranks(solved.u);
        }
        for (key, &r) in solved.keys.iter().zip(&*solved.u) {
            rank[key.position() as usize] = T::of(r);
        }
        Ok(())
    })
}

/// Replaces u by the ranks, and what [`Solved::a`] holds by the weights of the derivative.
fn project<P>(solved: &mut Solved<'_, P>, strength: f64, regularization: Regularization) {
    let (places, finite, ends) = (solved.keys.len(), solved.finite.clone(), solved.ends);
    let mean = |places_of: &Range<usize>| places as f64 - (places_of.start + places_of.end - 1) as f64 * 0.5;
    for same in [0..finite.start, finite.end..places] {
        if !same.is_empty() {
            let value = mean(&same);
            solved.u[same].fill(value);
        }
    }
    if solved.alone {
        for (place, u) in finite.clone().zip(&mut solved.u[finite]) {
            *u = (places - place) as f64;
        }
        return;
    }
    let inverse = strength.recip().min(f64::MAX);
    let mut start = finite.start;
    for &end in ends {
        let block = start..finite.start + end as usize;
        let core = block.start - finite.start..block.end - finite.start;
        start = block.end;
        let (mean, count) = (mean(&block), block.len() as f64);
        let u = &mut solved.u[block];
        if count == 1.0 || strength == 0.0 {
            u.fill(mean);
            continue;
        }
        match regularization {
            Regularization::L2 => {
                let first = u[0];
                let center = u.iter().map(|u| u - first).sum::<f64>() / count;
                u.iter_mut().for_each(|u| *u = (*u - first - center) * inverse + mean);
            }
            Regularization::Kl => {
                let a = &mut solved.a[core];
                let scale = mean * count / a.iter().sum::<f64>();
                a.iter_mut().for_each(|a| *a *= scale);
                u.copy_from_slice(a);
            }
            Regularization::Power(degree) => {
                let a = &mut solved.a[core];
                let gamma = power::root(a, mean * count, degree);
                for (u, a) in u.iter_mut().zip(a) {
                    let t = *a - gamma;
                    (*u, *a) = (power::psi(t, degree), degree * power::power(t, degree - 1.0));
                }
            }
        }
    }
}

/// Notes for each item of a block of several the number of the block and its weight.
fn place<T: Key, P: Packed>(solved: &Solved<'_, P>, strength: f64, block: &mut [i32], weight: &mut [T]) {
    if strength == 0.0 || solved.alone {
        return;
    }
    for (number, range) in solved.blocks().filter(|range| range.len() > 1).enumerate() {
        for place in range {
            let at = solved.keys[place].position() as usize;
            block[at] = number as i32;
            if !weight.is_empty() {
                weight[at] = T::of(solved.a[place - solved.finite.start]);
            }
        }
    }
}

/// Replaces falling u by the mean ranks of equal values.
fn hard_ranks(u: &mut [f64]) {
    let (places, mut start) = (u.len(), 0);
    for end in 1..=places {
        if end == places || u[end] != u[start] {
            let mean = places as f64 - (start + end - 1) as f64 * 0.5;
            u[start..end].fill(mean);
            start = end;
        }
    }
}

/// What [`vjp`] reads: the inputs and residuals of [`forward`], and the gradient of the ranks.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a, T> {
    /// Scores.
    pub x: &'a [T],
    /// One number for each list.
    pub strength: &'a [T],
    /// Residual.
    pub block: &'a [i32],
    /// Residual.
    pub weight: &'a [T],
    /// Gradient of the ranks.
    pub grad: &'a [T],
}

/// Gradients to the scores and, unless `to_strength` is empty, to the strengths.
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
    let sign = options.sign(Operation::Rank);
    let wants_strength = !to_strength.is_empty();
    let (to_x, to_strength) = (Output::new(to_x), Output::new(to_strength));
    options.lists.each(job, Vec::new, |sums: &mut Vec<(f64, f64)>, list, range| {
        // SAFETY: lists do not overlap.
        let to_x = unsafe { to_x.part(range.clone()) };
        let (block, grad) = (&known.block[range.clone()], &known.grad[range.clone()]);
        let strength = known.strength[list].wide();
        let scale = sign / strength;
        if known.weight.is_empty() && block.iter().all(|&block| block == 0) {
            narrow::center(grad, scale, to_x);
        } else if known.weight.is_empty() {
            center(block, grad, |_| 1.0, scale, sums, to_x);
        } else {
            let weight = &known.weight[range.clone()];
            center(block, grad, |i| weight[i].wide(), scale, sums, to_x);
        }
        if wants_strength {
            let along =
                |(i, d): (usize, &T)| if block[i] == -1 { 0.0 } else { d.wide() * known.x[range.start + i].wide() };
            let total: f64 = to_x.iter().enumerate().map(along).sum();
            // SAFETY: as above.
            let to_strength = unsafe { to_strength.part(list..list + 1) };
            to_strength[0] = T::of(if total == 0.0 { 0.0 } else { -total / strength });
        }
        Ok(())
    })
}

/// The gradient less its mean over each block, both weighed: the VJP of the module's description, times `scale`.
#[inline(always)]
fn center<T: Key>(
    block: &[i32],
    grad: &[T],
    weight: impl Fn(usize) -> f64,
    scale: f64,
    sums: &mut Vec<(f64, f64)>,
    out: &mut [T],
) {
    sums.clear();
    for (i, (&block, g)) in block.iter().zip(grad).enumerate() {
        if block >= 0 {
            if block as usize >= sums.len() {
                sums.resize(block as usize + 1, (0.0, 0.0));
            }
            let (total, weights) = &mut sums[block as usize];
            *total += weight(i) * g.wide();
            *weights += weight(i);
        }
    }
    sums.iter_mut().for_each(|(total, weights)| *total /= *weights);
    for (i, ((&block, g), out)) in block.iter().zip(grad).zip(out).enumerate() {
        *out = T::of(match block {
            -1 => 0.0,
            POISON => f64::NAN,
            _ => scale * weight(i) * (g.wide() - sums[block as usize].0),
        });
    }
}

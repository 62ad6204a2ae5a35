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

use super::{Operation, Options, POISON, Regularization, Solved, Solver, narrow, power, sum};
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
    /// a of the module's description for items that share a block, anything for others; empty for l2.
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
            block.fill(-1);
        }
        if solved.poisoned {
            for key in solved.keys {
                let at = key.position() as usize;
                (rank[at], block[at]) = (T::of(f64::NAN), POISON);
            }
            return Ok(());
        }
        let hard = options.straight_through.then(|| solved.u.to_vec());
        project(&mut solved, strength, options.regularization);
        let same = options.regularization == Regularization::Kl && hard.is_none();
        if weighs && !same && strength > 0.0 {
            weigh(&solved, weight);
        }
        if let Some(u) = hard {
            solved.u.copy_from_slice(&u);
            hard_ranks(solved.u);
        }
        place(&solved, strength, rank, block);
        if same {
            weight.copy_from_slice(rank);
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
                let center = sum(u, first) / count;
                u.iter_mut().for_each(|u| *u = (*u - first - center) * inverse + mean);
            }
            Regularization::Kl => {
                let a = &mut solved.a[core];
                let scale = mean * count / sum(a, 0.0);
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

/// Gives each item its rank and the number of the block of several that it belongs to.
fn place<T: Key, P: Packed>(solved: &Solved<'_, P>, strength: f64, rank: &mut [T], block: &mut [i32]) {
    let mut put = |places: Range<usize>, number: i32| {
        for (key, &r) in solved.keys[places.clone()].iter().zip(&solved.u[places]) {
            let at = key.position() as usize;
            (rank[at], block[at]) = (T::of(r), number);
        }
    };
    let finite = solved.finite.clone();
    put(0..finite.start, -1);
    put(finite.end..solved.keys.len(), -1);
    if strength == 0.0 || solved.alone {
        put(finite, -1);
        return;
    }
    let (mut start, mut number) = (finite.start, 0);
    for &end in solved.ends {
        let end = finite.start + end as usize;
        let several = end - start > 1;
        put(start..end, if several { number } else { -1 });
        number += i32::from(several);
        start = end;
    }
}

/// Gives each item its weight.
fn weigh<T: Key, P: Packed>(solved: &Solved<'_, P>, weight: &mut [T]) {
    for (key, &a) in solved.keys[solved.finite.clone()].iter().zip(&*solved.a) {
        weight[key.position() as usize] = T::of(a);
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
    // The first slots are those of items without a block; each block has two, for items at even and at odd positions.
    let slot = |block: i32| (block.max(-1) + 1) as usize * 2;
    sums.clear();
    sums.resize(slot(block.iter().fold(-1, |most, &block| block.max(most))) + 2, (0.0, 0.0));
    for (i, (&block, g)) in block.iter().zip(grad).enumerate() {
        let (total, weights) = &mut sums[slot(block) + i % 2];
        *total += weight(i) * g.wide();
        *weights += weight(i);
    }
    for pair in sums.chunks_exact_mut(2) {
        pair[0].0 = (pair[0].0 + pair[1].0) / (pair[0].1 + pair[1].1);
    }
    let mut poisoned = false;
    for (i, ((&block, g), out)) in block.iter().zip(grad).zip(&mut *out).enumerate() {
        poisoned |= block == POISON;
        let derived = scale * weight(i) * (g.wide() - sums[slot(block)].0);
        // All bits or none: blocks alternate too quickly for the processor to foretell a branch.
        let keep = !(i64::from(block) >> 32) as u64;
        *out = T::of(f64::from_bits(derived.to_bits() & keep));
    }
    if poisoned {
        out.iter_mut().zip(block).filter(|&(_, &block)| block == POISON).for_each(|(out, _)| *out = T::of(f64::NAN));
    }
}

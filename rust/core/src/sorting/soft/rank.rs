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

use super::lines::Line;
use super::{
    DEEPEST, Operation, Options, POISON, Regularization, Solved, Solver, exponentials, narrow, pav, power, sum,
};
use crate::error::Result;
use crate::job::Job;
use crate::lent::Lent;
use crate::simd::dispatch;
use crate::sorting::lists::Output;
use crate::sorting::order::{Key, Packed};
use std::hint::select_unpredictable as select;
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
    options.lists.each(job, Lent::<Solver>::new, |solver, list, range| {
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
        project(&mut solved, strength, options.regularization);
        let same = options.regularization == Regularization::Kl && !options.straight_through;
        if weighs && !same && strength > 0.0 {
            weigh(&solved, options.regularization, weight);
        }
        if options.straight_through {
            hard_ranks(solved.keys, solved.u);
        }
        let Solved { keys, u, lines, spare, .. } = solved;
        lines.place(keys, u, (mask.is_none()).then_some(spare), rank, block);
        if same {
            weight.copy_from_slice(rank);
        }
        Ok(())
    })
}

/// Blocks of kl ranks; replaces u by the exponentials of s, up to a factor that is constant in each block.
pub(super) fn exponential(u: &mut [f64], places: usize, strength: f64, stack: &mut pav::Stack, ends: &mut Vec<u32>) {
    if (u[u.len() - 1] - u[0]) / strength > DEEPEST {
        exponentials(u, u[0], strength);
        stack.ratio_to_ranks(u, places, ends);
        return;
    }
    let fall = |i: usize, j: usize| (u[i] - u[j]) / strength;
    stack.log_ratio(u.len(), ends, fall, |i, j| ((places - i) as f64 / (places - j) as f64).ln());
    let mut start = 0;
    for &end in ends.iter() {
        let end = end as usize;
        let origin = u[start];
        exponentials(&mut u[start..end], origin, strength);
        start = end;
    }
}

/// Replaces u by the ranks; for the p-norm also what [`Solved::a`] holds by the weights of the derivative.
fn project<P>(solved: &mut Solved<'_, P>, strength: f64, regularization: Regularization) {
    let (places, finite) = (solved.keys.len(), solved.finite.clone());
    solved.lines.clear(places);
    level_infinite(solved, 0..finite.start);
    if solved.alone {
        for (place, u) in finite.clone().zip(&mut solved.u[finite.clone()]) {
            *u = (places - place) as f64;
        }
        solved.lines.push(finite.end, Line::IDENTITY, -1);
    } else {
        draw(solved, strength, regularization);
    }
    level_infinite(solved, finite.end..places);
    solved.lines.align(solved.u);
}

/// The mean of the ranks at some of `all` places.
#[inline(always)]
fn mean_rank(places: &Range<usize>, all: usize) -> f64 {
    all as f64 - (places.start + places.end - 1) as f64 * 0.5
}

/// Infinite scores of one sign share the mean of their ranks.
fn level_infinite<P>(solved: &mut Solved<'_, P>, places: Range<usize>) {
    if !places.is_empty() {
        solved.lines.push(places.end, Line::constant(mean_rank(&places, solved.keys.len())), -1);
        solved.u[places].fill(0.0);
    }
}

/// Finds the lines of all blocks.
fn draw<P>(solved: &mut Solved<'_, P>, strength: f64, regularization: Regularization) {
    let inverse = strength.recip().min(f64::MAX);
    match regularization {
        _ if strength == 0.0 => each_block(solved, false, |u, _, total, _| Line::constant(total / u.len() as f64)),
        Regularization::L2 => each_block(solved, true, |u, _, total, _| {
            let (origin, count) = (u[0], u.len() as f64);
            Line { origin, center: sum(u, origin) / count, scale: inverse, level: total / count }
        }),
        // Selected, not branched: blocks of one item come as they like. Theirs is the rank itself, not rounded.
        Regularization::Kl => each_block(solved, true, |u, _, total, sum| {
            let single = u.len() == 1;
            let (scale, level) = (select(single, 0.0, total / sum), select(single, total, 0.0));
            Line { scale, level, ..Line::IDENTITY }
        }),
        Regularization::Power(degree) => each_block(solved, true, |u, a, total, _| {
            if u.len() == 1 {
                return Line::constant(total);
            }
            let gamma = power::root(a, total, degree);
            for (u, a) in u.iter_mut().zip(a) {
                let t = *a - gamma;
                (*u, *a) = (power::psi(t, degree), degree * power::power(t, degree - 1.0));
            }
            Line::IDENTITY
        }),
    }
}

/// Adds the `line(u, a, SUM w, sum of the stack)` of each block.
#[inline(always)]
fn each_block<P>(solved: &mut Solved<'_, P>, soft: bool, line: impl Fn(&mut [f64], &mut [f64], f64, f64) -> Line) {
    let (places, first) = (solved.keys.len(), solved.finite.start);
    let Solved { u, a, ends, stack, lines, .. } = solved;
    let (mut start, mut number) = (first, 0);
    for (at, &end) in ends.iter().enumerate() {
        let block = start..first + end as usize;
        let several = soft && block.len() > 1;
        let a = a.get_mut(start - first..end as usize).unwrap_or_default();
        let total = mean_rank(&block, places) * block.len() as f64;
        lines.push(block.end, line(&mut u[block.clone()], a, total, stack.sum(at)), select(several, number, -1));
        number += i32::from(several);
        start = block.end;
    }
}

/// Gives each item its weight.
fn weigh<T: Key, P: Packed>(solved: &Solved<'_, P>, regularization: Regularization, weight: &mut [T]) {
    let finite = solved.finite.clone();
    let a = if regularization == Regularization::Kl { &solved.u[finite.clone()] } else { &*solved.a };
    for (key, &a) in solved.keys[finite].iter().zip(a) {
        weight[key.position() as usize] = T::of(a);
    }
}

/// The mean ranks of equal values.
fn hard_ranks<P: Packed>(keys: &[P], ranks: &mut [f64]) {
    let (places, mut start) = (keys.len(), 0);
    for end in 1..=places {
        if end == places || keys[end].key() != keys[start].key() {
            let mean = places as f64 - (start + end - 1) as f64 * 0.5;
            ranks[start..end].fill(mean);
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
    options.lists.each(job, Lent::<Solver>::new, |solver, list, range| {
        let sums = &mut solver.sums;
        // SAFETY: lists do not overlap.
        let to_x = unsafe { to_x.part(range.clone()) };
        let (block, grad) = (&known.block[range.clone()], &known.grad[range.clone()]);
        let strength = known.strength[list].wide();
        let scale = sign / strength;
        if known.weight.is_empty() && block.iter().all(|&block| block == 0) {
            narrow::center(grad, scale, to_x);
        } else if known.weight.is_empty() {
            center(block, grad, &[], scale, sums, to_x);
        } else {
            center(block, grad, &known.weight[range.clone()], scale, sums, to_x);
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

dispatch! {
    /// The gradient less its mean over each block, both weighed (by 1 without weights): the VJP of the module's
    /// description, times `scale`.
    fn center<T: Key>(
        block: &[i32], grad: &[T], weight: &[T], scale: f64, sums: &mut Vec<[f64; 2]>, out: &mut [T],
    ) = center_lanes
}

/// Items that are computed together.
const LANES: usize = 16;

#[inline(always)]
fn center_lanes<T: Key>(block: &[i32], grad: &[T], weight: &[T], scale: f64, sums: &mut Vec<[f64; 2]>, out: &mut [T]) {
    // The first slot is that of items without a block. Few blocks have two slots each, for items at even and at odd
    // positions: a sum that was written just now is slow to read.
    let (low, high) = block.iter().fold((0, -1), |(low, high), &block| (block.min(low), block.max(high)));
    let blocks = (high + 2) as usize;
    let odd = if blocks < FEW { blocks } else { 0 };
    sums.clear();
    sums.resize(blocks + odd, [0.0; 2]);
    let starts = (0..block.len()).step_by(LANES);
    for start in starts.clone() {
        let (block, grad) = (&block[start..block.len().min(start + LANES)], &grad[start..]);
        let weights = weights(weight, start);
        let mut products = [0.0; LANES];
        products.iter_mut().zip(grad).zip(&weights).for_each(|((product, g), w)| *product = g.wide() * w);
        for (lane, &block) in block.iter().enumerate() {
            let sum = &mut sums[(block.max(-1) + 1) as usize + odd * (lane % 2)];
            *sum = [sum[0] + products[lane], sum[1] + weights[lane]];
        }
    }
    let (sums, more) = sums.split_at_mut(blocks);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = [sum[0] + more[0], sum[1] + more[1]];
    }
    sums.iter_mut().for_each(|sum| sum[0] /= sum[1]);
    for start in starts {
        let (block, grad) = (&block[start..block.len().min(start + LANES)], &grad[start..]);
        let weights = weights(weight, start);
        let mut means = [0.0; LANES];
        for (mean, &block) in means.iter_mut().zip(block) {
            *mean = sums[(block.max(-1) + 1) as usize][0];
        }
        let lanes = out[start..].iter_mut().zip(grad).zip(block).zip(means.iter().zip(&weights));
        for (((out, g), &block), (mean, weight)) in lanes {
            let derived = T::of(scale * weight * (g.wide() - mean));
            *out = if block < 0 { T::ZERO } else { derived };
        }
    }
    if low == POISON {
        out.iter_mut().zip(block).filter(|&(_, &block)| block == POISON).for_each(|(out, _)| *out = T::of(f64::NAN));
    }
}

/// The weights of the items from `start` on.
#[inline(always)]
fn weights<T: Key>(weight: &[T], start: usize) -> [f64; LANES] {
    let mut weights = [1.0; LANES];
    weights.iter_mut().zip(weight.get(start..).unwrap_or_default()).for_each(|(wide, w)| *wide = w.wide());
    weights
}

/// Sums of more blocks than these are seldom needed twice in a row.
const FEW: usize = 256;

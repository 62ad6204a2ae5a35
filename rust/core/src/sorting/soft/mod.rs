//! Soft ranks and soft sorts: projections onto the permutahedron, the convex hull of the permutations of w.
//!
//! With u the scores (negated for one of the two directions) sorted to fall and rho = (m, m - 1, ..., 1) for the m items
//! that count, a soft rank is the projection of u / strength onto the permutahedron of rho, a soft sort that of
//! rho / strength onto the permutahedron of u. In sorted coordinates a projection of s is constant in the difference to s
//! on each of the [blocks](pav) of an isotonic regression; a block of one item is exactly w there.
//!
//! Infinite scores keep their places (or the mean of their places as ranks) and form no block with others.

mod lines;
mod narrow;
pub mod pav;
pub mod power;
pub mod rank;
pub mod second;
pub mod sort;

use crate::elementary::exp_f64;
use crate::error::Result;
use crate::fresh::room;
use crate::job::Job;
use crate::lent::{Keep, Lent, Store};
use crate::simd::dispatch;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{self, Key, List, Packed, sorted_list};
use std::cell::RefCell;
use std::ops::Range;
use std::thread::LocalKey;

/// What one item costs, about, in nanoseconds.
pub const COST: usize = 12;
/// Residual of an item whose list has a NaN.
pub const POISON: i32 = i32::MIN;

/// What is projected onto the permutahedron of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Scores onto that of the ranks.
    Rank,
    /// Ranks onto that of the scores.
    Sort,
}

/// The distance that the projection minimises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Regularization {
    /// Squared Euclidean.
    L2,
    /// Kullback-Leibler, between exponentials.
    Kl,
    /// A p-norm, given by q - 1 for q = p / (p - 1).
    Power(f64),
}

/// What forward and backward share.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The lists.
    pub lists: Lists<'a>,
    /// Which items count.
    pub mask: Option<&'a [bool]>,
    /// Rank or place 1 for the largest score.
    pub descending: bool,
    /// The distance.
    pub regularization: Regularization,
    /// Values are those of strength 0, derivatives stay soft.
    pub straight_through: bool,
    /// Value where an item does not count.
    pub fill: f64,
}

impl Options<'_> {
    /// The factor between scores and the falling u.
    #[must_use]
    pub fn sign(&self, operation: Operation) -> f64 {
        if (operation == Operation::Rank) == self.descending { -1.0 } else { 1.0 }
    }
}

/// Working memory for one list after the other, and the solution of the last.
#[derive(Debug, Default)]
pub struct Solver {
    order: order::Scratch,
    stack: pav::Stack,
    open: Vec<(usize, usize)>,
    ends: Vec<u32>,
    u: Vec<f64>,
    /// Exponentials of s and of w, up to a factor that is constant in each block (kl sorts); s and w (p-norm).
    a: Vec<f64>,
    b: Vec<f64>,
    lines: lines::Lines,
    /// Weighed sums and sums of weights of the blocks of ranks (backward).
    sums: Vec<[f64; 2]>,
}

/// The solution of one list.
#[derive(Debug)]
pub struct Solved<'s, P> {
    /// Positions of the items that count, in the order of falling u.
    pub keys: &'s [P],
    /// Working memory for as many packed numbers.
    pub spare: &'s mut Vec<P>,
    /// u in that order, to be overwritten by the result; for kl ranks exponentials of s as in [`Solver`].
    pub u: &'s mut [f64],
    /// The places of finite scores.
    pub finite: Range<usize>,
    /// Where each block ends, from the first finite place on.
    pub ends: &'s [u32],
    /// See [`Solver`]; both from the first finite place on.
    pub a: &'s mut [f64],
    /// As `a`.
    pub b: &'s mut [f64],
    /// The sums of the blocks (kl ranks).
    stack: &'s pav::Stack,
    /// Working memory of ranks.
    lines: &'s mut lines::Lines,
    /// Whether each item is a block of its own; `ends`, `a` and `b` are then empty or stale.
    pub alone: bool,
    /// Whether there is a NaN.
    pub poisoned: bool,
}

impl<P> Solved<'_, P> {
    /// The blocks as ranges of places.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let first = self.finite.start;
        let mut start = first;
        let singles = if self.alone { self.finite.clone() } else { 0..0 };
        let blocks = self.ends.iter().map(move |&end| {
            let end = first + end as usize;
            std::mem::replace(&mut start, end)..end
        });
        singles.map(|place| place..place + 1).chain(blocks)
    }
}

thread_local! {
    static SOLVERS: RefCell<Store<Solver>> = const { RefCell::new(Store::new()) };
}

impl Keep for Solver {
    const MOST: usize = 64 << 20;
    fn store() -> &'static LocalKey<RefCell<Store<Self>>> {
        &SOLVERS
    }
    fn bytes(&self) -> usize {
        let Self { order, stack, open, ends, u, a, b, lines, sums } = self;
        let numbers = u.capacity() + a.capacity() + b.capacity() + 2 * sums.capacity() + 2 * open.capacity();
        order.bytes() + stack.bytes() + lines.bytes() + numbers * 8 + ends.capacity() * 4
    }
    fn forget(&mut self) {
        self.order.forget();
    }
}

impl Solver {
    /// Sorts one list of `x` and finds its blocks. `strength` is finite and not negative. A solver serves lists of one `x`
    /// in rising order.
    pub fn solve<T: Key>(
        &mut self,
        operation: Operation,
        x: &[T],
        list: usize,
        options: &Options<'_>,
        strength: f64,
    ) -> Solved<'_, T::Packed> {
        let sign = options.sign(operation);
        let Self { order, stack, open, ends, u, a, b, lines, sums: _ } = self;
        let falling = sign > 0.0;
        let list = List { x, mask: options.mask, lists: options.lists, list, descending: falling };
        let (keys, spare) = sorted_list(&list, order);
        room(u, keys.len(), 0.0);
        decode::<T>(keys, falling, sign, u);
        let poisoned = u.last().is_some_and(|u| u.is_nan());
        let first = u.partition_point(|&u| u == f64::INFINITY);
        let finite = first..if poisoned { first } else { u.partition_point(|&u| u > f64::NEG_INFINITY).max(first) };
        let core = &mut u[finite.clone()];
        let places = keys.len() - first;
        let hard = strength == 0.0 || finite.is_empty();
        let alone = alone(operation, options.regularization, core, strength);
        match (operation, options.regularization) {
            _ if alone => ends.clear(),
            (Operation::Rank, Regularization::L2) => stack.linear(core, 1.0, strength, ends),
            (Operation::Rank, _) if hard => stack.linear(core, 1.0, 0.0, ends),
            (Operation::Sort, Regularization::L2) => stack.linear(core, -strength, -1.0, ends),
            (Operation::Rank, Regularization::Kl) => rank::exponential(core, places, strength, stack, ends),
            (Operation::Sort, Regularization::Kl) => exponential(core, strength, (a, b), stack, ends),
            (_, Regularization::Power(degree)) => {
                scaled(operation, core, places, strength, a, b);
                power::blocks(a, b, degree, open, ends);
            }
        }
        Solved { keys, spare, u, finite, ends, a, b, stack, lines, alone, poisoned }
    }
}

/// Whether no two neighbours pool, as far as gaps tell that without powers and exponentials.
fn alone(operation: Operation, regularization: Regularization, u: &[f64], strength: f64) -> bool {
    match (operation, regularization) {
        (Operation::Sort, Regularization::Power(_)) => strength == 0.0,
        (Operation::Sort, _) => all_gaps(u, true, strength),
        (Operation::Rank, Regularization::L2) => all_gaps(u, false, strength),
        (Operation::Rank, _) => false,
    }
}

dispatch! {
    /// Whether the falls from each number to the next times `strength` are all below 1; if not `small`, all above `strength`.
    fn all_gaps(u: &[f64], small: bool, strength: f64) -> bool = all_gaps_each
}

#[inline(always)]
fn all_gaps_each(u: &[f64], small: bool, strength: f64) -> bool {
    let (above, below) = (&u[..u.len().saturating_sub(1)], u.get(1..).unwrap_or_default());
    above.chunks(64).zip(below.chunks(64)).all(|(above, below)| {
        let gaps = above.iter().zip(below).map(|(a, b)| a - b);
        if small {
            gaps.filter(|gap| gap * strength < 1.0).count() == below.len()
        } else {
            gaps.filter(|&gap| gap > strength).count() == below.len()
        }
    })
}

dispatch! {
    /// The scores of sorted keys, times `sign`.
    fn decode<T: Key>(keys: &[T::Packed], falling: bool, sign: f64, u: &mut [f64]) = decode_each::<T>
}

#[inline(always)]
fn decode_each<T: Key>(keys: &[T::Packed], falling: bool, sign: f64, u: &mut [f64]) {
    for (u, key) in u.iter_mut().zip(keys) {
        *u = sign * T::undirected(key.key(), falling);
    }
}

/// The sum of the numbers less `origin`, in partial sums of a fixed order.
fn sum(x: &[f64], origin: f64) -> f64 {
    let chunks = x.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|x| x - origin).sum();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x - origin;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// s less its first number, and w.
fn scaled(operation: Operation, u: &[f64], places: usize, strength: f64, s: &mut Vec<f64>, w: &mut Vec<f64>) {
    s.clear();
    w.clear();
    match operation {
        Operation::Rank => {
            s.extend(u.iter().map(|x| (x - u[0]) / strength));
            w.extend((0..u.len()).map(|i| (places - i) as f64));
        }
        Operation::Sort => {
            s.extend((0..u.len()).map(|i| -(i as f64) / strength));
            w.extend(u);
        }
    }
}

/// Exponentials of smaller numbers than this are not multiplied with one another.
const DEEPEST: f64 = -600.0;

/// Blocks of kl sorts, with the exponentials of s and w.
fn exponential(
    u: &[f64],
    strength: f64,
    (a, b): (&mut Vec<f64>, &mut Vec<f64>),
    stack: &mut pav::Stack,
    ends: &mut Vec<u32>,
) {
    scaled(Operation::Sort, u, u.len(), strength, a, b);
    let last = u.len() - 1;
    if a[last] + (u[last] - u[0]) > DEEPEST {
        exponentials(a, 0.0, 1.0);
        exponentials(b, u[0], 1.0);
        stack.ratio(a, b, ends);
        return;
    }
    stack.log_ratio(u.len(), ends, |i, j| (j - i) as f64 / strength, |i, j| u[i] - u[j]);
    let mut start = 0;
    for &end in ends.iter() {
        let end = end as usize;
        let origin = a[start];
        exponentials(&mut a[start..end], origin, 1.0);
        exponentials(&mut b[start..end], u[start], 1.0);
        start = end;
    }
}

dispatch! {
    /// Replaces each number by the exponential of its distance to `origin` over `strength`.
    fn exponentials(x: &mut [f64], origin: f64, strength: f64) = exponentials_each
}

#[inline(always)]
fn exponentials_each(x: &mut [f64], origin: f64, strength: f64) {
    x.iter_mut().for_each(|x| *x = exp_f64((*x - origin) / strength));
}

/// The number of blocks of each list: of items with finite scores that share a block, or have one alone.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn count_blocks<T: Key>(
    operation: Operation,
    x: &[T],
    strength: &[T],
    options: &Options<'_>,
    counts: &mut [i64],
    job: &Job,
) -> Result<()> {
    let counts = Output::new(counts);
    options.lists.each(job, Lent::<Solver>::new, |solver, list, _| {
        let solved = solver.solve(operation, x, list, options, strength[list].wide());
        // SAFETY: each list has its own element.
        let count = unsafe { counts.part(list..list + 1) };
        count[0] = if solved.alone { solved.finite.len() } else { solved.ends.len() } as i64;
        Ok(())
    })
}

/// For each list the strength at which evenly spaced scores begin to pool: the standard deviation of the finite scores
/// that count over that of the ranks 1 to m (for sorts the inverse), both on the regularization's own scale. 0 where all
/// scores are equal.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn auto_strength<T: Key>(
    operation: Operation,
    x: &[T],
    options: &Options<'_>,
    strength: &mut [T],
    job: &Job,
) -> Result<()> {
    let strength = Output::new(strength);
    options.lists.each(
        job,
        || (),
        |(), list, range| {
            let counts = |i: &usize| options.mask.is_none_or(|mask| mask[*i]) && x[*i].is_finite();
            let scores = || range.clone().filter(counts).map(|i| x[i].wide());
            let places = scores().count();
            let ranks = || (1..=places).map(|rank| rank as f64);
            let spreads = match (operation, options.regularization) {
                (Operation::Rank, Regularization::Kl) => (spread(scores), spread(|| ranks().map(f64::ln))),
                (Operation::Rank, Regularization::Power(degree)) => {
                    (spread(scores), spread(|| ranks().map(|rank| power::psi(rank, degree.recip()))))
                }
                (Operation::Sort, Regularization::Power(degree)) => {
                    (spread(ranks), spread(|| scores().map(|x| power::psi(x, degree.recip()))))
                }
                (Operation::Rank, Regularization::L2) => (spread(scores), spread(ranks)),
                (Operation::Sort, _) => (spread(ranks), spread(scores)),
            };
            let ratio = if spreads.1 > 0.0 { spreads.0 / spreads.1 } else { 0.0 };
            // SAFETY: each list has its own element.
            let strength = unsafe { strength.part(list..list + 1) };
            strength[0] = T::of(ratio);
            Ok(())
        },
    )
}

/// The standard deviation, in units that no square overflows in.
fn spread<I: Iterator<Item = f64>>(numbers: impl Fn() -> I) -> f64 {
    let (mut low, mut high, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    numbers().for_each(|x| (low, high, count) = (low.min(x), high.max(x), count + 1.0));
    let range = high - low;
    if count < 2.0 || range <= 0.0 {
        return 0.0;
    }
    let scaled = || numbers().map(|x| (x - low) / range);
    let mean = scaled().sum::<f64>() / count;
    (scaled().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt() * range
}

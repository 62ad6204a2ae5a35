//! Soft permutations by entropic optimal transport between scores and equally spaced ranks.
//!
//! [`Shape::Full`] has a rank for each item (Sinkhorn sort), [`Shape::Top`] k ranks and one more that takes the rest (sorted
//! SOFT top-k). A wide gap between neighboring scores lets no mass through where as many items as ranks lie below it: it cuts
//! a list into [blocks](plan::Plan) that are solved alone; an item without neighbors is its rank's, exactly.

mod derive;
mod gradients;
mod kernels;
mod plan;
mod solve;

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{self, Key};
use derive::{Columns, Derivation, Gradients};
use plan::{Plan, Side};
use solve::Solver;
use std::ops::Range;

pub use gradients::{Moved, second, vjp};

/// What one item costs, about, in nanoseconds.
pub const COST: usize = 3000;
/// A gap of this size in reduced scores lets exp(-42) of an item through: less than rounding.
const BREAK: f64 = 84.0;

/// How many ranks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As many as items; their coordinates are 0, 1/(n-1), ..., 1.
    Full,
    /// k at 0, 1, ... and the rest at k.
    Top(usize),
}

/// What the operator and its derivatives have in common.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a, T> {
    /// The scores.
    pub x: &'a [T],
    /// Where the lists lie in `x`.
    pub lists: Lists<'a>,
    /// Which items count.
    pub mask: Option<&'a [bool]>,
    /// The strength of the entropy, for each list.
    pub temperature: &'a [T],
    /// The ranks.
    pub shape: Shape,
    /// Whether rank 1 belongs to the largest score.
    pub descending: bool,
    /// Whether columns over the ranks go to columns over the items.
    pub transposed: bool,
    /// Columns of the factor.
    pub columns: usize,
}

/// The solution: locally it does not depend on the columns.
#[derive(Debug, Clone, Copy)]
pub struct Solution<'a> {
    /// Positions of the items by rank.
    pub order: &'a [i32],
    /// Potentials of the items in that order, as bits.
    pub items: &'a [i64],
    /// Potentials of the ranks, as bits.
    pub ranks: &'a [i64],
}

/// A run of items that exchange mass with some ranks, the last of which may take many.
#[derive(Debug, Clone)]
struct Block {
    items: Range<usize>,
    ranks: usize,
    /// Ranks that are rows of the operator: without the one that takes the rest.
    rows: usize,
}

/// One list in the order of its ranks.
struct List {
    /// Reduced scores, from 0 in each block.
    s: Vec<f64>,
    blocks: Vec<Block>,
    /// d(reduced score)/d(score).
    rate: f64,
    temperature: f64,
}

impl<T: Key> Problem<'_, T> {
    /// The number of elements on the ranks' side.
    #[must_use]
    pub const fn rank_rows(&self) -> usize {
        match self.shape {
            Shape::Full => self.lists.items(),
            Shape::Top(k) => self.lists.count() * k,
        }
    }

    /// Where a list's ranks lie.
    const fn rows(&self, list: usize, range: &Range<usize>) -> Range<usize> {
        match self.shape {
            Shape::Full => range.start..range.end,
            Shape::Top(k) => list * k..(list + 1) * k,
        }
    }

    /// The list whose items lie at `order`, or nothing where a score is NaN.
    fn list(&self, list: usize, range: &Range<usize>, order: &[i32]) -> Option<List> {
        let x = |place: usize| self.x[range.start + order[place] as usize].wide();
        let count = order.len();
        if count == 0 || x(count - 1).is_nan() {
            return None;
        }
        let (spacing, top) = match self.shape {
            Shape::Full => (1.0 / (count.max(2) - 1) as f64, count),
            Shape::Top(k) => (1.0, k),
        };
        let temperature = self.temperature[list].wide();
        let rate = if self.descending { -2.0 } else { 2.0 } * spacing / temperature;
        let mut found = List { s: Vec::with_capacity(count), blocks: Vec::new(), rate, temperature };
        let (mut level, mut first) = (0.0, 0);
        for place in 0..count {
            found.s.push(level);
            let end = place + 1;
            // Equal scores, infinite ones as well, have no gap.
            let gap = if end == count || x(end) == x(place) { 0.0 } else { (x(end) - x(place)) * rate };
            level += gap;
            if end == count || gap >= BREAK {
                let ranks = top.saturating_sub(first).min(end - first);
                let rest = usize::from(ranks > 0 && ranks < end - first);
                found.blocks.push(Block { items: first..end, ranks: ranks + rest, rows: ranks });
                (level, first) = (0.0, end);
            }
        }
        Some(found)
    }
}

/// Working memory for one list after the other.
#[derive(Default)]
struct Scratch {
    sorting: order::Scratch,
    plan: Plan,
    solver: Solver,
}

/// Fills `out` with the product, and the solution.
///
/// # Errors
/// When a list has fewer items than `Shape::Top` has ranks; [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)] // the parts of the solution are outputs here
pub fn forward<T: Key>(
    problem: &Problem<'_, T>,
    factor: &[T],
    iterations: usize,
    tolerance: f64,
    out: &mut [T],
    order: &mut [i32],
    items: &mut [i64],
    ranks: &mut [i64],
    job: &Job,
) -> Result<()> {
    let (out, order) = (Output::new(out), Output::new(order));
    let (items, ranks) = (Output::new(items), Output::new(ranks));
    problem.lists.each(job, Scratch::default, |scratch, list, range| {
        // SAFETY: lists do not overlap, neither do their ranks.
        let (places, items, ranks) =
            unsafe { (order.part(range.clone()), items.part(range.clone()), ranks.part(range.clone())) };
        let x = &problem.x[range.clone()];
        let mask = problem.mask.map(|mask| &mask[range.clone()]);
        let count = order::order(x, mask, problem.descending, &mut scratch.sorting, places);
        if let Shape::Top(k) = problem.shape
            && count < k
        {
            return Err(invalid!("k must be at most the number of items that count in each list, got {k} for {count}"));
        }
        let rows = problem.rows(list, &range);
        let view = View::new(problem, &range, &rows, &places[..count]);
        let written = if problem.transposed { range.clone() } else { rows.clone() };
        // SAFETY: as above.
        let out = unsafe { out.part(written.start * problem.columns..written.end * problem.columns) };
        let Some(found) = problem.list(list, &range, &places[..count]) else {
            view.spoil(out, problem.transposed);
            return Ok(());
        };
        for block in found.blocks.iter().filter(|block| block.ranks > 0) {
            let columns = view.gather(factor, block, !problem.transposed);
            let product = if block.items.len() == 1 {
                columns
            } else {
                let Scratch { plan, solver, .. } = scratch;
                plan.reset(found.s[block.items.clone()].iter().copied(), block.ranks);
                solve::balance(plan, solver, iterations, tolerance, job)?;
                let places = block.items.clone().zip(&plan.height);
                places.for_each(|(place, height)| items[place] = height.to_bits() as i64);
                let places = block.items.clone().zip(&plan.shift);
                places.for_each(|(place, shift)| ranks[place] = shift.to_bits() as i64);
                let mut product = Vec::new();
                if problem.transposed {
                    plan.transposed(&columns, Side::Ranks, &mut product);
                } else {
                    plan.times(&columns, Side::Ranks, &mut product);
                }
                product
            };
            view.scatter(&product, block, problem.transposed, out);
        }
        Ok(())
    })
}

/// How a list's columns lie in the arrays.
struct View<'a> {
    columns: usize,
    range: &'a Range<usize>,
    rows: &'a Range<usize>,
    places: &'a [i32],
}

impl<'a> View<'a> {
    const fn new<T>(
        problem: &Problem<'_, T>,
        range: &'a Range<usize>,
        rows: &'a Range<usize>,
        places: &'a [i32],
    ) -> Self {
        Self { columns: problem.columns, range, rows, places }
    }

    /// The columns of an array over the items or the ranks that belong to a block, one after the other.
    fn gather<T: Key>(&self, array: &[T], block: &Block, items: bool) -> Vec<f64> {
        let (count, m) = (if items { block.items.len() } else { block.ranks }, self.columns);
        let mut out = vec![0.0; count * m];
        for k in 0..if items { count } else { block.rows } {
            let place = block.items.start + k;
            let row = if items { self.range.start + self.places[place] as usize } else { self.rows.start + place };
            for (column, value) in array[row * m..(row + 1) * m].iter().enumerate() {
                out[column * count + k] = value.wide();
            }
        }
        out
    }

    /// Writes a block's columns into the list's part of an array over the items or the ranks.
    fn scatter<T: Key>(&self, columns: &[f64], block: &Block, items: bool, out: &mut [T]) {
        let (count, m) = (if items { block.items.len() } else { block.ranks }, self.columns);
        for k in 0..if items { count } else { block.rows } {
            let place = block.items.start + k;
            let row = if items { self.places[place] as usize } else { place };
            for (column, value) in out[row * m..(row + 1) * m].iter_mut().enumerate() {
                *value = T::of(columns[column * count + k]);
            }
        }
    }

    /// Writes NaN wherever an item, or its rank, counts.
    fn spoil<T: Key>(&self, out: &mut [T], items: bool) {
        for place in 0..if items { self.places.len() } else { self.places.len().min(self.rows.len()) } {
            let row = if items { self.places[place] as usize } else { place };
            out[row * self.columns..(row + 1) * self.columns].fill(T::of(f64::NAN));
        }
    }
}

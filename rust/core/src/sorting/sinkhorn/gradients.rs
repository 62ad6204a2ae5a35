//! The vector-Jacobian product and its own derivative, list by list.

use super::{Block, Columns, Derivation, Gradients, List, Problem, Scratch, Side, Solution, View};
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::Output;
use crate::sorting::order::{Key, counted};
use std::ops::Range;

/// Where gradients are written: to the scores, the factor and the temperatures.
#[derive(Debug)]
pub struct Moved<'a, T> {
    /// To the scores.
    pub x: &'a mut [T],
    /// To the factor.
    pub factor: &'a mut [T],
    /// To the temperatures.
    pub temperature: &'a mut [T],
}

/// One list's parts of the outputs.
struct Parts<'a, T> {
    x: &'a mut [T],
    factor: &'a mut [T],
    temperature: &'a mut T,
}

struct Outputs<T> {
    x: Output<T>,
    factor: Output<T>,
    temperature: Output<T>,
}

impl<T: Key> Outputs<T> {
    const fn new(out: &mut Moved<'_, T>) -> Self {
        Self { x: Output::new(out.x), factor: Output::new(out.factor), temperature: Output::new(out.temperature) }
    }

    /// # Safety
    /// As for `Output::part`, with one caller for each list.
    #[allow(clippy::mut_from_ref)] // as there
    unsafe fn of(&self, list: usize, range: &Range<usize>, factor: Range<usize>) -> Parts<'_, T> {
        // SAFETY: the caller's contract.
        let (x, factor, temperature) =
            unsafe { (self.x.part(range.clone()), self.factor.part(factor), self.temperature.part(list..list + 1)) };
        Parts { x, factor, temperature: &mut temperature[0] }
    }
}

impl<T: Key> Parts<'_, T> {
    fn spoil(&mut self, view: &View<'_>, items: bool) {
        for &place in view.places {
            self.x[place as usize] = T::of(f64::NAN);
        }
        view.spoil(self.factor, items);
        if !view.places.is_empty() {
            *self.temperature = T::of(f64::NAN);
        }
    }
}

/// Precision to which the linear systems are solved: beyond that of T.
fn precision<T: Key>() -> f64 {
    (T::UNIT * 1e-2).max(1e-13)
}

/// The rows that `problem`'s factor has in a list, as elements.
fn elements(columns: usize, rows: &Range<usize>) -> Range<usize> {
    rows.start * columns..rows.end * columns
}

impl<T: Key> Problem<'_, T> {
    /// A block's two factors: the operator's and the gradient of its result.
    fn pair(&self, view: &View<'_>, block: &Block, factor: &[T], grad: &[T]) -> Columns {
        let (items, ranks) = if self.transposed { (grad, factor) } else { (factor, grad) };
        Columns { ranks: view.gather(ranks, block, false), items: view.gather(items, block, true) }
    }

    /// The gradient of a block's scores, to its items' scores and the temperature.
    fn scores(&self, view: &View<'_>, block: &Block, found: &List, scores: &[f64], out: &mut Parts<'_, T>) -> f64 {
        let mut moment = 0.0;
        for (place, ds) in block.items.clone().zip(scores) {
            let at = view.places[place] as usize;
            let finite = self.x[view.range.start + at].is_finite();
            out.x[at] = T::of(if finite { found.rate * ds } else { 0.0 });
            moment += found.s[place] * ds;
        }
        moment
    }
}

/// Puts a saved block back into `scratch`.
fn restore(scratch: &mut Scratch, found: &List, block: &Block, start: usize, solution: &Solution<'_>) {
    let plan = &mut scratch.plan;
    plan.reset(found.s[block.items.clone()].iter().copied(), block.ranks);
    let at = start + block.items.start;
    let value = |bits: &i64| f64::from_bits(*bits as u64);
    plan.height.iter_mut().zip(&solution.items[at..]).for_each(|(x, bits)| *x = value(bits));
    plan.shift.iter_mut().zip(&solution.ranks[at..]).for_each(|(x, bits)| *x = value(bits));
    plan.build();
}

/// Fills `out` with the gradients of <`grad`, product>; those to scores and temperatures only `with_scores`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Key>(
    problem: &Problem<'_, T>,
    factor: &[T],
    solution: &Solution<'_>,
    grad: &[T],
    with_scores: bool,
    mut out: Moved<'_, T>,
    job: &Job,
) -> Result<()> {
    let out = Outputs::new(&mut out);
    problem.lists.each(job, Scratch::default, |scratch, list, range| {
        let places = &solution.order[range.clone()];
        let places = &places[..counted(places)];
        let rows = problem.rows(list, &range);
        let view = View::new(problem, &range, &rows, places);
        let written = elements(problem.columns, if problem.transposed { &rows } else { &range });
        // SAFETY: lists do not overlap, neither do their ranks.
        let mut out = unsafe { out.of(list, &range, written) };
        let Some(found) = problem.list(list, &range, places) else {
            out.spoil(&view, !problem.transposed);
            return Ok(());
        };
        let mut moment = 0.0;
        for block in found.blocks.iter().filter(|block| block.ranks > 0) {
            let of = problem.pair(&view, block, factor, grad);
            if block.items.len() == 1 {
                let columns = if problem.transposed { of.items } else { of.ranks };
                view.scatter(&columns, block, !problem.transposed, out.factor);
                continue;
            }
            restore(scratch, &found, block, range.start, solution);
            let Scratch { plan, solver, .. } = scratch;
            let mut columns = Vec::new();
            if with_scores {
                let found_here = Derivation::new(plan, solver, precision::<T>(), job).first(&of)?;
                moment += problem.scores(&view, block, &found, &found_here.scores, &mut out);
                columns = if problem.transposed { found_here.ranks } else { found_here.items };
            } else if problem.transposed {
                plan.times(&of.items, Side::Ranks, &mut columns);
            } else {
                plan.transposed(&of.ranks, Side::Ranks, &mut columns);
            }
            view.scatter(&columns, block, !problem.transposed, out.factor);
        }
        *out.temperature = T::of(-moment / found.temperature);
        Ok(())
    })
}

/// With phi = <`tangent`, vjp>: fills `out` with its gradients to scores, factor and temperatures, and `to_grad` with that to
/// `grad`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)] // tangents and gradients come in threes
pub fn second<T: Key>(
    problem: &Problem<'_, T>,
    factor: &[T],
    solution: &Solution<'_>,
    grad: &[T],
    tangent: (&[T], &[T], &[T]),
    mut out: Moved<'_, T>,
    to_grad: &mut [T],
    job: &Job,
) -> Result<()> {
    let (out, to_grad) = (Outputs::new(&mut out), Output::new(to_grad));
    problem.lists.each(job, Scratch::default, |scratch, list, range| {
        let places = &solution.order[range.clone()];
        let places = &places[..counted(places)];
        let rows = problem.rows(list, &range);
        let view = View::new(problem, &range, &rows, places);
        let (inner, outer) = if problem.transposed { (&rows, &range) } else { (&range, &rows) };
        // SAFETY: lists do not overlap, neither do their ranks.
        let (mut out, to_grad) = unsafe {
            (out.of(list, &range, elements(problem.columns, inner)), to_grad.part(elements(problem.columns, outer)))
        };
        let Some(found) = problem.list(list, &range, places) else {
            out.spoil(&view, !problem.transposed);
            view.spoil(to_grad, problem.transposed);
            return Ok(());
        };
        let mut moment = 0.0;
        let faster = tangent.2[list].wide() / found.temperature;
        for block in found.blocks.iter().filter(|block| block.ranks > 0) {
            let of = problem.pair(&view, block, factor, grad);
            let mut drift = Columns { ranks: vec![0.0; of.ranks.len()], items: vec![0.0; of.items.len()] };
            if problem.transposed {
                drift.ranks = view.gather(tangent.1, block, false);
            } else {
                drift.items = view.gather(tangent.1, block, true);
            }
            if block.items.len() == 1 {
                let columns = if problem.transposed { drift.ranks } else { drift.items };
                view.scatter(&columns, block, problem.transposed, to_grad);
                continue;
            }
            restore(scratch, &found, block, range.start, solution);
            let speed = speed(problem, &view, block, &found, tangent.0, faster);
            let mut derivation = Derivation::new(&scratch.plan, &mut scratch.solver, precision::<T>(), job);
            let (still, mut moved) = derivation.second(&of, &speed, &drift)?;
            moment += still.scores.iter().zip(&speed).map(|(ds, speed)| ds * speed).sum::<f64>();
            // The factor 1 / temperature moves as well.
            moved.scores.iter_mut().zip(&still.scores).for_each(|(moved, still)| *moved -= faster * still);
            moment += problem.scores(&view, block, &found, &moved.scores, &mut out);
            let Gradients { ranks, items, .. } = moved;
            let (to_factor, to_result) = if problem.transposed { (ranks, items) } else { (items, ranks) };
            view.scatter(&to_factor, block, !problem.transposed, out.factor);
            view.scatter(&to_result, block, problem.transposed, to_grad);
        }
        *out.temperature = T::of(-moment / found.temperature);
        Ok(())
    })
}

/// How a block's reduced scores move with the scores and the temperature.
fn speed<T: Key>(
    problem: &Problem<'_, T>,
    view: &View<'_>,
    block: &Block,
    found: &List,
    tangent: &[T],
    faster: f64,
) -> Vec<f64> {
    let of = |place: usize| {
        let at = view.range.start + view.places[place] as usize;
        if problem.x[at].is_finite() { tangent[at].wide() } else { 0.0 }
    };
    block.items.clone().map(|place| found.rate * of(place) - faster * found.s[place]).collect()
}

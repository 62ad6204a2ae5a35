//! Sums over all pairs of two lists, `sum_j w_j K((x_i - y_j) / tau)` for each i, with K the sigmoid or the softplus.
//!
//! Few pairs are summed one by one, many by [panels] in time O(n + m). All derivatives are such sums again, over a small
//! family of [kernels](kernel); [`Pairs::sum`] is the only loop.

mod grid;
pub mod kernel;
mod lanes;
mod panels;
mod side;
pub mod table;

mod derivatives;
pub use derivatives::{Gradients, Second, Tangents, second, vjp};
pub use kernel::Kernel;

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::sorting::lists::{Lists, Output};
use grid::Grid;
use lanes::{Both, Terms};
use panels::{Direct, panel_sum};
use side::{Side, all_finite};
use std::ops::Range;

/// What one item of either side costs in one sum, about, in nanoseconds.
pub const COST: usize = 30;

/// Lists with at most this many pairs are summed pair by pair.
const PAIRS: usize = 1 << 12;

/// Pairs of lists: the items of list i of `x` with those of list i of `y`.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    /// The items that get a sum each.
    pub x: &'a [T],
    /// The items that are summed over.
    pub y: &'a [T],
    /// A weight for each item of `y`.
    pub weights: &'a [T],
    /// One for each list, finite and positive.
    pub temperature: &'a [T],
    /// The lists of `x`.
    pub x_lists: Lists<'a>,
    /// As many lists of `y`.
    pub y_lists: Lists<'a>,
    /// Which items of `x` count; the sums of others are 0.
    pub x_mask: Option<&'a [bool]>,
    /// Which items of `y` count.
    pub y_mask: Option<&'a [bool]>,
    /// [`Kernel::SIGMOID`] or [`Kernel::SOFTPLUS`].
    pub kernel: Kernel,
}

/// Fills `out`, of the shape of `x`, with the sums. A list with a NaN among the items that count, or with a weight that is
/// not finite, gets NaN.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn sums<T: Real>(batch: &Batch<'_, T>, out: &mut [T], job: &Job) -> Result<()> {
    let out = Output::new(out);
    batch.each(job, |list| {
        // SAFETY: lists do not overlap.
        let out = unsafe { out.part(list.x.clone()) };
        let Some(pairs) = Pairs::new(batch, &list) else {
            batch.spoil(&list, true, out);
            return Ok(());
        };
        let sums = pairs.sum(batch.kernel, Over::Y, &pairs.weights, job)?;
        pairs.x.put(out, |i| sums[i]);
        Ok(())
    })
}

/// One list of a batch.
struct List {
    index: usize,
    x: Range<usize>,
    y: Range<usize>,
}

impl<T: Real> Batch<'_, T> {
    /// Calls `work` for every list, spread over threads by the longer side.
    fn each(&self, job: &Job, work: impl Fn(List) -> Result<()> + Sync) -> Result<()> {
        let longer = if self.x.len() < self.y.len() { &self.y_lists } else { &self.x_lists };
        longer.each(
            job,
            || (),
            |(), index, _| work(List { index, x: self.x_lists.range(index), y: self.y_lists.range(index) }),
        )
    }

    /// Writes NaN to the items of a list that count: of `x`, or of `y`.
    fn spoil(&self, list: &List, x: bool, out: &mut [T]) {
        let (mask, range) = if x { (self.x_mask, &list.x) } else { (self.y_mask, &list.y) };
        for (i, out) in out.iter_mut().enumerate() {
            if mask.is_none_or(|mask| mask[range.start + i]) {
                *out = T::of(f64::NAN);
            }
        }
    }
}

/// The pairs of one list, prepared for sums.
struct Pairs {
    x: Side,
    y: Side,
    weights: Vec<f64>,
    temperature: f64,
    grid: Option<Grid>,
    terms: Terms,
}

/// The side whose items are summed over; the items of the other get the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Y,
    X,
}

impl Pairs {
    /// None where the list has a NaN.
    fn new<T: Real>(batch: &Batch<'_, T>, list: &List) -> Option<Self> {
        let (mut x, mut y) = (Side::default(), Side::default());
        let temperature = batch.temperature[list.index].wide();
        let valid = x.fill(&batch.x[list.x.clone()], batch.x_mask.map(|mask| &mask[list.x.clone()]))
            && y.fill(&batch.y[list.y.clone()], batch.y_mask.map(|mask| &mask[list.y.clone()]));
        if !valid || temperature.is_nan() {
            return None;
        }
        let few = x.finite() * y.finite() <= PAIRS;
        let grid = if few { None } else { Some(Grid::new(&mut x, &mut y, temperature)) };
        let weights = y.take(&batch.weights[list.y.clone()]);
        if !all_finite(&weights) {
            return None;
        }
        let terms = Terms::new(T::UNIT > f64::EPSILON);
        Some(Self { x, y, weights, temperature, grid, terms })
    }

    /// `sum_j weights[j] K(z_ij)` for each i, or `sum_i weights[i] K(z_ij)` for each j, `z_ij = (x_i - y_j) / tau`; equal
    /// infinities have z = 0. Items are in the order of their sides.
    fn sum(&self, kernel: Kernel, over: Over, weights: &[f64], job: &Job) -> Result<Vec<f64>> {
        let mirrored = over == Over::X;
        let (sources, targets) = if mirrored { (&self.x, &self.y) } else { (&self.y, &self.x) };
        let mut out = vec![0.0; targets.len()];
        if weights.iter().all(|&w| w == 0.0) {
            return Ok(out);
        }
        let (finite, infinite) = out.split_at_mut(targets.finite());
        let counted = &weights[..sources.finite()];
        if let Some(grid) = &self.grid {
            let axis = grid.axis(mirrored);
            panel_sum(axis, kernel, self.terms, &sources.values, counted, &targets.values, finite, job)?;
        } else {
            let inverse = self.temperature.recip() * if mirrored { -1.0 } else { 1.0 };
            let (targets, sources) = (&targets.values, &sources.values);
            kernel.visit(Direct { targets, sources, weights: counted, inverse, out: finite });
        }
        if sources.len() > sources.finite() || !infinite.is_empty() {
            infinities(kernel, mirrored, [sources, targets], weights, [finite, infinite]);
        }
        Ok(out)
    }

    /// The sum over y with `y_weights` and that over x with `x_weights`; pairs that are summed one by one are visited once.
    fn sums(&self, kernel: Kernel, x_weights: &[f64], y_weights: &[f64], job: &Job) -> Result<[Vec<f64>; 2]> {
        let (x, y) = (&self.x, &self.y);
        if self.grid.is_some() || x.finite() < x.len() || y.finite() < y.len() {
            return Ok([self.sum(kernel, Over::Y, y_weights, job)?, self.sum(kernel, Over::X, x_weights, job)?]);
        }
        let mut out = [vec![0.0; x.len()], vec![0.0; y.len()]];
        let [x_out, y_out] = &mut out;
        let inverse = self.temperature.recip();
        kernel.visit(Both { x: &x.values, y: &y.values, x_weights, y_weights, inverse, x_out, y_out });
        Ok(out)
    }
}

/// Adds the terms of pairs with an infinity in them.
fn infinities(
    kernel: Kernel,
    mirrored: bool,
    [sources, targets]: [&Side; 2],
    weights: &[f64],
    [finite, infinite]: [&mut [f64]; 2],
) {
    // A weight of 0 takes part in nothing, not even at an infinite distance.
    let sum = |weights: &[f64], value: f64| -> f64 {
        weights.iter().filter(|&&w| w != 0.0 && value != 0.0).map(|w| w * value).sum()
    };
    let (middle, rest) = weights.split_at(sources.finite());
    let (low, high) = rest.split_at(sources.low);
    let (low_targets, high_targets) = infinite.split_at_mut(targets.low);
    // Along the axis on which the kernel rises from sources to targets, one kind of infinity is first.
    let ((first, last), (first_targets, last_targets)) =
        if mirrored { ((high, low), (high_targets, low_targets)) } else { ((low, high), (low_targets, high_targets)) };
    let (tie, far) = (kernel.value(0.0), kernel.at_infinity());
    let beyond = sum(first, far);
    if beyond != 0.0 {
        finite.iter_mut().for_each(|x| *x += beyond);
    }
    first_targets.fill(sum(first, tie));
    last_targets.fill(beyond + sum(middle, far) + sum(last, tie));
}

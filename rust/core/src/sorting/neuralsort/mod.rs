//! Grover's soft permutation (`neuralsort`) and its Sinkhorn scaling: products with matrices that are never formed.
//!
//! Row i of P belongs to rank i in decreasing order; increasing order is the same for -x. See [`bands`] for the matrix and [`potentials`] for its scaling and all first derivatives.

mod bands;
mod moments;
mod potentials;
mod second;
mod smooth;

pub use bands::Lane;
pub use second::{Tangents, second};

use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{Scratch, counted, order};
use bands::{Band, PAD, Side};
use potentials::{Potentials, Stop, adjoint, multiply_each, plain_adjoint, scale, scaled};
use std::ops::Range;

/// What an element of the band costs, about, in picoseconds, with each pass over it.
pub const COST: usize = 1500;

/// Which product is taken.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether row 1 belongs to the largest score.
    pub descending: bool,
    /// Whether the product is with the transposed matrix.
    pub transposed: bool,
    /// The largest number of scaling steps (columns, then rows); 0 is `neuralsort` itself.
    pub iterations: usize,
    /// Scaling ends when all sums of columns are closer to 1.
    pub tolerance: f64,
}

/// The inputs of all lists.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    /// Scores.
    pub x: &'a [T],
    /// One row of `width` numbers for each item, or for each rank if the product is transposed.
    pub v: &'a [T],
    /// The number of columns of `v`, positive.
    pub width: usize,
    /// One for each list, positive.
    pub temperature: &'a [T],
    /// The lists.
    pub lists: Lists<'a>,
}

/// Where results with a row for each item, or each rank, lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Ranks,
    Items,
}

/// The way between a list's rows and padded vectors in sorted order.
struct Places<'a> {
    order: &'a [i32],
    width: usize,
    stride: usize,
}

impl<'a> Places<'a> {
    const fn new(order: &'a [i32], width: usize) -> Self {
        Self { order, width, stride: order.len() + 2 * PAD }
    }

    /// Where the row of the k-th place in sorted order lies.
    const fn row(&self, axis: Axis, k: usize) -> Range<usize> {
        let row = match axis {
            Axis::Ranks => k,
            Axis::Items => self.order[k] as usize,
        };
        row * self.width..(row + 1) * self.width
    }

    /// Row-major rows as padded columns.
    fn load<T: Lane>(&self, axis: Axis, rows: &[T]) -> Vec<T> {
        let stride = self.stride;
        let mut found = vec![T::ZERO; self.width * stride];
        for k in 0..self.order.len() {
            for (c, &value) in rows[self.row(axis, k)].iter().enumerate() {
                found[c * stride + PAD + k] = value;
            }
        }
        found
    }

    /// The way back; rows that belong to no item that counts become 0.
    fn store<T: Lane>(&self, axis: Axis, columns: &[f64], rows: &mut [T]) {
        rows.fill(T::ZERO);
        let stride = self.stride;
        for k in 0..self.order.len() {
            for (c, value) in rows[self.row(axis, k)].iter_mut().enumerate() {
                *value = T::of(columns[c * stride + PAD + k]);
            }
        }
    }

    /// Rows of NaN for everything that counts.
    fn spoil<T: Lane>(&self, axis: Axis, rows: &mut [T]) {
        self.store(axis, &vec![f64::NAN; self.width * self.stride], rows);
    }
}

/// The last place of an order tells whether there is a NaN among the items that count.
fn bad<T: Lane>(x: &[T], order: &[i32]) -> bool {
    order.last().is_some_and(|&place| x[place as usize].wide().is_nan())
}

fn enter<T: Lane>(band: &mut Band<T>, x: &[T], order: &[i32], temperature: T, options: &Options) {
    let sign = if options.descending { 1.0 } else { -1.0 };
    let cut = if options.iterations == 0 { T::CUT } else { T::SCALED_CUT };
    band.enter(order.iter().map(|&place| sign * x[place as usize].wide()), temperature.wide(), cut);
}

fn rows(range: &Range<usize>, width: usize) -> Range<usize> {
    range.start * width..range.end * width
}

/// Fills `y` with the product (a row for each rank; for each item if transposed), `order` with each list's places by
/// decreasing or increasing score (-1 for items that do not count), and `steps` with the scaling steps taken per list.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn forward<T: Lane>(
    inputs: &Inputs<'_, T>,
    mask: Option<&[bool]>,
    options: &Options,
    (y, places, steps): (&mut [T], &mut [i32], &mut [i64]),
    job: &Job,
) -> Result<()> {
    let (y, places, steps) = (Output::new(y), Output::new(places), Output::new(steps));
    let width = inputs.width;
    let scratch = || (Scratch::default(), Band::default());
    inputs.lists.each(job, scratch, |(scratch, band), list, range| {
        // SAFETY: lists do not overlap.
        let (y, places, steps) =
            unsafe { (y.part(rows(&range, width)), places.part(range.clone()), steps.part(list..list + 1)) };
        let (x, v) = (&inputs.x[range.clone()], &inputs.v[rows(&range, width)]);
        let count = order(x, mask.map(|mask| &mask[range]), options.descending, scratch, places);
        let (at, [from, to]) = (Places::new(&places[..count], width), axes(options));
        if bad(x, at.order) {
            at.spoil(to, y);
            return Ok(());
        }
        enter(band, x, at.order, inputs.temperature[list], options);
        let (product, taken) = multiply(band, &at.load(from, v), options, job)?;
        at.store(to, &product, y);
        steps[0] = taken as i64;
        Ok(())
    })
}

/// The axes of the factor and of the product.
const fn axes(options: &Options) -> [Axis; 2] {
    if options.transposed { [Axis::Ranks, Axis::Items] } else { [Axis::Items, Axis::Ranks] }
}

/// The product with padded columns, and the number of scaling steps.
fn multiply<T: Lane>(band: &mut Band<T>, x: &[T], options: &Options, job: &Job) -> Result<(Vec<f64>, usize)> {
    let stride = band.stride();
    if options.iterations > 0 {
        band.keep(job)?;
    } else if !options.transposed {
        // The rows' sums are the product with one more column.
        let (with_ones, width) = ([&potentials::ones(band), x].concat(), x.len() / stride + 1);
        let mut sums = vec![0.0; with_ones.len()];
        band.multiply(Side::Rows, &with_ones, width, &mut sums, job)?;
        let mut product = sums.split_off(stride);
        for column in product.chunks_exact_mut(stride) {
            column.iter_mut().zip(&sums).for_each(|(y, sum)| *y /= sum);
        }
        return Ok((product, 0));
    }
    let stop = Stop { iterations: options.iterations, tolerance: options.tolerance };
    let Potentials { u, v, steps } = scale(band, stop, job)?;
    let (side, inner, outer) = if options.transposed { (Side::Columns, u, v) } else { (Side::Rows, v, u) };
    let mut product = vec![0.0; x.len()];
    band.multiply(side, &scaled(x, &inner), x.len() / stride, &mut product, job)?;
    multiply_each(&mut product, &outer);
    Ok((product, steps))
}

/// What the derivatives take from the forward function, and the gradient of its value.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a, T> {
    /// As `forward` filled it.
    pub places: &'a [i32],
    /// As `forward` filled it.
    pub steps: &'a [i64],
    /// The gradient of `y`.
    pub grad: &'a [T],
}

/// Fills the gradients to `x`, `v` and `temperature`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Lane>(
    inputs: &Inputs<'_, T>,
    kept: &Kept<'_, T>,
    options: &Options,
    (dx, dv, dt): (&mut [T], &mut [T], &mut [T]),
    job: &Job,
) -> Result<()> {
    let (dx, dv, dt) = (Output::new(dx), Output::new(dv), Output::new(dt));
    let width = inputs.width;
    inputs.lists.each(job, Band::default, |band, list, range| {
        // SAFETY: lists do not overlap.
        let (dx, dv, dt) = unsafe { (dx.part(range.clone()), dv.part(rows(&range, width)), dt.part(list..list + 1)) };
        let (v, grad) = (&inputs.v[rows(&range, width)], &kept.grad[rows(&range, width)]);
        let (x, places) = (&inputs.x[range.clone()], &kept.places[range]);
        let (at, one) = (Places::new(&places[..counted(places)], width), Places::new(&places[..counted(places)], 1));
        let from = axes(options)[0];
        if bad(x, at.order) {
            at.spoil(from, dv);
            one.spoil(Axis::Items, dx);
            dt.fill(T::of(f64::NAN));
            return Ok(());
        }
        let (a, b) = if options.transposed { (v, grad) } else { (grad, v) };
        let temperature = inputs.temperature[list];
        enter(band, x, at.order, temperature, options);
        let (a, b) = (at.load(Axis::Ranks, a), at.load(Axis::Items, b));
        let found = match kept.steps[list] {
            0 => plain_adjoint(band, &a, &b, job)?,
            steps => {
                band.keep(job)?;
                adjoint(band, &a, &b, steps as usize, job)?
            }
        };
        at.store(from, if options.transposed { &found.rows } else { &found.columns }, dv);
        let scale = if options.descending { temperature.wide() } else { -temperature.wide() };
        let mut padded = vec![0.0; one.stride];
        let slopes = moments::slopes(band.gaps(), &found.moments.weight, &found.moments.lever);
        padded[PAD..].iter_mut().zip(&slopes).for_each(|(out, s)| *out = s / scale);
        one.store(Axis::Items, &padded, dx);
        dt[0] = T::of(found.moments.heat.iter().sum::<f64>() / temperature.wide());
        Ok(())
    })
}

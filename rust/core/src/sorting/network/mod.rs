//! Relaxed sorting networks: the products of their permutation matrices, which are never formed.
//!
//! A comparator mixes the two scores that it would swap, by the weight that a [`Distribution`] gives to the wrong order;
//! P is the product of these 2 x 2 mixings. The bilinear form `<u, P v>` has one gradient whichever factor is thought
//! fixed, so [`vjp`] serves P v and P^T u alike, and run on [`Dual`] numbers it is the second derivative.

mod aligned;
mod batch;
mod block;
mod riffle;
mod tile;
mod weight;
mod wires;
mod work;

pub use batch::{Batch, comparators};
pub use weight::{Distribution, Lane};
pub use wires::Form;
pub(super) use {
    batch::together,
    tile::Tile,
    tile::run as run_tile,
    wires::Network,
    work::{Comparisons, Task, Work},
};

use crate::dual::Dual;
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::Output;
use batch::{Factors, Results, run};

/// Fills `out` with P v (a row per item in, per rank out), or with P^T v if `transposed` (the other way round): `columns`
/// columns. Rows of masked items and of ranks that no item has are 0; a list with a NaN score gives NaN.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn product<T: Lane>(
    batch: &Batch<'_, T>,
    v: &[T],
    columns: usize,
    transposed: bool,
    out: &mut [T],
    job: &Job,
) -> Result<()> {
    out.fill(T::default());
    let out = Some(Output::new(out));
    if transposed {
        let results = Results { pv: None, pu: out, to_x: None, to_steepness: None };
        run(batch, Task::Transposed, &Factors { columns, v: &[], u: v }, &results, job)
    } else {
        let results = Results { pv: out, pu: None, to_x: None, to_steepness: None };
        run(batch, Task::Product, &Factors { columns, v, u: &[] }, &results, job)
    }
}

/// What a caller of [`vjp`] wants beside the gradients to scores and steepness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The gradient to the factor.
    pub v: bool,
    /// The product.
    pub product: bool,
}

/// Gradients of `<gradient, product>`. What is not wanted is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T> {
    /// To the scores.
    pub x: Vec<T>,
    /// To the factor.
    pub v: Vec<T>,
    /// To the steepness, one per list.
    pub steepness: Vec<T>,
    /// The product itself, or its derivative in [`second`].
    pub product: Vec<T>,
}

/// The vector-Jacobian product of [`product`].
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Lane>(
    batch: &Batch<'_, T>,
    v: &[T],
    columns: usize,
    transposed: bool,
    gradient: &[T],
    wanted: Wanted,
    job: &Job,
) -> Result<Gradients<T>> {
    let zeros = |size| vec![T::default(); size];
    let mut found = Gradients {
        x: zeros(batch.x.len()),
        v: zeros(if wanted.v { v.len() } else { 0 }),
        steepness: zeros(batch.steepness.len()),
        product: zeros(if wanted.product { v.len() } else { 0 }),
    };
    let (right, left) = if transposed { (gradient, v) } else { (v, gradient) };
    let to_v = wanted.v.then(|| Output::new(&mut found.v));
    let product = wanted.product.then(|| Output::new(&mut found.product));
    let (pv, pu) = if transposed { (to_v, product) } else { (product, to_v) };
    let results = Results {
        pv,
        pu,
        to_x: Some(Output::new(&mut found.x)),
        to_steepness: Some(Output::new(&mut found.steepness)),
    };
    run(batch, Task::Bilinear, &Factors { columns, v: right, u: left }, &results, job)?;
    Ok(found)
}

/// Gradients of `<tangents, vjp>` to scores, factor, steepness, and (as `product`) to `gradient`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn second(
    batch: &Batch<'_, f64>,
    v: &[f64],
    columns: usize,
    transposed: bool,
    gradient: &[f64],
    tangents: [&[f64]; 3],
    job: &Job,
) -> Result<Gradients<f64>> {
    let (x, steepness) = (Dual::zip(batch.x, tangents[0]), Dual::zip(batch.steepness, tangents[2]));
    let v = Dual::zip(v, tangents[1]);
    let gradient: Vec<Dual> = gradient.iter().map(|&value| Dual { value, slope: 0.0 }).collect();
    let moved = Batch {
        x: &x,
        steepness: &steepness,
        lists: batch.lists,
        mask: batch.mask,
        form: batch.form,
        distribution: batch.distribution,
        descending: batch.descending,
    };
    let wanted = Wanted { v: true, product: true };
    let found = vjp(&moved, &v, columns, transposed, &gradient, wanted, job)?;
    let slopes = |duals: Vec<Dual>| duals.into_iter().map(|dual| dual.slope).collect();
    Ok(Gradients {
        x: slopes(found.x),
        v: slopes(found.v),
        steepness: slopes(found.steepness),
        product: slopes(found.product),
    })
}

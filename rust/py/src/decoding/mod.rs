//! Bindings of `argrad_core::decoding`: one file per family of operators, one short function each.

use numpy::{Element, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

mod bregman;
mod constrained;
mod entmax;
mod summary;
mod topk;
mod topk_softmax;
mod truncate;

/// A contiguous array of one of the two number types, any shape; the last dimension holds the rows.
#[derive(FromPyObject)]
pub enum Floats<'py> {
    Single(PyReadonlyArrayDyn<'py, f32>),
    Double(PyReadonlyArrayDyn<'py, f64>),
}

/// An array of the shape of the rows, with `last` items for each row, made before the work begins.
fn outputs<'py, T: Element + Default>(py: Python<'py>, rows: &[usize], last: usize) -> Bound<'py, PyArrayDyn<T>> {
    let mut shape = rows[..rows.len() - 1].to_vec();
    shape.push(last);
    PyArrayDyn::zeros(py, shape, false)
}

/// The numbers of an array that [`outputs`] has made and nobody else has seen.
#[allow(clippy::mut_from_ref)] // a handle of the interpreter, not the memory itself
fn items<'a, T: Element>(array: &'a Bound<'_, PyArrayDyn<T>>) -> PyResult<&'a mut [T]> {
    // SAFETY: there is no other reference to the array's memory yet.
    Ok(unsafe { array.as_slice_mut() }?)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    bregman::register(module)?;
    constrained::register(module)?;
    entmax::register(module)?;
    summary::register(module)?;
    topk::register(module)?;
    topk_softmax::register(module)?;
    truncate::register(module)
}

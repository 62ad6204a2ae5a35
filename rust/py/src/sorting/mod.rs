//! Bindings of `argrad_core::sorting`: one file per family of operators, one short function each.

use argrad_core::sorting::Lists;
use argrad_core::{Error, Result};
use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;

mod groups;
mod laplace;
mod network;
mod neuralsort;
mod pairs;
mod perturbed;
mod products;
mod ranks;
mod sinkhorn;
mod soft;
mod topk;

/// A contiguous array of one of the two number types, any shape; the last dimension holds the lists.
#[derive(FromPyObject)]
pub enum Floats<'py> {
    Single(PyReadonlyArrayDyn<'py, f32>),
    Double(PyReadonlyArrayDyn<'py, f64>),
}

/// The lists of an array of `shape`: its last dimension, cut at `bounds` where given.
pub fn lists<'a>(shape: &[usize], bounds: Option<&'a [i64]>) -> Result<Lists<'a>> {
    let items = shape.iter().product();
    match (bounds, shape.last()) {
        (Some(bounds), _) => Lists::ragged(bounds, items),
        (None, Some(&length)) if length > 0 => Ok(Lists::even(items / length, length)),
        (None, Some(_)) => Ok(Lists::even(0, 0)),
        (None, None) => Err(Error::Invalid("x must have at least one dimension, got a number".into())),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    groups::register(module)?;
    laplace::register(module)?;
    network::register(module)?;
    neuralsort::register(module)?;
    pairs::register(module)?;
    perturbed::register(module)?;
    products::register(module)?;
    ranks::register(module)?;
    sinkhorn::register(module)?;
    soft::register(module)?;
    topk::register(module)
}

//! Bindings of `argrad_core::decoding`: one file per family of operators, one short function each.

use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;

mod topk;

/// A contiguous array of one of the two number types, any shape; the last dimension holds the rows.
#[derive(FromPyObject)]
pub enum Floats<'py> {
    Single(PyReadonlyArrayDyn<'py, f32>),
    Double(PyReadonlyArrayDyn<'py, f64>),
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    topk::register(module)
}

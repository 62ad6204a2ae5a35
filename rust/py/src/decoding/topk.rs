//! Bindings of `argrad_core::decoding::topk`.

use super::{Floats, items, outputs};
use crate::call::run_sized;
use argrad_core::decoding::{Logit, topk as core};
use numpy::{Element, PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Nanoseconds that a thousand numbers take, about.
const COST: usize = 150;

/// Values and indices of the k largest or smallest numbers of each row.
#[pyfunction]
fn topk<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    k: usize,
    largest: bool,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArrayDyn<i64>>)> {
    match x {
        Floats::Single(x) => solve(py, function, &x, k, largest).map(|(values, at)| (values.into_any(), at)),
        Floats::Double(x) => solve(py, function, &x, k, largest).map(|(values, at)| (values.into_any(), at)),
    }
}

type Found<'py, T> = (Bound<'py, PyArrayDyn<T>>, Bound<'py, PyArrayDyn<i64>>);

fn solve<'py, T: Logit + Element + Default>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    k: usize,
    largest: bool,
) -> PyResult<Found<'py, T>> {
    let v = x.shape().last().copied().unwrap_or(0);
    let (values, places) = (outputs(py, x.shape(), k), outputs(py, x.shape(), k));
    let (x, out, at) = (x.as_slice()?, items(&values)?, items(&places)?);
    run_sized(py, function, x.len() * COST / 1000, |job| core::topk(x, v, largest, out, at, k, job))?;
    Ok((values, places))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(topk, module)?)
}

//! Bindings of `argrad_core::sorting::ranks`.

use super::{Floats, lists};
use crate::call::{exception, run_sized};
use argrad_core::sorting::order::Key;
use argrad_core::sorting::ranks;
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Hard ranks, from 1, as a flat array.
#[pyfunction]
fn hard_rank<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<PyReadonlyArrayDyn<'py, bool>>,
    descending: bool,
    fill: f64,
) -> PyResult<Bound<'py, PyAny>> {
    match x {
        Floats::Single(x) => rank(py, function, &x, bounds, mask, descending, fill).map(Bound::into_any),
        Floats::Double(x) => rank(py, function, &x, bounds, mask, descending, fill).map(Bound::into_any),
    }
}

fn rank<'py, T: Key + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<PyReadonlyArrayDyn<'py, bool>>,
    descending: bool,
    fill: f64,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let lists = lists(x.shape(), bounds).map_err(|error| exception(function, error))?;
    let x = x.as_slice()?;
    let mut out = vec![T::ZERO; x.len()];
    let nanoseconds = x.len() * ranks::COST;
    run_sized(py, function, nanoseconds, |job| ranks::ranks(x, &lists, mask, descending, T::of(fill), &mut out, job))?;
    Ok(out.into_pyarray(py))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(hard_rank, module)?)
}

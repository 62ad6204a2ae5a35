//! Bindings of `argrad_core::decoding::summary`.

use super::Floats;
use crate::call::run_sized;
use argrad_core::decoding::Logit;
use argrad_core::decoding::summary::{COLUMNS, summarize};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Nanoseconds that a thousand logits take, about.
const COST: usize = 600;

type Found<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>);

/// Six columns of statistics of each row, and the counts of finite logits.
#[pyfunction]
fn logit_statistics<'py>(
    py: Python<'py>,
    function: &str,
    logits: Floats<'py>,
    temperature: PyReadonlyArray1<'py, f64>,
) -> PyResult<Found<'py>> {
    match logits {
        Floats::Single(logits) => solve(py, function, &logits, temperature.as_slice()?),
        Floats::Double(logits) => solve(py, function, &logits, temperature.as_slice()?),
    }
}

fn solve<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    logits: &PyReadonlyArrayDyn<'py, T>,
    temperature: &[f64],
) -> PyResult<Found<'py>> {
    let v = logits.shape().last().copied().unwrap_or(0);
    let logits = logits.as_slice()?;
    let (mut table, mut counts) = (vec![0.0; COLUMNS * temperature.len()], vec![0; temperature.len()]);
    run_sized(py, function, logits.len() * COST / 1000, |job| {
        summarize(logits, v, temperature, &mut table, &mut counts, job)
    })?;
    Ok((table.into_pyarray(py), counts.into_pyarray(py)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(logit_statistics, module)?)
}

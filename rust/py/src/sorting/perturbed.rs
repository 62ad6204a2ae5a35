//! Bindings of `argrad_core::sorting::perturbed`.

use super::Floats;
use crate::call::run_sized;
use argrad_core::Real;
use argrad_core::sorting::perturbed::{self, COST, Noise, Source};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

fn source(noise: &str, seed: u64, samples: usize, shape: &[usize]) -> Source {
    let noise = if noise == "gumbel" { Noise::Gumbel } else { Noise::Gaussian };
    Source { noise, seed, samples, n: shape.last().copied().unwrap_or(1) }
}

/// `x` with the noise of samples `first..first + count`, flat.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // what decides about the noise
fn perturbed_points<'py>(
    py: Python<'py>,
    x: Floats<'py>,
    sigma: f64,
    noise: &str,
    seed: u64,
    samples: usize,
    first: usize,
    count: usize,
) -> PyResult<Bound<'py, PyAny>> {
    match x {
        Floats::Single(x) => {
            points(py, &x, sigma, source(noise, seed, samples, x.shape()), first, count).map(Bound::into_any)
        }
        Floats::Double(x) => {
            points(py, &x, sigma, source(noise, seed, samples, x.shape()), first, count).map(Bound::into_any)
        }
    }
}

fn points<'py, T: Real + Element>(
    py: Python<'py>,
    x: &PyReadonlyArrayDyn<'py, T>,
    sigma: f64,
    source: Source,
    first: usize,
    count: usize,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    let x = x.as_slice()?;
    let mut out = vec![T::ZERO; count * x.len()];
    let nanoseconds = out.len() * COST;
    run_sized(py, "perturbed", nanoseconds, |job| perturbed::points(&source, x, sigma, first, &mut out, job))?;
    Ok(out.into_pyarray(py))
}

/// `total` plus the samples' coefficients times the noise's score, flat.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // what decides about the noise
fn perturbed_pull<'py>(
    py: Python<'py>,
    total: PyReadonlyArrayDyn<'py, f64>,
    coefficients: PyReadonlyArrayDyn<'py, f64>,
    noise: &str,
    seed: u64,
    samples: usize,
    first: usize,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let source = source(noise, seed, samples, total.shape());
    let mut out = total.as_slice()?.to_vec();
    let coefficients = coefficients.as_slice()?;
    let nanoseconds = coefficients.len() * source.n * COST;
    run_sized(py, "perturbed", nanoseconds, |job| perturbed::pull(&source, coefficients, first, &mut out, job))?;
    Ok(out.into_pyarray(py))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(perturbed_points, module)?)?;
    module.add_function(wrap_pyfunction!(perturbed_pull, module)?)
}

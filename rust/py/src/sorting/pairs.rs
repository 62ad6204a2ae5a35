//! Bindings of `argrad_core::sorting::pairs`.

use crate::call::{exception, run_sized};
use argrad_core::sorting::Lists;
use argrad_core::sorting::pairs::{self, Batch, COST, Gradients, Kernel, Second, Tangents, table};
use argrad_core::{Real, Result};
use numpy::{Element, IntoPyArray, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

type Array<'py, T> = PyReadonlyArrayDyn<'py, T>;
type Four<'py, T> = (Array<'py, T>, Array<'py, T>, Array<'py, T>, Array<'py, T>);
/// Masks of x and y, and where their lists begin and end.
type Cuts<'py> = (
    Option<Array<'py, bool>>,
    Option<Array<'py, bool>>,
    Option<PyReadonlyArray1<'py, i64>>,
    Option<PyReadonlyArray1<'py, i64>>,
);

/// x, y, weights and temperature.
#[derive(FromPyObject)]
enum Inputs<'py> {
    Single(Four<'py, f32>),
    Double(Four<'py, f64>),
}

fn kernel_of(name: &str) -> Kernel {
    if name == "sigmoid" { Kernel::SIGMOID } else { Kernel::SOFTPLUS }
}

/// Calls `work` with the batch that Python described, and about how many nanoseconds one sum takes.
fn with_batch<T: Real + Element, R>(
    function: &str,
    (x, y, weights, temperature): &Four<'_, T>,
    (x_mask, y_mask, x_bounds, y_bounds): &Cuts<'_>,
    kernel: &str,
    work: impl FnOnce(&Batch<'_, T>, usize) -> PyResult<R>,
) -> PyResult<R> {
    let masks = [x_mask, y_mask].map(|mask| mask.as_ref().map(|mask| mask.as_slice()).transpose());
    let bounds = [x_bounds, y_bounds].map(|bounds| bounds.as_ref().map(|bounds| bounds.as_slice()).transpose());
    let ([x_mask, y_mask], [x_bounds, y_bounds]) = (masks, bounds);
    let count: usize = temperature.shape().iter().product();
    let cut = |items: usize, bounds| match bounds {
        Some(bounds) => Lists::ragged(bounds, items).map_err(|error| exception(function, error)),
        None => Ok(Lists::even(count, items.checked_div(count).unwrap_or(0))),
    };
    let batch = Batch {
        x: x.as_slice()?,
        y: y.as_slice()?,
        weights: weights.as_slice()?,
        temperature: temperature.as_slice()?,
        x_lists: cut(x.len(), x_bounds?)?,
        y_lists: cut(y.len(), y_bounds?)?,
        x_mask: x_mask?,
        y_mask: y_mask?,
        kernel: kernel_of(kernel),
    };
    let lists = [&batch.x_lists, &batch.y_lists].map(|lists| (lists.count(), lists.items()));
    if lists != [(count, batch.x.len()), (count, batch.y.len())] || batch.weights.len() != batch.y.len() {
        let text = format!("{function}: x, y, weights and offsets must have {count} lists, got shapes that do not fit");
        return Err(PyValueError::new_err(text));
    }
    if let Some(bad) = batch.temperature.iter().find(|t| !(t.wide() > 0.0 && t.is_finite())) {
        let text = format!("{function}: temperature must be finite and > 0, got {bad}");
        return Err(PyValueError::new_err(text));
    }
    let nanoseconds = (batch.x.len() + batch.y.len()) * COST;
    work(&batch, nanoseconds)
}

/// Sums over all pairs of each list, as a flat array like x.
#[pyfunction]
fn pair_sums<'py>(
    py: Python<'py>,
    function: &str,
    inputs: Inputs<'py>,
    cuts: Cuts<'py>,
    kernel: &str,
) -> PyResult<Bound<'py, PyAny>> {
    match &inputs {
        Inputs::Single(inputs) => sums(py, function, inputs, &cuts, kernel),
        Inputs::Double(inputs) => sums(py, function, inputs, &cuts, kernel),
    }
}

fn sums<'py, T: Real + Element>(
    py: Python<'py>,
    function: &str,
    inputs: &Four<'py, T>,
    cuts: &Cuts<'py>,
    kernel: &str,
) -> PyResult<Bound<'py, PyAny>> {
    with_batch(function, inputs, cuts, kernel, |batch, nanoseconds| {
        let mut out = vec![T::ZERO; batch.x.len()];
        run_sized(py, function, nanoseconds, |job| pairs::sums(batch, &mut out, job))?;
        Ok(out.into_pyarray(py).into_any())
    })
}

/// The vector-Jacobian product: flat arrays like x, y, weights and temperature, zeros where bit i of `wanted` is off.
#[pyfunction]
fn pair_sums_vjp<'py>(
    py: Python<'py>,
    function: &str,
    inputs: Inputs<'py>,
    cuts: Cuts<'py>,
    kernel: &str,
    grad: &Bound<'py, PyAny>,
    wanted: u32,
) -> PyResult<Bound<'py, PyTuple>> {
    match &inputs {
        Inputs::Single(inputs) => gradients(py, function, inputs, &cuts, kernel, grad, wanted),
        Inputs::Double(inputs) => gradients(py, function, inputs, &cuts, kernel, grad, wanted),
    }
}

fn gradients<'py, T: Real + Element>(
    py: Python<'py>,
    function: &str,
    inputs: &Four<'py, T>,
    cuts: &Cuts<'py>,
    kernel: &str,
    grad: &Bound<'py, PyAny>,
    wanted: u32,
) -> PyResult<Bound<'py, PyTuple>> {
    let grad: Array<'py, T> = grad.extract()?;
    let grad = grad.as_slice()?;
    with_batch(function, inputs, cuts, kernel, |batch, nanoseconds| {
        let mut out = [batch.x.len(), batch.y.len(), batch.y.len(), batch.temperature.len()].map(|n| vec![T::ZERO; n]);
        let nanoseconds = nanoseconds * wanted.count_ones() as usize;
        run_sized(py, function, nanoseconds, |job| {
            let [x, y, weights, temperature] = &mut out;
            let part = |bit: u32, out| (wanted >> bit & 1 == 1).then_some(out);
            let gradients = Gradients {
                x: part(0, x).map(|v: &mut Vec<T>| &mut v[..]),
                y: part(1, y).map(|v| &mut v[..]),
                weights: part(2, weights).map(|v| &mut v[..]),
                temperature: part(3, temperature).map(|v| &mut v[..]),
            };
            pairs::vjp(batch, grad, gradients, job)
        })?;
        PyTuple::new(py, out.map(|out| out.into_pyarray(py)))
    })
}

/// The second derivative: flat arrays like x, y, weights, temperature and the upstream gradient.
#[pyfunction]
fn pair_sums_second<'py>(
    py: Python<'py>,
    function: &str,
    inputs: Inputs<'py>,
    cuts: Cuts<'py>,
    kernel: &str,
    grad: &Bound<'py, PyAny>,
    tangents: Inputs<'py>,
) -> PyResult<Bound<'py, PyTuple>> {
    match (&inputs, &tangents) {
        (Inputs::Single(inputs), Inputs::Single(tangents)) => {
            seconds(py, function, inputs, &cuts, kernel, grad, tangents)
        }
        (Inputs::Double(inputs), Inputs::Double(tangents)) => {
            seconds(py, function, inputs, &cuts, kernel, grad, tangents)
        }
        _ => Err(PyTypeError::new_err("inputs and tangents must be of one dtype")),
    }
}

fn seconds<'py, T: Real + Element>(
    py: Python<'py>,
    function: &str,
    inputs: &Four<'py, T>,
    cuts: &Cuts<'py>,
    kernel: &str,
    grad: &Bound<'py, PyAny>,
    (dx, dy, dw, dt): &Four<'py, T>,
) -> PyResult<Bound<'py, PyTuple>> {
    /// Sums of which the second derivative consists.
    const SUMS: usize = 17;
    let grad: Array<'py, T> = grad.extract()?;
    let grad = grad.as_slice()?;
    let (x, y, weights, temperature) = (dx.as_slice()?, dy.as_slice()?, dw.as_slice()?, dt.as_slice()?);
    let tangents = Tangents { x, y, weights, temperature };
    with_batch(function, inputs, cuts, kernel, |batch, nanoseconds| {
        let (n, m, lists) = (batch.x.len(), batch.y.len(), batch.temperature.len());
        let mut out = [n, m, m, lists, n].map(|n| vec![T::ZERO; n]);
        run_sized(py, function, nanoseconds * SUMS, |job| -> Result<()> {
            let [x, y, weights, temperature, grad_out] = &mut out;
            let second = Second { x, y, weights, temperature, grad: grad_out };
            pairs::second(batch, grad, tangents, second, job)
        })?;
        PyTuple::new(py, out.map(|out| out.into_pyarray(py)))
    })
}

/// The certified bound of the error of long sums, for weights whose absolute values sum to 1.
#[pyfunction]
fn pair_sums_bound(kernel: &str, single: bool) -> f64 {
    table::bound(kernel_of(kernel), if single { table::SINGLE } else { table::DOUBLE })
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pair_sums, module)?)?;
    module.add_function(wrap_pyfunction!(pair_sums_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(pair_sums_second, module)?)?;
    module.add_function(wrap_pyfunction!(pair_sums_bound, module)?)
}

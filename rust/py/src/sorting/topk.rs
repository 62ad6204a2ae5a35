//! Bindings of `argrad_core::sorting::topk`.

use super::{Floats, lists};
use crate::call::{exception, run_sized};
use argrad_core::sorting::threshold::Passes;
use argrad_core::sorting::topk::{self, COST, Kind, Problem, Settings};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// kind, p, largest, log, hard
type Options = (String, f64, bool, bool, bool);
type Array<'py, T> = Bound<'py, PyArray1<T>>;

/// The arguments that all three functions share.
struct Shared<'py> {
    function: String,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<PyReadonlyArrayDyn<'py, bool>>,
    settings: Settings,
}

fn settings((kind, p, largest, log, hard): Options) -> Settings {
    let kind = match kind.as_str() {
        "laplace" => Kind::Laplace,
        "l2" => Kind::Clip,
        "pnorm" => Kind::Power((p - 1.0).recip()),
        "gaussian" => Kind::Gaussian,
        "threshold" => Kind::Cutoff,
        _ => Kind::Logistic,
    };
    Settings { kind, largest, log, hard }
}

/// Runs `work` on the problem and the first dimension's number of lists.
fn solve<'py, T: Passes + Element>(
    py: Python<'py>,
    shared: &Shared<'py>,
    [x, k, tau]: [&PyReadonlyArrayDyn<'py, T>; 3],
    cost: usize,
    work: impl FnOnce(&Problem<'_, T>, &argrad_core::Job) -> argrad_core::Result<()> + Send,
) -> PyResult<()> {
    let bounds = shared.bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let mask = shared.mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let lists = lists(x.shape(), bounds).map_err(|error| exception(&shared.function, error))?;
    let (x, k, tau) = (x.as_slice()?, k.as_slice()?, tau.as_slice()?);
    let problem = Problem { x, k, tau, lists, mask, settings: shared.settings };
    run_sized(py, &shared.function, x.len() * cost, |job| work(&problem, job))
}

/// The soft mask, and anchor and shift of each list's threshold.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // the operator's arguments
fn soft_topk<'py>(
    py: Python<'py>,
    function: String,
    x: Floats<'py>,
    k: Floats<'py>,
    tau: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<PyReadonlyArrayDyn<'py, bool>>,
    options: Options,
) -> PyResult<(Bound<'py, PyAny>, Array<'py, f64>)> {
    let shared = Shared { function, bounds, mask, settings: settings(options) };
    match (x, k, tau) {
        (Floats::Single(x), Floats::Single(k), Floats::Single(tau)) => {
            forward(py, &shared, [&x, &k, &tau]).map(|(y, theta)| (y.into_any(), theta))
        }
        (Floats::Double(x), Floats::Double(k), Floats::Double(tau)) => {
            forward(py, &shared, [&x, &k, &tau]).map(|(y, theta)| (y.into_any(), theta))
        }
        _ => Err(mixed(&shared)),
    }
}

fn mixed(shared: &Shared<'_>) -> PyErr {
    PyTypeError::new_err(format!("{}: arrays must be of one precision, got two", shared.function))
}

fn forward<'py, T: Passes + Element>(
    py: Python<'py>,
    shared: &Shared<'py>,
    arrays: [&PyReadonlyArrayDyn<'py, T>; 3],
) -> PyResult<(Array<'py, T>, Array<'py, f64>)> {
    let mut y = vec![T::ZERO; arrays[0].len()];
    let mut thetas = vec![[f64::INFINITY, 0.0]; arrays[1].len()];
    solve(py, shared, arrays, COST[0], |problem, job| topk::forward(problem, &mut y, &mut thetas, job))?;
    Ok((y.into_pyarray(py), thetas.into_flattened().into_pyarray(py)))
}

/// Gradients to x, k and the temperature.
#[pyfunction]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the operator's arguments and gradients
fn soft_topk_vjp<'py>(
    py: Python<'py>,
    function: String,
    x: Floats<'py>,
    k: Floats<'py>,
    tau: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<PyReadonlyArrayDyn<'py, bool>>,
    options: Options,
    theta: PyReadonlyArrayDyn<'py, f64>,
    g: Floats<'py>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let shared = Shared { function, bounds, mask, settings: settings(options) };
    match (x, k, tau, g) {
        (Floats::Single(x), Floats::Single(k), Floats::Single(tau), Floats::Single(g)) => {
            vjp(py, &shared, [&x, &k, &tau], &theta, &g)
        }
        (Floats::Double(x), Floats::Double(k), Floats::Double(tau), Floats::Double(g)) => {
            vjp(py, &shared, [&x, &k, &tau], &theta, &g)
        }
        _ => Err(mixed(&shared)),
    }
}

fn vjp<'py, T: Passes + Element>(
    py: Python<'py>,
    shared: &Shared<'py>,
    arrays: [&PyReadonlyArrayDyn<'py, T>; 3],
    theta: &PyReadonlyArrayDyn<'py, f64>,
    g: &PyReadonlyArrayDyn<'py, T>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let (thetas, _) = theta.as_slice()?.as_chunks::<2>();
    let g = g.as_slice()?;
    let [mut dx, mut dk, mut dtau] = arrays.map(|array| vec![T::ZERO; array.len()]);
    let cost = COST[if shared.settings.log { 2 } else { 1 }];
    solve(py, shared, arrays, cost, |problem, job| topk::vjp(problem, thetas, g, &mut dx, &mut dk, &mut dtau, job))?;
    Ok([dx, dk, dtau].map(|out| out.into_pyarray(py).into_any()).into())
}

/// Gradients of the sum of tangents times gradients: to x, k, the temperature and the upstream gradient.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // the operator's arguments
fn soft_topk_second<'py>(
    py: Python<'py>,
    function: String,
    x: Floats<'py>,
    k: Floats<'py>,
    tau: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<PyReadonlyArrayDyn<'py, bool>>,
    options: Options,
    theta: PyReadonlyArrayDyn<'py, f64>,
    g: Floats<'py>,
    tangents: (Floats<'py>, Floats<'py>, Floats<'py>),
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let shared = Shared { function, bounds, mask, settings: settings(options) };
    match (x, k, tau, g, tangents) {
        (
            Floats::Single(x),
            Floats::Single(k),
            Floats::Single(tau),
            Floats::Single(g),
            (Floats::Single(a), Floats::Single(b), Floats::Single(c)),
        ) => second(py, &shared, [&x, &k, &tau], &theta, &g, [&a, &b, &c]),
        (
            Floats::Double(x),
            Floats::Double(k),
            Floats::Double(tau),
            Floats::Double(g),
            (Floats::Double(a), Floats::Double(b), Floats::Double(c)),
        ) => second(py, &shared, [&x, &k, &tau], &theta, &g, [&a, &b, &c]),
        _ => Err(mixed(&shared)),
    }
}

fn second<'py, T: Passes + Element>(
    py: Python<'py>,
    shared: &Shared<'py>,
    arrays: [&PyReadonlyArrayDyn<'py, T>; 3],
    theta: &PyReadonlyArrayDyn<'py, f64>,
    g: &PyReadonlyArrayDyn<'py, T>,
    [a, b, c]: [&PyReadonlyArrayDyn<'py, T>; 3],
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let (thetas, _) = theta.as_slice()?.as_chunks::<2>();
    let g = g.as_slice()?;
    let tangents = [a.as_slice()?, b.as_slice()?, c.as_slice()?];
    let [mut dx, mut dk, mut dtau] = arrays.map(|array| vec![T::ZERO; array.len()]);
    let mut dg = vec![T::ZERO; g.len()];
    solve(py, shared, arrays, COST[2], |problem, job| {
        topk::second(problem, thetas, g, tangents, &mut dx, &mut dk, &mut dtau, &mut dg, job)
    })?;
    Ok([dx, dk, dtau, dg].map(|out| out.into_pyarray(py).into_any()).into())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(soft_topk, module)?)?;
    module.add_function(wrap_pyfunction!(soft_topk_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(soft_topk_second, module)?)
}

//! Bindings of `argrad_core::decoding::{project, decode}`.

use super::Floats;
use crate::call::run_sized;
use argrad_core::decoding::decode::{self, Drawn, Places};
use argrad_core::decoding::project::{self, Found, Place, Point};
use argrad_core::decoding::{Amount, Logit, Request, Rule};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Nanoseconds that a thousand logits take, about.
const COST: usize = 300;

/// alpha, dual, and how many tokens are kept at most
type Options = (f64, bool, usize);
type Doubles<'py> = PyReadonlyArrayDyn<'py, f64>;
type Integers<'py> = PyReadonlyArrayDyn<'py, i64>;
type Ints<'py> = Bound<'py, PyArray1<i64>>;

fn amount<'a>(penalty: Option<&'a Doubles<'_>>, k: Option<&'a Integers<'_>>) -> PyResult<Amount<'a>> {
    match (penalty, k) {
        (Some(penalty), None) => Ok(Amount::Penalties(penalty.as_slice()?)),
        (None, Some(k)) => Ok(Amount::Sizes(k.as_slice()?)),
        _ => Err(PyTypeError::new_err("bregman: either penalty or k must be given, got both or neither")),
    }
}

/// Token, size and log-probability of a draw from each row.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // the operator's arguments
fn bregman_decode<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    temperature: Doubles<'py>,
    penalty: Option<Doubles<'py>>,
    k: Option<Integers<'py>>,
    places: [Integers<'py>; 3],
    options: Options,
) -> PyResult<(Ints<'py>, Ints<'py>, Bound<'py, PyArray1<f64>>)> {
    let (alpha, dual, most) = options;
    let amount = amount(penalty.as_ref(), k.as_ref())?;
    let request = Request { rule: Rule { alpha, dual }, temperatures: temperature.as_slice()?, amount, most };
    let [seeds, rows, steps] = &places;
    let places = Places { seeds: seeds.as_slice()?, rows: rows.as_slice()?, steps: steps.as_slice()? };
    let drawn = match &x {
        Floats::Single(x) => draw(py, function, x, &request, &places),
        Floats::Double(x) => draw(py, function, x, &request, &places),
    }?;
    let tokens: Vec<i64> = drawn.iter().map(|drawn| drawn.token).collect();
    let sizes: Vec<i64> = drawn.iter().map(|drawn| drawn.size).collect();
    let logs: Vec<f64> = drawn.iter().map(|drawn| drawn.log_probability).collect();
    Ok((tokens.into_pyarray(py), sizes.into_pyarray(py), logs.into_pyarray(py)))
}

fn draw<T: Logit + Element>(
    py: Python<'_>,
    function: &str,
    x: &PyReadonlyArrayDyn<'_, T>,
    request: &Request<'_>,
    places: &Places<'_>,
) -> PyResult<Vec<Drawn>> {
    let (x, v) = (x.as_slice()?, x.shape().last().copied().unwrap_or(0));
    let mut drawn = vec![Drawn::default(); request.temperatures.len()];
    run_sized(py, function, x.len() * COST / 1000, |job| decode::decode(x, v, request, places, &mut drawn, job))?;
    Ok(drawn)
}

/// Indices, values and size of each row, the values in double precision, and its largest logit and normaliser.
#[pyfunction]
#[allow(clippy::type_complexity)] // five arrays
fn bregman_project<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    temperature: Doubles<'py>,
    penalty: Option<Doubles<'py>>,
    k: Option<Integers<'py>>,
    options: Options,
) -> PyResult<(Ints<'py>, Bound<'py, PyAny>, Ints<'py>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
    let (alpha, dual, most) = options;
    let amount = amount(penalty.as_ref(), k.as_ref())?;
    let request = Request { rule: Rule { alpha, dual }, temperatures: temperature.as_slice()?, amount, most };
    match x {
        Floats::Single(x) => keep(py, function, &x, &request),
        Floats::Double(x) => keep(py, function, &x, &request),
    }
}

#[allow(clippy::type_complexity)] // five arrays
fn keep<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    request: &Request<'_>,
) -> PyResult<(Ints<'py>, Bound<'py, PyAny>, Ints<'py>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
    let (x, v) = (x.as_slice()?, x.shape().last().copied().unwrap_or(0));
    let (rows, width) = (request.temperatures.len(), request.most);
    let (mut places, mut found) = (vec![Place::default(); rows * width], vec![Found::default(); rows]);
    run_sized(py, function, x.len() * COST / 1000, |job| {
        project::project(x, v, request, (&mut places, width), &mut found, job)
    })?;
    let indices: Vec<i64> = places.iter().map(|place| place.index).collect();
    let values: Vec<T> = places.iter().map(|place| T::of(place.q)).collect();
    let exact: Vec<f64> = places.iter().map(|place| place.q).collect();
    let sizes: Vec<i64> = found.iter().map(|found| found.size).collect();
    let sums: Vec<f64> = found.iter().flat_map(|found| [found.maximum, found.z0]).collect();
    Ok((
        indices.into_pyarray(py),
        values.into_pyarray(py).into_any(),
        sizes.into_pyarray(py),
        exact.into_pyarray(py),
        sums.into_pyarray(py),
    ))
}

/// What the forward pass found: indices, values in double precision, largest logits and normalisers.
type Saved<'py> = (Integers<'py>, Doubles<'py>, Doubles<'py>);

/// Calls `work` with the point that the derivatives start from.
fn at<T: Logit + Element, R>(
    x: &PyReadonlyArrayDyn<'_, T>,
    temperature: &Doubles<'_>,
    saved: &Saved<'_>,
    g: &PyReadonlyArrayDyn<'_, T>,
    (alpha, dual, width): Options,
    work: impl FnOnce(&Point<'_, T>) -> PyResult<R>,
) -> PyResult<R> {
    let (x, v) = (x.as_slice()?, x.shape().last().copied().unwrap_or(0));
    let (indices, q, g, temperatures) =
        (saved.0.as_slice()?, saved.1.as_slice()?, g.as_slice()?, temperature.as_slice()?);
    let (found, _) = saved.2.as_slice()?.as_chunks::<2>();
    work(&Point { x, v, rule: Rule { alpha, dual }, temperatures, indices, q, width, found, g })
}

/// The gradient to the logits.
#[pyfunction]
fn bregman_project_vjp<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    temperature: Doubles<'py>,
    saved: Saved<'py>,
    g: Floats<'py>,
    options: Options,
) -> PyResult<Bound<'py, PyAny>> {
    match (x, g) {
        (Floats::Single(x), Floats::Single(g)) => gradient(py, function, &x, &temperature, &saved, &g, options),
        (Floats::Double(x), Floats::Double(g)) => gradient(py, function, &x, &temperature, &saved, &g, options),
        _ => Err(mixed(function)),
    }
}

fn mixed(function: &str) -> PyErr {
    PyTypeError::new_err(format!("{function}: arrays must be of one precision, got two"))
}

fn gradient<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    temperature: &Doubles<'py>,
    saved: &Saved<'py>,
    g: &PyReadonlyArrayDyn<'py, T>,
    options: Options,
) -> PyResult<Bound<'py, PyAny>> {
    at(x, temperature, saved, g, options, |point| {
        let mut dx = vec![T::ZERO; point.x.len()];
        run_sized(py, function, dx.len() * COST / 1000, |job| project::vjp(point, &mut dx, job))?;
        Ok(dx.into_pyarray(py).into_any())
    })
}

/// The gradients of `<tangent, vjp>` to the logits and to the upstream gradient.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // the operator's arguments
fn bregman_project_second<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    temperature: Doubles<'py>,
    saved: Saved<'py>,
    g: Floats<'py>,
    tangent: Floats<'py>,
    options: Options,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    match (x, g, tangent) {
        (Floats::Single(x), Floats::Single(g), Floats::Single(t)) => {
            curvature(py, function, &x, &temperature, &saved, &g, &t, options)
        }
        (Floats::Double(x), Floats::Double(g), Floats::Double(t)) => {
            curvature(py, function, &x, &temperature, &saved, &g, &t, options)
        }
        _ => Err(mixed(function)),
    }
}

#[allow(clippy::too_many_arguments)] // the operator's arguments
fn curvature<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    temperature: &Doubles<'py>,
    saved: &Saved<'py>,
    g: &PyReadonlyArrayDyn<'py, T>,
    tangent: &PyReadonlyArrayDyn<'py, T>,
    options: Options,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let tangent = tangent.as_slice()?;
    at(x, temperature, saved, g, options, |point| {
        let (mut dx, mut dg) = (vec![T::ZERO; point.x.len()], vec![T::ZERO; point.indices.len()]);
        run_sized(py, function, 2 * dx.len() * COST / 1000, |job| {
            project::second(point, tangent, &mut dx, &mut dg, job)
        })?;
        Ok((dx.into_pyarray(py).into_any(), dg.into_pyarray(py).into_any()))
    })
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(bregman_decode, module)?)?;
    module.add_function(wrap_pyfunction!(bregman_project, module)?)?;
    module.add_function(wrap_pyfunction!(bregman_project_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(bregman_project_second, module)?)
}

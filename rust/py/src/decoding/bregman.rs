//! Bindings of `argrad_core::decoding::{project, decode}`.

use super::truncate::{Drawn, Numbers, Place, Words, batch, columns, with_places};
use super::{Floats, items, outputs};
use crate::call::run_sized;
use argrad_core::decoding::draw::{Draw, Places};
use argrad_core::decoding::project::{self, Found, Point};
use argrad_core::decoding::{Amount, Logit, Request, Rule, decode};
use numpy::{Element, IntoPyArray, PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Nanoseconds that a thousand logits take, about.
const COST: usize = 300;

/// Temperature, penalty or k, alpha, dual, and how many tokens are kept at most.
type Options<'py> = (Numbers<'py>, Option<Numbers<'py>>, Option<Words<'py>>, f64, bool, usize);
type Doubles<'py> = PyReadonlyArrayDyn<'py, f64>;
type Integers<'py> = PyReadonlyArrayDyn<'py, i64>;
type Ints<'py> = Bound<'py, PyArrayDyn<i64>>;

/// Calls `work` with what the options ask for.
fn request<R>(
    (temperature, penalty, k, alpha, dual, most): &Options<'_>,
    work: impl FnOnce(&Request<'_>) -> PyResult<R>,
) -> PyResult<R> {
    let sizes = k.as_ref().map(Words::to_vec).transpose()?;
    let amount = match (penalty, &sizes) {
        (Some(penalty), None) => Amount::Penalties(penalty.as_slice()?),
        (None, Some(sizes)) => Amount::Sizes(sizes),
        _ => return Err(PyTypeError::new_err("either penalty or k must be given")),
    };
    let rule = Rule { alpha: *alpha, dual: *dual };
    work(&Request { rule, temperatures: temperature.as_slice()?, amount, most: *most })
}

/// Token, size and log-probability of a draw from each row.
#[pyfunction]
fn bregman_decode<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    options: Options<'py>,
    place: Place<'py>,
) -> PyResult<Drawn<'py>> {
    request(&options, |request| {
        with_places(&place, |places| match &x {
            Floats::Single(x) => draw(py, function, x, request, places),
            Floats::Double(x) => draw(py, function, x, request, places),
        })
    })
}

fn draw<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    request: &Request<'_>,
    places: &Places<'_>,
) -> PyResult<Drawn<'py>> {
    let (shape, v) = (x.shape(), x.shape().last().copied().unwrap_or(1));
    let x = x.as_slice()?;
    let mut drawn = vec![Draw::default(); x.len() / v];
    run_sized(py, function, x.len() * COST / 1000, |job| decode::decode(x, v, request, places, &mut drawn, job))?;
    columns(py, shape, &drawn)
}

/// Values, indices and sizes; where derivatives are to follow, values in double precision, and largest logits and normalisers.
type Kept<'py> = (Bound<'py, PyAny>, Ints<'py>, Ints<'py>, Option<Wide<'py>>, Option<Wide<'py>>);
type Wide<'py> = Bound<'py, PyArrayDyn<f64>>;

/// The tokens that each row keeps, and what the derivatives start from if that is to be saved.
#[pyfunction]
fn bregman_project<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    options: Options<'py>,
    save: bool,
) -> PyResult<Kept<'py>> {
    request(&options, |request| match &x {
        Floats::Single(x) => keep(py, function, x, request, save),
        Floats::Double(x) => keep(py, function, x, request, save),
    })
}

fn keep<'py, T: Logit + Element + Default>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    request: &Request<'_>,
    save: bool,
) -> PyResult<Kept<'py>> {
    let (shape, v, width) = (x.shape(), x.shape().last().copied().unwrap_or(1), request.most);
    let x = x.as_slice()?;
    let mut places = vec![project::Place::default(); x.len() / v * width];
    let mut found = vec![Found::default(); x.len() / v];
    run_sized(py, function, x.len() * COST / 1000, |job| {
        project::project(x, v, request, (&mut places, width), &mut found, job)
    })?;
    let (values, indices, sizes) = (outputs(py, shape, width), outputs(py, shape, width), batch(py, shape));
    for (place, (value, index)) in places.iter().zip(items::<T>(&values)?.iter_mut().zip(items::<i64>(&indices)?)) {
        (*value, *index) = (T::of(place.q), place.index);
    }
    for (found, size) in found.iter().zip(items::<i64>(&sizes)?) {
        *size = found.size;
    }
    if !save {
        return Ok((values.into_any(), indices, sizes, None, None));
    }
    let (exact, sums) = (outputs(py, shape, width), outputs(py, shape, 2));
    for (place, q) in places.iter().zip(items::<f64>(&exact)?) {
        *q = place.q;
    }
    for (found, sums) in found.iter().zip(items::<f64>(&sums)?.as_chunks_mut::<2>().0) {
        *sums = [found.maximum, found.z0];
    }
    Ok((values.into_any(), indices, sizes, Some(exact), Some(sums)))
}

/// alpha, dual, and places in a row
type Member = (f64, bool, usize);

/// What the forward pass found: indices, values in double precision, largest logits and normalisers.
type Saved<'py> = (Integers<'py>, Doubles<'py>, Doubles<'py>);

/// Calls `work` with the point that the derivatives start from.
fn at<T: Logit + Element, R>(
    x: &PyReadonlyArrayDyn<'_, T>,
    temperature: &Doubles<'_>,
    saved: &Saved<'_>,
    g: &PyReadonlyArrayDyn<'_, T>,
    (alpha, dual, width): Member,
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
    options: Member,
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
    options: Member,
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
    options: Member,
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
    options: Member,
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

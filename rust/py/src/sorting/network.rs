//! Bindings of `argrad_core::sorting::network`.

use super::lists;
use crate::call::{exception, run_sized};
use argrad_core::sorting::Lists;
use argrad_core::sorting::network::{self, Batch, Distribution, Form, Gradients, Lane, Wanted};
use argrad_core::{Error, Job};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Scores, the factor (its columns, if any, one more dimension), and the steepness of each list.
type Trio<'py, T> = (PyReadonlyArrayDyn<'py, T>, PyReadonlyArrayDyn<'py, T>, PyReadonlyArrayDyn<'py, T>);

#[derive(FromPyObject)]
enum Arrays<'py> {
    Single(Trio<'py, f32>),
    Double(Trio<'py, f64>),
}

/// Where lists begin and end, and which items count.
type Layout<'py> = (Option<PyReadonlyArray1<'py, i64>>, Option<PyReadonlyArrayDyn<'py, bool>>);
/// Descending, network, distribution, transposed.
type Options = (bool, String, String, bool);
/// Gradients to the three arrays; that to the factor only where it is wanted.
type Triple<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Bound<'py, PyAny>);

pub(super) fn form(name: &str) -> Result<Form, Error> {
    match name {
        "odd_even" => Ok(Form::OddEven),
        "bitonic" => Ok(Form::Bitonic),
        _ => Err(Error::Invalid(format!("network must be \"odd_even\" or \"bitonic\", got {name:?}"))),
    }
}

pub(super) fn distribution(name: &str) -> Result<Distribution, Error> {
    Ok(match name {
        "logistic" => Distribution::Logistic,
        "logistic_art" => Distribution::LogisticArt,
        "reciprocal" => Distribution::Reciprocal,
        "cauchy" => Distribution::Cauchy,
        "gaussian" => Distribution::Gaussian,
        "optimal" => Distribution::Optimal,
        _ => return Err(Error::Invalid(format!("distribution must be one of the six, got {name:?}"))),
    })
}

pub(super) fn positive_steepness<T: Lane>(steepness: &[T]) -> Result<(), Error> {
    match steepness.iter().find(|s| !(s.wide() > 0.0 && s.wide() < f64::INFINITY)) {
        None => Ok(()),
        Some(wrong) => Err(Error::Invalid(format!("steepness must be a finite number > 0.0, got {}", wrong.wide()))),
    }
}

/// What a call works on, borrowed from Python.
struct Call<'a, T> {
    batch: Batch<'a, T>,
    v: &'a [T],
    columns: usize,
    transposed: bool,
    nanoseconds: usize,
}

/// Runs `work` on the borrowed arguments, in the time that `passes` over the networks take.
fn with<T: Lane + Element, R: Send>(
    py: Python<'_>,
    function: &str,
    arrays: &Trio<'_, T>,
    layout: &Layout<'_>,
    options: &Options,
    passes: usize,
    work: impl FnOnce(&Call<'_, T>, &Job) -> argrad_core::Result<R> + Send,
) -> PyResult<R> {
    let (x, v, steepness) = arrays;
    let bounds = layout.0.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let mask = layout.1.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let lists = lists(x.shape(), bounds).map_err(|error| exception(function, error))?;
    let (form, distribution) = form(&options.1)
        .and_then(|form| Ok((form, distribution(&options.2)?)))
        .map_err(|error| exception(function, error))?;
    let columns = if v.ndim() == x.ndim() { 1 } else { v.shape().last().copied().unwrap_or(1) };
    let (x, v, steepness) = (x.as_slice()?, v.as_slice()?, steepness.as_slice()?);
    let fits = v.len() == x.len() * columns
        && (steepness.len() == lists.count() || x.is_empty())
        && mask.is_none_or(|mask| mask.len() == x.len());
    if !fits {
        let error = Error::Invalid(format!("v must be of {} rows, got {} numbers", x.len(), v.len()));
        return Err(exception(function, error));
    }
    positive_steepness(steepness).map_err(|error| exception(function, error))?;
    let batch = Batch { x, steepness, lists: &lists, mask, form, distribution, descending: options.0 };
    let nanoseconds = passes * (1 + columns) * cost(form, &lists);
    let call = Call { batch, v, columns, transposed: options.3, nanoseconds };
    run_sized(py, function, call.nanoseconds, |job| work(&call, job))
}

/// What the comparators of all lists take, about, in nanoseconds.
pub(super) fn cost(form: Form, lists: &Lists<'_>) -> usize {
    if let Some(length) = lists.length() {
        return lists.count() * network::comparators(form, length);
    }
    (0..lists.count()).map(|list| network::comparators(form, lists.range(list).len())).sum()
}

/// P v or P^T v, flat.
#[pyfunction]
fn network_product<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Arrays<'py>,
    layout: Layout<'py>,
    options: Options,
) -> PyResult<Bound<'py, PyAny>> {
    match arrays {
        Arrays::Single(arrays) => product(py, function, &arrays, &layout, &options).map(Bound::into_any),
        Arrays::Double(arrays) => product(py, function, &arrays, &layout, &options).map(Bound::into_any),
    }
}

fn product<'py, T: Lane + Element>(
    py: Python<'py>,
    function: &str,
    arrays: &Trio<'py, T>,
    layout: &Layout<'py>,
    options: &Options,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    let out = with(py, function, arrays, layout, options, 1, |call, job| {
        let mut out = vec![T::default(); call.v.len()];
        network::product(&call.batch, call.v, call.columns, call.transposed, &mut out, job).map(|()| out)
    })?;
    Ok(out.into_pyarray(py))
}

/// Gradients of `<gradient, product>` to scores, factor (if `to_v`) and steepness, flat.
#[pyfunction]
fn network_vjp<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Arrays<'py>,
    gradient: Bound<'py, PyAny>,
    layout: Layout<'py>,
    options: Options,
    to_v: bool,
) -> PyResult<Triple<'py>> {
    match arrays {
        Arrays::Single(arrays) => vjp(py, function, &arrays, &gradient.extract()?, &layout, &options, to_v),
        Arrays::Double(arrays) => vjp(py, function, &arrays, &gradient.extract()?, &layout, &options, to_v),
    }
}

fn vjp<'py, T: Lane + Element>(
    py: Python<'py>,
    function: &str,
    arrays: &Trio<'py, T>,
    gradient: &PyReadonlyArrayDyn<'py, T>,
    layout: &Layout<'py>,
    options: &Options,
    to_v: bool,
) -> PyResult<Triple<'py>> {
    let gradient = gradient.as_slice()?;
    let wanted = Wanted { v: to_v, product: false };
    let Gradients { x, v, steepness, .. } = with(py, function, arrays, layout, options, 3, |call, job| {
        network::vjp(&call.batch, call.v, call.columns, call.transposed, gradient, wanted, job)
    })?;
    let v = to_v.then(|| v.into_pyarray(py).into_any());
    Ok((x.into_pyarray(py).into_any(), v, steepness.into_pyarray(py).into_any()))
}

/// Gradients of `<tangents, network_vjp>` to scores, factor, steepness and `gradient`, flat.
#[pyfunction]
fn network_second<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Trio<'py, f64>,
    gradient: PyReadonlyArrayDyn<'py, f64>,
    tangents: Trio<'py, f64>,
    layout: Layout<'py>,
    options: Options,
) -> PyResult<[Bound<'py, PyArray1<f64>>; 4]> {
    let gradient = gradient.as_slice()?;
    let tangents = [tangents.0.as_slice()?, tangents.1.as_slice()?, tangents.2.as_slice()?];
    let found = with(py, function, &arrays, &layout, &options, 60, |call, job| {
        network::second(&call.batch, call.v, call.columns, call.transposed, gradient, tangents, job)
    })?;
    Ok([found.x, found.v, found.steepness, found.product].map(|part| part.into_pyarray(py)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(network_product, module)?)?;
    module.add_function(wrap_pyfunction!(network_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(network_second, module)?)
}

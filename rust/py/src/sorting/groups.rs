//! Bindings of `argrad_core::sorting::groups`.

use super::network::{cost, distribution, form, positive_steepness};
use crate::call::{exception, run_sized};
use argrad_core::sorting::Lists;
use argrad_core::sorting::groups::{self, Found, Gradients, Groups, Mean, Score};
use argrad_core::{Error, Job};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Scores and the steepness of each list.
type Pair<'py, T> = (PyReadonlyArrayDyn<'py, T>, PyReadonlyArrayDyn<'py, T>);

#[derive(FromPyObject)]
enum Arrays<'py> {
    Single(Pair<'py, f32>),
    Double(Pair<'py, f64>),
}

/// Which items are positives, and which count.
type Labels<'py> = (PyReadonlyArrayDyn<'py, bool>, Option<PyReadonlyArrayDyn<'py, bool>>);
/// Negatives, network, distribution, logarithms, and in how many runs of lists there are means; see [`mean`].
type Options = (Option<usize>, String, String, bool, Option<usize>);

/// One mean for each list, or one for each run of equally many lists.
const fn mean(runs: Option<usize>, lists: usize) -> Mean {
    match runs {
        None => Mean::No,
        Some(runs) if runs == lists => Mean::Items,
        Some(runs) => Mean::Lists(runs),
    }
}

/// Runs `work` on the borrowed arguments, in the time that `passes` over the networks take.
fn with<T: Score + Element, R: Send>(
    py: Python<'_>,
    function: &str,
    (x, steepness): &Pair<'_, T>,
    (positive, mask): &Labels<'_>,
    (negatives, network, law, log, runs): &Options,
    passes: usize,
    work: impl FnOnce(&Groups<'_, T>, &Job) -> argrad_core::Result<R> + Send,
) -> PyResult<R> {
    let length = x.shape().last().copied().unwrap_or(0);
    let (x, steepness, positive) = (x.as_slice()?, steepness.as_slice()?, positive.as_slice()?);
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let options = positive_steepness(steepness).and_then(|()| Ok((form(network)?, distribution(law)?)));
    let (form, distribution) = options.map_err(|error| exception(function, error))?;
    if positive.len() != x.len()
        || steepness.len() * length != x.len()
        || mask.is_some_and(|mask| mask.len() != x.len())
    {
        let error = Error::Invalid(format!("positive must be of {} items, got {}", x.len(), positive.len()));
        return Err(exception(function, error));
    }
    let negatives = negatives.unwrap_or(usize::MAX);
    let (log, mean) = (*log, mean(*runs, steepness.len()));
    let groups = Groups { x, steepness, length, positive, mask, negatives, form, distribution, log, mean };
    let nanoseconds = passes * 2 * cost(form, &Lists::even(steepness.len(), length));
    run_sized(py, function, nanoseconds, |job| work(&groups, job))
}

/// Probabilities, counts, the order of the items, and the slopes of the means if they are wanted.
#[pyfunction]
fn group_order<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Arrays<'py>,
    labels: Labels<'py>,
    options: Options,
    slopes: bool,
) -> PyResult<[Bound<'py, PyAny>; 4]> {
    match arrays {
        Arrays::Single(arrays) => forward(py, function, &arrays, &labels, &options, slopes),
        Arrays::Double(arrays) => forward(py, function, &arrays, &labels, &options, slopes),
    }
}

fn forward<'py, T: Score + Element>(
    py: Python<'py>,
    function: &str,
    arrays: &Pair<'py, T>,
    labels: &Labels<'py>,
    options: &Options,
    slopes: bool,
) -> PyResult<[Bound<'py, PyAny>; 4]> {
    let passes = if slopes { 3 } else { 1 };
    let Found { value, count, order, slopes } =
        with(py, function, arrays, labels, options, passes, |groups, job| groups::forward(groups, slopes, job))?;
    Ok([
        value.into_pyarray(py).into_any(),
        count.into_pyarray(py).into_any(),
        order.into_pyarray(py).into_any(),
        slopes.into_pyarray(py).into_any(),
    ])
}

/// Gradients of `<gradient, probabilities>` to scores and steepness, flat.
#[pyfunction]
fn group_order_vjp<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Arrays<'py>,
    labels: Labels<'py>,
    options: Options,
    order: PyReadonlyArrayDyn<'py, i32>,
    gradient: Bound<'py, PyAny>,
) -> PyResult<[Bound<'py, PyAny>; 2]> {
    match arrays {
        Arrays::Single(arrays) => vjp(py, function, &arrays, &labels, &options, &order, &gradient.extract()?),
        Arrays::Double(arrays) => vjp(py, function, &arrays, &labels, &options, &order, &gradient.extract()?),
    }
}

fn vjp<'py, T: Score + Element>(
    py: Python<'py>,
    function: &str,
    arrays: &Pair<'py, T>,
    labels: &Labels<'py>,
    options: &Options,
    order: &PyReadonlyArrayDyn<'py, i32>,
    gradient: &PyReadonlyArrayDyn<'py, T>,
) -> PyResult<[Bound<'py, PyAny>; 2]> {
    let (order, gradient) = (order.as_slice()?, gradient.as_slice()?);
    let Gradients { x, steepness } =
        with(py, function, arrays, labels, options, 3, |groups, job| groups::vjp(groups, order, gradient, job))?;
    Ok([x.into_pyarray(py).into_any(), steepness.into_pyarray(py).into_any()])
}

/// The gradient to the scores from kept slopes and the gradient to the means, flat.
#[pyfunction]
fn group_order_scaled<'py>(py: Python<'py>, arrays: Arrays<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match arrays {
        Arrays::Single((slopes, gradient)) => {
            groups::scaled(slopes.as_slice()?, gradient.as_slice()?).into_pyarray(py).into_any()
        }
        Arrays::Double((slopes, gradient)) => {
            groups::scaled(slopes.as_slice()?, gradient.as_slice()?).into_pyarray(py).into_any()
        }
    })
}

/// Gradients of `<tangents, group_order_vjp>` to scores, steepness and `gradient`, flat.
#[pyfunction]
fn group_order_second<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Pair<'py, f64>,
    labels: Labels<'py>,
    options: Options,
    order: PyReadonlyArrayDyn<'py, i32>,
    moved: (PyReadonlyArrayDyn<'py, f64>, Pair<'py, f64>),
) -> PyResult<[Bound<'py, PyArray1<f64>>; 3]> {
    let (order, gradient) = (order.as_slice()?, moved.0.as_slice()?);
    let tangents = [moved.1.0.as_slice()?, moved.1.1.as_slice()?];
    let (found, gradient) = with(py, function, &arrays, &labels, &options, 80, |groups, job| {
        groups::second(groups, order, gradient, tangents, job)
    })?;
    Ok([found.x, found.steepness, gradient].map(|part| part.into_pyarray(py)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(group_order, module)?)?;
    module.add_function(wrap_pyfunction!(group_order_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(group_order_scaled, module)?)?;
    module.add_function(wrap_pyfunction!(group_order_second, module)?)
}

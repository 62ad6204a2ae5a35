//! Bindings of `argrad_core::sorting::laplace`.

use super::products::mixed;
use super::{Floats, lists};
use crate::call::{exception, run_sized};
use argrad_core::Dual;
use argrad_core::sorting::laplace::{self, Gradients, Inputs, Task};
use argrad_core::sorting::order::Key;
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

type Dense<'py, T> = PyReadonlyArrayDyn<'py, T>;
type Flat<'py, T> = Bound<'py, PyArray1<T>>;
type Three<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

const fn task(sorts: bool) -> Task {
    if sorts { Task::Sort } else { Task::Rank }
}

/// Soft ranks, or with `sorts` softly sorted values, and the order of each list, as flat arrays.
#[pyfunction]
fn laplace_values<'py>(
    py: Python<'py>,
    function: &str,
    sorts: bool,
    x: Floats<'py>,
    strength: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<Dense<'py, bool>>,
    descending: bool,
) -> PyResult<(Bound<'py, PyAny>, Flat<'py, i32>)> {
    use Floats::{Double, Single};
    match (x, strength) {
        (Single(x), Single(t)) => {
            values(py, function, sorts, &x, &t, bounds, mask, descending).map(|(y, o)| (y.into_any(), o))
        }
        (Double(x), Double(t)) => {
            values(py, function, sorts, &x, &t, bounds, mask, descending).map(|(y, o)| (y.into_any(), o))
        }
        _ => Err(mixed()),
    }
}

fn values<'py, T: Key + Element>(
    py: Python<'py>,
    function: &str,
    sorts: bool,
    x: &Dense<'py, T>,
    strength: &Dense<'py, T>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<Dense<'py, bool>>,
    descending: bool,
) -> PyResult<(Flat<'py, T>, Flat<'py, i32>)> {
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let lists = lists(x.shape(), bounds).map_err(|error| exception(function, error))?;
    let (x, t) = (x.as_slice()?, strength.as_slice()?);
    let (mut y, mut places) = (vec![T::ZERO; x.len()], vec![-1; x.len()]);
    run_sized(py, function, x.len() * laplace::COST, |job| {
        laplace::values(task(sorts), x, &lists, mask, t, descending, &mut y, &mut places, job)
    })?;
    Ok((y.into_pyarray(py), places.into_pyarray(py)))
}

/// The gradients of `<g, values>` to scores, g and strengths; or, with tangents of the scores and of the strengths, the
/// derivatives of these gradients along the tangents.
#[pyfunction]
fn laplace_gradients<'py>(
    py: Python<'py>,
    function: &str,
    sorts: bool,
    x: Floats<'py>,
    g: Floats<'py>,
    strength: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    places: Dense<'py, i32>,
    descending: bool,
    tangents: Option<(Floats<'py>, Floats<'py>)>,
) -> PyResult<Three<'py>> {
    use Floats::{Double, Single};
    match (x, g, strength, tangents) {
        (Single(x), Single(g), Single(t), None) => {
            gradients(py, function, sorts, [&x, &g, &t], bounds, &places, descending, None)
        }
        (Double(x), Double(g), Double(t), None) => {
            gradients(py, function, sorts, [&x, &g, &t], bounds, &places, descending, None)
        }
        (Single(x), Single(g), Single(t), Some((Single(dx), Single(dt)))) => {
            gradients(py, function, sorts, [&x, &g, &t], bounds, &places, descending, Some([&dx, &dt]))
        }
        (Double(x), Double(g), Double(t), Some((Double(dx), Double(dt)))) => {
            gradients(py, function, sorts, [&x, &g, &t], bounds, &places, descending, Some([&dx, &dt]))
        }
        _ => Err(mixed()),
    }
}

fn gradients<'py, T: Key + Element>(
    py: Python<'py>,
    function: &str,
    sorts: bool,
    arrays: [&Dense<'py, T>; 3],
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    places: &Dense<'py, i32>,
    descending: bool,
    tangents: Option<[&Dense<'py, T>; 2]>,
) -> PyResult<Three<'py>> {
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let lists = lists(arrays[0].shape(), bounds).map_err(|error| exception(function, error))?;
    let (places, task) = (places.as_slice()?, task(sorts));
    let [x, g, t] = [arrays[0].as_slice()?, arrays[1].as_slice()?, arrays[2].as_slice()?];
    let [mut to_x, mut to_g, mut to_t] = [x, g, t].map(|slice| vec![T::ZERO; slice.len()]);
    let mut out = Gradients { x: &mut to_x, g: &mut to_g, strength: &mut to_t };
    let nanoseconds = x.len() * laplace::COST;
    if let Some([dx, dt]) = tangents {
        let (dx, dt) = (dx.as_slice()?, dt.as_slice()?);
        let dual = |value: &[T], slope: &[T], i: usize| Dual::new(value[i].wide(), slope[i].wide());
        let inputs = Inputs {
            x: |i| dual(x, dx, i),
            g: |i: usize| Dual::new(g[i].wide(), 0.0),
            strength: |i| dual(t, dt, i),
            places,
            descending,
        };
        run_sized(py, function, 4 * nanoseconds, |job| {
            laplace::gradients(task, &lists, &inputs, |y: Dual| T::of(y.slope), &mut out, job)
        })?;
    } else {
        let inputs = Inputs {
            x: |i: usize| x[i].wide(),
            g: |i: usize| g[i].wide(),
            strength: |i: usize| t[i].wide(),
            places,
            descending,
        };
        run_sized(py, function, nanoseconds, |job| laplace::gradients(task, &lists, &inputs, T::of, &mut out, job))?;
    }
    let flat = |values: Vec<T>| values.into_pyarray(py).into_any();
    Ok((flat(to_x), flat(to_g), flat(to_t)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(laplace_values, module)?)?;
    module.add_function(wrap_pyfunction!(laplace_gradients, module)?)
}

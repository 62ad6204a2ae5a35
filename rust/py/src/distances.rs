//! Bindings of `argrad_core::topology::distances`.

use crate::call::run;
use argrad_core::topology::distances::{self, Bars, Cost, Norm, Point};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

type Ends<'py> = PyReadonlyArray2<'py, f64>;
type Groups<'py> = PyReadonlyArray1<'py, i64>;
type Vector<'py, T> = Bound<'py, PyArray1<T>>;
/// Partners of the first bars and of the second, and the distance of each group.
type Matched<'py> = (Vector<'py, i64>, Vector<'py, i64>, Vector<'py, f64>);
/// Shares of the first bars and of the second, and their slopes.
type Sliced<'py> = (Vector<'py, f64>, Vector<'py, f64>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>);

fn bars<'a>(points: &'a Ends<'_>, groups: &'a Groups<'_>) -> PyResult<Bars<'a>> {
    let (points, groups) = (points.as_slice()?.as_chunks().0, groups.as_slice()?);
    // The callers of this private function build both; a mismatch would be theirs.
    assert_eq!(points.len(), groups.len(), "bars and groups");
    Ok(Bars { points, groups })
}

/// The optimal matchings of pairs of diagrams; an infinite `order` asks for the bottleneck.
#[pyfunction]
fn diagram_matchings<'py>(
    py: Python<'py>,
    function: &str,
    first: (Ends<'py>, Groups<'py>),
    second: (Ends<'py>, Groups<'py>),
    order: f64,
    internal: f64,
) -> PyResult<Matched<'py>> {
    let (x, y) = (bars(&first.0, &first.1)?, bars(&second.0, &second.1)?);
    let transport = Cost::Transport { order, internal: Norm::of(internal) };
    let cost = if order.is_infinite() { Cost::Bottleneck } else { transport };
    let found = run(py, function, None, |job| distances::match_diagrams(x, y, cost, job))?;
    Ok((found.first.into_pyarray(py), found.second.into_pyarray(py), found.distance.into_pyarray(py)))
}

/// The sliced Wasserstein distances of pairs of diagrams.
#[pyfunction]
fn diagram_slices<'py>(
    py: Python<'py>,
    function: &str,
    first: (Ends<'py>, Groups<'py>),
    second: (Ends<'py>, Groups<'py>),
    directions: usize,
) -> PyResult<Sliced<'py>> {
    let (x, y) = (bars(&first.0, &first.1)?, bars(&second.0, &second.1)?);
    let found = run(py, function, None, |job| distances::sliced(x, y, directions, job))?;
    let matrix = |slopes: Vec<Point>| {
        let size = (slopes.len(), 2);
        Array2::from_shape_vec(size, slopes.into_flattened()).unwrap_or_default().into_pyarray(py)
    };
    let ([a, b], [c, d]) = (found.shares, found.slopes);
    Ok((a.into_pyarray(py), b.into_pyarray(py), matrix(c), matrix(d)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(diagram_matchings, module)?)?;
    module.add_function(wrap_pyfunction!(diagram_slices, module)?)
}

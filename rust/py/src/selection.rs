//! Bindings of `argrad_core::selection`: one short function each.

use crate::call::run;
use crate::seeding::Matrix;
use argrad_core::selection::draws::{self, Scheme};
use argrad_core::selection::inclusion::{self, Inclusion};
use argrad_core::selection::{Drawn, chain, clusters, keys};
use argrad_core::{Error, Job, Real};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;

type Indices<'py> = Bound<'py, PyArray1<i64>>;
type Weights<'py> = Bound<'py, PyArray1<f64>>;

/// A contiguous vector of one of the two number types.
#[derive(FromPyObject)]
enum Vector<'py> {
    Single(PyReadonlyArray1<'py, f32>),
    Double(PyReadonlyArray1<'py, f64>),
}

fn wide(rows: Vec<usize>) -> Vec<i64> {
    rows.into_iter().map(|row| row as i64).collect()
}

/// Row numbers that came from Python; negative ones become numbers that no length reaches.
fn narrow(rows: &[i64]) -> Vec<usize> {
    rows.iter().map(|&row| usize::try_from(row).unwrap_or(usize::MAX)).collect()
}

fn scheme(method: &str) -> Result<Scheme, Error> {
    match method {
        "systematic" => Ok(Scheme::Systematic),
        "pivotal" => Ok(Scheme::Pivotal),
        "poisson" => Ok(Scheme::Poisson),
        other => Err(Error::Invalid(format!("method must be a known one, got {other:?}"))),
    }
}

fn sample<T: Real>(
    weights: &[T],
    size: usize,
    replace: bool,
    method: &str,
    (sorted, with_weights): (bool, bool),
    seed: u64,
    job: &Job,
) -> Result<Drawn, Error> {
    match (method, replace) {
        ("keys", false) => keys::keys(weights, size, with_weights, seed, job),
        ("multinomial", true) => draws::multinomial(weights, size, sorted, with_weights, seed, job),
        ("systematic", true) => draws::systematic_repeated(weights, size, with_weights, seed, job),
        _ => {
            let inclusion = Inclusion::of(weights, size, job)?;
            draws::without_replacement(weights, &inclusion, size, scheme(method)?, with_weights, seed, job)
        }
    }
}

/// Draws rows in proportion to weights: `(rows, inverse probabilities)`, the latter empty unless asked for.
#[pyfunction]
fn weighted_sample<'py>(
    py: Python<'py>,
    function: &str,
    weights: Vector<'py>,
    size: usize,
    replace: bool,
    method: &str,
    sorted: bool,
    with_weights: bool,
    seed: u64,
) -> PyResult<(Indices<'py>, Weights<'py>)> {
    let wanted = (sorted, with_weights);
    let (rows, inverse) = match &weights {
        Vector::Single(weights) => {
            let weights = weights.as_slice()?;
            run(py, function, None, |job| sample(weights, size, replace, method, wanted, seed, job).map(finished))
        }
        Vector::Double(weights) => {
            let weights = weights.as_slice()?;
            run(py, function, None, |job| sample(weights, size, replace, method, wanted, seed, job).map(finished))
        }
    }?;
    Ok((rows.into_pyarray(py), inverse.into_pyarray(py)))
}

fn finished(drawn: Drawn) -> (Vec<i64>, Vec<f64>) {
    (wide(drawn.rows), drawn.weights)
}

/// `min(1, tau w)` for all rows, of sum `size`.
#[pyfunction]
fn inclusion_probabilities<'py>(
    py: Python<'py>,
    function: &str,
    weights: PyReadonlyArray1<'py, f64>,
    size: usize,
) -> PyResult<Weights<'py>> {
    let weights = weights.as_slice()?;
    Ok(run(py, function, None, |job| inclusion::inclusion(weights, size, job))?.into_pyarray(py))
}

/// Draws rows without replacement with given inclusion probabilities of sum `size`.
#[pyfunction]
fn draw_included<'py>(
    py: Python<'py>,
    function: &str,
    probabilities: PyReadonlyArray1<'py, f64>,
    size: usize,
    method: &str,
    seed: u64,
) -> PyResult<Indices<'py>> {
    let given = probabilities.as_slice()?;
    let rows = run(py, function, None, |job| {
        let inclusion = Inclusion::given(given);
        draws::without_replacement(given, &inclusion, size, scheme(method)?, false, seed, job)
    })?;
    Ok(wide(rows.rows).into_pyarray(py))
}

/// The rows by cluster and distance, and where each cluster begins.
#[pyfunction]
fn cluster_order<'py>(
    py: Python<'py>,
    function: &str,
    labels: PyReadonlyArray1<'py, i64>,
    k: usize,
    distances: PyReadonlyArray1<'py, f64>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
) -> PyResult<(Indices<'py>, Indices<'py>)> {
    let (labels, distances) = (labels.as_slice()?, distances.as_slice()?);
    let weights = weights.as_ref().map(|weights| weights.as_slice()).transpose()?;
    let (rows, starts) = run(py, function, None, |job| {
        clusters::order(&narrow(labels), k, distances, weights, job).map(|(rows, starts)| (wide(rows), wide(starts)))
    })?;
    Ok((rows.into_pyarray(py), starts.into_pyarray(py)))
}

/// The centres from the first on, each followed by the nearest of those that are left.
#[pyfunction]
fn center_chain<'py>(py: Python<'py>, function: &str, centers: Matrix<'py>) -> PyResult<Indices<'py>> {
    let order = match &centers {
        Matrix::Single(centers) => {
            let (rows, d) = (centers.as_slice()?, centers.shape()[1]);
            run(py, function, None, |job| chain::chain(rows, d, job))
        }
        Matrix::Double(centers) => {
            let (rows, d) = (centers.as_slice()?, centers.shape()[1]);
            run(py, function, None, |job| chain::chain(rows, d, job))
        }
    }?;
    Ok(wide(order).into_pyarray(py))
}

/// Up to `most` uniform members of each cluster: positions in the order of [`cluster_order`].
#[pyfunction]
fn pilot_rows<'py>(
    py: Python<'py>,
    starts: PyReadonlyArray1<'py, i64>,
    most: usize,
    seed: u64,
) -> PyResult<Indices<'py>> {
    Ok(wide(clusters::pilot(&narrow(starts.as_slice()?), most, seed)).into_pyarray(py))
}

/// A proportional number of uniform members of each cluster: positions in the order, and these numbers.
#[pyfunction]
fn stratified_rows<'py>(
    py: Python<'py>,
    starts: PyReadonlyArray1<'py, i64>,
    size: usize,
    seed: u64,
) -> PyResult<(Indices<'py>, Indices<'py>)> {
    let (rows, sizes) = clusters::stratified(&narrow(starts.as_slice()?), size, seed);
    Ok((wide(rows).into_pyarray(py), wide(sizes).into_pyarray(py)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(weighted_sample, module)?)?;
    module.add_function(wrap_pyfunction!(inclusion_probabilities, module)?)?;
    module.add_function(wrap_pyfunction!(draw_included, module)?)?;
    module.add_function(wrap_pyfunction!(cluster_order, module)?)?;
    module.add_function(wrap_pyfunction!(center_chain, module)?)?;
    module.add_function(wrap_pyfunction!(pilot_rows, module)?)?;
    module.add_function(wrap_pyfunction!(stratified_rows, module)?)
}

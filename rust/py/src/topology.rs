//! Bindings of `argrad_core::topology`.

use crate::call::{exception, run, run_sized};
use crate::sorting::Floats;
use argrad_core::Error;
use argrad_core::topology::{self, Barcodes, Comparison, How, Options, Ring, Rule, Stack, Value};
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

type Dense<'py, T> = PyReadonlyArrayDyn<'py, T>;
type Indices<'py> = Bound<'py, PyArray1<i64>>;
/// Superlevel, full connectivity, threshold, ring ("none", "lowest", "constant"), its constant, degrees, essential.
type Filtration = (bool, bool, Option<f64>, String, f64, [bool; 3], bool);
/// Image, degree, birth voxel and death voxel of each bar.
type Bars<'py> = (Indices<'py>, Bound<'py, PyArray1<u8>>, Indices<'py>, Indices<'py>);
/// Bars of both, pairs of places, places without a partner.
type Matched<'py> = (Bars<'py>, Bars<'py>, Bound<'py, PyArray2<i64>>, Indices<'py>, Indices<'py>);

fn options(filtration: Filtration) -> Options {
    let (superlevel, full, threshold, ring, constant, degrees, essential) = filtration;
    let ring = match ring.as_str() {
        "lowest" => Ring::Lowest,
        "constant" => Ring::Constant(constant),
        _ => Ring::None,
    };
    Options { superlevel, full, threshold, ring, degrees, essential }
}

/// The barcodes of the images that the first `lead` axes of `x` count.
#[pyfunction]
fn barcodes<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    lead: usize,
    filtration: Filtration,
) -> PyResult<Bars<'py>> {
    match x {
        Floats::Single(x) => barcodes_of(py, function, &x, lead, filtration),
        Floats::Double(x) => barcodes_of(py, function, &x, lead, filtration),
    }
}

fn stack<'a, T: Element>(name: &'static str, x: &'a Dense<'_, T>, lead: usize) -> PyResult<Stack<'a, T>> {
    Ok(Stack { name, voxels: x.as_slice()?, shape: x.shape(), lead: lead.min(x.shape().len()) })
}

fn barcodes_of<'py, T: Value + Element>(
    py: Python<'py>,
    function: &str,
    x: &Dense<'py, T>,
    lead: usize,
    filtration: Filtration,
) -> PyResult<Bars<'py>> {
    let (x, options) = (stack("x", x, lead)?, options(filtration));
    run(py, function, None, |job| topology::barcodes(x, &options, job)).map(|found| bars(py, found))
}

/// The Betti matchings of the images that the first `lead` axes of two arrays of one shape count.
#[pyfunction]
fn betti_matchings<'py>(
    py: Python<'py>,
    function: &str,
    prediction: Floats<'py>,
    target: Floats<'py>,
    lead: usize,
    filtration: Filtration,
    intersection: bool,
    strict: bool,
) -> PyResult<Matched<'py>> {
    let how = How {
        comparison: if intersection { Comparison::Intersection } else { Comparison::Union },
        rule: if strict { Rule::Strict } else { Rule::Refined },
    };
    match (prediction, target) {
        (Floats::Single(f), Floats::Single(g)) => matchings_of(py, function, [&f, &g], lead, filtration, how),
        (Floats::Double(f), Floats::Double(g)) => matchings_of(py, function, [&f, &g], lead, filtration, how),
        _ => Err(exception(function, Error::Invalid("images must be of one dtype, got two".into()))),
    }
}

fn matchings_of<'py, T: Value + Element>(
    py: Python<'py>,
    function: &str,
    [f, g]: [&Dense<'py, T>; 2],
    lead: usize,
    filtration: Filtration,
    how: How,
) -> PyResult<Matched<'py>> {
    if f.shape() != g.shape() {
        let text = format!("target must be of shape {:?} like prediction, got {:?}", f.shape(), g.shape());
        return Err(exception(function, Error::Invalid(text)));
    }
    let (f, g, options) = (stack("prediction", f, lead)?, stack("target", g, lead)?, options(filtration));
    let found = run(py, function, None, |job| topology::matchings(f, g, &options, how, job))?;
    let pairs: Vec<_> = found.pairs.into_iter().flatten().collect();
    let pairs = numpy::ndarray::Array2::from_shape_vec((pairs.len() / 2, 2), pairs).unwrap_or_default();
    Ok((
        bars(py, found.prediction),
        bars(py, found.target),
        pairs.into_pyarray(py),
        found.alone_in_prediction.into_pyarray(py),
        found.alone_in_target.into_pyarray(py),
    ))
}

/// The Betti numbers of the masks (0 or 1) that the first `lead` axes count, one row of d numbers each.
#[pyfunction]
fn betti_numbers<'py>(
    py: Python<'py>,
    function: &str,
    mask: Dense<'py, u8>,
    lead: usize,
    full: bool,
) -> PyResult<Indices<'py>> {
    let mask = stack("mask", &mask, lead)?;
    let cost = mask.voxels.len() / 2;
    run_sized(py, function, cost, |job| topology::betti_numbers(mask, full, job)).map(|found| found.into_pyarray(py))
}

/// The Euler characteristics of the masks (0 or 1) that the first `lead` axes count.
#[pyfunction]
fn euler_characteristics<'py>(
    py: Python<'py>,
    function: &str,
    mask: Dense<'py, u8>,
    lead: usize,
    full: bool,
) -> PyResult<Indices<'py>> {
    let mask = stack("x", &mask, lead)?;
    let cost = mask.voxels.len() / 4;
    run_sized(py, function, cost, |job| topology::euler_characteristics(mask, full, job))
        .map(|found| found.into_pyarray(py))
}

/// The Euler characteristics of sublevel sets at rising thresholds, one row for each image.
#[pyfunction]
fn euler_curves<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    lead: usize,
    thresholds: Vec<f64>,
    full: bool,
) -> PyResult<Indices<'py>> {
    match x {
        Floats::Single(x) => curves_of(py, function, &x, lead, &thresholds, full),
        Floats::Double(x) => curves_of(py, function, &x, lead, &thresholds, full),
    }
}

fn curves_of<'py, T: Value + Element>(
    py: Python<'py>,
    function: &str,
    x: &Dense<'py, T>,
    lead: usize,
    thresholds: &[f64],
    full: bool,
) -> PyResult<Indices<'py>> {
    let x = stack("x", x, lead)?;
    run_sized(py, function, x.voxels.len() * 10, |job| topology::euler_curves(x, thresholds, full, job))
        .map(|found| found.into_pyarray(py))
}

fn bars(py: Python<'_>, found: Barcodes) -> Bars<'_> {
    (
        found.image.into_pyarray(py),
        found.dimension.into_pyarray(py),
        found.birth.into_pyarray(py),
        found.death.into_pyarray(py),
    )
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(barcodes, module)?)?;
    module.add_function(wrap_pyfunction!(betti_matchings, module)?)?;
    module.add_function(wrap_pyfunction!(betti_numbers, module)?)?;
    module.add_function(wrap_pyfunction!(euler_characteristics, module)?)?;
    module.add_function(wrap_pyfunction!(euler_curves, module)?)
}

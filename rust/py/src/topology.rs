//! Bindings of `argrad_core::topology`.

use crate::call::{run, run_sized};
use crate::sorting::Floats;
use argrad_core::topology::{self, Barcodes, Comparison, How, Images, Matching, Options, Ring, Rule, Stack};
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

/// Arrays of images: each with the number of its leading axes that count them.
type List<'py> = Vec<(Floats<'py>, usize)>;

fn stack<'a, T: Element>(name: &'static str, x: &'a Dense<'_, T>, lead: usize) -> PyResult<Stack<'a, T>> {
    Ok(Stack { name, voxels: x.as_slice()?, shape: x.shape(), lead: lead.min(x.shape().len()), item: None })
}

/// The arrays of a list; errors say which one of them it was if there may be several.
fn images<'a>(name: &'static str, list: &'a List<'_>, listed: bool) -> PyResult<Vec<Images<'a>>> {
    let one = |(i, (x, lead)): (usize, &'a (Floats<'_>, usize))| -> PyResult<_> {
        let item = listed.then_some(i);
        Ok(match x {
            Floats::Single(x) => Images::Single(Stack { item, ..stack(name, x, *lead)? }),
            Floats::Double(x) => Images::Double(Stack { item, ..stack(name, x, *lead)? }),
        })
    };
    list.iter().enumerate().map(one).collect()
}

/// The barcodes of the images of each array.
#[pyfunction]
fn barcodes<'py>(
    py: Python<'py>,
    function: &str,
    x: List<'py>,
    listed: bool,
    filtration: Filtration,
) -> PyResult<Vec<Bars<'py>>> {
    let (x, options) = (images("x", &x, listed)?, options(filtration));
    let found = run(py, function, None, |job| topology::barcodes(&x, &options, job))?;
    Ok(found.into_iter().map(|found| bars(py, found)).collect())
}

/// The Betti matchings of the images of each pair of arrays of one shape.
#[pyfunction]
fn betti_matchings<'py>(
    py: Python<'py>,
    function: &str,
    prediction: List<'py>,
    target: List<'py>,
    listed: bool,
    filtration: Filtration,
    intersection: bool,
    strict: bool,
) -> PyResult<Vec<Matched<'py>>> {
    let how = How {
        comparison: if intersection { Comparison::Intersection } else { Comparison::Union },
        rule: if strict { Rule::Strict } else { Rule::Refined },
    };
    let (f, g) = (images("prediction", &prediction, listed)?, images("target", &target, listed)?);
    let (pairs, options): (Vec<_>, _) = (f.into_iter().zip(g).map(|(f, g)| [f, g]).collect(), options(filtration));
    let found = run(py, function, None, |job| topology::matchings(&pairs, &options, how, job))?;
    Ok(found.into_iter().map(|found| matched(py, found)).collect())
}

fn matched(py: Python<'_>, found: Matching) -> Matched<'_> {
    let pairs: Vec<_> = found.pairs.into_iter().flatten().collect();
    let pairs = numpy::ndarray::Array2::from_shape_vec((pairs.len() / 2, 2), pairs).unwrap_or_default();
    (
        bars(py, found.prediction),
        bars(py, found.target),
        pairs.into_pyarray(py),
        found.alone_in_prediction.into_pyarray(py),
        found.alone_in_target.into_pyarray(py),
    )
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

fn curves_of<'py, T: topology::Value + Element>(
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

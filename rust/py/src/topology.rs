//! Bindings of `argrad_core::topology`.

use crate::call::{exception, run};
use crate::sorting::Floats;
use argrad_core::Error;
use argrad_core::topology::{self, Barcodes, Comparison, How, Options, Ring, Rule, Value};
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

/// The barcodes of a stack of images: the first axis of `x` counts them.
#[pyfunction]
fn barcodes<'py>(py: Python<'py>, function: &str, x: Floats<'py>, filtration: Filtration) -> PyResult<Bars<'py>> {
    match x {
        Floats::Single(x) => barcodes_of(py, function, &x, filtration),
        Floats::Double(x) => barcodes_of(py, function, &x, filtration),
    }
}

fn barcodes_of<'py, T: Value + Element>(
    py: Python<'py>,
    function: &str,
    x: &Dense<'py, T>,
    filtration: Filtration,
) -> PyResult<Bars<'py>> {
    let (shape, x, options) = (x.shape(), x.as_slice()?, options(filtration));
    run(py, function, None, |job| topology::barcodes(x, &shape[1..], &options, job)).map(|found| bars(py, found))
}

/// The Betti matchings of two stacks of images of one shape.
#[pyfunction]
fn betti_matchings<'py>(
    py: Python<'py>,
    function: &str,
    prediction: Floats<'py>,
    target: Floats<'py>,
    filtration: Filtration,
    intersection: bool,
    strict: bool,
) -> PyResult<Matched<'py>> {
    let how = How {
        comparison: if intersection { Comparison::Intersection } else { Comparison::Union },
        rule: if strict { Rule::Strict } else { Rule::Refined },
    };
    match (prediction, target) {
        (Floats::Single(f), Floats::Single(g)) => matchings_of(py, function, &f, &g, filtration, how),
        (Floats::Double(f), Floats::Double(g)) => matchings_of(py, function, &f, &g, filtration, how),
        _ => Err(exception(function, Error::Invalid("images must be of one dtype, got two".into()))),
    }
}

fn matchings_of<'py, T: Value + Element>(
    py: Python<'py>,
    function: &str,
    f: &Dense<'py, T>,
    g: &Dense<'py, T>,
    filtration: Filtration,
    how: How,
) -> PyResult<Matched<'py>> {
    if f.shape() != g.shape() {
        let text = format!("target must be of shape {:?} like prediction, got {:?}", f.shape(), g.shape());
        return Err(exception(function, Error::Invalid(text)));
    }
    let (shape, f, g, options) = (f.shape(), f.as_slice()?, g.as_slice()?, options(filtration));
    let found = run(py, function, None, |job| topology::matchings(f, g, &shape[1..], &options, how, job))?;
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
    module.add_function(wrap_pyfunction!(betti_matchings, module)?)
}

//! Bindings of `argrad_core::sorting::soft`.

use super::{Floats, lists};
use crate::call::{exception, run_sized};
use argrad_core::fresh::zeros;
use argrad_core::sorting::order::Key;
use argrad_core::sorting::soft::{self, Operation, Options, Regularization, rank, second, sort};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Several arrays of one number type; the first has the shape of the scores.
#[derive(FromPyObject)]
enum Several<'py> {
    Single(Vec<PyReadonlyArrayDyn<'py, f32>>),
    Double(Vec<PyReadonlyArrayDyn<'py, f64>>),
}

/// How to project: (operation, bounds, mask, descending, regularization, q - 1, straight through, fill).
type How<'py> =
    (String, Option<PyReadonlyArray1<'py, i64>>, Option<PyReadonlyArrayDyn<'py, bool>>, bool, String, f64, bool, f64);
type Flat<'py> = Bound<'py, PyAny>;

/// Builds the options of the core for scores of `shape` and hands them to `work`.
fn with_options<R>(
    function: &str,
    shape: &[usize],
    how: &How<'_>,
    work: impl FnOnce(Operation, &Options<'_>) -> PyResult<R>,
) -> PyResult<R> {
    let (operation, bounds, mask, descending, regularization, degree, straight_through, fill) = how;
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let lists = lists(shape, bounds).map_err(|error| exception(function, error))?;
    let regularization = match regularization.as_str() {
        "kl" => Regularization::Kl,
        "pnorm" => Regularization::Power(*degree),
        _ => Regularization::L2,
    };
    let operation = if operation == "rank" { Operation::Rank } else { Operation::Sort };
    let (descending, straight_through, fill) = (*descending, *straight_through, *fill);
    work(operation, &Options { lists, mask, descending, regularization, straight_through, fill })
}

/// The work of one call in nanoseconds, about.
fn cost(items: usize, options: &Options<'_>) -> usize {
    items
        * match options.regularization {
            Regularization::L2 => soft::COST,
            Regularization::Kl => 2 * soft::COST,
            Regularization::Power(_) => 20 * soft::COST,
        }
}

fn flat<T: Element>(py: Python<'_>, values: Vec<T>) -> Flat<'_> {
    values.into_pyarray(py).into_any()
}

/// Values, and the residuals of [`soft_vjp`].
#[pyfunction]
fn soft_forward<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Several<'py>,
    how: How<'py>,
) -> PyResult<(Flat<'py>, Bound<'py, PyArray1<i32>>, Flat<'py>)> {
    match arrays {
        Several::Single(arrays) => forward(py, function, &arrays, &how),
        Several::Double(arrays) => forward(py, function, &arrays, &how),
    }
}

fn forward<'py, T: Key + Element>(
    py: Python<'py>,
    function: &str,
    arrays: &[PyReadonlyArrayDyn<'py, T>],
    how: &How<'py>,
) -> PyResult<(Flat<'py>, Bound<'py, PyArray1<i32>>, Flat<'py>)> {
    with_options(function, arrays[0].shape(), how, |operation, options| {
        let (x, strength) = (arrays[0].as_slice()?, arrays[1].as_slice()?);
        let (mut value, mut index) = (zeros(x.len()), zeros(x.len()));
        let mut weight = zeros(if options.regularization == Regularization::L2 { 0 } else { x.len() });
        let (values, indices, weights) = (&mut value[..], &mut index[..], &mut weight[..]);
        run_sized(py, function, cost(x.len(), options), |job| match operation {
            Operation::Rank => {
                let mut outputs = rank::Outputs { rank: values, block: indices, weight: weights };
                rank::forward(x, strength, options, &mut outputs, job)
            }
            Operation::Sort => {
                let mut outputs = sort::Outputs { value: values, order: indices, weight: weights };
                sort::forward(x, strength, options, &mut outputs, job)
            }
        })?;
        Ok((flat(py, value), index.into_pyarray(py), flat(py, weight)))
    })
}

/// Gradients to the scores and the strengths from (scores, strengths, weights, gradient) and the integers of
/// [`soft_forward`].
#[pyfunction]
fn soft_vjp<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Several<'py>,
    index: PyReadonlyArrayDyn<'py, i32>,
    with_strength: bool,
    how: How<'py>,
) -> PyResult<(Flat<'py>, Flat<'py>)> {
    match arrays {
        Several::Single(arrays) => vjp(py, function, &arrays, &index, with_strength, &how),
        Several::Double(arrays) => vjp(py, function, &arrays, &index, with_strength, &how),
    }
}

fn vjp<'py, T: Key + Element>(
    py: Python<'py>,
    function: &str,
    arrays: &[PyReadonlyArrayDyn<'py, T>],
    index: &PyReadonlyArrayDyn<'py, i32>,
    with_strength: bool,
    how: &How<'py>,
) -> PyResult<(Flat<'py>, Flat<'py>)> {
    with_options(function, arrays[0].shape(), how, |operation, options| {
        let (x, strength) = (arrays[0].as_slice()?, arrays[1].as_slice()?);
        let (weight, grad, index) = (arrays[2].as_slice()?, arrays[3].as_slice()?, index.as_slice()?);
        let (mut to_x, mut to_strength) = (zeros(x.len()), vec![T::ZERO; strength.len()]);
        let items = &mut to_x[..];
        run_sized(py, function, cost(x.len(), options) / 2, |job| match operation {
            Operation::Rank => {
                let strengths = if with_strength { &mut to_strength[..] } else { &mut [] };
                rank::vjp(&rank::Known { x, strength, block: index, weight, grad }, options, items, strengths, job)
            }
            Operation::Sort => {
                let short = with_strength && options.regularization == Regularization::L2;
                let strengths = if short { &mut to_strength[..] } else { &mut [] };
                sort::vjp(&sort::Known { strength, order: index, weight, grad }, options, items, strengths, job)?;
                if with_strength && !short {
                    second::strength_vjp(x, strength, grad, options, &mut to_strength, job)?;
                }
                Ok(())
            }
        })?;
        Ok((flat(py, to_x), flat(py, to_strength)))
    })
}

/// Second derivatives from (scores, strengths, gradient, tangents of scores, tangents of strengths): gradients of
/// <tangents, vjp> to the scores, the strengths and the gradient.
#[pyfunction]
fn soft_second<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Several<'py>,
    how: How<'py>,
) -> PyResult<(Flat<'py>, Flat<'py>, Flat<'py>)> {
    match arrays {
        Several::Single(arrays) => derive_again(py, function, &arrays, &how),
        Several::Double(arrays) => derive_again(py, function, &arrays, &how),
    }
}

fn derive_again<'py, T: Key + Element>(
    py: Python<'py>,
    function: &str,
    arrays: &[PyReadonlyArrayDyn<'py, T>],
    how: &How<'py>,
) -> PyResult<(Flat<'py>, Flat<'py>, Flat<'py>)> {
    with_options(function, arrays[0].shape(), how, |operation, options| {
        let slices: Vec<&[T]> = arrays.iter().map(|array| array.as_slice()).collect::<Result<_, _>>()?;
        let (x, strength) = (slices[0], slices[1]);
        let (grad, x_tangent, strength_tangent) = (slices[2], slices[3], slices[4]);
        let known = second::Known { x, strength, grad, x_tangent, strength_tangent };
        let (mut to_x, mut to_grad) = (zeros(x.len()), zeros(x.len()));
        let mut to_strength = vec![T::ZERO; strength.len()];
        let mut outputs = second::Outputs { to_x: &mut to_x, to_strength: &mut to_strength, to_grad: &mut to_grad };
        run_sized(py, function, 10 * cost(x.len(), options), |job| {
            second::second(operation, &known, options, &mut outputs, job)
        })?;
        Ok((flat(py, to_x), flat(py, to_strength), flat(py, to_grad)))
    })
}

/// The number of blocks of each list, from (scores, strengths).
#[pyfunction]
fn soft_blocks<'py>(
    py: Python<'py>,
    function: &str,
    arrays: Several<'py>,
    how: How<'py>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    fn count<T: Key + Element>(
        py: Python<'_>,
        function: &str,
        arrays: &[PyReadonlyArrayDyn<'_, T>],
        how: &How<'_>,
    ) -> PyResult<Vec<i64>> {
        with_options(function, arrays[0].shape(), how, |operation, options| {
            let (x, strength) = (arrays[0].as_slice()?, arrays[1].as_slice()?);
            let mut counts = vec![0; strength.len()];
            run_sized(py, function, cost(x.len(), options), |job| {
                soft::count_blocks(operation, x, strength, options, &mut counts, job)
            })?;
            Ok(counts)
        })
    }
    let counts = match arrays {
        Several::Single(arrays) => count(py, function, &arrays, &how),
        Several::Double(arrays) => count(py, function, &arrays, &how),
    };
    Ok(counts?.into_pyarray(py))
}

/// A strength for each of `count` lists, from their spread.
#[pyfunction]
fn auto_strength<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    count: usize,
    how: How<'py>,
) -> PyResult<Flat<'py>> {
    fn measure<'py, T: Key + Element>(
        py: Python<'py>,
        function: &str,
        x: &PyReadonlyArrayDyn<'py, T>,
        count: usize,
        how: &How<'_>,
    ) -> PyResult<Flat<'py>> {
        with_options(function, x.shape(), how, |operation, options| {
            let (x, mut strength) = (x.as_slice()?, vec![T::ZERO; count]);
            run_sized(py, function, cost(x.len(), options), |job| {
                soft::auto_strength(operation, x, options, &mut strength, job)
            })?;
            Ok(flat(py, strength))
        })
    }
    match x {
        Floats::Single(x) => measure(py, function, &x, count, &how),
        Floats::Double(x) => measure(py, function, &x, count, &how),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(soft_forward, module)?)?;
    module.add_function(wrap_pyfunction!(soft_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(soft_second, module)?)?;
    module.add_function(wrap_pyfunction!(soft_blocks, module)?)?;
    module.add_function(wrap_pyfunction!(auto_strength, module)?)
}

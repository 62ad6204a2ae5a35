//! Bindings of `argrad_core::sorting::neuralsort`.

use super::Floats;
use crate::call::{exception, run_sized};
use argrad_core::sorting::Lists;
use argrad_core::sorting::neuralsort::{COST, Inputs, Kept, Lane, Options, Tangents, forward, second, vjp};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

type Flat<'py, T> = Bound<'py, PyArray1<T>>;
type Any<'py> = Bound<'py, PyAny>;
type Bounds<'py> = Option<PyReadonlyArray1<'py, i64>>;
/// Descending, transposed, iterations, tolerance.
type Choices = (bool, bool, usize, f64);

const fn options((descending, transposed, iterations, tolerance): Choices) -> Options {
    Options { descending, transposed, iterations, tolerance }
}

/// The arrays of all inputs, of one number type.
struct Arrays<'py, T: Element> {
    x: PyReadonlyArrayDyn<'py, T>,
    v: PyReadonlyArrayDyn<'py, T>,
    temperature: PyReadonlyArrayDyn<'py, T>,
}

impl<'py, T: Lane + Element> Arrays<'py, T> {
    fn of(x: PyReadonlyArrayDyn<'py, T>, v: &Any<'py>, temperature: &Any<'py>) -> PyResult<Self> {
        Ok(Self { x, v: v.extract()?, temperature: temperature.extract()? })
    }

    fn inputs<'a>(&'a self, function: &str, bounds: Option<&'a [i64]>) -> PyResult<Inputs<'a, T>> {
        let (x, v, temperature) = (self.x.as_slice()?, self.v.as_slice()?, self.temperature.as_slice()?);
        let [length, width] = [self.x.shape(), self.v.shape()].map(|shape| shape.last().copied().unwrap_or(0));
        let lists = match bounds {
            Some(bounds) => Lists::ragged(bounds, x.len()).map_err(|error| exception(function, error))?,
            // Lists of length 0 count too.
            None => Lists::even(temperature.len(), length),
        };
        Ok(Inputs { x, v, width, temperature, lists })
    }
}

/// At most how long `passes` passes over all elements take.
fn nanoseconds(lists: &Lists<'_>, passes: usize) -> usize {
    let elements: usize = (0..lists.count()).map(|list| lists.range(list).len().pow(2)).sum();
    elements.saturating_mul(COST * passes) / 1000 + 50 * lists.items()
}

/// A product with P, or with its scaling: flat `(y, places, steps)`.
#[pyfunction]
fn neuralsort<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    v: Any<'py>,
    temperature: Any<'py>,
    bounds: Bounds<'py>,
    mask: Option<PyReadonlyArrayDyn<'py, bool>>,
    choices: Choices,
) -> PyResult<(Any<'py>, Flat<'py, i32>, Flat<'py, i64>)> {
    fn product<'py, T: Lane + Element>(
        py: Python<'py>,
        function: &str,
        arrays: &Arrays<'py, T>,
        bounds: Option<&[i64]>,
        mask: Option<&[bool]>,
        options: &Options,
    ) -> PyResult<(Any<'py>, Flat<'py, i32>, Flat<'py, i64>)> {
        let inputs = arrays.inputs(function, bounds)?;
        let mut y = vec![T::ZERO; inputs.v.len()];
        let (mut places, mut steps) = (vec![0; inputs.x.len()], vec![0; inputs.lists.count()]);
        run_sized(py, function, nanoseconds(&inputs.lists, inputs.width + options.iterations), |job| {
            forward(&inputs, mask, options, (&mut y, &mut places, &mut steps), job)
        })?;
        Ok((y.into_pyarray(py).into_any(), places.into_pyarray(py), steps.into_pyarray(py)))
    }
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let options = options(choices);
    match x {
        Floats::Single(x) => product(py, function, &Arrays::of(x, &v, &temperature)?, bounds, mask, &options),
        Floats::Double(x) => product(py, function, &Arrays::of(x, &v, &temperature)?, bounds, mask, &options),
    }
}

/// The gradients to x, v and the temperature, flat.
#[pyfunction]
fn neuralsort_vjp<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    v: Any<'py>,
    temperature: Any<'py>,
    bounds: Bounds<'py>,
    kept: (PyReadonlyArrayDyn<'py, i32>, PyReadonlyArrayDyn<'py, i64>),
    grad: Any<'py>,
    choices: Choices,
) -> PyResult<(Any<'py>, Any<'py>, Any<'py>)> {
    fn gradients<'py, T: Lane + Element>(
        py: Python<'py>,
        function: &str,
        arrays: &Arrays<'py, T>,
        bounds: Option<&[i64]>,
        (places, steps): (&[i32], &[i64]),
        grad: &Any<'py>,
        options: &Options,
    ) -> PyResult<(Any<'py>, Any<'py>, Any<'py>)> {
        let inputs = arrays.inputs(function, bounds)?;
        let grad: PyReadonlyArrayDyn<'py, T> = grad.extract()?;
        let kept = Kept { places, steps, grad: grad.as_slice()? };
        let blank = |length| vec![T::ZERO; length];
        let (mut x, mut v, mut t) = (blank(inputs.x.len()), blank(inputs.v.len()), blank(inputs.temperature.len()));
        run_sized(py, function, nanoseconds(&inputs.lists, 2 * inputs.width + 3 * options.iterations), |job| {
            vjp(&inputs, &kept, options, (&mut x, &mut v, &mut t), job)
        })?;
        Ok((x.into_pyarray(py).into_any(), v.into_pyarray(py).into_any(), t.into_pyarray(py).into_any()))
    }
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let kept = (kept.0.as_slice()?, kept.1.as_slice()?);
    let options = options(choices);
    match x {
        Floats::Single(x) => gradients(py, function, &Arrays::of(x, &v, &temperature)?, bounds, kept, &grad, &options),
        Floats::Double(x) => gradients(py, function, &Arrays::of(x, &v, &temperature)?, bounds, kept, &grad, &options),
    }
}

/// The gradients of `<tangents, neuralsort_vjp>` to x, v, the temperature and `grad`, flat.
#[pyfunction]
fn neuralsort_second<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    v: Any<'py>,
    temperature: Any<'py>,
    bounds: Bounds<'py>,
    kept: (PyReadonlyArrayDyn<'py, i32>, PyReadonlyArrayDyn<'py, i64>),
    grad: Any<'py>,
    tangents: (Any<'py>, Any<'py>, Any<'py>),
    choices: Choices,
) -> PyResult<(Any<'py>, Any<'py>, Any<'py>, Any<'py>)> {
    fn gradients<'py, T: Lane + Element>(
        py: Python<'py>,
        function: &str,
        arrays: &Arrays<'py, T>,
        bounds: Option<&[i64]>,
        (places, steps, grad): (&[i32], &[i64], &Any<'py>),
        tangents: &(Any<'py>, Any<'py>, Any<'py>),
        options: &Options,
    ) -> PyResult<(Any<'py>, Any<'py>, Any<'py>, Any<'py>)> {
        let inputs = arrays.inputs(function, bounds)?;
        let moves: [PyReadonlyArrayDyn<'py, T>; 3] =
            [tangents.0.extract()?, tangents.1.extract()?, tangents.2.extract()?];
        let grad: PyReadonlyArrayDyn<'py, T> = grad.extract()?;
        let kept = Kept { places, steps, grad: grad.as_slice()? };
        let tangents = Tangents { x: moves[0].as_slice()?, v: moves[1].as_slice()?, temperature: moves[2].as_slice()? };
        let blank = |length| vec![T::ZERO; length];
        let (mut x, mut v, mut t, mut g) =
            (blank(inputs.x.len()), blank(inputs.v.len()), blank(inputs.temperature.len()), blank(kept.grad.len()));
        run_sized(py, function, nanoseconds(&inputs.lists, 10 * (inputs.width + 4 * options.iterations)), |job| {
            second(&inputs, &kept, &tangents, options, (&mut x, &mut v, &mut t, &mut g), job)
        })?;
        let any = |values: Vec<T>| values.into_pyarray(py).into_any();
        Ok((any(x), any(v), any(t), any(g)))
    }
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let kept = (kept.0.as_slice()?, kept.1.as_slice()?, &grad);
    let options = options(choices);
    match x {
        Floats::Single(x) => {
            gradients(py, function, &Arrays::of(x, &v, &temperature)?, bounds, kept, &tangents, &options)
        }
        Floats::Double(x) => {
            gradients(py, function, &Arrays::of(x, &v, &temperature)?, bounds, kept, &tangents, &options)
        }
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(neuralsort, module)?)?;
    module.add_function(wrap_pyfunction!(neuralsort_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(neuralsort_second, module)?)
}

//! Bindings of `argrad_core::decoding::entmax::topk_softmax`.

use super::Floats;
use super::entmax::{Cast, Supports};
use crate::call::run_sized;
use argrad_core::decoding::entmax::{self as core, Support, TopRows};
use argrad_core::{Job, Result};
use numpy::{IntoPyArray, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// Nanoseconds that a thousand numbers take, about.
const COST: usize = 300;

type Array<'py> = Bound<'py, PyAny>;
/// k and the temperature, one for each row, and what is added for the choice.
type Choice<'py> = (PyReadonlyArrayDyn<'py, i64>, PyReadonlyArrayDyn<'py, f64>, Option<Floats<'py>>);

/// The arguments that all functions share.
struct Shared<'a, 'py> {
    function: &'a str,
    x: &'a Floats<'py>,
    choice: &'a Choice<'py>,
}

impl Shared<'_, '_> {
    fn solve<T: Cast>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(TopRows<'_, T>, &Job) -> Result<()> + Send,
    ) -> PyResult<()> {
        let (k, temperature, bias) = self.choice;
        let rows = TopRows {
            x: T::slice(self.x)?,
            v: self.x.shape().last().copied().unwrap_or(0),
            k: k.as_slice()?,
            temperature: temperature.as_slice()?,
            bias: bias.as_ref().map(T::slice).transpose()?,
        };
        run_sized(py, self.function, rows.x.len() * COST / 1000, |job| work(rows, job))
    }
}

/// Softmax on the k largest of every row, and what spares the backward pass work.
#[pyfunction]
fn topk_softmax<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    choice: Choice<'py>,
) -> PyResult<(Array<'py>, Supports)> {
    fn typed<'py, T: Cast>(py: Python<'py>, shared: &Shared<'_, 'py>) -> PyResult<(Array<'py>, Supports)> {
        let mut out = vec![T::ZERO; T::slice(shared.x)?.len()];
        let mut kept = vec![Support::default(); shared.choice.0.as_slice()?.len()];
        shared.solve::<T>(py, |rows, job| core::topk_softmax(rows, &mut out, &mut kept, job))?;
        Ok((out.into_pyarray(py).into_any(), Supports::new(kept)))
    }
    let shared = Shared { function, x: &x, choice: &choice };
    if x.is_single() { typed::<f32>(py, &shared) } else { typed::<f64>(py, &shared) }
}

/// The gradient to x.
#[pyfunction]
#[pyo3(signature = (function, x, choice, g, kept=None))]
fn topk_softmax_vjp<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    choice: Choice<'py>,
    g: Floats<'py>,
    kept: Option<&Bound<'py, Supports>>,
) -> PyResult<Array<'py>> {
    fn typed<'py, T: Cast>(
        py: Python<'py>,
        shared: &Shared<'_, 'py>,
        g: &Floats<'py>,
        kept: Option<&[Support]>,
    ) -> PyResult<Array<'py>> {
        let g = T::slice(g)?;
        let mut dx = vec![T::ZERO; g.len()];
        shared.solve::<T>(py, |rows, job| core::topk_softmax_vjp(rows, kept, g, &mut dx, job))?;
        Ok(dx.into_pyarray(py).into_any())
    }
    let shared = Shared { function, x: &x, choice: &choice };
    let kept = kept.map(|kept| kept.get().rows());
    if x.is_single() { typed::<f32>(py, &shared, &g, kept) } else { typed::<f64>(py, &shared, &g, kept) }
}

/// Gradients of the sum of tangents times gradients: to x and the upstream gradient.
#[pyfunction]
fn topk_softmax_second<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    choice: Choice<'py>,
    g: Floats<'py>,
    along: Floats<'py>,
) -> PyResult<(Array<'py>, Array<'py>)> {
    fn typed<'py, T: Cast>(
        py: Python<'py>,
        shared: &Shared<'_, 'py>,
        g: &Floats<'py>,
        along: &Floats<'py>,
    ) -> PyResult<(Array<'py>, Array<'py>)> {
        let (g, along) = (T::slice(g)?, T::slice(along)?);
        let (mut dx, mut dg) = (vec![T::ZERO; g.len()], vec![T::ZERO; g.len()]);
        shared.solve::<T>(py, |rows, job| core::topk_softmax_second(rows, g, along, (&mut dx, &mut dg), job))?;
        Ok((dx.into_pyarray(py).into_any(), dg.into_pyarray(py).into_any()))
    }
    let shared = Shared { function, x: &x, choice: &choice };
    if x.is_single() { typed::<f32>(py, &shared, &g, &along) } else { typed::<f64>(py, &shared, &g, &along) }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(topk_softmax, module)?)?;
    module.add_function(wrap_pyfunction!(topk_softmax_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(topk_softmax_second, module)?)
}

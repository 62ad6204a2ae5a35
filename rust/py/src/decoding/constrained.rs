//! Bindings of `argrad_core::decoding::constrained`.

use super::entmax::Cast;
use super::{Floats, items, outputs};
use crate::call::run_sized;
use argrad_core::decoding::constrained::{self as core, Kind, Problem};
use argrad_core::{Job, Result};
use pyo3::prelude::*;

/// Nanoseconds that an item takes, about.
const COST: usize = 30;

type Arrays<'py> = Vec<Bound<'py, PyAny>>;

/// The arguments that all functions share; without a total it is softmax.
struct Shared<'a, 'py> {
    py: Python<'py>,
    function: &'a str,
    x: &'a Floats<'py>,
    upper: &'a Floats<'py>,
    total: Option<f64>,
}

impl<'py> Shared<'_, 'py> {
    /// Makes `N` arrays of the shape of `x` and has them filled.
    fn solve<T: Cast, const N: usize>(
        &self,
        work: impl FnOnce(Problem<'_, T>, [&mut [T]; N], &Job) -> Result<()> + Send,
    ) -> PyResult<Arrays<'py>> {
        let v = self.x.shape().last().copied().unwrap_or(0);
        let kind = self.total.map_or(Kind::Softmax, Kind::Sparsemax);
        let problem = Problem { x: T::slice(self.x)?, upper: T::slice(self.upper)?, v, kind };
        let found: [_; N] = std::array::from_fn(|_| outputs::<T>(self.py, self.x.shape(), v));
        let mut slices = Vec::new();
        for array in &found {
            slices.push(items(array)?);
        }
        let slices = slices.try_into().unwrap_or_else(|_| unreachable!("N arrays"));
        run_sized(self.py, self.function, problem.x.len() * COST, |job| work(problem, slices, job))?;
        Ok(found.into_iter().map(Bound::into_any).collect())
    }
}

/// Softmax or sparsemax under caps.
#[pyfunction]
fn constrained<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    upper: Floats<'py>,
    total: Option<f64>,
) -> PyResult<Arrays<'py>> {
    fn typed<'py, T: Cast>(shared: &Shared<'_, 'py>) -> PyResult<Arrays<'py>> {
        shared.solve::<T, 1>(|problem, [out], job| core::forward(problem, out, job))
    }
    let shared = Shared { py, function, x: &x, upper: &upper, total };
    if x.is_single() { typed::<f32>(&shared) } else { typed::<f64>(&shared) }
}

/// Gradients to x and upper.
#[pyfunction]
fn constrained_vjp<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    upper: Floats<'py>,
    total: Option<f64>,
    g: Floats<'py>,
) -> PyResult<Arrays<'py>> {
    fn typed<'py, T: Cast>(shared: &Shared<'_, 'py>, g: &Floats<'py>) -> PyResult<Arrays<'py>> {
        let g = T::slice(g)?;
        shared.solve::<T, 2>(|problem, [dx, dupper], job| core::vjp(problem, g, (dx, dupper), job))
    }
    let shared = Shared { py, function, x: &x, upper: &upper, total };
    if x.is_single() { typed::<f32>(&shared, &g) } else { typed::<f64>(&shared, &g) }
}

/// Gradients of the sum of tangents times gradients: to x, upper and the upstream gradient.
#[pyfunction]
fn constrained_second<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    upper: Floats<'py>,
    total: Option<f64>,
    g: Floats<'py>,
    along: Floats<'py>,
    along_upper: Floats<'py>,
) -> PyResult<Arrays<'py>> {
    fn typed<'py, T: Cast>(shared: &Shared<'_, 'py>, [g, along, upper]: [&Floats<'py>; 3]) -> PyResult<Arrays<'py>> {
        let (g, along) = (T::slice(g)?, (T::slice(along)?, T::slice(upper)?));
        shared.solve::<T, 3>(|problem, [dx, dupper, dg], job| core::second(problem, g, along, (dx, dupper, dg), job))
    }
    let shared = Shared { py, function, x: &x, upper: &upper, total };
    let arrays = [&g, &along, &along_upper];
    if x.is_single() { typed::<f32>(&shared, arrays) } else { typed::<f64>(&shared, arrays) }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(constrained, module)?)?;
    module.add_function(wrap_pyfunction!(constrained_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(constrained_second, module)?)
}

//! Bindings of `argrad_core::decoding::entmax`.

use super::Floats;
use crate::call::run_sized;
use argrad_core::decoding::Logit;
use argrad_core::decoding::entmax::{self as core, Rows, Support, Target};
use argrad_core::fresh::blank;
use argrad_core::{Job, Result};
use numpy::{Element, IntoPyArray, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Nanoseconds that a thousand numbers take, about.
const COST: usize = 300;

type Alphas<'py> = PyReadonlyArrayDyn<'py, f64>;
/// Gradients to x, to alpha, and of second derivatives to the upstream gradient.
type Gradients<'py> = Vec<Bound<'py, PyAny>>;

/// Supports of rows, kept for the backward pass.
#[pyclass(frozen)]
pub struct Supports(Vec<Support>);

impl Supports {
    pub const fn new(rows: Vec<Support>) -> Self {
        Self(rows)
    }

    pub fn rows(&self) -> &[Support] {
        &self.0
    }
}

/// Class indices or distributions.
#[derive(FromPyObject)]
pub enum Targets<'py> {
    Class(PyReadonlyArrayDyn<'py, i64>),
    Single(PyReadonlyArrayDyn<'py, f32>),
    Double(PyReadonlyArrayDyn<'py, f64>),
}

impl Floats<'_> {
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Single(x) => x.shape(),
            Self::Double(x) => x.shape(),
        }
    }

    pub const fn is_single(&self) -> bool {
        matches!(self, Self::Single(_))
    }
}

/// The numbers of an array in the type at hand.
pub trait Cast: Logit + Element {
    fn slice<'a>(floats: &'a Floats<'_>) -> PyResult<&'a [Self]>;
    fn target<'a>(target: Option<&'a Targets<'_>>) -> PyResult<Target<'a, Self>>;
}

fn mixed() -> PyErr {
    PyTypeError::new_err("arrays must be of one precision, got two")
}

macro_rules! cast {
    ($t:ident, $variant:ident) => {
        impl Cast for $t {
            fn slice<'a>(floats: &'a Floats<'_>) -> PyResult<&'a [Self]> {
                let Floats::$variant(x) = floats else { return Err(mixed()) };
                Ok(x.as_slice()?)
            }
            fn target<'a>(target: Option<&'a Targets<'_>>) -> PyResult<Target<'a, Self>> {
                Ok(match target {
                    None => Target::Nothing,
                    Some(Targets::Class(classes)) => Target::Class(classes.as_slice()?),
                    Some(Targets::$variant(y)) => Target::Share(y.as_slice()?),
                    Some(_) => return Err(mixed()),
                })
            }
        }
    };
}

cast!(f32, Single);
cast!(f64, Double);

/// Calls the function for the number type of `x`.
macro_rules! typed {
    ($x:ident, $function:ident($($argument:expr),*)) => {
        if $x.is_single() { $function::<f32>($($argument),*) } else { $function::<f64>($($argument),*) }
    };
}

/// The arguments that all functions share.
struct Shared<'a, 'py> {
    function: &'a str,
    x: &'a Floats<'py>,
    alpha: &'a Alphas<'py>,
}

impl Shared<'_, '_> {
    fn solve<T: Cast>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Rows<'_, T>, &Job) -> Result<()> + Send,
    ) -> PyResult<()> {
        let shape = self.x.shape();
        let rows = Rows { x: T::slice(self.x)?, v: shape.last().copied().unwrap_or(0), alpha: self.alpha.as_slice()? };
        run_sized(py, self.function, rows.x.len() * COST / 1000, |job| work(rows, job))
    }
}

/// Entmax of every row, and what spares the backward pass work.
#[pyfunction]
fn entmax<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    alpha: Alphas<'py>,
) -> PyResult<(Bound<'py, PyAny>, Supports)> {
    let shared = Shared { function, x: &x, alpha: &alpha };
    typed!(x, forward(py, &shared))
}

fn forward<'py, T: Cast>(py: Python<'py>, shared: &Shared<'_, 'py>) -> PyResult<(Bound<'py, PyAny>, Supports)> {
    let mut out = blank(T::slice(shared.x)?.len());
    let mut kept = vec![Support::default(); shared.alpha.len()];
    shared.solve::<T>(py, |rows, job| core::entmax(rows, &mut out, &mut kept, job))?;
    Ok((out.into_pyarray(py).into_any(), Supports::new(kept)))
}

/// Gradients to x, and to alpha if bit 1 of `wanted` is set.
#[pyfunction]
#[pyo3(signature = (function, x, alpha, g, wanted, kept=None))]
fn entmax_vjp<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    alpha: Alphas<'py>,
    g: Floats<'py>,
    wanted: usize,
    kept: Option<&Bound<'py, Supports>>,
) -> PyResult<Gradients<'py>> {
    let shared = Shared { function, x: &x, alpha: &alpha };
    typed!(x, vjp(py, &shared, &g, wanted, kept))
}

fn vjp<'py, T: Cast>(
    py: Python<'py>,
    shared: &Shared<'_, 'py>,
    g: &Floats<'py>,
    wanted: usize,
    kept: Option<&Bound<'py, Supports>>,
) -> PyResult<Gradients<'py>> {
    let g = T::slice(g)?;
    let kept = kept.map(|kept| kept.get().rows());
    let (mut dx, mut dalpha) = (blank(T::slice(shared.x)?.len()), vec![0.0; shared.alpha.len()]);
    let to_alpha = wanted & 2 > 0;
    shared.solve::<T>(py, |rows, job| core::entmax_vjp(rows, kept, g, (&mut dx, &mut dalpha), to_alpha, job))?;
    Ok(vec![dx.into_pyarray(py).into_any(), dalpha.into_pyarray(py).into_any()])
}

/// Gradients of the sum of tangents times gradients: to x, alpha and the upstream gradient.
#[pyfunction]
fn entmax_second<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    alpha: Alphas<'py>,
    g: Floats<'py>,
    along: Floats<'py>,
    along_alpha: Alphas<'py>,
) -> PyResult<Gradients<'py>> {
    let shared = Shared { function, x: &x, alpha: &alpha };
    typed!(x, second(py, &shared, &g, &along, &along_alpha))
}

fn second<'py, T: Cast>(
    py: Python<'py>,
    shared: &Shared<'_, 'py>,
    g: &Floats<'py>,
    along: &Floats<'py>,
    along_alpha: &Alphas<'py>,
) -> PyResult<Gradients<'py>> {
    let (g, along) = (T::slice(g)?, (T::slice(along)?, along_alpha.as_slice()?));
    let (mut dx, mut dalpha, mut dg) = (blank(g.len()), vec![0.0; shared.alpha.len()], blank(g.len()));
    shared.solve::<T>(py, |rows, job| core::entmax_second(rows, g, along, (&mut dx, &mut dalpha, &mut dg), job))?;
    Ok(vec![dx.into_pyarray(py).into_any(), dalpha.into_pyarray(py).into_any(), dg.into_pyarray(py).into_any()])
}

/// The conjugate of every row, or its Fenchel-Young loss, and what spares the backward pass work.
#[pyfunction]
fn entmax_conjugate<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    alpha: Alphas<'py>,
    target: Option<Targets<'py>>,
) -> PyResult<(Bound<'py, PyAny>, Supports)> {
    let shared = Shared { function, x: &x, alpha: &alpha };
    typed!(x, conjugate(py, &shared, target.as_ref()))
}

fn conjugate<'py, T: Cast>(
    py: Python<'py>,
    shared: &Shared<'_, 'py>,
    target: Option<&Targets<'py>>,
) -> PyResult<(Bound<'py, PyAny>, Supports)> {
    let target = T::target(target)?;
    let (mut out, mut kept) = (vec![T::ZERO; shared.alpha.len()], vec![Support::default(); shared.alpha.len()]);
    shared.solve::<T>(py, |rows, job| core::conjugate(rows, target, &mut out, &mut kept, job))?;
    Ok((out.into_pyarray(py).into_any(), Supports::new(kept)))
}

/// Gradients to x, and to alpha if bit 1 of `wanted` is set.
#[pyfunction]
#[pyo3(signature = (function, x, alpha, target, g, wanted, kept=None))]
fn entmax_conjugate_vjp<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    alpha: Alphas<'py>,
    target: Option<Targets<'py>>,
    g: Floats<'py>,
    wanted: usize,
    kept: Option<&Bound<'py, Supports>>,
) -> PyResult<Gradients<'py>> {
    let shared = Shared { function, x: &x, alpha: &alpha };
    typed!(x, conjugate_vjp(py, &shared, target.as_ref(), &g, wanted, kept))
}

fn conjugate_vjp<'py, T: Cast>(
    py: Python<'py>,
    shared: &Shared<'_, 'py>,
    target: Option<&Targets<'py>>,
    g: &Floats<'py>,
    wanted: usize,
    kept: Option<&Bound<'py, Supports>>,
) -> PyResult<Gradients<'py>> {
    let (target, g) = (T::target(target)?, T::slice(g)?);
    let kept = kept.map(|kept| kept.get().rows());
    let (mut dx, mut dalpha) = (blank(T::slice(shared.x)?.len()), vec![0.0; shared.alpha.len()]);
    shared.solve::<T>(py, |rows, job| {
        core::conjugate_vjp(rows, target, kept, g, (&mut dx, &mut dalpha), wanted & 2 > 0, job)
    })?;
    Ok(vec![dx.into_pyarray(py).into_any(), dalpha.into_pyarray(py).into_any()])
}

/// Gradients of the sum of tangents times gradients: to x, alpha and the upstream gradient.
#[pyfunction]
fn entmax_conjugate_second<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    alpha: Alphas<'py>,
    target: Option<Targets<'py>>,
    g: Floats<'py>,
    along: Floats<'py>,
    along_alpha: Alphas<'py>,
) -> PyResult<Gradients<'py>> {
    let shared = Shared { function, x: &x, alpha: &alpha };
    typed!(x, conjugate_second(py, &shared, target.as_ref(), &g, &along, &along_alpha))
}

fn conjugate_second<'py, T: Cast>(
    py: Python<'py>,
    shared: &Shared<'_, 'py>,
    target: Option<&Targets<'py>>,
    g: &Floats<'py>,
    along: &Floats<'py>,
    along_alpha: &Alphas<'py>,
) -> PyResult<Gradients<'py>> {
    let (target, g, along) = (T::target(target)?, T::slice(g)?, (T::slice(along)?, along_alpha.as_slice()?));
    let (mut dx, mut dalpha) = (blank(T::slice(shared.x)?.len()), vec![0.0; shared.alpha.len()]);
    let mut dg = blank(g.len());
    shared.solve::<T>(py, |rows, job| {
        core::conjugate_second(rows, target, g, along, (&mut dx, &mut dalpha, &mut dg), job)
    })?;
    Ok(vec![dx.into_pyarray(py).into_any(), dalpha.into_pyarray(py).into_any(), dg.into_pyarray(py).into_any()])
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(entmax, module)?)?;
    module.add_function(wrap_pyfunction!(entmax_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(entmax_second, module)?)?;
    module.add_function(wrap_pyfunction!(entmax_conjugate, module)?)?;
    module.add_function(wrap_pyfunction!(entmax_conjugate_vjp, module)?)?;
    module.add_function(wrap_pyfunction!(entmax_conjugate_second, module)?)
}

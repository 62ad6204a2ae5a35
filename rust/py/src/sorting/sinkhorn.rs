//! Bindings of `argrad_core::sorting::sinkhorn`. Results are flat.

use super::lists;
use crate::call::{exception, run_sized};
use argrad_core::sorting::order::Key;
use argrad_core::sorting::sinkhorn::{self, Moved, Problem, Shape, Solution};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// What all three functions take: bounds, mask, k, descending, transposed.
#[derive(FromPyObject)]
struct Options<'py>(
    Option<PyReadonlyArray1<'py, i64>>,
    Option<PyReadonlyArrayDyn<'py, bool>>,
    Option<usize>,
    bool,
    bool,
);

type Array<'py, T> = PyReadonlyArrayDyn<'py, T>;
type Flat<'py, T> = Bound<'py, PyArray1<T>>;

impl Options<'_> {
    fn problem<'a, T: Key + Element>(
        &'a self,
        function: &str,
        x: &'a Array<'_, T>,
        factor: &Array<'_, T>,
        temperature: &'a Array<'_, T>,
    ) -> PyResult<Problem<'a, T>> {
        let bounds = self.0.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
        Ok(Problem {
            x: x.as_slice()?,
            lists: lists(x.shape(), bounds).map_err(|error| exception(function, error))?,
            mask: self.1.as_ref().map(|mask| mask.as_slice()).transpose()?,
            temperature: temperature.as_slice()?,
            shape: self.2.map_or(Shape::Full, Shape::Top),
            descending: self.3,
            transposed: self.4,
            columns: factor.shape().last().copied().unwrap_or(0),
        })
    }
}

/// The three arrays that a forward call found besides its value.
#[derive(FromPyObject)]
struct Saved<'py>(Array<'py, i32>, Array<'py, i64>, Array<'py, i64>);

impl Saved<'_> {
    fn solution(&self) -> PyResult<Solution<'_>> {
        Ok(Solution { order: self.0.as_slice()?, items: self.1.as_slice()?, ranks: self.2.as_slice()? })
    }
}

macro_rules! bindings {
    ($t:ty, $forward:ident, $vjp:ident, $second:ident) => {
        /// The product, the order of the items, and the potentials of items and ranks as bits.
        #[pyfunction]
        #[allow(clippy::type_complexity)] // a tuple of arrays
        fn $forward<'py>(
            py: Python<'py>,
            function: &str,
            x: Array<'py, $t>,
            factor: Array<'py, $t>,
            temperature: Array<'py, $t>,
            options: Options<'py>,
            iterations: usize,
            tolerance: f64,
        ) -> PyResult<(Flat<'py, $t>, Flat<'py, i32>, Flat<'py, i64>, Flat<'py, i64>)> {
            let problem = options.problem(function, &x, &factor, &temperature)?;
            let (factor, count) = (factor.as_slice()?, problem.x.len());
            let rows = if problem.transposed { count } else { problem.rank_rows() };
            let mut out = vec![0.0; rows * problem.columns];
            let (mut order, mut items, mut ranks) = (vec![-1; count], vec![0; count], vec![0; count]);
            run_sized(py, function, count * sinkhorn::COST, |job| {
                let (order, items, ranks) = (&mut order, &mut items, &mut ranks);
                sinkhorn::forward(&problem, factor, iterations, tolerance, &mut out, order, items, ranks, job)
            })?;
            Ok((out.into_pyarray(py), order.into_pyarray(py), items.into_pyarray(py), ranks.into_pyarray(py)))
        }

        /// The gradients to scores, factor and temperature.
        #[pyfunction]
        #[allow(clippy::too_many_arguments, clippy::type_complexity)] // one for each array of the formula
        fn $vjp<'py>(
            py: Python<'py>,
            function: &str,
            x: Array<'py, $t>,
            factor: Array<'py, $t>,
            temperature: Array<'py, $t>,
            options: Options<'py>,
            saved: Saved<'py>,
            grad: Array<'py, $t>,
            with_scores: bool,
        ) -> PyResult<(Flat<'py, $t>, Flat<'py, $t>, Flat<'py, $t>)> {
            let problem = options.problem(function, &x, &factor, &temperature)?;
            let (factor, grad, solution) = (factor.as_slice()?, grad.as_slice()?, saved.solution()?);
            let mut to = (vec![0.0; x.len()], vec![0.0; factor.len()], vec![0.0; temperature.len()]);
            run_sized(py, function, x.len() * sinkhorn::COST, |job| {
                let out = Moved { x: &mut to.0, factor: &mut to.1, temperature: &mut to.2 };
                sinkhorn::vjp(&problem, factor, &solution, grad, with_scores, out, job)
            })?;
            Ok((to.0.into_pyarray(py), to.1.into_pyarray(py), to.2.into_pyarray(py)))
        }

        /// The gradients of <tangents, gradients> to scores, factor, temperature and upstream gradient.
        #[pyfunction]
        #[allow(clippy::too_many_arguments, clippy::type_complexity)] // as above
        fn $second<'py>(
            py: Python<'py>,
            function: &str,
            x: Array<'py, $t>,
            factor: Array<'py, $t>,
            temperature: Array<'py, $t>,
            options: Options<'py>,
            saved: Saved<'py>,
            grad: Array<'py, $t>,
            tangents: (Array<'py, $t>, Array<'py, $t>, Array<'py, $t>),
        ) -> PyResult<(Flat<'py, $t>, Flat<'py, $t>, Flat<'py, $t>, Flat<'py, $t>)> {
            let problem = options.problem(function, &x, &factor, &temperature)?;
            let (factor, grad, solution) = (factor.as_slice()?, grad.as_slice()?, saved.solution()?);
            let tangent = (tangents.0.as_slice()?, tangents.1.as_slice()?, tangents.2.as_slice()?);
            let mut to = (vec![0.0; x.len()], vec![0.0; factor.len()], vec![0.0; temperature.len()]);
            let mut to_grad = vec![0.0; grad.len()];
            run_sized(py, function, x.len() * sinkhorn::COST, |job| {
                let out = Moved { x: &mut to.0, factor: &mut to.1, temperature: &mut to.2 };
                sinkhorn::second(&problem, factor, &solution, grad, tangent, out, &mut to_grad, job)
            })?;
            Ok((to.0.into_pyarray(py), to.1.into_pyarray(py), to.2.into_pyarray(py), to_grad.into_pyarray(py)))
        }
    };
}

bindings!(f32, sinkhorn_f32, sinkhorn_vjp_f32, sinkhorn_second_f32);
bindings!(f64, sinkhorn_f64, sinkhorn_vjp_f64, sinkhorn_second_f64);

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sinkhorn_f32, module)?)?;
    module.add_function(wrap_pyfunction!(sinkhorn_f64, module)?)?;
    module.add_function(wrap_pyfunction!(sinkhorn_vjp_f32, module)?)?;
    module.add_function(wrap_pyfunction!(sinkhorn_vjp_f64, module)?)?;
    module.add_function(wrap_pyfunction!(sinkhorn_second_f32, module)?)?;
    module.add_function(wrap_pyfunction!(sinkhorn_second_f64, module)?)
}

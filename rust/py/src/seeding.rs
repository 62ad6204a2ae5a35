//! Bindings of `argrad_core::seeding`: one short function each.

use crate::call::run;
use argrad_core::seeding::{self, Method, Plan, Points, Refresh, Seeded, anchors, assign as nearest, lloyd, sample};
use argrad_core::{Error, Job, Real};
use numpy::{Element, IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rayon::prelude::*;

type Indices<'py> = Bound<'py, PyArray1<i64>>;

/// A C-contiguous matrix of one of the two number types.
#[derive(FromPyObject)]
pub enum Matrix<'py> {
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

/// Runs `$body` with `$x` bound to the typed matrix.
macro_rules! typed {
    ($matrix:expr, |$x:ident| $body:expr) => {
        match $matrix {
            Matrix::Single($x) => $body,
            Matrix::Double($x) => $body,
        }
    };
}

fn columns<T: Element>(matrix: &PyReadonlyArray2<'_, T>) -> usize {
    matrix.as_array().ncols()
}

fn weights_of<'a>(weights: Option<&'a PyReadonlyArray1<'_, f64>>) -> PyResult<Option<&'a [f64]>> {
    Ok(weights.map(|weights| weights.as_slice()).transpose()?)
}

/// A matrix of the same number type as another argument.
fn same<'py, T: Element>(value: &Bound<'py, PyAny>, argument: &str) -> PyResult<PyReadonlyArray2<'py, T>> {
    value.extract().map_err(|_| PyTypeError::new_err(format!("{argument} must be a matrix of X's dtype")))
}

fn same_row<'py, T: Element>(value: &Bound<'py, PyAny>, argument: &str) -> PyResult<PyReadonlyArray1<'py, T>> {
    value.extract().map_err(|_| PyTypeError::new_err(format!("{argument} must be a vector of X's dtype")))
}

fn wide(indices: &[usize]) -> Vec<i64> {
    indices.iter().map(|&i| i as i64).collect()
}

fn refresh_of(every: Option<usize>) -> Refresh {
    match every {
        None => Refresh::Auto,
        Some(0) => Refresh::Never,
        Some(centers) => Refresh::Every(centers),
    }
}

/// The method by its public name; the Python front has checked the options.
#[derive(FromPyObject)]
struct Options {
    #[pyo3(item)]
    method: String,
    #[pyo3(item)]
    trials: usize,
    #[pyo3(item)]
    coreset: usize,
    #[pyo3(item)]
    max_proposals: Option<u64>,
    #[pyo3(item)]
    refresh: Option<usize>,
    #[pyo3(item)]
    potential_draws: usize,
}

impl Options {
    fn method(&self) -> Result<Method, Error> {
        let plan = Plan { refresh: refresh_of(self.refresh), potential_draws: self.potential_draws, ..Plan::default() };
        match self.method.as_str() {
            "exact" => Ok(Method::Exact(plan)),
            "rejection" => Ok(Method::Rejection(self.max_proposals, self.potential_draws)),
            "pass" => Ok(Method::Pass),
            "greedy" => Ok(Method::Greedy(self.trials)),
            "greedy_coreset" => Ok(Method::GreedyCoreset(self.trials, self.coreset)),
            "uniform" => Ok(Method::Uniform),
            other => Err(Error::Invalid(format!("method must be a known one, got {other:?}"))),
        }
    }
}

/// `(scale, anchors, labels, squares, spread)` as [`prepare`] returned it.
type PreparedTuple<'py> = (f64, Bound<'py, PyAny>, Bound<'py, PyArray1<u8>>, Bound<'py, PyAny>, f64);

fn prepared_of<T: Real + Element>(prepared: Option<PreparedTuple<'_>>) -> PyResult<Option<anchors::Prepared<T>>> {
    let Some((scale, anchors, labels, squares, spread)) = prepared else { return Ok(None) };
    let anchors = same::<T>(&anchors, "anchors")?;
    let origin = anchors.as_array().row(0).to_vec();
    Ok(Some(anchors::Prepared {
        frame: seeding::score::Frame { scale: T::of(scale), origin },
        anchors: anchors.as_slice()?.to_vec(),
        labels: labels.readonly().to_vec()?,
        squares: same_row::<T>(&squares, "squares")?.to_vec()?,
        spread,
    }))
}

/// The chosen rows, and `(drawn, uniform, proposals, refreshes, first total, potential, standard error)`.
type SeededTuple<'py> = (Indices<'py>, (usize, usize, u64, u32, f64, f64, f64));

fn seeded_tuple(py: Python<'_>, done: Seeded) -> SeededTuple<'_> {
    let Seeded { indices, drawn, uniform, proposals, refreshes, first_total, potential, potential_stderr } = done;
    let facts = (drawn, uniform, proposals, refreshes, first_total, potential, potential_stderr);
    (wide(&indices).into_pyarray(py), facts)
}

/// Chooses `k` rows.
#[pyfunction]
fn seed<'py>(
    py: Python<'py>,
    function: &str,
    x: Matrix<'py>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    k: usize,
    options: Options,
    seed: u64,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<SeededTuple<'py>> {
    let weights = weights_of(weights.as_ref())?;
    let done = typed!(x, |x| {
        let (rows, d) = (x.as_slice()?, columns(&x));
        run(py, function, progress.as_ref(), |job| {
            seeding::seed(Points::new(rows, d, weights)?, k, options.method()?, None, seed, job)
        })
    })?;
    Ok(seeded_tuple(py, done))
}

/// Chooses rows for several ascending counts, each seeding the beginning of the next; no pass over the rows when
/// `prepared` is given.
#[pyfunction]
fn seed_path<'py>(
    py: Python<'py>,
    function: &str,
    x: Matrix<'py>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    ks: Vec<usize>,
    options: Options,
    prepared: Option<PreparedTuple<'py>>,
    seed: u64,
) -> PyResult<Vec<SeededTuple<'py>>> {
    let weights = weights_of(weights.as_ref())?;
    let path = typed!(x, |x| {
        let prepared = prepared_of(prepared)?;
        let (rows, d) = (x.as_slice()?, columns(&x));
        run(py, function, None, |job| {
            let points = Points::new(rows, d, weights)?;
            seeding::seed_path(points, &ks, options.method()?, prepared.as_ref(), seed, job)
        })
    })?;
    Ok(path.into_iter().map(|done| seeded_tuple(py, done)).collect())
}

/// What many seedings share; `pivots` is their number, None for the default.
#[pyfunction]
fn prepare<'py>(
    py: Python<'py>,
    function: &str,
    x: Matrix<'py>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    pivots: Option<usize>,
) -> PyResult<PreparedTuple<'py>> {
    let weights = weights_of(weights.as_ref())?;
    typed!(x, |x| {
        let (rows, d) = (x.as_slice()?, columns(&x));
        let done = run(py, function, None, |job| {
            let points = Points::new(rows, d, weights)?;
            anchors::prepare(points, pivots.unwrap_or_else(|| anchors::default_pivots(points.n())), job)
        })?;
        let count = done.anchors.len() / d;
        let anchors = done.anchors.into_pyarray(py).reshape([count, d])?.into_any();
        let labels = done.labels.into_pyarray(py);
        Ok((done.frame.scale.wide(), anchors, labels, done.squares.into_pyarray(py).into_any(), done.spread))
    })
}

/// The nearest anchors of a few rows, and the scaled squared distances to them.
#[pyfunction]
fn locate<'py>(
    py: Python<'py>,
    function: &str,
    x: Matrix<'py>,
    scale: f64,
    anchors: Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<u8>>, Bound<'py, PyAny>)> {
    typed!(x, |x| locate_typed(py, function, &x, scale, &anchors))
}

fn locate_typed<'py, T: Real + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArray2<'py, T>,
    scale: f64,
    anchors: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<u8>>, Bound<'py, PyAny>)> {
    let anchors = same::<T>(anchors, "anchors")?;
    let (rows, d, anchors) = (x.as_slice()?, columns(x), anchors.as_slice()?);
    let (labels, squares) = run(py, function, None, |_| Ok(anchors::Prepared::locate(anchors, T::of(scale), rows, d)))?;
    Ok((labels.into_pyarray(py), squares.into_pyarray(py).into_any()))
}

/// Rows in proportion to their squared distance to `centers`.
#[pyfunction]
fn sample_rows<'py>(
    py: Python<'py>,
    function: &str,
    x: Matrix<'py>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    prepared: PreparedTuple<'py>,
    centers: Bound<'py, PyAny>,
    size: usize,
    seed: u64,
) -> PyResult<Indices<'py>> {
    let weights = weights_of(weights.as_ref())?;
    let rows = typed!(x, |x| {
        let prepared = prepared_of(Some(prepared))?.expect("a prepared tuple was given");
        let centers = same(&centers, "centers")?;
        let (rows, d, centers) = (x.as_slice()?, columns(&x), centers.as_slice()?);
        run(py, function, None, |job| {
            sample::sample(Points::new(rows, d, weights)?, &prepared, centers, size, seed, job)
        })
    })?;
    Ok(wide(&rows).into_pyarray(py))
}

/// Labels and squared distances of the nearest centres.
#[pyfunction]
#[pyo3(signature = (x, centers, function, root = false, progress = None))]
fn assign<'py>(
    py: Python<'py>,
    x: Matrix<'py>,
    centers: Bound<'py, PyAny>,
    function: &str,
    root: bool,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<(Indices<'py>, Bound<'py, PyAny>)> {
    typed!(x, |x| assign_typed(py, &x, &centers, function, root, progress.as_ref()))
}

fn assign_typed<'py, T: Real + Element>(
    py: Python<'py>,
    x: &PyReadonlyArray2<'py, T>,
    centers: &Bound<'py, PyAny>,
    function: &str,
    root: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Indices<'py>, Bound<'py, PyAny>)> {
    let centers = same(centers, "centers")?;
    let (rows, d, centers) = (x.as_slice()?, columns(x), centers.as_slice()?);
    let (labels, distances) = run(py, function, progress, |job| {
        let found = nearest::assign(Points::new(rows, d, None)?, centers, job)?;
        let scale = found.scale.wide();
        let unscale =
            |square: &T| T::of(if root { square.wide().sqrt() / scale } else { square.wide() / scale / scale });
        let labels: Vec<i64> = found.labels.iter().map(|&label| i64::from(label)).collect();
        Ok((labels, found.squares.iter().map(unscale).collect::<Vec<T>>()))
    })?;
    Ok((labels.into_pyarray(py), distances.into_pyarray(py).into_any()))
}

/// Lloyd's k-means from given centres: `(centers, labels, potential, iterations)`.
#[pyfunction]
fn kmeans<'py>(
    py: Python<'py>,
    function: &str,
    x: Matrix<'py>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    centers: Bound<'py, PyAny>,
    max_iter: usize,
    tol: f64,
    seed: u64,
) -> PyResult<(Bound<'py, PyAny>, Indices<'py>, f64, usize)> {
    let weights = weights_of(weights.as_ref())?;
    typed!(x, |x| {
        let centers = same(&centers, "centers")?;
        let (rows, d, centers) = (x.as_slice()?, columns(&x), centers.as_slice()?);
        let done = run(py, function, None, |job| {
            lloyd::lloyd(Points::new(rows, d, weights)?, centers.to_vec(), max_iter, tol, seed, job)
        })?;
        let labels: Vec<i64> = done.labels.iter().map(|&label| i64::from(label)).collect();
        let centers = done.centers.into_pyarray(py).reshape([centers.len() / d, d])?;
        Ok((centers.into_any(), labels.into_pyarray(py), done.potential, done.iterations))
    })
}

/// For tests: how often each ordered tuple of rows was drawn in `runs` seedings by the production path.
///
/// `tighten`, `refresh` and `max_batch` override the schedule of the exact method; `anchors` uses the prepared envelope with so
/// many pivots.
#[pyfunction]
#[pyo3(signature = (x, weights, k, options, runs, seed, *, tighten = true, max_batch = 2048, anchors = None))]
fn law_counts<'py>(
    py: Python<'py>,
    x: Matrix<'py>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    k: usize,
    options: Options,
    runs: u64,
    seed: u64,
    tighten: bool,
    max_batch: usize,
    anchors: Option<usize>,
) -> PyResult<Indices<'py>> {
    let weights = weights_of(weights.as_ref())?;
    let counts = typed!(x, |x| {
        let (rows, d) = (x.as_slice()?, columns(&x));
        run(py, "law_counts", None, |job| {
            let points = Points::new(rows, d, weights)?;
            let method = match options.method()? {
                Method::Exact(plan) => Method::Exact(Plan { tighten, max_batch, ..plan }),
                other => other,
            };
            let prepared = anchors.map(|pivots| anchors::prepare(points, pivots, job)).transpose()?;
            tally(points, k, method, prepared.as_ref(), runs, seed, job)
        })
    })?;
    Ok(counts.into_pyarray(py))
}

fn tally<T: Real>(
    points: Points<'_, T>,
    k: usize,
    method: Method,
    prepared: Option<&anchors::Prepared<T>>,
    runs: u64,
    seed: u64,
    job: &Job,
) -> Result<Vec<i64>, Error> {
    let cells = points.n().pow(k as u32);
    let add = |mut counts: Vec<i64>, run| {
        job.check()?;
        let chosen = seeding::seed(points, k, method, prepared, seed.wrapping_add(run), &Job::default())?.indices;
        counts[chosen.iter().fold(0, |cell, &row| cell * points.n() + row)] += 1;
        Ok(counts)
    };
    (0..runs.div_ceil(1000))
        .into_par_iter()
        .map(|part| (part * 1000..((part + 1) * 1000).min(runs)).try_fold(vec![0i64; cells], add))
        .try_reduce(|| vec![0i64; cells], |a, b| Ok(a.iter().zip(&b).map(|(x, y)| x + y).collect()))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(seed, module)?)?;
    module.add_function(wrap_pyfunction!(seed_path, module)?)?;
    module.add_function(wrap_pyfunction!(prepare, module)?)?;
    module.add_function(wrap_pyfunction!(locate, module)?)?;
    module.add_function(wrap_pyfunction!(sample_rows, module)?)?;
    module.add_function(wrap_pyfunction!(assign, module)?)?;
    module.add_function(wrap_pyfunction!(kmeans, module)?)?;
    module.add_function(wrap_pyfunction!(law_counts, module)?)
}

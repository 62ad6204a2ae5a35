//! Bindings of `argrad_core::decoding::truncate` and of `draw`.

use super::{Floats, items, outputs};
use crate::call::{exception, run_sized};
use argrad_core::decoding::Logit;
use argrad_core::decoding::draw::{self, Draw, Places};
use argrad_core::decoding::rules::Rule;
use argrad_core::decoding::truncate::{self as core, Request};
use numpy::{Element, PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyFloat, PyInt, PyTuple};

/// Nanoseconds that a thousand logits take, about.
const COST: usize = 800;

/// A number for all rows, or an array of one for each.
#[derive(FromPyObject)]
pub enum Numbers<'py> {
    One(f64),
    Each(PyReadonlyArrayDyn<'py, f64>),
}

impl Numbers<'_> {
    /// The number, or one for each row.
    pub fn as_slice(&self) -> PyResult<&[f64]> {
        match self {
            Self::One(number) => Ok(std::slice::from_ref(number)),
            Self::Each(numbers) => Ok(numbers.as_slice()?),
        }
    }
}

/// The same for whole numbers of 64 bits; arrays hold them as int64.
#[derive(FromPyObject)]
pub enum Words<'py> {
    One(u64),
    Each(PyReadonlyArrayDyn<'py, i64>),
}

impl Words<'_> {
    /// The number, or one for each row.
    pub fn to_vec(&self) -> PyResult<Vec<u64>> {
        match self {
            Self::One(number) => Ok(vec![*number]),
            Self::Each(numbers) => Ok(numbers.as_slice()?.iter().map(|number| *number as u64).collect()),
        }
    }
}

/// Seed, row (none: 0, 1, ...) and step of draws.
pub type Place<'py> = (Words<'py>, Option<Words<'py>>, Words<'py>);

/// Temperature, rules by name with their numbers, and how many tokens are kept at most.
type Options<'py> = (Numbers<'py>, Vec<(PyBackedStr, Numbers<'py>)>, Option<usize>);

/// Calls `work` with what the options ask for.
fn request<'a, R>(
    function: &str,
    (temperature, rules, most): &'a Options,
    work: impl FnOnce(&Request) -> PyResult<R>,
) -> PyResult<R> {
    let named = |(name, numbers): &'a (PyBackedStr, Numbers<'_>)| {
        Ok((Rule::named(name).map_err(|error| exception(function, error))?, numbers.as_slice()?))
    };
    let rules = rules.iter().map(named).collect::<PyResult<Vec<(Rule, &[f64])>>>()?;
    work(&Request { temperature: temperature.as_slice()?, rules: &rules, most: most.unwrap_or(usize::MAX) })
}

type Support<'py> = (Bound<'py, PyArrayDyn<i64>>, Bound<'py, PyAny>, Bound<'py, PyArrayDyn<i64>>);

/// Indices and values, `width` for each row (none: as many as the longest row has), and sizes.
#[pyfunction]
fn truncate<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    options: Options<'py>,
    width: Option<usize>,
) -> PyResult<Support<'py>> {
    match x {
        Floats::Single(x) => support(py, function, &x, &options, width),
        Floats::Double(x) => support(py, function, &x, &options, width),
    }
}

fn support<'py, T: Logit + Element + Default>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    options: &Options<'py>,
    width: Option<usize>,
) -> PyResult<Support<'py>> {
    let (shape, v) = (x.shape(), x.shape().last().copied().unwrap_or(1));
    let x = x.as_slice()?;
    let rows = request(function, options, |request| {
        run_sized(py, function, x.len() * COST / 1000, |job| core::truncate(x, v, request, job))
    })?;
    let width = width.unwrap_or_else(|| rows.iter().map(Vec::len).max().unwrap_or(0));
    let (indices, values, sizes) = (outputs(py, shape, width), outputs(py, shape, width), batch(py, shape));
    let (places, numbers) = (items::<i64>(&indices)?, items::<T>(&values)?);
    places.fill(-1);
    for ((row, list), size) in rows.iter().enumerate().zip(items::<i64>(&sizes)?) {
        for (place, &(index, p)) in list.iter().enumerate() {
            (places[row * width + place], numbers[row * width + place]) = (i64::from(index), T::of(p));
        }
        *size = list.len() as i64;
    }
    Ok((indices, values.into_any(), sizes))
}

/// An array of one item for each row.
pub fn batch<'py, T: Element>(py: Python<'py>, rows: &[usize]) -> Bound<'py, PyArrayDyn<T>> {
    PyArrayDyn::zeros(py, &rows[..rows.len() - 1], false)
}

pub type Drawn<'py> = (Bound<'py, PyArrayDyn<i64>>, Bound<'py, PyArrayDyn<i64>>, Bound<'py, PyArrayDyn<f64>>);

/// Token, size and log-probability of each row, as arrays.
pub fn columns<'py>(py: Python<'py>, rows: &[usize], draws: &[Draw]) -> PyResult<Drawn<'py>> {
    let (tokens, sizes, logs) = (batch(py, rows), batch(py, rows), batch(py, rows));
    let places = items::<i64>(&tokens)?.iter_mut().zip(items::<i64>(&sizes)?).zip(items::<f64>(&logs)?);
    for (draw, ((token, size), log)) in draws.iter().zip(places) {
        (*token, *size, *log) = (draw.token, draw.size, draw.log_probability);
    }
    Ok((tokens, sizes, logs))
}

/// Draws a token of each row from what the options keep.
#[pyfunction]
fn truncated_decode<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    options: Options<'py>,
    place: Place<'py>,
) -> PyResult<Drawn<'py>> {
    match x {
        Floats::Single(x) => decode(py, function, &x, &options, &place),
        Floats::Double(x) => decode(py, function, &x, &options, &place),
    }
}

fn decode<'py, T: Logit + Element + Default>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    options: &Options<'py>,
    place: &Place<'py>,
) -> PyResult<Drawn<'py>> {
    request(function, options, |request| with_places(place, |places| draws(py, function, x, request, places)))
}

fn draws<'py, T: Logit + Element + Default>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    request: &Request,
    places: &Places,
) -> PyResult<Drawn<'py>> {
    let (shape, v) = (x.shape(), x.shape().last().copied().unwrap_or(1));
    let x = x.as_slice()?;
    let mut draws = vec![Draw::default(); x.len() / v];
    let work = |job: &_| core::decode(x, v, request, places, &mut draws, job);
    run_sized(py, function, x.len() * COST / 1000, work)?;
    columns(py, shape, &draws)
}

/// The same of all rows at one temperature, by one number for each rule (None: not given) and by one seed and step. None if
/// one of them is no ordinary number in its range: a call of microseconds would feel a check in Python.
#[pyfunction]
fn plain_truncated_decode<'py>(
    py: Python<'py>,
    function: &str,
    x: Floats<'py>,
    temperature: &Bound<'py, PyAny>,
    numbers: &Bound<'py, PyTuple>,
    place: (Bound<'py, PyAny>, Bound<'py, PyAny>),
) -> PyResult<Option<Drawn<'py>>> {
    let float = |x: &Bound<'_, PyAny>| Some(x.cast_exact::<PyFloat>().ok()?.value());
    let (Some(temperature), Some(seed), Some(step)) =
        (float(temperature), whole::<u64>(&place.0), whole::<u32>(&place.1))
    else {
        return Ok(None);
    };
    let mut rules: Vec<(Rule, f64)> = Vec::with_capacity(numbers.len());
    for (rule, number) in Rule::all().zip(numbers.iter_borrowed()).filter(|(_, number)| !number.is_none()) {
        let found = match rule {
            Rule::TopK => whole::<u32>(&number).map(f64::from),
            Rule::PLess => None,
            _ => float(&number),
        };
        match found {
            Some(found) if rule.check(found, 0).is_ok() => rules.push((rule, found)),
            _ => return Ok(None),
        }
    }
    if !(0.0..f64::INFINITY).contains(&temperature) {
        return Ok(None);
    }
    let rules: Vec<(Rule, &[f64])> = rules.iter().map(|(rule, x)| (*rule, std::slice::from_ref(x))).collect();
    let request = Request { temperature: &[temperature], rules: &rules, most: usize::MAX };
    let places = Places { seed: &[seed], row: None, step: &[u64::from(step)] };
    let drawn = match x {
        Floats::Single(x) => draws(py, function, &x, &request, &places),
        Floats::Double(x) => draws(py, function, &x, &request, &places),
    };
    drawn.map(Some)
}

/// A number of Python's own type that fits.
fn whole<'a, 'py, N: FromPyObject<'a, 'py>>(x: &'a Bound<'py, PyAny>) -> Option<N> {
    if x.is_exact_instance_of::<PyInt>() { x.extract().ok() } else { None }
}

/// Calls `work` with the places of draws.
pub fn with_places<R>((seed, row, step): &Place, work: impl FnOnce(&Places) -> PyResult<R>) -> PyResult<R> {
    let row = row.as_ref().map(Words::to_vec).transpose()?;
    work(&Places { seed: &seed.to_vec()?, row: row.as_deref(), step: &step.to_vec()? })
}

/// Draws a token of each row from lists of tokens and weights.
#[pyfunction]
fn sample<'py>(
    py: Python<'py>,
    function: &str,
    indices: PyReadonlyArrayDyn<'py, i64>,
    values: Floats<'py>,
    size: PyReadonlyArrayDyn<'py, i64>,
    place: Place<'py>,
) -> PyResult<Drawn<'py>> {
    match values {
        Floats::Single(values) => listed(py, function, &indices, &values, &size, &place),
        Floats::Double(values) => listed(py, function, &indices, &values, &size, &place),
    }
}

fn listed<'py, T: Logit + Element + Default>(
    py: Python<'py>,
    function: &str,
    indices: &PyReadonlyArrayDyn<'py, i64>,
    values: &PyReadonlyArrayDyn<'py, T>,
    size: &PyReadonlyArrayDyn<'py, i64>,
    place: &Place<'py>,
) -> PyResult<Drawn<'py>> {
    let (shape, k) = (values.shape(), values.shape().last().copied().unwrap_or(1));
    let (indices, values, size) = (indices.as_slice()?, values.as_slice()?, size.as_slice()?);
    let mut draws = vec![Draw::default(); size.len()];
    with_places(place, |places| {
        let work = |job: &_| draw::sample(indices, values, size, k, places, &mut draws, job);
        run_sized(py, function, values.len(), work)
    })?;
    columns(py, shape, &draws)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(truncate, module)?)?;
    module.add_function(wrap_pyfunction!(truncated_decode, module)?)?;
    module.add_function(wrap_pyfunction!(plain_truncated_decode, module)?)?;
    module.add_function(wrap_pyfunction!(sample, module)?)
}

//! Bindings of `argrad_core::decoding::truncate` and of `draw`.

use super::Floats;
use crate::call::{exception, run_sized};
use argrad_core::decoding::Logit;
use argrad_core::decoding::draw::{self, Draw, Places};
use argrad_core::decoding::rules::Rule;
use argrad_core::decoding::truncate::{self as core, Request};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Nanoseconds that a thousand logits take, about.
const COST: usize = 800;

/// A number for all rows, or an array of one for each.
#[derive(FromPyObject)]
pub enum Numbers<'py> {
    One(f64),
    Each(PyReadonlyArrayDyn<'py, f64>),
}

impl Numbers<'_> {
    fn as_slice(&self) -> PyResult<&[f64]> {
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
    fn to_vec(&self) -> PyResult<Vec<u64>> {
        match self {
            Self::One(number) => Ok(vec![*number]),
            Self::Each(numbers) => Ok(numbers.as_slice()?.iter().map(|number| *number as u64).collect()),
        }
    }
}

/// Seed, row (none: 0, 1, ...) and step of draws.
type Place<'py> = (Words<'py>, Option<Words<'py>>, Words<'py>);

/// Temperature, rules by name with their numbers, and how many tokens are kept at most.
type Options<'py> = (Numbers<'py>, Vec<(String, Numbers<'py>)>, Option<usize>);

/// Calls `work` with what the options ask for.
fn request<R>(
    function: &str,
    (temperature, rules, most): &Options,
    work: impl FnOnce(&Request) -> PyResult<R>,
) -> PyResult<R> {
    let named = |(name, numbers): &(String, Numbers)| {
        Ok((Rule::named(name).map_err(|error| exception(function, error))?, numbers.as_slice()?.to_vec()))
    };
    let rules = rules.iter().map(named).collect::<PyResult<Vec<(Rule, Vec<f64>)>>>()?;
    let rules: Vec<_> = rules.iter().map(|(rule, numbers)| (*rule, numbers.as_slice())).collect();
    work(&Request { temperature: temperature.as_slice()?, rules: &rules, most: most.unwrap_or(usize::MAX) })
}

type Support<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>);

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

fn support<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    options: &Options<'py>,
    width: Option<usize>,
) -> PyResult<Support<'py>> {
    let (v, x) = (x.shape().last().copied().unwrap_or(1), x.as_slice()?);
    let rows = request(function, options, |request| {
        run_sized(py, function, x.len() * COST / 1000, |job| core::truncate(x, v, request, job))
    })?;
    let width = width.unwrap_or_else(|| rows.iter().map(Vec::len).max().unwrap_or(0));
    let (mut indices, mut values) = (vec![-1i64; rows.len() * width], vec![T::ZERO; rows.len() * width]);
    for (row, list) in rows.iter().enumerate() {
        for (place, &(index, p)) in list.iter().enumerate() {
            (indices[row * width + place], values[row * width + place]) = (i64::from(index), T::of(p));
        }
    }
    let sizes: Vec<i64> = rows.iter().map(|list| list.len() as i64).collect();
    Ok((indices.into_pyarray(py), values.into_pyarray(py).into_any(), sizes.into_pyarray(py)))
}

type Drawn<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>);

/// Token, size and log-probability of each row, as arrays.
fn columns<'py>(py: Python<'py>, draws: &[Draw]) -> Drawn<'py> {
    let tokens: Vec<i64> = draws.iter().map(|draw| draw.token).collect();
    let sizes: Vec<i64> = draws.iter().map(|draw| draw.size).collect();
    let logs: Vec<f64> = draws.iter().map(|draw| draw.log_probability).collect();
    (tokens.into_pyarray(py), sizes.into_pyarray(py), logs.into_pyarray(py))
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

fn decode<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    x: &PyReadonlyArrayDyn<'py, T>,
    options: &Options<'py>,
    place: &Place<'py>,
) -> PyResult<Drawn<'py>> {
    let (v, x) = (x.shape().last().copied().unwrap_or(1), x.as_slice()?);
    let mut draws = vec![Draw::default(); x.len() / v];
    request(function, options, |request| {
        with_places(place, |places| {
            let work = |job: &_| core::decode(x, v, request, places, &mut draws, job);
            run_sized(py, function, x.len() * COST / 1000, work)
        })
    })?;
    Ok(columns(py, &draws))
}

/// Calls `work` with the places of draws.
fn with_places<R>((seed, row, step): &Place, work: impl FnOnce(&Places) -> PyResult<R>) -> PyResult<R> {
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

fn listed<'py, T: Logit + Element>(
    py: Python<'py>,
    function: &str,
    indices: &PyReadonlyArrayDyn<'py, i64>,
    values: &PyReadonlyArrayDyn<'py, T>,
    size: &PyReadonlyArrayDyn<'py, i64>,
    place: &Place<'py>,
) -> PyResult<Drawn<'py>> {
    let k = values.shape().last().copied().unwrap_or(1);
    let (indices, values, size) = (indices.as_slice()?, values.as_slice()?, size.as_slice()?);
    let mut draws = vec![Draw::default(); size.len()];
    with_places(place, |places| {
        let work = |job: &_| draw::sample(indices, values, size, k, places, &mut draws, job);
        run_sized(py, function, values.len(), work)
    })?;
    Ok(columns(py, &draws))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(truncate, module)?)?;
    module.add_function(wrap_pyfunction!(truncated_decode, module)?)?;
    module.add_function(wrap_pyfunction!(sample, module)?)
}

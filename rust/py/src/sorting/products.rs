//! Bindings of `argrad_core::sorting::products`.

use super::{Floats, lists};
use crate::call::{exception, run_sized};
use argrad_core::Dual;
use argrad_core::fresh::zeros;
use argrad_core::lent::Lent;
use argrad_core::sorting::products::{self, Gradients, Inputs, Method};
use argrad_core::sorting::softsort_vector::{self, Room, Roomy};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

type Dense<'py, T> = PyReadonlyArrayDyn<'py, T>;
type Flat<'py, T> = Bound<'py, PyArray1<T>>;
type Four<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

fn known(method: &str) -> PyResult<Method> {
    match method {
        "softsort" => Ok(Method::SoftSort),
        "laplace" => Ok(Method::Laplace),
        other => Err(PyValueError::new_err(format!("method must be a known one, got {other:?}"))),
    }
}

pub fn mixed() -> PyErr {
    PyTypeError::new_err("arrays must be of one dtype, got two")
}

/// Columns of V: 1 where it has the dimensions of the scores.
fn columns<T: Element>(x: &Dense<'_, T>, v: &Dense<'_, T>) -> usize {
    if v.ndim() == x.ndim() { 1 } else { v.shape().last().copied().unwrap_or(1) }
}

/// What a product of short lists leaves for its derivatives: rooms, one for each list.
#[pyclass]
struct ScanMemo(Rooms);

enum Rooms {
    Single(Vec<Lent<Room<f32>>>),
    Double(Vec<Lent<Room<f64>>>),
}

/// Rooms take a hundred bytes an item, and in long lists they hold nothing that derivatives can use.
const MOST: usize = 1 << 16;

/// Types whose rooms a [`ScanMemo`] can hold.
trait Kept: Roomy {
    fn memo(rooms: Vec<Lent<Room<Self>>>) -> ScanMemo;
    fn rooms_of(memo: &mut ScanMemo) -> Option<&mut [Lent<Room<Self>>]>;
}

impl Kept for f32 {
    fn memo(rooms: Vec<Lent<Room<Self>>>) -> ScanMemo {
        ScanMemo(Rooms::Single(rooms))
    }
    fn rooms_of(memo: &mut ScanMemo) -> Option<&mut [Lent<Room<Self>>]> {
        if let Rooms::Single(rooms) = &mut memo.0 { Some(rooms) } else { None }
    }
}

impl Kept for f64 {
    fn memo(rooms: Vec<Lent<Room<Self>>>) -> ScanMemo {
        ScanMemo(Rooms::Double(rooms))
    }
    fn rooms_of(memo: &mut ScanMemo) -> Option<&mut [Lent<Room<Self>>]> {
        if let Rooms::Double(rooms) = &mut memo.0 { Some(rooms) } else { None }
    }
}

/// `P V`, or `P^T V`, and the order of each list, as flat arrays; and what is kept for [`scan_gradients`] if that is
/// asked for and pays.
#[pyfunction]
fn scan_product<'py>(
    py: Python<'py>,
    function: &str,
    method: &str,
    x: Floats<'py>,
    v: Floats<'py>,
    temperature: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<Dense<'py, bool>>,
    descending: bool,
    transposed: bool,
    keep: bool,
) -> PyResult<(Bound<'py, PyAny>, Flat<'py, i32>, Option<ScanMemo>)> {
    use Floats::{Double, Single};
    match (x, v, temperature) {
        (Single(x), Single(v), Single(t)) => {
            product(py, function, method, &x, &v, &t, bounds, mask, descending, transposed, keep)
                .map(|(y, o, memo)| (y.into_any(), o, memo))
        }
        (Double(x), Double(v), Double(t)) => {
            product(py, function, method, &x, &v, &t, bounds, mask, descending, transposed, keep)
                .map(|(y, o, memo)| (y.into_any(), o, memo))
        }
        _ => Err(mixed()),
    }
}

fn product<'py, T: Kept + Element>(
    py: Python<'py>,
    function: &str,
    method: &str,
    x: &Dense<'py, T>,
    v: &Dense<'py, T>,
    temperature: &Dense<'py, T>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    mask: Option<Dense<'py, bool>>,
    descending: bool,
    transposed: bool,
    keep: bool,
) -> PyResult<(Flat<'py, T>, Flat<'py, i32>, Option<ScanMemo>)> {
    let method = known(method)?;
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let lists = lists(x.shape(), bounds).map_err(|error| exception(function, error))?;
    let m = columns(x, v);
    let (x, v, t) = (x.as_slice()?, v.as_slice()?, temperature.as_slice()?);
    let (mut y, mut places) = (zeros(v.len()), zeros(x.len()));
    let keep = keep && (method, m, transposed) == (Method::SoftSort, 1, false) && x.len() <= MOST;
    let mut rooms = keep.then(|| (0..lists.count()).map(|_| Lent::new()).collect::<Vec<_>>());
    run_sized(py, function, x.len() * (products::COST + 8 * m), |job| {
        products::product(
            method,
            x,
            v,
            &lists,
            mask,
            t,
            descending,
            transposed,
            m,
            &mut y,
            &mut places,
            rooms.as_deref_mut(),
            job,
        )
    })?;
    Ok((y.into_pyarray(py), places.into_pyarray(py), rooms.map(T::memo)))
}

/// The gradients of `<rows, P items>` to scores, items, rows and temperatures, those to rows empty where only `inner` ones
/// are wanted; or, with tangents of the scores, of items or rows, and of the temperatures, the derivatives of these
/// gradients along the tangents.
#[pyfunction]
fn scan_gradients<'py>(
    py: Python<'py>,
    function: &str,
    method: &str,
    x: Floats<'py>,
    items: Floats<'py>,
    rows: Floats<'py>,
    temperature: Floats<'py>,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    places: Dense<'py, i32>,
    descending: bool,
    tangents: Option<(Floats<'py>, Floats<'py>, Floats<'py>, bool)>,
    inner: bool,
    memo: Option<Bound<'py, ScanMemo>>,
) -> PyResult<Four<'py>> {
    use Floats::{Double, Single};
    let call = Call { function, method: known(method)?, bounds, places, descending, inner, memo };
    match (x, items, rows, temperature, tangents) {
        (Single(x), Single(v), Single(g), Single(t), None) => gradients(py, call, [&x, &v, &g, &t], None),
        (Double(x), Double(v), Double(g), Double(t), None) => gradients(py, call, [&x, &v, &g, &t], None),
        (Single(x), Single(v), Single(g), Single(t), Some((Single(dx), Single(d), Single(dt), rows))) => {
            gradients(py, call, [&x, &v, &g, &t], Some(([&dx, &d, &dt], rows)))
        }
        (Double(x), Double(v), Double(g), Double(t), Some((Double(dx), Double(d), Double(dt), rows))) => {
            gradients(py, call, [&x, &v, &g, &t], Some(([&dx, &d, &dt], rows)))
        }
        _ => Err(mixed()),
    }
}

/// What gradients take beside numbers.
struct Call<'a, 'py> {
    function: &'a str,
    method: Method,
    bounds: Option<PyReadonlyArray1<'py, i64>>,
    places: Dense<'py, i32>,
    descending: bool,
    inner: bool,
    memo: Option<Bound<'py, ScanMemo>>,
}

fn gradients<'py, T: Kept + Element>(
    py: Python<'py>,
    call: Call<'_, 'py>,
    arrays: [&Dense<'py, T>; 4],
    tangents: Option<([&Dense<'py, T>; 3], bool)>,
) -> PyResult<Four<'py>> {
    let Call { function, method, bounds, places, descending, inner, memo } = call;
    let bounds = bounds.as_ref().map(|bounds| bounds.as_slice()).transpose()?;
    let lists = lists(arrays[0].shape(), bounds).map_err(|error| exception(function, error))?;
    let m = columns(arrays[0], arrays[1]);
    let places = places.as_slice()?;
    let [x, v, g, t] = [arrays[0].as_slice()?, arrays[1].as_slice()?, arrays[2].as_slice()?, arrays[3].as_slice()?];
    let vectors = (method, m, tangents.is_none()) == (Method::SoftSort, 1, true);
    let sizes = [x.len(), v.len(), if vectors && inner { 0 } else { g.len() }, t.len()];
    let [mut to_x, mut to_v, mut to_g, mut to_t] = sizes.map(zeros);
    let mut out = Gradients { x: &mut to_x, v: &mut to_v, g: &mut to_g, temperature: &mut to_t };
    let nanoseconds = x.len() * (products::COST + 20 * m);
    if let Some(([dx, d, dt], moves_rows)) = tangents {
        let (dx, d, dt) = (dx.as_slice()?, d.as_slice()?, dt.as_slice()?);
        let dual = |value: &[T], slope: &[T], i: usize| Dual::new(value[i].wide(), slope[i].wide());
        let still = |value: &[T], i: usize| Dual::new(value[i].wide(), 0.0);
        let inputs = Inputs {
            x: |i| dual(x, dx, i),
            v: |i| if moves_rows { still(v, i) } else { dual(v, d, i) },
            g: |i| if moves_rows { dual(g, d, i) } else { still(g, i) },
            temperature: |i| dual(t, dt, i),
            places,
            m,
            descending,
        };
        run_sized(py, function, 4 * nanoseconds, |job| {
            products::gradients(method, &lists, &inputs, |y: Dual| T::of(y.slope), &mut out, job)
        })?;
    } else if vectors {
        // Another thread may be on the way back through the same node; this one does without.
        let mut memo = memo.as_ref().and_then(|memo| memo.try_borrow_mut().ok());
        let rooms = memo.as_deref_mut().and_then(T::rooms_of).filter(|rooms| rooms.len() == lists.count());
        run_sized(py, function, nanoseconds, |job| {
            softsort_vector::gradients(&lists, x, v, g, t, places, descending, rooms, &mut out, job)
        })?;
    } else {
        let inputs = Inputs {
            x: |i: usize| x[i].wide(),
            v: |i: usize| v[i].wide(),
            g: |i: usize| g[i].wide(),
            temperature: |i: usize| t[i].wide(),
            places,
            m,
            descending,
        };
        run_sized(py, function, nanoseconds, |job| products::gradients(method, &lists, &inputs, T::of, &mut out, job))?;
    }
    let flat = |values: Vec<T>| values.into_pyarray(py).into_any();
    Ok((flat(to_x), flat(to_v), flat(to_g), flat(to_t)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(scan_product, module)?)?;
    module.add_function(wrap_pyfunction!(scan_gradients, module)?)
}

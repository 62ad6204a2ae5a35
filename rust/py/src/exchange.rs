//! CPU tensors as numpy arrays on their memory, by the table of C functions that their library offers: a tenth of what the
//! same costs in Python. The structures are those of [DLPack](https://dmlc.github.io/dlpack/latest/c_api.html), version 1.

use numpy::npyffi::{self, NPY_TYPES, PY_ARRAY_API};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyList, PyTuple, PyType};
use pyo3::{ffi, intern};
use std::ffi::{c_int, c_long, c_void};
use std::sync::OnceLock;

const CPU: i32 = 1;
const FLOAT: u8 = 2;

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: [i32; 2],
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct Table {
    version: [u32; 2],
    previous: *const c_void,
    allocate: *const c_void,
    export: *const c_void,
    import: *const c_void,
    /// Fills a description that is valid while the tensor is; may be missing.
    describe: Option<unsafe extern "C" fn(*mut c_void, *mut DlTensor) -> c_int>,
    stream: *const c_void,
}

type Describe = unsafe extern "C" fn(*mut c_void, *mut DlTensor) -> c_int;

static DESCRIBE: OnceLock<Describe> = OnceLock::new();
static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Takes the class whose tensors [`borrow`] gets and its table of functions, if it has one; it is faster from now on.
#[pyfunction]
fn connect(tensor: Bound<'_, PyType>, table: &Bound<'_, PyAny>) {
    let py = tensor.py();
    CLASS.get_or_init(py, || tensor.unbind());
    let Ok(capsule) = table.cast::<PyCapsule>() else { return };
    let Ok(pointer) = capsule.pointer_checked(Some(c"dlpack_exchange_api")) else { return };
    // SAFETY: a capsule of this name holds the table, which lives as long as the process; the version comes first.
    let (major, table) = unsafe { (pointer.cast::<u32>().read(), pointer.cast::<Table>()) };
    // SAFETY: tables of major version 1 have this form.
    let describe = if major == 1 { unsafe { (*table.as_ptr()).describe } } else { None };
    if let Some(describe) = describe {
        DESCRIBE.get_or_init(|| describe);
    }
}

/// The arguments with arrays for the tensors at `places` (None stays None), which keep their tensors alive. `memory` makes
/// those of tensors that are not contiguous, on a device, empty, or of dtypes that no kernel takes.
#[pyfunction]
fn borrow<'py>(
    args: &Bound<'py, PyTuple>,
    places: &Bound<'py, PyTuple>,
    memory: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let found = args.to_list();
    for place in places.iter_borrowed() {
        let place: usize = place.extract()?;
        let tensor = args.get_borrowed_item(place)?;
        if tensor.is_none() {
            continue;
        }
        let array = match DESCRIBE.get() {
            Some(describe) => view(&tensor, *describe, |_| true)?,
            None => None,
        };
        found.set_item(place, array.map_or_else(|| memory.call1((tensor,)), Ok)?)?;
    }
    Ok(found)
}

/// An array on the memory of `x` if that is a contiguous CPU tensor of the class itself, of float32 or float64, and no
/// gradient is asked for; None for everything else.
#[pyfunction]
fn lend<'py>(x: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = x.py();
    let (Some(describe), Some(class)) = (DESCRIBE.get(), CLASS.get(py)) else { return Ok(None) };
    if !x.get_type().is(class) || x.getattr(intern!(py, "requires_grad"))?.is_truthy()? {
        return Ok(None);
    }
    view(x, *describe, |code| code == FLOAT)
}

/// An array on a tensor's memory, if it has a type that is `wanted`.
fn view<'py>(
    tensor: &Bound<'py, PyAny>,
    describe: Describe,
    wanted: impl Fn(u8) -> bool,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = tensor.py();
    let mut found = std::mem::MaybeUninit::<DlTensor>::uninit();
    // SAFETY: the caller passes tensors of the class that the table belongs to; 0 says that the description is filled.
    let found = unsafe {
        if describe(tensor.as_ptr().cast(), found.as_mut_ptr()) != 0 {
            ffi::PyErr_Clear();
            return Ok(None);
        }
        found.assume_init()
    };
    let Some((kind, size)) = dtype(&found) else { return Ok(None) };
    let ndim = found.ndim as usize;
    if found.device[0] != CPU || ndim == 0 || !wanted(found.code) {
        return Ok(None);
    }
    // SAFETY: both have one number per dimension.
    let (shape, strides) =
        unsafe { (std::slice::from_raw_parts(found.shape, ndim), std::slice::from_raw_parts(found.strides, ndim)) };
    let mut count = 1;
    for (&n, &stride) in shape.iter().zip(strides).rev() {
        // The stride of a single item is never used: the last logits of one sequence keep that of the sequence.
        if n != 1 && stride != count {
            return Ok(None);
        }
        count *= n;
    }
    let data = found.data.wrapping_byte_add(found.byte_offset as usize);
    // Numbers that are stored with the other sign are known to the tensor alone.
    if count == 0
        || data.is_null()
        || data.addr() % size != 0
        || tensor.call_method0(intern!(py, "is_neg"))?.is_truthy()?
    {
        return Ok(None);
    }
    // SAFETY: shape and memory are those of the tensor, which the array holds a reference to.
    unsafe {
        let class = npyffi::get_type_object(py, npyffi::NpyTypes::PyArray_Type);
        let flags = npyffi::NPY_ARRAY_CARRAY;
        let (shape, kind) = (found.shape.cast(), kind as c_int);
        let (none, no_object) = (std::ptr::null_mut(), std::ptr::null_mut());
        let array = PY_ARRAY_API.PyArray_New(py, class, found.ndim, shape, kind, none, data, 0, flags, no_object);
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), tensor.clone().into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Some(array))
    }
}

/// numpy's type, and the size in bytes, of the dtypes that kernels take.
const fn dtype(found: &DlTensor) -> Option<(NPY_TYPES, usize)> {
    Some(match (found.code, found.bits, found.lanes) {
        (FLOAT, 32, 1) => (NPY_TYPES::NPY_FLOAT, 4),
        (FLOAT, 64, 1) => (NPY_TYPES::NPY_DOUBLE, 8),
        (6, 8, 1) => (NPY_TYPES::NPY_BOOL, 1),
        (0, 32, 1) => (NPY_TYPES::NPY_INT, 4),
        (0, 64, 1) if size_of::<c_long>() == 8 => (NPY_TYPES::NPY_LONG, 8),
        (0, 64, 1) => (NPY_TYPES::NPY_LONGLONG, 8),
        _ => return None,
    })
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(connect, module)?)?;
    module.add_function(wrap_pyfunction!(lend, module)?)?;
    module.add_function(wrap_pyfunction!(borrow, module)?)
}

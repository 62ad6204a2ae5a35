//! `argrad._native`: extract, detach, call the core, hand back.
#![allow(missing_docs, clippy::needless_pass_by_value, clippy::too_many_arguments)] // pyfunctions: documented in the stub

mod call;
mod decoding;
mod distances;
mod exchange;
mod seeding;
mod selection;
mod sorting;
mod system;
mod topology;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    distances::register(module)?;
    decoding::register(module)?;
    exchange::register(module)?;
    seeding::register(module)?;
    selection::register(module)?;
    sorting::register(module)?;
    system::register(module)?;
    topology::register(module)
}

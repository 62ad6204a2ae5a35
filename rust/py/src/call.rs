//! The one door through which long work passes: it releases the interpreter, runs in our pool, listens for Ctrl-C,
//! reports progress, turns errors into exceptions and stops panics.

use argrad_core::{Error, Job, pool};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How often the calling thread looks for signals and reports progress.
const TICK: Duration = Duration::from_millis(20);

/// Work that a second thread would not make shorter.
const SHORT: usize = 100_000;
/// Work so short that nobody misses Ctrl-C.
const BEARABLE: usize = 20_000_000;

/// Turns an error of the core into an exception whose text starts with the public function's name.
pub fn exception(function: &str, error: Error) -> PyErr {
    let text = format!("{function}: {error}");
    match error {
        Error::NoMemory { .. } | Error::LittleMemory { .. } => PyMemoryError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// Runs `work` in the pool with the interpreter released. `progress(done, total)` is called on this thread.
pub fn run<T: Send>(
    py: Python<'_>,
    function: &str,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Job) -> argrad_core::Result<T> + Send,
) -> PyResult<T> {
    let pool = pool::pool(|| default_threads(py)).map_err(|error| exception(function, error))?;
    let progress = progress.map(|call| call.clone().unbind());
    let job = Job::default();
    let (raised, outcome) = py.detach(|| {
        let (send, receive) = sync_channel(1);
        pool.in_place_scope(|scope| {
            scope.spawn(|_| {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(&job)));
                let _ = send.send(outcome); // the receiver outlives the scope
            });
            let mut raised = None;
            loop {
                match receive.recv_timeout(TICK) {
                    Ok(outcome) => break (raised, Some(outcome)),
                    Err(RecvTimeoutError::Disconnected) => break (raised, None),
                    Err(RecvTimeoutError::Timeout) => {
                        if raised.is_none()
                            && let Err(error) = Python::attach(|py| tick(py, progress.as_ref(), &job))
                        {
                            job.stop();
                            raised = Some(error);
                        }
                    }
                }
            }
        })
    });
    match (raised, outcome) {
        (Some(error), _) => Err(error),
        (None, Some(Ok(Ok(value)))) => finish(py, progress.as_ref(), &job).map(|()| value),
        (None, Some(Ok(Err(error)))) => Err(exception(function, error)),
        (None, _) => Err(PyRuntimeError::new_err(format!("{function}: internal error; please report it"))),
    }
}

/// Like [`run`], for work of about `nanoseconds`. Short work stays on this thread: a change of threads costs as much. It
/// neither listens for Ctrl-C nor reports progress, and runs outside the pool, where `Lists::each` is a plain loop.
pub fn run_sized<T: Send>(
    py: Python<'_>,
    function: &str,
    nanoseconds: usize,
    work: impl FnOnce(&Job) -> argrad_core::Result<T> + Send,
) -> PyResult<T> {
    let alone = || pool::pool(|| default_threads(py)).is_ok_and(|pool| pool.current_num_threads() == 1);
    if nanoseconds > SHORT && !(nanoseconds <= BEARABLE && alone()) {
        return run(py, function, None, work);
    }
    match py.detach(|| catch_unwind(AssertUnwindSafe(|| work(&Job::default())))) {
        Ok(outcome) => outcome.map_err(|error| exception(function, error)),
        Err(_) => Err(PyRuntimeError::new_err(format!("{function}: internal error; please report it"))),
    }
}

fn tick(py: Python<'_>, progress: Option<&Py<PyAny>>, job: &Job) -> PyResult<()> {
    py.check_signals()?;
    report(py, progress, job.progress())
}

fn finish(py: Python<'_>, progress: Option<&Py<PyAny>>, job: &Job) -> PyResult<()> {
    let (_, total) = job.progress();
    report(py, progress, (total, total))
}

fn report(py: Python<'_>, progress: Option<&Py<PyAny>>, (done, total): (u64, u64)) -> PyResult<()> {
    match progress {
        Some(call) if total > 0 => call.call1(py, (done, total)).map(|_| ()),
        _ => Ok(()),
    }
}

/// `ARGRAD_NUM_THREADS`; else 1 in a torch `DataLoader` worker, where every core already has a process; else all cores.
pub fn default_threads(py: Python<'_>) -> usize {
    if let Some(threads) = std::env::var("ARGRAD_NUM_THREADS").ok().and_then(|text| text.parse().ok()) {
        return threads;
    }
    if in_loader_worker(py).unwrap_or(false) {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn in_loader_worker(py: Python<'_>) -> PyResult<bool> {
    let modules = py.import("sys")?.getattr("modules")?;
    match modules.get_item("torch.utils.data._utils.worker") {
        Ok(worker) => Ok(!worker.getattr("_worker_info")?.is_none()),
        Err(_) => Ok(false),
    }
}

//! What a running algorithm shares with its caller: a stop flag and a progress counter.
//!
//! The core never calls back. It adds to the counter and looks at the flag a few hundred times a second; the caller, on
//! its own thread, reads the counter and sets the flag.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The shared state of one call.
#[derive(Debug, Default)]
pub struct Job {
    stop: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Job {
    /// Asks the algorithm to return [`Error::Interrupted`] soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// To be called by the algorithm between pieces of at most some milliseconds of work.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once [`Job::stop`] was called.
    #[inline]
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Declares how many units of work there are in all.
    pub fn expect(&self, total: usize) {
        self.total.store(total as u64, Ordering::Relaxed);
    }

    /// Reports the units of work done so far.
    pub fn reached(&self, done: usize) {
        self.done.store(done as u64, Ordering::Relaxed);
    }

    /// Reports more units of work as done.
    pub fn advance(&self, more: usize) {
        self.done.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Units done and units in all (0 while unknown).
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

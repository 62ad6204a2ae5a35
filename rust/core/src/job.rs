//! What a running algorithm shares with its caller: a stop flag and a progress counter.
//!
//! The core never calls back. It adds to the counter and looks at the flag a few hundred times a second; the caller, on
//! its own thread, reads the counter and sets the flag.

use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Items that a sweep passes between two looks at the flag: some milliseconds, a random access each.
const SWEEP: usize = 1 << 18;

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

    /// Calls `work` for one piece of 0..`n` after the other, and looks at the flag in between.
    ///
    /// # Errors
    /// [`Error::Interrupted`] as [`Job::check`].
    #[inline]
    pub fn sweep(&self, n: usize, mut work: impl FnMut(Range<usize>)) -> Result<()> {
        for start in (0..n).step_by(SWEEP) {
            self.check()?;
            work(start..(start + SWEEP).min(n));
        }
        Ok(())
    }

    /// `Vec::resize`, which takes long where there are gigabytes.
    ///
    /// # Errors
    /// [`Error::Interrupted`] as [`Job::check`].
    pub fn resize<T: Copy>(&self, items: &mut Vec<T>, n: usize, item: T) -> Result<()> {
        let first = items.len().min(n);
        items.truncate(n);
        items.reserve_exact(n - first);
        self.sweep(n - first, |piece| items.resize(first + piece.end, item))
    }

    /// `slice::reverse`, which takes long where there are gigabytes.
    ///
    /// # Errors
    /// [`Error::Interrupted`] as [`Job::check`].
    pub fn reverse<T>(&self, items: &mut [T]) -> Result<()> {
        let n = items.len();
        self.sweep(n / 2, |piece| piece.for_each(|i| items.swap(i, n - 1 - i)))
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

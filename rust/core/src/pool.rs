//! The thread pool: our own, keyed by process id.
//!
//! A rayon pool does not survive `fork`: its threads exist in the parent only, and a child that waits for them hangs for
//! ever. So every process gets its own slot (and with it its own lock, which no vanished thread can hold); the parent's
//! slot is leaked in the child, since its threads cannot be joined there.

use crate::error::{Error, Result, invalid};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// More threads than this are a mistake of the caller.
pub const MAX_THREADS: usize = 1024;

struct Slot {
    pid: u32,
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

static SLOT: AtomicPtr<Slot> = AtomicPtr::new(std::ptr::null_mut());
/// What `set_num_threads` asked for; 0 = nothing yet.
static WANTED: AtomicUsize = AtomicUsize::new(0);

fn slot() -> &'static Slot {
    let pid = std::process::id();
    let seen = SLOT.load(Ordering::Acquire);
    // SAFETY: slots are leaked boxes, never freed.
    if let Some(slot) = unsafe { seen.as_ref() }
        && slot.pid == pid
    {
        return slot;
    }
    let fresh = Box::into_raw(Box::new(Slot { pid, pool: Mutex::new(None) }));
    let winner = match SLOT.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        Err(other) => other,
    };
    // SAFETY: as above; a losing `fresh` stays leaked (a few bytes, once per process).
    unsafe { &*winner }
}

/// The pool of this process, made on first use with [`set_num_threads`]'s count or else `default()` threads.
///
/// # Errors
/// When the system refuses to start the threads.
pub fn pool(default: impl FnOnce() -> usize) -> Result<Arc<ThreadPool>> {
    let mut guard = slot().pool.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = &*guard {
        return Ok(Arc::clone(pool));
    }
    let threads = match WANTED.load(Ordering::Relaxed) {
        0 => default().clamp(1, MAX_THREADS),
        wanted => wanted,
    };
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("argrad-{index}"))
        .build()
        .map_err(|cause| Error::Invalid(format!("could not start {threads} threads: {cause}")))?;
    let pool = Arc::new(pool);
    *guard = Some(Arc::clone(&pool));
    Ok(pool)
}

/// Uses `threads` threads from the next call on. Calls under way keep the pool they run in.
///
/// # Errors
/// When `threads` is not in `1..=MAX_THREADS`.
pub fn set_num_threads(threads: usize) -> Result<()> {
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(invalid!("threads must be between 1 and {MAX_THREADS}, got {threads}"));
    }
    WANTED.store(threads, Ordering::Relaxed);
    *slot().pool.lock().unwrap_or_else(PoisonError::into_inner) = None;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_out_of_range_are_refused() {
        assert!(set_num_threads(0).is_err());
        assert!(set_num_threads(MAX_THREADS + 1).is_err());
    }
}

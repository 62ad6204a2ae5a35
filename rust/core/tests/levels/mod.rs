//! Work on every instruction set, one after the other.

use argrad_core::simd;
use std::sync::Mutex;

/// The instruction set is a setting of the process.
static LEVEL: Mutex<()> = Mutex::new(());

/// The result of `work`, which has to be the same on all.
pub fn on_every_level<R: PartialEq + std::fmt::Debug>(work: impl Fn() -> R) -> R {
    let guard = LEVEL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let found: Vec<R> = simd::available()
        .into_iter()
        .map(|level| {
            simd::force(level.name()).unwrap();
            work()
        })
        .collect();
    simd::force("auto").unwrap();
    drop(guard);
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "levels differ");
    found.into_iter().next().unwrap()
}

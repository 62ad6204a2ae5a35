//! Working memory that a thread keeps from call to call.

use super::Solver;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// A thread keeps working memory of at most so many bytes from call to call: fresh pages cost more than a list's sort.
const KEPT: usize = 64 << 20;

thread_local! {
    static SOLVER: Cell<Option<Box<Solver>>> = const { Cell::new(None) };
}

/// The thread's solver, until it is dropped.
#[derive(Debug, Default)]
pub struct Lent(Box<Solver>);

impl Deref for Lent {
    type Target = Solver;
    fn deref(&self) -> &Solver {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Solver {
        &mut self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.bytes() <= KEPT {
            let solver = std::mem::take(&mut self.0);
            // A thread that ends keeps nothing.
            let _ = SOLVER.try_with(|kept| kept.set(Some(solver)));
        }
    }
}

impl Solver {
    /// The solver that the thread kept, or a new one.
    #[must_use]
    pub fn lend() -> Lent {
        let mut solver = SOLVER.try_with(Cell::take).ok().flatten().unwrap_or_default();
        solver.order.forget();
        Lent(solver)
    }
}

//! Decoding: the next token from a row of logits, and projections onto the simplex.
//!
//! ```text
//! a row is read once: the maximum of every block, and sums of exponentials where they are asked for   row, leaf, statistics
//! its k largest tokens are found through the maxima                                                     select
//! everything else looks at those k tokens, in double precision
//! ```
//!
//! A row's result depends on nothing but the row: not on its batch, on threads or on the instruction set.

mod adaptive;
pub mod constrained;
mod cut;
pub mod decode;
mod double;
pub mod draw;
pub mod entmax;
mod leaf;
mod list;
mod logit;
mod order;
pub mod project;
pub mod renormalize;
mod row;
pub mod rules;
mod search;
mod select;
mod single;
mod statistics;
pub mod summary;
pub mod topk;
pub mod truncate;
#[cfg(target_arch = "x86_64")]
mod wide;
mod worth;

pub use adaptive::{Amount, Request};
pub use logit::Logit;
pub use renormalize::Rule;
pub use row::{Memory, Reading, Row, Token};
pub use statistics::{Statistics, Sums};

use crate::error::Result;
use crate::job::Job;
use rayon::prelude::*;

/// The number of a row, where there is one for each or one for all.
fn at<N: Copy>(numbers: &[N], row: usize) -> N {
    numbers[if numbers.len() == 1 { 0 } else { row }]
}

/// Calls `work` with the number of each row of `v` numbers, the row, and its pieces of two outputs; in the pool where one
/// runs, one after the other elsewhere.
pub(crate) fn each<T: Sync, A: Send, B: Send>(
    x: &[T],
    v: usize,
    (first, a): (&mut [A], usize),
    (second, b): (&mut [B], usize),
    job: &Job,
    work: impl Fn(usize, &[T], &mut [A], &mut [B]) -> Result<()> + Sync,
) -> Result<()> {
    if v == 0 || a == 0 || b == 0 {
        return Ok(());
    }
    let run = |number: usize, row: &[T], first: &mut [A], second: &mut [B]| {
        job.check()?;
        work(number, row, first, second)
    };
    if rayon::current_thread_index().is_none() || x.len() == v {
        let outputs = first.chunks_mut(a).zip(second.chunks_mut(b));
        return x
            .chunks(v)
            .zip(outputs)
            .enumerate()
            .try_for_each(|(i, (row, (first, second)))| run(i, row, first, second));
    }
    let outputs = first.par_chunks_mut(a).zip(second.par_chunks_mut(b));
    let rows = x.par_chunks(v).zip(outputs).enumerate();
    first_error(rows.map(|(i, (row, (first, second)))| run(i, row, first, second)).collect())
}

/// The error of the first row that has one, whatever the order in which rows were done.
fn first_error(outcomes: Vec<Result<()>>) -> Result<()> {
    outcomes.into_iter().collect()
}

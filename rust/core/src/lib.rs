//! The core of argrad: slices in, slices out.
//!
//! No Python, no array library, no global state but the thread pool and working memory. Every function here runs in whatever rayon pool the
//! caller has installed ([`pool::pool`]) and gives the same result for any number of threads and any instruction set.

pub mod decoding;
pub mod dual;
pub mod elementary;
pub mod error;
pub mod fresh;
pub mod job;
mod lanes;
pub mod lent;
pub mod pool;
pub mod real;
pub mod rng;
pub mod seeding;
pub mod selection;
pub mod simd;
pub mod sorting;
pub mod topology;

pub use dual::{Dual, Number};
pub use error::{Error, Result};
pub use job::Job;
pub use real::Real;

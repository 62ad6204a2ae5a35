//! Weighted draws with known inclusion probabilities, and the rows of clusters in order.
//!
//! Every draw reads its random numbers by row number and its sums by blocks of fixed size, so that the result is the
//! same for any number of threads and any instruction set. Rows of weight zero are never drawn.

pub mod chain;
pub mod clusters;
pub mod draws;
pub mod inclusion;
pub mod keys;
pub mod sums;
pub mod uniforms;

/// The random streams of this stem; one serves one purpose.
pub mod streams {
    /// The exponential keys, by row.
    pub const KEYS: u64 = 0x200;
    /// The exponential spacings of sorted uniforms, by draw.
    pub const SPACINGS: u64 = 0x201;
    /// The order of draws with replacement, by draw.
    pub const PERMUTATION: u64 = 0x202;
    /// The start of a systematic draw.
    pub const SYSTEMATIC: u64 = 0x203;
    /// The duels of a pivotal draw, by row.
    pub const PIVOTAL: u64 = 0x204;
    /// The decisions of a Poisson draw, by row.
    pub const POISSON: u64 = 0x205;
    /// The pilot rows, by cluster and number.
    pub const PILOT: u64 = 0x206;
    /// The rows of a stratified draw, by cluster and number.
    pub const STRATA: u64 = 0x207;
    /// How a stratified draw rounds the sizes of the strata.
    pub const ROUNDING: u64 = 0x208;
    /// The rows from which the range of the keys is guessed; no result depends on it.
    pub const GUESS: u64 = 0x209;
}

/// Drawn rows, and the inverses of their probabilities where asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Row numbers.
    pub rows: Vec<usize>,
    /// One weight a row: a sum of `weights[j] * y[rows[j]]` estimates the sum of all `y` without bias.
    pub weights: Vec<f64>,
}

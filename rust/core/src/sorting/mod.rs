//! Sorting: differentiable sort, rank, top-k and permutations.
//!
//! Every operator works on [`Lists`]: rows of equal length or ragged ones, each by itself, so that a list's result depends
//! on nothing but the list. An operator is a triple of functions: forward, its vector-Jacobian product, and that product
//! over [dual numbers](crate::dual), which is the second derivative.

mod columns;
pub mod curves;
pub mod groups;
pub mod laplace;
mod laplace_product;
pub mod lists;
pub mod network;
pub mod neuralsort;
pub mod order;
mod order_columns;
mod order_network;
mod order_radix;
pub mod pairs;
pub mod perturbed;
pub mod products;
pub mod ranks;
pub mod scans;
pub mod sinkhorn;
pub mod soft;
mod softsort;
pub mod softsort_vector;
pub mod threshold;
pub mod topk;
mod topk_exact;
mod topk_gradient;

pub use lists::Lists;

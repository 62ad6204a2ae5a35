//! What a tile is asked to do.

use super::weight::Distribution;
use super::wires::Network;
use crate::job::Job;

/// What is asked of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// v becomes P v.
    Product,
    /// u becomes P^T u.
    Transposed,
    /// Both, and the gradient of `<u, P v>` to the scores and the steepness.
    Bilinear,
}

/// Where the weights and distances of the comparators come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparisons {
    /// The scores, and they are forgotten.
    Made,
    /// The scores, and they stay on record.
    Kept,
    /// The record: those that the last run kept.
    Known,
}

/// What to run.
#[derive(Debug)]
pub struct Work<'a> {
    /// The comparators, in blocks of the tile.
    pub network: &'a Network,
    /// How they mix.
    pub distribution: Distribution,
    /// What is asked for.
    pub task: Task,
    /// Whether other runs on the same scores follow or went before. Only where [`Tile::is_recorded`].
    pub comparisons: Comparisons,
    /// For interrupts.
    pub job: &'a Job,
}

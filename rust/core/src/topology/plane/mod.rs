//! Images of one and two dimensions: pairs by joining components, exactly those of the reduced boundary matrix.
//!
//! ```text
//! local pairs (local): a vertex or square and an edge that are each other's only choice; cells fall into basins
//! critical edges (critical): what nobody took, sorted by (key, number)
//! degree 0: ascending edges join basins of vertices; the younger component dies at the edge
//! degree 1: descending edges join basins of squares, the outside being one more; the younger began at the edge
//! An edge joins vertices or squares, never both: the second pass sees what the first one left over.
//! ```
//!
//! The matching (compare) carries further elders along: in the order of the comparison image, or in those of the images.

mod compare;
mod critical;
mod forest;
mod local;
mod merge;
mod space;

pub use compare::matching;

use super::Bar;
use super::grid::Grid;
use crate::error::Result;
use crate::job::Job;
use critical::Agree;
use forest::Carry;
use space::{Kind, Plane, with_images, with_space};

/// The bars of an image in the degrees that are wanted, in the order of their vertices or squares.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn bars(grid: &Grid, keys: &[u32], wanted: [bool; 2], job: &Job) -> Result<[Vec<Bar>; 2]> {
    let plane = Plane::new(grid);
    with_images(|images| {
        let padded = &mut images.keys[0];
        plane.pad(keys, padded);
        with_space(|space| {
            space.prepare(&plane, padded, Agree::NOTHING, wanted, job)?;
            space.join(Kind::Square, Carry::Nothing, wanted, job)?;
            Ok([Kind::Vertex, Kind::Square]
                .map(|kind| if wanted[kind as usize] { space.bars(&plane, kind).0 } else { Vec::new() }))
        })
    })
}

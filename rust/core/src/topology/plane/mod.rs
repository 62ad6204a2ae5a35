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
        plane.pad(keys, padded, job)?;
        with_space(|space| {
            space.prepare(&plane, padded, Agree::NOTHING, wanted, job)?;
            space.join(Kind::Square, Carry::Nothing, wanted, job)?;
            let mut found = <[Vec<Bar>; 2]>::default();
            for kind in [Kind::Vertex, Kind::Square].into_iter().filter(|&kind| wanted[kind as usize]) {
                found[kind as usize] = space.bars(&plane, kind, job)?.0;
            }
            Ok(found)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::space::Space;
    use super::*;

    /// The edges that cells of a kind take, as [`Space::edges`] names them.
    fn taken(plane: &Plane, space: &Space, kind: Kind) -> Vec<u32> {
        let stride = plane.stride as u32;
        let edge = |(p, &code): (usize, &u8)| {
            let p = p as u32;
            // Edges below and on the right of a voxel are its own.
            let found = match (kind, code) {
                (_, local::ROOT | local::ABSENT) => return None,
                (Kind::Vertex, local::UP) => [p - stride, 0],
                (Kind::Vertex, local::LEFT) => [p - 1, 1],
                (Kind::Vertex, local::DOWN) | (Kind::Square, local::LEFT) => [p, 0],
                (Kind::Square, local::DOWN) => [p + stride, 1],
                (Kind::Square, local::RIGHT) => [p + 1, 0],
                // A vertex to the right, a square up.
                _ => [p, 1],
            };
            Some(found[0] << 1 | found[1])
        };
        space.basins[kind as usize].codes.iter().enumerate().filter_map(edge).collect()
    }

    /// Clearing: an edge is taken once, joins vertices or squares, and there are as many of each as there must be.
    #[test]
    fn every_edge_has_one_use() {
        let mut state = 1u64;
        let mut noise = |n: usize, most: u64| -> Vec<u32> {
            let next = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                1 + ((state >> 33) % most) as u32
            };
            (0..n).map(next).collect()
        };
        for (shape, most) in [([30, 1], 9), ([2, 2], 3), ([2, 9], 3), ([23, 17], 2), ([23, 17], 9), ([70, 75], 1 << 30)]
        {
            let grid = Grid::new(&shape);
            let (plane, job) = (Plane::new(&grid), Job::default());
            let (mut keys, mut other) = (Vec::new(), Vec::new());
            plane.pad(&noise(grid.len(), most), &mut keys, &job).unwrap();
            plane.pad(&noise(grid.len(), most), &mut other, &job).unwrap();
            let (edges, squares) = (grid.cells(1).count(), if grid.d() == 2 { grid.cells(2).count() } else { 0 });
            let labels = [&other[..]];
            for agree in [Agree::NOTHING, Agree { vertices: &labels, squares: &labels, exempt: 2 }] {
                let mut space = Space::default();
                space.prepare(&plane, &keys, agree, [true; 2], &job).unwrap();
                let [by_vertices, by_squares] = [Kind::Vertex, Kind::Square].map(|kind| taken(&plane, &space, kind));
                let mut all = [&by_vertices[..], &by_squares, &space.edges].concat();
                all.sort_unstable();
                all.dedup();
                assert_eq!([all.len(), by_vertices.len() + by_squares.len() + space.edges.len()], [edges; 2]);

                for first in [Kind::Vertex, Kind::Square] {
                    let one = [first == Kind::Vertex, first == Kind::Square];
                    space.prepare(&plane, &keys, agree, [true; 2], &job).unwrap();
                    space.join(first, Carry::Nothing, one, &job).unwrap();
                    let joined = space.edges.len() - space.order.len();
                    let expected = match first {
                        Kind::Vertex => grid.len() - 1 - by_vertices.len(),
                        Kind::Square => squares - by_squares.len(),
                    };
                    assert_eq!(joined, expected, "{shape:?} {first:?}");
                    space.prepare(&plane, &keys, agree, [true; 2], &job).unwrap();
                    space.join(first, Carry::Nothing, [true; 2], &job).unwrap();
                    assert!(space.order.is_empty(), "an edge joins nothing");
                }
            }
        }
    }
}

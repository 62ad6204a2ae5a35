//! Volumes: pairs of cells of images on a grid of three axes.
//!
//! ```text
//! 1  the gradient pairs most cells by looking at their neighbours                      (gradient, star, order)
//! 2  degree 2: critical squares merge cubes, descending; these squares are births      (forest)
//! 3  degree 1: the other critical squares are columns                                  (flow, columns)
//! 4  degree 0: critical edges merge vertices, ascending                                (forest)
//! ```
//!
//! The image of an inclusion has rows in the order of the smaller complex and columns in the order of the larger one. In
//! degree 0 the columns alone decide which components merge, in degree 2 the rows do, so that the image's pairs are
//! labels in the pass of the one or the other image; in degree 1 it is a reduction of its own.

mod columns;
mod flow;
mod forest;
mod gradient;
mod join;
mod order;
mod queue;
mod space;
mod star;
mod task;

pub use task::matching;

use super::Bar;
use super::grid::{Cell, Grid};
use crate::error::Result;
use crate::job::Job;
use columns::{Pair, reduce};
use forest::{Forest, Merge, Nodes};
use order::Field;
use space::Space;

/// The bars of an image in the degrees that are wanted, ascending by birth.
///
/// # Errors
/// [`crate::Error::Interrupted`], or [`crate::Error::Invalid`] if there are too many cells.
pub fn bars(grid: &Grid, keys: &[u32], wanted: [bool; 3], job: &Job) -> Result<[Vec<Bar>; 3]> {
    let space = Space::new(grid)?;
    let mut field = Field::new(&space, space.pad(keys), job)?;
    let (mut found, mut edges) = (<[Vec<Bar>; 3]>::default(), None);
    if wanted[1] || wanted[2] {
        let choices = field.choices(&space, job)?;
        let squares = field.order(&space, &choices).squares(job)?;
        let merges = Forest::new(Nodes::Cubes, &space, &field).pass(&squares, &[], false, job)?;
        found[2] = merges.iter().filter_map(|merge| merge.bar(Nodes::Cubes, &space, &field)).collect();
        if wanted[1] {
            field.mark(&merges);
            let reduced = reduce(&space, [&field; 2], choices, &field.deaths(&squares), job)?;
            found[1] = loops(&space, &field, &reduced.pairs);
            edges = Some(reduced.rest);
        }
    }
    if wanted[0] {
        let edges = critical(&space, &field, edges, job)?;
        let merges = Forest::new(Nodes::Vertices, &space, &field).pass(&edges, &[], false, job)?;
        found[0] = merges.iter().filter_map(|merge| merge.bar(Nodes::Vertices, &space, &field)).collect();
    }
    for (bars, wanted) in found.iter_mut().zip(wanted) {
        bars.retain(|_| wanted);
        bars.iter_mut().for_each(|bar| *bar = space.bar(*bar));
        bars.sort_unstable_by_key(|bar| bar.birth);
    }
    Ok(found)
}

/// Edges that may merge components: those that a reduction left, or all critical ones.
fn critical(space: &Space, field: &Field, rest: Option<Vec<Cell>>, job: &Job) -> Result<Vec<Cell>> {
    rest.map_or_else(|| field.order(space, &field.choices(space, job)?).critical(job), Ok)
}

/// Bars of degree 1 that are not empty.
fn loops(space: &Space, field: &Field, pairs: &[Pair]) -> Vec<Bar> {
    let real = |pair: &&Pair| space.edge(&field.keys, pair.edge) < space.square(&field.keys, pair.square);
    pairs.iter().filter(real).map(|pair| Bar { birth: pair.edge, death: pair.square }).collect()
}

impl Field {
    /// Marks squares that merge cubes as births.
    fn mark(&mut self, merges: &[Merge]) {
        for merge in merges {
            self.gradient.taken[merge.cell as usize / 4] |= 8 << (merge.cell % 4);
        }
    }

    /// Squares without those that are marked.
    fn deaths(&self, squares: &[Cell]) -> Vec<Cell> {
        let free = |square: &Cell| (self.gradient.taken[*square as usize / 4] >> (3 + square % 4)) & 1 == 0;
        squares.iter().copied().filter(free).collect()
    }
}

impl Merge {
    /// The bar of the image whose pass this is, if it is not empty.
    fn bar(&self, nodes: Nodes, space: &Space, field: &Field) -> Option<Bar> {
        let [cell, young] =
            [nodes.value(space, &field.keys, self.cell), nodes.node_value(space, &field.keys, self.young)];
        (cell != young).then_some(match nodes {
            Nodes::Vertices => Bar { birth: self.young, death: self.cell },
            Nodes::Cubes => Bar { birth: self.cell, death: self.young },
        })
    }

    /// Whether the pair with a label is a bar that is not empty.
    fn lasts(&self, label: usize, nodes: Nodes, space: &Space, pass: &Field, other: &Field) -> bool {
        let cell = nodes.value(space, &pass.keys, self.cell);
        let label = nodes.node_value(space, &other.keys, self.labels[label]);
        match nodes {
            Nodes::Vertices => label < cell,
            Nodes::Cubes => cell < label,
        }
    }
}

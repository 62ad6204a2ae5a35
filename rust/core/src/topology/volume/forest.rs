//! Degree 0 and the top degree: components that merge.
//!
//! Vertices are joined by edges, ascending; cubes by the squares between them, descending, with the outside as one more
//! cube that comes last. What comes first in that direction is the elder and survives.
//!
//! ```text
//! every node starts in the basin of the critical node that its gradient path ends at
//! for each critical edge (square) in the order of the pass:
//!     join the two components; the younger root is paired with the edge
//!     a label of each component is its eldest node in the order of another image; the younger label is what the image of
//!     the inclusion pairs with the edge
//! ```
//!
//! Labels must not know nodes before the pass has reached them: a node of a basin joins its label when the pass comes to
//! the edge by which its path leaves it. Only few nodes need that: who is not elder than the next node of its path
//! changes nothing; whose own value is the last of all has no bar; and edges of the value that comes first in the pass
//! have none, so that all who join by one of them do it at once. Where a match needs image bars that are not empty, all
//! may join at once: who comes too early carries a value beyond the edge's.

use super::super::grid::Cell;
use super::gradient::{CRITICAL, OUTSIDE};
use super::order::{Field, ascending};
use super::space::Space;
use crate::error::Result;
use crate::job::Job;
use std::borrow::Cow;

/// What the nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// Vertices, joined by edges in ascending order.
    Vertices,
    /// Cubes, joined by squares in descending order.
    Cubes,
}

/// Two components became one.
#[derive(Debug, Clone, Copy)]
pub struct Merge {
    /// The edge or square.
    pub cell: Cell,
    /// The node that is paired with it.
    pub young: Cell,
    /// The nodes that are paired with it in the images of the inclusions.
    pub labels: [Cell; 2],
}

/// A node's place in the order of the pass, the eldest first.
type Age = u64;

/// The eldest nodes of the components in the order of another image.
#[derive(Debug)]
struct Label {
    /// By number of the root.
    eldest: Vec<Age>,
    /// Nodes that change a label: when they join, and their ages.
    joining: Vec<(Age, Age)>,
    next: usize,
}

const NONE: u32 = u32::MAX;

impl Nodes {
    const fn shift(self) -> u32 {
        if matches!(self, Self::Vertices) { 0 } else { 3 }
    }

    /// Turns a value with a cell into its place in the order of the pass, and back.
    const fn turned(self, item: u64) -> u64 {
        if matches!(self, Self::Vertices) { item } else { !item }
    }

    /// Value of a node.
    #[must_use]
    pub fn node_value(self, space: &Space, keys: &[u32], node: Cell) -> u32 {
        let p = node as usize / 4;
        if self == Self::Vertices { keys[p] } else { space.cube(keys, p) }
    }

    /// Value of a cell between two nodes.
    #[must_use]
    pub fn value(self, space: &Space, keys: &[u32], cell: Cell) -> u32 {
        if self == Self::Vertices { space.edge(keys, cell) } else { space.square(keys, cell) }
    }

    fn age(self, space: &Space, keys: &[u32], p: usize) -> Age {
        let value = self.node_value(space, keys, 4 * p as Cell);
        self.turned((u64::from(value) << 32) | (4 * p as u64))
    }

    const fn node(self, age: Age) -> Cell {
        self.turned(age) as Cell
    }

    /// The next node of a path and the cell between the two.
    fn step(self, space: &Space, p: usize, code: u8) -> (usize, Cell) {
        let axis = usize::from(code % 3);
        let stride = space.strides[axis];
        match (self, code) {
            (Self::Vertices, 0..3) => (p - stride, (4 * (p - stride) + axis) as Cell),
            (Self::Vertices, _) => (p + stride, (4 * p + axis) as Cell),
            (Self::Cubes, 0..3) => (p + stride, (4 * (p + stride) + axis) as Cell),
            (Self::Cubes, _) => (p - 1, 4 * p as Cell + 2),
        }
    }

    /// The two nodes that a cell joins.
    const fn ends(self, space: &Space, cell: Cell) -> [usize; 2] {
        let (p, stride) = (cell as usize / 4, space.strides[cell as usize % 4]);
        if matches!(self, Self::Vertices) { [p, p + stride] } else { [p, p - stride] }
    }
}

/// The components of one pass.
#[derive(Debug)]
pub struct Forest<'a> {
    nodes: Nodes,
    space: &'a Space,
    field: &'a Field,
    /// The root's number by node, where it was asked for.
    basin: Vec<u32>,
    /// Parents by number.
    parent: Vec<u32>,
    ages: Vec<Age>,
}

impl<'a> Forest<'a> {
    /// The basins of an image. Number 0 is the outside of cubes.
    #[must_use]
    pub fn new(nodes: Nodes, space: &'a Space, field: &'a Field) -> Self {
        let (mut basin, mut ages) = (vec![NONE; space.len], Vec::new());
        if nodes == Nodes::Cubes {
            ages.push(0);
        }
        for p in space.first..space.end {
            if field.gradient.flow[p] >> nodes.shift() & 7 == CRITICAL {
                basin[p] = ages.len() as u32;
                ages.push(nodes.age(space, &field.keys, p));
            }
        }
        Self { nodes, space, field, basin, parent: (0..ages.len() as u32).collect(), ages }
    }

    /// The number of the basin of a node.
    fn basin(&mut self, p: usize) -> u32 {
        let (mut at, shift) = (p, self.nodes.shift());
        let root = loop {
            let code = self.field.gradient.flow[at] >> shift & 7;
            match self.basin[at] {
                NONE if code == OUTSIDE => break 0,
                NONE => at = self.nodes.step(self.space, at, code).0,
                root => break root,
            }
        };
        at = p;
        while self.basin[at] == NONE {
            self.basin[at] = root;
            let code = self.field.gradient.flow[at] >> shift & 7;
            if code == OUTSIDE {
                break;
            }
            at = self.nodes.step(self.space, at, code).0;
        }
        root
    }

    fn root(&mut self, mut root: u32) -> usize {
        while self.parent[root as usize] != root {
            let up = self.parent[self.parent[root as usize] as usize];
            self.parent[root as usize] = up;
            root = up;
        }
        root as usize
    }

    /// Joins components by `cells`, which ascend as numbers, and finds all pairs in the order of the pass. `early`: labels
    /// may know nodes before the pass reaches them.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn pass(mut self, cells: &[Cell], labels: &[&Field], early: bool, job: &Job) -> Result<Vec<Merge>> {
        let mut joints = Vec::new();
        for (i, &cell) in cells.iter().enumerate() {
            if i % 4096 == 0 {
                job.check()?;
            }
            let ends = self.nodes.ends(self.space, cell).map(|p| self.basin(p));
            if ends[0] != ends[1] {
                joints.push((cell, ends));
            }
        }
        let mut labels = labels.iter().map(|label| self.label(label, early, job)).collect::<Result<Vec<_>>>()?;
        let values = joints.iter().map(|joint| self.nodes.value(self.space, &self.field.keys, joint.0));
        let mut order = ascending(values, job)?;
        if self.nodes == Nodes::Cubes {
            order.reverse();
        }
        let mut found = Vec::new();
        for (i, item) in order.into_iter().enumerate() {
            if i % 4096 == 0 {
                job.check()?;
            }
            let (cell, ends) = joints[item as u32 as usize];
            let now = self.nodes.turned((item >> 32 << 32) | u64::from(cell));
            for label in &mut labels {
                self.catch_up(label, now);
            }
            let [a, b] = ends.map(|root| self.root(root));
            if a == b {
                continue;
            }
            let (old, young) = if self.ages[a] < self.ages[b] { (a, b) } else { (b, a) };
            self.parent[young] = old as u32;
            let mut merge = Merge { cell, young: self.nodes.node(self.ages[young]), labels: [NONE; 2] };
            for (label, name) in labels.iter_mut().zip(&mut merge.labels) {
                let eldest = [label.eldest[a], label.eldest[b]];
                *name = self.nodes.node(eldest[0].max(eldest[1]));
                label.eldest[old] = eldest[0].min(eldest[1]);
            }
            found.push(merge);
        }
        Ok(found)
    }

    /// Lets nodes join that the pass has come to.
    #[inline]
    fn catch_up(&mut self, label: &mut Label, now: Age) {
        while let Some(&(at, age)) = label.joining.get(label.next).filter(|joining| joining.0 < now) {
            let p = self.leaves(self.nodes.turned(at) as Cell);
            let basin = self.basin(p);
            let root = self.root(basin);
            label.eldest[root] = label.eldest[root].min(age);
            label.next += 1;
        }
    }

    /// The node whose path leaves it by this cell.
    fn leaves(&self, cell: Cell) -> usize {
        let ends = self.nodes.ends(self.space, cell);
        let code = self.field.gradient.flow[ends[0]] >> self.nodes.shift() & 7;
        let first = code < CRITICAL && self.nodes.step(self.space, ends[0], code).1 == cell;
        if first { ends[0] } else { ends[1] }
    }

    /// The labels of the roots at the begin of the pass, and the nodes that change a label later.
    fn label(&mut self, label: &Field, early: bool, job: &Job) -> Result<Label> {
        let (nodes, space, field) = (self.nodes, self.space, self.field);
        let (begin, last) = match nodes {
            Nodes::Vertices => (field.range[0], label.range[1]),
            Nodes::Cubes => (field.range[1], label.range[0]),
        };
        let values = if nodes == Nodes::Vertices {
            Cow::Borrowed(&label.keys[..])
        } else {
            Cow::Owned(space.cubes(&label.keys))
        };
        let age = |p: usize| nodes.turned((u64::from(values[p]) << 32) | (4 * p as u64));
        let mut eldest: Vec<_> =
            self.ages.iter().map(|&root| if root == 0 { 0 } else { age(nodes.node(root) as usize / 4) }).collect();
        let mut joining = Vec::new();
        for p in space.first..space.end {
            if p % (1 << 14) == 0 {
                job.check()?;
            }
            let code = (field.gradient.flow[p] >> nodes.shift()) & 7;
            if code >= CRITICAL || values[p] == last {
                continue;
            }
            let (to, cell) = nodes.step(space, p, code);
            let here = age(p);
            if here > age(to) {
                continue;
            }
            let value = nodes.value(space, &field.keys, cell);
            if early || value == begin {
                let root = self.basin(p) as usize;
                eldest[root] = eldest[root].min(here);
            } else {
                joining.push((nodes.turned((u64::from(value) << 32) | u64::from(cell)), here));
            }
        }
        joining.sort_unstable();
        Ok(Label { eldest, joining, next: 0 })
    }
}

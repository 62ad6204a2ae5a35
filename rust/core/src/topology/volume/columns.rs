//! Degree 1: columns of squares are reduced to their last edge.
//!
//! ```text
//! for each square in the order of the columns:
//!     column = its edges
//!     loop: take the last edge e in the order of the rows (equal edges cancel)
//!         if e has a partner by the gradient: add the partner's three other edges, and go on
//!         if e is the last edge of an earlier column: add the rest of that column, and go on
//!         e and the square are a pair; keep the rest of the column
//! ```
//!
//! Only squares come that are the death of something: none that a cube is paired with, none that merges two components
//! of cubes. Squares and edges that the gradient pairs are columns that nobody stores: they are made when they are
//! needed. An edge that is paired with a vertex ends a component; it is never the last edge of a cycle, so that it may be
//! left out of all columns.

use super::super::grid::Cell;
use super::order::Order;
use crate::error::Result;
use crate::job::Job;
use std::collections::BinaryHeap;

/// An edge and the square that it is paired with.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The edge.
    pub edge: Cell,
    /// The square.
    pub square: Cell,
}

const NONE: u32 = u32::MAX;

/// Columns that are reduced, by their last edges.
#[derive(Debug)]
pub struct Columns<'a> {
    order: Order<'a>,
    /// The column whose last edge this is, by 3 p + axis.
    owner: Vec<u32>,
    /// Where the entries of each column begin.
    starts: Vec<usize>,
    /// Entries, as values with numbers.
    entries: Vec<u64>,
    heap: BinaryHeap<u64>,
}

impl<'a> Columns<'a> {
    /// No column yet.
    #[must_use]
    pub fn new(order: Order<'a>) -> Self {
        let owner = vec![NONE; 3 * order.space.len];
        Self { order, owner, starts: vec![0], entries: Vec::new(), heap: BinaryHeap::new() }
    }

    /// Reduces `squares`, which ascend in the order of the columns, and finds their edges.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn reduce(mut self, squares: &[u64], job: &Job) -> Result<Vec<Pair>> {
        let mut found = Vec::with_capacity(squares.len());
        for &item in squares {
            let square = item as Cell;
            self.order.space.faces(square).into_iter().for_each(|edge| self.push(edge));
            let Some(edge) = self.last(job)? else { continue };
            self.owner[owned(edge)] = found.len() as u32;
            found.push(Pair { edge, square });
            self.store();
        }
        Ok(found)
    }

    /// Adds an edge to the column, unless it is paired with a vertex.
    #[inline]
    fn push(&mut self, edge: Cell) {
        let (p, axis) = (edge as usize / 4, edge % 4);
        if self.order.rows.gradient.taken[p] >> axis & 1 == 0 {
            self.heap.push(u64::from(self.order.space.edge(&self.order.rows.keys, edge)) << 32 | u64::from(edge));
        }
    }

    /// Takes the last edge that occurs an odd number of times.
    #[inline]
    fn pop(&mut self) -> Option<Cell> {
        while let Some(item) = self.heap.pop() {
            if self.heap.peek() != Some(&item) {
                return Some(item as Cell);
            }
            self.heap.pop();
        }
        None
    }

    /// Reduces the column in the heap.
    fn last(&mut self, job: &Job) -> Result<Option<Cell>> {
        let mut steps = 0_u32;
        while let Some(edge) = self.pop() {
            steps += 1;
            if steps.is_multiple_of(4096) {
                job.check()?;
            }
            if let Some(square) = self.order.partner(edge) {
                for other in self.order.space.faces(square) {
                    if other != edge {
                        self.push(other);
                    }
                }
                continue;
            }
            let owner = self.owner[owned(edge)] as usize;
            if owner == NONE as usize {
                return Ok(Some(edge));
            }
            self.heap.extend(&self.entries[self.starts[owner]..self.starts[owner + 1]]);
        }
        Ok(None)
    }

    /// Keeps what is left in the heap as a column.
    fn store(&mut self) {
        let begin = self.entries.len();
        self.entries.extend(self.heap.drain());
        self.entries[begin..].sort_unstable();
        let mut end = begin;
        for i in begin..self.entries.len() {
            if end > begin && self.entries[end - 1] == self.entries[i] {
                end -= 1;
            } else {
                self.entries[end] = self.entries[i];
                end += 1;
            }
        }
        self.entries.truncate(end);
        self.starts.push(end);
    }
}

/// The place of an edge in [`Columns::owner`].
#[inline]
const fn owned(edge: Cell) -> usize {
    (edge - edge / 4) as usize
}

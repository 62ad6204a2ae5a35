//! Degree 1: columns of squares are reduced to their last edge.
//!
//! ```text
//! for each square, by its place in the volume:                        (what is near in memory is near in time)
//!     column = its edges
//!     while the last edge e (in the order of the rows; equal edges cancel) has a partner by the gradient:
//!         add the partner's edges
//! for each square in the order of the columns:
//!     while the last edge e of its column is that of an earlier column: add that column, and as above
//!     e and the square are a pair
//! ```
//!
//! Only squares come that are the death of something: none that a cube is paired with, none that merges two components
//! of cubes. Squares and edges that the gradient pairs are columns that nobody stores: they are made when they are
//! needed. An edge that is paired with a vertex ends a component; it is never the last edge of a cycle, so that it may be
//! left out of all columns. The first loop leaves to most columns nothing to add in the second.

use super::super::grid::Cell;
use super::order::{Edges, Order, ascending};
use super::queue::Queue;
use crate::error::Result;
use crate::job::Job;

/// An edge and the square that it is paired with.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The edge.
    pub edge: Cell,
    /// The square.
    pub square: Cell,
}

/// What a reduction finds.
#[derive(Debug, Default)]
pub struct Reduced {
    /// Pairs, by the order of the columns.
    pub pairs: Vec<Pair>,
    /// Critical edges that no square is paired with.
    pub rest: Vec<Cell>,
}

const NONE: u32 = u32::MAX;

/// Columns on their way to a reduced matrix.
#[derive(Debug)]
struct Columns<'a> {
    order: Order<'a>,
    edges: Edges,
    /// The column whose last edge this is, by the places of critical edges.
    owner: Vec<u32>,
    /// Where each column lies in `entries`; its last edge is its last entry.
    ranges: Vec<[usize; 2]>,
    /// Edges as values with numbers, ascending in each column.
    entries: Vec<u64>,
    queue: Queue,
    steps: u32,
}

/// Finds the pairs of `squares`, which ascend as numbers.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn reduce(order: Order, squares: &[Cell], job: &Job) -> Result<Reduced> {
    let edges = order.edges(job)?;
    let mut columns = Columns {
        order,
        owner: vec![NONE; edges.len()],
        edges,
        ranges: Vec::with_capacity(squares.len()),
        entries: Vec::with_capacity(4 * squares.len()),
        queue: Queue::default(),
        steps: 0,
    };
    let mut places = Vec::with_capacity(squares.len());
    for &square in squares {
        order.space.faces(square).into_iter().for_each(|edge| columns.push(edge));
        places.push(columns.near(job)?.map_or(NONE, |place| place as u32));
        let range = columns.store();
        columns.ranges.push(range);
    }
    let mut found = Reduced::default();
    for item in ascending(squares.iter().map(|&square| order.space.square(&order.columns.keys, square))) {
        let column = item as u32 as usize;
        let mut place = places[column] as usize;
        if columns.owner.get(place).is_some_and(|&owner| owner != NONE) {
            let Some(last) = columns.far(column, job)? else { continue };
            place = last;
        }
        if let Some(owner) = columns.owner.get_mut(place) {
            *owner = column as u32;
            let edge = columns.entries[columns.ranges[column][1] - 1] as Cell;
            found.pairs.push(Pair { edge, square: squares[column] });
        }
    }
    found.rest =
        columns.edges.iter().zip(&columns.owner).filter(|(_, owner)| **owner == NONE).map(|(edge, _)| edge).collect();
    Ok(found)
}

impl Columns<'_> {
    /// Adds an edge to the column, unless it is paired with a vertex.
    #[inline]
    fn push(&mut self, edge: Cell) {
        let (p, axis) = (edge as usize / 4, edge % 4);
        if (self.order.rows.gradient.taken[p] >> axis) & 1 == 0 {
            let value = self.order.space.edge(&self.order.rows.keys, edge);
            self.queue.push((u64::from(value) << 32) | u64::from(edge));
        }
    }

    /// Adds partners by the gradient until the last edge has none; its place among the critical edges.
    #[inline]
    fn near(&mut self, job: &Job) -> Result<Option<usize>> {
        while let Some(item) = self.queue.pop() {
            self.steps = self.steps.wrapping_add(1);
            if self.steps.is_multiple_of(4096) {
                job.check()?;
            }
            let edge = item as Cell;
            if let Some(place) = self.edges.place(edge) {
                self.queue.push(item);
                return Ok(Some(place));
            }
            let Some(square) = self.order.partner(edge) else { continue };
            for other in self.order.space.faces(square) {
                if other != edge {
                    self.push(other);
                }
            }
        }
        Ok(None)
    }

    /// Adds earlier columns until the last edge of a column has none; its place among the critical edges.
    fn far(&mut self, column: usize, job: &Job) -> Result<Option<usize>> {
        let [begin, end] = self.ranges[column];
        self.queue.extend(&self.entries[begin..end]);
        while let Some(place) = self.near(job)? {
            let owner = self.owner[place] as usize;
            if owner == NONE as usize {
                self.ranges[column] = self.store();
                return Ok(Some(place));
            }
            let [begin, end] = self.ranges[owner];
            self.queue.extend(&self.entries[begin..end]);
        }
        Ok(None)
    }

    /// Keeps what is in the queue as a column.
    fn store(&mut self) -> [usize; 2] {
        let begin = self.entries.len();
        self.queue.drain(&mut self.entries);
        [begin, self.entries.len()]
    }
}

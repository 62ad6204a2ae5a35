//! Degree 1: columns of squares are reduced to their last edge.
//!
//! ```text
//! for each square, by its place in the volume:            (what is near in memory is near in time)
//!     its column: its boundary in terms of critical edges                                           (flow)
//! for each square in the order of the columns:
//!     while the last edge of its column is that of an earlier column: add that column
//!     the last edge and the square are a pair
//! ```
//!
//! Only squares come that are the death of something: none that a cube is paired with, none that merges two components
//! of cubes. Most columns have nothing to add.

use super::super::grid::Cell;
use super::flow::Flow;
use super::order::{Order, ascending};
use super::queue::BitTree;
use crate::error::{Error, Result};
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
    /// Critical edges that no square is paired with, ascending as numbers.
    pub rest: Vec<Cell>,
}

const NONE: u32 = u32::MAX;

/// Columns on their way to a reduced matrix; edges are ranks of critical edges in the order of the rows, from 1 on.
#[derive(Debug, Default)]
struct Columns {
    /// Where the entries of each column begin and end.
    ranges: Vec<[u32; 2]>,
    /// Ranks, descending in each column.
    entries: Vec<u32>,
}

/// Finds the pairs of `squares`, which ascend as numbers.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn reduce(order: Order, squares: &[Cell], job: &Job) -> Result<Reduced> {
    let (mut flow, edges) = Flow::new(order, job)?;
    let mut columns = Columns::default();
    for &square in squares {
        let begin = columns.entries.len();
        flow.square(order.space.faces(square), &mut columns.entries)?;
        columns.keep(begin)?;
    }
    drop(flow);
    let (mut found, mut owner) = (Reduced::default(), vec![NONE; edges.len() + 1]);
    let mut column = BitTree::new(edges.len() + 1);
    for item in ascending(squares.iter().map(|&square| order.space.square(&order.columns.keys, square))) {
        let number = item as u32;
        if let Some(last) = columns.reduce(number, &owner, &mut column, job)? {
            owner[last as usize] = number;
            found.pairs.push(Pair { edge: edges[last as usize - 1], square: squares[number as usize] });
        }
    }
    found.rest = edges.iter().zip(&owner[1..]).filter(|(_, owner)| **owner == NONE).map(|(edge, _)| *edge).collect();
    found.rest.sort_unstable();
    Ok(found)
}

impl Columns {
    /// Makes the last entries those of a new column.
    fn keep(&mut self, begin: usize) -> Result<()> {
        let end = u32::try_from(self.entries.len()).map_err(|_| Error::NoMemory { bytes: 8 * self.entries.len() })?;
        self.ranges.push([begin as u32, end]);
        Ok(())
    }

    fn entries(&self, column: u32) -> &[u32] {
        let [begin, end] = self.ranges[column as usize];
        &self.entries[begin as usize..end as usize]
    }

    /// Adds earlier columns until the last edge of a column has none; `sum` is empty before and after.
    fn reduce(&mut self, column: u32, owner: &[u32], sum: &mut BitTree, job: &Job) -> Result<Option<u32>> {
        let Some(&last) = self.entries(column).first() else { return Ok(None) };
        if owner[last as usize] == NONE {
            return Ok(Some(last));
        }
        self.entries(column).iter().for_each(|&rank| sum.flip(rank));
        while let Some(last) = sum.last() {
            let other = owner[last as usize];
            if other == NONE {
                let begin = self.entries.len();
                sum.drain(&mut self.entries);
                self.keep(begin)?;
                self.ranges.swap_remove(column as usize);
                return Ok(Some(last));
            }
            job.check()?;
            self.entries(other).iter().for_each(|&rank| sum.flip(rank));
        }
        Ok(None)
    }
}

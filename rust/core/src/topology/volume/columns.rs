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
use super::gradient::Choices;
use super::order::{Field, ascending};
use super::queue::BitTree;
use super::space::Space;
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
    /// Pairs, by the order of their edges.
    pub pairs: Vec<Pair>,
    /// Critical edges that no square is paired with, ascending as numbers.
    pub rest: Vec<Cell>,
}

const NONE: u32 = u32::MAX;
/// Set in the last entry of a column.
const END: u32 = 1 << 31;

/// Columns on their way to a reduced matrix; edges are ranks of critical edges in the order of the rows, from 1 on.
#[derive(Debug, Default)]
struct Columns {
    /// Where the entries of each column begin, or [`NONE`].
    begins: Vec<u32>,
    /// Ranks, descending in each column, in blocks, as their number is not known before.
    entries: Vec<Vec<u32>>,
}

/// Entries of a block.
const BLOCK: usize = 1 << 16;

/// Finds the pairs of `squares`, which ascend as numbers. `choices` are those of the rows and columns.
///
/// # Errors
/// [`crate::Error::Interrupted`], or [`Error::NoMemory`].
pub fn reduce(
    space: &Space,
    [rows, columns]: [&Field; 2],
    choices: Choices,
    squares: &[Cell],
    job: &Job,
) -> Result<Reduced> {
    let (flow, edges) = Flow::new(space, [rows, columns], choices, job)?;
    let mut matrix = Columns::new(flow, space, squares)?;
    let values = squares.iter().map(|&square| space.square(&columns.keys, square));
    let order: Vec<_> = ascending(values, job)?.into_iter().map(|item| item as u32).collect();
    let (mut owner, mut sum) = (vec![NONE; edges.len() + 1], BitTree::new(edges.len() + 1));
    for column in order {
        if let Some(last) = matrix.reduce(column, &owner, &mut sum, job)? {
            owner[last as usize] = column;
        }
    }
    drop(matrix);
    let mut found = Reduced::default();
    for (&edge, &owner) in edges.iter().zip(&owner[1..]) {
        match squares.get(owner as usize) {
            Some(&square) => found.pairs.push(Pair { edge, square }),
            None => found.rest.push(edge),
        }
    }
    found.rest.sort_unstable();
    Ok(found)
}

impl Columns {
    fn new(mut flow: Flow, space: &Space, squares: &[Cell]) -> Result<Self> {
        let mut found = Self { begins: Vec::with_capacity(squares.len()), entries: Vec::new() };
        for &square in squares {
            let begin = found.store(flow.square(space.faces(square))?)?;
            found.begins.push(begin);
        }
        Ok(found)
    }

    /// Keeps entries; where they begin.
    fn store(&mut self, mut entries: &[u32]) -> Result<u32> {
        let begin = self.entries.last().map_or(0, |block| (self.entries.len() - 1) * BLOCK + block.len());
        if entries.is_empty() {
            return Ok(NONE);
        }
        if begin + entries.len() + BLOCK > NONE as usize {
            return Err(Error::NoMemory { bytes: 8 * begin });
        }
        while !entries.is_empty() {
            if self.entries.last().is_none_or(|block| block.len() == BLOCK) {
                self.entries.push(Vec::with_capacity(BLOCK));
            }
            let Some(block) = self.entries.last_mut() else { continue };
            let (now, later) = entries.split_at(entries.len().min(BLOCK - block.len()));
            block.extend(now);
            entries = later;
        }
        if let Some(last) = self.entries.last_mut().and_then(|block| block.last_mut()) {
            *last |= END;
        }
        Ok(begin as u32)
    }

    /// Adds a column that is not empty.
    fn add(&self, column: u32, sum: &mut BitTree) {
        let begin = self.begins[column as usize] as usize;
        let mut skip = begin % BLOCK;
        for block in &self.entries[begin / BLOCK..] {
            for &entry in &block[skip..] {
                sum.flip(entry & !END);
                if entry & END != 0 {
                    return;
                }
            }
            skip = 0;
        }
    }

    /// Adds earlier columns until the last edge of a column has none; `sum` is empty before and after.
    fn reduce(&mut self, column: u32, owner: &[u32], sum: &mut BitTree, job: &Job) -> Result<Option<u32>> {
        let begin = self.begins[column as usize] as usize;
        let Some(block) = self.entries.get(begin / BLOCK) else { return Ok(None) };
        let last = block[begin % BLOCK] & !END;
        if owner[last as usize] == NONE {
            return Ok(Some(last));
        }
        self.add(column, sum);
        while let Some(last) = sum.last() {
            let other = owner[last as usize];
            if other == NONE {
                self.begins[column as usize] = self.store(sum.drain())?;
                return Ok(Some(last));
            }
            job.check()?;
            self.add(other, sum);
        }
        Ok(None)
    }
}

//! Degree 1: columns of squares are reduced to their last edge.
//!
//! ```text
//! for each square, by its place in the volume:                        (what is near in memory is near in time)
//!     flow its edges down to the first critical one: the last edge of its column
//! for each square in the order of the columns:
//!     while the last edge of its column is that of an earlier column:
//!         add that column; columns that take part are flowed to the end before, so that they have critical edges only
//!     the last edge and the square are a pair
//!
//! flow:  take the last edge in the order of the rows (equal edges cancel)
//!        if it is critical: it is an entry of the column
//!        else add the other edges of its partner by the gradient
//! ```
//!
//! Only squares come that are the death of something: none that a cube is paired with, none that merges two components
//! of cubes. An edge that is paired with a vertex ends a component; it is never the last edge of a cycle, so that it may be
//! left out of all columns. Most columns have nothing to add, and are never flowed to the end.

use super::super::grid::Cell;
use super::order::{CRITICAL, Edges, Order, Places, TAKEN, ascending, others};
use super::queue::{BitTree, Queue};
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
    /// Critical edges that no square is paired with.
    pub rest: Vec<Cell>,
}

const NONE: u32 = u32::MAX;

/// Columns on their way to a reduced matrix; edges are ranks of critical edges in the order of the rows.
#[derive(Debug)]
struct Columns<'a> {
    order: Order<'a>,
    squares: &'a [Cell],
    edges: Edges,
    others: [[[Cell; 3]; 4]; 3],
    places: Places,
    /// By the place of a critical edge.
    ranks: Vec<u32>,
    /// Where the entries of each column begin and end; [`NONE`] at first.
    ranges: Vec<[u32; 2]>,
    entries: Vec<u32>,
    queue: Queue,
    column: BitTree,
    steps: u32,
    job: &'a Job,
}

/// Finds the pairs of `squares`, which ascend as numbers.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn reduce(order: Order, squares: &[Cell], job: &Job) -> Result<Reduced> {
    let edges = order.edges(job)?;
    let places = edges.places();
    let cells: Vec<_> = places.iter().collect();
    let ranked = ascending(cells.iter().map(|&edge| order.space.edge(&order.rows.keys, edge)));
    let mut ranks = vec![0; cells.len()];
    ranked.iter().enumerate().for_each(|(rank, &item)| ranks[item as u32 as usize] = rank as u32);
    let mut columns = Columns {
        order,
        squares,
        edges,
        others: others(order.space),
        places,
        ranks,
        ranges: vec![[0, NONE]; squares.len()],
        entries: Vec::new(),
        queue: Queue::default(),
        column: BitTree::new(cells.len()),
        steps: 0,
        job,
    };
    let lasts = columns.lasts()?;
    let (mut found, mut owner) = (Reduced::default(), vec![NONE; cells.len()]);
    for item in ascending(squares.iter().map(|&square| order.space.square(&order.columns.keys, square))) {
        let column = item as u32;
        let mut last = Some(lasts[column as usize]).filter(|&last| last != NONE);
        if last.is_some_and(|last| owner[last as usize] != NONE) {
            last = columns.reduce(column as usize, &owner)?;
        }
        if let Some(last) = last {
            owner[last as usize] = column;
            let edge = cells[ranked[last as usize] as u32 as usize];
            found.pairs.push(Pair { edge, square: squares[column as usize] });
        }
    }
    found.rest = cells
        .iter()
        .zip(&columns.ranks)
        .filter(|(_, rank)| owner[**rank as usize] == NONE)
        .map(|(edge, _)| *edge)
        .collect();
    Ok(found)
}

impl Columns<'_> {
    /// The last edge of each column before columns are added. Columns that share it will be added to each other: those
    /// are flowed to the end now, while their neighbours are at hand.
    fn lasts(&mut self) -> Result<Vec<u32>> {
        let (mut found, mut uses) = (Vec::with_capacity(self.squares.len()), vec![0_u8; self.ranks.len()]);
        for &square in self.squares {
            self.begin(square);
            let last = self.flow()?.unwrap_or(NONE);
            if let Some(uses) = uses.get_mut(last as usize) {
                *uses = uses.saturating_add(1);
            }
            found.push(last);
        }
        for (column, &last) in found.iter().enumerate() {
            if uses.get(last as usize).is_some_and(|&uses| uses > 1) {
                self.flow_to_the_end(column)?;
            }
        }
        Ok(found)
    }

    /// The edges of a square.
    #[inline]
    fn begin(&mut self, square: Cell) {
        self.queue.clear();
        self.order.space.faces(square).into_iter().for_each(|edge| self.add(edge));
    }

    /// Adds an edge that is not paired with a vertex.
    #[inline]
    fn add(&mut self, edge: Cell) {
        let value = self.order.space.edge(&self.order.rows.keys, edge);
        self.queue.push((u64::from(value) << 32) | u64::from(edge), self.edges.state(edge) != TAKEN);
    }

    /// Takes the last edge until it is a critical one; its rank.
    #[inline]
    fn flow(&mut self) -> Result<Option<u32>> {
        while let Some(item) = self.queue.pop() {
            self.steps = self.steps.wrapping_add(1);
            if self.steps.is_multiple_of(4096) {
                self.job.check()?;
            }
            let edge = item as Cell;
            let state = self.edges.state(edge);
            if state == CRITICAL {
                return Ok(Some(self.ranks[self.places.of(edge)]));
            }
            let others = self.others[edge as usize % 4][usize::from(state)];
            others.into_iter().for_each(|other| self.add(edge.wrapping_add(other)));
        }
        Ok(None)
    }

    /// Makes the entries of a column from its square.
    fn flow_to_the_end(&mut self, column: usize) -> Result<()> {
        let begin = self.entries.len();
        self.begin(self.squares[column]);
        while let Some(rank) = self.flow()? {
            self.entries.push(rank);
        }
        self.keep(column, begin)
    }

    /// Makes the last entries those of a column.
    fn keep(&mut self, column: usize, begin: usize) -> Result<()> {
        let end = u32::try_from(self.entries.len()).ok().filter(|&end| end != NONE);
        self.ranges[column] = [begin as u32, end.ok_or(Error::NoMemory { bytes: 4 * self.entries.len() })?];
        Ok(())
    }

    /// Adds a column, which is flowed to the end if it was not yet.
    fn join(&mut self, column: usize) -> Result<()> {
        if self.ranges[column][1] == NONE {
            self.flow_to_the_end(column)?;
        }
        let [begin, end] = self.ranges[column];
        self.entries[begin as usize..end as usize].iter().for_each(|&rank| self.column.flip(rank));
        Ok(())
    }

    /// Adds earlier columns until the last edge of a column has none, and keeps it.
    fn reduce(&mut self, column: usize, owner: &[u32]) -> Result<Option<u32>> {
        self.join(column)?;
        while let Some(last) = self.column.last() {
            let other = owner[last as usize];
            if other == NONE {
                let begin = self.entries.len();
                self.column.drain(&mut self.entries);
                self.keep(column, begin)?;
                return Ok(Some(last));
            }
            self.job.check()?;
            self.join(other as usize)?;
        }
        Ok(None)
    }
}

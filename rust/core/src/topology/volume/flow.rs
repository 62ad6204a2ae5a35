//! The boundaries of squares in terms of critical edges.
//!
//! A gradient pairs an edge with a square: a cycle may replace the edge by the square's other edges, and these by others,
//! until only critical edges are left. What becomes of an edge does not depend on the cycle, so that it is found once:
//!
//! ```text
//! list(edge) = nothing                               if the edge is paired with a vertex
//!              the edge                              if it is critical
//!              list(a) + list(b) + list(c)           if it is paired with the square of edge, a, b, c (modulo 2)
//! ```
//!
//! An edge that is paired with a vertex ends a component; it is never the last edge of a cycle, so that it may be left out
//! of all columns. Most sums have one part that is not empty, and share its list; lists are short, a few edges long.

use super::super::grid::Cell;
use super::gradient::Choices;
use super::order::{Field, Order, ascending, others};
use super::space::Space;
use crate::error::{Error, Result};
use crate::job::Job;

/// Set in the word of an edge whose list is not known yet; the other bits are its axis and its partner's place.
pub const PENDING: u32 = 1 << 31;

/// Squares as lists of critical edges.
#[derive(Debug)]
pub struct Flow<'a> {
    /// Edges by axis, then by voxel: where their lists are, or [`PENDING`].
    words: Vec<u32>,
    /// Voxels of an axis.
    len: usize,
    /// Lists: ranks from 1 on, descending, and a 0. The empty one is at 0, that of the edge of rank r at 2 r - 1.
    lists: Vec<u32>,
    /// Where the next list begins; there is room for the sum of any four.
    used: usize,
    /// The length of the longest list.
    longest: usize,
    /// By axis and place of the partner: the way to its other three edges.
    others: [[usize; 3]; 12],
    stack: Vec<usize>,
    steps: u32,
    job: &'a Job,
}

impl<'a> Flow<'a> {
    /// What the gradient does with every edge, and the critical edges in the order of the rows.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`], or [`Error::NoMemory`].
    pub fn new(
        space: &Space,
        [rows, columns]: [&Field; 2],
        choices: Choices,
        job: &'a Job,
    ) -> Result<(Self, Vec<Cell>)> {
        let len = space.len;
        let mut words = vec![0; 3 * len];
        let cells = Order { space, rows, columns, choices: &choices }.edges(&mut words, job)?;
        drop(choices);
        if 2 * cells.len() >= PENDING as usize {
            return Err(Error::NoMemory { bytes: 16 * cells.len() });
        }
        let word = |edge: Cell| edge as usize % 4 * len + edge as usize / 4;
        let ranked = ascending(cells.iter().map(|&edge| space.edge(&rows.keys, edge)), job)?;
        let mut lists = vec![0; 2 * cells.len() + 8];
        let mut edges = Vec::with_capacity(cells.len());
        for (rank, item) in (1..).zip(ranked) {
            if rank % (1 << 16) == 0 {
                job.check()?;
            }
            let edge = cells[item as u32 as usize];
            words[word(edge)] = 2 * rank - 1;
            lists[2 * rank as usize - 1] = rank;
            edges.push(edge);
        }
        let around = others(space);
        let step = |axis: usize, place: usize, other: usize| {
            let edge = (4 * space.first + axis) as Cell;
            word(edge.wrapping_add(around[axis][place][other])).wrapping_sub(word(edge))
        };
        let others = std::array::from_fn(|code| std::array::from_fn(|other| step(code / 4, code % 4, other)));
        let used = 2 * edges.len() + 1;
        Ok((Self { words, len, lists, used, longest: 1, others, stack: vec![0; 64], steps: 0, job }, edges))
    }

    /// The ranks of the edges of a square, descending.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`], or [`Error::NoMemory`].
    pub fn square(&mut self, faces: [Cell; 4]) -> Result<&[u32]> {
        let mut lists = [0; 4];
        for (list, edge) in lists.iter_mut().zip(faces) {
            let at = edge as usize % 4 * self.len + edge as usize / 4;
            let found = self.words[at];
            *list = if found & PENDING == 0 { found } else { self.list(at)? };
        }
        let count = self.sum(lists)?;
        Ok(&self.lists[self.used..][..count])
    }

    /// Finds the list of an edge, after those that it is the sum of.
    fn list(&mut self, edge: usize) -> Result<u32> {
        let mut depth = 1;
        self.stack[0] = edge;
        while depth > 0 {
            if depth + 3 > self.stack.len() {
                self.stack.resize(2 * depth + 3, 0);
            }
            let edge = self.stack[depth - 1];
            let word = self.words[edge];
            if word & PENDING == 0 {
                depth -= 1;
                continue;
            }
            let others = self.others[(word & 15) as usize].map(|step| edge.wrapping_add(step));
            let lists = others.map(|other| self.words[other]);
            let before = depth;
            for (other, list) in others.into_iter().zip(lists) {
                self.stack[depth] = other;
                depth += (list >> 31) as usize;
            }
            if depth == before {
                depth -= 1;
                self.words[edge] = self.total(lists)?;
            }
        }
        Ok(self.words[edge])
    }

    /// The list that is the sum of three.
    #[inline]
    fn total(&mut self, [a, b, c]: [u32; 3]) -> Result<u32> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(4096) {
            self.job.check()?;
        }
        if (a.min(b) | a.min(c) | b.min(c)) == 0 {
            return Ok(a | b | c);
        }
        let count = self.sum([a, b, c, 0])?;
        let begin = self.used;
        if count < 2 {
            return Ok((2 * self.lists[begin]).saturating_sub(1));
        }
        if begin >= PENDING as usize {
            return Err(Error::NoMemory { bytes: 8 * begin });
        }
        self.used += count + 1;
        self.longest = self.longest.max(count);
        Ok(begin as u32)
    }

    /// Makes the sum of lists where the next list begins; its length. Without branches for which is larger.
    #[inline]
    fn sum(&mut self, lists: [u32; 4]) -> Result<usize> {
        let room = self.used + 4 * self.longest + 1;
        if room > self.lists.len() {
            self.lists.reserve_exact(room + room / 8 - self.lists.len());
            self.lists.resize(room + room / 8, 0);
        }
        let (known, to) = self.lists.split_at_mut(self.used);
        let mut at = lists.map(|list| list as usize);
        let mut count = 0;
        loop {
            let ranks = at.map(|at| known[at]);
            let largest = ranks[0].max(ranks[1]).max(ranks[2].max(ranks[3]));
            to[count] = largest;
            if largest == 0 {
                return Ok(count);
            }
            let mut odd = 0;
            for (at, rank) in at.iter_mut().zip(ranks) {
                let here = usize::from(rank == largest);
                *at += here;
                odd ^= here;
            }
            count += odd;
        }
    }
}

//! From a padded image to its critical edges, sorted, and the basins that they join.

use super::local::{self, Taken, Window};
use super::space::{Kind, Plane, Space};
use crate::error::Result;
use crate::job::Job;
use crate::topology::radix;

/// Marks, in place of a parent, the number of a basin.
pub const FOUND: u32 = 1 << 31;
/// Rows or edges between two looks at the job.
const PIECE: usize = 64;

/// Orders that basins must agree with, by kind, and the key of vertices that need not.
#[derive(Clone, Copy)]
pub struct Agree<'a> {
    /// Keys for vertices.
    pub vertices: &'a [&'a [u32]],
    /// Keys for squares.
    pub squares: &'a [&'a [u32]],
    /// Vertices of this key need not agree.
    pub exempt: u32,
}

impl Agree<'_> {
    /// No label is carried.
    pub const NOTHING: Self = Self { vertices: &[], squares: &[], exempt: u32::MAX };
}

impl Space {
    /// Pairs what can be paired locally, and finds and sorts what is left.
    pub fn prepare(
        &mut self,
        plane: &Plane,
        keys: &[u32],
        agree: Agree<'_>,
        wanted: [bool; 2],
        job: &Job,
    ) -> Result<()> {
        self.reset(plane);
        let stride = plane.stride;
        self.take_vertices(plane, keys, agree, 1);
        for i in 1..=plane.height {
            if i % PIECE == 0 {
                job.check()?;
            }
            self.codes.swap(0, 1);
            if i < plane.height {
                self.take_vertices(plane, keys, agree, i + 1);
                self.take_squares(plane, keys, agree, i);
            } else {
                self.codes[1].fill(local::ABSENT);
                self.codes[3].fill(local::ABSENT);
            }
            let [a, b, c, d, found] = &mut self.codes;
            let codes = local::Codes { vertices: [a, b], squares: [c, d] };
            local::critical(codes, &mut found[..stride]);
            self.collect(keys, stride, i);
            self.codes.swap(2, 3);
        }
        for kind in [Kind::Vertex, Kind::Square] {
            if wanted[kind as usize] {
                self.resolve(kind, stride, job)?;
            }
        }
        job.check()?;
        radix::sort(&mut self.order, &mut self.spare);
        Ok(())
    }

    fn reset(&mut self, plane: &Plane) {
        self.edges.clear();
        self.order.clear();
        for codes in &mut self.codes {
            codes.clear();
            codes.resize(plane.stride.next_multiple_of(8), local::ABSENT);
        }
        self.codes[4].fill(0);
        for basins in &mut self.basins {
            basins.cells.clear();
            basins.keys.clear();
            basins.parents.resize(plane.len(), 0);
        }
        let [_, squares] = &mut self.basins;
        squares.cells.push(0);
        squares.keys.push(u32::MAX);
        // Squares outside: the first and the last row, the first and the last two columns.
        let last = plane.height * plane.stride;
        squares.parents[..plane.stride].fill(FOUND);
        squares.parents[last..].fill(FOUND);
        for row in squares.parents.chunks_exact_mut(plane.stride) {
            (row[0], row[plane.stride - 2], row[plane.stride - 1]) = (FOUND, FOUND, FOUND);
        }
    }

    fn take_vertices(&mut self, plane: &Plane, keys: &[u32], agree: Agree<'_>, i: usize) {
        let window = |keys| Window::new(keys, plane.stride, i);
        let (codes, parents) = (&mut self.codes[1], &mut self.basins[0].parents[i * plane.stride..]);
        let taken = &mut Taken { codes, parents };
        match *agree.vertices {
            [] => local::vertices(window(keys), [], u32::MAX, taken),
            [a] => local::vertices(window(keys), [window(a)], agree.exempt, taken),
            [a, b, ..] => local::vertices(window(keys), [window(a), window(b)], agree.exempt, taken),
        }
    }

    fn take_squares(&mut self, plane: &Plane, keys: &[u32], agree: Agree<'_>, i: usize) {
        let window = |keys| Window::new(keys, plane.stride, i);
        let (codes, parents) = (&mut self.codes[3], &mut self.basins[1].parents[i * plane.stride..]);
        let taken = &mut Taken { codes, parents };
        match *agree.squares {
            [] => local::squares(window(keys), [], taken),
            [a] => local::squares(window(keys), [window(a)], taken),
            [a, b, ..] => local::squares(window(keys), [window(a), window(b)], taken),
        }
    }

    /// Lists what is critical in a row.
    fn collect(&mut self, keys: &[u32], stride: usize, i: usize) {
        let [row, below] = [i, i + 1].map(|i| &keys[i * stride..][..stride]);
        for (eight, found) in self.codes[4].chunks_exact(8).enumerate() {
            let mut word = u64::from_le_bytes(found.try_into().unwrap_or_default());
            while word != 0 {
                let at = word.trailing_zeros() as usize / 8;
                let (bits, j) = (word >> (8 * at) as u32 & 0xff, 8 * eight + at);
                word &= !(0xff << (8 * at));
                let p = (i * stride + j) as u32;
                if bits & u64::from(local::EDGE_DOWN) != 0 {
                    self.order.push(radix::pack(row[j].max(below[j]), self.edges.len() as u32));
                    self.edges.push(p << 1);
                }
                if bits & u64::from(local::EDGE_RIGHT) != 0 {
                    self.order.push(radix::pack(row[j].max(row[j + 1]), self.edges.len() as u32));
                    self.edges.push(p << 1 | 1);
                }
                let [vertices, squares] = &mut self.basins;
                if bits & u64::from(local::VERTEX) != 0 {
                    vertices.parents[p as usize] = FOUND | vertices.cells.len() as u32;
                    vertices.cells.push(p);
                    vertices.keys.push(row[j]);
                }
                if bits & u64::from(local::SQUARE) != 0 {
                    squares.parents[p as usize] = FOUND | squares.cells.len() as u32;
                    squares.cells.push(p);
                    squares.keys.push(row[j].max(row[j + 1]).max(below[j].max(below[j + 1])));
                }
            }
        }
    }

    /// Finds the basins at both sides of the critical edges.
    fn resolve(&mut self, kind: Kind, stride: usize, job: &Job) -> Result<()> {
        let basins = &mut self.basins[kind as usize];
        basins.ends.clear();
        for piece in self.edges.chunks(PIECE * PIECE) {
            job.check()?;
            for &edge in piece {
                let (p, across) = (edge >> 1, edge & 1 == 1);
                let other = match (kind, across) {
                    (Kind::Vertex, true) => p + 1,
                    (Kind::Vertex, false) => p + stride as u32,
                    (Kind::Square, true) => p - stride as u32,
                    (Kind::Square, false) => p - 1,
                };
                let ends = [basin(&mut basins.parents, p), basin(&mut basins.parents, other)];
                basins.ends.push(ends);
            }
        }
        Ok(())
    }
}

/// The basin of a cell; all cells on the way are told.
pub fn basin(parents: &mut [u32], cell: u32) -> u32 {
    let mut at = cell;
    let found = loop {
        let next = parents[at as usize];
        if next & FOUND != 0 {
            break next;
        }
        at = next;
    };
    at = cell;
    while parents[at as usize] & FOUND == 0 {
        (at, parents[at as usize]) = (parents[at as usize], found);
    }
    found & !FOUND
}

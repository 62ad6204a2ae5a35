//! From a padded image to its critical edges, sorted, and the basins that they join.

use super::local::{self, Taken, Window};
use super::space::{Basins, Kind, Plane, Space};
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;
use crate::topology::radix;

/// Marks, in place of a parent, the number of a basin.
pub const FOUND: u32 = 1 << 31;
/// Rows or edges between two looks at the job.
const PIECE: usize = 64;
/// Cells whose codes are looked at together.
const BLOCK: usize = u64::BITS as usize;
/// Ways that are gone side by side, and their longest.
const LANES: usize = 128;
const STEPS: usize = 12;

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
        self.reset(plane, job)?;
        for i in (1..plane.height).rev() {
            if i % PIECE == 0 {
                job.check()?;
            }
            self.take_squares(plane, keys, agree, i);
        }
        for i in 1..=plane.height {
            if i % PIECE == 0 {
                job.check()?;
            }
            self.take_vertices(plane, keys, agree, i);
        }
        for i in 1..=plane.height {
            if i % PIECE == 0 {
                job.check()?;
            }
            self.collect(keys, plane.stride, i);
        }
        for kind in [Kind::Vertex, Kind::Square] {
            if wanted[kind as usize] {
                self.resolve(kind, plane.stride, job)?;
            }
        }
        radix::sort_unless_stopped(&mut self.order, &mut self.spare, job)
    }

    fn reset(&mut self, plane: &Plane, job: &Job) -> Result<()> {
        self.edges.clear();
        self.order.clear();
        for basins in &mut self.basins {
            basins.cells.clear();
            basins.keys.clear();
            job.resize(&mut basins.parents, plane.len(), 0)?;
            basins.codes.clear();
            job.resize(&mut basins.codes, plane.len(), local::ABSENT)?;
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
        Ok(())
    }

    fn take_vertices(&mut self, plane: &Plane, keys: &[u32], agree: Agree<'_>, i: usize) {
        let window = |keys| Window::new(keys, plane.stride, i);
        let basins = &mut self.basins[0];
        let (done, parents) = basins.parents.split_at_mut(i * plane.stride);
        let taken = &mut Taken {
            codes: &mut basins.codes[i * plane.stride..],
            parents,
            done: &done[done.len() - plane.stride..],
        };
        match *agree.vertices {
            [] => local::vertices(window(keys), [], u32::MAX, taken),
            [a] => local::vertices(window(keys), [window(a)], agree.exempt, taken),
            [a, b, ..] => local::vertices(window(keys), [window(a), window(b)], agree.exempt, taken),
        }
    }

    fn take_squares(&mut self, plane: &Plane, keys: &[u32], agree: Agree<'_>, i: usize) {
        let window = |keys| Window::new(keys, plane.stride, i);
        let basins = &mut self.basins[1];
        let (parents, done) = basins.parents[i * plane.stride..].split_at_mut(plane.stride);
        let taken = &mut Taken { codes: &mut basins.codes[i * plane.stride..], parents, done };
        match *agree.squares {
            [] => local::squares(window(keys), [], taken),
            [a] => local::squares(window(keys), [window(a)], taken),
            [a, b, ..] => local::squares(window(keys), [window(a), window(b)], taken),
        }
    }

    /// Lists what is critical in a row.
    fn collect(&mut self, keys: &[u32], stride: usize, i: usize) {
        let [row, below] = [i, i + 1].map(|i| &keys[i * stride..][..stride]);
        let [vertices, squares] = &mut self.basins;
        let codes = local::Codes {
            vertices: [i, i + 1].map(|i| &vertices.codes[i * stride..][..stride]),
            squares: [i - 1, i].map(|i| &squares.codes[i * stride..][..stride]),
        };
        self.found.clear();
        self.found.resize(stride.next_multiple_of(64), 0);
        local::critical(codes, &mut self.found[..stride]);
        for (part, found) in self.found.chunks_exact(BLOCK).enumerate() {
            let [down, right, vertex, square] = local::masks(found);
            let (first, count) = (i * stride + part * BLOCK, self.edges.len());
            let (mut edges, mut order, mut n) = ([0; 2 * BLOCK], [0; 2 * BLOCK], 0);
            for at in ones(down | right) {
                // No branch: both edges are written, what is not critical is overwritten.
                let (j, p) = (part * BLOCK + at, (first + at) as u32);
                (edges[n], order[n]) = (p << 1, radix::pack(row[j].max(below[j]), (count + n) as u32));
                n += (down >> at & 1) as usize;
                (edges[n], order[n]) = (p << 1 | 1, radix::pack(row[j].max(row[j + 1]), (count + n) as u32));
                n += (right >> at & 1) as usize;
            }
            self.edges.extend_from_slice(&edges[..n]);
            self.order.extend_from_slice(&order[..n]);
            for at in ones(vertex) {
                vertices.found(first + at, row[part * BLOCK + at]);
            }
            for at in ones(square) {
                let j = part * BLOCK + at;
                squares.found(first + at, row[j].max(row[j + 1]).max(below[j].max(below[j + 1])));
            }
        }
    }

    /// Finds the basins at both sides of the critical edges.
    fn resolve(&mut self, kind: Kind, stride: usize, job: &Job) -> Result<()> {
        let basins = &mut self.basins[kind as usize];
        basins.ends.clear();
        let (across, down) = match kind {
            Kind::Vertex => (1, stride as u32),
            Kind::Square => ((stride as u32).wrapping_neg(), 1u32.wrapping_neg()),
        };
        for (i, edges) in self.edges.chunks(LANES).enumerate() {
            if i % (PIECE * PIECE) == 0 {
                job.check()?;
            }
            let mut at = [[0; LANES]; 2];
            for (lane, &edge) in edges.iter().enumerate() {
                let p = edge >> 1;
                at[0][lane] = p;
                at[1][lane] = p.wrapping_add(if edge & 1 == 1 { across } else { down });
            }
            let found = [on(&basins.parents, at[0]), on(&basins.parents, at[1])];
            for lane in 0..edges.len() {
                let end = |side: usize, parents: &mut [u32]| match found[side][lane] {
                    found if found & FOUND != 0 => found & !FOUND,
                    _ => basin(parents, at[side][lane]),
                };
                let ends = [end(0, &mut basins.parents), end(1, &mut basins.parents)];
                basins.ends.push(ends);
            }
        }
        Ok(())
    }
}

dispatch! {
    /// Some steps on the ways of cells to their roots, side by side: most arrive.
    fn on(parents: &[u32], cells: [u32; LANES]) -> [u32; LANES] = on_body
}

#[inline(always)]
fn on_body(parents: &[u32], mut at: [u32; LANES]) -> [u32; LANES] {
    for _ in 0..STEPS {
        let mut all = FOUND;
        for cell in &mut at {
            let arrived = *cell & FOUND != 0;
            let from = if arrived { 0 } else { *cell as usize };
            // SAFETY: parents and the cells at edges are cells of the padded image, which `reset` made room for.
            let next = unsafe { *parents.get_unchecked(from) };
            *cell = if arrived { *cell } else { next };
            all &= *cell;
        }
        if all & FOUND != 0 {
            break;
        }
    }
    at
}

/// The places of the ones in a word, ascending.
#[inline]
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (at < BLOCK).then_some(at)
    })
}

impl Basins {
    /// One more basin.
    #[inline]
    fn found(&mut self, root: usize, key: u32) {
        self.parents[root] = FOUND | self.cells.len() as u32;
        self.cells.push(root as u32);
        self.keys.push(key);
    }
}

/// The basin of a cell; all cells on the way are told.
#[inline]
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

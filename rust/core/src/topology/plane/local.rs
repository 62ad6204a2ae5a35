//! Pairs that a cell and its neighbours decide: which edge a vertex or a square takes, one row at a time.
//!
//! ```text
//! vertex:  its first edge, if the other end of that edge comes before the vertex
//! square:  its last edge, if the other square at that edge comes after the square
//! ```
//!
//! The cell then belongs to the basin of the cell across. Where labels are carried along (the elder of a component in
//! another order), a cell takes its edge only if the cell across is the elder in that order too: then no label shows
//! that the two were joined before their time, and what is left to the forests stays exact for empty image bars and ties.

#![allow(clippy::needless_bitwise_bool)] // branches do not vectorise

use crate::simd::dispatch;

/// A cell that takes no edge: the root of a basin.
pub const ROOT: u8 = 0;
/// The edge above a vertex, the upper edge of a square.
pub const UP: u8 = 1;
/// The edge on the left.
pub const LEFT: u8 = 2;
/// The edge below.
pub const DOWN: u8 = 3;
/// The edge on the right.
pub const RIGHT: u8 = 4;
/// Not a cell of the image.
pub const ABSENT: u8 = 5;

/// A row of keys in its ring: the rows before and after it, too, and one more for the squares below.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    rows: [&'a [u32]; 4],
    first: u32,
}

impl<'a> Window<'a> {
    /// The window around row `i` of the padded image, which is not its first nor its last.
    pub fn new(keys: &'a [u32], stride: usize, i: usize) -> Self {
        let row = |i: usize| &keys[i * stride..][..stride];
        let beyond = (i + 2).min(keys.len() / stride - 1);
        Self { rows: [row(i - 1), row(i), row(i + 1), row(beyond)], first: (i * stride) as u32 }
    }

    const fn stride(&self) -> usize {
        self.rows[0].len()
    }

    /// The key in column `j` of a row: 0 above, 1 here, 2 below, 3 beyond.
    #[inline(always)]
    fn at(&self, row: usize, j: usize) -> u32 {
        debug_assert!(j < self.stride());
        // SAFETY: rows are `stride` long; the loops below end where their farthest neighbour does.
        unsafe { *self.rows[row].get_unchecked(j) }
    }

    /// The value of the square whose first vertex is in column `j`.
    #[inline(always)]
    fn square(&self, row: usize, j: usize) -> u32 {
        self.at(row, j).max(self.at(row, j + 1)).max(self.at(row + 1, j).max(self.at(row + 1, j + 1)))
    }
}

/// Other orders that cells must agree with before they are joined.
pub trait Labels: Copy {
    /// Whether the vertex at (`row`, `j`) comes before that in column `at` of the middle row; `<=` where its number does.
    fn vertex(&self, row: usize, j: usize, at: usize, first: bool) -> bool;
    /// Whether the square at (`row`, `j`) comes after that in column `at` of the middle row; `>=` where its number does.
    fn square(&self, row: usize, j: usize, at: usize, last: bool) -> bool;
}

impl<const L: usize> Labels for [Window<'_>; L] {
    #[inline(always)]
    fn vertex(&self, row: usize, j: usize, at: usize, first: bool) -> bool {
        let mut good = true;
        for label in self {
            let (a, b) = (label.at(row, j), label.at(1, at));
            good &= (a < b) | (first & (a == b));
        }
        good
    }

    #[inline(always)]
    fn square(&self, row: usize, j: usize, at: usize, last: bool) -> bool {
        let mut good = true;
        for label in self {
            let (a, b) = (label.square(row, j), label.square(1, at));
            good &= (a > b) | (last & (a == b));
        }
        good
    }
}

/// What the cells of one row take, and a cell on the way to their root: the cell across, or further if that is known.
/// Roots have themselves there.
pub struct Taken<'a> {
    /// One code a cell.
    pub codes: &'a mut [u8],
    /// Numbers of cells of the padded image.
    pub parents: &'a mut [u32],
    /// Those of the row that most ways lead to and that is done: above for vertices, below for squares.
    pub done: &'a [u32],
}

dispatch! {
    /// Vertices of a row; those of the key `exempt` need not agree with the labels.
    pub fn vertices<A: Labels>(own: Window<'_>, labels: A, exempt: u32, taken: &mut Taken<'_>) = vertices_body
}

#[inline(always)]
fn vertices_body<A: Labels>(own: Window<'_>, labels: A, exempt: u32, taken: &mut Taken<'_>) {
    let stride = own.stride();
    let (codes, parents, done) = (&mut taken.codes[..stride], &mut taken.parents[..stride], &taken.done[..stride]);
    for j in 1..stride - 1 {
        let key = own.at(1, j);
        let (up, left, down, right) = (own.at(0, j), own.at(1, j - 1), own.at(2, j), own.at(1, j + 1));
        let free = key == exempt;
        let here = own.first + j as u32;
        let go = |good: bool, code: u8, cell: u32| if good | free { (code, cell) } else { (ROOT, here) };
        let to_up = go(labels.vertex(0, j, j, true), UP, done[j]);
        let to_left = go(labels.vertex(1, j - 1, j, true), LEFT, here - 1);
        let to_down = go(labels.vertex(2, j, j, false), DOWN, here + stride as u32);
        let to_right = go(labels.vertex(1, j + 1, j, false), RIGHT, here + 1);
        let to_down = if down < key { to_down } else { (ROOT, here) };
        let late = if right < key { to_right } else { (ROOT, here) };
        let late = if down <= key { to_down } else { late };
        let late = if left <= key { to_left } else { late };
        (codes[j], parents[j]) = if up <= key { to_up } else { late };
    }
}

dispatch! {
    /// Squares of a row.
    pub fn squares<A: Labels>(own: Window<'_>, labels: A, taken: &mut Taken<'_>) = squares_body
}

#[inline(always)]
fn squares_body<A: Labels>(own: Window<'_>, labels: A, taken: &mut Taken<'_>) {
    let stride = own.stride();
    let (codes, parents, done) = (&mut taken.codes[..stride], &mut taken.parents[..stride], &taken.done[..stride]);
    for j in 1..stride - 2 {
        let (a, b, c, d) = (own.at(1, j), own.at(1, j + 1), own.at(2, j), own.at(2, j + 1));
        let value = a.max(b).max(c.max(d));
        let here = own.first + j as u32;
        let go = |good: bool, code: u8, cell: u32| if good { (code, cell) } else { (ROOT, here) };
        let to_down = go(labels.square(2, j, j, true), DOWN, done[j]);
        let to_right = go(labels.square(1, j + 1, j, true), RIGHT, here + 1);
        let to_up = go(labels.square(0, j, j, false), UP, here - stride as u32);
        let to_left = go(labels.square(1, j - 1, j, false), LEFT, here - 1);
        let up = (a.max(b) == value) & (own.at(0, j).max(own.at(0, j + 1)) > value);
        let left = (a.max(c) == value) & (own.at(1, j - 1).max(own.at(2, j - 1)) > value);
        let late = if left { to_left } else { (ROOT, here) };
        let late = if up { to_up } else { late };
        let late = if b.max(d) == value { to_right } else { late };
        (codes[j], parents[j]) = if c.max(d) == value { to_down } else { late };
    }
}

/// The codes of two rows of vertices and of two rows of squares.
#[derive(Clone, Copy)]
pub struct Codes<'a> {
    /// Vertices of this row and the next.
    pub vertices: [&'a [u8]; 2],
    /// Squares of the row before and this row.
    pub squares: [&'a [u8]; 2],
}

/// Nobody takes the vertical edge below a vertex.
pub const EDGE_DOWN: u8 = 1;
/// Nobody takes the horizontal edge on the right of a vertex.
pub const EDGE_RIGHT: u8 = 2;
/// The vertex is a root.
pub const VERTEX: u8 = 4;
/// The square is a root.
pub const SQUARE: u8 = 8;

dispatch! {
    /// What is critical in a row: [`EDGE_DOWN`], [`EDGE_RIGHT`], [`VERTEX`] and [`SQUARE`].
    pub fn critical(codes: Codes<'_>, found: &mut [u8]) = critical_body
}

#[inline(always)]
fn critical_body(codes: Codes<'_>, found: &mut [u8]) {
    let n = found.len() - 2;
    let cut = |row: &'_ [u8], from: usize| -> *const u8 { row[from..][..n].as_ptr() };
    let [vertex, below, right] = [cut(codes.vertices[0], 1), cut(codes.vertices[1], 1), cut(codes.vertices[0], 2)];
    let [square, above, left] = [cut(codes.squares[1], 1), cut(codes.squares[0], 1), cut(codes.squares[1], 0)];
    let found = &mut found[1..][..n];
    for j in 0..n {
        // SAFETY: `cut` made sure of `n` codes from each of these.
        let [v, b, r, s, a, l] =
            unsafe { [*vertex.add(j), *below.add(j), *right.add(j), *square.add(j), *above.add(j), *left.add(j)] };
        let down = (v != DOWN) & (b != UP) & (b != ABSENT) & (s != LEFT) & (l != RIGHT);
        let across = (v != RIGHT) & (r != LEFT) & (r != ABSENT) & (s != UP) & (a != DOWN);
        let edges = (u8::from(down) * EDGE_DOWN) | (u8::from(across) * EDGE_RIGHT);
        found[j] = edges | (u8::from(v == ROOT) * VERTEX) | (u8::from(s == ROOT) * SQUARE);
    }
}

/// The four bits of 64 cells, each as a word.
#[inline]
pub fn masks(found: &[u8]) -> [u64; 4] {
    let mut masks = [0; 4];
    for (i, eight) in found.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(eight.try_into().unwrap_or_default());
        for (bit, mask) in masks.iter_mut().enumerate() {
            // The lowest bits of eight bytes, gathered in the highest byte.
            let lowest = word >> bit & 0x0101_0101_0101_0101;
            *mask |= lowest.wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * i);
        }
    }
    masks
}

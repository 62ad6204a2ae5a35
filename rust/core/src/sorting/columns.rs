//! Sorted lists in eight columns, and sums over the two-sided exponential kernel that walk all columns side by side.
//!
//! ```text
//! the items of a piece of R rows:      0    R   2R  ...  7R
//!                                      1   R+1 2R+1 ... 7R+1      item i lies in row i % R of column i / R;
//!                                      .    .    .        .       the last columns may end in padding
//!                                     R-1 2R-1 3R-1 ... 8R-1
//! ```
//!
//! Left and right sums (see [`scans`](crate::sorting::scans)) are recurrences, each step of which waits for the one before; in
//! columns eight steps are one instruction. What enters a column comes from its neighbours:
//!
//! ```text
//! for each piece, columns side by side:  decay, left, right = product of the links, left sum at the end, right sum at the start
//! upwards through the columns:           up   = what is left of the column's start;    next up   = decay up + left
//! downwards:                             down = what is right of its end;              next down = decay down + right
//! for each piece, columns side by side:  left and right sums of all items, from up and down
//! ```
//!
//! Pieces depend on the list alone.

use crate::simd::dispatch;
use crate::sorting::order::Key;
use std::array::from_fn;
use std::ops::{Add, Mul, Range, Sub};

/// Columns: numbers of one 512-bit register.
pub const COLUMNS: usize = 8;
/// Items of a piece: its working memory stays in cache.
const PIECE: usize = 1 << 12;
/// Products of links below this are 0, so that none becomes subnormal, which is slow.
const NEGLIGIBLE: f64 = 1e-290;

/// One number in each column.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub struct Row(pub [f64; COLUMNS]);

impl Row {
    /// The same number in each column.
    pub const fn of(value: f64) -> Self {
        Self([value; COLUMNS])
    }

    /// The numbers of all columns. A loop, because functions of the library would not be inlined into the instruction set.
    #[inline(always)]
    pub fn each(value: impl Fn(usize) -> f64) -> Self {
        let mut row = [0.0; COLUMNS];
        for l in 0..COLUMNS {
            row[l] = value(l);
        }
        Self(row)
    }
}

/// The numbers of all rows, for loops that do the same to each.
#[inline(always)]
pub fn flat(rows: &[Row]) -> &[f64] {
    // SAFETY: a row is nothing but its numbers.
    unsafe { std::slice::from_raw_parts(rows.as_ptr().cast(), rows.len() * COLUMNS) }
}

/// See [`flat`].
#[inline(always)]
pub fn flat_mut(rows: &mut [Row]) -> &mut [f64] {
    // SAFETY: a row is nothing but its numbers.
    unsafe { std::slice::from_raw_parts_mut(rows.as_mut_ptr().cast(), rows.len() * COLUMNS) }
}

macro_rules! operators {
    ($($name:ident $method:ident $sign:tt),*) => {$(
        impl $name for Row {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self::each(|l| self.0[l] $sign other.0[l])
            }
        }
    )*};
}

operators!(Add add +, Sub sub -, Mul mul *);

/// Consecutive items of a list, and their rows.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Items, by rank.
    pub items: Range<usize>,
    /// Rows, in the rows of all pieces.
    pub rows: Range<usize>,
}

impl Piece {
    /// Where an item of this piece lies in its numbers, both counted from its start.
    #[inline(always)]
    pub fn at(&self, item: usize) -> usize {
        let rows = self.rows.end - self.rows.start;
        item % rows * COLUMNS + item / rows
    }

    /// Its numbers in those of all pieces.
    pub fn numbers(&self) -> Range<usize> {
        self.rows.start * COLUMNS..self.rows.end * COLUMNS
    }

    /// The places of its padding.
    pub fn padding(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        (self.items.len()..COLUMNS * self.rows.len()).map(|item| self.at(item))
    }

    /// The columns with the ranks of their items, from the uppermost row on.
    pub fn columns(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (items, rows) = (self.items.clone(), self.rows.len());
        (0..COLUMNS).map(move |column| {
            let start = (items.start + column * rows).min(items.end);
            (column, start..(start + rows).min(items.end))
        })
    }
}

/// Parts a list; items that are `tied` to the one before them stay with it.
pub fn pieces(count: usize, tied: impl Fn(usize) -> bool, out: &mut Vec<Piece>) {
    let (mut start, mut row) = (0, 0);
    out.clear();
    while start < count {
        let mut end = count.min(start + PIECE);
        while end < count && tied(end) {
            end += 1;
        }
        let rows = (end - start).div_ceil(COLUMNS);
        out.push(Piece { items: start..end, rows: row..row + rows });
        (start, row) = (end, row + rows);
    }
}

/// Lays items out in the columns of their pieces, with copies of the last item as padding.
pub fn lay<T: Key>(pieces: &[Piece], to: &mut Vec<T>, item: impl Fn(usize) -> T) {
    to.resize(pieces.last().map_or(0, |piece| piece.numbers().end), T::ZERO);
    for piece in pieces {
        let (to, last) = (&mut to[piece.numbers()], item(piece.items.end - 1));
        for (column, ranks) in piece.columns() {
            to.chunks_exact_mut(COLUMNS).zip(ranks).for_each(|(row, rank)| row[column] = item(rank));
        }
        piece.padding().for_each(|at| to[at] = last);
    }
}

/// What the columns of a piece do to the sums that pass through them.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    decay: Row,
    left: [Row; 2],
    right: [Row; 2],
}

/// The sums that enter the columns of a piece on both sides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry {
    up: [Row; 2],
    down: [Row; 2],
}

/// What enters each piece.
pub fn entries(passages: &[Passage]) -> Vec<Entry> {
    let mut entries = vec![Entry::default(); passages.len()];
    for w in 0..2 {
        let mut sum = 0.0;
        for (entry, passage) in entries.iter_mut().zip(passages) {
            for l in 0..COLUMNS {
                entry.up[w].0[l] = sum;
                sum = passage.decay.0[l] * sum + passage.left[w].0[l];
            }
        }
        let mut sum = 0.0;
        for (entry, passage) in entries.iter_mut().zip(passages).rev() {
            for l in (0..COLUMNS).rev() {
                entry.down[w].0[l] = sum;
                sum = passage.decay.0[l] * sum + passage.right[w].0[l];
            }
        }
    }
    entries
}

/// Two numbers of each item of a piece, and their sums over the items before and over those behind.
#[derive(Debug, Default)]
pub struct Sides {
    /// Rows of a part: one more than needed, so that no power of two makes the parts compete for one line of the cache.
    stride: usize,
    /// Both numbers, both sums before, both sums behind: one allocation.
    all: Vec<Row>,
}

impl Sides {
    /// Makes room for `rows`.
    pub fn resize(&mut self, rows: usize) {
        self.stride = rows + 1;
        self.all.resize(6 * self.stride, Row::default());
    }

    /// Rows of memory.
    pub const fn rows(&self) -> usize {
        self.all.capacity()
    }

    /// Both numbers, both sums before, both sums behind.
    #[inline(always)]
    pub fn parts(&self) -> [&[Row]; 6] {
        let mut parts = self.all.chunks_exact(self.stride);
        from_fn(|_| parts.next().expect("six parts"))
    }

    /// See [`Sides::parts`].
    #[inline(always)]
    pub fn parts_mut(&mut self) -> [&mut [Row]; 6] {
        let mut parts = self.all.chunks_exact_mut(self.stride);
        from_fn(|_| parts.next().expect("six parts"))
    }

    /// Sets both numbers at some places to 0.
    pub fn clear(&mut self, places: impl Iterator<Item = usize>) {
        let [x0, x1, ..] = self.parts_mut();
        for at in places {
            (flat_mut(x0)[at], flat_mut(x1)[at]) = (0.0, 0.0);
        }
    }

    /// Number, sum before and sum behind; first those of the first number.
    #[inline(always)]
    pub fn numbers(&self, n: usize) -> [[&[f64]; 3]; 2] {
        let [x0, x1, left0, left1, right0, right1] = self.parts();
        [[x0, left0, right0], [x1, left1, right1]].map(|rows| rows.map(|rows| &flat(rows)[..n]))
    }
}

dispatch! {
    /// Sums over whole columns.
    pub fn passage(links: &[Row], sides: &Sides) -> Passage = passage_rows
}

#[inline(always)]
fn passage_rows(links: &[Row], sides: &Sides) -> Passage {
    let [x0, x1, ..] = sides.parts();
    let mut passage = Passage { decay: Row::of(1.0), left: [Row::of(0.0); 2], right: [Row::of(0.0); 2] };
    let Passage { decay, left, right } = &mut passage;
    for ((&link, &x0), &x1) in links.iter().zip(x0).zip(x1) {
        *decay = *decay * link;
        *decay = Row::each(|l| if decay.0[l] < NEGLIGIBLE { 0.0 } else { decay.0[l] });
        *left = [link * left[0] + x0, link * left[1] + x1];
        *right = [right[0] + *decay * x0, right[1] + *decay * x1];
    }
    passage
}

dispatch! {
    /// Fills the sums of both sides.
    pub fn sweep(links: &[Row], sides: &mut Sides, entry: &Entry) = sweep_rows
}

/// Both directions in one loop: each waits for its own arithmetic only.
#[inline(always)]
fn sweep_rows(links: &[Row], sides: &mut Sides, entry: &Entry) {
    let (n, Entry { mut up, mut down }) = (links.len(), *entry);
    let [x0, x1, left0, left1, right0, right1] = sides.parts_mut().map(|rows| &mut rows[..n]);
    for i in 0..n {
        let j = n - 1 - i;
        let (link, back) = (links[i], links[j]);
        (left0[i], left1[i]) = (link * up[0], link * up[1]);
        up = [left0[i] + x0[i], left1[i] + x1[i]];
        (right0[j], right1[j]) = (down[0], down[1]);
        down = [back * (down[0] + x0[j]), back * (down[1] + x1[j])];
    }
}

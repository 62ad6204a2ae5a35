//! Two orders of the cells, one for rows and one for columns of the boundary matrix, and what is critical for both.

use super::super::grid::Cell;
use super::gradient::Gradient;
use super::space::{ABSENT, Space};
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;

/// An image with its layer, and its gradient.
#[derive(Debug)]
pub struct Field {
    /// Keys.
    pub keys: Vec<u32>,
    /// The lowest key and the highest.
    pub range: [u32; 2],
    /// What the cells choose.
    pub gradient: Gradient,
}

impl Field {
    /// Looks at every cell of an image.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn new(space: &Space, keys: Vec<u32>, job: &Job) -> Result<Self> {
        let mut range = [ABSENT, 0];
        for &key in keys.iter().filter(|&&key| key != ABSENT) {
            range = [range[0].min(key), range[1].max(key)];
        }
        Ok(Self { gradient: Gradient::new(space, &keys, job)?, keys, range })
    }
}

/// Rows in the order of one image, columns in the order of another, or of the same.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Where the cells lie.
    pub space: &'a Space,
    /// The order of the rows.
    pub rows: &'a Field,
    /// The order of the columns.
    pub columns: &'a Field,
}

/// The squares around an edge, ascending: axis to go back along (3: none), kind, and which of its faces the edge is.
type Around = [(usize, Cell, u8); 4];

/// [`Around`] by the axis of the edge. Place 3 among the faces never is the last one.
const AROUND: [Around; 3] = [
    [(1, 2, 1), (2, 1, 1), (3, 1, 3), (3, 2, 3)],
    [(0, 2, 0), (2, 0, 1), (3, 0, 3), (3, 2, 2)],
    [(0, 1, 0), (1, 0, 0), (3, 0, 2), (3, 1, 2)],
];

/// The place among [`AROUND`] from which an edge sees a square, by the square's normal axis and the edge's place in it.
const SEEN: [[u8; 4]; 3] = [[1, 1, 2, 2], [0, 1, 3, 2], [0, 0, 3, 3]];

impl<'a> Order<'a> {
    /// The order of one image.
    #[must_use]
    pub const fn own(space: &'a Space, field: &'a Field) -> Self {
        Self { space, rows: field, columns: field }
    }

    /// The square that an edge is paired with as its last face, if any.
    #[inline]
    #[must_use]
    pub fn partner(&self, edge: Cell) -> Option<Cell> {
        let (p, axis) = (edge as usize / 4, edge as usize % 4);
        let (back, kind, place) = AROUND[axis][usize::from(self.columns.gradient.cofaces[p] >> (2 * axis) & 3)];
        let q = p - [self.space.strides[0], self.space.strides[1], 1, 0][back];
        (self.rows.gradient.faces[q] >> (2 * kind) & 3 == place).then_some(4 * q as Cell + kind)
    }

    /// The edge that a square is paired with, if any.
    #[inline]
    #[must_use]
    pub fn face(&self, square: Cell) -> Option<Cell> {
        let (q, kind) = (square as usize / 4, square as usize % 4);
        let edge = self.space.faces(square)[usize::from(self.rows.gradient.faces[q] >> (2 * kind) & 3)];
        (self.partner(edge) == Some(square)).then_some(edge)
    }

    /// Squares that are paired neither with a cube nor with an edge, ascending in the order of the columns.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn squares(&self, job: &Job) -> Result<Vec<u64>> {
        let (rows, columns, strides) = (&self.rows.gradient, &self.columns.gradient, self.space.strides);
        let free = |at, out: &mut [u8]| free_squares(strides, &rows.faces, &columns.cofaces, &columns.taken, at, out);
        self.scan(free, |cell| self.space.square(&self.columns.keys, cell), job)
    }

    /// Edges that are paired neither with a vertex nor with a square, ascending in the order of the rows.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn edges(&self, job: &Job) -> Result<Vec<u64>> {
        let (rows, columns, strides) = (&self.rows.gradient, &self.columns.gradient, self.space.strides);
        let free = |at, out: &mut [u8]| free_edges(strides, &rows.faces, &columns.cofaces, &rows.taken, at, out);
        self.scan(free, |cell| self.space.edge(&self.rows.keys, cell), job)
    }

    /// Cells whose bits are set, with their values, in their order.
    fn scan(&self, free: impl Fn(usize, &mut [u8]), value: impl Fn(Cell) -> u32, job: &Job) -> Result<Vec<u64>> {
        let (mut found, mut bits) = (Vec::new(), [0; 4096]);
        for at in (self.space.first..self.space.end).step_by(bits.len()) {
            job.check()?;
            let bits = &mut bits[..(self.space.end - at).min(4096)];
            free(at, bits);
            for (i, mut set) in bits.iter().copied().enumerate().filter(|(_, set)| *set != 0) {
                while set != 0 {
                    let cell = 4 * (at + i) as Cell + set.trailing_zeros();
                    let value = value(cell);
                    if value != ABSENT {
                        found.push(u64::from(value) << 32 | u64::from(cell));
                    }
                    set &= set - 1;
                }
            }
        }
        sort(&mut found);
        Ok(found)
    }
}

dispatch! {
    /// Bits 0-2: squares without a partner, those that do not exist among them.
    fn free_squares(strides: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u8])
        = free_squares_inline
}
#[inline(always)]
fn free_squares_inline([x, y, z]: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u8]) {
    let n = out.len();
    let (faces, taken) = (&faces[at..][..n], &taken[at..][..n]);
    let [here, to_x, to_y, to_z] = [0, x, y, z].map(|step| &cofaces[at + step..][..n]);
    for i in 0..n {
        let normal = |kind: u8, far: [u8; 2], axes: [u8; 2]| {
            let choice = faces[i] >> (2 * kind) & 3;
            let seen = SEEN[kind as usize];
            let paired = match choice {
                0 => far[0] >> (2 * axes[1]) & 3 == seen[0],
                1 => far[1] >> (2 * axes[0]) & 3 == seen[1],
                _ => here[i] >> (2 * axes[1]) & 3 == seen[2],
            };
            u8::from(!paired) << kind
        };
        let free = normal(0, [to_y[i], to_z[i]], [1, 2])
            | normal(1, [to_x[i], to_z[i]], [0, 2])
            | normal(2, [to_x[i], to_y[i]], [0, 1]);
        out[i] = free & !(taken[i] >> 3);
    }
}

dispatch! {
    /// Bits 0-2: edges without a partner, those that do not exist among them.
    fn free_edges(strides: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u8])
        = free_edges_inline
}
#[inline(always)]
fn free_edges_inline([x, y, z]: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u8]) {
    let n = out.len();
    let (cofaces, taken) = (&cofaces[at..][..n], &taken[at..][..n]);
    let [back_x, back_y, back_z, here] = [x, y, z, 0].map(|step| &faces[at - step..][..n]);
    for i in 0..n {
        let along = |axis: u8| {
            let choice = cofaces[i] >> (2 * axis) & 3;
            let mut paired = false;
            for (place, (back, kind, face)) in AROUND[axis as usize].into_iter().enumerate() {
                let there = [back_x[i], back_y[i], back_z[i], here[i]][back];
                paired |= (choice == place as u8) && (there >> (2 * kind) & 3 == face);
            }
            u8::from(!paired) << axis
        };
        out[i] = (along(0) | along(1) | along(2)) & !taken[i];
    }
}

/// Sorts by the upper halves; the lower ones ascend before.
pub fn sort(items: &mut Vec<u64>) {
    if items.len() < 1 << 9 {
        return items.sort_unstable();
    }
    let mut counts = vec![[0_u32; 2048]; 3];
    let digit = |item: u64, pass: usize| (item >> (32 + 11 * pass)) as usize & 2047;
    for &item in &*items {
        (0..3).for_each(|pass| counts[pass][digit(item, pass)] += 1);
    }
    let mut other = vec![0; items.len()];
    for (pass, counts) in counts.iter_mut().enumerate() {
        if counts[digit(items[0], pass)] as usize == items.len() {
            continue;
        }
        let mut total = 0;
        counts.iter_mut().for_each(|count| total += std::mem::replace(count, total));
        for &item in &*items {
            let place = &mut counts[digit(item, pass)];
            other[*place as usize] = item;
            *place += 1;
        }
        std::mem::swap(items, &mut other);
    }
}

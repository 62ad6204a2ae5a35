//! Two orders of the cells, one for rows and one for columns of the boundary matrix, and what is critical for both.

use super::super::grid::Cell;
use super::super::radix;
use super::gradient::Gradient;
use super::space::Space;
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
        let lowest = keys.iter().copied().min().unwrap_or_default();
        let highest = keys.iter().map(|key| key.wrapping_add(1)).max().unwrap_or_default() - 1;
        let range = [lowest, highest];
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

    /// Squares that are paired neither with a cube nor with an edge, ascending as numbers.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn squares(&self, job: &Job) -> Result<Vec<Cell>> {
        let (rows, columns, strides) = (&self.rows.gradient, &self.columns.gradient, self.space.strides);
        let free = |at, out: &mut [u8]| free_squares(strides, &rows.faces, &columns.cofaces, &columns.taken, at, out);
        let mut found = Vec::new();
        self.scan(free, job, |at, bits| {
            for (i, &set) in bits.iter().enumerate() {
                let mut set = set;
                while set != 0 {
                    found.push((4 * (at + i)) as Cell + set.trailing_zeros());
                    set &= set - 1;
                }
            }
        })?;
        Ok(found)
    }

    /// What the gradient does with every edge.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn edges(&self, job: &Job) -> Result<Edges> {
        let (rows, columns, space) = (&self.rows.gradient, &self.columns.gradient, self.space);
        let mut states = vec![u32::from(TAKEN) * 0x0101_0101; space.len];
        for at in (space.first..space.end).step_by(4096) {
            job.check()?;
            let out = &mut states[at..space.end.min(at + 4096)];
            edge_states(space.strides, &rows.faces, &columns.cofaces, &rows.taken, at, out);
        }
        Ok(Edges { states })
    }

    /// Calls `free` for pieces of the space and hands its bits over.
    fn scan(&self, free: impl Fn(usize, &mut [u8]), job: &Job, mut found: impl FnMut(usize, &[u8])) -> Result<()> {
        let mut bits = [0; 4096];
        for at in (self.space.first..self.space.end).step_by(bits.len()) {
            job.check()?;
            let bits = &mut bits[..(self.space.end - at).min(4096)];
            free(at, bits);
            found(at, bits);
        }
        Ok(())
    }
}

/// What the gradient does with every edge, a byte each.
#[derive(Debug)]
pub struct Edges {
    states: Vec<u32>,
}

/// The edge has no partner.
pub const CRITICAL: u8 = 4;
/// The edge is paired with a vertex, or does not exist.
pub const TAKEN: u8 = 5;

impl Edges {
    /// The place in [`AROUND`] of the square that is the edge's partner, or [`CRITICAL`], or [`TAKEN`].
    #[inline]
    #[must_use]
    pub fn state(&self, edge: Cell) -> u8 {
        (self.states[edge as usize / 4] >> (8 * (edge % 4))) as u8
    }

    /// Numbers the critical edges: bit and count by cell.
    #[must_use]
    pub fn places(&self) -> Places {
        let mut found = Places { words: vec![0; self.states.len() / 16 + 1], before: Vec::new() };
        for (p, &states) in self.states.iter().enumerate() {
            let mut bits = 0;
            for axis in 0..3 {
                bits |= u64::from((states >> (8 * axis)) as u8 == CRITICAL) << axis;
            }
            found.words[p / 16] |= bits << (4 * (p % 16));
        }
        let mut total = 0;
        found.before.extend(found.words.iter().map(|word| {
            total += word.count_ones();
            total - word.count_ones()
        }));
        found
    }
}

/// Places of critical edges in the list of them.
#[derive(Debug)]
pub struct Places {
    words: Vec<u64>,
    before: Vec<u32>,
}

impl Places {
    /// The place of an edge.
    #[inline]
    #[must_use]
    pub fn of(&self, edge: Cell) -> usize {
        let (word, bit) = (edge as usize / 64, edge % 64);
        self.before[word] as usize + (self.words[word] & ((1 << bit) - 1)).count_ones() as usize
    }

    /// The edges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Cell> + '_ {
        self.words.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(|(i, &word)| {
            (0..64).filter(move |bit| (word >> bit) & 1 == 1).map(move |bit| (64 * i + bit) as Cell)
        })
    }
}

/// By axis and place in [`AROUND`]: what to add to the number of an edge to get the other three edges of that square.
#[must_use]
pub fn others(space: &Space) -> [[[Cell; 3]; 4]; 3] {
    let edge = 4 * space.first as Cell;
    std::array::from_fn(|axis| {
        AROUND[axis].map(|(back, kind, face)| {
            let square = edge - 4 * [space.strides[0], space.strides[1], 1, 0][back] as Cell + kind;
            let mut others = [0; 3];
            let faces = space.faces(square).into_iter().enumerate().filter(|(place, _)| *place != usize::from(face));
            faces.zip(&mut others).for_each(|((_, other), delta)| *delta = other.wrapping_sub(edge + axis as Cell));
            others
        })
    })
}

dispatch! {
    /// Bits 0-2: squares without a partner.
    fn free_squares(strides: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u8])
        = free_squares_inline
}
#[inline(always)]
fn free_squares_inline([x, y, z]: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u8]) {
    let n = out.len();
    let (faces, taken) = (&faces[at..][..n], &taken[at..][..n]);
    let [here, to_x, to_y, to_z] = [0, x, y, z].map(|step| &cofaces[at + step..][..n]);
    for i in 0..n {
        let paired = paired_square::<0>(faces[i], [to_y[i], to_z[i], here[i]], [1, 2])
            | paired_square::<1>(faces[i], [to_x[i], to_z[i], here[i]], [0, 2])
            | paired_square::<2>(faces[i], [to_x[i], to_y[i], here[i]], [0, 1]);
        out[i] = 7 & !paired & !(taken[i] >> 3);
    }
}

/// Whether the last edge of a square names it as its first square; `cofaces` are those of the voxels of its edges.
#[inline(always)]
fn paired_square<const KIND: usize>(faces: u8, cofaces: [u8; 3], axes: [u8; 2]) -> u8 {
    let choice = (faces >> (2 * KIND)) & 3;
    let seen = SEEN[KIND];
    let far = u8::from((cofaces[0] >> (2 * axes[1])) & 3 == seen[0]);
    let low = u8::from((cofaces[1] >> (2 * axes[0])) & 3 == seen[1]);
    let near = u8::from((cofaces[2] >> (2 * axes[1])) & 3 == seen[2]);
    let of = [u8::from(choice == 0), u8::from(choice == 1), u8::from(choice == 2)];
    ((of[0] & far) | (of[1] & low) | (of[2] & near)) << KIND
}

dispatch! {
    /// A byte per edge: its place in [`AROUND`], or [`CRITICAL`], or [`TAKEN`].
    fn edge_states(strides: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u32])
        = edge_states_inline
}
#[inline(always)]
fn edge_states_inline([x, y, z]: [usize; 3], faces: &[u8], cofaces: &[u8], taken: &[u8], at: usize, out: &mut [u32]) {
    let n = out.len();
    let (cofaces, taken) = (&cofaces[at..][..n], &taken[at..][..n]);
    let [back_x, back_y, back_z, here] = [x, y, z, 0].map(|step| &faces[at - step..][..n]);
    for i in 0..n {
        let there = [back_x[i], back_y[i], back_z[i], here[i]];
        out[i] = edge_state::<0>(cofaces[i], taken[i], there)
            | edge_state::<1>(cofaces[i], taken[i], there)
            | edge_state::<2>(cofaces[i], taken[i], there);
    }
}

/// Whether the first square of an edge names it as its last edge; `faces` are those of the voxels of its squares.
#[inline(always)]
fn edge_state<const AXIS: usize>(cofaces: u8, taken: u8, faces: [u8; 4]) -> u32 {
    let choice = (cofaces >> (2 * AXIS)) & 3;
    let mut paired = 0;
    for place in 0..4 {
        let (back, kind, face) = AROUND[AXIS][place];
        paired |= u8::from(choice == place as u8) & u8::from((faces[back] >> (2 * kind)) & 3 == face);
    }
    let state = if paired == 1 { choice } else { CRITICAL };
    let state = if (taken >> AXIS) & 1 == 1 { TAKEN } else { state };
    u32::from(state) << (8 * AXIS)
}

/// Values with places in a list, ascending.
#[must_use]
pub fn ascending(values: impl Iterator<Item = u32>) -> Vec<u64> {
    let mut items: Vec<_> = values.enumerate().map(|(i, value)| radix::pack(value, i as u32)).collect();
    radix::sort(&mut items, &mut Vec::new());
    items
}

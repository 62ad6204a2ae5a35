//! Two orders of the cells, one for rows and one for columns of the boundary matrix, and what is critical for both.

use super::super::grid::Cell;
use super::super::radix;
use super::flow::PENDING;
use super::gradient::{Choices, Gradient};
use super::space::Space;
use super::star::{ARC, CORNERS, NODE, UNKNOWN};
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
    /// Where vertices and cubes go.
    pub gradient: Gradient,
}

impl Field {
    /// Looks at every vertex and cube of an image.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn new(space: &Space, keys: Vec<u32>, job: &Job) -> Result<Self> {
        let lowest = keys.iter().copied().min().unwrap_or_default();
        let highest = keys.iter().map(|key| key.wrapping_add(1)).max().unwrap_or_default() - 1;
        let range = [lowest, highest];
        Ok(Self { gradient: Gradient::new(space, &keys, job)?, keys, range })
    }

    /// What edges and squares choose.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn choices(&self, space: &Space, job: &Job) -> Result<Choices> {
        Choices::new(space, &self.keys, &self.keys, job)
    }

    /// The order of this image.
    #[must_use]
    pub const fn order<'a>(&'a self, space: &'a Space, choices: &'a Choices) -> Order<'a> {
        Order { space, rows: self, columns: self, choices }
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
    /// What edges and squares choose.
    pub choices: &'a Choices,
}

/// The squares around an edge, ascending: axis to go back along (3: none), kind, and which of its faces the edge is.
pub type Around = [(usize, Cell, u8); 4];

/// [`Around`] by the axis of the edge. Place 3 among the faces never is the last one.
pub const AROUND: [Around; 3] = [
    [(1, 2, 1), (2, 1, 1), (3, 1, 3), (3, 2, 3)],
    [(0, 2, 0), (2, 0, 1), (3, 0, 3), (3, 2, 2)],
    [(0, 1, 0), (1, 0, 0), (3, 0, 2), (3, 1, 2)],
];

/// The place among [`AROUND`] from which an edge sees a square, by the square's normal axis and the edge's place in it.
const SEEN: [[u8; 4]; 3] = [[1, 1, 2, 2], [0, 1, 3, 2], [0, 0, 3, 3]];

impl Order<'_> {
    /// The square that an edge is paired with as its last face, if any.
    #[inline]
    #[must_use]
    pub fn partner(&self, edge: Cell) -> Option<Cell> {
        let (p, axis) = (edge as usize / 4, edge as usize % 4);
        let (back, kind, place) = AROUND[axis][usize::from(self.choices.cofaces[p] >> (2 * axis) & 3)];
        let q = p - [self.space.strides[0], self.space.strides[1], 1, 0][back];
        (self.choices.faces[q] >> (2 * kind) & 3 == place).then_some(4 * q as Cell + kind)
    }

    /// The edge that a square is paired with, if any.
    #[inline]
    #[must_use]
    pub fn face(&self, square: Cell) -> Option<Cell> {
        let (q, kind) = (square as usize / 4, square as usize % 4);
        let edge = self.space.faces(square)[usize::from(self.choices.faces[q] >> (2 * kind) & 3)];
        (self.partner(edge) == Some(square)).then_some(edge)
    }

    /// Squares that are paired neither with a cube nor with an edge, ascending as numbers.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn squares(&self, job: &Job) -> Result<Vec<Cell>> {
        let (choices, strides) = (self.choices, self.space.strides);
        let (mut found, mut bits) = (Vec::new(), [0; 4096]);
        for at in (self.space.first..self.space.end).step_by(bits.len()) {
            job.check()?;
            let bits = &mut bits[..(self.space.end - at).min(4096)];
            free_squares(strides, &choices.faces, &choices.cofaces, &self.columns.gradient.taken, at, bits);
            outside_stars(strides, &choices.stars, at, bits);
            collect(at, bits, &mut found);
        }
        Ok(found)
    }

    /// Writes what is known of every edge, by axis, then by voxel: [`PENDING`] with 4 times the axis plus the place of its
    /// partner in [`AROUND`], or 0 if it is paired with a vertex; edges without a partner come back, ascending.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn edges(&self, words: &mut [u32], job: &Job) -> Result<Vec<Cell>> {
        let mut found = Vec::new();
        let (x, rest) = words.split_at_mut(self.space.len);
        let (y, z) = rest.split_at_mut(self.space.len);
        self.states(job, |at, states| {
            let [x, y, z] = [&mut *x, &mut *y, &mut *z].map(|words| &mut words[at..at + states.len()]);
            edge_words(states, x, y, z);
            critical(at, states, &mut found);
        })?;
        Ok(found)
    }

    /// Edges without a partner, ascending as numbers.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn critical(&self, job: &Job) -> Result<Vec<Cell>> {
        let mut found = Vec::new();
        self.states(job, |at, states| critical(at, states, &mut found))?;
        Ok(found)
    }

    /// Calls `found` with pieces of the space: where one begins and what the gradient does with its edges, a byte each:
    /// the place in [`AROUND`] of the edge's partner, or [`CRITICAL`], or [`TAKEN`].
    fn states(&self, job: &Job, mut found: impl FnMut(usize, &[u32])) -> Result<()> {
        let (choices, space) = (self.choices, self.space);
        let mut states = [0; 4096];
        for at in (space.first..space.end).step_by(states.len()) {
            job.check()?;
            let states = &mut states[..(space.end - at).min(4096)];
            edge_states(space.strides, &choices.faces, &choices.cofaces, &self.rows.gradient.taken, at, states);
            star_states(space.strides, &choices.stars, at, states);
            found(at, states);
        }
        Ok(())
    }
}

/// Adds the cells whose bits are set, by the voxel's place after `at` and kind.
fn collect(at: usize, bits: &[u8], found: &mut Vec<Cell>) {
    for (i, &set) in bits.iter().enumerate() {
        let mut set = set;
        while set != 0 {
            found.push((4 * (at + i)) as Cell + set.trailing_zeros());
            set &= set - 1;
        }
    }
}

/// Adds the edges without a partner.
fn critical(at: usize, states: &[u32], found: &mut Vec<Cell>) {
    let mut bits = [0; 4096];
    let bits = &mut bits[..states.len()];
    critical_edges(states, bits);
    collect(at, bits, found);
}

/// The edge has no partner.
pub const CRITICAL: u8 = 4;
/// The edge is paired with a vertex, or does not exist.
pub const TAKEN: u8 = 5;

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

dispatch! {
    /// Takes squares away that are paired with an edge of their star.
    fn outside_stars(strides: [usize; 3], stars: &[u32], at: usize, out: &mut [u8]) = outside_stars_inline
}
#[inline(always)]
fn outside_stars_inline([x, y, z]: [usize; 3], stars: &[u32], at: usize, out: &mut [u8]) {
    let n = out.len();
    let [here, to_x, to_y, to_z, to_xy, to_xz, to_yz] =
        [0, x, y, z, x + y, x + z, y + z].map(|step| &stars[at + step..][..n]);
    for i in 0..n {
        let [to_x, to_y, to_z] = [to_x[i], to_y[i], to_z[i]];
        let corners =
            [[here[i], to_y, to_z, to_yz[i]], [here[i], to_x, to_z, to_xz[i]], [here[i], to_x, to_y, to_xy[i]]];
        let mut paired = 0;
        for kind in 0..3 {
            for (star, arc) in corners[kind].into_iter().zip(CORNERS[kind]) {
                paired |= (star >> (ARC + arc) & 1) << kind;
            }
        }
        out[i] &= !paired as u8;
    }
}

dispatch! {
    /// Replaces the states of edges that a star knows.
    fn star_states(strides: [usize; 3], stars: &[u32], at: usize, out: &mut [u32]) = star_states_inline
}
#[inline(always)]
fn star_states_inline([x, y, z]: [usize; 3], stars: &[u32], at: usize, out: &mut [u32]) {
    let n = out.len();
    let [here, to_x, to_y, to_z] = [0, x, y, z].map(|step| &stars[at + step..][..n]);
    for i in 0..n {
        let here = here[i];
        let mut states = 0;
        for (axis, there) in (0..).zip([to_x[i], to_y[i], to_z[i]]) {
            let known = (here >> (9 + 3 * axis) & NODE).min(there >> (3 * axis) & NODE);
            let state = if known == UNKNOWN { out[i] >> (8 * axis) & 0xff } else { known };
            states |= state << (8 * axis);
        }
        out[i] = states;
    }
}

dispatch! {
    /// Spreads states of edges to words.
    fn edge_words(states: &[u32], x: &mut [u32], y: &mut [u32], z: &mut [u32]) = edge_words_inline
}
#[inline(always)]
fn edge_words_inline(states: &[u32], x: &mut [u32], y: &mut [u32], z: &mut [u32]) {
    for (axis, words) in (0..).zip([x, y, z]) {
        for (word, &states) in words.iter_mut().zip(states) {
            let state = states >> (8 * axis) & 0xff;
            *word = if state < u32::from(CRITICAL) { PENDING | (4 * axis) | state } else { 0 };
        }
    }
}

dispatch! {
    /// Bits 0-2: edges without a partner.
    fn critical_edges(states: &[u32], out: &mut [u8]) = critical_edges_inline
}
#[inline(always)]
fn critical_edges_inline(states: &[u32], out: &mut [u8]) {
    for (out, &states) in out.iter_mut().zip(states) {
        let bit = |axis: u32| u32::from(states >> (8 * axis) & 0xff == u32::from(CRITICAL)) << axis;
        *out = (bit(0) | bit(1) | bit(2)) as u8;
    }
}

/// Values with places in a list, ascending.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn ascending(values: impl Iterator<Item = u32>, job: &Job) -> Result<Vec<u64>> {
    let mut items: Vec<_> = values.enumerate().map(|(i, value)| radix::pack(value, i as u32)).collect();
    radix::sort_unless_stopped(&mut items, &mut Vec::new(), job)?;
    Ok(items)
}

//! Which cells are paired at once, by looking at their neighbours only: apparent pairs.
//!
//! A cell and a face of it are an apparent pair if the face is the last face of the cell and the cell is the first cell
//! around the face. Such a pair is a pair of the reduction whatever the rest of the image looks like, and its two values
//! are equal, so it is no bar. Most cells of an image are in one; what is left over is called critical.
//!
//! ```text
//! vertex p    the first of its six edges that is not above p: paired with it if p is the later end     [flow, bits 0-2]
//! cube p      the last of its six squares that is as high: paired if the cube behind it comes later     [flow, bits 3-5]
//! edge        the first of the four squares around it                                                  [cofaces]
//! square      the last of its four edges                                                               [faces]
//! ```
//!
//! An edge and a square are a pair if they name each other. With faces of one image and cofaces of another the same holds
//! for the reduction with rows in the order of the one and columns in the order of the other.
//!
//! Where no voxel ties, the pairs of edges and squares that are left around one voxel come from its star (star).
//!
//! All kernels are loops over flat ranges of voxels, absent ones included, without a branch: a vector at a time.

use super::space::{ABSENT, Space};
use super::star;
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;

/// In [`Gradient::flow`]: paired with no neighbour.
pub const CRITICAL: u8 = 6;
/// In [`Gradient::flow`]: does not exist.
pub const OUTSIDE: u8 = 7;
/// Voxels per call of a kernel: some hundred microseconds.
const PIECE: usize = 1 << 16;

/// Where the vertices and cubes of one image go.
#[derive(Debug, Default)]
pub struct Gradient {
    /// Where a vertex goes (0-2: back along an axis, 3-5: forth), and in bits 3-5 where a cube goes (0-2: forth along an
    /// axis, 3: back along the last).
    pub flow: Vec<u8>,
    /// Bits 0-2: edges that are paired with a vertex or do not exist. Bits 3-5: squares that are paired with a cube or do
    /// not exist; later also those that merge two components of cubes.
    pub taken: Vec<u8>,
}

/// What edges and squares choose, with rows in the order of one image and columns in that of another, or of the same.
#[derive(Debug, Default)]
pub struct Choices {
    /// Two bits per edge: its first square, as a place in [`super::order::AROUND`].
    pub cofaces: Vec<u8>,
    /// Two bits per square: its last edge, as a place in [`Space::faces`].
    pub faces: Vec<u8>,
    /// What the star of each voxel says about its edges and squares.
    pub stars: Vec<u32>,
}

impl Gradient {
    /// Looks at every vertex and cube of an image.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn new(space: &Space, keys: &[u32], job: &Job) -> Result<Self> {
        let mut found = Self { flow: vec![OUTSIDE | OUTSIDE << 3; space.len], taken: vec![0; space.len] };
        pieces(space, job, |at, end| vertices_and_cubes(space.strides, keys, at, &mut found.flow[at..end]))?;
        pieces(space, job, |at, end| taken(space.strides, &found.flow, at, &mut found.taken[at..end]))?;
        Ok(found)
    }
}

impl Choices {
    /// Looks at every edge and square.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn new(space: &Space, rows: &[u32], columns: &[u32], job: &Job) -> Result<Self> {
        let mut found =
            Self { cofaces: vec![0; space.len], faces: vec![0; space.len], stars: vec![star::SILENT; space.len] };
        pieces(space, job, |at, end| {
            edges(space.strides, columns, at, &mut found.cofaces[at..end]);
            squares(space.strides, rows, at, &mut found.faces[at..end]);
            star::stars(space.strides, rows, at, &mut found.stars[at..end]);
        })?;
        if !std::ptr::eq(rows, columns) {
            star::silence(space.strides, [rows, columns], &mut found.stars);
        }
        Ok(found)
    }
}

/// Calls `work` for pieces of the space.
fn pieces(space: &Space, job: &Job, mut work: impl FnMut(usize, usize)) -> Result<()> {
    for at in (space.first..space.end).step_by(PIECE) {
        job.check()?;
        work(at, space.end.min(at + PIECE));
    }
    Ok(())
}

/// The slice of `keys` that an offset away from `at` begins.
macro_rules! shifted {
    ($keys:expr, $at:expr, $n:expr, $($name:ident: $plus:expr, $minus:expr);+ $(;)?) => {
        $(let $name = &$keys[$at + $plus - $minus..][..$n];)+
    };
}

pub(super) use shifted;

dispatch! { fn vertices_and_cubes(strides: [usize; 3], keys: &[u32], at: usize, out: &mut [u8]) = vertices_and_cubes_inline }
#[inline(always)]
fn vertices_and_cubes_inline([x, y, z]: [usize; 3], keys: &[u32], at: usize, out: &mut [u8]) {
    let n = out.len();
    shifted!(keys, at, n,
        here: 0, 0; back_x: 0, x; back_y: 0, y; back_z: 0, z; to_x: x, 0; to_y: y, 0; to_z: z, 0;
        to_xy: x + y, 0; to_xz: x + z, 0; to_yz: y + z, 0; to_xyz: x + y + z, 0;
        under_x: x, z; under_y: y, z; under_xy: x + y, z);
    for i in 0..n {
        let k = here[i];
        let forth = |q: u32, code: u32| if q < k { code } else { u32::from(CRITICAL) };
        let mut vertex = u32::from(CRITICAL);
        vertex = if to_z[i] <= k { forth(to_z[i], 5) } else { vertex };
        vertex = if to_y[i] <= k { forth(to_y[i], 4) } else { vertex };
        vertex = if to_x[i] <= k { forth(to_x[i], 3) } else { vertex };
        vertex = if back_z[i] <= k { 2 } else { vertex };
        vertex = if back_y[i] <= k { 1 } else { vertex };
        vertex = if back_x[i] <= k { 0 } else { vertex };

        let side_x = to_x[i].max(to_xy[i]).max(to_xz[i]).max(to_xyz[i]);
        let side_y = to_y[i].max(to_xy[i]).max(to_yz[i]).max(to_xyz[i]);
        let side_z = to_z[i].max(to_xz[i]).max(to_yz[i]).max(to_xyz[i]);
        let m = k.max(side_x).max(side_y).max(side_z);
        // Only the lowest voxel is as high as the cube: its last square is the one towards the last axis.
        let behind = back_z[i].max(under_x[i]).max(under_y[i]).max(under_xy[i]);
        let mut cube = if behind > m { 3 } else { u32::from(CRITICAL) };
        cube = if side_z == m { 2 } else { cube };
        cube = if side_y == m { 1 } else { cube };
        cube = if side_x == m { 0 } else { cube };
        cube = if m == ABSENT { u32::from(OUTSIDE) } else { cube };
        vertex = if k == ABSENT { u32::from(OUTSIDE) } else { vertex };
        out[i] = (vertex | cube << 3) as u8;
    }
}

/// The first of four squares around an edge of value `m`, by the larger key of the two other voxels of each.
#[inline(always)]
fn first(m: u32, others: [u32; 4]) -> u32 {
    let (mut best, mut code) = (others[0].max(m), 0);
    for (i, other) in [(1, others[1]), (2, others[2]), (3, others[3])] {
        let value = other.max(m);
        code = if value < best { i } else { code };
        best = best.min(value);
    }
    code
}

dispatch! { fn edges(strides: [usize; 3], keys: &[u32], at: usize, out: &mut [u8]) = edges_inline }
#[inline(always)]
fn edges_inline([x, y, z]: [usize; 3], keys: &[u32], at: usize, out: &mut [u8]) {
    let n = out.len();
    shifted!(keys, at, n,
        here: 0, 0; back_x: 0, x; back_y: 0, y; back_z: 0, z; to_x: x, 0; to_y: y, 0; to_z: z, 0;
        xy: x + y, 0; xz: x + z, 0; yz: y + z, 0; x_y: x, y; x_z: x, z; y_x: y, x; y_z: y, z; z_x: z, x; z_y: z, y);
    for i in 0..n {
        let k = here[i];
        let forth = [to_x[i], to_y[i], to_z[i]];
        let along_x = first(
            k.max(forth[0]),
            [back_y[i].max(x_y[i]), back_z[i].max(x_z[i]), forth[2].max(xz[i]), forth[1].max(xy[i])],
        );
        let along_y = first(
            k.max(forth[1]),
            [back_x[i].max(y_x[i]), back_z[i].max(y_z[i]), forth[2].max(yz[i]), forth[0].max(xy[i])],
        );
        let along_z = first(
            k.max(forth[2]),
            [back_x[i].max(z_x[i]), back_y[i].max(z_y[i]), forth[1].max(yz[i]), forth[0].max(xz[i])],
        );
        out[i] = (along_x | along_y << 2 | along_z << 4) as u8;
    }
}

dispatch! { fn squares(strides: [usize; 3], keys: &[u32], at: usize, out: &mut [u8]) = squares_inline }
#[inline(always)]
fn squares_inline([x, y, z]: [usize; 3], keys: &[u32], at: usize, out: &mut [u8]) {
    let n = out.len();
    shifted!(keys, at, n,
        here: 0, 0; to_x: x, 0; to_y: y, 0; to_z: z, 0; to_xy: x + y, 0; to_xz: x + z, 0; to_yz: y + z, 0);
    // The edge at the far end of the first axis, else at that of the second, else the one at p along the second.
    let last = |k: u32, b: u32, c: u32, bc: u32| {
        let low = u32::from(k > c) + 1;
        if b.max(bc) >= k.max(c) { 0 } else { low }
    };
    for i in 0..n {
        let k = here[i];
        let normal_x = last(k, to_y[i], to_z[i], to_yz[i]);
        let normal_y = last(k, to_x[i], to_z[i], to_xz[i]);
        let normal_z = last(k, to_x[i], to_y[i], to_xy[i]);
        out[i] = (normal_x | normal_y << 2 | normal_z << 4) as u8;
    }
}

dispatch! { fn taken(strides: [usize; 3], flow: &[u8], at: usize, out: &mut [u8]) = taken_inline }
#[inline(always)]
fn taken_inline([x, y, z]: [usize; 3], flow: &[u8], at: usize, out: &mut [u8]) {
    let n = out.len();
    shifted!(flow, at, n,
        here: 0, 0; back_x: 0, x; back_y: 0, y; back_z: 0, z; to_x: x, 0; to_y: y, 0; to_z: z, 0;
        to_xy: x + y, 0; to_xz: x + z, 0; to_yz: y + z, 0);
    for i in 0..n {
        let absent = [here[i], to_x[i], to_y[i], to_z[i], to_xy[i], to_xz[i], to_yz[i]]
            .map(|flow| u8::from(flow & 7 == OUTSIDE));
        let edge = |to: u8, axis: u8, absent_there: u8| {
            (u8::from(here[i] & 7 == axis + 3) | u8::from(to & 7 == axis) | absent[0] | absent_there) << axis
        };
        let square = |back: u8, axis: u8, absent_there: u8| {
            (u8::from(back >> 3 == axis) | absent[0] | absent_there) << (axis + 3)
        };
        out[i] = edge(to_x[i], 0, absent[1])
            | edge(to_y[i], 1, absent[2])
            | edge(to_z[i], 2, absent[3])
            | square(back_x[i], 0, absent[2] | absent[3] | absent[6])
            | square(back_y[i], 1, absent[1] | absent[3] | absent[5])
            | square(back_z[i], 2, absent[1] | absent[2] | absent[4])
            | (u8::from(here[i] >> 3 == 3) << 5);
    }
}

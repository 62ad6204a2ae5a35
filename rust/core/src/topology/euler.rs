//! Euler characteristics by counting cells: chi = the sum over all cells of (-1)^dimension.
//!
//! Cells are counted row by row. With `a` a row along the last axis (one bit a voxel) and `a'` the row moved by one:
//!
//! ```text
//! V (face)   a cell is there if all its voxels are:  |a| - |a & a'|     vertices less edges along the row
//! T (full)   a cell is there if a voxel at it is:    |a | a'| - |a|     on one place more than there are voxels
//! ```
//!
//! Cells that extend along the other two axes are those of rows combined by the same & or |, with the signs of
//! inclusion and exclusion. For the curve of a grey image, `max` and `min` of thresholds' numbers take the place of & and
//! |, and a histogram that of the count: one pass for all thresholds.

use super::grid::Grid;
use super::image::Value;
use super::stack::Stack;
use crate::error::Result;
use crate::job::Job;

/// A mask as bits, its rows along the last axis padded to whole words with at least one free bit.
pub struct Bits {
    /// Planes, rows of a plane, voxels of a row.
    pub shape: [usize; 3],
    words: usize,
    rows: Vec<u64>,
}

impl Bits {
    /// Packs a mask of zeros and ones.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn new(mask: &[u8], shape: &[usize], job: &Job) -> Result<Self> {
        let shape = planes(shape);
        let words = shape[2] / 64 + 1;
        let mut bits = vec![0; words * shape[0] * shape[1]];
        for (row, out) in mask.chunks_exact(shape[2]).zip(bits.chunks_exact_mut(words)) {
            job.check()?;
            for (part, word) in row.chunks(64).zip(out) {
                for (i, eight) in part.chunks(8).enumerate() {
                    let mut bytes = [0; 8];
                    bytes[..eight.len()].copy_from_slice(eight);
                    // Byte i, 0 or 1, goes to bit 56 + i.
                    let packed = u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                    *word |= packed << (8 * i);
                }
            }
        }
        Ok(Self { shape, words, rows: bits })
    }

    /// The background.
    #[must_use]
    pub fn complement(&self) -> Self {
        let last = (1 << (self.shape[2] % 64)) - 1;
        let flip = |(i, word): (usize, &u64)| if (i + 1).is_multiple_of(self.words) { !word & last } else { !word };
        Self { shape: self.shape, words: self.words, rows: self.rows.iter().enumerate().map(flip).collect() }
    }

    /// A row; none outside.
    #[must_use]
    pub fn row(&self, plane: usize, row: usize) -> Option<&[u64]> {
        let inside = plane < self.shape[0] && row < self.shape[1];
        inside.then(|| &self.rows[(plane * self.shape[1] + row) * self.words..][..self.words])
    }

    /// The Euler characteristic.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn euler(&self, full: bool, job: &Job) -> Result<i64> {
        let (zeros, more) = (vec![0; self.words], usize::from(full));
        let mut total = 0;
        for plane in 0..self.shape[0] + more {
            for row in 0..self.shape[1] + more {
                job.check()?;
                let at = |back: [usize; 2]| {
                    self.row(plane.wrapping_sub(back[0]), row.wrapping_sub(back[1])).unwrap_or(&zeros)
                };
                let rows = [at([0, 0]), at([0, 1]), at([1, 0]), at([1, 1])];
                total += if full { joined(rows) } else { met(rows) };
            }
        }
        Ok(total)
    }
}

/// The signed number of V-cells whose last row is the first of four.
fn met([a, b, c, d]: [&[u64]; 4]) -> i64 {
    let (mut carry, mut total) = ([0; 4], 0);
    for (((&a, &b), &c), &d) in a.iter().zip(b).zip(c).zip(d) {
        for (i, word) in [a, a & b & c & d, a & b, a & c].into_iter().enumerate() {
            let moved = word << 1 | carry[i];
            carry[i] = word >> 63;
            let count = i64::from(word.count_ones()) - i64::from((word & moved).count_ones());
            total += if i < 2 { count } else { -count };
        }
    }
    total
}

/// The signed number of T-cells whose last row of voxels is the first of four.
fn joined([a, b, c, d]: [&[u64]; 4]) -> i64 {
    let (mut carry, mut total) = ([0; 4], 0);
    for (((&a, &b), &c), &d) in a.iter().zip(b).zip(c).zip(d) {
        for (i, word) in [a, a | b | c | d, a | b, a | c].into_iter().enumerate() {
            let moved = word << 1 | carry[i];
            carry[i] = word >> 63;
            let count = i64::from((word | moved).count_ones()) - i64::from(word.count_ones());
            total += if i < 2 { count } else { -count };
        }
    }
    total
}

/// Planes, rows and voxels of a row; axes of size 1 add nothing, so they come first.
fn planes(shape: &[usize]) -> [usize; 3] {
    let grid = Grid::new(shape);
    let mut found = [1; 3];
    found[3 - grid.d()..].copy_from_slice(&grid.shape()[..grid.d()]);
    found
}

/// The Euler characteristic of every mask of a stack of zeros and ones.
///
/// # Errors
/// [`crate::Error::Invalid`] for an image that is too large; [`crate::Error::Interrupted`].
pub fn euler_characteristics(mask: Stack<'_, u8>, full: bool, job: &Job) -> Result<Vec<i64>> {
    mask.each(job, |range, shape| Bits::new(&mask.voxels[range], shape, job)?.euler(full, job))
}

/// The Euler characteristics of the sublevel sets of every image of a stack, at rising thresholds.
///
/// # Errors
/// [`crate::Error::Invalid`] for a NaN or an image that is too large; [`crate::Error::Interrupted`].
pub fn euler_curves<T: Value>(x: Stack<'_, T>, thresholds: &[f64], full: bool, job: &Job) -> Result<Vec<i64>> {
    let found = x.each(job, |range, shape| {
        let (image, mut bins) = (x.image(range, job)?, Vec::new());
        bins.reserve_exact(image.len());
        job.sweep(image.len(), |piece| {
            bins.extend(image[piece].iter().map(|&x| first_at_least(thresholds, x.into())));
        })?;
        let mut counts = vec![0; thresholds.len() + 1];
        count_cells(&bins, planes(shape), full, &mut counts, job)?;
        let mut total = 0;
        counts.pop(); // cells beyond the last threshold
        counts.iter_mut().for_each(|count| {
            total += *count;
            *count = total;
        });
        Ok(counts)
    })?;
    Ok(found.concat())
}

/// The number of the first threshold that is not below `x`.
fn first_at_least(thresholds: &[f64], x: f64) -> u32 {
    thresholds.partition_point(|&threshold| threshold < x) as u32
}

/// Adds the signs of all cells to `counts` at the number of the threshold where each of them comes.
fn count_cells(bins: &[u32], [planes, rows, n]: [usize; 3], full: bool, counts: &mut [i64], job: &Job) -> Result<()> {
    let (more, never) = (usize::from(full), counts.len() as u32 - 1);
    let mut row_of = vec![never; n];
    for plane in 0..planes + more {
        for row in 0..rows + more {
            job.check()?;
            // Along neither, both, or one of the first two axes. In T a cell that extends along an axis has one voxel
            // there and the others have two, which is the same four with the same signs.
            for (sign, back) in [(1, [0, 0]), (1, [1, 1]), (-1, [0, 1]), (-1, [1, 0])] {
                if combine(bins, [planes, rows, n], [plane, row], back, full, &mut row_of) {
                    count_row(&row_of, sign, full, counts);
                }
            }
        }
    }
    Ok(())
}

/// The latest (V) or earliest (T) of some rows, voxel by voxel; whether there is any cell.
fn combine(bins: &[u32], shape: [usize; 3], at: [usize; 2], back: [usize; 2], full: bool, out: &mut [u32]) -> bool {
    let mut any = false;
    for step in 0..4 {
        let (planes, rows) = (step / 2, step % 2);
        if planes > back[0] || rows > back[1] {
            continue;
        }
        let (plane, row) = (at[0].wrapping_sub(planes), at[1].wrapping_sub(rows));
        if plane >= shape[0] || row >= shape[1] {
            if full {
                continue;
            }
            return false;
        }
        let voxels = &bins[(plane * shape[1] + row) * shape[2]..][..shape[2]];
        match (any, full) {
            (false, _) => out.copy_from_slice(voxels),
            (true, false) => out.iter_mut().zip(voxels).for_each(|(a, &b)| *a = b.max(*a)),
            (true, true) => out.iter_mut().zip(voxels).for_each(|(a, &b)| *a = b.min(*a)),
        }
        any = true;
    }
    any
}

/// Adds the signs of the cells of one combined row.
fn count_row(row: &[u32], sign: i64, full: bool, counts: &mut [i64]) {
    let alone = if full { -sign } else { sign };
    row.iter().for_each(|&bin| counts[bin as usize] += alone);
    if full {
        counts[row[0] as usize] += sign;
        counts[row[row.len() - 1] as usize] += sign;
        row.windows(2).for_each(|pair| counts[pair[0].min(pair[1]) as usize] += sign);
    } else {
        row.windows(2).for_each(|pair| counts[pair[0].max(pair[1]) as usize] -= sign);
    }
}

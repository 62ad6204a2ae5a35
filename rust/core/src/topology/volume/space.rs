//! A volume with a layer of absent voxels around it, so that no neighbour needs a bounds check.
//!
//! Absent voxels have the key [`ABSENT`]; a cell with one of them among its vertices has that value and does not exist.
//! One absent voxel at the end of a row also stands before the next row, so a layer costs one voxel per axis, not two.
//! Cells keep their names, 4 p + kind, with p counted with the absent voxels: that changes no order.

use super::super::Bar;
use super::super::grid::{Cell, Grid};
use crate::error::{Result, invalid};

/// The key of a voxel that does not exist, and the value of cells there.
pub const ABSENT: u32 = u32::MAX;

/// Sizes and strides of a volume with its layer.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    shape: [usize; 3],
    /// How far apart neighbours along each axis are; the last is 1.
    pub strides: [usize; 3],
    /// The first voxel.
    pub first: usize,
    /// One more than the last voxel.
    pub end: usize,
    /// Voxels with the absent ones.
    pub len: usize,
}

impl Space {
    /// The space of a grid of three axes.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if its cells have no numbers.
    pub fn new(grid: &Grid) -> Result<Self> {
        let shape = grid.shape();
        let strides = [(shape[1] + 1) * (shape[2] + 1), shape[2] + 1, 1];
        let margin = strides[0] + strides[1] + 1;
        let end = margin + (0..3).map(|axis| (shape[axis] - 1) * strides[axis]).sum::<usize>() + 1;
        let len = end + margin;
        if len >= super::super::grid::LARGEST {
            return Err(invalid!("images must be of less than 2^30 voxels with a layer around them, got {shape:?}"));
        }
        Ok(Self { shape, strides, first: margin, end, len })
    }

    /// Puts the layer around the keys of an image.
    #[must_use]
    pub fn pad(&self, keys: &[u32]) -> Vec<u32> {
        let mut found = vec![ABSENT; self.len];
        for (row, from) in keys.chunks_exact(self.shape[2]).enumerate() {
            let at = self.row(row);
            found[at..at + self.shape[2]].copy_from_slice(from);
        }
        found
    }

    /// Where a row of the image begins.
    const fn row(&self, row: usize) -> usize {
        self.first + row / self.shape[1] * self.strides[0] + row % self.shape[1] * self.strides[1]
    }

    /// The same cell on the grid without the layer.
    const fn unpadded(&self, cell: Cell) -> Cell {
        let (at, kind) = (cell as usize / 4 - self.first, cell % 4);
        let (plane, rest) = (at / self.strides[0], at % self.strides[0]);
        let (row, column) = (rest / self.strides[1], rest % self.strides[1]);
        (((plane * self.shape[1] + row) * self.shape[2] + column) * 4) as Cell + kind
    }

    /// The same bar on the grid without the layer.
    #[must_use]
    pub const fn bar(&self, bar: Bar) -> Bar {
        Bar { birth: self.unpadded(bar.birth), death: self.unpadded(bar.death) }
    }

    /// Value of an edge.
    #[inline]
    #[must_use]
    pub fn edge(&self, keys: &[u32], edge: Cell) -> u32 {
        let (p, axis) = (edge as usize / 4, edge as usize % 4);
        keys[p].max(keys[p + self.strides[axis]])
    }

    /// Value of a square.
    #[inline]
    #[must_use]
    pub fn square(&self, keys: &[u32], square: Cell) -> u32 {
        let p = square as usize / 4;
        let [b, c] = self.spanned(square as usize % 4);
        keys[p].max(keys[p + b]).max(keys[p + c]).max(keys[p + b + c])
    }

    /// Value of a cube, by its lowest voxel.
    #[inline]
    #[must_use]
    pub fn cube(&self, keys: &[u32], p: usize) -> u32 {
        let square = 4 * p as Cell;
        self.square(keys, square).max(self.square(keys, square + 4 * self.strides[0] as Cell))
    }

    /// Values of all cubes, by their lowest voxels.
    #[must_use]
    pub fn cubes(&self, keys: &[u32]) -> Vec<u32> {
        let mut found = keys.to_vec();
        for stride in self.strides {
            let (found, there) = (&mut found[..], stride);
            for p in 0..found.len() - there {
                found[p] = found[p].max(found[p + there]);
            }
        }
        found
    }

    /// Strides along the two axes of a square of this kind, the larger first.
    #[inline]
    #[must_use]
    pub const fn spanned(&self, kind: usize) -> [usize; 2] {
        match kind {
            0 => [self.strides[1], 1],
            1 => [self.strides[0], 1],
            _ => [self.strides[0], self.strides[1]],
        }
    }

    /// The four edges of a square, the largest number first.
    #[inline]
    #[must_use]
    pub const fn faces(&self, square: Cell) -> [Cell; 4] {
        let (p, kind) = (square & !3, square as usize % 4);
        let [b, c] = self.spanned(kind);
        let (low, high) = AXES[kind];
        [p + 4 * b as Cell + high, p + 4 * c as Cell + low, p + high, p + low]
    }
}

/// The two axes of a square by its normal axis.
const AXES: [(Cell, Cell); 3] = [(1, 2), (0, 2), (0, 1)];

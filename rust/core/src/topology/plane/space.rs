//! Where things are: the padded image, and the buffers that a thread keeps from one image to the next.

use super::super::grid::{Cell, Grid};
use crate::error::Result;
use crate::job::Job;
use std::cell::RefCell;

/// An image in a ring of the largest key, which no voxel has: nothing needs to ask where the image ends, and all squares
/// outside have one value. Numbers of cells keep their order. An image of one dimension is a single row.
#[derive(Debug, Clone, Copy)]
pub struct Plane {
    /// Rows of the image.
    pub height: usize,
    /// Columns of the image.
    pub width: usize,
    /// Length of a padded row.
    pub stride: usize,
    flat: bool,
}

/// Vertices, or squares: what components are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Vertices join at ascending edges, the smaller one is the elder: degree 0.
    Vertex = 0,
    /// Squares join at descending edges, the larger one is the elder: degree 1.
    Square = 1,
}

impl Plane {
    /// The plane of a grid of one or two axes.
    pub fn new(grid: &Grid) -> Self {
        let shape = grid.shape();
        let (height, width) = if grid.d() == 1 { (1, shape[0]) } else { (shape[0], shape[1]) };
        Self { height, width, stride: width + 2, flat: grid.d() == 1 }
    }

    /// Voxels and ring.
    pub const fn len(&self) -> usize {
        (self.height + 2) * self.stride
    }

    /// Puts the ring around the keys of an image.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn pad(&self, keys: &[u32], padded: &mut Vec<u32>, job: &Job) -> Result<()> {
        padded.clear();
        padded.resize(self.stride, u32::MAX);
        padded.reserve_exact(self.len() - self.stride);
        for row in keys.chunks_exact(self.width) {
            job.check()?;
            padded.push(u32::MAX);
            padded.extend_from_slice(row);
            padded.push(u32::MAX);
        }
        padded.resize(self.len(), u32::MAX);
        Ok(())
    }

    /// The cell of the image that a vertex or square is.
    #[inline]
    pub fn cell(&self, padded: u32) -> Cell {
        let (row, column) = (padded as usize / self.stride, padded as usize % self.stride);
        4 * ((row - 1) * self.width + column - 1) as Cell
    }

    /// The cell of the image that an edge is.
    #[inline]
    pub fn edge(&self, edge: u32) -> Cell {
        self.cell(edge >> 1) + if self.flat { 0 } else { edge & 1 }
    }
}

/// The value of a square of a padded image.
#[inline]
pub fn square(keys: &[u32], stride: usize, p: u32) -> u32 {
    let p = p as usize;
    keys[p].max(keys[p + 1]).max(keys[p + stride]).max(keys[p + stride + 1])
}

/// Basins of vertices or of squares.
#[derive(Debug, Default)]
pub struct Basins {
    /// What each cell takes.
    pub codes: Vec<u8>,
    /// For each cell one on the way to its root; a root has its basin's number and [`super::critical::FOUND`].
    pub parents: Vec<u32>,
    /// The roots, ascending. Basin 0 of squares is all that is outside.
    pub cells: Vec<u32>,
    /// Their keys.
    pub keys: Vec<u32>,
    /// The basins at both sides of each critical edge.
    pub ends: Vec<[u32; 2]>,
}

/// The buffers that one filtration needs.
#[derive(Debug, Default)]
pub struct Space {
    /// Of vertices and of squares.
    pub basins: [Basins; 2],
    /// Critical edges, ascending: twice the padded number of their first vertex, plus 1 for horizontal ones.
    pub edges: Vec<u32>,
    /// Keys and numbers of critical edges, in the order of the filtration.
    pub order: Vec<u64>,
    /// For the sort.
    pub spare: Vec<u64>,
    /// What is critical in a row.
    pub found: Vec<u8>,
    /// Parents of basins.
    pub forest: Vec<u32>,
    /// Elders of components in other orders: key and cell.
    pub labels: [Vec<u64>; 2],
    /// By kind: the critical edge where the class of a basin begins or ends, or [`super::merge::NEVER`].
    pub partners: [Vec<u32>; 2],
    /// Image pairs: of cells.
    pub image: Vec<[u32; 2]>,
}

/// The buffers that one image, or two, need.
#[derive(Debug, Default)]
pub struct Images {
    /// Padded keys of the images and their comparison.
    pub keys: [Vec<u32>; 3],
    /// Where in a list the bar of a cell is.
    pub places: Vec<u32>,
}

thread_local! {
    static SPACES: RefCell<Vec<Space>> = const { RefCell::new(Vec::new()) };
    static IMAGES: RefCell<Vec<Images>> = const { RefCell::new(Vec::new()) };
}

/// Voxels of the largest image whose buffers are kept: some hundred megabytes.
const KEPT: usize = 1 << 22;

impl Space {
    fn room(&self) -> usize {
        self.basins[0].parents.capacity()
    }
}

impl Images {
    fn room(&self) -> usize {
        self.keys[0].capacity()
    }
}

/// Lends a value of this thread's store: fresh memory costs a third of the work on an image.
macro_rules! lend {
    ($(#[$meta:meta])* $vis:vis fn $name:ident: $kind:ty = $store:ident) => {
        $(#[$meta])*
        $vis fn $name<R>(work: impl FnOnce(&mut $kind) -> R) -> R {
            let mut lent = $store.with_borrow_mut(Vec::pop).unwrap_or_default();
            let found = work(&mut lent);
            if lent.room() <= KEPT {
                $store.with_borrow_mut(|store| store.push(lent));
            }
            found
        }
    };
}
lend! {
    /// Calls `work` with the buffers of one filtration.
    pub fn with_space: Space = SPACES
}
lend! {
    /// Calls `work` with the buffers of one image, or two.
    pub fn with_images: Images = IMAGES
}

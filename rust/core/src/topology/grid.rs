//! The cubical complex of an image: its cells, named by numbers.
//!
//! Voxels are vertices (the V-construction). A cell is its lowest voxel p and a kind: its number is 4 p + kind, so that
//! numbers of one dimension ascend as (p, kind) does, which is the order that breaks ties between cells of one value.
//!
//! ```text
//! dimension   0     1              2                                3
//! kind        0     its axis       its normal axis; 0 in a plane    0
//! ```

/// The grid that an image lies on, without its axes of size 1, in row-major order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    shape: [usize; 3],
    strides: [usize; 3],
    d: usize,
}

/// A cell of one dimension: 4 times its lowest voxel, plus its kind.
pub type Cell = u32;

/// Voxels of the largest grid whose cells have numbers.
pub const LARGEST: usize = 1 << 30;

impl Grid {
    /// The grid of `shape`; axes of size 1 are left out, at most three remain.
    #[must_use]
    pub fn new(shape: &[usize]) -> Self {
        let (mut kept, mut d) = ([1; 3], 0);
        for &size in shape.iter().filter(|&&size| size != 1) {
            kept[d] = size;
            d += 1;
        }
        Self { shape: kept, strides: [kept[1] * kept[2], kept[2], 1], d }
    }

    /// The number of axes longer than 1.
    #[must_use]
    pub const fn d(&self) -> usize {
        self.d
    }

    /// Sizes of the axes; 1 from [`Grid::d`] on.
    #[must_use]
    pub const fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How far apart neighbours along each axis are.
    #[must_use]
    pub const fn strides(&self) -> [usize; 3] {
        self.strides
    }

    /// The number of voxels.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// Whether there is no voxel.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Coordinates of a voxel.
    #[must_use]
    pub const fn coordinates(&self, voxel: usize) -> [usize; 3] {
        [voxel / self.strides[0], voxel / self.strides[1] % self.shape[1], voxel % self.shape[2]]
    }

    /// This grid with one more voxel at both ends of every axis.
    #[must_use]
    pub fn ringed(&self) -> Self {
        let mut shape = self.shape;
        shape[..self.d].iter_mut().for_each(|size| *size += 2);
        Self { shape, strides: [shape[1] * shape[2], shape[2], 1], d: self.d }
    }

    /// How many kinds of cells of a dimension there are.
    #[must_use]
    pub const fn kinds(&self, dimension: usize) -> usize {
        match (self.d, dimension) {
            (d, 1) => d,
            (3, 2) => 3,
            _ => 1,
        }
    }

    /// The axes that a cell extends along, as bits.
    #[must_use]
    pub const fn axes(&self, dimension: usize, kind: usize) -> u8 {
        match (self.d, dimension) {
            (_, 0) => 0,
            (_, 1) => 1 << kind,
            (3, 2) => 0b111 ^ (1 << kind),
            (_, 2) => 0b11,
            _ => 0b111,
        }
    }

    /// The kind of the cells along these axes.
    const fn kind(&self, axes: u8) -> u32 {
        match (self.d, axes.count_ones()) {
            (_, 1) => axes.trailing_zeros(),
            (3, 2) => (0b111 ^ axes).trailing_zeros(),
            _ => 0,
        }
    }

    /// Whether the cell at `voxel` along `axes` lies in the grid.
    #[must_use]
    pub fn contains(&self, voxel: usize, axes: u8) -> bool {
        let at = self.coordinates(voxel);
        (0..3).all(|axis| axes >> axis & 1 == 0 || at[axis] + 1 < self.shape[axis])
    }

    /// Offsets of the vertices of a cell along `axes` from its lowest one, ascending, and how many there are.
    #[must_use]
    pub const fn corners(&self, axes: u8) -> ([usize; 8], usize) {
        let (mut found, mut count, mut axis) = ([0; 8], 1, 3);
        while axis > 0 {
            axis -= 1;
            if axes >> axis & 1 == 1 {
                let mut i = 0;
                while i < count {
                    found[count + i] = found[i] + self.strides[axis];
                    i += 1;
                }
                count *= 2;
            }
        }
        (found, count)
    }

    /// The voxel that gives a cell its value: of those with the largest key the last one, for cubes the first.
    #[must_use]
    #[inline]
    pub fn voxel(&self, keys: &[u32], dimension: usize, cell: Cell) -> usize {
        let (voxel, kind) = (cell as usize / 4, cell as usize % 4);
        if dimension == 0 {
            return voxel;
        }
        if dimension == 1 {
            let other = voxel + self.strides[kind];
            return if keys[other] >= keys[voxel] { other } else { voxel };
        }
        if self.d == 2 {
            let step = self.strides[0];
            let later = |a: usize, b: usize| if keys[b] >= keys[a] { b } else { a };
            return later(later(voxel, voxel + 1), later(voxel + step, voxel + step + 1));
        }
        let (corners, count) = self.corners(self.axes(dimension, kind));
        let mut best = voxel;
        for &corner in &corners[1..count] {
            let (new, old) = (keys[voxel + corner], keys[best]);
            if new > old || (new == old && dimension < 3) {
                best = voxel + corner;
            }
        }
        best
    }

    /// The value of a cell: its largest key.
    #[must_use]
    pub fn value(&self, keys: &[u32], dimension: usize, cell: Cell) -> u32 {
        keys[self.voxel(keys, dimension, cell)]
    }

    /// The boundary of a cell: two faces per axis.
    pub fn faces(&self, dimension: usize, cell: Cell) -> impl Iterator<Item = Cell> + '_ {
        let (voxel, axes) = (cell / 4, self.axes(dimension, cell as usize % 4));
        (0..3).filter(move |axis| axes >> axis & 1 == 1).flat_map(move |axis| {
            let kind = self.kind(axes ^ (1 << axis));
            [0, self.strides[axis] as u32].map(|step| 4 * (voxel + step) + kind)
        })
    }

    /// All cells of a dimension, ascending.
    pub fn cells(&self, dimension: usize) -> impl Iterator<Item = Cell> + '_ {
        (0..self.len()).flat_map(move |voxel| {
            (0..self.kinds(dimension))
                .filter(move |&kind| self.contains(voxel, self.axes(dimension, kind)))
                .map(move |kind| (4 * voxel + kind) as Cell)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_and_faces_are_cells() {
        for shape in [&[5][..], &[1, 5, 1], &[3, 4], &[2, 3, 4], &[1, 1]] {
            let grid = Grid::new(shape);
            let counts: Vec<_> = (0..=grid.d()).map(|dimension| grid.cells(dimension).count()).collect();
            let euler: i64 = counts.iter().zip([1, -1, 1, -1]).map(|(&count, sign)| sign * count as i64).sum();
            assert_eq!((counts[0], euler), (shape.iter().product(), 1), "{shape:?}");
            for dimension in 1..=grid.d() {
                let below: Vec<_> = grid.cells(dimension - 1).collect();
                assert!(below.is_sorted());
                for cell in grid.cells(dimension) {
                    let faces: Vec<_> = grid.faces(dimension, cell).collect();
                    assert_eq!(faces.len(), 2 * dimension);
                    assert!(faces.iter().all(|face| below.binary_search(face).is_ok()));
                }
            }
        }
    }

    #[test]
    fn the_last_of_equal_voxels_gives_a_cell_its_value_and_a_cube_takes_the_first() {
        let grid = Grid::new(&[2, 2, 2]);
        let keys = [0, 7, 7, 0, 0, 7, 0, 0];
        assert_eq!(grid.voxel(&keys, 2, 0), 2); // normal axis 0: voxels 0 1 2 3
        assert_eq!(grid.voxel(&keys, 3, 0), 1);
        assert_eq!(grid.voxel(&keys, 1, 2), 1); // along the last axis: voxels 0 1
        assert_eq!(grid.value(&keys, 2, 2), 7); // normal axis 2: voxels 0 2 4 6
    }
}

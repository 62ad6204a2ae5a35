//! Betti numbers of masks: connected components by union-find over runs, the rest by the Euler characteristic.
//!
//! ```text
//! beta_0  components of the foreground
//! beta_2  in three dimensions: components of the background, which is connected the other way, less the outside
//!         (Alexander duality)
//! beta_1  beta_0 + beta_2 - chi
//!
//! for each row of voxels, in order:
//!     for each run of it, and each run of the rows before it that touches it: unite the two
//! components = runs - unions that united two
//! ```

use super::euler::Bits;
use super::grid::Grid;
use super::stack::Stack;
use crate::error::Result;
use crate::job::Job;

/// The Betti numbers of every mask of a stack of zeros and ones: as many a mask as it has axes.
///
/// # Errors
/// [`crate::Error::Invalid`] for an image that is too large; [`crate::Error::Interrupted`].
pub fn betti_numbers(mask: Stack<'_, u8>, full: bool, job: &Job) -> Result<Vec<i64>> {
    let found = mask.each(job, |range, shape| {
        let (bits, d) = (Bits::new(&mask.voxels[range], shape, job)?, Grid::new(shape).d());
        let first = components(&bits, full, false, job)?;
        let third = if d == 3 { components(&bits.complement(), !full, true, job)? - 1 } else { 0 };
        let second = first + third - bits.euler(full, job)?;
        Ok([first, second, third][..shape.len()].to_vec())
    })?;
    Ok(found.concat())
}

/// Runs of ones of all rows, as half-open intervals.
#[derive(Default)]
struct Runs {
    runs: Vec<[u32; 2]>,
    /// Where each row begins in `runs`.
    rows: Vec<usize>,
}

impl Runs {
    fn new(bits: &Bits, job: &Job) -> Result<Self> {
        let mut found = Self { runs: Vec::new(), rows: vec![0] };
        for row in (0..bits.shape[0]).flat_map(|plane| (0..bits.shape[1]).filter_map(move |row| bits.row(plane, row))) {
            job.check()?;
            found.append(row);
            found.rows.push(found.runs.len());
        }
        Ok(found)
    }

    /// Every change from one voxel to the next begins or ends a run; a free bit at the end closes the last one.
    fn append(&mut self, row: &[u64]) {
        let (mut carry, mut open) = (0, None);
        for (i, &word) in row.iter().enumerate() {
            let mut changes = word ^ (word << 1 | carry);
            carry = word >> 63;
            while changes != 0 {
                let at = (64 * i) as u32 + changes.trailing_zeros();
                changes &= changes - 1;
                match open.take() {
                    None => open = Some(at),
                    Some(start) => self.runs.push([start, at]),
                }
            }
        }
    }
}

/// The number of components of the ones; with `outside`, everything around the image counts as one more voxel.
fn components(bits: &Bits, full: bool, outside: bool, job: &Job) -> Result<i64> {
    let runs = Runs::new(bits, job)?;
    let [planes, rows, n] = bits.shape;
    let mut forest = Forest::new(runs.runs.len() + usize::from(outside));
    for plane in 0..planes {
        for row in 0..rows {
            job.check()?;
            let here = plane * rows + row;
            if row > 0 {
                forest.touch(&runs, here - 1, here, full);
            }
            if plane > 0 {
                forest.touch(&runs, here - rows, here, full);
                if full && row > 0 {
                    forest.touch(&runs, here - rows - 1, here, full);
                }
                if full && row + 1 < rows {
                    forest.touch(&runs, here - rows + 1, here, full);
                }
            }
            if outside {
                let border = plane == 0 || plane + 1 == planes || row == 0 || row + 1 == rows;
                for run in runs.rows[here]..runs.rows[here + 1] {
                    if border || runs.runs[run][0] == 0 || runs.runs[run][1] as usize == n {
                        forest.unite(run, runs.runs.len());
                    }
                }
            }
        }
    }
    Ok(forest.trees)
}

/// A union-find forest; the smaller number is the root.
struct Forest {
    parents: Vec<u32>,
    trees: i64,
}

impl Forest {
    fn new(nodes: usize) -> Self {
        Self { parents: (0..nodes as u32).collect(), trees: nodes as i64 }
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parents[node] as usize != node {
            let above = self.parents[self.parents[node] as usize];
            self.parents[node] = above;
            node = above as usize;
        }
        node
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parents[a.max(b)] = a.min(b) as u32;
            self.trees -= 1;
        }
    }

    /// Unites the runs of two rows that lie beside each other; diagonal neighbours count if `full`.
    fn touch(&mut self, runs: &Runs, first: usize, second: usize, full: bool) {
        let (reach, first_end, second_end) = (u32::from(full), runs.rows[first + 1], runs.rows[second + 1]);
        let (mut i, mut j) = (runs.rows[first], runs.rows[second]);
        while i < first_end && j < second_end {
            let (a, b) = (runs.runs[i], runs.runs[j]);
            if a[0] < b[1] + reach && b[0] < a[1] + reach {
                self.unite(i, j);
            }
            // The one that ends first touches nothing further on.
            if a[1] < b[1] { i += 1 } else { j += 1 }
        }
    }
}

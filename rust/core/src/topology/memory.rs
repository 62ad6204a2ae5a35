//! Whether the working memory will be there, asked before work starts.

use super::available::available;
use super::grid::Grid;
use crate::error::{Error, Result};

/// Less is not asked for.
const SMALL: usize = 1 << 26;

/// Bytes a voxel that an image (`pair`: two and what they are compared through) takes at most, by the number of axes.
struct Bytes {
    /// While it is worked on by one thread.
    alone: usize,
    /// While it is worked on by one of several, or by several.
    beside: usize,
    /// For its bars, when it is done.
    kept: usize,
}

/// Measured on independent random numbers in double precision, the worst images that were found, and rounded up. With
/// a target of two levels, volumes take half of it.
const fn bytes(d: usize, pair: bool) -> Bytes {
    match (d, pair) {
        (3, true) => Bytes { alone: 110, beside: 205, kept: 45 },
        (3, false) => Bytes { alone: 60, beside: 60, kept: 18 },
        (2, true) => Bytes { alone: 175, beside: 220, kept: 50 },
        (2, false) => Bytes { alone: 55, beside: 75, kept: 18 },
        (_, true) => Bytes { alone: 185, beside: 255, kept: 57 },
        (_, false) => Bytes { alone: 70, beside: 105, kept: 25 },
    }
}

/// Refuses arrays, given by their shapes and by how many leading axes count images, if the images that are worked on side
/// by side and the bars of the others do not fit in the memory that this process may still take.
///
/// # Errors
/// [`Error::LittleMemory`] with the bytes that are needed.
pub fn check<'a>(arrays: impl Iterator<Item = (&'a [usize], usize)>, pair: bool) -> Result<()> {
    let threads = if rayon::current_thread_index().is_none() { 1 } else { rayon::current_num_threads() };
    let bytes = needed(arrays, pair, threads);
    match if bytes > SMALL { available() } else { None } {
        Some(available) if bytes > available => Err(Error::LittleMemory { bytes, available }),
        _ => Ok(()),
    }
}

/// The bytes that `threads` threads need: for the bars of all images, and for work on so many of the largest.
fn needed<'a>(arrays: impl Iterator<Item = (&'a [usize], usize)>, pair: bool, threads: usize) -> usize {
    let product = |sizes: &[usize]| sizes.iter().fold(1, |all: usize, &size| all.saturating_mul(size));
    let (mut total, mut sizes) = (0_usize, Vec::new());
    for (shape, lead) in arrays {
        let (images, shape) = shape.split_at(lead);
        let (images, voxels, bytes) = (product(images), product(shape), bytes(Grid::new(shape).d(), pair));
        let working = if threads > 1 { bytes.beside } else { bytes.alone };
        total = total.saturating_add(voxels.saturating_mul(bytes.kept).saturating_mul(images));
        sizes.push((voxels.saturating_mul(working - bytes.kept), images));
    }
    sizes.sort_unstable();
    let mut free = threads;
    for (work, images) in sizes.into_iter().rev() {
        total = total.saturating_add(work.saturating_mul(images.min(free)));
        free -= images.min(free);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_images_are_worked_on_side_by_side() {
        let list = || [(&[5, 7, 9][..], 1), (&[2, 8, 8, 8], 1), (&[3, 4], 0)].into_iter();
        // Volumes of 512 voxels, planes of 63 and 12.
        let kept = 2 * 512 * 18 + (5 * 63 + 12) * 18;
        assert_eq!(needed(list(), false, 1), kept + 512 * (60 - 18));
        assert_eq!(needed(list(), false, 3), kept + 2 * 512 * (60 - 18) + 63 * (75 - 18));
        assert_eq!(needed(list(), false, 99), kept + 2 * 512 * (60 - 18) + (5 * 63 + 12) * (75 - 18));
    }

    #[test]
    fn small_images_are_never_refused_and_impossible_ones_are() {
        let one = |shape: &[usize], lead| check([(shape, lead)].into_iter(), true);
        assert_eq!(one(&[64, 8, 8, 16], 1), Ok(()));
        if cfg!(target_os = "linux") {
            let refused = one(&[1 << 16; 3], 0);
            assert!(matches!(refused, Err(Error::LittleMemory { bytes, .. }) if bytes == 110 << 48));
        }
    }

    #[test]
    fn images_side_by_side_and_the_bars_of_the_others_are_counted() {
        let needed = |shape: &[usize], lead, pair, threads| needed([(shape, lead)].into_iter(), pair, threads);
        assert_eq!(needed(&[100, 100], 0, false, 1), 55 * 10_000);
        assert_eq!(needed(&[8, 100, 100], 1, false, 1), (55 + 7 * 18) * 10_000);
        assert_eq!(needed(&[8, 10, 10, 10], 1, true, 4), (4 * 205 + 4 * 45) * 1000);
        assert_eq!(needed(&[2, 10, 10, 10], 1, true, 4), 2 * 205 * 1000);
        assert_eq!(needed(&[0, 10, 10, 10], 1, true, 4), 0);
    }
}

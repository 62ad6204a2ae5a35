//! Whether the working memory will be there, asked before work starts.

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

/// Refuses a stack of images whose axes follow `lead` leading ones, if those that are worked on side by side and the bars
/// of the others do not fit in the memory that the machine has left.
///
/// # Errors
/// [`Error::NoMemory`] with the bytes that are needed.
pub fn check(shape: &[usize], lead: usize, pair: bool) -> Result<()> {
    let threads = if rayon::current_thread_index().is_none() { 1 } else { rayon::current_num_threads() };
    let bytes = needed(shape, lead, pair, threads);
    if bytes > SMALL && available().is_some_and(|available| bytes > available) {
        return Err(Error::NoMemory { bytes });
    }
    Ok(())
}

/// Bytes that `threads` threads need.
fn needed(shape: &[usize], lead: usize, pair: bool, threads: usize) -> usize {
    let (images, shape) = shape.split_at(lead);
    let product = |sizes: &[usize]| sizes.iter().fold(1, |all: usize, &size| all.saturating_mul(size));
    let (images, bytes) = (product(images), bytes(Grid::new(shape).d(), pair));
    let working = if threads > 1 { bytes.beside } else { bytes.alone };
    let at_once = images.min(threads);
    let each = at_once.saturating_mul(working).saturating_add((images - at_once).saturating_mul(bytes.kept));
    product(shape).saturating_mul(each)
}

/// Bytes that can be had without swapping; not known outside Linux.
fn available() -> Option<usize> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_system_is_read() {
        assert_eq!(parse("MemTotal:  9 kB\nMemAvailable:   2048 kB\nBuffers: 1 kB\n"), Some(2048 * 1024));
        assert_eq!(parse("MemTotal:  9 kB\n"), None);
        assert_eq!(parse("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn small_images_are_never_refused_and_impossible_ones_are() {
        assert_eq!(check(&[64, 8, 8, 16], 1, true), Ok(()));
        if cfg!(target_os = "linux") {
            assert_eq!(check(&[1 << 16; 3], 0, true), Err(Error::NoMemory { bytes: 110 << 48 }));
        }
    }

    #[test]
    fn images_side_by_side_and_the_bars_of_the_others_are_counted() {
        assert_eq!(needed(&[100, 100], 0, false, 1), 55 * 10_000);
        assert_eq!(needed(&[8, 100, 100], 1, false, 1), (55 + 7 * 18) * 10_000);
        assert_eq!(needed(&[8, 10, 10, 10], 1, true, 4), (4 * 205 + 4 * 45) * 1000);
        assert_eq!(needed(&[2, 10, 10, 10], 1, true, 4), 2 * 205 * 1000);
        assert_eq!(needed(&[0, 10, 10, 10], 1, true, 4), 0);
    }
}

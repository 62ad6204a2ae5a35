//! Whether the working memory will be there, asked before work starts.

use super::grid::Grid;
use crate::error::{Error, Result};

/// Less is not asked for.
const SMALL: usize = 1 << 26;

/// Bytes a voxel that one image (`pair`: two and what they are compared through) takes at least while it is worked on,
/// by the number of axes; measured. Images whose values have little to do with each other take up to three times that.
const fn bytes_a_voxel(d: usize, pair: bool) -> usize {
    match (d, pair) {
        (3, true) => 46,
        (3, false) => 20,
        (_, true) => 36,
        (_, false) => 16,
    }
}

/// Refuses a stack of images whose axes follow `lead` leading ones, if those that are worked on side by side do not fit in
/// the memory that the machine has left.
///
/// # Errors
/// [`Error::NoMemory`] with the bytes that are needed.
pub fn check(shape: &[usize], lead: usize, pair: bool) -> Result<()> {
    let (images, shape) = shape.split_at(lead);
    let product = |sizes: &[usize]| sizes.iter().fold(1, |all: usize, &size| all.saturating_mul(size));
    let threads = if rayon::current_thread_index().is_none() { 1 } else { rayon::current_num_threads() };
    let one = product(shape).saturating_mul(bytes_a_voxel(Grid::new(shape).d(), pair));
    let bytes = one.saturating_mul(product(images).min(threads));
    if bytes > SMALL && available().is_some_and(|available| bytes > available) {
        return Err(Error::NoMemory { bytes });
    }
    Ok(())
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
            assert_eq!(check(&[1 << 16; 3], 0, true), Err(Error::NoMemory { bytes: 46 << 48 }));
        }
    }
}

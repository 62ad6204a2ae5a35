//! One image, or two, in sublevel sets of the V-construction: which algorithm finds the pairs.

use super::grid::Grid;
use super::{Bar, How, Pairing, plane, volume};
use crate::error::Result;
use crate::job::Job;

/// The bars of an image in the degrees that are wanted, each degree in any order that the keys alone decide.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn bars(grid: &Grid, keys: &[u32], wanted: [bool; 3], job: &Job) -> Result<[Vec<Bar>; 3]> {
    match grid.d() {
        0 => Ok(Default::default()),
        1 | 2 => {
            let [first, second] = plane::bars(grid, keys, [wanted[0], wanted[1]], job)?;
            Ok([first, second, Vec::new()])
        }
        _ => volume::bars(grid, keys, wanted, job),
    }
}

/// The bars of two images and their matches in the degrees that are wanted.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn matching(grid: &Grid, f: &[u32], g: &[u32], how: How, wanted: [bool; 3], job: &Job) -> Result<[Pairing; 3]> {
    match grid.d() {
        0 => Ok(Default::default()),
        1 | 2 => {
            let [first, second] = plane::matching(grid, f, g, how, [wanted[0], wanted[1]], job)?;
            Ok([first, second, Pairing::default()])
        }
        _ => volume::matching(grid, f, g, how, wanted, job),
    }
}

//! Components of basins, joined at critical edges: the elder stays, the younger dies at the edge.

use super::space::{Basins, Kind};
use crate::error::Result;
use crate::job::Job;

/// A class without a partner, or one whose bar is empty.
pub const NEVER: u32 = u32::MAX;
/// Edges between two looks at the job.
const PIECE: usize = 1024;

/// Two components become one.
#[derive(Clone, Copy)]
pub struct Joint {
    /// The root that stays.
    pub elder: usize,
    /// The root that dies.
    pub younger: usize,
    /// The key of the edge.
    pub key: u32,
    /// Its place in the list of critical edges.
    pub edge: u32,
    /// Whether the younger's bar is not empty.
    pub real: bool,
}

/// Joins basins at `edges`, which are in the order of the kind, and calls `meet` at each joint; edges that join nothing
/// are left over, in the other kind's order.
pub fn join<const SQUARES: bool>(
    edges: &[u64],
    basins: &Basins,
    forest: &mut Vec<u32>,
    left: &mut Vec<u64>,
    job: &Job,
    mut meet: impl FnMut(Joint),
) -> Result<()> {
    forest.clear();
    job.sweep(basins.cells.len(), |piece| forest.extend(piece.map(|basin| basin as u32)))?;
    left.clear();
    let mut ends = [[0; 2]; PIECE];
    for piece in edges.chunks(PIECE) {
        job.check()?;
        for (to, &edge) in ends.iter_mut().zip(piece) {
            *to = basins.ends[edge as u32 as usize];
        }
        for (&edge, &[a, b]) in piece.iter().zip(&ends) {
            let (a, b) = (root(forest, a), root(forest, b));
            if a == b {
                left.push(edge);
                continue;
            }
            let [of_a, of_b] = [a, b].map(|basin| (basins.keys[basin as usize], basin));
            let (elder, younger) = if (of_a < of_b) ^ SQUARES { (of_a, of_b) } else { (of_b, of_a) };
            forest[younger.1 as usize] = elder.1;
            let key = (edge >> 32) as u32;
            meet(Joint {
                elder: elder.1 as usize,
                younger: younger.1 as usize,
                key,
                edge: edge as u32,
                real: younger.0 != key,
            });
        }
    }
    job.reverse(left)
}

#[inline]
fn root(forest: &mut [u32], mut at: u32) -> u32 {
    loop {
        let next = forest[at as usize];
        if next == at {
            return at;
        }
        let after = forest[next as usize];
        forest[at as usize] = after;
        at = after;
    }
}

/// The elder and the younger of two labels.
#[inline]
pub fn labels(kind: Kind, a: u64, b: u64) -> (u64, u64) {
    let (low, high) = (a.min(b), a.max(b));
    if kind == Kind::Vertex { (low, high) } else { (high, low) }
}

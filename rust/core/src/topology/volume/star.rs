//! Pairs of length zero around one voxel, found at once: the gradient of its star.
//!
//! The star of a voxel are the cells whose only largest voxel it is. Where none of them ties with another voxel, they have
//! a value of their own in their neighbourhood: what is around an edge of the star has that value or a larger one, and
//! so the pairs among the star's edges and squares are those of the small matrix between them. A square of the star
//! joins two of its edges, so that its matrix is a graph of six nodes and twelve arcs, and its pairs are Kruskal's:
//!
//! ```text
//! for each arc (a square of the star), ascending:
//!     if it joins two trees: it is paired with the later of their first nodes        (the elder rule)
//! the first node of all is the edge that the voxel is paired with; the first nodes of the other trees are critical
//! every other node names the arc towards the first node of its tree
//! ```
//!
//! A cycle may replace an edge by what the arc that it names leads to: an edge nearer to the first one of the tree and two
//! edges of smaller value. That uses no later square than it should: of a square of the same star, which closes a cycle
//! of arcs, both ends go to the same first node, and what the two ways share cancels.
//!
//! Six bits of nodes and twelve of arcs are the place in a table. With rows in the order of one image and columns in that
//! of another, a star counts where the images agree on the voxel and all around it.

use super::gradient::shifted;
use super::order::AROUND;
use super::space::ABSENT;
use crate::simd::dispatch;
use std::sync::OnceLock;

/// Two nodes of each arc, by the number of its square. Nodes 0-2 are the edges back along an axis, 3-5 forth.
const ARCS: [[usize; 2]; 12] =
    [[0, 1], [0, 2], [0, 5], [0, 4], [1, 2], [1, 5], [1, 3], [2, 4], [2, 3], [4, 5], [3, 5], [3, 4]];

/// For squares by their normal axis: which arc a square is to the voxels at p, at p and the first axis that it spans, at p
/// and the second, and opposite to p.
pub const CORNERS: [[u32; 4]; 3] = [[9, 5, 7, 4], [10, 2, 8, 1], [11, 3, 6, 0]];

/// Bits of a node: what its edge does, as a state of an edge. Nodes are at 0, 3 .. 15.
pub const NODE: u32 = 7;
/// A node that the star says nothing about.
pub const UNKNOWN: u32 = 7;
/// The first bit of the arcs, set where one is paired with an edge.
pub const ARC: u32 = 18;
/// A star that says nothing.
pub const SILENT: u32 = (1 << ARC) - 1;

const CRITICAL: u32 = 4;
const TAKEN: u32 = 5;
const TIED: u32 = 1 << 18;

/// What the star at each voxel says; `keys` are those of the whole space, `at` is the first voxel of `out`.
pub fn stars(strides: [usize; 3], keys: &[u32], at: usize, out: &mut [u32]) {
    static TABLE: OnceLock<Vec<u32>> = OnceLock::new();
    let table = TABLE.get_or_init(table);
    present(strides, keys, at, out);
    for star in out {
        *star = table.get(*star as usize).copied().unwrap_or(SILENT);
    }
}

/// Silences the stars where two images do not agree on the voxel and all around it.
pub fn silence(strides: [usize; 3], keys: [&[u32]; 2], stars: &mut [u32]) {
    let mut differs: Vec<_> = keys[0].iter().zip(keys[1]).map(|(a, b)| u8::from(a != b)).collect();
    for stride in strides {
        let here = differs.clone();
        differs[stride..].iter_mut().zip(&here).for_each(|(there, here)| *there |= here);
        differs.iter_mut().zip(&here[stride..]).for_each(|(there, here)| *there |= here);
    }
    stars.iter_mut().zip(differs).for_each(|(star, differs)| *star = if differs == 0 { *star } else { SILENT });
}

/// The table of all stars: places that no star has are silent.
fn table() -> Vec<u32> {
    let mut found = vec![SILENT; 1 << 18];
    for nodes in 0..64_usize {
        let both = |arc: &usize| ARCS[*arc].iter().all(|node| nodes >> node & 1 == 1);
        let possible = (0..12).filter(both).fold(0_usize, |arcs, arc| arcs | 1 << arc);
        let mut arcs = possible;
        loop {
            found[nodes | arcs << 6] = star(nodes, arcs);
            if arcs == 0 {
                break;
            }
            arcs = (arcs - 1) & possible;
        }
    }
    found
}

/// Kruskal's trees of one star.
fn star(nodes: usize, arcs: usize) -> u32 {
    let mut first: [usize; 6] = std::array::from_fn(|node| node);
    let mut towards = [UNKNOWN; 6];
    let mut paired = 0;
    for (i, &[a, b]) in ARCS.iter().enumerate().filter(|(i, _)| arcs >> i & 1 == 1) {
        let [low, high] = [first[a].min(first[b]), first[a].max(first[b])];
        if low < high {
            paired |= 1 << i;
            first.iter_mut().filter(|first| **first == high).for_each(|first| *first = low);
        }
    }
    let eldest = nodes.trailing_zeros() as usize;
    for node in (0..6).filter(|node| nodes >> node & 1 == 1 && first[*node] == *node) {
        towards[node] = if node == eldest { TAKEN } else { CRITICAL };
    }
    for _ in 0..5 {
        for (_, &[a, b]) in ARCS.iter().enumerate().filter(|(i, _)| paired >> i & 1 == 1) {
            for [from, to] in [[a, b], [b, a]] {
                if towards[from] == UNKNOWN && towards[to] != UNKNOWN {
                    towards[from] = place(from, to);
                }
            }
        }
    }
    (0..6).fold((paired as u32) << ARC, |code, node| code | towards[node] << (3 * node))
}

/// The place in [`AROUND`] of the square from a node to another one.
fn place(from: usize, to: usize) -> u32 {
    let back = if to < 3 { to } else { 3 };
    let kind = 3 - from % 3 - to % 3;
    let is = |square: &(usize, u32, u8)| square.0 == back && square.1 as usize == kind;
    AROUND[from % 3].iter().position(is).unwrap_or_default() as u32
}

dispatch! {
    /// Bits 0-5: edges of the star, 6-17: squares. [`TIED`]: a cell of the star has another voxel as high, or the voxel is
    /// absent.
    fn present(strides: [usize; 3], keys: &[u32], at: usize, out: &mut [u32]) = present_inline
}
#[inline(always)]
fn present_inline([x, y, z]: [usize; 3], keys: &[u32], at: usize, out: &mut [u32]) {
    let n = out.len();
    shifted!(keys, at, n,
        here: 0, 0; bx: 0, x; by: 0, y; bz: 0, z; fx: x, 0; fy: y, 0; fz: z, 0;
        bxby: 0, x + y; bxbz: 0, x + z; bxfz: z, x; bxfy: y, x; bybz: 0, y + z; byfz: z, y; byfx: x, y;
        bzfy: y, z; bzfx: x, z; fyfz: y + z, 0; fxfz: x + z, 0; fxfy: x + y, 0;
        bbb: 0, x + y + z; bbf: z, x + y; bfb: y, x + z; bff: y + z, x;
        fbb: x, y + z; fbf: x + z, y; ffb: x + y, z; fff: x + y + z, 0);
    for i in 0..n {
        let k = here[i];
        let edges = [bx[i], by[i], bz[i], fx[i], fy[i], fz[i]];
        let square = |arc: usize, across: u32| edges[ARCS[arc][0]].max(edges[ARCS[arc][1]]).max(across);
        let squares = [
            square(0, bxby[i]),
            square(1, bxbz[i]),
            square(2, bxfz[i]),
            square(3, bxfy[i]),
            square(4, bybz[i]),
            square(5, byfz[i]),
            square(6, byfx[i]),
            square(7, bzfy[i]),
            square(8, bzfx[i]),
            square(9, fyfz[i]),
            square(10, fxfz[i]),
            square(11, fxfy[i]),
        ];
        let cube = |[a, b, c]: [usize; 3], across: u32| squares[a].max(squares[b]).max(squares[c]).max(across);
        let cubes = [
            cube([0, 1, 4], bbb[i]),
            cube([0, 2, 5], bbf[i]),
            cube([3, 1, 7], bfb[i]),
            cube([3, 2, 9], bff[i]),
            cube([6, 8, 4], fbb[i]),
            cube([6, 10, 5], fbf[i]),
            cube([11, 8, 7], ffb[i]),
            cube([11, 10, 9], fff[i]),
        ];
        let (mut found, mut tied) = (0, k == ABSENT);
        for (bit, value) in (0..).zip(edges) {
            found |= u32::from(value < k) << bit;
            tied |= value == k;
        }
        for (bit, value) in (6..).zip(squares) {
            found |= u32::from(value < k) << bit;
            tied |= value == k;
        }
        for value in cubes {
            tied |= value == k;
        }
        out[i] = found | if tied { TIED } else { 0 };
    }
}

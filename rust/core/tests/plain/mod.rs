//! Pairs of cells by reducing boundary matrices, for any number of dimensions: the definition, written down.
//!
//! ```text
//! for each (k + 1)-cell in the order of the columns:
//!     column = its faces, as places in the order of the rows
//!     while another column has the same lowest place: add that column (modulo 2)
//!     if anything is left: the cell and its lowest row are a pair
//! ```
//!
//! Rows and columns in the order of one image give its barcode; rows in the order of an image and columns in that of
//! the comparison image give the barcode of the image of the inclusion between them.

use argrad_core::topology::grid::{Cell, Grid};
use argrad_core::topology::{Bar, Comparison, How, Pairing, Rule};
use std::collections::{HashMap, HashSet};

/// Pairs of degree `k` as a map from column to row.
fn pairs(grid: &Grid, k: usize, rows: &[u32], columns: &[u32]) -> HashMap<Cell, Cell> {
    let ordered = |dimension: usize, keys: &[u32]| {
        let mut cells: Vec<_> = grid.cells(dimension).collect();
        cells.sort_by_key(|&cell| (grid.value(keys, dimension, cell), cell));
        cells
    };
    let (below, mut reduced, mut found) = (ordered(k, rows), HashMap::<usize, Vec<usize>>::new(), HashMap::new());
    let place: HashMap<_, _> = below.iter().enumerate().map(|(place, &cell)| (cell, place)).collect();
    for cell in ordered(k + 1, columns) {
        let mut column: Vec<_> = grid.faces(k + 1, cell).map(|face| place[&face]).collect();
        column.sort_unstable();
        while let Some(other) = column.last().and_then(|last| reduced.get(last)) {
            column = sum(&column, other);
        }
        if let Some(&last) = column.last() {
            found.insert(cell, below[last]);
            reduced.insert(last, column);
        }
    }
    found
}

/// What is in one of two ascending lists and not in the other.
fn sum(a: &[usize], b: &[usize]) -> Vec<usize> {
    let mut found: Vec<_> = a.iter().chain(b).copied().collect();
    found.sort_unstable();
    found.chunk_by(|a, b| a == b).filter(|same| same.len() == 1).map(|same| same[0]).collect()
}

/// The bars of one degree, in the order of their births' numbers.
pub fn bars(grid: &Grid, k: usize, keys: &[u32]) -> Vec<Bar> {
    let mut found: Vec<_> = pairs(grid, k, keys, keys)
        .into_iter()
        .filter(|&(death, birth)| grid.value(keys, k, birth) < grid.value(keys, k + 1, death))
        .map(|(death, birth)| Bar { birth, death })
        .collect();
    found.sort_unstable_by_key(|bar| bar.birth);
    found
}

/// The bars of two images in one degree, and which of them are matched.
pub fn matching(grid: &Grid, k: usize, f: &[u32], g: &[u32], how: How) -> Pairing {
    let compared: Vec<_> = f.iter().zip(g).map(|(&a, &b)| how.comparison.of(a, b)).collect();
    let (bars_f, bars_g, c) = (bars(grid, k, f), bars(grid, k, g), &compared[..]);
    let place = |bars: &[Bar], end: fn(&Bar) -> Cell| -> HashMap<Cell, u32> {
        bars.iter().enumerate().map(|(i, bar)| (end(bar), i as u32)).collect()
    };
    let own = pairs(grid, k, c, c);
    let real: HashSet<_> = own.iter().filter(|&(&j, &p)| grid.value(c, k, p) < grid.value(c, k + 1, j)).collect();
    let mut matches = Vec::new();
    match how.comparison {
        // Image pairs of both images share the death j.
        Comparison::Union => {
            let (by_f, by_g) = (place(&bars_f, |bar| bar.birth), place(&bars_g, |bar| bar.birth));
            let (image_f, image_g) = (pairs(grid, k, f, c), pairs(grid, k, g, c));
            for (j, b) in &own {
                let (p, q) = (image_f[j], image_g[j]);
                let good = match how.rule {
                    Rule::Strict => grid.value(f, k, p).max(grid.value(g, k, q)) < grid.value(c, k + 1, *j),
                    Rule::Refined => real.contains(&(j, b)),
                };
                if let (true, Some(&i), Some(&j)) = (good, by_f.get(&p), by_g.get(&q)) {
                    matches.push([i, j]);
                }
            }
        }
        // Image pairs share the birth p.
        Comparison::Intersection => {
            let (by_f, by_g) = (place(&bars_f, |bar| bar.death), place(&bars_g, |bar| bar.death));
            let turned = |pairs: HashMap<Cell, Cell>| -> HashMap<Cell, Cell> {
                pairs.into_iter().map(|(j, p)| (p, j)).collect()
            };
            let (image_f, image_g) = (turned(pairs(grid, k, c, f)), turned(pairs(grid, k, c, g)));
            for (j, p) in &own {
                let (Some(&i), Some(&l)) = (image_f.get(p), image_g.get(p)) else { continue };
                let good = match how.rule {
                    Rule::Strict => grid.value(c, k, *p) < grid.value(f, k + 1, i).min(grid.value(g, k + 1, l)),
                    Rule::Refined => real.contains(&(j, p)),
                };
                if let (true, Some(&i), Some(&j)) = (good, by_f.get(&i), by_g.get(&l)) {
                    matches.push([i, j]);
                }
            }
        }
    }
    matches.sort_unstable();
    Pairing { f: bars_f, g: bars_g, matches }
}

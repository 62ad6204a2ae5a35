//! From pairs of the images of two inclusions to matched bars.
//!
//! A bar of f and a bar of g are matched if the pairs that their ends have in the images share a cell: the death in a
//! union, the birth in an intersection.

use super::super::grid::Cell;
use super::super::{Bar, Comparison, Pairing};
use super::space::Space;

/// A cell that pairs of two images may share, with the end of a bar of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Half {
    /// The cell that is shared.
    pub shared: Cell,
    /// Birth (union) or death (intersection) of the bar.
    pub end: Cell,
}

/// Ends of bars of f and g whose pairs share a cell; where `allowed` is given, one of these.
#[must_use]
pub fn join(f: Vec<Half>, g: Vec<Half>, allowed: Option<Vec<Cell>>) -> Vec<[Cell; 2]> {
    let turn = f.len() < g.len();
    let (many, mut few) = if turn { (g, f) } else { (f, g) };
    few.sort_unstable();
    if let Some(mut allowed) = allowed {
        allowed.sort_unstable();
        few.retain(|half| allowed.binary_search(&half.shared).is_ok());
    }
    let shares = |half: Half| {
        let i = few.binary_search_by_key(&half.shared, |half| half.shared).ok()?;
        Some(if turn { [few[i].end, half.end] } else { [half.end, few[i].end] })
    };
    many.into_iter().filter_map(shares).collect()
}

/// Bars of two images with the matches among them; `ends` are those of bars, if there are such bars.
#[must_use]
pub fn pairing(space: &Space, comparison: Comparison, mut bars: [Vec<Bar>; 2], ends: &[[Cell; 2]]) -> Pairing {
    bars.iter_mut().for_each(|bars| bars.sort_unstable_by_key(|bar| bar.birth));
    let places = bars.each_ref().map(|bars| {
        let end = |bar: &Bar| if comparison == Comparison::Union { bar.birth } else { bar.death };
        let mut places: Vec<_> = bars.iter().enumerate().map(|(i, bar)| (end(bar), i as u32)).collect();
        places.sort_unstable();
        places
    });
    let place = |side: usize, end: Cell| {
        places[side].binary_search_by_key(&end, |place| place.0).map(|i| places[side][i].1).ok()
    };
    let mut matches: Vec<_> = ends.iter().filter_map(|&[f, g]| Some([place(0, f)?, place(1, g)?])).collect();
    matches.sort_unstable();
    let [f, g] = bars.map(|bars| bars.into_iter().map(|bar| space.bar(bar)).collect());
    Pairing { f, g, matches }
}

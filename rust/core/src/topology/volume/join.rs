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

/// Ends of bars of f and g whose pairs share a cell; where `allowed` is given, one of these. It ascends.
#[must_use]
pub fn join(mut f: Vec<Half>, mut g: Vec<Half>, allowed: Option<&[Cell]>) -> Vec<[Cell; 2]> {
    f.sort_unstable();
    g.sort_unstable();
    let find =
        |halves: &[Half], shared| halves.binary_search_by_key(&shared, |half| half.shared).map(|i| halves[i].end);
    let mut found = Vec::new();
    for half in f {
        if allowed.is_none_or(|allowed| allowed.binary_search(&half.shared).is_ok())
            && let Ok(end) = find(&g, half.shared)
        {
            found.push([half.end, end]);
        }
    }
    found
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

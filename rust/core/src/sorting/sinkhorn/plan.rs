//! A transport plan between sorted items and equally spaced ranks, by its potentials.
//!
//! ```text
//! P_ji = exp(s_i j + a_i + b_j)      items i with increasing s, ranks j = 0, 1, ...
//! ```
//!
//! is what is left of a squared distance once its one-sided terms have gone into the potentials. Where b is concave (it is
//! whenever the ranks' sums hold), an item's column rises to one mode and falls, so beyond some band it vanishes, and both
//! ends of the band move with i.
//!
//! The three terms are huge where P is ordinary, so none of them is kept. b is measured from the potential of the hard
//! assignment, whose steps are the midpoints between an item and the next; a is kept as the logarithm of P at the rank where
//! the hard assignment sends the item. Items are taken in panels, (width in s) * (width in ranks) <= 16, on which
//!
//! ```text
//! P_ji = exp(base_j + (s_i - s_c)(j - j_c) + e_i),      |(s_i - s_c)(j - j_c)| <= 4:
//! ```
//!
//! no cancellation, and, as a function of the score, 24 Chebyshev nodes reproduce it to rounding. A panel of many items is
//! therefore replaced by its nodes.

use super::kernels;
use std::ops::Range;

/// Entries below exp(-CUT) of an item's largest are dropped.
const CUT: f64 = 38.0;
/// Largest (width in s) * (width in ranks) of a panel.
const EXTENT: f64 = 16.0;
/// Chebyshev nodes of a panel: the first neglected coefficient of exp(4 t) is 3e-17.
pub const NODES: usize = 24;
/// Panels of more items, with a band twice as wide as there are nodes, are replaced by their nodes.
const CROWD: usize = 32;
/// Entries that are kept from product to product: they fit in a core's cache.
const KEPT: usize = 1 << 19;

/// Consecutive items with a common reference.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The items.
    pub items: Range<usize>,
    /// The ranks that any of them reaches.
    pub ranks: Range<usize>,
    /// `s_c`.
    pub center: f64,
    /// Half the width in s.
    pub half: f64,
    /// `j_c`.
    pub middle: f64,
    /// Where its bases begin.
    pub base: usize,
    /// Where its entries are kept, if they are.
    pub kept: Option<usize>,
}

impl Panel {
    /// Whether nodes stand for the items.
    #[must_use]
    pub const fn crowded(&self) -> bool {
        self.items.end - self.items.start > CROWD && self.width() > 2 * NODES
    }

    /// Kernel rows: nodes, or items.
    #[must_use]
    pub const fn rows(&self) -> usize {
        if self.crowded() { NODES } else { self.items.end - self.items.start }
    }

    /// Where its part of [`Side::Panels`] lies.
    #[must_use]
    pub const fn places(&self) -> Range<usize> {
        self.base..self.base + self.width()
    }

    /// Ranks within reach.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.ranks.end - self.ranks.start
    }
}

/// How columns over the ranks lie in memory.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    /// A number for each rank.
    Ranks,
    /// A number for each panel and each of its ranks, as `bases` lie: what the panel's items see of the ranks.
    Panels,
}

impl Side {
    /// Numbers in a column.
    #[must_use]
    pub const fn length(self, plan: &Plan) -> usize {
        match self {
            Self::Ranks => plan.ranks(),
            Self::Panels => plan.bases.len(),
        }
    }

    /// Where those of a panel begin.
    #[must_use]
    pub const fn start(self, panel: &Panel) -> usize {
        match self {
            Self::Ranks => panel.ranks.start,
            Self::Panels => panel.base,
        }
    }
}

/// The plan of one block of items that exchange mass.
#[derive(Debug, Default)]
pub struct Plan {
    /// Reduced scores, increasing.
    pub s: Vec<f64>,
    /// Sum over the items of each rank: 1, at the last rank whatever is left.
    pub mass: Vec<f64>,
    /// ln P at the item's own rank.
    pub height: Vec<f64>,
    /// b less the potential of the hard assignment.
    pub shift: Vec<f64>,
    /// The panels, in order.
    pub panels: Vec<Panel>,
    /// For each panel `base_j` over its ranks.
    pub bases: Vec<f64>,
    /// For each item `e_i`; where nodes stand for the items, exp(`e_i`).
    pub scale: Vec<f64>,
    /// Entries kept from product to product.
    pub kept: Vec<f64>,
}

impl Plan {
    /// Prepares for items `s` (increasing) and `ranks` <= `s.len()` ranks, with the potentials of the hard assignment.
    pub fn reset(&mut self, s: impl Iterator<Item = f64>, ranks: usize) {
        self.s.clear();
        self.s.extend(s);
        let items = self.s.len();
        self.mass.clear();
        self.mass.resize(ranks, 1.0);
        self.mass[ranks - 1] = (items + 1 - ranks) as f64;
        for (part, length) in [(&mut self.height, items), (&mut self.shift, ranks)] {
            part.clear();
            part.resize(length, 0.0);
        }
    }

    /// Number of items.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.s.len()
    }

    /// Number of ranks.
    #[must_use]
    pub const fn ranks(&self) -> usize {
        self.mass.len()
    }

    /// The rank to which the hard assignment sends item `i`.
    #[must_use]
    pub fn home(&self, i: usize) -> usize {
        i.min(self.ranks() - 1)
    }

    /// By how much the logarithm of P grows from rank j to the next at score `s`: s + `b_{j+1}` - `b_j`.
    #[inline]
    fn step(&self, s: f64, j: usize) -> f64 {
        let (low, high) = (self.s[j], self.s[j + 1]);
        ((s - low) + (s - high)) * 0.5 + (self.shift[j + 1] - self.shift[j])
    }

    /// The ranks that matter to item `i`.
    fn band(&self, i: usize) -> Range<usize> {
        let (s, home) = (self.s[i], self.home(i));
        let (mut highest, mut level) = (0.0f64, 0.0f64);
        let mut end = home;
        while end + 1 < self.ranks() && level >= highest - CUT {
            level += self.step(s, end);
            highest = highest.max(level);
            end += 1;
        }
        let (mut start, mut level) = (home, 0.0);
        while start > 0 && level >= highest - CUT {
            start -= 1;
            level -= self.step(s, start);
            highest = highest.max(level);
        }
        start..end + 1
    }

    /// Finds the panels and their entries anew, from `height` and `shift`.
    pub fn build(&mut self) {
        self.panels.clear();
        self.bases.clear();
        self.scale.resize(self.items(), 0.0);
        let mut first = 0;
        while first < self.items() {
            first = self.add_panel(first);
        }
        let entries = |panel: &Panel| panel.rows() * panel.width();
        let total: usize = self.panels.iter().map(entries).sum();
        // Bands of a few dozen ranks are O(n) whatever n.
        let keep = total <= KEPT.max(32 * self.items());
        self.kept.clear();
        if keep {
            self.kept.resize(total, 0.0);
            let mut at = 0;
            for panel in &mut self.panels {
                panel.kept = Some(at);
                at += entries(panel);
            }
            let mut kept = std::mem::take(&mut self.kept);
            kernels::fill_kept(self, &mut kept);
            self.kept = kept;
        }
    }

    /// Appends the panel that begins with item `first`; returns where the next one begins.
    fn add_panel(&mut self, first: usize) -> usize {
        let reach = self.band(first);
        let wide = |count: usize, width: usize| (self.s[first + count - 1] - self.s[first]) * width as f64 > EXTENT;
        // The band of the last item decides; it is looked for where that of the first one says it will be enough.
        let mut count = 1;
        while first + count < self.items() && !wide(count + 1, reach.len() + count) {
            count += 1;
        }
        let mut ranks = reach.start..self.band(first + count - 1).end.max(reach.end);
        while count > 1 && wide(count, ranks.len()) {
            count = count.div_ceil(2);
            ranks.end = self.band(first + count - 1).end.max(reach.end);
        }
        let last = first + count - 1;
        let (low, high) = (self.s[first], self.s[last]);
        let (center, half) = (f64::midpoint(low, high), (high - low) * 0.5);
        let middle = usize::midpoint(ranks.start, ranks.end) as f64;
        let base = self.bases.len();
        let (mut level, mut highest) = (0.0f64, 0.0f64);
        self.bases.push(0.0);
        for j in ranks.start..ranks.end - 1 {
            level += self.step(center, j);
            highest = highest.max(level);
            self.bases.push(level);
        }
        self.bases[base..].iter_mut().for_each(|b| *b -= highest);
        let panel = Panel { items: first..last + 1, ranks, center, half, middle, base, kept: None };
        for i in panel.items.clone() {
            let home = self.home(i);
            let there = self.bases[base + home - panel.ranks.start] + (self.s[i] - center) * (home as f64 - middle);
            let e = self.height[i] - there;
            self.scale[i] = if panel.crowded() { e.exp() } else { e };
        }
        self.panels.push(panel);
        last + 1
    }

    /// Moves a by `items` and b by `ranks`.
    pub fn shift_by(&mut self, items: &[f64], ranks: &[f64]) {
        for i in 0..self.items() {
            self.height[i] += items[i] + ranks[self.home(i)];
        }
        self.shift.iter_mut().zip(ranks).for_each(|(b, step)| *b += step);
    }

    /// P times columns over the items, one after the other.
    pub fn times(&self, columns: &[f64], side: Side, out: &mut Vec<f64>) {
        out.clear();
        out.resize(columns.len() / self.items() * side.length(self), 0.0);
        kernels::times(self, columns, side, out);
    }

    /// The transposed P times columns over the ranks.
    pub fn transposed(&self, columns: &[f64], side: Side, out: &mut Vec<f64>) {
        out.clear();
        out.resize(columns.len() / side.length(self) * self.items(), 0.0);
        kernels::transposed(self, columns, side, out);
    }

    /// What the panels hold over their ranks, as `value(panel, its ranks' part)` writes it.
    pub fn spread(&self, mut write: impl FnMut(&Panel, &mut [f64])) -> Vec<f64> {
        let mut out = vec![0.0; self.bases.len()];
        for panel in &self.panels {
            write(panel, &mut out[panel.places()]);
        }
        out
    }

    /// A column over the items, each number less that of its panel's first item.
    pub fn offsets(&self, x: &[f64], out: &mut Vec<f64>) {
        out.clear();
        for panel in &self.panels {
            let from = x[panel.items.start];
            out.extend(x[panel.items.clone()].iter().map(|x| x - from));
        }
    }

    /// That of the items whose homes the ranks are, as the panels see them: each number less that of the panel's first item.
    #[must_use]
    pub fn distances(&self, x: &[f64]) -> Vec<f64> {
        self.spread(|panel, out| {
            let from = x[panel.items.start];
            out.iter_mut().zip(&x[panel.ranks.clone()]).for_each(|(out, x)| *out = x - from);
        })
    }

    /// Sums what the panels hold over their ranks.
    pub fn gather(&self, parts: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.ranks()];
        for panel in &self.panels {
            out[panel.ranks.clone()].iter_mut().zip(&parts[panel.places()]).for_each(|(sum, part)| *sum += part);
        }
        out
    }
}

//! Panels: the occupied pieces, 2 [`HALF`] temperatures wide, of the axis on which both sides of a list lie.
//!
//! ```text
//!   a range of few panels for its items                   count the items of each panel, a counting sort;
//!   any other                                             sort the values and walk through both sides, where
//!       a gap wider than the near field                   begins an island: an origin of its own, out of sight of others.
//! ```

use super::lanes::Frame;
use super::side::Side;
use super::table::{HALF, NEAR};
use crate::sorting::order::{Scratch, order};
use std::ops::Range;

/// An occupied panel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Panel {
    /// Number of the panel on the axis. Two panels whose numbers differ by at most [`NEAR`] have one origin, and their
    /// middles differ by 2 [`HALF`] temperatures times the difference of the numbers.
    pub key: i64,
    /// A value from which its middle is measured.
    pub origin: f64,
    /// Its middle, from the origin.
    pub middle: f64,
    /// The first of its items on each side; the next panel's is their end.
    pub first: [usize; 2],
}

/// All occupied panels in order.
#[derive(Debug)]
pub struct Grid {
    /// The panels, and one behind the last for the ends.
    pub panels: Vec<Panel>,
    /// The inverse of the temperature.
    pub inverse: f64,
}

/// The panels as seen from one side: `sources` act on `targets`.
#[derive(Debug)]
pub struct Axis<'a> {
    grid: &'a Grid,
    mirrored: bool,
}

impl Grid {
    /// Lays panels over the finite items of both sides and brings these into the panels' order.
    pub fn new(x: &mut Side, y: &mut Side, temperature: f64) -> Self {
        let width = 2.0 * HALF * temperature;
        let (lowest, highest) =
            x.values.iter().chain(&y.values).fold((f64::INFINITY, f64::NEG_INFINITY), |range, &v| {
                (if v < range.0 { v } else { range.0 }, if v > range.1 { v } else { range.1 })
            });
        let count = (highest - lowest) / width + 1.0;
        let panels = if count <= (2 * (x.finite() + y.finite()) + 64) as f64 {
            counted(x, y, lowest, width, count as usize + 1)
        } else {
            sorted(x, y, width)
        };
        Self { panels, inverse: temperature.recip() }
    }

    /// The panels with the items of `x` as targets, or the other way round: the axis then runs the other way too, so that
    /// the kernel's argument is always target minus source.
    #[must_use]
    pub const fn axis(&self, mirrored: bool) -> Axis<'_> {
        Axis { grid: self, mirrored }
    }
}

fn both<T: Send>(x: &mut Side, y: &mut Side, work: impl Fn(&mut Side) -> T + Sync) -> [T; 2] {
    if rayon::current_thread_index().is_none() || x.len() + y.len() < 1 << 15 {
        return [work(x), work(y)];
    }
    rayon::join(|| work(x), || work(y)).into()
}

/// Panels by a counting sort: `count` of them from `lowest` on.
fn counted(x: &mut Side, y: &mut Side, lowest: f64, width: f64, count: usize) -> Vec<Panel> {
    let inverse = width.recip();
    let number = |v: f64| ((v - lowest) * inverse) as usize;
    let ends = both(x, y, |side| {
        let mut next = vec![0u32; count + 1];
        side.values.iter().for_each(|&v| next[number(v) + 1] += 1);
        for i in 1..=count {
            next[i] += next[i - 1];
        }
        let (mut values, mut places) = (vec![0.0; side.finite()], side.places.clone());
        for (&v, &place) in side.values.iter().zip(&side.places) {
            let at = &mut next[number(v)];
            values[*at as usize] = v;
            places[*at as usize] = place;
            *at += 1;
        }
        (side.values, side.places) = (values, places);
        next // the end of each panel
    });
    let mut panels = Vec::new();
    let mut first = [0, 0];
    for key in 0..count {
        let next = [ends[0][key] as usize, ends[1][key] as usize];
        if next != first {
            let middle = (key as f64 + 0.5) * width;
            panels.push(Panel { key: key as i64, origin: lowest, middle, first });
        }
        first = next;
    }
    panels.push(Panel { first, ..Panel::default() });
    panels
}

/// Panels by sorting both sides.
fn sorted(x: &mut Side, y: &mut Side, width: f64) -> Vec<Panel> {
    both(x, y, |side| {
        let mut positions = vec![0; side.finite()];
        order(&side.values, None, false, &mut Scratch::default(), &mut positions);
        let values = positions.iter().map(|&i| side.values[i as usize]).collect();
        let infinite = &side.places[side.finite()..];
        let places = positions.iter().map(|&i| side.places[i as usize]).chain(infinite.iter().copied()).collect();
        (side.values, side.places) = (values, places);
    });
    let mut panels: Vec<Panel> = Vec::new();
    let mut first = [0, 0];
    let (mut origin, mut base, mut last) = (f64::NAN, 0, f64::NAN);
    loop {
        let heads = [x.values.get(first[0]), y.values.get(first[1])];
        let (v, from) = match heads {
            [None, None] => break,
            [Some(&a), Some(&b)] if a <= b => (a, 0),
            [Some(&a), None] => (a, 0),
            [_, Some(&b)] => (b, 1),
        };
        let near = (v - last) / width <= (NEAR + 1) as f64; // false at the beginning, where `last` is NaN
        if !near {
            (origin, base) = (v, panels.last().map_or(0, |panel| panel.key + NEAR + 1));
        }
        let number = ((v - origin) / width).floor();
        let key = base + number as i64;
        if panels.last().is_none_or(|panel| panel.key != key) {
            panels.push(Panel { key, origin, middle: (number + 0.5) * width, first });
        }
        first[from] += 1;
        last = v;
    }
    panels.push(Panel { first, ..Panel::default() });
    panels
}

impl Axis<'_> {
    /// The number of panels.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.grid.panels.len() - 1
    }

    /// The positions of all panels in the direction of the axis.
    pub fn along(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let (last, mirrored) = (self.len().wrapping_sub(1), self.mirrored);
        (0..self.len()).map(move |at| if mirrored { last - at } else { at })
    }

    /// The inverse of the temperature, negative on a mirrored axis.
    #[must_use]
    pub fn inverse(&self) -> f64 {
        if self.mirrored { -self.grid.inverse } else { self.grid.inverse }
    }

    /// The difference of the panels' numbers.
    #[must_use]
    pub fn offset(&self, from: usize, to: usize) -> i64 {
        let difference = self.grid.panels[to].key - self.grid.panels[from].key;
        if self.mirrored { -difference } else { difference }
    }

    /// How far, in temperatures, the middle of the panel `to` lies beyond that of the panel `from`.
    #[must_use]
    pub fn distance(&self, from: usize, to: usize) -> f64 {
        let (a, b) = (self.grid.panels[from], self.grid.panels[to]);
        ((b.origin - a.origin) + (b.middle - a.middle)) * self.inverse()
    }

    /// The panels within the near field of one.
    #[must_use]
    pub fn near(&self, panel: usize) -> Range<usize> {
        let close = |other: &usize| self.offset(panel, *other).abs() <= NEAR;
        let before = (0..panel).rev().take_while(close).count();
        let after = (panel + 1..self.len()).take_while(close).count();
        panel - before..panel + after + 1
    }

    /// Where the items of the panel lie.
    #[must_use]
    pub fn frame(&self, panel: usize) -> Frame {
        let Panel { origin, middle, .. } = self.grid.panels[panel];
        Frame { origin, middle, scale: self.inverse() / HALF }
    }

    /// The sources in these panels.
    #[must_use]
    pub fn sources(&self, panels: Range<usize>) -> Range<usize> {
        self.items(panels, !self.mirrored)
    }

    /// The targets in these panels.
    #[must_use]
    pub fn targets(&self, panels: Range<usize>) -> Range<usize> {
        self.items(panels, self.mirrored)
    }

    fn items(&self, panels: Range<usize>, of_y: bool) -> Range<usize> {
        let first = |panel: usize| self.grid.panels[panel].first[usize::from(of_y)];
        first(panels.start)..first(panels.end)
    }

    /// The panels that overlap `items` of the sources (or the targets), each with the overlap.
    pub fn overlapping(&self, items: Range<usize>, sources: bool) -> impl Iterator<Item = (usize, Range<usize>)> {
        let side = usize::from(sources != self.mirrored);
        let panels = &self.grid.panels;
        let begin = panels.partition_point(|panel| panel.first[side] <= items.start) - 1;
        (begin..self.len())
            .map(move |at| (at, panels[at].first[side].max(items.start)..panels[at + 1].first[side].min(items.end)))
            .take_while(move |(_, overlap)| overlap.start < items.end)
            .filter(|(_, overlap)| !overlap.is_empty())
    }
}

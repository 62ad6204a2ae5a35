//! The matrix P of `neuralsort` in sorted order, walked along its diagonals.
//!
//! With the scores s of a list in decreasing order, row i of P is largest at column i, and at distance m its logit lies
//! lower by a sum of non-negative terms,
//!
//! ```text
//! level(i, i + m) = 1 gap(i) + 3 gap(i + 1) + ... + (2m - 1) gap(i + m - 1),      gap(k) = (s_k - s_{k+1}) / tau
//! ```
//!
//! and likewise to the left. So P = diag(1 / K 1) K with K = exp(-level), and K is a band: where the level has passed
//! `cut`, the rest of the row is below rounding. Down a column the level grows by non-negative terms too,
//!
//! ```text
//! level(j + m, j) = level(j + m - 1, j) + drop(m - 1) + drop(m),      drop(m) = (s_j - s_{j+m}) / tau
//! ```
//!
//! The lanes of a vector are consecutive rows (or columns), a step goes to the next diagonal: every load is contiguous,
//! transposed products are gathers, and no sum cancels. Levels and results are summed in double precision.

use crate::elementary::{decay_f32, decay_f64};
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;
use crate::sorting::order::Key;
use std::ops::Range;

/// Rows or columns that are worked on together.
pub(super) const LANES: usize = 16;
/// Diagonals between two looks at the cut.
pub(super) const STEPS: usize = 8;
/// Elements of padding on both sides of every vector; a step never reaches further beyond the list.
pub(super) const PAD: usize = LANES + STEPS;
pub(super) const WINDOW: usize = LANES + STEPS - 1;
/// Elements of each of the two tiles that a band may be kept in.
const TILE: usize = 1 << 20;

/// The numbers that bands are computed in.
pub trait Lane: Key {
    /// Where a row ends: e^-cut, summed over what is left out, is below rounding.
    const CUT: f64;
    /// The same when potentials follow, which can raise small elements.
    const SCALED_CUT: f64;
    /// exp(-level).
    #[must_use]
    fn decay(level: Self) -> Self;
}

impl Lane for f32 {
    const CUT: f64 = 20.0;
    const SCALED_CUT: f64 = 30.0;
    #[inline(always)]
    fn decay(level: Self) -> Self {
        decay_f32(level)
    }
}

impl Lane for f64 {
    const CUT: f64 = 42.0;
    const SCALED_CUT: f64 = 80.0;
    #[inline(always)]
    fn decay(level: Self) -> Self {
        decay_f64(level)
    }
}

/// Whether the lanes are rows of K (products K x) or columns (products K^T x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Rows,
    Columns,
}

/// Elements of consecutive diagonals.
pub(super) type Block<T> = [[T; LANES]; STEPS];

/// The band of one list.
#[derive(Debug)]
pub(super) struct Band<T> {
    /// The number of items.
    pub count: usize,
    cut: f64,
    /// gap(k) at PAD + k; infinite beyond both ends of the list.
    gaps: Vec<f64>,
    rows: Tile<T>,
    columns: Tile<T>,
}

/// All elements of a band in the order in which they are walked.
#[derive(Debug)]
struct Tile<T> {
    blocks: Vec<Block<T>>,
    /// For each group of lanes where its blocks towards larger positions end, and those towards smaller ones.
    ends: Vec<[usize; 2]>,
}

/// What is done with the elements of a band. `exps[k]` and `levels[k]` belong to the diagonal `first + k`, towards larger
/// positions if `DOWN`; lane l is position `base + l`.
pub(super) trait Visitor<T> {
    fn take<const DOWN: bool>(&mut self, base: usize, first: usize, exps: &Block<T>, levels: &Block<T>);
}

/// The elements that the lanes of a group meet on the diagonals `first..first + STEPS`; see [`pick`].
#[inline(always)]
pub(super) fn window<T, const DOWN: bool>(x: &[T], base: usize, first: usize) -> &[T; WINDOW] {
    let start = if DOWN { PAD + base + first } else { PAD + base - first - (STEPS - 1) };
    x[start..].first_chunk().expect("vectors are padded")
}

/// Where in a [`window`] the elements of the k-th diagonal begin.
#[inline(always)]
pub(super) const fn pick<const DOWN: bool>(k: usize) -> usize {
    if DOWN { k } else { STEPS - 1 - k }
}

/// The number itself, unknown to the optimiser. Where consecutive steps read overlapping windows it would otherwise pass
/// single numbers from step to step, or make vectors of steps instead of lanes.
#[inline(always)]
pub(super) fn hidden(at: usize) -> usize {
    std::hint::black_box(at)
}

/// The lanes themselves.
#[inline(always)]
pub(super) fn lanes<T>(x: &[T], base: usize) -> &[T; LANES] {
    x[PAD + base..].first_chunk().expect("vectors are padded")
}

impl<T: Lane> Default for Band<T> {
    fn default() -> Self {
        let tile = || Tile { blocks: Vec::new(), ends: Vec::new() };
        Self { count: 0, cut: 0.0, gaps: Vec::new(), rows: tile(), columns: tile() }
    }
}

impl<T: Lane> Band<T> {
    /// The distance between the columns of several padded vectors.
    pub const fn stride(&self) -> usize {
        self.count + 2 * PAD
    }

    /// Enters a list by its scores, not increasing.
    pub fn enter(&mut self, scores: impl Iterator<Item = f64>, temperature: f64, cut: f64) {
        self.cut = cut;
        self.gaps.clear();
        self.gaps.resize(PAD, f64::INFINITY);
        let mut before = None;
        self.count = 0;
        for s in scores {
            if let Some(before) = before {
                // Equal infinities are tied.
                self.gaps.push(if before == s { 0.0 } else { (before - s) / temperature });
            }
            before = Some(s);
            self.count += 1;
        }
        self.gaps.resize(self.count + 2 * PAD, f64::INFINITY);
        for tile in [&mut self.rows, &mut self.columns] {
            tile.blocks.clear();
            tile.ends.clear();
        }
    }

    /// gap(k) for all neighbours of the list.
    pub fn gaps(&self) -> &[f64] {
        &self.gaps[PAD..PAD + self.count.saturating_sub(1)]
    }

    /// Keeps the elements for the products to come, in both layouts, unless they are too many.
    pub fn keep(&mut self, job: &Job) -> Result<()> {
        for side in [Side::Rows, Side::Columns] {
            let mut tile = std::mem::replace(self.tile_mut(side), Tile { blocks: Vec::new(), ends: Vec::new() });
            let finished = self.each_group(1, job, |groups| fill(self, side, &mut tile, groups))?;
            *self.tile_mut(side) = tile;
            if !finished {
                self.rows.ends.clear();
                self.columns.ends.clear();
                break;
            }
        }
        Ok(())
    }

    const fn tile_mut(&mut self, side: Side) -> &mut Tile<T> {
        match side {
            Side::Rows => &mut self.rows,
            Side::Columns => &mut self.columns,
        }
    }

    /// Calls `work` for ranges of groups of lanes that take a millisecond at most, until it returns false.
    pub fn each_group(&self, cost: usize, job: &Job, mut work: impl FnMut(Range<usize>) -> bool) -> Result<bool> {
        let (groups, some) = (self.count.div_ceil(LANES), (1 << 16) / (self.count * cost).max(1) + 1);
        let mut first = 0;
        while first < groups {
            job.check()?;
            let end = (first + some).min(groups);
            if !work(first..end) {
                return Ok(false);
            }
            first = end;
        }
        Ok(true)
    }

    /// out = K x (or K^T x) for several columns of padded vectors. The padding of `x` must be zero.
    pub fn multiply(&self, side: Side, x: &[T], columns: usize, out: &mut [f64], job: &Job) -> Result<()> {
        let mut sums = vec![[0.0; LANES]; columns];
        let mut pass = Multiply { x, stride: self.stride(), sums: &mut sums };
        self.each_group(columns, job, |groups| {
            multiply_groups(self, side, &mut pass, out, groups);
            true
        })
        .map(|_| ())
    }
}

/// Walks a group's diagonals away from the main one until all its lanes have passed the cut.
#[inline(always)]
pub(super) fn walk<T: Lane, V: Visitor<T>, const DOWN: bool>(band: &Band<T>, side: Side, base: usize, visitor: &mut V) {
    let (mut level, mut drop) = ([0.0f64; LANES], [0.0f64; LANES]);
    let (mut exps, mut levels) = ([[T::ZERO; LANES]; STEPS], [[T::ZERO; LANES]; STEPS]);
    let mut first = 1;
    loop {
        // Towards larger positions the m-th step crosses gap(i + m - 1), towards smaller ones gap(i - m).
        let gaps = window::<f64, DOWN>(&band.gaps, base, if DOWN { first - 1 } else { first });
        for k in 0..STEPS {
            let gaps = &gaps[hidden(pick::<DOWN>(k))..][..LANES];
            let odd = (2 * (first + k) - 1) as f64;
            for l in 0..LANES {
                let gap = gaps[l];
                if side == Side::Rows {
                    level[l] = gap.mul_add(odd, level[l]);
                } else {
                    let next = drop[l] + gap;
                    level[l] = level[l] + drop[l] + next;
                    drop[l] = next;
                }
            }
            for l in 0..LANES {
                // Finite, so that its product with an element that is 0 is 0.
                let shown = T::of(if level[l] < 1e30 { level[l] } else { 1e30 });
                levels[k][l] = shown;
                exps[k][l] = T::decay(shown);
            }
        }
        visitor.take::<DOWN>(base, first, &exps, &levels);
        first += STEPS;
        let mut open = false;
        for l in 0..LANES {
            open |= level[l] < band.cut;
        }
        if !open {
            break;
        }
    }
}

/// Adds the products of a block with a window to the lanes' sums.
#[inline(always)]
pub(super) fn add<T: Lane, const DOWN: bool>(exps: &Block<T>, x: &[T; WINDOW], sums: &mut [f64; LANES]) {
    let mut part = [T::ZERO; LANES];
    for k in 0..STEPS {
        let at = pick::<DOWN>(k);
        for l in 0..LANES {
            part[l] = exps[k][l].fma(x[at + l], part[l]);
        }
    }
    for l in 0..LANES {
        sums[l] += part[l].wide();
    }
}

/// Sums of products with columns of x. (Hot loops count: adapters of iterators are compiled for the target, and a call to
/// one from a wider instruction set costs more than its work.)
struct Multiply<'a, T> {
    x: &'a [T],
    stride: usize,
    sums: &'a mut [[f64; LANES]],
}

impl<T: Lane> Multiply<'_, T> {
    /// The main diagonal, which is 1.
    #[inline(always)]
    fn start(&mut self, base: usize) {
        for c in 0..self.sums.len() {
            let x = lanes(&self.x[c * self.stride..], base);
            for l in 0..LANES {
                self.sums[c][l] = x[l].wide();
            }
        }
    }

    /// A group whose elements are kept: `down` towards larger positions, `up` towards smaller ones.
    #[inline(always)]
    fn kept(&mut self, base: usize, down: &[Block<T>], up: &[Block<T>]) {
        for c in 0..self.sums.len() {
            let x = &self.x[c * self.stride..];
            let mut sums = self.sums[c];
            for k in 0..down.len() {
                add::<T, true>(&down[k], window::<T, true>(x, base, 1 + k * STEPS), &mut sums);
            }
            for k in 0..up.len() {
                add::<T, false>(&up[k], window::<T, false>(x, base, 1 + k * STEPS), &mut sums);
            }
            self.sums[c] = sums;
        }
    }

    #[inline(always)]
    fn finish(&self, base: usize, count: usize, out: &mut [f64]) {
        let left = LANES.min(count - base);
        for c in 0..self.sums.len() {
            out[c * self.stride + PAD + base..][..left].copy_from_slice(&self.sums[c][..left]);
        }
    }
}

impl<T: Lane> Visitor<T> for Multiply<'_, T> {
    #[inline(always)]
    fn take<const DOWN: bool>(&mut self, base: usize, first: usize, exps: &Block<T>, _: &Block<T>) {
        for c in 0..self.sums.len() {
            let x = window::<T, DOWN>(&self.x[c * self.stride..], base, first);
            add::<T, DOWN>(exps, x, &mut self.sums[c]);
        }
    }
}

#[inline(always)]
fn multiply_lanes<T: Lane>(
    band: &Band<T>,
    side: Side,
    pass: &mut Multiply<'_, T>,
    out: &mut [f64],
    groups: Range<usize>,
) {
    let tile = if side == Side::Rows { &band.rows } else { &band.columns };
    for group in groups {
        let base = group * LANES;
        pass.start(base);
        if tile.ends.is_empty() {
            walk::<T, _, true>(band, side, base, pass);
            walk::<T, _, false>(band, side, base, pass);
        } else {
            let start = if group == 0 { 0 } else { tile.ends[group - 1][1] };
            let [middle, end] = tile.ends[group];
            pass.kept(base, &tile.blocks[start..middle], &tile.blocks[middle..end]);
        }
        pass.finish(base, band.count, out);
    }
}

dispatch! {
    fn multiply_groups<T: Lane>(band: &Band<T>, side: Side, pass: &mut Multiply<'_, T>, out: &mut [f64], groups: Range<usize>)
        = multiply_lanes
}

impl<T: Lane> Visitor<T> for Vec<Block<T>> {
    #[inline(always)]
    fn take<const DOWN: bool>(&mut self, _: usize, _: usize, exps: &Block<T>, _: &Block<T>) {
        self.push(*exps);
    }
}

/// Appends groups to a tile; false when it has grown too large.
#[inline(always)]
fn fill_lanes<T: Lane>(band: &Band<T>, side: Side, tile: &mut Tile<T>, groups: Range<usize>) -> bool {
    for group in groups {
        walk::<T, _, true>(band, side, group * LANES, &mut tile.blocks);
        let middle = tile.blocks.len();
        walk::<T, _, false>(band, side, group * LANES, &mut tile.blocks);
        tile.ends.push([middle, tile.blocks.len()]);
    }
    tile.blocks.len() * LANES * STEPS <= TILE
}

dispatch! {
    fn fill<T: Lane>(band: &Band<T>, side: Side, tile: &mut Tile<T>, groups: Range<usize>) -> bool = fill_lanes
}

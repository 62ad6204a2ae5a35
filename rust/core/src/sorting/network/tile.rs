//! The passes over a network, on one list or on as many lists of one length as a vector has lanes.
//!
//! ```text
//! forward    for each layer, for each comparator (low, high) on scores p, q:
//!                a = min(p, q), b = max(p, q), d = b - a, w = W(steepness d);   p, q <- a + w d, b - w d
//!                A, B = the rows of V at a and at b;   V_low, V_high <- A + w (B - A), B - w (B - A)     this is P V
//! backward   the other way round, with the rows U of the wires after the layer:
//!                D = U_low - U_high;   U_a, U_b <- U_low - w D, U_high + w D                             this is P^T U
//! gradient   of <U, P V>, on the way back: s = <D, B - A>, g the gradient to the scores after the layer,
//!                h = (g_low - g_high) (w d)' + s w';   g_a, g_b <- g_low - h, g_high + h
//! ```
//!
//! A layer's comparators are taken in blocks of one vector: one comparator of many lists, or many of one list. Each lane
//! sees the same operations in the same order either way, so a list's result does not depend on its company.
//!
//! The way back needs w, d and B - A of every layer. They are recorded for one segment of layers at a time: the state at
//! the beginning of each segment is kept, and the segment run again before its way back. Short networks are one segment.

use super::aligned::Aligned;
use super::block::{Steepness, compare, descend, first_mut, mix, pick, unmix};
use super::weight::{Distribution, Lane};
use super::work::{Comparisons, Task, Work};
use crate::error::Result;
use crate::simd::dispatch;
use std::ops::Range;

/// Numbers that the record of a segment may take: it should stay in a core's own cache, as running a segment again is
/// faster than memory. (Segments never get shorter than the root of the depth.)
const RECORD: usize = 1 << 18;

/// As [`RECORD`], where nothing has to be run again: it should stay in the fastest cache.
const PRODUCT_RECORD: usize = 1 << 13;

/// The state of one or several lists on the wires: arrays of (wire, column, list), two idle wires at the end.
#[derive(Debug, Default)]
pub struct Tile<T> {
    /// Number of lists: 1 or [`Lane::LANES`].
    pub lists: usize,
    /// Columns of `v` and `u`.
    pub columns: usize,
    /// One per list.
    pub steepness: Vec<T>,
    /// Scores.
    pub x: Aligned<T>,
    /// Right factor.
    pub v: Aligned<T>,
    /// Left factor.
    pub u: Aligned<T>,
    /// Gradient to the scores.
    pub to_x: Aligned<T>,
    /// Gradient to the steepness, times the steepness, by place in the layer.
    pub to_steepness: Aligned<T>,
    /// For [`Lane::interleave`].
    pub spare: Aligned<T>,
    record: Record<T>,
    /// The state at the beginning of the segments.
    kept: Vec<T>,
    /// See [`Tile::is_tame`].
    tame: bool,
}

/// What the way back needs of the layers of a segment, one after the other. The weights carry the order of the scores in
/// their sign: negative where the lower wire had the larger score.
#[derive(Debug, Default)]
struct Record<T> {
    weights: Aligned<T>,
    distances: Aligned<T>,
    differences: Aligned<T>,
}

impl<T: Lane> Tile<T> {
    /// Makes room for `lists` lists on the wires of `work`. The idle wires and the gradients are zero; the
    /// caller fills the rest.
    pub fn clear(&mut self, lists: usize, columns: usize, work: &Work<'_>) {
        let scores = (work.network.wires() + 2) * lists;
        let idle = |numbers: &mut Aligned<T>, size: usize| {
            numbers.resize(size * scores);
            numbers[size * scores - size * 2 * lists..].fill(T::default());
        };
        let zeros = |numbers: &mut Aligned<T>, size: usize| {
            numbers.resize(size);
            numbers.fill(T::default());
        };
        (self.lists, self.columns) = (lists, columns);
        self.steepness.clear();
        self.steepness.resize(lists, T::of(1.0));
        idle(&mut self.x, 1);
        idle(&mut self.v, if work.task == Task::Transposed { 0 } else { columns });
        idle(&mut self.u, if work.task == Task::Product { 0 } else { columns });
        self.spare.resize(work.network.wires() * columns.max(1) * lists);
        let gradient = usize::from(work.task == Task::Bilinear);
        zeros(&mut self.to_x, gradient * scores);
        zeros(&mut self.to_steepness, gradient * work.network.width() * lists);
    }

    /// Layers in a segment; makes room for its record.
    fn segment(&mut self, work: &Work<'_>) -> usize {
        let (depth, weights) = (work.network.depth(), work.network.width() * self.lists);
        // Only gradients need more than the weights: elsewhere each layer overwrites the distances of the last.
        let (record, distances, differences) = match (work.task, work.comparisons) {
            (Task::Product, Comparisons::Made) => (PRODUCT_RECORD, 0, 0),
            (Task::Transposed, Comparisons::Made) => (RECORD, 0, 0),
            // The sums take the place of the first column.
            _ => (RECORD, 1, self.columns.max(1)),
        };
        let least = if work.task == Task::Product { 1 } else { (depth as f64).sqrt() as usize };
        let segment = (record / (weights * (1 + distances + differences)).max(1)).max(least).clamp(1, depth.max(1));
        self.record.weights.resize(segment * weights);
        self.record.distances.resize(if distances == 0 { weights } else { segment * weights });
        self.record.differences.resize(segment * weights * differences);
        segment
    }

    /// The gradient to the steepness of the list in `lane`.
    pub fn steepness_gradient(&self, lane: usize) -> T {
        let parts = self.to_steepness.iter().skip(lane).step_by(self.lists);
        parts.fold(T::default(), |sum, &part| sum + part) / self.steepness[lane]
    }

    /// Whether what a run on `work` records of all layers stays there to its end.
    pub fn is_recorded(&mut self, work: &Work<'_>) -> bool {
        self.segment(work) >= work.network.depth()
    }

    /// Whether all scores and distances are so small that nothing overflows, and that no weight has reached its limit.
    #[inline(always)]
    fn is_tame<const B: usize, const W: usize>(&self) -> bool {
        let (blocks, rest) = self.x.as_chunks::<B>();
        let mut tops = [T::default(); B];
        for block in blocks {
            for i in 0..B {
                let size = pick(block[i] < T::default(), -block[i], block[i]);
                tops[i] = pick(size > tops[i], size, tops[i]);
            }
        }
        for i in 0..rest.len() {
            let size = pick(rest[i] < T::default(), -rest[i], rest[i]);
            tops[i] = pick(size > tops[i], size, tops[i]);
        }
        let small =
            |i: usize| tops[i] <= T::of(1e-4 * T::MAX) && tops[i] * self.steepness[i % W] <= T::of(1e-4 * T::FAR);
        (0..B).all(small)
    }

    fn keep(&mut self) {
        self.kept.extend_from_slice(&self.x);
        self.kept.extend_from_slice(&self.v);
    }

    /// Goes back to the state kept last.
    fn restore(&mut self) {
        let split = self.kept.len() - self.v.len();
        self.v.copy_from_slice(&self.kept[split..]);
        let start = split - self.x.len();
        self.x.copy_from_slice(&self.kept[start..split]);
        self.kept.truncate(start);
    }
}

/// Runs `work` on a tile.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn run<T: Lane>(tile: &mut Tile<T>, work: &Work<'_>) -> Result<()> {
    let depth = work.network.depth();
    let segment = tile.segment(work);
    let (layers, last) = (|index| index * segment..depth.min((index + 1) * segment), depth.saturating_sub(1) / segment);
    tile.kept.clear();
    for index in 0..=last {
        if index < last && work.task != Task::Product {
            tile.keep();
        }
        T::forward(tile, work, layers(index))?;
    }
    if work.task == Task::Product {
        return Ok(());
    }
    let product = if last > 0 { tile.v.to_vec() } else { Vec::new() };
    T::backward(tile, work, layers(last))?;
    for index in (0..last).rev() {
        tile.restore();
        T::forward(tile, work, layers(index))?;
        T::backward(tile, work, layers(index))?;
    }
    if last > 0 {
        tile.v.copy_from_slice(&product);
    }
    Ok(())
}

dispatch! {
    /// [`forward`] for 32 lists in single precision.
    pub fn forward_f32(tile: &mut Tile<f32>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = forward::<f32, 32, 32>
}
dispatch! {
    /// [`forward`] for one list in single precision.
    pub fn forward_single_f32(tile: &mut Tile<f32>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = forward::<f32, 16, 1>
}
dispatch! {
    /// [`forward`] for sixteen lists in double precision.
    pub fn forward_f64(tile: &mut Tile<f64>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = forward::<f64, 16, 16>
}
dispatch! {
    /// [`forward`] for one list in double precision.
    pub fn forward_single_f64(tile: &mut Tile<f64>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = forward::<f64, 16, 1>
}
dispatch! {
    /// [`backward`] for 32 lists in single precision.
    pub fn backward_f32(tile: &mut Tile<f32>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = backward::<f32, 32, 32>
}
dispatch! {
    /// [`backward`] for one list in single precision.
    pub fn backward_single_f32(tile: &mut Tile<f32>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = backward::<f32, 16, 1>
}
dispatch! {
    /// [`backward`] for sixteen lists in double precision.
    pub fn backward_f64(tile: &mut Tile<f64>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = backward::<f64, 16, 16>
}
dispatch! {
    /// [`backward`] for one list in double precision.
    pub fn backward_single_f64(tile: &mut Tile<f64>, work: &Work<'_>, layers: Range<usize>) -> Result<()>
        = backward::<f64, 16, 1>
}

/// Calls `$pass::<.., TAME>` with the distribution as a constant, so that its loop is compiled for each of them alone.
macro_rules! for_each_distribution {
    ($pass:ident($tile:expr, $work:expr, $layers:expr): $($name:ident)*) => {
        match ($work.distribution, $tile.tame) {
            $(
                (Distribution::$name, true) => $pass::<T, B, W, true>($tile, $work, $layers, Distribution::$name),
                (Distribution::$name, false) => $pass::<T, B, W, false>($tile, $work, $layers, Distribution::$name),
            )*
        }
    };
}

/// Takes a tile of `W` lists through `layers`, in blocks of `B` lanes, and records what the way back needs.
#[inline(always)]
pub fn forward<T: Lane, const B: usize, const W: usize>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
) -> Result<()> {
    if work.comparisons != Comparisons::Known {
        tile.tame = tile.is_tame::<B, W>();
        for_each_distribution!(compare_all(tile, work, layers.clone()):
            Logistic LogisticArt Reciprocal Cauchy Gaussian Optimal)?;
    }
    match work.task {
        Task::Transposed => Ok(()),
        Task::Product if tile.columns == 1 => mix_all::<T, B, W, false>(tile, work, layers, 1),
        Task::Product => mix_all::<T, B, W, false>(tile, work, layers, tile.columns),
        Task::Bilinear if tile.columns == 1 => mix_all::<T, B, W, true>(tile, work, layers, 1),
        Task::Bilinear => mix_all::<T, B, W, true>(tile, work, layers, tile.columns),
    }
}

/// Takes a tile back through the `layers` that were recorded last.
#[inline(always)]
pub fn backward<T: Lane, const B: usize, const W: usize>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
) -> Result<()> {
    match work.task {
        Task::Product => return Ok(()),
        Task::Transposed if tile.columns == 1 => return unmix_all::<T, B, W, false>(tile, work, layers, 1),
        Task::Transposed => return unmix_all::<T, B, W, false>(tile, work, layers, tile.columns),
        Task::Bilinear if tile.columns == 1 => unmix_all::<T, B, W, true>(tile, work, layers.clone(), 1),
        Task::Bilinear => unmix_all::<T, B, W, true>(tile, work, layers.clone(), tile.columns),
    }?;
    for_each_distribution!(descend_all(tile, work, layers):
        Logistic LogisticArt Reciprocal Cauchy Gaussian Optimal)
}

/// Lets the scores through `layers`; records weights and distances.
#[inline(always)]
fn compare_all<T: Lane, const B: usize, const W: usize, const TAME: bool>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
    distribution: Distribution,
) -> Result<()> {
    let steepness = Steepness::<T, B>::new::<W>(&tile.steepness, distribution);
    let (x, Record { weights, distances, .. }) = (&mut tile.x[..], &mut tile.record);
    let (weights, distances) = (weights.as_chunks_mut::<B>().0, distances.as_chunks_mut::<B>().0);
    let mut end = 0;
    for layer in layers {
        work.job.check()?;
        let blocks = work.network.layer(layer).chunks_exact(B / W);
        let start = end;
        end += blocks.len();
        let place = if work.task == Task::Bilinear || work.comparisons == Comparisons::Kept { start } else { 0 };
        for ((pairs, w), d) in blocks.zip(&mut weights[start..end]).zip(&mut distances[place..]) {
            (*w, *d) = compare::<T, B, W, TAME>(x, pairs, &steepness, distribution);
        }
    }
    Ok(())
}

/// Lets the right factor through `layers`; records the differences if `KEEP`.
#[inline(always)]
fn mix_all<T: Lane, const B: usize, const W: usize, const KEEP: bool>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
    columns: usize,
) -> Result<()> {
    let (v, Record { weights, differences, .. }) = (&mut tile.v[..], &mut tile.record);
    let (weights, mut at) = (weights.as_chunks::<B>().0, 0);
    for layer in layers {
        work.job.check()?;
        for pairs in work.network.layer(layer).chunks_exact(B / W) {
            let kept = if KEEP { &mut differences[at * columns * B..(at + 1) * columns * B] } else { &mut [] };
            mix::<T, B, W, KEEP>(v, pairs, &weights[at], columns, kept);
            at += 1;
        }
    }
    Ok(())
}

/// Takes the left factor back through `layers`. If `SUM`, `<D, B - A>` replaces the differences of the first column.
#[inline(always)]
fn unmix_all<T: Lane, const B: usize, const W: usize, const SUM: bool>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
    columns: usize,
) -> Result<()> {
    let (u, Record { weights, differences, .. }) = (&mut tile.u[..], &mut tile.record);
    let (weights, stride, mut start) = (weights.as_chunks::<B>().0, columns.max(1) * B, blocks::<B, W>(work, &layers));
    for layer in layers.rev() {
        work.job.check()?;
        let blocks = work.network.layer(layer).chunks_exact(B / W);
        let end = start;
        start -= blocks.len();
        for (at, (pairs, w)) in (start..end).zip(blocks.zip(&weights[start..end])) {
            let kept = if SUM { &mut differences[at * stride..(at + 1) * stride] } else { &mut [] };
            let sums = unmix::<T, B, W, SUM>(u, pairs, w, columns, kept);
            if SUM {
                *first_mut(kept) = sums;
            }
        }
    }
    Ok(())
}

/// Takes the gradient to the scores back through `layers`, and adds to that to the steepness.
#[inline(always)]
fn descend_all<T: Lane, const B: usize, const W: usize, const TAME: bool>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
    distribution: Distribution,
) -> Result<()> {
    let steepness = Steepness::<T, B>::new::<W>(&tile.steepness, distribution);
    let Record { weights, distances, differences } = &tile.record;
    let (to_x, to_steepness) = (&mut tile.to_x[..], tile.to_steepness.as_chunks_mut::<B>().0);
    let (weights, distances) = (weights.as_chunks::<B>().0, distances.as_chunks::<B>().0);
    let stride = tile.columns.max(1);
    let sums = differences.as_chunks::<B>().0;
    let mut start = blocks::<B, W>(work, &layers);
    for layer in layers.rev() {
        work.job.check()?;
        let blocks = work.network.layer(layer).chunks_exact(B / W);
        let end = start;
        start -= blocks.len();
        let known =
            weights[start..end].iter().zip(&distances[start..end]).zip(sums[start * stride..].iter().step_by(stride));
        for ((pairs, place), ((w, d), sum)) in blocks.zip(&mut *to_steepness).zip(known) {
            descend::<T, B, W, TAME>(to_x, pairs, (w, d, sum), &steepness, distribution, place);
        }
    }
    Ok(())
}

/// Blocks in `layers`.
fn blocks<const B: usize, const W: usize>(work: &Work<'_>, layers: &Range<usize>) -> usize {
    layers.clone().map(|layer| work.network.layer(layer).len() / (B / W)).sum()
}

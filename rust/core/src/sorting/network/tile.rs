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

use super::block::{Steepness, compare, descend, first, first_mut, mix, unmix};
use super::weight::{Distribution, Lane};
use super::wires::Network;
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;
use std::ops::Range;

/// Numbers that the record of a segment may take: it should stay in a core's own cache, as running a segment again is
/// faster than memory. (Segments never get shorter than the root of the depth.)
const RECORD: usize = 1 << 17;

/// What is asked of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// v becomes P v.
    Product,
    /// u becomes P^T u.
    Transposed,
    /// Both, and the gradient of `<u, P v>` to the scores and the steepness.
    Bilinear,
}

/// What to run.
#[derive(Debug)]
pub struct Work<'a> {
    /// The comparators, in blocks of the tile.
    pub network: &'a Network,
    /// How they mix.
    pub distribution: Distribution,
    /// What is asked for.
    pub task: Task,
    /// For interrupts.
    pub job: &'a Job,
}

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
    pub x: Vec<T>,
    /// Right factor.
    pub v: Vec<T>,
    /// Left factor.
    pub u: Vec<T>,
    /// Gradient to the scores.
    pub to_x: Vec<T>,
    /// Gradient to the steepness, times the steepness, by place in the layer.
    pub to_steepness: Vec<T>,
    record: Record<T>,
    kept: Vec<T>,
}

/// What the way back needs of the layers of a segment, one after the other. The weights carry the order of the scores in
/// their sign: negative where the lower wire had the larger score.
#[derive(Debug, Default)]
struct Record<T> {
    weights: Vec<T>,
    distances: Vec<T>,
    differences: Vec<T>,
}

impl<T: Lane> Tile<T> {
    /// Makes room for `lists` lists on the wires of `work`. What the caller does not fill is zero.
    pub fn clear(&mut self, lists: usize, columns: usize, work: &Work<'_>) {
        let scores = (work.network.wires() + 2) * lists;
        let fill = |vector: &mut Vec<T>, size: usize| {
            vector.clear();
            vector.resize(size, T::default());
        };
        (self.lists, self.columns) = (lists, columns);
        self.steepness.clear();
        self.steepness.resize(lists, T::of(1.0));
        fill(&mut self.x, scores);
        fill(&mut self.v, if work.task == Task::Transposed { 0 } else { scores * columns });
        fill(&mut self.u, if work.task == Task::Product { 0 } else { scores * columns });
        let gradient = usize::from(work.task == Task::Bilinear);
        fill(&mut self.to_x, gradient * scores);
        fill(&mut self.to_steepness, gradient * work.network.width() * lists);
    }

    /// Layers in a segment; makes room for its record.
    fn segment(&mut self, work: &Work<'_>) -> usize {
        let (depth, weights) = (work.network.depth(), work.network.width() * self.lists);
        let all = if work.task == Task::Bilinear { weights * (2 + self.columns) } else { weights };
        let segment = (RECORD / all.max(1)).max((depth as f64).sqrt() as usize).clamp(1, depth.max(1));
        let room = |vector: &mut Vec<T>, size: usize| {
            if vector.len() < size {
                vector.resize(size, T::default());
            }
        };
        room(&mut self.record.weights, segment * weights);
        if work.task == Task::Bilinear {
            room(&mut self.record.distances, segment * weights);
            room(&mut self.record.differences, segment * weights * self.columns);
        }
        segment
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

/// Runs `work` on a tile of `W` lists in blocks of `B` lanes.
#[inline(always)]
pub fn tile_of<T: Lane, const B: usize, const W: usize>(tile: &mut Tile<T>, work: &Work<'_>) -> Result<()> {
    let depth = work.network.depth();
    if work.task == Task::Product {
        return forward::<T, B, W, false>(tile, work, 0..depth);
    }
    let segment = tile.segment(work);
    let last = depth.saturating_sub(1) / segment;
    tile.kept.clear();
    for index in 0..last {
        tile.keep();
        forward::<T, B, W, false>(tile, work, index * segment..(index + 1) * segment)?;
    }
    forward::<T, B, W, true>(tile, work, last * segment..depth)?;
    let product = if last > 0 { tile.v.clone() } else { Vec::new() };
    backward::<T, B, W>(tile, work, last * segment..depth)?;
    for index in (0..last).rev() {
        tile.restore();
        forward::<T, B, W, true>(tile, work, index * segment..(index + 1) * segment)?;
        backward::<T, B, W>(tile, work, index * segment..(index + 1) * segment)?;
    }
    if last > 0 {
        tile.v = product;
    }
    Ok(())
}

dispatch! {
    /// Sixteen lists in single precision.
    pub fn tile_f32(tile: &mut Tile<f32>, work: &Work<'_>) -> Result<()> = tile_of::<f32, 16, 16>
}
dispatch! {
    /// One list in single precision.
    pub fn single_f32(tile: &mut Tile<f32>, work: &Work<'_>) -> Result<()> = tile_of::<f32, 16, 1>
}
dispatch! {
    /// Eight lists in double precision.
    pub fn tile_f64(tile: &mut Tile<f64>, work: &Work<'_>) -> Result<()> = tile_of::<f64, 8, 8>
}
dispatch! {
    /// One list in double precision.
    pub fn single_f64(tile: &mut Tile<f64>, work: &Work<'_>) -> Result<()> = tile_of::<f64, 8, 1>
}

#[inline(always)]
fn forward<T: Lane, const B: usize, const W: usize, const KEEP: bool>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
) -> Result<()> {
    let steepness = Steepness::<T, B>::new::<W>(&tile.steepness, work.distribution);
    let columns = if tile.v.is_empty() { 0 } else { tile.columns };
    let differ = KEEP && work.task == Task::Bilinear;
    let mut at = 0;
    for layer in layers {
        work.job.check()?;
        for pairs in work.network.layer(layer).chunks_exact(B / W) {
            let (weights, distances) = compare::<T, B, W>(&mut tile.x, pairs, &steepness, work.distribution);
            if KEEP {
                *first_mut(&mut tile.record.weights[at..]) = weights;
            }
            if differ {
                *first_mut(&mut tile.record.distances[at..]) = distances;
                let differences = &mut tile.record.differences[at * columns..(at + B) * columns];
                mix::<T, B, W, true>(&mut tile.v, pairs, &weights, columns, differences);
            } else {
                mix::<T, B, W, false>(&mut tile.v, pairs, &weights, columns, &mut []);
            }
            at += B;
        }
    }
    Ok(())
}

#[inline(always)]
fn backward<T: Lane, const B: usize, const W: usize>(
    tile: &mut Tile<T>,
    work: &Work<'_>,
    layers: Range<usize>,
) -> Result<()> {
    let steepness = Steepness::<T, B>::new::<W>(&tile.steepness, work.distribution);
    let (columns, gradient) = (tile.columns, work.task == Task::Bilinear);
    let mut end: usize = layers.clone().map(|layer| work.network.layer(layer).len() * W).sum();
    for layer in layers.rev() {
        work.job.check()?;
        let pairs = work.network.layer(layer);
        end -= pairs.len() * W;
        for (block, pairs) in pairs.chunks_exact(B / W).enumerate() {
            let at = end + block * B;
            let weights = first::<T, B>(&tile.record.weights[at..]);
            if gradient {
                let differences = &tile.record.differences[at * columns..(at + B) * columns];
                let sums = unmix::<T, B, W, true>(&mut tile.u, pairs, weights, columns, differences);
                let distances = first::<T, B>(&tile.record.distances[at..]);
                let to_steepness = &mut tile.to_steepness[block * B..(block + 1) * B];
                let known = (weights, distances, &sums);
                descend::<T, B, W>(&mut tile.to_x, pairs, known, &steepness, work.distribution, to_steepness);
            } else {
                unmix::<T, B, W, false>(&mut tile.u, pairs, weights, columns, &[]);
            }
        }
    }
    Ok(())
}

//! `SoftSort`'s products with one column, and their derivatives: the formulas of [`softsort`](crate::sorting::softsort) in
//! blocks that stay in cache.
//!
//! ```text
//! for each block, upwards:       carry the left sums to its end                        (not for the last)
//! for each block, downwards:     links, left and right sums of (1, v) from the carries; z, y; a = g / z, c = a y
//! the same with (-c, a), next to the sums of (1, v): forces and products from all eight sums of an item
//! ```
//!
//! Both directions of a block run in one loop: each waits for its own multiplication only.

use crate::elementary::decay_f64;
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{Key, counted};
use crate::sorting::products::{Gradients, spoilt};
use std::ops::Range;

/// Items of a block.
const BLOCK: usize = 1 << 12;

/// Sums on their way from item to item, of two columns.
type Carry = [f64; 2];

/// Two columns of a block, or the sums of both on one side.
type Pair = [Vec<f64>; 2];

/// A list in sorted order.
struct Sorted<'a, T> {
    scores: Vec<T>,
    blocks: Vec<Range<usize>>,
    temperature: f64,
    job: &'a Job,
}

/// Working memory for one block.
#[derive(Debug, Default)]
pub struct Block {
    scores: Vec<f64>,
    steps: Vec<f64>,
    links: Vec<f64>,
    /// The columns 1 and v with their sums, and the columns -c and a with theirs.
    v: Sides,
    a: Sides,
    push: Vec<f64>,
    sums: Vec<f64>,
    crossings: Vec<f64>,
}

/// Two columns and their sums on both sides.
#[derive(Debug, Default)]
struct Sides {
    x: Pair,
    left: Pair,
    right: Pair,
}

impl Sides {
    fn resize(&mut self, n: usize) {
        for pair in [&mut self.x, &mut self.left, &mut self.right] {
            pair.iter_mut().for_each(|column| column.resize(n, 0.0));
        }
    }

    fn columns(&self, n: usize) -> [&[f64]; 6] {
        let [x, left, right] = [&self.x, &self.left, &self.right];
        [&x[0][..n], &x[1][..n], &left[0][..n], &left[1][..n], &right[0][..n], &right[1][..n]]
    }

    /// Fills the sums, given those that come from the blocks on both sides, and returns those that go down.
    fn sweep(&mut self, links: &[f64], up: Carry, down: Carry) -> Carry {
        let (n, Self { x, left, right }) = (links.len(), self);
        let [(x0, x1), (left0, left1), (right0, right1)] =
            [x, left, right].map(|[first, second]| (&mut first[..n], &mut second[..n]));
        let (mut up, mut down) = (up, down);
        for i in 0..n {
            let j = n - 1 - i;
            let (link, back) = (links[i], links[j]);
            (left0[i], left1[i]) = (link * up[0], link * up[1]);
            up = [left0[i] + x0[i], left1[i] + x1[i]];
            (right0[j], right1[j]) = (down[0], down[1]);
            down = [back * (down[0] + x0[j]), back * (down[1] + x1[j])];
        }
        down
    }
}

impl<'a, T: Key> Sorted<'a, T> {
    fn new(scores: Vec<T>, temperature: f64, job: &'a Job) -> Self {
        let (n, mut blocks, mut begin) = (scores.len(), Vec::new(), 0);
        while begin < n {
            let mut end = n.min(begin + BLOCK);
            // Equal items stay together.
            while end < n && scores[end] == scores[end - 1] {
                end += 1;
            }
            blocks.push(begin..end);
            begin = end;
        }
        Self { scores, blocks, temperature, job }
    }

    /// Fills the links of the items of `range`, each to the item before.
    fn join(&self, range: &Range<usize>, block: &mut Block) {
        let Block { scores, steps, links, v, a, push, sums, crossings } = block;
        scores.clear();
        scores.push(self.scores[range.start.saturating_sub(1)].wide());
        scores.extend(self.scores[range.clone()].iter().map(|s| s.wide()));
        for column in [&mut *steps, &mut *links, &mut *push, &mut *sums, &mut *crossings] {
            column.resize(range.len(), 0.0);
        }
        v.resize(range.len());
        a.resize(range.len());
        join(scores, self.temperature, steps, links);
        if range.start == 0 {
            links[0] = 0.0;
        }
    }

    /// The left sums that reach each block, of the columns that `fill` writes.
    fn carries(&self, block: &mut Block, fill: impl Fn(Range<usize>, &mut Pair)) -> Result<Vec<Carry>> {
        let (mut carries, mut sums) = (Vec::with_capacity(self.blocks.len()), [0.0; 2]);
        for (b, range) in self.blocks.iter().enumerate() {
            carries.push(sums);
            if b + 1 < self.blocks.len() {
                self.job.check()?;
                self.join(range, block);
                fill(range.clone(), &mut block.v.x);
                sums = carry(&block.links, &block.v.x, sums);
            }
        }
        Ok(carries)
    }
}

fn widen<T: Key>(from: &[T], to: &mut [f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.wide());
}

fn values<T: Key>(v: &[T], x: &mut Pair) {
    x[0].fill(1.0);
    widen(v, &mut x[1]);
}

/// Items in the order of their places.
fn fetch<T: Key>(from: &[T], places: &[i32]) -> Vec<T> {
    places.iter().map(|&place| from[place as usize]).collect()
}

/// Fills `y` with `P v`; `places` is the order of the items that count.
pub(super) fn product<T: Key>(
    places: &[i32],
    [x, v]: [&[T]; 2],
    temperature: f64,
    y: &mut [T],
    block: &mut Block,
    job: &Job,
) -> Result<()> {
    let (list, v) = (Sorted::new(fetch(x, places), temperature, job), fetch(v, places));
    let carries = list.carries(block, |range, x| values(&v[range], x))?;
    let mut down = [0.0; 2];
    for (range, &up) in list.blocks.iter().zip(&carries).rev() {
        job.check()?;
        list.join(range, block);
        values(&v[range.clone()], &mut block.v.x);
        down = block.v.sweep(&block.links, up, down);
        quotients(&block.v, &mut block.push, &mut block.sums);
        y[range.clone()].iter_mut().zip(&block.sums).for_each(|(y, &sum)| *y = T::of(sum));
    }
    Ok(())
}

/// As [`products::gradients`](crate::sorting::products::gradients) for this method and one column.
///
/// # Errors
/// [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)]
pub fn gradients<T: Key>(
    lists: &Lists<'_>,
    x: &[T],
    v: &[T],
    g: &[T],
    temperature: &[T],
    places: &[i32],
    descending: bool,
    out: &mut Gradients<'_, T>,
    job: &Job,
) -> Result<()> {
    let (to_x, to_v, to_g) = (Output::new(out.x), Output::new(out.v), Output::new(out.g));
    let to_temperature = Output::new(out.temperature);
    lists.each(job, Block::default, |block, list, range| {
        // SAFETY: lists do not overlap.
        let mut to = unsafe {
            Gradients {
                x: to_x.part(range.clone()),
                v: to_v.part(range.clone()),
                g: to_g.part(range.clone()),
                temperature: to_temperature.part(list..list + 1),
            }
        };
        for slice in [&mut *to.x, &mut *to.v, &mut *to.g, &mut *to.temperature] {
            slice.fill(T::ZERO);
        }
        let places = &places[range.clone()];
        let places = &places[..counted(places)];
        let (x, v, g) = (&x[range.clone()], &v[range.clone()], &g[range]);
        if spoilt(places.len(), |r| x[places[r] as usize].wide()) {
            let nan = T::of(f64::NAN);
            for (r, &place) in places.iter().enumerate() {
                (to.x[place as usize], to.v[place as usize], to.g[r]) = (nan, nan, nan);
            }
            to.temperature[0] = nan;
            return Ok(());
        }
        of_list(places, [x, v, g], temperature[list].wide(), descending, &mut to, block, job)
    })
}

/// [`gradients`] of one list.
fn of_list<T: Key>(
    places: &[i32],
    [x, v, g]: [&[T]; 3],
    temperature: f64,
    descending: bool,
    to: &mut Gradients<'_, T>,
    block: &mut Block,
    job: &Job,
) -> Result<()> {
    let (list, v) = (Sorted::new(fetch(x, places), temperature, job), fetch(v, places));
    let up = list.carries(block, |range, x| values(&v[range], x))?;
    // The columns -c and a, and the sums of (1, v) that come down to each block.
    let (mut c, mut a, mut down) = (vec![0.0; v.len()], vec![0.0; v.len()], vec![[0.0; 2]; up.len()]);
    for (b, range) in list.blocks.iter().enumerate().rev() {
        job.check()?;
        list.join(range, block);
        values(&v[range.clone()], &mut block.v.x);
        let next = block.v.sweep(&block.links, up[b], down[b]);
        if b > 0 {
            down[b - 1] = next;
        }
        quotients(&block.v, &mut block.push, &mut block.sums);
        for (r, (z, y)) in range.clone().zip(block.push.iter().zip(&block.sums)) {
            a[r] = g[r].wide() / z;
            c[r] = -a[r] * y;
            to.g[r] = T::of(*y);
        }
    }
    let weights = |range: Range<usize>, x: &mut Pair| {
        x[0].copy_from_slice(&c[range.clone()]);
        x[1].copy_from_slice(&a[range]);
    };
    let up_a = list.carries(block, weights)?;
    let (mut down_a, mut total, scale) = ([0.0; 2], 0.0, if descending { 1.0 } else { -1.0 } / temperature);
    for (b, range) in list.blocks.iter().enumerate().rev() {
        job.check()?;
        if list.blocks.len() > 1 {
            list.join(range, block);
            values(&v[range.clone()], &mut block.v.x);
            block.v.sweep(&block.links, up[b], down[b]);
        }
        weights(range.clone(), &mut block.a.x);
        down_a = block.a.sweep(&block.links, up_a[b], down_a);
        total += block.forces();
        for (i, r) in range.clone().enumerate() {
            let place = places[r] as usize;
            to.v[place] = T::of(block.sums[i]);
            to.x[place] = if list.scores[r].is_finite() { T::of(scale * block.push[i]) } else { T::ZERO };
        }
    }
    to.temperature[0] = T::of(total / temperature);
    Ok(())
}

impl Block {
    /// Fills `push` and `sums` (the transposed product), and returns the sum of what crosses each gap times its width.
    fn forces(&mut self) -> f64 {
        let Self { steps, links, v, a, push, sums, crossings, .. } = self;
        forces(steps, links, v, a, push, sums, crossings);
        let (n, mut first) = (steps.len(), 0);
        while first < n {
            let mut last = first;
            while last + 1 < n && steps[last + 1] == 0.0 {
                last += 1;
            }
            // Equal items do not push each other.
            for i in first..=last {
                if first < last {
                    push[i] = v.push(a, i, first, last);
                }
            }
            first = last + 1;
        }
        let mut lanes = [0.0; 8];
        for terms in crossings.chunks(8) {
            lanes.iter_mut().zip(terms).for_each(|(lane, term)| *lane += term);
        }
        lanes.iter().sum()
    }
}

impl Sides {
    /// What the items below `first` and those above `last` do to item `i`.
    #[inline(always)]
    fn push(&self, a: &Self, i: usize, first: usize, last: usize) -> f64 {
        let push = |w: usize| {
            a.x[w][i] * (self.left[w][first] - self.right[w][last])
                + self.x[w][i] * (a.left[w][first] - a.right[w][last])
        };
        push(0) + push(1)
    }
}

dispatch! {
    fn forces(
        steps: &[f64],
        links: &[f64],
        v: &Sides,
        a: &Sides,
        push: &mut [f64],
        sums: &mut [f64],
        crossings: &mut [f64],
    ) = forces_lanes
}

#[inline(always)]
fn forces_lanes(
    steps: &[f64],
    links: &[f64],
    v: &Sides,
    a: &Sides,
    push: &mut [f64],
    sums: &mut [f64],
    crossings: &mut [f64],
) {
    let n = steps.len();
    let (links, push, sums, crossings) = (&links[..n], &mut push[..n], &mut sums[..n], &mut crossings[..n]);
    let [v0, v1, left_v0, left_v1, right_v0, right_v1] = v.columns(n);
    let [a0, a1, left_a0, left_a1, right_a0, right_a1] = a.columns(n);
    for i in 0..n {
        let with_a = [a0[i] + right_a0[i], a1[i] + right_a1[i]];
        let crossing = left_a0[i] * (v0[i] + right_v0[i])
            + left_v0[i] * with_a[0]
            + (left_a1[i] * (v1[i] + right_v1[i]) + left_v1[i] * with_a[1]);
        // Beyond a link of 0 nothing crosses, though the step may be infinite.
        crossings[i] = if links[i] == 0.0 { 0.0 } else { steps[i] * crossing };
        sums[i] = left_a1[i] + with_a[1];
        push[i] = a0[i] * (left_v0[i] - right_v0[i])
            + v0[i] * (left_a0[i] - right_a0[i])
            + (a1[i] * (left_v1[i] - right_v1[i]) + v1[i] * (left_a1[i] - right_a1[i]));
    }
}

dispatch! {
    fn quotients(v: &Sides, z: &mut [f64], y: &mut [f64]) = quotients_lanes
}

/// Fills z, the sums of the first column, and y, the quotients of the second's by them.
#[inline(always)]
fn quotients_lanes(v: &Sides, z: &mut [f64], y: &mut [f64]) {
    let n = z.len();
    let (y, [x0, x1, left0, left1, right0, right1]) = (&mut y[..n], v.columns(n));
    for i in 0..n {
        z[i] = (left0[i] + right0[i]) + x0[i];
        y[i] = ((left1[i] + right1[i]) + x1[i]) / z[i];
    }
}

/// The left sums at the end of a block.
fn carry(links: &[f64], [x0, x1]: &Pair, from: Carry) -> Carry {
    links
        .iter()
        .zip(x0.iter().zip(x1))
        .fold(from, |[sum0, sum1], (link, (x0, x1))| [link * sum0 + x0, link * sum1 + x1])
}

dispatch! {
    fn join(scores: &[f64], temperature: f64, steps: &mut [f64], links: &mut [f64]) = join_lanes
}

/// Fills steps and links; the score before the first item comes first.
#[inline(always)]
fn join_lanes(scores: &[f64], temperature: f64, steps: &mut [f64], links: &mut [f64]) {
    let n = steps.len();
    let (before, here, links) = (&scores[..n], &scores[1..=n], &mut links[..n]);
    for i in 0..n {
        let distance = (here[i] - before[i]).abs() / temperature;
        // Two infinities of one sign are equal; their difference is NaN.
        steps[i] = if here[i] == before[i] { 0.0 } else { distance };
        links[i] = decay_f64(steps[i]);
    }
}

//! From the blocks of soft ranks to the ranks of the items.

use crate::fresh::room;
use crate::simd::dispatch;
use crate::sorting::order::{Key, Packed};

/// How the ranks of a block depend on its u: (u - origin - center) scale + level.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line {
    pub origin: f64,
    pub center: f64,
    pub scale: f64,
    pub level: f64,
}

impl Line {
    pub const IDENTITY: Self = Self { origin: 0.0, center: 0.0, scale: 1.0, level: 0.0 };

    pub const fn constant(level: f64) -> Self {
        Self { origin: 0.0, center: 0.0, scale: 0.0, level }
    }
}

/// The lines of all blocks, and which block each place belongs to. Most blocks are short: what differs from block to block
/// is looked up for each place, as a loop over each block would end where the processor does not foresee it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    drawn: Vec<Line>,
    /// What `rank::Outputs::block` says of their items.
    numbers: Vec<i32>,
    block_of: Vec<u32>,
    /// Places so far.
    places: usize,
}

impl Lines {
    /// Places that are written at a time.
    const STEP: usize = 16;

    /// Makes room for so many places.
    pub fn clear(&mut self, places: usize) {
        room(&mut self.block_of, places + Self::STEP, 0);
        self.drawn.clear();
        self.numbers.clear();
        self.places = 0;
    }

    /// Adds a block up to place `end`.
    #[inline(always)]
    pub fn push(&mut self, end: usize, line: Line, number: i32) {
        // What is written beyond the end, the next block overwrites.
        while self.places < end {
            self.block_of[self.places..self.places + Self::STEP].fill(self.drawn.len() as u32);
            self.places += Self::STEP;
        }
        self.places = end;
        self.drawn.push(line);
        self.numbers.push(number);
    }

    /// The number of bytes it holds.
    pub const fn bytes(&self) -> usize {
        self.drawn.capacity() * size_of::<Line>() + (self.numbers.capacity() + self.block_of.capacity()) * 4
    }

    /// Replaces each u by its rank.
    pub fn align(&self, u: &mut [f64]) {
        align(&self.block_of, &self.drawn, u);
    }

    /// Gives each item its rank and the number of its block, by way of `spare` where that is allowed and faster.
    pub fn place<T: Key>(
        &self,
        keys: &[T::Packed],
        ranks: &[f64],
        spare: Option<&mut Vec<T::Packed>>,
        rank: &mut [T],
        block: &mut [i32],
    ) {
        let Self { numbers, block_of, .. } = self;
        match spare {
            Some(both) if rank.len() > CACHED => {
                room(both, rank.len(), T::Packed::default());
                put_both::<T>(keys, ranks, block_of, numbers, both);
                part::<T>(both, rank, block);
            }
            _ => put::<T>(keys, ranks, block_of, numbers, rank, block),
        }
    }
}

dispatch! {
    /// Replaces each u by its rank.
    fn align(block_of: &[u32], lines: &[Line], u: &mut [f64]) = align_each
}

#[inline(always)]
fn align_each(block_of: &[u32], lines: &[Line], u: &mut [f64]) {
    for (u, &block) in u.iter_mut().zip(block_of) {
        let Line { origin, center, scale, level } = lines[block as usize];
        *u = (*u - origin - center) * scale + level;
    }
}

dispatch! {
    fn put<T: Key>(keys: &[T::Packed], u: &[f64], block_of: &[u32], numbers: &[i32], rank: &mut [T], block: &mut [i32])
        = put_each::<T>
}

#[inline(always)]
fn put_each<T: Key>(
    keys: &[T::Packed],
    u: &[f64],
    block_of: &[u32],
    numbers: &[i32],
    rank: &mut [T],
    block: &mut [i32],
) {
    for ((key, &u), &own) in keys.iter().zip(u).zip(block_of) {
        let at = key.position() as usize;
        (rank[at], block[at]) = (T::of(u), numbers[own as usize]);
    }
}

dispatch! {
    /// [`put`], with rank and number in one: far from the caches one write to a random place is faster than two.
    fn put_both<T: Key>(keys: &[T::Packed], u: &[f64], block_of: &[u32], numbers: &[i32], both: &mut [T::Packed])
        = put_both_each::<T>
}

#[inline(always)]
fn put_both_each<T: Key>(keys: &[T::Packed], u: &[f64], block_of: &[u32], numbers: &[i32], both: &mut [T::Packed]) {
    for ((key, &u), &own) in keys.iter().zip(u).zip(block_of) {
        both[key.position() as usize] = T::Packed::pack(T::of(u).key(), numbers[own as usize] as u32);
    }
}

dispatch! {
    /// Takes apart what [`put_both`] put.
    fn part<T: Key>(both: &[T::Packed], rank: &mut [T], block: &mut [i32]) = part_each::<T>
}

#[inline(always)]
fn part_each<T: Key>(both: &[T::Packed], rank: &mut [T], block: &mut [i32]) {
    for ((rank, block), both) in rank.iter_mut().zip(block).zip(both) {
        (*rank, *block) = (T::of(T::value(both.key())), both.position() as i32);
    }
}

/// Ranks and blocks of so many items lie in the caches nearby.
const CACHED: usize = 1 << 13;

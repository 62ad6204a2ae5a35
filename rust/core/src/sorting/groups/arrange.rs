//! Which items of a list take part, and in which order.

use super::{Chance, Groups};
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{self, Key, Packed};
use std::hint::black_box;
use std::ops::Range;

/// Lists up to this length are ordered by counting.
const SHORT: usize = 32;
/// Lists that are ordered together.
const BLOCK: usize = 64;
/// Items that are counted at a time: one register of 64-bit numbers.
const LANES: usize = 8;

/// What lists are ordered by.
pub trait Score: Chance + Key {
    /// The place of every item of lists of `length` items when those of group 0, 1 and 2 follow each other, each group by
    /// value; false where sorting is as fast.
    fn places(_x: &[Self], _groups: &[u8], _length: usize, _scratch: &mut Scratch) -> bool {
        false
    }
}

/// What a thread keeps from block to block.
#[derive(Debug, Default)]
pub struct Scratch {
    groups: Vec<u8>,
    keys: Vec<i64>,
    places: Vec<i64>,
    sort: order::Scratch,
}

impl Score for f32 {
    fn places(x: &[Self], groups: &[u8], length: usize, scratch: &mut Scratch) -> bool {
        if x.is_empty() || length > SHORT {
            return false;
        }
        scratch.keys.resize(x.len() + SHORT, i64::MAX);
        scratch.places.resize(x.len() + SHORT, 0);
        places_f32(x, groups, length, &mut scratch.keys, &mut scratch.places);
        true
    }
}

impl Score for f64 {}

dispatch! {
    fn places_f32(x: &[f32], groups: &[u8], length: usize, keys: &mut [i64], places: &mut [i64]) = places_each
}

/// The place of an item is the number of smaller keys in its list. Keys are made of group, value and position, so no two
/// are equal.
#[inline(always)]
fn places_each(x: &[f32], groups: &[u8], length: usize, keys: &mut [i64], places: &mut [i64]) {
    for (i, ((key, &x), &group)) in keys.iter_mut().zip(x).zip(groups).enumerate() {
        *key = i64::from(group) << 53 | (Key::key(x) as i64) << 21 | i as i64;
    }
    match length.div_ceil(LANES) {
        0..=1 => count::<LANES>(x.len(), length, keys, places),
        2 => count::<{ 2 * LANES }>(x.len(), length, keys, places),
        _ => count::<SHORT>(x.len(), length, keys, places),
    }
}

/// Counts for `N` items at a time, no fewer than a list has.
#[inline(always)]
fn count<const N: usize>(items: usize, length: usize, keys: &[i64], places: &mut [i64]) {
    for first in (0..items).step_by(length) {
        let list = &keys[first..first + length];
        let own: &[i64; N] = keys[first..first + N].try_into().expect("the keys of some registers");
        let mut smaller = [0; N];
        for j in 0..length {
            // Not to know that items follow one another keeps the compiler at vectors of places.
            let key = list[black_box(j)];
            for l in 0..N {
                smaller[l] += i64::from(key < own[l]);
            }
        }
        // What goes beyond the list is written again for the next one.
        places[first..first + N].copy_from_slice(&smaller);
    }
}

impl<T: Score> Groups<'_, T> {
    /// For each list the positions of the items that take part, negatives and then positives, each group by value, equal
    /// values by position, then -1; and their number.
    pub(super) fn arrange(&self, job: &Job) -> Result<(Vec<i32>, Vec<i64>)> {
        let (lists, length) = (self.steepness.len(), self.length);
        let (mut order, mut count) = (vec![-1; lists * length], vec![0; lists]);
        let (orders, counts) = (Output::new(&mut order), Output::new(&mut count));
        let blocks: Vec<i64> = (0..=lists.div_ceil(BLOCK)).map(|b| (lists.min(b * BLOCK) * length) as i64).collect();
        Lists::ragged(&blocks, lists * length)?.each(job, Scratch::default, |scratch, block, items| {
            let first = block * BLOCK;
            // SAFETY: blocks do not overlap.
            let (order, count) = unsafe { (orders.part(items.clone()), counts.part(first..lists.min(first + BLOCK))) };
            self.arrange_block(items, scratch, order, count);
            Ok(())
        })?;
        Ok((order, count))
    }

    fn arrange_block(&self, items: Range<usize>, scratch: &mut Scratch, order: &mut [i32], count: &mut [i64]) {
        let (x, positive) = (&self.x[items.clone()], &self.positive[items.clone()]);
        let mut groups = std::mem::take(&mut scratch.groups);
        groups.clear();
        groups.extend(positive.iter().map(|&positive| u8::from(positive)));
        if let Some(mask) = self.mask {
            groups.iter_mut().zip(&mask[items]).filter(|&(_, &counts)| !counts).for_each(|(group, _)| *group = 2);
        }
        let counted = T::places(x, &groups, self.length, scratch);
        let lists = order.chunks_exact_mut(self.length.max(1)).zip(count);
        for (first, (order, count)) in (0..).step_by(self.length.max(1)).zip(lists) {
            let range = first..first + self.length;
            let groups = &groups[range.clone()];
            let sum: usize = groups.iter().map(|&group| usize::from(group)).sum();
            let masked: usize = groups.iter().map(|&group| usize::from(group == 2)).sum();
            let (positives, taking) = (sum - 2 * masked, self.length - masked);
            if positives == 0 || positives == taking {
                continue;
            }
            let dropped = (taking - positives).saturating_sub(self.negatives);
            *count = (taking - dropped) as i64;
            let order = &mut order[..taking - dropped];
            if counted {
                for (item, &place) in scratch.places[range].iter().enumerate() {
                    if let Some(slot) = order.get_mut((place as usize).wrapping_sub(dropped)) {
                        *slot = item as i32;
                    }
                }
            } else {
                let mut next = [0, taking - positives];
                for key in order::sorted(&x[range], None, false, &mut scratch.sort) {
                    let item = key.position();
                    let Some(place) = next.get_mut(usize::from(groups[item as usize])) else { continue };
                    if let Some(slot) = order.get_mut(place.wrapping_sub(dropped)) {
                        *slot = item as i32;
                    }
                    *place += 1;
                }
            }
        }
        scratch.groups = groups;
    }
}

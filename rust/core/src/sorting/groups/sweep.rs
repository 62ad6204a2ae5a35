//! The lists through their networks, in tiles.
//!
//! ```text
//! for lists of one length, side by side, in the order in which they enter:
//!     u = the indicator of the places of positives              1 - u as a second column where a 1 - c cancels
//!     compare the scores; c = P^T u; probabilities, their value
//!     v = gradient to the probabilities, turned round for 1 - c
//!     gradients of <u, P v> to scores and steepness, from the comparisons already made
//! ```
//!
//! u is a step: most comparators of a network for few positives or few negatives stand between equal numbers on the way
//! back, and are left out.

use super::chance::{Chance, chances, factor};
use super::{Groups, Mean, Upstream};
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::network::{Comparisons, Network, Task, Tile, Work, comparators, run_tile, together};
use crate::sorting::order;
use std::ops::Range;

/// What a sweep finds.
#[derive(Debug)]
pub(super) struct Swept<T> {
    /// Probabilities, their logarithms or their means.
    pub value: Vec<T>,
    /// Gradient to the scores; empty if none is asked for.
    pub x: Vec<T>,
    /// Gradient to the steepness; empty if none is asked for.
    pub steepness: Vec<T>,
}

/// A list: how many items take part, how many of them are negatives, its number.
type Entry = (u32, u32, u32);

/// What a thread keeps from tile to tile.
#[derive(Debug, Default)]
struct Scratch<T> {
    tile: Tile<T>,
    network: Network,
    /// What `network` was made for: items, negatives from and to, comparators in a block.
    made: [usize; 4],
    /// By (place, lane): 1 for positives, 0 for negatives.
    step: Vec<T>,
    chances: Vec<T>,
    values: Vec<T>,
}

/// Lists in the order that they come to.
pub(super) struct Sweep<'a, T> {
    groups: &'a Groups<'a, T>,
    order: &'a [i32],
    upstream: Upstream<'a, T>,
    job: &'a Job,
    value: Output<T>,
    to_x: Output<T>,
    to_steepness: Output<T>,
}

/// Values of all lists, whose `order` is known, and gradients.
pub(super) fn sweep<T: Chance>(
    groups: &Groups<'_, T>,
    order: &[i32],
    upstream: Upstream<'_, T>,
    job: &Job,
) -> Result<Swept<T>> {
    let (items, lists) = (groups.x.len(), groups.steepness.len());
    let none = T::of(if groups.log { 0.0 } else { 1.0 });
    let gradient = |size| vec![T::default(); if upstream == Upstream::None { 0 } else { size }];
    let mut found = Swept {
        value: vec![none; if groups.mean == Mean::No { items } else { lists }],
        x: gradient(items),
        steepness: gradient(lists),
    };
    let (value, to_x) = (Output::new(&mut found.value), Output::new(&mut found.x));
    let to_steepness = Output::new(&mut found.steepness);
    let sweep = Sweep { groups, order, upstream, job, value, to_x, to_steepness };
    let entries = sweep.entries();
    let (mut tiles, mut costs, mut from) = (Vec::new(), vec![0], 0);
    for same in entries.chunk_by(|a, b| a.0 == b.0) {
        let n = same[0].0 as usize;
        for group in same.chunks(T::LANES) {
            let size = if together::<T>(n, group.len()) { group.len() } else { 1 };
            for part in group.chunks(size) {
                tiles.push(from..from + part.len());
                costs.push(costs[costs.len() - 1] + ((3 * comparators(groups.form, n) + n) * part.len()) as i64);
                from += part.len();
            }
        }
    }
    Lists::ragged(&costs, costs.last().map_or(0, |&cost| cost as usize))?.each(
        job,
        Scratch::default,
        |scratch, tile, _| sweep.tile(&entries[tiles[tile].clone()], scratch),
    )?;
    Ok(found)
}

impl<T: Chance> Sweep<'_, T> {
    /// The lists that take part, those of a length together; those with a NaN get NaN results here.
    fn entries(&self) -> Vec<Entry> {
        let length = self.groups.length;
        let clean = !self.groups.x.iter().fold(false, |any, x| any | x.partial_cmp(x).is_none());
        let mut entries = Vec::with_capacity(self.groups.steepness.len());
        for list in 0..self.groups.steepness.len() {
            let range = list * length..(list + 1) * length;
            let order = &self.order[range.clone()];
            let n = if order.last().is_some_and(|&item| item >= 0) { length } else { order::counted(order) };
            if n == 0 {
                continue;
            }
            let (x, positive) = (&self.groups.x[range.clone()], &self.groups.positive[range]);
            let order = &order[..n];
            if !clean && order.iter().any(|&item| x[item as usize].partial_cmp(&x[item as usize]).is_none()) {
                self.spoil(list, order);
                continue;
            }
            let positives = match self.groups.mask {
                None => positive.iter().map(|&positive| u32::from(positive)).sum(),
                Some(_) => order.iter().map(|&item| u32::from(positive[item as usize])).sum::<u32>(),
            };
            entries.push((n as u32, n as u32 - positives, list as u32));
        }
        if !entries.is_sorted() {
            entries.sort_unstable();
        }
        entries
    }

    fn items(&self, list: usize) -> Range<usize> {
        list * self.groups.length..(list + 1) * self.groups.length
    }

    /// NaN in everything that belongs to a list.
    fn spoil(&self, list: usize, order: &[i32]) {
        // Times itself, so that the derivative of a dual number is NaN as well.
        let nan = T::of(f64::NAN) * T::of(f64::NAN);
        // SAFETY: nothing runs yet that writes to these results.
        unsafe {
            if self.groups.mean == Mean::No {
                order.iter().for_each(|&item| self.value.part(self.items(list))[item as usize] = nan);
            } else {
                self.value.part(list..list + 1).fill(nan);
            }
            if self.upstream != Upstream::None {
                order.iter().for_each(|&item| self.to_x.part(self.items(list))[item as usize] = nan);
                self.to_steepness.part(list..list + 1).fill(nan);
            }
        }
    }

    fn tile(&self, entries: &[Entry], scratch: &mut Scratch<T>) -> Result<()> {
        let (n, lanes) = (entries[0].0 as usize, if entries.len() == 1 { 1 } else { T::LANES });
        let block = if lanes == 1 { T::SINGLE } else { 1 };
        let steps = [entries[0].1 as usize, entries[entries.len() - 1].1 as usize];
        let made = [n, steps[0], steps[1], block];
        if scratch.made != made {
            let form = self.groups.form;
            (scratch.network, scratch.made) = (Network::new(form, n, block).narrowed(form, steps, block), made);
        }
        scratch.step.clear();
        scratch.step.resize(n * lanes, T::default());
        for (lane, &(_, m, _)) in entries.iter().enumerate() {
            let positives = scratch.step[m as usize * lanes + lane..].iter_mut().step_by(lanes);
            positives.for_each(|slot| *slot = T::of(1.0));
        }
        for columns in [1, 2] {
            if self.run(entries, columns, lanes, scratch)? {
                break;
            }
        }
        Ok(())
    }

    /// Takes a tile through its network, with or without the column of 1 - u; false if it is needed and not there.
    fn run(&self, entries: &[Entry], columns: usize, lanes: usize, scratch: &mut Scratch<T>) -> Result<bool> {
        let Scratch { tile, network, step, chances: found, .. } = scratch;
        let (distribution, job) = (self.groups.distribution, self.job);
        let mut work = Work { network, distribution, task: Task::Bilinear, comparisons: Comparisons::Kept, job };
        tile.clear(lanes, columns, &work);
        let kept = self.upstream != Upstream::None && tile.is_recorded(&work);
        work.comparisons = if kept { Comparisons::Kept } else { Comparisons::Made };
        work.task = Task::Transposed;
        self.load(entries, tile);
        load_step(step, tile);
        run_tile(tile, &work)?;
        found.resize(step.len(), T::default());
        if chances(&tile.u[..step.len() * columns], step, (lanes, columns), found) {
            return Ok(false);
        }
        self.values(entries, lanes, found, &mut scratch.values);
        if self.upstream == Upstream::None {
            return Ok(true);
        }
        work.task = Task::Bilinear;
        work.comparisons = if kept { Comparisons::Known } else { Comparisons::Made };
        if !kept {
            self.load(entries, tile);
        }
        load_step(step, tile);
        self.gradients(entries, lanes, &mut scratch.values);
        factor(found, step, &scratch.values, (self.groups.log, lanes, columns), &mut tile.v[..step.len() * columns]);
        run_tile(tile, &work)?;
        self.store(entries, tile);
        Ok(true)
    }

    /// Where the items of a list lie, in the order in which they enter.
    fn places(&self, entry: Entry) -> impl Iterator<Item = usize> + '_ {
        let first = entry.2 as usize * self.groups.length;
        self.order[first..first + entry.0 as usize].iter().map(move |&item| first + item as usize)
    }

    fn load(&self, entries: &[Entry], tile: &mut Tile<T>) {
        let lanes = tile.lists;
        if entries.len() < lanes {
            tile.x.fill(T::default());
        }
        for (lane, &entry) in entries.iter().enumerate() {
            tile.steepness[lane] = self.groups.steepness[entry.2 as usize];
            for (slots, item) in tile.x.chunks_exact_mut(lanes).zip(self.places(entry)) {
                slots[lane] = self.groups.x[item];
            }
        }
    }

    /// What is asked for, from the probabilities by (place, lane).
    fn values(&self, entries: &[Entry], lanes: usize, chances: &[T], values: &mut Vec<T>) {
        values.clear();
        values.extend_from_slice(chances);
        if self.groups.log {
            T::logarithms(values);
        }
        if self.groups.mean != Mean::No {
            let mut means = vec![T::default(); lanes];
            T::means(values, &mut means);
            for (&(.., list), &mean) in entries.iter().zip(&means) {
                // SAFETY: each list is in one tile.
                unsafe { self.value.part(list as usize..list as usize + 1)[0] = mean };
            }
            return;
        }
        for (lane, &entry) in entries.iter().enumerate() {
            let first = entry.2 as usize * self.groups.length;
            // SAFETY: as above.
            let own = unsafe { self.value.part(self.items(entry.2 as usize)) };
            for (item, row) in self.places(entry).zip(values.chunks_exact(lanes)) {
                own[item - first] = row[lane];
            }
        }
    }

    /// The gradients to the values, by (place, lane).
    fn gradients(&self, entries: &[Entry], lanes: usize, gradients: &mut [T]) {
        let count = T::of(f64::from(entries[0].0));
        let given = match self.upstream {
            Upstream::Given(given) => given,
            Upstream::Unit | Upstream::None => {
                gradients.fill(T::of(1.0) / count);
                return;
            }
        };
        for (lane, &entry) in entries.iter().enumerate() {
            let rows = gradients.chunks_exact_mut(lanes);
            if self.groups.mean == Mean::No {
                rows.zip(self.places(entry)).for_each(|(row, item)| row[lane] = given[item]);
            } else {
                let each = given[entry.2 as usize] / count;
                rows.for_each(|row| row[lane] = each);
            }
        }
    }

    fn store(&self, entries: &[Entry], tile: &Tile<T>) {
        for (lane, &entry) in entries.iter().enumerate() {
            let list = entry.2 as usize;
            // SAFETY: each list is in one tile.
            let (to_x, to_steepness) =
                unsafe { (self.to_x.part(self.items(list)), self.to_steepness.part(list..list + 1)) };
            for (item, row) in self.places(entry).zip(tile.to_x.chunks_exact(tile.lists)) {
                to_x[item - list * self.groups.length] = row[lane];
            }
            to_steepness[0] = tile.steepness_gradient(lane);
        }
    }
}

/// u, and 1 - u in the second column if there is one.
fn load_step<T: Chance>(step: &[T], tile: &mut Tile<T>) {
    if tile.columns == 1 {
        tile.u[..step.len()].copy_from_slice(step);
        return;
    }
    for (rows, step) in tile.u.chunks_exact_mut(2 * tile.lists).zip(step.chunks_exact(tile.lists)) {
        let (u, rest) = rows.split_at_mut(tile.lists);
        u.copy_from_slice(step);
        rest.iter_mut().zip(step).for_each(|(slot, &step)| *slot = T::of(1.0) - step);
    }
}

//! From lists to tiles and back.
//!
//! Lists of one length are taken together, [`Lane::LANES`] at a time, where there are enough of them, and one by one
//! where there are not.

use super::tile::{self, Tile};
use super::weight::{Distribution, Lane};
use super::wires::{Form, Network};
use super::work::{Comparisons, Task, Work};
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::{Lists, Output};
use std::ops::Range;

/// The permutation matrices of all lists: scores, and how they are sorted.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    /// Scores.
    pub x: &'a [T],
    /// One per list, finite and positive.
    pub steepness: &'a [T],
    /// Where the lists lie.
    pub lists: &'a Lists<'a>,
    /// Which items count; all if none.
    pub mask: Option<&'a [bool]>,
    /// Comparators.
    pub form: Form,
    /// How they mix.
    pub distribution: Distribution,
    /// Whether the largest score has rank 1.
    pub descending: bool,
}

/// What goes in and comes out beside the scores. Matrices have a row per item (`v`) or per rank (`u`) of every list.
#[derive(Debug)]
pub struct Factors<'a, T> {
    /// Columns of every matrix.
    pub columns: usize,
    /// Right factor, unless only P^T u is wanted.
    pub v: &'a [T],
    /// Left factor, unless only P v is wanted.
    pub u: &'a [T],
}

/// Where results go, zeros before; what a task does not make is none.
#[derive(Debug)]
pub struct Results<T> {
    /// P v, a row per rank.
    pub pv: Option<Output<T>>,
    /// P^T u, a row per item.
    pub pu: Option<Output<T>>,
    /// Gradient of <u, P v> to the scores.
    pub to_x: Option<Output<T>>,
    /// Gradient of <u, P v> to the steepness.
    pub to_steepness: Option<Output<T>>,
}

/// Lists that are worked on together, all of them with the same number of items that count.
#[derive(Debug)]
struct Plan {
    /// Lists by the number of items that count, with this number.
    lists: Vec<(u32, u32)>,
    /// Ranges of `lists`.
    groups: Vec<Range<usize>>,
    /// Running total of the work in the groups, about in nanoseconds.
    costs: Vec<i64>,
}

/// What a thread keeps from group to group.
#[derive(Debug, Default)]
struct Scratch<T> {
    tile: Tile<T>,
    network: Network,
    /// Comparators in a block of `network`.
    block: usize,
    /// Positions of the items that count, list after list.
    positions: Vec<u32>,
}

/// Runs a task on all lists.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn run<T: Lane>(
    batch: &Batch<'_, T>,
    task: Task,
    factors: &Factors<'_, T>,
    results: &Results<T>,
    job: &Job,
) -> Result<()> {
    let plan = batch.plan(factors.columns, results);
    let groups = Lists::ragged(&plan.costs, plan.costs.last().map_or(0, |&cost| cost as usize))?;
    groups.each(job, Scratch::default, |scratch, group, _| {
        batch.group(&plan.lists[plan.groups[group].clone()], task, factors, results, scratch, job)
    })
}

/// Comparators of a network on `n` wires, about.
#[must_use]
pub fn comparators(form: Form, n: usize) -> usize {
    match form {
        Form::OddEven => n * n / 2,
        Form::Bitonic => {
            let bits = n.next_power_of_two().ilog2() as usize;
            n * bits * (bits + 1) / 4
        }
    }
}

impl<T: Lane> Batch<'_, T> {
    /// Groups the lists; those with a NaN among the items that count get NaN results here.
    fn plan(&self, columns: usize, results: &Results<T>) -> Plan {
        let lists = self.sorted(columns, results);
        let (mut groups, mut costs, mut from) = (Vec::new(), vec![0], 0);
        for same in lists.chunk_by(|a, b| a.0 == b.0) {
            let work = comparators(self.form, same[0].0 as usize) * (1 + columns) + same[0].0 as usize;
            for group in same.chunks(T::LANES) {
                let size = if together::<T>(same[0].0 as usize, group.len()) { group.len() } else { 1 };
                for part in group.chunks(size) {
                    groups.push(from..from + part.len());
                    costs.push(costs[costs.len() - 1] + (work * part.len()) as i64);
                    from += part.len();
                }
            }
        }
        Plan { lists, groups, costs }
    }

    /// The lists by the number of items that count, with this number, without those that [`Batch::plan`] spoils.
    fn sorted(&self, columns: usize, results: &Results<T>) -> Vec<(u32, u32)> {
        let clean = !self.x.iter().fold(false, |any, x| any | (x.partial_cmp(x).is_none()));
        let count = self.lists.count();
        if let (Some(n), None, true) = (self.lists.length(), self.mask, clean) {
            return (0..count as u32).map(|list| (n as u32, list)).collect();
        }
        let mut lists = Vec::with_capacity(count);
        for list in 0..count {
            let range = self.lists.range(list);
            let counted = self.mask.map_or(range.len(), |mask| mask[range.clone()].iter().filter(|&&m| m).count());
            if clean || !self.has_nan(range.clone()) {
                lists.push((counted as u32, list as u32));
            } else {
                self.spoil(list, range, counted, columns, results);
            }
        }
        if self.mask.is_some() || !lists.is_sorted() {
            lists.sort_unstable();
        }
        lists
    }

    fn counts(&self, item: usize) -> bool {
        self.mask.is_none_or(|mask| mask[item])
    }

    fn has_nan(&self, mut range: Range<usize>) -> bool {
        range.any(|item| self.counts(item) && self.x[item].partial_cmp(&self.x[item]).is_none())
    }

    /// NaN in everything that belongs to a list.
    fn spoil(&self, list: usize, range: Range<usize>, counted: usize, columns: usize, results: &Results<T>) {
        // Times itself, so that the derivative of a dual number is NaN as well.
        let nan = T::of(f64::NAN) * T::of(f64::NAN);
        let rows = |rows: Range<usize>| rows.start * columns..rows.end * columns;
        // SAFETY: nothing runs yet that writes to these results.
        unsafe {
            if let Some(pv) = &results.pv {
                pv.part(rows(range.start..range.start + counted)).fill(nan);
            }
            for item in range.filter(|&item| self.counts(item)) {
                if let Some(pu) = &results.pu {
                    pu.part(rows(item..item + 1)).fill(nan);
                }
                if let Some(to_x) = &results.to_x {
                    to_x.part(item..item + 1).fill(nan);
                }
            }
            if let Some(to_steepness) = &results.to_steepness {
                to_steepness.part(list..list + 1).fill(nan);
            }
        }
    }

    fn group(
        &self,
        lists: &[(u32, u32)],
        task: Task,
        factors: &Factors<'_, T>,
        results: &Results<T>,
        scratch: &mut Scratch<T>,
        job: &Job,
    ) -> Result<()> {
        let (n, width) = (lists[0].0 as usize, if lists.len() == 1 { 1 } else { T::LANES });
        if n == 0 {
            return Ok(());
        }
        let block = if width == 1 { T::SINGLE } else { 1 };
        if scratch.network.wires() != n || scratch.block != block {
            (scratch.network, scratch.block) = (Network::new(self.form, n, block), block);
        }
        scratch.positions.clear();
        if self.mask.is_some() {
            for &(_, list) in lists {
                let range = self.lists.range(list as usize);
                let first = range.start;
                scratch.positions.extend(range.filter(|&item| self.counts(item)).map(|item| (item - first) as u32));
            }
        }
        let (distribution, comparisons) = (self.distribution, Comparisons::Made);
        let work = Work { network: &scratch.network, distribution, task, comparisons, job };
        let tile = &mut scratch.tile;
        tile.clear(width, factors.columns, &work);
        self.load(lists, factors, &scratch.positions, tile);
        tile::run(tile, &work)?;
        self.store(lists, results, &scratch.positions, tile);
        Ok(())
    }

    /// Where the lists of a group lie in their tile: as items, and as ranks.
    fn place<'p>(&self, lane: usize, positions: &'p [u32], tile: &Tile<T>, n: usize) -> Place<'p> {
        let positions = self.mask.map(|_| &positions[lane * n..(lane + 1) * n]);
        Place { lane, lanes: tile.lists, columns: tile.columns, positions }
    }

    /// The items of the lists of a tile, if they fill all lanes and the memory from the first to the last.
    fn span(&self, lists: &[(u32, u32)]) -> Option<Range<usize>> {
        let end = |index: usize| self.lists.range(lists[index].1 as usize);
        let span = end(0).start..end(lists.len() - 1).end;
        let full = lists.len() == T::LANES || lists.len() == 1;
        // The lists are in the order of memory: they do not reach further than their items unless there are others between.
        (full && self.mask.is_none() && span.len() == lists.len() * lists[0].0 as usize).then_some(span)
    }

    fn load(&self, lists: &[(u32, u32)], factors: &Factors<'_, T>, positions: &[u32], tile: &mut Tile<T>) {
        for (slot, &(_, list)) in tile.steepness.iter_mut().zip(lists) {
            *slot = self.steepness[list as usize];
        }
        if let Some(span) = self.span(lists) {
            let rows = span.start * factors.columns..span.end * factors.columns;
            let spread = |from: &[T], to: &mut [T], spare: &mut [T]| {
                let size = from.len();
                if lists.len() == 1 {
                    to[..size].copy_from_slice(from);
                } else {
                    T::interleave(from, &mut to[..size], &mut spare[..size]);
                }
            };
            spread(&self.x[span], &mut tile.x, &mut tile.spare);
            if !tile.v.is_empty() {
                spread(&factors.v[rows.clone()], &mut tile.v, &mut tile.spare);
            }
            if !tile.u.is_empty() {
                spread(&factors.u[rows], &mut tile.u, &mut tile.spare);
            }
        } else {
            self.load_each(lists, factors, positions, tile);
        }
        if self.descending {
            tile.x.iter_mut().for_each(|x| *x = -*x);
        }
    }

    /// [`Batch::load`], list by list.
    fn load_each(&self, lists: &[(u32, u32)], factors: &Factors<'_, T>, positions: &[u32], tile: &mut Tile<T>) {
        let (n, columns) = (lists[0].0 as usize, factors.columns);
        // Lanes without a list stay zero.
        [&mut tile.x, &mut tile.v, &mut tile.u].into_iter().for_each(|numbers| numbers.fill(T::default()));
        for (lane, &(_, list)) in lists.iter().enumerate() {
            let range = self.lists.range(list as usize);
            let items = self.place(lane, positions, tile, n);
            let rows = range.start * columns..range.end * columns;
            Place { columns: 1, ..items }.fill(&mut tile.x, &self.x[range.clone()]);
            if !tile.v.is_empty() {
                items.fill(&mut tile.v, &factors.v[rows]);
            }
            if !tile.u.is_empty() {
                let ranks = range.start * columns..(range.start + n) * columns;
                Place { positions: None, ..items }.fill(&mut tile.u, &factors.u[ranks]);
            }
        }
    }

    fn store(&self, lists: &[(u32, u32)], results: &Results<T>, positions: &[u32], tile: &mut Tile<T>) {
        if self.descending {
            tile.to_x.iter_mut().for_each(|g| *g = -*g);
        }
        if let Some(to_steepness) = &results.to_steepness {
            for (lane, &(_, list)) in lists.iter().enumerate() {
                // SAFETY: each list is in one group.
                unsafe { to_steepness.part(list as usize..list as usize + 1)[0] = tile.steepness_gradient(lane) };
            }
        }
        let Some(span) = self.span(lists) else {
            self.store_each(lists, results, positions, tile);
            return;
        };
        let rows = span.start * tile.columns..span.end * tile.columns;
        let collect = |from: &[T], to: Option<&Output<T>>, range: Range<usize>, spare: &mut [T]| {
            let Some(to) = to else { return };
            let size = range.len();
            // SAFETY: lists do not overlap, and each is in one group.
            let to = unsafe { to.part(range) };
            if lists.len() == 1 {
                to.copy_from_slice(&from[..size]);
            } else {
                T::separate(&from[..size], to, &mut spare[..size]);
            }
        };
        collect(&tile.v, results.pv.as_ref(), rows.clone(), &mut tile.spare);
        collect(&tile.u, results.pu.as_ref(), rows, &mut tile.spare);
        collect(&tile.to_x, results.to_x.as_ref(), span, &mut tile.spare);
    }

    /// [`Batch::store`], list by list.
    fn store_each(&self, lists: &[(u32, u32)], results: &Results<T>, positions: &[u32], tile: &Tile<T>) {
        let (n, columns) = (lists[0].0 as usize, tile.columns);
        for (lane, &(_, list)) in lists.iter().enumerate() {
            let range = self.lists.range(list as usize);
            let items = self.place(lane, positions, tile, n);
            // SAFETY: lists do not overlap, and each is in one group.
            unsafe {
                if let Some(pv) = &results.pv {
                    let ranks = range.start * columns..(range.start + n) * columns;
                    Place { positions: None, ..items }.empty(&tile.v, pv.part(ranks));
                }
                if let Some(pu) = &results.pu {
                    items.empty(&tile.u, pu.part(range.start * columns..range.end * columns));
                }
                if let Some(to_x) = &results.to_x {
                    Place { columns: 1, ..items }.empty(&tile.to_x, to_x.part(range));
                }
            }
        }
    }
}

/// Whether `count` lists of `n` items are faster as one tile than one by one: a tile costs as much as if it were full.
pub fn together<T: Lane>(n: usize, count: usize) -> bool {
    // A block of one list costs about as much as three of a tile, for the way of its numbers to their lanes.
    let (width, tile) = (n / 2, T::LANES / T::SINGLE);
    count > 1 && width * tile <= count * 3 * width.div_ceil(T::SINGLE)
}

/// Where one list lies in a tile, and which of its rows count.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    lane: usize,
    lanes: usize,
    columns: usize,
    positions: Option<&'a [u32]>,
}

impl Place<'_> {
    /// Copies the rows of the list into its lane.
    fn fill<T: Copy>(&self, tile: &mut [T], rows: &[T]) {
        let mut slots = tile[self.lane..].iter_mut().step_by(self.lanes);
        match self.positions {
            None => slots.zip(rows).for_each(|(slot, &value)| *slot = value),
            Some(positions) => {
                for &position in positions {
                    let row = &rows[position as usize * self.columns..][..self.columns];
                    row.iter().zip(&mut slots).for_each(|(&value, slot)| *slot = value);
                }
            }
        }
    }

    /// Copies the first `n` rows of its lane, or those that count, to the list.
    fn empty<T: Copy>(&self, tile: &[T], rows: &mut [T]) {
        let mut slots = tile[self.lane..].iter().step_by(self.lanes);
        match self.positions {
            None => rows.iter_mut().zip(slots).for_each(|(value, &slot)| *value = slot),
            Some(positions) => {
                for &position in positions {
                    let row = &mut rows[position as usize * self.columns..][..self.columns];
                    row.iter_mut().zip(&mut slots).for_each(|(value, &slot)| *value = slot);
                }
            }
        }
    }
}

//! The lists that a batch consists of, and the loop over them.

use crate::error::{Result, invalid};
use crate::job::Job;
use rayon::prelude::*;
use std::ops::Range;

/// Items that one thread takes at a time: enough to hide the cost of the hand-over.
const GRAIN: usize = 1 << 13;

/// Consecutive lists in one slice: equal rows, or ragged ones.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    items: usize,
    form: Form<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    Even { count: usize, length: usize },
    Ragged(&'a [i64]),
}

impl<'a> Lists<'a> {
    /// `count` lists of `length` items each.
    #[must_use]
    pub const fn even(count: usize, length: usize) -> Self {
        Self { items: count * length, form: Form::Even { count, length } }
    }

    /// List `i` is `bounds[i]..bounds[i + 1]`.
    ///
    /// # Errors
    /// When the bounds do not rise from 0 to `items`.
    pub fn ragged(bounds: &'a [i64], items: usize) -> Result<Self> {
        let ends = (bounds.first().copied(), bounds.last().copied());
        if ends != (Some(0), Some(items as i64)) {
            return Err(invalid!("offsets must begin with 0 and end with {items}, got {ends:?}"));
        }
        if let Some(at) = bounds.windows(2).position(|pair| pair[1] < pair[0]) {
            let (here, next) = (bounds[at], bounds[at + 1]);
            return Err(invalid!("offsets must not decrease, got {here} before {next} at position {at}"));
        }
        Ok(Self { items, form: Form::Ragged(bounds) })
    }

    /// The number of lists.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self.form {
            Form::Even { count, .. } => count,
            Form::Ragged(bounds) => bounds.len() - 1,
        }
    }

    /// The number of items in all lists.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// The length that all lists have by construction.
    #[must_use]
    pub const fn length(&self) -> Option<usize> {
        match self.form {
            Form::Even { length, .. } => Some(length),
            Form::Ragged(_) => None,
        }
    }

    /// Where the items of `list` lie.
    #[must_use]
    pub const fn range(&self, list: usize) -> Range<usize> {
        match self.form {
            Form::Even { length, .. } => list * length..(list + 1) * length,
            Form::Ragged(bounds) => bounds[list] as usize..bounds[list + 1] as usize,
        }
    }

    /// Calls `work(scratch, list, range)` for every list: in the pool's threads when the caller runs inside one, else
    /// here. `scratch()` is made once for a group of lists.
    ///
    /// # Errors
    /// The first error in the order of lists, or [`crate::Error::Interrupted`].
    pub fn each<S>(
        &self,
        job: &Job,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize, Range<usize>) -> Result<()> + Sync,
    ) -> Result<()> {
        let group = |lists: Range<usize>| {
            let mut scratch = scratch();
            lists.into_iter().try_for_each(|list| {
                job.check()?;
                work(&mut scratch, list, self.range(list))
            })
        };
        if rayon::current_thread_index().is_none() || rayon::current_num_threads() == 1 {
            return group(0..self.count());
        }
        let groups = self.groups();
        let outcomes: Vec<_> = groups.into_par_iter().map(group).collect();
        outcomes.into_iter().collect()
    }

    /// Runs of lists with at least [`GRAIN`] items in each.
    fn groups(&self) -> Vec<Range<usize>> {
        let (mut groups, mut first) = (Vec::new(), 0);
        for list in 0..self.count() {
            if self.range(list).end - self.range(first).start >= GRAIN || list + 1 == self.count() {
                groups.push(first..list + 1);
                first = list + 1;
            }
        }
        groups
    }
}

/// An output slice whose parts are written by several threads, each part by one.
#[derive(Debug)]
pub struct Output<T>(*mut T, usize);

// SAFETY: `part` hands out disjoint parts only (its contract), so threads never share an element.
unsafe impl<T: Send> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Output<T> {}

impl<T> Output<T> {
    /// Wraps `slice`, which must outlive every use.
    pub const fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr(), slice.len())
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// The wrapped slice is alive and no two parts in use at one time overlap.
    ///
    /// # Panics
    /// When `range` ends beyond the slice.
    #[must_use]
    #[allow(clippy::mut_from_ref)] // parts are disjoint by contract
    pub const unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.1);
        // SAFETY: inside the slice, and disjoint from all other parts by contract.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.end - range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_must_rise_from_zero_to_the_end() {
        assert_eq!(Lists::ragged(&[0, 2, 2, 5], 5).unwrap().range(2), 2..5);
        for (bounds, word) in
            [(&[0, 3][..], "end with 5"), (&[1, 5], "begin with 0"), (&[], "begin"), (&[0, 4, 3, 5], "decrease")]
        {
            let text = Lists::ragged(bounds, 5).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn every_list_is_visited_once() {
        let lists = Lists::even(3000, 7);
        let mut seen = vec![0u32; lists.items()];
        let out = Output::new(&mut seen);
        let visit = || {
            lists.each(
                &Job::default(),
                || (),
                |(), _, range| {
                    // SAFETY: the ranges of different lists are disjoint.
                    unsafe { out.part(range) }.iter_mut().for_each(|x| *x += 1);
                    Ok(())
                },
            )
        };
        visit().unwrap();
        rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(visit).unwrap();
        assert!(seen.iter().all(|&count| count == 2));
    }
}

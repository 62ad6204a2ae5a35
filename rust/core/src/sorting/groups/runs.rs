//! Means over runs of lists, of those lists that take part.

use super::Groups;
use crate::real::Real;
use std::ops::Range;

/// Runs of equally many lists.
#[derive(Debug)]
pub(super) struct Runs {
    /// Items of a list.
    items: usize,
    /// Whether each list takes part.
    taking: Vec<bool>,
    /// The lists of each run, and what one of them that takes part counts for in the mean.
    shares: Vec<(Range<usize>, f64)>,
}

impl Runs {
    /// `runs` of the lists in `groups`, whose `order` is known.
    pub fn new<T>(runs: usize, order: &[i32], groups: &Groups<'_, T>) -> Self {
        let (lists, items) = (groups.steepness.len(), groups.length);
        let taking: Vec<bool> = (0..lists).map(|list| items > 0 && order[list * items] >= 0).collect();
        let length = lists / runs.max(1);
        let share = |run: usize| {
            let lists = run * length..(run + 1) * length;
            let count = taking[lists.clone()].iter().filter(|&&taking| taking).count();
            (lists, 1.0 / count.max(1) as f64)
        };
        Self { items, shares: (0..runs).map(share).collect(), taking }
    }

    /// The mean of each run's values; `none` where no list takes part.
    pub fn means<T: Real>(&self, values: &[T], none: f64) -> Vec<T> {
        let mean = |(lists, share): &(Range<usize>, f64)| {
            let taking = lists.clone().filter(|&list| self.taking[list]);
            let sum = taking.fold(None, |sum: Option<f64>, list| Some(sum.unwrap_or(0.0) + values[list].wide()));
            T::of(sum.map_or(none, |sum| sum * share))
        };
        self.shares.iter().map(mean).collect()
    }

    /// Turns slopes of the lists' means into slopes of the runs'.
    pub fn share<T: Real>(&self, slopes: &mut [T]) {
        for (lists, share) in &self.shares {
            let items = slopes.get_mut(lists.start * self.items..lists.end * self.items);
            items.into_iter().flatten().for_each(|slope| *slope = T::of(slope.wide() * share));
        }
    }

    /// The gradients to the lists' means, from those to the runs'.
    pub fn spread<T: Real>(&self, gradient: &[T]) -> Vec<T> {
        let each = self.shares.iter().zip(gradient);
        each.flat_map(|((lists, share), gradient)| lists.clone().map(move |_| T::of(gradient.wide() * share))).collect()
    }
}

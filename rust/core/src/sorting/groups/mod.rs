//! The order of two groups under a relaxed sorting network: how surely each item ends among the places of its group.
//!
//! Of every list the negatives, ascending, then the positives, ascending, enter the network, whose matrix is P. With m
//! negatives and u the indicator of the places from m on,
//!
//! ```text
//! c = P^T u,    p_i = c_i for a positive, 1 - c_i for a negative
//! ```
//!
//! Columns of P sum to 1, so one product serves both groups; but `1 - c_i` has few digits left where it is small. Lists
//! with such a negative run once more, with 1 - u, whose product is that difference.

mod arrange;

pub use arrange::Score;

use super::lists::Lists;
use super::network::{self, Batch, Distribution, Form, Lane};
use crate::dual::Dual;
use crate::error::Result;
use crate::job::Job;
use arrange::Arranged;

/// A negative of a smaller probability gets it from a product of its own.
const CANCELS: f64 = 1.0 / 32.0;
/// Logarithms of smaller probabilities are that of this one, with slope 0.
const LEAST: f64 = 1e-12;

/// Lists of two groups.
#[derive(Debug, Clone, Copy)]
pub struct Groups<'a, T> {
    /// Scores.
    pub x: &'a [T],
    /// One per list, finite and positive.
    pub steepness: &'a [T],
    /// Items of every list.
    pub length: usize,
    /// Which items are positives.
    pub positive: &'a [bool],
    /// Which items count; all if none.
    pub mask: Option<&'a [bool]>,
    /// How many of the largest negatives take part.
    pub negatives: usize,
    /// Comparators.
    pub form: Form,
    /// How they mix.
    pub distribution: Distribution,
    /// Whether logarithms are asked for, cut off at ln 1e-12.
    pub log: bool,
    /// Whether the mean over each list is asked for.
    pub mean: bool,
}

/// What [`forward`] finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    /// Probabilities or their logarithms: per item, 1 or 0 where it takes no part, or their mean per list.
    pub value: Vec<T>,
    /// How many items of each list take part.
    pub count: Vec<i64>,
    /// Positions in the list of those that do, in the order in which they enter the network, then -1.
    pub order: Vec<i32>,
    /// Probabilities in that order, then 1.
    pub chance: Vec<T>,
}

/// Gradients of `<gradient, value>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T> {
    /// To the scores.
    pub x: Vec<T>,
    /// To the steepness, one per list.
    pub steepness: Vec<T>,
}

/// Probabilities, counts, and what [`vjp`] wants to know again. Lists without negatives or without positives take no part.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn forward<T: Score>(groups: &Groups<'_, T>, job: &Job) -> Result<Found<T>> {
    let (order, count) = groups.arrange(job)?;
    let arranged = Arranged::new(&order, groups.length, count.len());
    let chances = groups.chances(&arranged, job)?;
    let chance = if chances.len() == order.len() {
        chances.clone()
    } else {
        let mut chance = vec![<T as Lane>::of(1.0); order.len()];
        arranged.lists().for_each(|(_, places, range)| chance[range].copy_from_slice(&chances[places]));
        chance
    };
    let value = groups.value(&arranged, chances);
    Ok(Found { value, count, order, chance })
}

/// The vector-Jacobian product of [`forward`], from the order and the probabilities that it found.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Lane>(
    groups: &Groups<'_, T>,
    order: &[i32],
    chance: &[T],
    gradient: &[T],
    job: &Job,
) -> Result<Gradients<T>> {
    let arranged = Arranged::new(order, groups.length, groups.steepness.len());
    if arranged.items() == chance.len() {
        return groups.gradients(&arranged, chance, gradient, job);
    }
    let mut chances = Vec::with_capacity(arranged.items());
    arranged.lists().for_each(|(_, _, range)| chances.extend_from_slice(&chance[range]));
    groups.gradients(&arranged, &chances, gradient, job)
}

/// Gradients of `<tangents, vjp>` to the scores and the steepness, and to `gradient`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn second(
    groups: &Groups<'_, f64>,
    order: &[i32],
    gradient: &[f64],
    tangents: [&[f64]; 2],
    job: &Job,
) -> Result<(Gradients<f64>, Vec<f64>)> {
    let (x, steepness) = (Dual::zip(groups.x, tangents[0]), Dual::zip(groups.steepness, tangents[1]));
    let moved = groups.with(&x, &steepness);
    let arranged = Arranged::new(order, groups.length, groups.steepness.len());
    let chances = moved.chances(&arranged, job)?;
    let gradient: Vec<Dual> = gradient.iter().map(|&value| Dual::new(value, 0.0)).collect();
    let found = moved.gradients(&arranged, &chances, &gradient, job)?;
    let slopes = |duals: Vec<Dual>| duals.into_iter().map(|dual| dual.slope).collect();
    let mut to_gradient = vec![0.0; gradient.len()];
    let along: Vec<f64> = chances.iter().map(|&chance| moved.slope(chance).value * chance.slope).collect();
    for (list, places, _) in arranged.lists() {
        if groups.mean {
            to_gradient[list] = along[places.clone()].iter().sum::<f64>() / places.len().max(1) as f64;
        } else {
            arranged.scatter(list, &along[places], |slot, slope| *slot = slope, &mut to_gradient);
        }
    }
    Ok((Gradients { x: slopes(found.x), steepness: slopes(found.steepness) }, to_gradient))
}

/// Some of the lists as they enter the network, and the indicator of one group.
#[derive(Debug)]
struct Column<T> {
    bounds: Vec<i64>,
    x: Vec<T>,
    u: Vec<T>,
}

impl<T> Groups<'_, T> {
    /// The same groups of other scores.
    const fn with<'b, U>(&'b self, x: &'b [U], steepness: &'b [U]) -> Groups<'b, U> {
        Groups {
            x,
            steepness,
            length: self.length,
            positive: self.positive,
            mask: self.mask,
            negatives: self.negatives,
            form: self.form,
            distribution: self.distribution,
            log: self.log,
            mean: self.mean,
        }
    }
}

impl<T: Lane> Groups<'_, T> {
    /// The lists that are `chosen`, all if none, and the indicator of their positives or negatives.
    fn column(&self, arranged: &Arranged<'_>, positives: bool, chosen: Option<&[bool]>) -> Column<T> {
        let items = arranged.items();
        let mut column = Column { bounds: vec![0], x: Vec::with_capacity(items), u: Vec::with_capacity(items) };
        // By the value of a boolean: choosing from a table is faster than branching.
        let indicator = [!positives, positives].map(|one| T::of(f64::from(u8::from(one))));
        for (list, ..) in arranged.lists() {
            if chosen.is_none_or(|chosen| chosen[list]) {
                column.x.extend(arranged.gather(list, self.x));
                let group = arranged.gather(list, self.positive);
                column.u.extend(group.map(|positive| indicator[usize::from(positive)]));
            }
            column.bounds.push(column.x.len() as i64);
        }
        column
    }

    fn batch<'b>(&'b self, x: &'b [T], lists: &'b Lists<'b>) -> Batch<'b, T> {
        let (form, distribution) = (self.form, self.distribution);
        Batch { x, steepness: self.steepness, lists, mask: None, form, distribution, descending: false }
    }

    /// Where the lists of a column lie.
    fn lists<'b>(&self, column: &'b Column<T>) -> Result<Lists<'b>> {
        // The network plans less for lists of one length.
        if column.x.len() == self.x.len() {
            return Ok(Lists::even(self.steepness.len(), self.length));
        }
        Lists::ragged(&column.bounds, column.x.len())
    }

    fn product(&self, column: &Column<T>, job: &Job) -> Result<Vec<T>> {
        let lists = self.lists(column)?;
        let mut out = vec![T::default(); column.x.len()];
        network::product(&self.batch(&column.x, &lists), &column.u, 1, true, &mut out, job)?;
        Ok(out)
    }

    /// Probabilities of the items that take part.
    fn chances(&self, arranged: &Arranged<'_>, job: &Job) -> Result<Vec<T>> {
        let column = self.column(arranged, true, None);
        let mut chances = self.product(&column, job)?;
        for (chance, &u) in chances.iter_mut().zip(&column.u) {
            *chance = if u == T::default() { T::of(1.0) - *chance } else { *chance };
        }
        if let Some(again) = again(arranged, &column.u, &chances) {
            let column = self.column(arranged, false, Some(&again));
            let mut own = self.product(&column, job)?.into_iter().zip(column.u);
            for (_, places, _) in arranged.lists().filter(|&(list, ..)| again[list]) {
                for (chance, (own, u)) in chances[places].iter_mut().zip(&mut own) {
                    *chance = if u != T::default() && cancels(*chance) { own } else { *chance };
                }
            }
        }
        Ok(chances)
    }

    /// The derivative of the value of an item by its probability.
    fn slope(&self, chance: T) -> T {
        if !self.log {
            T::of(1.0)
        } else if chance.wide() < LEAST {
            T::default()
        } else {
            T::of(1.0) / chance
        }
    }

    /// Gradients to the probabilities.
    fn upstream(&self, arranged: &Arranged<'_>, chances: &[T], gradient: &[T]) -> Vec<T> {
        let mut upstream = Vec::with_capacity(chances.len());
        for (list, places, _) in arranged.lists() {
            if self.mean {
                let each = gradient[list] / T::of(places.len() as f64);
                upstream.resize(places.end, each);
            } else {
                upstream.extend(arranged.gather(list, gradient));
            }
        }
        upstream.iter_mut().zip(chances).for_each(|(g, &chance)| *g = *g * self.slope(chance));
        upstream
    }

    fn gradients(&self, arranged: &Arranged<'_>, chances: &[T], gradient: &[T], job: &Job) -> Result<Gradients<T>> {
        let zeros = |size| vec![T::default(); size];
        let mut found = Gradients { x: zeros(self.x.len()), steepness: zeros(self.steepness.len()) };
        let mut upstream = self.upstream(arranged, chances, gradient);
        let column = self.column(arranged, true, None);
        if let Some(again) = again(arranged, &column.u, chances) {
            let column = self.column(arranged, false, Some(&again));
            let mut own = Vec::with_capacity(column.x.len());
            for (_, places, _) in arranged.lists().filter(|&(list, ..)| again[list]) {
                for at in places {
                    let alone = column.u[own.len()] != T::default() && cancels(chances[at]);
                    own.push(if alone { std::mem::take(&mut upstream[at]) } else { T::default() });
                }
            }
            self.add(arranged, &column, &own, &mut found, job)?;
        }
        upstream.iter_mut().zip(&column.u).for_each(|(g, &u)| *g = if u == T::default() { -*g } else { *g });
        self.add(arranged, &column, &upstream, &mut found, job)?;
        Ok(found)
    }

    /// Adds the gradients of `<gradient, product of the column>`.
    fn add(
        &self,
        arranged: &Arranged<'_>,
        column: &Column<T>,
        gradient: &[T],
        found: &mut Gradients<T>,
        job: &Job,
    ) -> Result<()> {
        let lists = self.lists(column)?;
        let wanted = network::Wanted { v: false, product: false };
        let more = network::vjp(&self.batch(&column.x, &lists), &column.u, 1, true, gradient, wanted, job)?;
        for (sum, &steepness) in found.steepness.iter_mut().zip(&more.steepness) {
            *sum = *sum + steepness;
        }
        for (list, ends) in column.bounds.windows(2).enumerate() {
            let slopes = &more.x[ends[0] as usize..ends[1] as usize];
            arranged.scatter(list, slopes, |sum, slope| *sum = *sum + slope, &mut found.x);
        }
        Ok(())
    }
}

impl<T: Score> Groups<'_, T> {
    /// What is asked for, from the probabilities of the items that take part.
    fn value(&self, arranged: &Arranged<'_>, mut chances: Vec<T>) -> Vec<T> {
        let none = <T as Lane>::of(if self.log { 0.0 } else { 1.0 });
        if self.log {
            let least = <T as Lane>::of(LEAST);
            chances.iter_mut().for_each(|chance| *chance = if *chance < least { least } else { *chance });
            T::logarithms(&mut chances);
        }
        let mut value = vec![none; if self.mean { self.steepness.len() } else { self.x.len() }];
        for (list, places, _) in arranged.lists() {
            let found = &chances[places];
            if !self.mean {
                arranged.scatter(list, found, |slot, value| *slot = value, &mut value);
            } else if !found.is_empty() {
                let sum: f64 = found.iter().map(|&value| Lane::wide(value)).sum();
                value[list] = <T as Lane>::of(sum / found.len() as f64);
            }
        }
        value
    }
}

/// Whether 1 - c has lost digits.
fn cancels<T: Lane>(chance: T) -> bool {
    chance.wide() < CANCELS
}

/// The lists with a negative whose probability [`cancels`]; none if there is no such list.
fn again<T: Lane>(arranged: &Arranged<'_>, u: &[T], chances: &[T]) -> Option<Vec<bool>> {
    let found = |u: &[T], chances: &[T]| {
        u.iter().zip(chances).fold(false, |any, (&u, &chance)| any | (u == T::default() && cancels(chance)))
    };
    found(u, chances)
        .then(|| arranged.lists().map(|(_, places, _)| found(&u[places.clone()], &chances[places])).collect())
}

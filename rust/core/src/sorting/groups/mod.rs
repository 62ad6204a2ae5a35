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
//! with such a negative run once more, with 1 - u as well, whose product is that difference.

mod arrange;
mod chance;
mod runs;
mod sweep;

pub use arrange::Score;

use super::network::{Distribution, Form};
use crate::dual::Dual;
use crate::error::Result;
use crate::job::Job;
use chance::Chance;
use runs::Runs;
use sweep::sweep;

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
    /// What values are averaged over.
    pub mean: Mean,
}

/// What values are averaged over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mean {
    /// Nothing: there is one per item.
    No,
    /// The items of each list that take part.
    Items,
    /// The same, and then the lists that take part: in so many runs of equally many lists.
    Lists(usize),
}

/// What [`forward`] finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    /// Probabilities or their logarithms: per item, 1 or 0 where it takes no part, or their mean per list or run.
    pub value: Vec<T>,
    /// How many items of each list take part.
    pub count: Vec<i64>,
    /// Positions in the list of those that do, in the order in which they enter the network, then -1.
    pub order: Vec<i32>,
    /// The derivatives of the means to the scores; empty if they are not asked for.
    pub slopes: Vec<T>,
}

/// Gradients of `<gradient, value>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T> {
    /// To the scores.
    pub x: Vec<T>,
    /// To the steepness, one per list.
    pub steepness: Vec<T>,
}

/// The gradients to the values that are taken back to the scores.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Upstream<'a, T> {
    /// None are.
    None,
    /// 1 for the mean of every list.
    Unit,
    /// These.
    Given(&'a [T]),
}

/// Probabilities and counts. Lists without negatives or without positives take no part. Where means are asked for, their
/// `slopes` may be as well: they take half as long together with the probabilities as alone.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn forward<T: Score>(groups: &Groups<'_, T>, slopes: bool, job: &Job) -> Result<Found<T>> {
    let (order, count) = groups.arrange(job)?;
    let upstream = if slopes && groups.mean != Mean::No { Upstream::Unit } else { Upstream::None };
    let mut found = sweep(groups, &order, upstream, job)?;
    if let Mean::Lists(runs) = groups.mean {
        let runs = Runs::new(runs, &order, groups);
        found.value = runs.means(&found.value, if groups.log { 0.0 } else { 1.0 });
        runs.share(&mut found.x);
    }
    Ok(Found { value: found.value, count, order, slopes: found.x })
}

/// The vector-Jacobian product of [`forward`], from the order that it found.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Score>(groups: &Groups<'_, T>, order: &[i32], gradient: &[T], job: &Job) -> Result<Gradients<T>> {
    let gradient = match groups.mean {
        Mean::Lists(runs) => &Runs::new(runs, order, groups).spread(gradient)[..],
        _ => gradient,
    };
    let found = sweep(groups, order, Upstream::Given(gradient), job)?;
    Ok(Gradients { x: found.x, steepness: found.steepness })
}

/// The gradient to the scores from the slopes that [`forward`] found and the gradient to the means. What has no slope gets
/// no gradient, infinite though it be.
#[must_use]
pub fn scaled<T: Score>(slopes: &[T], gradient: &[T]) -> Vec<T> {
    let (zero, length) = (T::default(), slopes.len() / gradient.len().max(1));
    let mut found = Vec::with_capacity(slopes.len());
    for (list, &gradient) in slopes.chunks_exact(length.max(1)).zip(gradient) {
        found.extend(list.iter().map(|&slope| if slope == zero { zero } else { slope * gradient }));
    }
    found
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
    let runs = match groups.mean {
        Mean::Lists(runs) => Some(Runs::new(runs, order, groups)),
        _ => None,
    };
    let spread = runs.as_ref().map(|runs| runs.spread(gradient));
    let gradient = spread.as_deref().unwrap_or(gradient);
    let gradient: Vec<Dual> = gradient.iter().map(|&value| Dual::new(value, 0.0)).collect();
    let found = sweep(&groups.with(&x, &steepness), order, Upstream::Given(&gradient), job)?;
    let slopes = |duals: Vec<Dual>| duals.into_iter().map(|dual| dual.slope).collect::<Vec<f64>>();
    let mut values = slopes(found.value);
    if let Some(runs) = runs {
        values = runs.means(&values, 0.0);
    }
    Ok((Gradients { x: slopes(found.x), steepness: slopes(found.steepness) }, values))
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

//! Softmax and sparsemax with an upper bound for each item.
//!
//! ```text
//! constrained softmax:    p_i = min(e^(z_i - theta), u_i)            SUM p = 1
//!   item i is capped where z_i - log u_i >= theta.  theta = that of the items not yet capped; cap those above their bound;
//!   again, until there is none: theta only decreases, so that no cap is taken back
//! constrained sparsemax:  p_i = min(max(z_i - tau, 0), u_i)          SUM p = total
//!   the sum is piecewise linear in tau and decreasing: Newton's iteration, bisection where it leaves the bracket;
//!   the items between their bounds then give tau in closed form
//! a change of z or of a cap u moves the free items, share_i of what they have in sum:
//!   dp_i = slope_i (dz_i - <share, dz>) - share_i SUM_capped du,   slope = p and share = p / SUM_free p, or slope = 1, share = 1 / free
//! ```

use crate::decoding::entmax::read;
use crate::decoding::logit::Logit;
use crate::decoding::row::Memory;
use crate::elementary::{exp_f64, ln_f64};
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;
use std::cmp::Ordering;

/// Steps that no iteration has needed.
const STEPS: usize = 200;

/// What p is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Softmax under caps.
    Softmax,
    /// Sparsemax under caps, with this sum.
    Sparsemax(f64),
}

/// Rows of `v` numbers and the bounds of their items.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a, T> {
    /// The rows.
    pub x: &'a [T],
    /// A bound for each item.
    pub upper: &'a [T],
    /// Items in a row.
    pub v: usize,
    /// Softmax or sparsemax.
    pub kind: Kind,
}

/// An item that is not masked.
#[derive(Debug, Clone, Copy)]
struct Item {
    index: u32,
    z: f64,
    upper: f64,
}

/// The solution of a row: items of slope 0 have p = 0 or are masked and are not in it.
#[derive(Debug, Clone, Default)]
struct Solution {
    /// Items between their bounds, with p, slope and share.
    free: Vec<(u32, [f64; 3])>,
    /// Items at their upper bound, and the bound.
    capped: Vec<(u32, f64)>,
}

impl<T: Logit> Problem<'_, T> {
    fn solve(&self, number: usize, row: &[T]) -> Result<Solution> {
        let mut items = self.items(number, row)?;
        let total = match self.kind {
            Kind::Softmax => 1.0,
            Kind::Sparsemax(total) => total,
        };
        let most: f64 = items.iter().map(|item| item.upper).sum();
        let slack = (8.0 * T::UNIT).max(1e-12);
        if most < total * (1.0 - slack) {
            return Err(invalid!(
                "upper must sum to at least {total} over the items of a row, got {most} in row {number}"
            ));
        }
        if most <= total * (1.0 + 1e-15) {
            return Ok(Solution {
                capped: items.iter().map(|item| (item.index, item.upper)).collect(),
                ..Solution::default()
            });
        }
        Ok(match self.kind {
            Kind::Softmax => softmax(&mut items),
            Kind::Sparsemax(total) => sparsemax(&mut items, total),
        })
    }

    /// The items of a row that are not masked.
    fn items(&self, number: usize, row: &[T]) -> Result<Vec<Item>> {
        let mut memory = Lent::<Memory<T>>::new();
        read(row, number, 1, &mut memory, "x")?;
        let upper = &self.upper[number * self.v..][..self.v];
        if let Some(i) = upper.iter().position(|u| u.partial_cmp(&T::ZERO).is_none_or(Ordering::is_lt)) {
            return Err(invalid!("upper must be >= 0, got {} at row {number}, column {i}", upper[i]));
        }
        let items = row.iter().zip(upper).enumerate().filter(|(_, (x, _))| **x > -T::INFINITY);
        Ok(items.map(|(i, (x, u))| Item { index: i as u32, z: x.wide(), upper: u.wide() }).collect())
    }
}

fn softmax(items: &mut Vec<Item>) -> Solution {
    let mut found = Solution::default();
    let bound = |item: &Item| if item.upper > 0.0 { item.z - item.upper.ln() } else { f64::INFINITY };
    let mut theta = f64::INFINITY;
    let mut mass = 1.0;
    loop {
        let before = items.len();
        items.retain(|item| {
            let capped = bound(item) >= theta;
            if capped {
                found.capped.push((item.index, item.upper));
                mass -= item.upper;
            }
            !capped
        });
        if items.is_empty() || (items.len() == before && theta < f64::INFINITY) {
            break;
        }
        let top = items.iter().fold(f64::NEG_INFINITY, |top, item| item.z.max(top));
        let sum: f64 = items.iter().map(|item| exp_f64(item.z - top)).sum();
        theta = top + ln_f64(sum) - mass.max(f64::MIN_POSITIVE).ln();
    }
    let mass = mass.max(0.0);
    let top = items.iter().fold(f64::NEG_INFINITY, |top, item| item.z.max(top));
    let sum: f64 = items.iter().map(|item| exp_f64(item.z - top)).sum();
    found.free.extend(items.iter().map(|item| {
        let share = exp_f64(item.z - top) / sum;
        (item.index, [mass * share, mass * share, share])
    }));
    found
}

/// Sum and number of the items between their bounds.
fn level(items: &[Item], tau: f64) -> (f64, usize) {
    items.iter().fold((0.0, 0), |(sum, free), item| {
        let p = item.z - tau;
        (sum + p.max(0.0).min(item.upper), free + usize::from(p > 0.0 && p < item.upper))
    })
}

/// Tau as exactly as its magnitude allows.
fn root(items: &[Item], total: f64, start: f64) -> f64 {
    let mut low = items.iter().fold(f64::INFINITY, |low, item| low.min(item.z - item.upper.min(total)));
    let mut high = items.iter().fold(f64::NEG_INFINITY, |high, item| high.max(item.z));
    let mut tau = start.clamp(low, high);
    for step in 0..STEPS {
        let (sum, free) = level(items, tau);
        if sum >= total {
            low = tau;
        } else {
            high = tau;
        }
        let next = if free > 0 { tau + (sum - total) / free as f64 } else { f64::NAN };
        let inside = next > low && next < high;
        let newton = free > 0 && (next == tau || (inside && step % 3 < 2));
        let next = if newton { next } else { 0.5 * low + 0.5 * high };
        if next == tau || next <= low || next >= high {
            break;
        }
        tau = next;
    }
    tau
}

fn sparsemax(items: &mut [Item], total: f64) -> Solution {
    // Items near tau are measured from it and solved for once more: their differences are exact, however large they are.
    let coarse = root(items, total, f64::NEG_INFINITY);
    items.iter_mut().for_each(|item| item.z -= coarse);
    let tau = root(items, total, 0.0);
    // In closed form from the items that are between their bounds there.
    let (mut sum, mut count, mut rest) = (0.0, 0.0, total);
    for item in &*items {
        let p = item.z - tau;
        if p >= item.upper {
            rest -= item.upper;
        } else if p > 0.0 {
            sum += item.z;
            count += 1.0;
        }
    }
    let settled = if count > 0.0 { (sum - rest) / count } else { tau };
    let mut found = Solution::default();
    for item in items {
        let p = item.z - tau;
        if p >= item.upper {
            found.capped.push((item.index, item.upper));
        } else if p > 0.0 {
            found.free.push((item.index, [(item.z - settled).max(0.0).min(item.upper), 1.0, 1.0 / count]));
        }
    }
    found
}

/// Fills `out`, which holds zeros.
///
/// # Errors
/// When a number is NaN or +inf, a row has only -inf, a bound is negative or NaN, bounds sum to too little, or the job was
/// stopped.
pub fn forward<T: Logit>(problem: Problem<'_, T>, out: &mut [T], job: &Job) -> Result<()> {
    let mut nothing = vec![(); problem.x.len() / problem.v.max(1)];
    super::each(problem.x, problem.v, (out, problem.v), (&mut nothing, 1), job, |number, row, out, _| {
        let found = problem.solve(number, row)?;
        for (index, [p, ..]) in found.free {
            out[index as usize] = T::of(p);
        }
        for (index, upper) in found.capped {
            out[index as usize] = T::of(upper);
        }
        Ok(())
    })
}

/// The gradients of <g, p> to the rows and to the bounds, into zeros.
///
/// # Errors
/// As [`forward`].
pub fn vjp<T: Logit>(problem: Problem<'_, T>, g: &[T], (dx, dupper): (&mut [T], &mut [T]), job: &Job) -> Result<()> {
    let v = problem.v;
    super::each(problem.x, v, (dx, v), (dupper, v), job, |number, row, dx, dupper| {
        let found = problem.solve(number, row)?;
        let g = |index: u32| g[number * v + index as usize].wide();
        let mean: f64 = found.free.iter().map(|&(index, [_, _, share])| share * g(index)).sum();
        for (index, [_, slope, _]) in found.free {
            dx[index as usize] = T::of(slope * (g(index) - mean));
        }
        for (index, _) in found.capped {
            dupper[index as usize] = T::of(g(index) - mean);
        }
        Ok(())
    })
}

/// What the second derivative gives an item.
#[derive(Debug, Clone, Copy)]
struct Change {
    index: u32,
    to_x: f64,
    to_upper: f64,
    to_g: f64,
}

impl Solution {
    /// The gradients of <t, vjp>, where `g`, `along` and `along_upper` give numbers of items.
    fn second(
        &self,
        kind: Kind,
        g: impl Fn(u32) -> f64,
        along: impl Fn(u32) -> f64,
        along_upper: impl Fn(u32) -> f64,
    ) -> Vec<Change> {
        let mean = |of: &dyn Fn(u32) -> f64| -> f64 {
            self.free.iter().map(|&(index, [_, _, share])| share * of(index)).sum()
        };
        let (upstream, drift) = (mean(&g), mean(&along));
        let taken: f64 = self.capped.iter().map(|&(index, _)| along_upper(index)).sum();
        // Softmax's shares change, sparsemax's do not.
        let moving = f64::from(u8::from(kind == Kind::Softmax));
        let turned: f64 = moving
            * self.free.iter().map(|&(index, [_, _, share])| share * (along(index) - drift) * g(index)).sum::<f64>();
        let free = self.free.iter().map(|&(index, [p, slope, share])| {
            let to_g = slope * (along(index) - drift) - share * taken;
            let to_x = moving * (to_g * (g(index) - upstream) - p * turned);
            Change { index, to_x, to_upper: 0.0, to_g }
        });
        let capped = self.capped.iter().map(|&(index, _)| Change {
            index,
            to_x: 0.0,
            to_upper: -turned,
            to_g: along_upper(index),
        });
        free.chain(capped).collect()
    }
}

/// The gradients of <t, vjp>, with t along the rows and along the bounds: to the rows, the bounds and g, into zeros.
///
/// # Errors
/// As [`forward`].
pub fn second<T: Logit>(
    problem: Problem<'_, T>,
    g: &[T],
    (along, along_upper): (&[T], &[T]),
    (dx, dupper, dg): (&mut [T], &mut [T], &mut [T]),
    job: &Job,
) -> Result<()> {
    let v = problem.v;
    let mut changes = vec![Vec::new(); problem.x.len() / v.max(1)];
    super::each(problem.x, v, (&mut *dx, v), (&mut changes, 1), job, |number, row, _, changes| {
        let found = problem.solve(number, row)?;
        let of = |array: &[T], index: u32| array[number * v + index as usize].wide();
        changes[0] = found.second(problem.kind, |i| of(g, i), |i| of(along, i), |i| of(along_upper, i));
        Ok(())
    })?;
    for (number, changes) in changes.iter().enumerate() {
        for change in changes {
            let at = number * v + change.index as usize;
            (dx[at], dupper[at], dg[at]) = (T::of(change.to_x), T::of(change.to_upper), T::of(change.to_g));
        }
    }
    Ok(())
}

//! Softmax on the k largest of every row: entmax with alpha = 1 on a support that is chosen otherwise.

use super::derivative::Point;
use super::solve::Work;
use super::{Support, gather, read, scatter, worth_keeping};
use crate::decoding::logit::Logit;
use crate::decoding::row::Memory;
use crate::dual::Dual;
use crate::elementary::exp_f64;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;

/// Rows of `v` logits, and what the k largest of each are.
#[derive(Debug, Clone, Copy)]
pub struct TopRows<'a, T> {
    /// The rows.
    pub x: &'a [T],
    /// Numbers in a row.
    pub v: usize,
    /// How many, one for each row.
    pub k: &'a [i64],
    /// One for each row, >= 0.
    pub temperature: &'a [f64],
    /// What is added for the choice, one for each number.
    pub bias: Option<&'a [T]>,
}

impl<T: Logit> TopRows<'_, T> {
    fn solve<'w>(&self, number: usize, row: &[T], work: &'w mut Work) -> Result<&'w Support> {
        let (k, temperature) = (self.k[number], self.temperature[number]);
        let Some(k) = usize::try_from(k).ok().filter(|&k| k > 0) else {
            return Err(invalid!("k must be >= 1, got {k} for row {number}"));
        };
        if !(0.0..f64::INFINITY).contains(&temperature) {
            return Err(invalid!("temperature must be finite and >= 0, got {temperature} for row {number}"));
        }
        let biased = self.biased(number, row)?;
        let (mut memory, expected) = (Lent::<Memory<T>>::new(), k.min(self.v));
        let mut choice = read(biased.as_deref().unwrap_or(row), number, expected, &mut memory, "logits")?;
        let chosen = choice.largest(expected);
        let found = &mut work.found;
        found.indices.clear();
        found.indices.extend(chosen.iter().map(|token| token.index));
        let logits = || found.indices.iter().map(|&index| row[index as usize].wide());
        let top = logits().fold(f64::NEG_INFINITY, f64::max);
        let mut left = 1.0;
        found.p.clear();
        found.p.extend(logits().map(|logit| {
            if temperature > 0.0 {
                return exp_f64((logit - top) / temperature);
            }
            // The first of the largest has it all.
            let p = if logit == top { left } else { 0.0 };
            left -= p;
            p
        }));
        let total: f64 = found.p.iter().sum();
        found.p.iter_mut().for_each(|p| *p /= total);
        Ok(found)
    }

    /// The row with its bias.
    fn biased(&self, number: usize, row: &[T]) -> Result<Option<Vec<T>>> {
        let Some(bias) = self.bias else { return Ok(None) };
        let bias = &bias[number * self.v..][..self.v];
        if let Some(i) = bias.iter().position(|bias| !bias.is_finite()) {
            return Err(invalid!("selection_bias must be finite, got {} at row {number}, column {i}", bias[i]));
        }
        Ok(Some(row.iter().zip(bias).map(|(&x, &bias)| x + bias).collect()))
    }

    fn again<'w>(
        &self,
        number: usize,
        row: &[T],
        kept: Option<&'w [Support]>,
        work: &'w mut Work,
    ) -> Result<&'w Support> {
        match kept.map(|kept| &kept[number]) {
            Some(support) if !support.p.is_empty() => Ok(support),
            _ => self.solve(number, row, work),
        }
    }

    /// What a change of a logit is multiplied by.
    fn scale(&self, number: usize) -> f64 {
        let temperature = self.temperature[number];
        if temperature > 0.0 { temperature.recip() } else { 0.0 }
    }
}

/// Fills `out`, which holds zeros, and what is kept of each row.
///
/// # Errors
/// When a number is NaN or +inf, a row has only -inf, a parameter is out of range, or the job was stopped.
pub fn topk_softmax<T: Logit>(rows: TopRows<'_, T>, out: &mut [T], kept: &mut [Support], job: &Job) -> Result<()> {
    crate::decoding::each(rows.x, rows.v, (out, rows.v), (kept, 1), job, |number, row, out, kept| {
        let mut work = Lent::<Work>::new();
        let support = rows.solve(number, row, &mut work)?;
        scatter(&support.indices, support.p.iter().copied(), out);
        kept[0] = worth_keeping(support, rows.v);
        Ok(())
    })
}

/// The gradient of <g, p> to the rows, into zeros.
///
/// # Errors
/// As [`topk_softmax`].
pub fn topk_softmax_vjp<T: Logit>(
    rows: TopRows<'_, T>,
    kept: Option<&[Support]>,
    g: &[T],
    dx: &mut [T],
    job: &Job,
) -> Result<()> {
    let mut nothing = vec![(); rows.k.len()];
    crate::decoding::each(rows.x, rows.v, (dx, rows.v), (&mut nothing, 1), job, |number, row, dx, _| {
        let mut work = Lent::<Work>::new();
        let Support { indices, p, .. } = rows.again(number, row, kept, &mut work)?;
        let upstream = gather(indices, &g[number * rows.v..][..rows.v]);
        let (found, scale) = (Point::new(p, 1.0).jacobian(&upstream), rows.scale(number));
        scatter(indices, found.into_iter().map(|x| scale * x), dx);
        Ok(())
    })
}

/// The gradients of <t, vjp>: to the rows and to g, into zeros.
///
/// # Errors
/// As [`topk_softmax`].
pub fn topk_softmax_second<T: Logit>(
    rows: TopRows<'_, T>,
    g: &[T],
    along: &[T],
    (dx, dg): (&mut [T], &mut [T]),
    job: &Job,
) -> Result<()> {
    let v = rows.v;
    crate::decoding::each(rows.x, v, (dx, v), (dg, v), job, |number, row, dx, dg| {
        let mut work = Lent::<Work>::new();
        let Support { indices, p, .. } = rows.solve(number, row, &mut work)?;
        let scale = rows.scale(number);
        let part = |x: &[T]| gather(indices, &x[number * v..][..v]);
        let along: Vec<_> = part(along).into_iter().map(|t| scale * t).collect();
        let upstream: Vec<_> = part(g).into_iter().map(|g| Dual::new(g, 0.0)).collect();
        let moving = Point::new(p, 1.0).moving(&along, 0.0);
        scatter(indices, moving.jacobian(&upstream).into_iter().map(|x| scale * x.slope), dx);
        scatter(indices, moving.p.iter().map(|p| p.slope), dg);
        Ok(())
    })
}

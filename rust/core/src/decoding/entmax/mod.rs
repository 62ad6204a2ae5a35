//! Entmax of every row, its conjugate, and their derivatives.

mod conjugate;
mod derivative;
mod even;
mod solve;
mod top;

pub use conjugate::{Target, conjugate, conjugate_second, conjugate_vjp};
pub use solve::Support;
pub use top::{TopRows, topk_softmax, topk_softmax_second, topk_softmax_vjp};

use crate::decoding::logit::Logit;
use crate::decoding::row::{Memory, Reading, Row};
use crate::decoding::statistics::Sums;
use crate::dual::Dual;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;
use derivative::Point;
use even::Even;
use solve::Work;

/// Largest tokens that are expected to matter: blocks of a row are small enough to hold hardly two of them.
const EXPECTED: usize = 16;
/// The support is kept for the derivatives where it is at most this part of the row.
const SPARSE: usize = 8;

/// Rows of `v` numbers, and one alpha for each.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, T> {
    /// The rows.
    pub x: &'a [T],
    /// Numbers in a row.
    pub v: usize,
    /// One for each row.
    pub alpha: &'a [f64],
}

impl<T: Logit> Rows<'_, T> {
    /// Finds the support of a row, or a shorter description of one that has nearly all of it.
    fn search(&self, number: usize, row: &[T], work: &mut Work) -> Result<Option<Even>> {
        let alpha = self.alpha[number];
        if !(1.0..f64::INFINITY).contains(&alpha) {
            return Err(invalid!("alpha must be finite and >= 1, got {alpha} for row {number}"));
        }
        let mut memory = Lent::<Memory<T>>::new();
        let mut scanned = read(row, number, EXPECTED, &mut memory, "x")?;
        let even = Even::of(row, &scanned, alpha - 1.0);
        if even.is_none() {
            solve::support(&mut scanned, alpha, work);
        }
        Ok(even)
    }

    /// Finds the support of a row.
    fn solve<'w>(&self, number: usize, row: &[T], work: &'w mut Work) -> Result<&'w Support> {
        if let Some(even) = self.search(number, row, work)? {
            even.support(row, &mut work.found);
        }
        Ok(&work.found)
    }

    /// The same, from what was kept.
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
}

/// Reads a row of the named argument.
pub(super) fn read<'a, T: Logit>(
    row: &'a [T],
    number: usize,
    expected: usize,
    memory: &'a mut Memory<T>,
    argument: &str,
) -> Result<Row<'a, T>> {
    let reading = Reading { temperature: 1.0, sums: Sums::Nothing, expected };
    let row = Row::scan(row, reading, memory, |column, x| {
        if x == T::INFINITY || x.partial_cmp(&x).is_none() {
            return Err(invalid!("{argument} must be finite or -inf, got {x} at row {number}, column {column}"));
        }
        Ok(())
    })?;
    if row.statistics.maximum == f64::NEG_INFINITY {
        return Err(invalid!("{argument} must have a finite number in every row, got only -inf in row {number}"));
    }
    Ok(row)
}

/// What is worth keeping of a row of `v` numbers.
fn worth_keeping(support: &Support, v: usize) -> Support {
    if support.p.len() <= v / SPARSE { support.clone() } else { Support::default() }
}

/// Puts values at places of a row of zeros.
fn scatter<T: Logit>(indices: &[u32], values: impl Iterator<Item = f64>, out: &mut [T]) {
    for (&index, value) in indices.iter().zip(values) {
        out[index as usize] = T::of(value);
    }
}

fn gather<T: Logit>(indices: &[u32], row: &[T]) -> Vec<f64> {
    indices.iter().map(|&index| row[index as usize].wide()).collect()
}

/// Entmax: fills `out`, which holds zeros, and what is kept of each row.
///
/// # Errors
/// When a number is NaN or +inf, a row has only -inf, an alpha is not >= 1, or the job was stopped.
pub fn entmax<T: Logit>(rows: Rows<'_, T>, out: &mut [T], kept: &mut [Support], job: &Job) -> Result<()> {
    super::each(rows.x, rows.v, (out, rows.v), (kept, 1), job, |number, row, out, kept| {
        let mut work = Lent::<Work>::new();
        if let Some(even) = rows.search(number, row, &mut work)? {
            even.write(row, out, rows.x.len());
            kept[0] = Support::default();
            return Ok(());
        }
        let support = &work.found;
        scatter(&support.indices, support.p.iter().copied(), out);
        kept[0] = worth_keeping(support, rows.v);
        Ok(())
    })
}

/// The gradients of <g, entmax> to the rows, into zeros, and to each alpha if that is wanted.
///
/// # Errors
/// As [`entmax`].
pub fn entmax_vjp<T: Logit>(
    rows: Rows<'_, T>,
    kept: Option<&[Support]>,
    g: &[T],
    (dx, dalpha): (&mut [T], &mut [f64]),
    to_alpha: bool,
    job: &Job,
) -> Result<()> {
    super::each(rows.x, rows.v, (dx, rows.v), (dalpha, 1), job, |number, row, dx, dalpha| {
        let mut work = Lent::<Work>::new();
        let Support { indices, p, .. } = rows.again(number, row, kept, &mut work)?;
        let upstream = gather(indices, &g[number * rows.v..][..rows.v]);
        let point = Point::new(p, rows.alpha[number]);
        let found = point.jacobian(&upstream);
        if to_alpha {
            dalpha[0] = point.to_alpha(&found);
        }
        scatter(indices, found.into_iter(), dx);
        Ok(())
    })
}

/// What a second derivative gives to a row, on its support, and to its alpha.
#[derive(Debug, Clone, Default)]
struct Second {
    indices: Vec<u32>,
    to_row: Vec<f64>,
    to_upstream: Vec<f64>,
    to_alpha: f64,
}

/// The gradients of <t, vjp>, with t along the rows and along alpha: to the rows, alpha and g. The rows hold zeros before.
///
/// # Errors
/// As [`entmax`].
pub fn entmax_second<T: Logit>(
    rows: Rows<'_, T>,
    g: &[T],
    (along, along_alpha): (&[T], &[f64]),
    (dx, dalpha, dg): (&mut [T], &mut [f64], &mut [T]),
    job: &Job,
) -> Result<()> {
    let v = rows.v;
    let mut found = vec![Second::default(); dalpha.len()];
    super::each(rows.x, v, (&mut *dx, v), (&mut found, 1), job, |number, row, _, found| {
        let mut work = Lent::<Work>::new();
        let Support { indices, p, .. } = rows.solve(number, row, &mut work)?;
        let part = |x: &[T]| gather(indices, &x[number * v..][..v]);
        let upstream: Vec<_> = part(g).into_iter().map(|g| Dual::new(g, 0.0)).collect();
        let point = Point::new(p, rows.alpha[number]).moving(&part(along), along_alpha[number]);
        let to_row = point.jacobian(&upstream);
        let to_alpha = point.to_alpha(&to_row).slope;
        let slopes = |x: &[Dual]| x.iter().map(|x| x.slope).collect();
        found[0] =
            Second { to_row: slopes(&to_row), to_upstream: slopes(&point.p), to_alpha, indices: indices.clone() };
        Ok(())
    })?;
    for ((row, (dx, dg)), dalpha) in found.into_iter().zip(dx.chunks_mut(v).zip(dg.chunks_mut(v))).zip(dalpha) {
        scatter(&row.indices, row.to_row.into_iter(), dx);
        scatter(&row.indices, row.to_upstream.into_iter(), dg);
        *dalpha = row.to_alpha;
    }
    Ok(())
}

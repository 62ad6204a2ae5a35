//! The conjugate of the entropy that entmax maximises with, and the Fenchel-Young loss: both have a sparse derivative.

use super::derivative::{Point, entropy_term};
use super::solve::Work;
use super::{Rows, Support, gather, scatter, worth_keeping};
use crate::decoding::logit::Logit;
use crate::dual::Dual;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;

/// What the rows are compared with.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a, T> {
    /// Nothing: the conjugate itself.
    Nothing,
    /// The class of each row.
    Class(&'a [i64]),
    /// A distribution for each row.
    Share(&'a [T]),
}

impl<T: Logit> Target<'_, T> {
    /// The class of a row, where there is one.
    fn class(&self, number: usize, v: usize) -> Result<Option<usize>> {
        let Target::Class(classes) = self else { return Ok(None) };
        match usize::try_from(classes[number]) {
            Ok(class) if class < v => Ok(Some(class)),
            _ => Err(invalid!("target must be a class in [0, {v}), got {} for row {number}", classes[number])),
        }
    }

    /// A row's distribution, where there is one.
    fn share(&self, number: usize, v: usize) -> Result<Option<&[T]>> {
        let Target::Share(y) = self else { return Ok(None) };
        let y = &y[number * v..][..v];
        match y.iter().position(|&y| !(y >= T::ZERO && y.is_finite())) {
            Some(i) => Err(invalid!("target must be finite and >= 0, got {} at row {number}, column {i}", y[i])),
            None => Ok(Some(y)),
        }
    }
}

/// The value of a row, z being measured from its maximum or, with a class, from that of the class, so that nothing cancels.
fn value<T: Logit>(row: &[T], support: &Support, alpha: f64, class: Option<usize>, share: Option<&[T]>) -> f64 {
    let top = support.top;
    let origin = class.map_or(top, |class| row[class].wide());
    let point = Point::new(&support.p, alpha);
    let mut value = -point.entropy().0;
    for (&index, p) in support.indices.iter().zip(&support.p) {
        value += p * (row[index as usize].wide() - origin);
    }
    let Some(y) = share else { return if class.is_some() { value.max(0.0) } else { top + value } };
    for (x, y) in row.iter().zip(y).filter(|(_, y)| **y > T::ZERO) {
        value += entropy_term(y.wide(), alpha).0 - y.wide() * (x.wide() - top);
    }
    value.max(0.0)
}

/// Omega*(z), or with a target y the Fenchel-Young loss Omega*(z) + Omega(y) - <z, y>, of every row.
///
/// # Errors
/// As [`super::entmax`], and when a target is out of range.
pub fn conjugate<T: Logit>(
    rows: Rows<'_, T>,
    target: Target<'_, T>,
    out: &mut [T],
    kept: &mut [Support],
    job: &Job,
) -> Result<()> {
    crate::decoding::each(rows.x, rows.v, (out, 1), (kept, 1), job, |number, row, out, kept| {
        let (class, share) = (target.class(number, rows.v)?, target.share(number, rows.v)?);
        let mut work = Lent::<Work>::new();
        let support = rows.solve(number, row, &mut work)?;
        out[0] = T::of(value(row, support, rows.alpha[number], class, share));
        kept[0] = worth_keeping(support, rows.v);
        Ok(())
    })
}

/// p - y into zeros, times a factor.
fn difference<T: Logit>(
    support: &Support,
    number: usize,
    target: Target<'_, T>,
    factor: f64,
    out: &mut [T],
) -> Result<()> {
    if let Some(y) = target.share(number, out.len())? {
        out.iter_mut().zip(y).for_each(|(out, y)| *out = T::of(-factor * y.wide()));
        for (&index, p) in support.indices.iter().zip(&support.p) {
            out[index as usize] = T::of(factor * (p - y[index as usize].wide()));
        }
        return Ok(());
    }
    scatter(&support.indices, support.p.iter().map(|p| factor * p), out);
    if let Some(class) = target.class(number, out.len())? {
        let p = support.indices.iter().position(|&index| index as usize == class).map_or(0.0, |at| support.p[at]);
        out[class] = T::of(factor * (p - 1.0));
    }
    Ok(())
}

/// The derivative of a row's value to alpha.
fn to_alpha<T: Logit>(point: &Point<f64>, number: usize, v: usize, alpha: f64, target: Target<'_, T>) -> Result<f64> {
    let y = target.share(number, v)?.unwrap_or_default();
    let terms = y.iter().filter(|&&y| y > T::ZERO).map(|y| entropy_term(y.wide(), alpha).1);
    Ok(terms.sum::<f64>() - point.entropy().1)
}

/// The gradients of SUM g value to the rows, into zeros, and to each alpha if that is wanted.
///
/// # Errors
/// As [`conjugate`].
pub fn conjugate_vjp<T: Logit>(
    rows: Rows<'_, T>,
    target: Target<'_, T>,
    kept: Option<&[Support]>,
    g: &[T],
    (dx, dalpha): (&mut [T], &mut [f64]),
    wants_alpha: bool,
    job: &Job,
) -> Result<()> {
    crate::decoding::each(rows.x, rows.v, (dx, rows.v), (dalpha, 1), job, |number, row, dx, dalpha| {
        let factor = g[number].wide();
        if factor == 0.0 {
            return Ok(());
        }
        let mut work = Lent::<Work>::new();
        let support = rows.again(number, row, kept, &mut work)?;
        difference(support, number, target, factor, dx)?;
        if wants_alpha {
            let alpha = rows.alpha[number];
            dalpha[0] = factor * to_alpha(&Point::new(&support.p, alpha), number, rows.v, alpha, target)?;
        }
        Ok(())
    })
}

/// The gradients of <t, vjp>, with t along the rows and along alpha: to the rows, into zeros, to alpha and to g.
///
/// # Errors
/// As [`conjugate`].
pub fn conjugate_second<T: Logit>(
    rows: Rows<'_, T>,
    target: Target<'_, T>,
    g: &[T],
    (along, along_alpha): (&[T], &[f64]),
    (dx, dalpha, dg): (&mut [T], &mut [f64], &mut [T]),
    job: &Job,
) -> Result<()> {
    let v = rows.v;
    let mut found = vec![[0.0; 2]; dalpha.len()];
    crate::decoding::each(rows.x, v, (dx, v), (&mut found, 1), job, |number, row, dx, found| {
        let mut work = Lent::<Work>::new();
        let support = rows.solve(number, row, &mut work)?;
        let (factor, alpha, t) = (g[number].wide(), rows.alpha[number], along_alpha[number]);
        let along = &along[number * v..][..v];
        let point = Point::new(&support.p, alpha);
        let here = gather(&support.indices, along);
        let moving = point.moving(&here, t);
        scatter(&support.indices, moving.p.iter().map(|p| factor * p.slope), dx);
        let y = target.share(number, v)?.unwrap_or_default();
        let terms = y.iter().filter(|&&y| y > T::ZERO);
        let fixed = terms.map(|y| entropy_term(Dual::new(y.wide(), 0.0), Dual::new(alpha, t)).1.slope).sum::<f64>();
        let mut change: f64 = point.p.iter().zip(&here).map(|(p, t)| p * t).sum();
        change -= y.iter().zip(along).map(|(y, t)| y.wide() * t.wide()).sum::<f64>();
        change -= target.class(number, v)?.map_or(0.0, |class| along[class].wide());
        if t != 0.0 {
            change += t * to_alpha(&point, number, v, alpha, target)?;
        }
        found[0] = [factor * (fixed - moving.entropy().1.slope), change];
        Ok(())
    })?;
    for ((found, dalpha), dg) in found.into_iter().zip(dalpha).zip(dg) {
        (*dalpha, *dg) = (found[0], T::of(found[1]));
    }
    Ok(())
}

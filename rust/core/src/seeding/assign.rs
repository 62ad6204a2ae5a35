//! The nearest centre of every row.

use crate::error::{Error, Result, invalid};
use crate::job::Job;
use crate::real::Real;
use crate::seeding::points::{BLOCK, Points, power_of_two_for};
use crate::seeding::score::{Centers, Frame};
use rayon::prelude::*;

/// Labels and squared distances.
#[derive(Debug, Clone, PartialEq)]
pub struct Assigned<T> {
    /// Number of the nearest centre, the lowest among equals.
    pub labels: Vec<u32>,
    /// Canonical squared distance to it, times `scale` squared.
    pub squares: Vec<T>,
    /// The power of two that kept the squares in range.
    pub scale: T,
}

/// Finds the nearest of `centers` (row-major) for every row, in matrix-product form with an exact recheck: O(n k d).
///
/// # Errors
/// [`Error::NotFinite`], [`Error::Invalid`] when there is no centre, [`Error::Interrupted`].
pub fn assign<T: Real>(points: Points<'_, T>, centers: &[T], job: &Job) -> Result<Assigned<T>> {
    let wrapped = Points::new(centers, points.d(), None)?;
    if wrapped.n() == 0 {
        return Err(invalid!("centers must have at least one row, got 0"));
    }
    wrapped.check_finite("centers", job)?;
    let assigned = assign_scaled(points, wrapped, T::ONE, job)?;
    let worst = assigned
        .squares
        .iter()
        .fold(0.0, |worst: f64, x| if x.is_finite() { worst.max(x.wide()) } else { f64::INFINITY });
    if worst.is_infinite() {
        points.check_finite("X", job)?;
    }
    let (low, high) = (libm::ldexp(1.0, -T::EXPONENT), libm::ldexp(1.0, T::EXPONENT));
    if points.n() == 0 || (low..=high).contains(&worst) {
        return Ok(assigned);
    }
    let reach = points.reach(wrapped.row(0), job)?.max(wrapped.reach(wrapped.row(0), job)?);
    if reach == 0.0 { Ok(assigned) } else { assign_scaled(points, wrapped, power_of_two_for(reach), job) }
}

fn assign_scaled<T: Real>(points: Points<'_, T>, wrapped: Points<'_, T>, scale: T, job: &Job) -> Result<Assigned<T>> {
    let mut centers = Centers::new(Frame { scale, origin: wrapped.mean(scale, job)? });
    (0..wrapped.n()).for_each(|c| centers.push(wrapped.row(c)));
    let n = points.n();
    let (mut labels, mut squares) = (vec![0; n], vec![T::ZERO; n]);
    job.expect(n);
    labels.par_chunks_mut(BLOCK).zip(squares.par_chunks_mut(BLOCK)).enumerate().try_for_each(
        |(block, (labels, squares))| {
            // Nothing is found only where products are not finite; the caller then looks at the rows.
            squares.fill(T::INFINITY);
            let limits = &[f64::INFINITY; BLOCK][..labels.len()];
            centers.nearest_of_range(0..centers.count(), points, block * BLOCK, limits, job, |j, square, label| {
                (squares[j], labels[j]) = (square, label);
            })?;
            job.advance(limits.len());
            Ok::<_, Error>(())
        },
    )?;
    Ok(Assigned { labels, squares, scale })
}

//! An order of points in which neighbours are near each other.

use crate::error::Result;
use crate::job::Job;
use crate::real::Real;
use crate::seeding::points::power_of_two_for;
use rayon::prelude::*;

/// Numbers that one task compares at a time.
const TASK: usize = 1 << 16;

/// The rows of a matrix of `d` columns from the first on, each followed by the nearest of those that are left (the lower
/// one of equals).
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn chain<T: Real>(rows: &[T], d: usize, job: &Job) -> Result<Vec<usize>> {
    let reach = rows.iter().map(|x| x.wide().abs()).fold(0.0, f64::max);
    let scale = if reach > 0.0 { power_of_two_for::<T>(reach) } else { T::ONE };
    let mut left: Vec<T> = rows.to_vec();
    let mut numbers: Vec<usize> = (0..rows.len() / d).collect();
    let mut order = Vec::with_capacity(numbers.len());
    let mut distances = vec![T::ZERO; numbers.len()];
    let mut next = 0;
    while !numbers.is_empty() {
        job.check()?;
        let center: Vec<T> = left[next * d..(next + 1) * d].iter().map(|&x| x * scale).collect();
        order.push(numbers.swap_remove(next));
        let end = left.len() - d;
        left.copy_within(end.., next * d);
        left.truncate(end);
        let distances = &mut distances[..numbers.len()];
        let chunk = (TASK / d).max(1);
        distances.par_chunks_mut(chunk).zip(left.par_chunks(chunk * d)).for_each(|(distances, rows)| {
            T::canon_rows(rows, scale, &center, distances);
        });
        let mut best = (T::INFINITY, usize::MAX);
        for (at, (&distance, &number)) in distances.iter().zip(&numbers).enumerate() {
            if (distance, number) < best || at == 0 {
                best = (distance, number);
                next = at;
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_followed_by_the_nearest_left() {
        let rows = [0.0, 10.0, 1.0, 12.0, 3.0, 1.0];
        assert_eq!(chain(&rows, 1, &Job::default()).unwrap(), [0, 2, 5, 4, 1, 3]);
        let far = rows.map(|x| x * 1e250);
        assert_eq!(chain(&far, 1, &Job::default()).unwrap(), [0, 2, 5, 4, 1, 3]);
    }
}

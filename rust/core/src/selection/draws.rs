//! Multinomial, systematic, pivotal and Poisson draws.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::real::Real;
use crate::rng::Stream;
use crate::selection::inclusion::Inclusion;
use crate::selection::sums::Sums;
use crate::selection::uniforms::{TILE, exponential, exponentials, uniforms};
use crate::selection::{Drawn, streams};
use rayon::prelude::*;

const CHUNK: usize = 1024;

/// Draws `size` rows independently, in proportion to the weights; in random order, or ascending if `sorted`.
///
/// The weight of a drawn row is `W / (size w)`, `W` the sum of all weights.
///
/// # Errors
/// When a weight is invalid (with its row) or all are zero.
pub fn multinomial<T: Real>(
    weights: &[T],
    size: usize,
    sorted: bool,
    with_weights: bool,
    seed: u64,
    job: &Job,
) -> Result<Drawn> {
    let sums = all(weights, size, job)?;
    let targets = sorted_uniforms(size, sums.total(), Stream::new(seed, streams::SPACINGS));
    let mut rows = sums.walk(weights, &targets, job)?;
    if !sorted {
        rows = permuted(&rows, Stream::new(seed, streams::PERMUTATION));
    }
    Ok(with_shares(rows, weights, size, sums.total(), with_weights))
}

/// Draws `size` rows at equal steps of the running sum, ascending: row `i` comes `floor` or `ceil` of `size w / W` times.
///
/// The weight of a drawn row is `W / (size w)`, `W` the sum of all weights.
///
/// # Errors
/// As [`multinomial`].
pub fn systematic_repeated<T: Real>(
    weights: &[T],
    size: usize,
    with_weights: bool,
    seed: u64,
    job: &Job,
) -> Result<Drawn> {
    let sums = all(weights, size, job)?;
    let rows = sums.walk(weights, &steps(size, sums.total(), seed), job)?;
    Ok(with_shares(rows, weights, size, sums.total(), with_weights))
}

fn all<T: Real>(weights: &[T], size: usize, job: &Job) -> Result<Sums> {
    if size == 0 {
        return Err(invalid!("size must be >= 1, got 0"));
    }
    let sums = Sums::new(weights, f64::INFINITY, job)?;
    if sums.total() > 0.0 {
        Ok(sums)
    } else {
        Err(invalid!("weights must be positive in at least one row, got zeros only"))
    }
}

fn with_shares<T: Real>(rows: Vec<usize>, weights: &[T], size: usize, total: f64, with_weights: bool) -> Drawn {
    let inverse = |&row: &usize| total / (size as f64 * weights[row].wide());
    let weights = if with_weights { rows.par_iter().with_min_len(CHUNK).map(inverse).collect() } else { Vec::new() };
    Drawn { rows, weights }
}

/// A draw without replacement with the inclusion probabilities `inclusion`, of the rows in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// One uniform number: rows at equal steps of the running sum of the probabilities.
    Systematic,
    /// Neighbours fight, the loser hands its probability to the winner (Deville and Tille, "Unequal probability sampling
    /// without replacement through a splitting method", Biometrika 1998).
    Pivotal,
    /// Each row decides alone; the number of rows is random.
    Poisson,
}

/// Draws `size` rows (on average, for [`Scheme::Poisson`]) without replacement; their weights are `1 / pi`.
///
/// # Errors
/// As [`Sums::new`].
pub fn without_replacement<T: Real>(
    weights: &[T],
    inclusion: &Inclusion,
    size: usize,
    scheme: Scheme,
    with_weights: bool,
    seed: u64,
    job: &Job,
) -> Result<Drawn> {
    let rows = match scheme {
        Scheme::Systematic => systematic(weights, inclusion, size, seed, job)?,
        Scheme::Pivotal => pivotal(weights, inclusion, size, seed, job)?,
        Scheme::Poisson => poisson(weights, inclusion, seed, job)?,
    };
    let inverse = |&row: &usize| 1.0 / inclusion.probability(weights[row].wide());
    let weights = if with_weights { rows.par_iter().with_min_len(CHUNK).map(inverse).collect() } else { Vec::new() };
    Ok(Drawn { rows, weights })
}

fn systematic<T: Real>(weights: &[T], inclusion: &Inclusion, size: usize, seed: u64, job: &Job) -> Result<Vec<usize>> {
    let sums = Sums::new(weights, inclusion.cap(), job)?;
    // The certain rows stand aside, so that rounding can neither lose nor repeat one.
    let targets = steps(size.saturating_sub(inclusion.certain()), sums.total(), seed);
    let mut rows = sums.walk(weights, &targets, job)?;
    separate(&mut rows, weights);
    Ok(rows)
}

/// `(j + u) * total / size` for `j` below `size`.
fn steps(size: usize, total: f64, seed: u64) -> Vec<f64> {
    let u = Stream::new(seed, streams::SYSTEMATIC).uniform(0);
    let step = total / size as f64;
    (0..size).into_par_iter().with_min_len(CHUNK).map(|j| (j as f64 + u) * step).collect()
}

/// Makes ascending rows distinct where the rounding of a share of nearly 1 repeated one: the second becomes the nearest
/// row of positive weight that is free.
fn separate<T: Real>(rows: &mut [usize], weights: &[T]) {
    let is_free = |rows: &[usize], row: usize| weights[row] > T::ZERO && rows.binary_search(&row).is_err();
    while let Some(at) = rows.windows(2).position(|pair| pair[0] == pair[1]) {
        let row = rows[at];
        let after = (row + 1..weights.len()).find(|&free| is_free(rows, free));
        let Some(free) = after.or_else(|| (0..row).rev().find(|&free| is_free(rows, free))) else { return };
        rows[at] = free;
        rows.sort_unstable();
    }
}

fn pivotal<T: Real>(weights: &[T], inclusion: &Inclusion, size: usize, seed: u64, job: &Job) -> Result<Vec<usize>> {
    let stream = Stream::new(seed, streams::PIVOTAL);
    let mut rows = Vec::with_capacity(size);
    let mut champion: Option<(usize, f64)> = None;
    let mut draws = [0.0; TILE];
    for (tile, weights) in weights.chunks(TILE).enumerate() {
        job.check()?;
        let first = tile * TILE;
        uniforms(stream, first as u64, &mut draws[..weights.len()]);
        for (j, w) in weights.iter().enumerate() {
            let p = inclusion.probability(w.wide());
            if p >= 1.0 {
                rows.push(first + j);
            } else if p > 0.0 {
                champion = Some(match champion {
                    None => (first + j, p),
                    Some(old) => duel(old, (first + j, p), draws[j], &mut rows),
                });
            }
        }
    }
    // The probability left is 0 or 1, up to rounding.
    if let Some((row, _)) = champion
        && rows.len() < size
    {
        rows.push(row);
    }
    rows.sort_unstable();
    Ok(rows)
}

/// Settles two undecided rows: one is dropped or selected, the other goes on with what is left of their probability.
fn duel((a, pa): (usize, f64), (b, pb): (usize, f64), u: f64, selected: &mut Vec<usize>) -> (usize, f64) {
    let sum = pa + pb;
    if sum < 1.0 {
        return (if u * sum < pa { a } else { b }, sum);
    }
    let a_wins = u * (2.0 - sum) < 1.0 - pb;
    selected.push(if a_wins { a } else { b });
    (if a_wins { b } else { a }, sum - 1.0)
}

fn poisson<T: Real>(weights: &[T], inclusion: &Inclusion, seed: u64, job: &Job) -> Result<Vec<usize>> {
    let stream = Stream::new(seed, streams::POISSON);
    let parts = weights.par_chunks(64 * TILE).enumerate().map(|(task, weights)| {
        job.check()?;
        let mut rows = Vec::new();
        let mut draws = [0.0; TILE];
        for (tile, weights) in weights.chunks(TILE).enumerate() {
            let first = (task * 64 + tile) * TILE;
            uniforms(stream, first as u64, &mut draws[..weights.len()]);
            let kept = |(w, u): (&T, &f64)| *u < inclusion.probability(w.wide());
            rows.extend(
                weights.iter().zip(&draws).map(kept).enumerate().filter_map(|(j, kept)| kept.then_some(first + j)),
            );
        }
        Ok(rows)
    });
    Ok(parts.collect::<Result<Vec<Vec<usize>>>>()?.concat())
}

/// `size` ascending uniforms in `[0, total)`, up to rounding: the partial sums of exponential spacings.
fn sorted_uniforms(size: usize, total: f64, stream: Stream) -> Vec<f64> {
    let mut heights = vec![0.0; size];
    let sums = heights.par_chunks_mut(CHUNK).enumerate().map(|(chunk, heights)| {
        uniforms(stream, (chunk * CHUNK) as u64, heights);
        exponentials(heights);
        let mut sum = 0.0;
        for height in heights {
            sum += *height;
            *height = sum;
        }
        sum
    });
    let mut before: Vec<f64> = sums.collect();
    let mut whole = 0.0;
    for sum in &mut before {
        (*sum, whole) = (whole, whole + *sum);
    }
    whole += exponential(stream.uniform(size as u64));
    heights.par_chunks_mut(CHUNK).zip(before).for_each(|(heights, before)| {
        for height in heights {
            *height = (before + *height) / whole * total;
        }
    });
    heights
}

/// The entries in the order of one random 64-bit word each.
fn permuted(rows: &[usize], stream: Stream) -> Vec<usize> {
    let key = |j: usize| u128::from(stream.word(j as u64)) << 64 | j as u128;
    let mut keys: Vec<u128> = (0..rows.len()).into_par_iter().with_min_len(CHUNK).map(key).collect();
    keys.par_sort_unstable();
    keys.par_iter().with_min_len(CHUNK).map(|&key| rows[key as u64 as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_rows_are_separated() {
        let weights = [1.0, 0.0, 1.0, 1.0, 0.0];
        let mut rows = [0, 0, 2];
        separate(&mut rows, &weights);
        assert_eq!(rows, [0, 2, 3]);
        let mut rows = [2, 3, 3];
        separate(&mut rows, &weights);
        assert_eq!(rows, [0, 2, 3]);
    }

    #[test]
    fn a_total_of_rounded_probabilities_still_gives_the_size() {
        let pi = vec![0.1; 30];
        for seed in 0..200 {
            for scheme in [Scheme::Systematic, Scheme::Pivotal] {
                let given = Inclusion::given(&pi);
                let drawn = without_replacement(&pi, &given, 3, scheme, true, seed, &Job::default()).unwrap();
                assert_eq!(drawn.rows.len(), 3, "{scheme:?} {seed}");
                assert!(drawn.rows.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}

//! The rows of clusters: in order, a few of each, or a proportional number of each.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::rng::Stream;
use crate::selection::streams;
use rayon::prelude::*;
use std::collections::HashSet;

/// Bits of the uniform number that rounds the sizes of the strata.
const GRAIN: u32 = 40;

/// The rows by cluster and then by `distances` (equal ones by row), and where each cluster begins in this order.
///
/// Rows of weight zero are left out. `distances` are finite and at least 0.
///
/// # Errors
/// When lengths differ or a label is not below `k`.
pub fn order(
    labels: &[usize],
    k: usize,
    distances: &[f64],
    weights: Option<&[f64]>,
    job: &Job,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let fit = labels.len() == distances.len() && weights.is_none_or(|weights| weights.len() == labels.len());
    if !fit || labels.iter().any(|&label| label >= k) {
        return Err(invalid!("labels must be one number below {k} for each row, got others"));
    }
    let counts = |i: usize| weights.is_none_or(|weights| weights[i] > 0.0);
    let mut starts = vec![0; k + 1];
    for (i, &label) in labels.iter().enumerate() {
        starts[label + 1] += usize::from(counts(i));
    }
    for r in 0..k {
        starts[r + 1] += starts[r];
    }
    job.check()?;
    let mut free = starts.clone();
    let mut members = vec![(0u64, 0usize); starts[k]];
    for (i, (&label, distance)) in labels.iter().zip(distances).enumerate().filter(|&(i, _)| counts(i)) {
        let at = &mut free[label];
        members[*at] = (distance.to_bits(), i); // the bits of numbers >= 0 ascend with the numbers
        *at += 1;
    }
    job.check()?;
    let mut rest = members.as_mut_slice();
    let mut clusters = Vec::with_capacity(k);
    for pair in starts.windows(2) {
        let (cluster, tail) = rest.split_at_mut(pair[1] - pair[0]);
        clusters.push(cluster);
        rest = tail;
    }
    clusters.into_par_iter().for_each(<[_]>::sort_unstable);
    Ok((members.into_iter().map(|(_, row)| row).collect(), starts))
}

/// Up to `most` uniform members of each cluster, without replacement: positions in the order, cluster by cluster.
#[must_use]
pub fn pilot(starts: &[usize], most: usize, seed: u64) -> Vec<usize> {
    let stream = Stream::new(seed, streams::PILOT);
    members(starts, |cluster| most.min(starts[cluster + 1] - starts[cluster]), stream)
}

/// `size` rows, a proportional number of each cluster and uniform inside: positions in the order, and these numbers.
///
/// A share that is no whole number is rounded up or down at random, by one systematic step over the clusters.
#[must_use]
pub fn stratified(starts: &[usize], size: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let u = u128::from(Stream::new(seed, streams::ROUNDING).word(0) >> (64 - GRAIN));
    let n = *starts.last().unwrap_or(&0) as u128;
    // How many of the heights (j + u / 2^GRAIN) n / size lie below the start of a cluster, in whole numbers.
    let before = |start: usize| {
        let height = ((start as u128 * size as u128) << GRAIN).saturating_sub(u * n);
        height.div_ceil((n << GRAIN).max(1)) as usize
    };
    let sizes: Vec<usize> = starts.windows(2).map(|pair| before(pair[1]) - before(pair[0])).collect();
    let rows = members(starts, |cluster| sizes[cluster], Stream::new(seed, streams::STRATA));
    (rows, sizes)
}

/// `size(cluster)` members each by Floyd's algorithm, ascending inside a cluster.
fn members(starts: &[usize], size: impl Fn(usize) -> usize, stream: Stream) -> Vec<usize> {
    let mut out = Vec::new();
    for (cluster, pair) in starts.windows(2).enumerate() {
        let (count, size) = (pair[1] - pair[0], size(cluster));
        let mut chosen = HashSet::with_capacity(size);
        for last in count - size..count {
            let at = stream.below((cluster as u64) << 32 | last as u64, last as u64 + 1) as usize;
            if !chosen.insert(at) {
                chosen.insert(last);
            }
        }
        let from = out.len();
        out.extend(chosen.into_iter().map(|at| pair[0] + at));
        out[from..].sort_unstable();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_by_cluster_then_distance_then_number() {
        let labels = [0, 2, 0, 0, 2, 1];
        let distances = [0.5, 0.0, 0.5, 0.1, 2.0, 0.0];
        let weights = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
        let (rows, starts) = order(&labels, 3, &distances, Some(&weights), &Job::default()).unwrap();
        assert_eq!(rows, [3, 0, 2, 1, 4]);
        assert_eq!(starts, [0, 3, 3, 5]);
    }

    #[test]
    fn pilots_are_distinct_members() {
        let starts = [0, 1, 1, 6, 1000];
        let rows = pilot(&starts, 3, 9);
        assert_eq!(rows.len(), 7);
        assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rows[0] == 0 && rows[1..4].iter().all(|row| (1..6).contains(row)));
    }

    #[test]
    fn strata_get_their_rounded_share() {
        let starts = [0, 3, 10, 10, 47, 100];
        for seed in 0..50 {
            for size in [1, 7, 50, 99, 100] {
                let (rows, sizes) = stratified(&starts, size, seed);
                assert_eq!((rows.len(), sizes.iter().sum::<usize>()), (size, size));
                for (pair, drawn) in starts.windows(2).zip(sizes) {
                    let share = size * (pair[1] - pair[0]);
                    assert!(drawn == share / 100 || drawn == share.div_ceil(100), "{drawn} of {share}/100");
                }
            }
        }
    }
}

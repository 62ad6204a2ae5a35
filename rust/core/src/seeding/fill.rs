//! What to do when fewer distinct rows than centres exist: unused rows, uniformly.

use crate::real::Real;
use crate::rng::Stream;
use crate::seeding::points::Points;
use crate::seeding::streams;

/// Extends `chosen` to `k` rows by uniform unused ones; rows of weight zero only when no other is left.
pub fn fill_up<T: Real>(points: Points<'_, T>, chosen: &mut Vec<usize>, k: usize, seed: u64) {
    if chosen.len() >= k {
        return;
    }
    let mut used = vec![false; points.n()];
    chosen.iter().for_each(|&i| used[i] = true);
    let unused = |positive: bool| {
        let free = (0..points.n()).filter(|&i| !used[i] && (points.weight(i) > 0.0) == positive);
        free.collect::<Vec<_>>()
    };
    let (mut first, mut last) = (unused(true), unused(false));
    let stream = Stream::new(seed, streams::FILL);
    while chosen.len() < k {
        let pool = if first.is_empty() { &mut last } else { &mut first };
        let at = stream.below(chosen.len() as u64, pool.len() as u64) as usize;
        chosen.push(pool.swap_remove(at));
    }
}

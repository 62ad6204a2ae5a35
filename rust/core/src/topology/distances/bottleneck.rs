//! The bottleneck distance: the least t for which the bars can be matched with no distance above t.
//!
//! A bar is long if its way to the diagonal is longer than t. By the theorem of Mendelsohn and Dulmage there is a
//! matching of all long bars of both diagrams as soon as there is one of the long bars of each diagram alone, so copies
//! on the diagonal are not needed: two maximum matchings by Hopcroft and Karp, with a tree that gives neighbours.
//!
//! ```text
//! halve the interval between what fails and what works; when it is short, search among the distances inside it
//!     works: the long bars of x have partners in y, and those of y partners in x; t falls to what was needed
//! join the two matchings along their common paths
//! ```

use super::kd::Tree;
use super::{Norm, Point};
use crate::error::Result;
use crate::job::Job;

const NONE: u32 = u32::MAX;
/// How often the interval is halved before the distances inside it are listed.
const HALVINGS: u32 = 16;
/// How many distances are listed at most.
const MANY: usize = 1 << 20;

/// The partners of bars of one diagram, or [`NONE`].
type Partners = Vec<u32>;

/// The partner of each bar of `x` in an optimal matching of finite bars off the diagonal.
pub fn partners(x: &[Point], y: &[Point], job: &Job) -> Result<Vec<Option<usize>>> {
    let halves = |bars: &[Point]| bars.iter().map(|&bar| Norm::Max.to_diagonal(bar)).collect::<Vec<_>>();
    let (a, b) = (halves(x), halves(y));
    let mut works = a.iter().chain(&b).copied().fold(0.0, f64::max);
    let mut best = (vec![NONE; x.len()], vec![NONE; y.len()]);
    let (mut fails, mut inside) = (None, None);
    for step in 0.. {
        if step == HALVINGS {
            inside = fails.and_then(|fails| distances(x, &a, y, &b, fails, works));
        }
        let Some(t) = between(fails, works, inside.as_deref()) else { break };
        job.check()?;
        match (cover(x, &a, y, t), cover(y, &b, x, t)) {
            (Some(first), Some(second)) => {
                works = needed(x, &a, y, &first).max(needed(y, &b, x, &second));
                best = (first, second);
            }
            _ => fails = Some(t),
        }
    }
    Ok(join(best.0, &best.1, &b, works).into_iter().map(|j| (j != NONE).then_some(j as usize)).collect())
}

/// The next t to try; None if there is none left, so that what works is the least. Without the distances inside, that is
/// where no float is left.
fn between(fails: Option<f64>, works: f64, inside: Option<&[f64]>) -> Option<f64> {
    let Some(fails) = fails else { return (works > 0.0).then_some(0.0) };
    if let Some(inside) = inside {
        let (low, high) = (inside.partition_point(|&t| t <= fails), inside.partition_point(|&t| t < works));
        return (low < high).then(|| inside[usize::midpoint(low, high)]);
    }
    let middle = fails + (works - fails) / 2.0;
    (fails < middle && middle < works).then_some(middle)
}

/// The distances between what fails and what works, rising; None if there are too many.
fn distances(x: &[Point], a: &[f64], y: &[Point], b: &[f64], fails: f64, works: f64) -> Option<Vec<f64>> {
    let within = |t: &f64| fails < *t && *t < works;
    let mut found: Vec<f64> = a.iter().chain(b).copied().filter(within).collect();
    for &bar in x {
        found.extend(y.iter().map(|&other| Norm::Max.between(bar, other)).filter(within));
        if found.len() > MANY {
            return None;
        }
    }
    found.sort_unstable_by(f64::total_cmp);
    found.dedup();
    Some(found)
}

/// The largest distance that a matching uses, those of short bars to the diagonal included.
fn needed(x: &[Point], halves: &[f64], y: &[Point], partner: &[u32]) -> f64 {
    let cost = |i: usize| match partner[i] {
        NONE => halves[i],
        j => Norm::Max.between(x[i], y[j as usize]),
    };
    (0..x.len()).map(cost).fold(0.0, f64::max)
}

/// Partners for the bars of `x` that are long, each at most at the distance t; None if there are not enough.
fn cover(x: &[Point], halves: &[f64], y: &[Point], t: f64) -> Option<Partners> {
    let mut partner = vec![NONE; x.len()];
    let mut taken = vec![NONE; y.len()];
    let mut free: Vec<u32> = (0..x.len() as u32).filter(|&i| halves[i as usize] > t).collect();
    if free.len() > y.len() {
        return None;
    }
    while !free.is_empty() {
        let mut layers = layers(x, y, &free, &taken, t)?;
        free.retain(|&root| !follow(root, x, &mut layers, &mut partner, &mut taken, t));
    }
    Some(partner)
}

/// The bars of `y` by the length of the shortest alternating path to them, up to the first that have no partner; None
/// if no path leads to one.
fn layers<'a>(x: &[Point], y: &'a [Point], free: &[u32], taken: &[u32], t: f64) -> Option<Vec<Tree<'a>>> {
    let mut rest = Tree::new(y, (0..y.len() as u32).collect());
    let (mut layers, mut front) = (Vec::new(), free.to_vec());
    while !front.is_empty() {
        let mut reached = Vec::new();
        for &i in &front {
            while let Some(j) = rest.take(x[i as usize], t) {
                reached.push(j);
            }
        }
        let ends = reached.iter().any(|&j| taken[j as usize] == NONE);
        front = reached.iter().map(|&j| taken[j as usize]).collect();
        layers.push(Tree::new(y, reached));
        if ends {
            return Some(layers);
        }
    }
    None
}

/// Goes from a bar without partner down the layers to one of `y` without partner, and swaps partners on the way back.
fn follow(root: u32, x: &[Point], layers: &mut [Tree], partner: &mut [u32], taken: &mut [u32], t: f64) -> bool {
    let mut path: Vec<(u32, u32)> = Vec::new();
    let mut i = root;
    loop {
        // What a layer gives is gone: it leads to an end, or nowhere.
        let step = layers.get_mut(path.len()).and_then(|layer| layer.take(x[i as usize], t));
        match step {
            Some(j) if taken[j as usize] == NONE => {
                path.push((i, j));
                for &(i, j) in &path {
                    partner[i as usize] = j;
                    taken[j as usize] = i;
                }
                return true;
            }
            Some(j) => {
                path.push((i, j));
                i = taken[j as usize];
            }
            None => match path.pop() {
                Some((before, _)) => i = before,
                None => return false,
            },
        }
    }
}

/// One matching of all long bars: that of x, swapped along the paths that begin at long bars of y it leaves out.
fn join(mut first: Partners, second: &[u32], halves: &[f64], t: f64) -> Partners {
    let mut taken = vec![NONE; second.len()];
    first.iter().enumerate().filter(|(_, j)| **j != NONE).for_each(|(i, &j)| taken[j as usize] = i as u32);
    for start in 0..second.len() {
        let mut j = start as u32;
        while j != NONE && halves[j as usize] > t && taken[j as usize] == NONE {
            let i = second[j as usize];
            taken[j as usize] = i;
            j = std::mem::replace(&mut first[i as usize], j);
            if j != NONE {
                taken[j as usize] = NONE;
            }
        }
    }
    first
}

//! Optimal transport between two diagrams: a partial assignment of least cost, in which a bar without a partner costs
//! what its way to the diagonal costs.
//!
//! The copies of bars on the diagonal are never made. With c the cost of a pair, a and b those of the diagonal, the
//! problem and its dual are
//!
//! ```text
//! min  SUM of c over pairs, of a and b over bars without partner
//! max  SUM u + SUM v    with    u[x] + v[y] <= c[x, y],  u[x] <= a[x],  v[y] <= b[y]
//! ```
//!
//! and successive shortest paths solve them: bars of both diagrams are settled one by one, from u = v = 0 on.
//!
//! ```text
//! for each bar r that is not settled, first those of one side, then those of the other (A: its side, B: the other):
//!     Dijkstra from r over the slacks c - u - v: from a bar of A to all of B, from a bar of B to its partner;
//!     ends: a bar of A whose way to the diagonal has the least slack: it goes there;
//!           a bar of B that has no partner yet, or that is on the diagonal: it takes one
//!     u += end - distance,  v -= end - distance  at all bars nearer than the end; swap partners along the path
//! ```
//!
//! Pairs with c >= a + b are never needed, so they are left out, which makes the graph sparse for short bars.

use super::{Norm, Point};
use crate::error::Result;
use crate::job::Job;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Not settled yet.
const EXPOSED: u32 = u32::MAX;
/// Settled without a partner.
const ON_DIAGONAL: u32 = u32::MAX - 1;

/// The bars of one diagram.
#[derive(Default)]
struct Side {
    /// What the way to the diagonal costs.
    diagonal: Vec<f64>,
    dual: Vec<f64>,
    /// The partner, [`EXPOSED`] or [`ON_DIAGONAL`].
    partner: Vec<u32>,
    /// The pairs of bar i are `edges[start[i]..start[i + 1]]`: the other bar and the cost.
    start: Vec<usize>,
    edges: Vec<(u32, f64)>,
}

/// A bar of the other side at its distance; the heap's largest is the nearest.
#[derive(PartialEq)]
struct Near(f64, u32);

impl Eq for Near {}
impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0).then(other.1.cmp(&self.1))
    }
}
impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a search needs, kept between searches.
struct Search {
    distance: Vec<f64>,
    parent: Vec<u32>,
    /// Bars of the other side whose distance is known, to be forgotten.
    touched: Vec<u32>,
    heap: BinaryHeap<Near>,
    /// Bars of this side that were reached, at their distances.
    tree: Vec<(u32, f64)>,
}

/// The partner of each bar of `x` in an optimal matching of finite bars off the diagonal.
pub fn partners(x: &[Point], y: &[Point], order: f64, norm: Norm, job: &Job) -> Result<Vec<Option<usize>>> {
    let (mut left, mut right) = sides(x, y, order, norm, job)?;
    greedy(&mut left, &mut right);
    settle(&mut left, &mut right, job)?;
    settle(&mut right, &mut left, job)?;
    Ok(left.partner.iter().map(|&j| (j < ON_DIAGONAL).then_some(j as usize)).collect())
}

/// Builds the costs, in units in which no power overflows.
fn sides(x: &[Point], y: &[Point], order: f64, norm: Norm, job: &Job) -> Result<(Side, Side)> {
    let unit = x.iter().chain(y).map(|&bar| norm.to_diagonal(bar)).fold(0.0, f64::max);
    let power = |length: f64| match order {
        1.0 => length / unit,
        2.0 => (length / unit) * (length / unit),
        q => (length / unit).powf(q),
    };
    let to_diagonal = |bars: &[Point]| bars.iter().map(|&bar| power(norm.to_diagonal(bar))).collect::<Vec<_>>();
    let (a, b) = (to_diagonal(x), to_diagonal(y));
    let highest = b.iter().copied().fold(0.0, f64::max);
    // Only bars with births this near can be cheaper together than alone.
    let mut by_birth: Vec<u32> = (0..y.len() as u32).collect();
    by_birth.sort_by(|&i, &j| y[i as usize][0].total_cmp(&y[j as usize][0]));
    let births: Vec<f64> = by_birth.iter().map(|&j| y[j as usize][0]).collect();
    let mut left = Side { start: vec![0], ..Side::default() };
    for (i, &bar) in x.iter().enumerate() {
        job.check()?;
        let reach = unit * (a[i] + highest).powf(1.0 / order) * (1.0 + 1e-12);
        let first = births.partition_point(|birth| bar[0] - birth > reach);
        for &j in by_birth[first..].iter().take_while(|&&j| y[j as usize][0] - bar[0] <= reach) {
            let cost = power(norm.between(bar, y[j as usize]));
            if cost < a[i] + b[j as usize] {
                left.edges.push((j, cost));
            }
        }
        left.start.push(left.edges.len());
    }
    let mut right = left.transposed(y.len());
    left.begin(a);
    right.begin(b);
    Ok((left, right))
}

impl Side {
    fn begin(&mut self, diagonal: Vec<f64>) {
        self.dual = vec![0.0; diagonal.len()];
        self.partner = vec![EXPOSED; diagonal.len()];
        self.diagonal = diagonal;
    }

    /// The same pairs seen from the other side.
    fn transposed(&self, count: usize) -> Self {
        let mut start = vec![0; count + 1];
        self.edges.iter().for_each(|&(j, _)| start[j as usize + 1] += 1);
        (0..count).for_each(|j| start[j + 1] += start[j]);
        let (mut edges, mut next) = (vec![(0, 0.0); self.edges.len()], start.clone());
        for i in 0..self.start.len() - 1 {
            for &(j, cost) in self.pairs(i) {
                edges[next[j as usize]] = (i as u32, cost);
                next[j as usize] += 1;
            }
        }
        Self { start, edges, ..Self::default() }
    }

    fn pairs(&self, i: usize) -> &[(u32, f64)] {
        &self.edges[self.start[i]..self.start[i + 1]]
    }
}

/// Settles the bars of one side that can have what they like best.
fn greedy(left: &mut Side, right: &mut Side) {
    for i in 0..left.partner.len() {
        let best = left.pairs(i).iter().copied().min_by(|l, r| l.1.total_cmp(&r.1).then(l.0.cmp(&r.0)));
        match best {
            Some((j, cost)) if cost < left.diagonal[i] => {
                left.dual[i] = cost;
                if right.partner[j as usize] == EXPOSED {
                    (left.partner[i], right.partner[j as usize]) = (j, i as u32);
                }
            }
            _ => {
                left.dual[i] = left.diagonal[i];
                left.partner[i] = ON_DIAGONAL;
            }
        }
    }
}

/// Settles all bars of `side`.
fn settle(side: &mut Side, other: &mut Side, job: &Job) -> Result<()> {
    let count = other.partner.len();
    let mut search = Search {
        distance: vec![f64::INFINITY; count],
        parent: vec![0; count],
        touched: Vec::new(),
        heap: BinaryHeap::new(),
        tree: Vec::new(),
    };
    for root in 0..side.partner.len() {
        if side.partner[root] == EXPOSED {
            job.check()?;
            search.augment(root as u32, side, other);
        }
    }
    Ok(())
}

impl Search {
    fn augment(&mut self, root: u32, side: &mut Side, other: &mut Side) {
        let (mut exit, mut leaving) = (f64::INFINITY, root);
        self.reach(root, 0.0, side, other, (&mut exit, &mut leaving));
        let mut end = None;
        while let Some(Near(distance, j)) = self.heap.pop() {
            if distance >= exit {
                break;
            }
            if distance > self.distance[j as usize] {
                continue; // an older entry
            }
            let partner = other.partner[j as usize];
            if partner >= ON_DIAGONAL {
                end = Some((j, distance));
                break;
            }
            self.reach(partner, distance, side, other, (&mut exit, &mut leaving));
        }
        let length = end.map_or(exit, |(_, distance)| distance);
        for &(i, distance) in &self.tree {
            side.dual[i as usize] += length - distance;
        }
        for &j in &self.touched {
            let distance = std::mem::replace(&mut self.distance[j as usize], f64::INFINITY);
            other.dual[j as usize] -= (length - distance).max(0.0);
        }
        self.swap(root, end.map(|(j, _)| j), leaving, side, other);
        self.touched.clear();
        self.heap.clear();
        self.tree.clear();
    }

    /// Adds a bar of this side to the tree, and what is to be had from there.
    fn reach(&mut self, i: u32, distance: f64, side: &Side, other: &Side, (exit, leaving): (&mut f64, &mut u32)) {
        let own = i as usize;
        self.tree.push((i, distance));
        // Slacks below 0 are rounding.
        let out = distance + (side.diagonal[own] - side.dual[own]).max(0.0);
        if out < *exit {
            (*exit, *leaving) = (out, i);
        }
        for &(j, cost) in side.pairs(own) {
            let far = distance + (cost - side.dual[own] - other.dual[j as usize]).max(0.0);
            let known = &mut self.distance[j as usize];
            if far < *known && far < *exit {
                if known.is_infinite() {
                    self.touched.push(j);
                }
                *known = far;
                self.parent[j as usize] = i;
                self.heap.push(Near(far, j));
            }
        }
    }

    /// Gives every bar on the path to the end the partner of the one before it.
    fn swap(&self, root: u32, end: Option<u32>, leaving: u32, side: &mut Side, other: &mut Side) {
        let mut next = end;
        if next.is_none() {
            let left = std::mem::replace(&mut side.partner[leaving as usize], ON_DIAGONAL);
            next = (leaving != root).then_some(left);
        }
        while let Some(j) = next {
            let i = self.parent[j as usize];
            other.partner[j as usize] = i;
            let left = std::mem::replace(&mut side.partner[i as usize], j);
            next = (i != root).then_some(left);
        }
    }
}

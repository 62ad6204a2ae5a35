//! The loops over the entries of a plan.

use super::plan::{NODES, Panel, Plan};
use crate::elementary::exp_f64;
use crate::simd::dispatch;
use std::f64::consts::PI;
use std::sync::LazyLock;

const LANES: usize = 8;

dispatch! {
    /// Computes the entries that are kept.
    pub fn fill_kept(plan: &Plan, kept: &mut [f64]) = fill_kept_body
}
dispatch! {
    /// Adds P times columns over the items.
    pub fn times(plan: &Plan, columns: &[f64], out: &mut [f64]) = times_body
}
dispatch! {
    /// Fills with the transposed P times columns over the ranks.
    pub fn transposed(plan: &Plan, columns: &[f64], out: &mut [f64]) = transposed_body
}
dispatch! {
    /// The inner product.
    pub fn inner(a: &[f64], b: &[f64]) -> f64 = dot
}
dispatch! {
    /// Appends each panel's sum over its items, and where it begins.
    pub fn sum_panels(plan: &Plan, rows: &mut Vec<f64>, starts: &mut Vec<usize>) = sum_panels_body
}

/// `out_j = exp(base_j + slope (j - j_c) + e)`.
#[inline(always)]
fn fill(bases: &[f64], slope: f64, from: f64, e: f64, out: &mut [f64]) {
    let start = slope.mul_add(from, e);
    for (k, (p, base)) in out.iter_mut().zip(bases).enumerate() {
        *p = exp_f64(slope.mul_add(f64::from(k as u32), base + start));
    }
}

/// Row `row` of a panel: an item, or a node.
#[inline(always)]
fn fill_row(plan: &Plan, panel: &Panel, row: usize, out: &mut [f64]) {
    let bases = &plan.bases[panel.base..panel.base + panel.width()];
    let from = panel.ranks.start as f64 - panel.middle;
    if panel.crowded() {
        fill(bases, panel.half * PLACES[row], from, 0.0, out);
    } else {
        let item = panel.items.start + row;
        fill(bases, plan.s[item] - panel.center, from, plan.scale[item], out);
    }
}

/// A row, from those kept or into `scratch`.
#[inline(always)]
fn row_of<'a>(plan: &'a Plan, panel: &Panel, row: usize, scratch: &'a mut [f64]) -> &'a [f64] {
    let width = panel.width();
    if let Some(kept) = panel.kept {
        return &plan.kept[kept + row * width..kept + (row + 1) * width];
    }
    fill_row(plan, panel, row, &mut scratch[..width]);
    &scratch[..width]
}

/// The nodes in [-1, 1].
static PLACES: LazyLock<[f64; NODES]> =
    LazyLock::new(|| std::array::from_fn(|k| ((k as f64 + 0.5) * PI / NODES as f64).cos()));

/// Values at the nodes to Chebyshev coefficients, by rows.
static COEFFICIENTS: LazyLock<[[f64; NODES]; NODES]> = LazyLock::new(|| {
    std::array::from_fn(|l| {
        let weight = if l == 0 { 1.0 } else { 2.0 } / NODES as f64;
        std::array::from_fn(|k| weight * (l as f64 * (k as f64 + 0.5) * PI / NODES as f64).cos())
    })
});

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (mut sums, split) = ([0.0; LANES], a.len() / LANES * LANES);
    for (x, y) in a[..split].chunks_exact(LANES).zip(b[..split].chunks_exact(LANES)) {
        for k in 0..LANES {
            sums[k] = x[k].mul_add(y[k], sums[k]);
        }
    }
    for (k, (x, y)) in a[split..].iter().zip(&b[split..]).enumerate() {
        sums[k] = x.mul_add(*y, sums[k]);
    }
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))
}

#[inline(always)]
fn add_scaled(out: &mut [f64], row: &[f64], factor: f64) {
    for (y, x) in out.iter_mut().zip(row) {
        *y = x.mul_add(factor, *y);
    }
}

#[inline(always)]
fn widest(plan: &Plan) -> usize {
    plan.panels.iter().map(Panel::width).max().unwrap_or(0)
}

#[inline(always)]
fn fill_kept_body(plan: &Plan, kept: &mut [f64]) {
    for panel in &plan.panels {
        let (width, at) = (panel.width(), panel.kept.unwrap_or(0));
        for row in 0..panel.rows() {
            fill_row(plan, panel, row, &mut kept[at + row * width..at + (row + 1) * width]);
        }
    }
}

#[inline(always)]
fn times_body(plan: &Plan, columns: &[f64], out: &mut [f64]) {
    let mut scratch = vec![0.0; if plan.kept.is_empty() { widest(plan) } else { 0 }];
    let (items, ranks) = (plan.items(), plan.ranks());
    let mut weights = vec![0.0; columns.len() / items * NODES];
    for panel in &plan.panels {
        if panel.crowded() {
            for (column, weights) in columns.chunks_exact(items).zip(weights.chunks_exact_mut(NODES)) {
                weights.copy_from_slice(&node_weights(plan, panel, &column[panel.items.clone()]));
            }
            for k in 0..NODES {
                let row = row_of(plan, panel, k, &mut scratch);
                for (out, weights) in out.chunks_exact_mut(ranks).zip(weights.chunks_exact(NODES)) {
                    add_scaled(&mut out[panel.ranks.clone()], row, weights[k]);
                }
            }
        } else {
            for (k, item) in panel.items.clone().enumerate() {
                let row = row_of(plan, panel, k, &mut scratch);
                for (out, column) in out.chunks_exact_mut(ranks).zip(columns.chunks_exact(items)) {
                    add_scaled(&mut out[panel.ranks.clone()], row, column[item]);
                }
            }
        }
    }
}

#[inline(always)]
fn sum_panels_body(plan: &Plan, rows: &mut Vec<f64>, starts: &mut Vec<usize>) {
    let mut scratch = vec![0.0; widest(plan)];
    let ones = vec![1.0; plan.panels.iter().map(|panel| panel.items.len()).max().unwrap_or(0)];
    for panel in &plan.panels {
        let start = rows.len();
        starts.push(start);
        rows.resize(start + panel.width(), 0.0);
        let mut weights = [1.0; NODES];
        if panel.crowded() {
            weights = node_weights(plan, panel, &ones[..panel.items.len()]);
        }
        for k in 0..panel.rows() {
            let row = row_of(plan, panel, k, &mut scratch);
            add_scaled(&mut rows[start..], row, if panel.crowded() { weights[k] } else { 1.0 });
        }
    }
}

/// What the nodes weigh when the items weigh `column`.
#[inline(always)]
fn node_weights(plan: &Plan, panel: &Panel, column: &[f64]) -> [f64; NODES] {
    let mut weights = [0.0; NODES];
    for (row, moment) in COEFFICIENTS.iter().zip(moments(plan, panel, column)) {
        add_scaled(&mut weights, row, moment);
    }
    weights
}

#[inline(always)]
fn transposed_body(plan: &Plan, columns: &[f64], out: &mut [f64]) {
    let mut scratch = vec![0.0; if plan.kept.is_empty() { widest(plan) } else { 0 }];
    let (items, ranks) = (plan.items(), plan.ranks());
    let mut values = vec![0.0; columns.len() / ranks * NODES];
    for panel in &plan.panels {
        if panel.crowded() {
            for k in 0..NODES {
                let row = row_of(plan, panel, k, &mut scratch);
                for (column, values) in columns.chunks_exact(ranks).zip(values.chunks_exact_mut(NODES)) {
                    values[k] = dot(row, &column[panel.ranks.clone()]);
                }
            }
            for (out, values) in out.chunks_exact_mut(items).zip(values.chunks_exact(NODES)) {
                let terms: [f64; NODES] = std::array::from_fn(|l| dot(&COEFFICIENTS[l], values));
                interpolate(plan, panel, &terms, &mut out[panel.items.clone()]);
            }
        } else {
            for (k, item) in panel.items.clone().enumerate() {
                let row = row_of(plan, panel, k, &mut scratch);
                for (out, column) in out.chunks_exact_mut(items).zip(columns.chunks_exact(ranks)) {
                    out[item] = dot(row, &column[panel.ranks.clone()]);
                }
            }
        }
    }
}

/// Where the items of a panel lie in [-1, 1], eight of them from `first`; with their scales, 0 beyond the end.
#[inline(always)]
fn places(plan: &Plan, panel: &Panel, first: usize) -> ([f64; LANES], [f64; LANES]) {
    let inverse = if panel.half > 0.0 { 1.0 / panel.half } else { 0.0 };
    let (mut t, mut scale) = ([0.0; LANES], [0.0; LANES]);
    for k in 0..LANES.min(panel.items.end - first) {
        t[k] = ((plan.s[first + k] - panel.center) * inverse).clamp(-1.0, 1.0);
        scale[k] = plan.scale[first + k];
    }
    (t, scale)
}

/// sum of scale * column * `T_l`(place), for each Chebyshev polynomial `T_l`.
#[inline(always)]
fn moments(plan: &Plan, panel: &Panel, column: &[f64]) -> [f64; NODES] {
    let mut sums = [[0.0; LANES]; NODES];
    for (chunk, first) in column.chunks(LANES).zip(panel.items.clone().step_by(LANES)) {
        let (t, mut here) = places(plan, panel, first);
        for k in 0..chunk.len() {
            here[k] *= chunk[k];
        }
        let mut before: [f64; LANES] = std::array::from_fn(|k| here[k] * t[k]);
        for sum in &mut sums {
            for k in 0..LANES {
                sum[k] += here[k];
                let next = (2.0 * t[k]).mul_add(here[k], -before[k]);
                before[k] = here[k];
                here[k] = next;
            }
        }
    }
    std::array::from_fn(|l| sums[l].iter().sum())
}

/// scale * the Chebyshev series at the items' places.
#[inline(always)]
fn interpolate(plan: &Plan, panel: &Panel, terms: &[f64; NODES], out: &mut [f64]) {
    for (chunk, first) in out.chunks_mut(LANES).zip(panel.items.clone().step_by(LANES)) {
        let (t, scale) = places(plan, panel, first);
        let (mut one, mut two) = ([0.0; LANES], [0.0; LANES]);
        for &term in terms[1..].iter().rev() {
            for k in 0..LANES {
                let next = (2.0 * t[k]).mul_add(one[k], term - two[k]);
                two[k] = one[k];
                one[k] = next;
            }
        }
        for (k, y) in chunk.iter_mut().enumerate() {
            *y = scale[k] * (t[k].mul_add(one[k], terms[0] - two[k]));
        }
    }
}

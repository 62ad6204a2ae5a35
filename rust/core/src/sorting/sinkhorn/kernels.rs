//! The loops over the entries of a plan.

use super::plan::{NODES, Panel, Plan, Side};
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
    pub fn times(plan: &Plan, columns: &[f64], side: Side, out: &mut [f64]) = times_body
}
dispatch! {
    /// Fills with the transposed P times columns over the ranks.
    pub fn transposed(plan: &Plan, columns: &[f64], side: Side, out: &mut [f64]) = transposed_body
}
dispatch! {
    /// Adds `(x_i - x_j) weight_j` for each panel's first item i and each of its ranks j.
    pub fn across(plan: &Plan, x: &[f64], weights: &[f64], out: &mut [f64]) = across_body
}
dispatch! {
    /// Fills with `(x_j - x_i) + y_j` for each panel's first item i and each of its ranks j.
    pub fn beyond(plan: &Plan, x: &[f64], y: &[f64], out: &mut [f64]) = beyond_body
}
dispatch! {
    /// The inner product.
    pub fn inner(a: &[f64], b: &[f64]) -> f64 = dot
}

/// `out_j = exp(base_j + slope (j - j_c) + e)`.
#[inline(always)]
fn fill(bases: &[f64], slope: f64, from: f64, e: f64, out: &mut [f64]) {
    let start = slope.mul_add(from, e);
    let (count, bases) = (out.len(), &bases[..out.len()]);
    let mut k = 0;
    while k < count {
        out[k] = exp_f64(slope.mul_add(f64::from(k as u32), bases[k] + start));
        k += 1;
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

// Loops by index: the iterators of the standard library are not inlined into functions of another instruction set.

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (count, b) = (a.len(), &b[..a.len()]);
    let (mut sums, mut at) = ([0.0; LANES], 0);
    while at + LANES <= count {
        let (x, y) = (&a[at..at + LANES], &b[at..at + LANES]);
        let mut k = 0;
        while k < LANES {
            sums[k] = x[k].mul_add(y[k], sums[k]);
            k += 1;
        }
        at += LANES;
    }
    let mut rest = 0.0;
    while at < count {
        rest = a[at].mul_add(b[at], rest);
        at += 1;
    }
    (((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))) + rest
}

#[inline(always)]
fn add_scaled(out: &mut [f64], row: &[f64], factor: f64) {
    let (count, row) = (out.len(), &row[..out.len()]);
    let mut k = 0;
    while k < count {
        out[k] = row[k].mul_add(factor, out[k]);
        k += 1;
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
fn across_body(plan: &Plan, x: &[f64], weights: &[f64], out: &mut [f64]) {
    for panel in &plan.panels {
        let (from, low, high) = (x[panel.items.start], panel.ranks.start, panel.ranks.end);
        let (x, out) = (&x[low..high], &mut out[low..high]);
        let weights = &weights[panel.base..panel.base + panel.width()];
        let mut k = 0;
        while k < out.len() {
            out[k] = (from - x[k]).mul_add(weights[k], out[k]);
            k += 1;
        }
    }
}

#[inline(always)]
fn beyond_body(plan: &Plan, x: &[f64], y: &[f64], out: &mut [f64]) {
    for panel in &plan.panels {
        let (from, low, high) = (x[panel.items.start], panel.ranks.start, panel.ranks.end);
        let (x, y) = (&x[low..high], &y[low..high]);
        let out = &mut out[panel.base..panel.base + panel.width()];
        let mut k = 0;
        while k < out.len() {
            out[k] = (x[k] - from) + y[k];
            k += 1;
        }
    }
}

#[inline(always)]
fn times_body(plan: &Plan, columns: &[f64], side: Side, out: &mut [f64]) {
    let mut scratch = vec![0.0; if plan.kept.is_empty() { widest(plan) } else { 0 }];
    let (items, length) = (plan.items(), side.length(plan));
    let count = columns.len() / items;
    let mut weights = vec![0.0; count * NODES];
    for panel in &plan.panels {
        let low = side.start(panel);
        let high = low + panel.width();
        if panel.crowded() {
            for (column, weights) in columns.chunks_exact(items).zip(weights.chunks_exact_mut(NODES)) {
                weights.copy_from_slice(&node_weights(plan, panel, &column[panel.items.clone()]));
            }
            let mut k = 0;
            while k < NODES {
                let row = row_of(plan, panel, k, &mut scratch);
                let mut c = 0;
                while c < count {
                    add_scaled(&mut out[c * length + low..c * length + high], row, weights[c * NODES + k]);
                    c += 1;
                }
                k += 1;
            }
        } else {
            let first = panel.items.start;
            let mut k = 0;
            while k < panel.rows() {
                let row = row_of(plan, panel, k, &mut scratch);
                let mut c = 0;
                while c < count {
                    let factor = columns[c * items + first + k];
                    // Differences from the panel's first item are 0 there.
                    if factor != 0.0 {
                        add_scaled(&mut out[c * length + low..c * length + high], row, factor);
                    }
                    c += 1;
                }
                k += 1;
            }
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
fn transposed_body(plan: &Plan, columns: &[f64], side: Side, out: &mut [f64]) {
    let mut scratch = vec![0.0; if plan.kept.is_empty() { widest(plan) } else { 0 }];
    let (items, length) = (plan.items(), side.length(plan));
    let count = columns.len() / length;
    let mut values = vec![0.0; count * NODES];
    for panel in &plan.panels {
        let low = side.start(panel);
        let high = low + panel.width();
        if panel.crowded() {
            let mut k = 0;
            while k < NODES {
                let row = row_of(plan, panel, k, &mut scratch);
                let mut c = 0;
                while c < count {
                    values[c * NODES + k] = dot(row, &columns[c * length + low..c * length + high]);
                    c += 1;
                }
                k += 1;
            }
            for (out, values) in out.chunks_exact_mut(items).zip(values.chunks_exact(NODES)) {
                let terms: [f64; NODES] = std::array::from_fn(|l| dot(&COEFFICIENTS[l], values));
                interpolate(plan, panel, &terms, &mut out[panel.items.clone()]);
            }
        } else {
            let first = panel.items.start;
            let mut k = 0;
            while k < panel.rows() {
                let row = row_of(plan, panel, k, &mut scratch);
                let mut c = 0;
                while c < count {
                    out[c * items + first + k] = dot(row, &columns[c * length + low..c * length + high]);
                    c += 1;
                }
                k += 1;
            }
        }
    }
}

/// Where the items of a panel lie in [-1, 1], eight of them from `first`; with their scales, 0 beyond the end.
#[inline(always)]
fn places(plan: &Plan, panel: &Panel, first: usize) -> ([f64; LANES], [f64; LANES]) {
    let inverse = if panel.half > 0.0 { 1.0 / panel.half } else { 0.0 };
    let (mut t, mut scale) = ([0.0; LANES], [0.0; LANES]);
    let here = LANES.min(panel.items.end - first);
    t[..here].copy_from_slice(&plan.s[first..first + here]);
    scale[..here].copy_from_slice(&plan.scale[first..first + here]);
    let mut k = 0;
    while k < LANES {
        t[k] = ((t[k] - panel.center) * inverse).clamp(-1.0, 1.0);
        k += 1;
    }
    (t, scale)
}

/// sum of scale * column * `T_l`(place), for each Chebyshev polynomial `T_l`.
#[inline(always)]
fn moments(plan: &Plan, panel: &Panel, column: &[f64]) -> [f64; NODES] {
    let (mut sums, mut first) = ([[0.0; LANES]; NODES], panel.items.start);
    while first < panel.items.end {
        let (t, mut here) = places(plan, panel, first);
        let (mut part, mut before) = ([0.0; LANES], [0.0; LANES]);
        let from = first - panel.items.start;
        let length = LANES.min(column.len() - from);
        part[..length].copy_from_slice(&column[from..from + length]);
        let mut k = 0;
        while k < LANES {
            here[k] *= part[k];
            before[k] = here[k] * t[k];
            k += 1;
        }
        let mut l = 0;
        while l < NODES {
            let mut k = 0;
            while k < LANES {
                sums[l][k] += here[k];
                let next = (2.0 * t[k]).mul_add(here[k], -before[k]);
                before[k] = here[k];
                here[k] = next;
                k += 1;
            }
            l += 1;
        }
        first += LANES;
    }
    std::array::from_fn(|l| sums[l].iter().sum())
}

/// scale * the Chebyshev series at the items' places.
#[inline(always)]
fn interpolate(plan: &Plan, panel: &Panel, terms: &[f64; NODES], out: &mut [f64]) {
    let mut first = panel.items.start;
    while first < panel.items.end {
        let (t, scale) = places(plan, panel, first);
        let (mut one, mut two) = ([0.0; LANES], [0.0; LANES]);
        let mut l = NODES - 1;
        while l > 0 {
            let mut k = 0;
            while k < LANES {
                let next = (2.0 * t[k]).mul_add(one[k], terms[l] - two[k]);
                two[k] = one[k];
                one[k] = next;
                k += 1;
            }
            l -= 1;
        }
        let mut k = 0;
        while k < LANES {
            one[k] = scale[k] * t[k].mul_add(one[k], terms[0] - two[k]);
            k += 1;
        }
        let from = first - panel.items.start;
        let length = LANES.min(out.len() - from);
        out[from..from + length].copy_from_slice(&one[..length]);
        first += LANES;
    }
}

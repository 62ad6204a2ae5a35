//! From the gradient to a band's elements, given as a sum of few outer products, to the gradient to the scores.
//!
//! With W the gradient to the logits, only three numbers per column are needed:
//!
//! ```text
//! W_ij = K_ij SUM_f rows_f(i) columns_f(j)
//! weight_j = SUM_i W_ij      lever_j = SUM_i (j - i) W_ij      heat_j = SUM_i level_ij W_ij
//! tau ds_j = 2 lever_j + (a + b - 1 - 2j) weight_j + SUM_{k < a} weight_k - SUM_{k >= b} weight_k,    tau dtau = SUM_j heat_j
//! ```
//!
//! where a..b are the positions whose score equals that at j: the slope of an absolute difference is taken as 0 at a tie.

use super::bands::{Band, LANES, Lane, PAD, STEPS, Side, Visitor, add, hidden, lanes, pick, walk, window};
use crate::dual::Number;
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;
use std::ops::Range;

/// The sums per column, one element per item.
#[derive(Debug, Default)]
pub(super) struct Moments {
    pub weight: Vec<f64>,
    pub lever: Vec<f64>,
    pub heat: Vec<f64>,
}

/// A sum of outer products of padded vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outer<'a, T> {
    pub rows: &'a [T],
    /// As many as `rows`.
    pub columns: &'a [T],
}

impl Moments {
    /// Takes the sums of a band; fills `product`, if it is not empty, with K^T rows.
    pub fn of<T: Lane>(band: &Band<T>, outer: Outer<'_, T>, product: &mut [f64], job: &Job) -> Result<Self> {
        let blank = || vec![0.0; band.count];
        let mut found = Self { weight: blank(), lever: blank(), heat: blank() };
        band.each_group(outer.rows.len() / band.stride(), job, |groups| {
            sum_groups(band, outer, product, &mut found, groups);
            true
        })?;
        Ok(found)
    }
}

struct Sums<'a, T> {
    outer: Outer<'a, T>,
    stride: usize,
    /// The sums for `product`, for each of `rows`; or none.
    products: Vec<[f64; LANES]>,
    weight: [f64; LANES],
    lever: [f64; LANES],
    heat: [f64; LANES],
}

impl<T: Lane> Sums<'_, T> {
    /// The main diagonal: K = 1, level = 0, j - i = 0.
    #[inline(always)]
    fn start(&mut self, base: usize) {
        let mut part = [T::ZERO; LANES];
        for f in 0..self.outer.rows.len() / self.stride {
            let rows = lanes(&self.outer.rows[f * self.stride..], base);
            let columns = lanes(&self.outer.columns[f * self.stride..], base);
            for l in 0..LANES {
                part[l] = rows[l].fma(columns[l], part[l]);
            }
            if !self.products.is_empty() {
                self.products[f] = rows.map(T::wide);
            }
        }
        self.weight = part.map(T::wide);
        self.lever = [0.0; LANES];
        self.heat = [0.0; LANES];
    }
}

impl<T: Lane> Visitor<T> for Sums<'_, T> {
    #[inline(always)]
    fn take<const DOWN: bool>(
        &mut self,
        base: usize,
        first: usize,
        exps: &[[T; LANES]; STEPS],
        levels: &[[T; LANES]; STEPS],
    ) {
        let mut inner = [[T::ZERO; LANES]; STEPS];
        let mut at = [0; STEPS];
        for k in 0..STEPS {
            at[k] = hidden(pick::<DOWN>(k));
        }
        for f in 0..self.outer.rows.len() / self.stride {
            let rows = window::<T, DOWN>(&self.outer.rows[f * self.stride..], base, first);
            let columns = lanes(&self.outer.columns[f * self.stride..], base);
            for k in 0..STEPS {
                let rows = &rows[at[k]..][..LANES];
                for l in 0..LANES {
                    inner[k][l] = rows[l].fma(columns[l], inner[k][l]);
                }
            }
            if !self.products.is_empty() {
                add::<T, DOWN>(exps, rows, &mut self.products[f]);
            }
        }
        let (mut weight, mut lever, mut heat) = ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
        for k in 0..STEPS {
            let steps = T::of((first + k) as f64);
            for l in 0..LANES {
                let w = exps[k][l] * inner[k][l];
                weight[l] = weight[l] + w;
                lever[l] = w.fma(steps, lever[l]);
                heat[l] = w.fma(levels[k][l], heat[l]);
            }
        }
        for l in 0..LANES {
            self.weight[l] += weight[l].wide();
            // Rows at larger positions: j - i is negative.
            self.lever[l] += if DOWN { -lever[l].wide() } else { lever[l].wide() };
            self.heat[l] += heat[l].wide();
        }
    }
}

#[inline(always)]
fn sum_lanes<T: Lane>(
    band: &Band<T>,
    outer: Outer<'_, T>,
    product: &mut [f64],
    found: &mut Moments,
    groups: Range<usize>,
) {
    let (zero, stride) = ([0.0; LANES], band.stride());
    let products = vec![zero; product.len() / stride];
    let mut sums = Sums { outer, stride, products, weight: zero, lever: zero, heat: zero };
    for group in groups {
        let base = group * LANES;
        sums.start(base);
        walk::<T, _, true>(band, Side::Columns, base, &mut sums);
        walk::<T, _, false>(band, Side::Columns, base, &mut sums);
        let left = LANES.min(band.count - base);
        found.weight[base..][..left].copy_from_slice(&sums.weight[..left]);
        found.lever[base..][..left].copy_from_slice(&sums.lever[..left]);
        found.heat[base..][..left].copy_from_slice(&sums.heat[..left]);
        for f in 0..sums.products.len() {
            product[f * stride + PAD + base..][..left].copy_from_slice(&sums.products[f][..left]);
        }
    }
}

dispatch! {
    fn sum_groups<T: Lane>(band: &Band<T>, outer: Outer<'_, T>, product: &mut [f64], found: &mut Moments, groups: Range<usize>)
        = sum_lanes
}

/// The gradient to the sorted scores, times tau; see the top of this file.
pub(super) fn slopes<N: Number>(gaps: &[N], weight: &[N], lever: &[N]) -> Vec<N> {
    let n = weight.len();
    let mut before = Vec::with_capacity(n + 1);
    let mut sum = N::of(0.0);
    before.push(sum);
    for &w in weight {
        sum += w;
        before.push(sum);
    }
    let mut found = Vec::with_capacity(n);
    let mut a = 0;
    while a < n {
        let tied = gaps[a..].iter().take_while(|gap| gap.value() == 0.0).count();
        let b = a + tied + 1;
        for j in a..b {
            let centre = (a + b) as f64 - 1.0 - 2.0 * j as f64;
            found.push(N::of(2.0) * lever[j] + N::of(centre) * weight[j] + before[a] - (sum - before[b]));
        }
        a = b;
    }
    found
}

/// Positions in padded vectors that hold items.
pub(super) const fn inside(count: usize) -> Range<usize> {
    PAD..PAD + count
}

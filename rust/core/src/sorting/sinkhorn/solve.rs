//! The potentials, and linear systems with the plan's Hessian.
//!
//! With the ranks' sums held, what is left is a convex function of a with the gradient (items' sums - 1) and the Hessian
//!
//! ```text
//! H = D - P^T M^-1 P,      D the items' sums, M those of the ranks: a graph's Laplacian, zero on constants.
//! ```
//!
//! H is applied from differences between an item and those it exchanges mass with, never as D x less P^T M^-1 P x:
//!
//! ```text
//! y_j = (sum_i P_ji (x_i - x_j)) / M_j;      (H x)_i = sum_j P_ji ((x_i - x_j) - y_j)
//! ```
//!
//! where `x_j` belongs to the item that the hard assignment sends to rank j. Constants drop out exactly, and a coupling of
//! 1e-12 between two parts of a list keeps its digits beside the ones on the diagonal. The items of a panel are coupled
//! strongly, so that the products are taken with their differences from the panel's first, and what lies between that one
//! and a rank is added with the panel's sum.
//!
//! P smooths over about the width of a band, so H is nearly the identity on anything that varies faster; what varies more
//! slowly is nearly constant on each panel. So conjugate gradients are preconditioned by
//!
//! ```text
//! D^-1 + Q C^-1 Q^T,      Q the panels' indicators, C = Q^T H Q cut to panels near each other
//! ```
//!
//! and need some fifteen steps, however long the list and narrow the bands.

use super::kernels::{self, inner};
use super::plan::{Plan, Side};
use crate::error::Result;
use crate::job::Job;

/// Panels that far apart are coupled in the preconditioner.
const NEAR: usize = 8;
/// Couplings weaker than this, absolutely or beside others, do not move anything by more than rounding.
const FLOOR: f64 = 1e-13;
/// Conjugate gradients end after so many steps at the latest.
const STEPS: usize = 400;
/// No step of Newton's method changes a potential by more, so that entries beyond the band stay negligible.
const STRIDE: f64 = 4.0;

/// Working memory of [`Solver::solve`].
#[derive(Debug, Default)]
pub struct Solver {
    /// Sums of the plan over the ranks, for each item.
    pub sums: Vec<f64>,
    /// The Cholesky factor of C by rows: the diagonal, then the entries left of it from near to far.
    factor: Vec<[f64; NEAR + 1]>,
    coarse: Vec<f64>,
    /// Each panel's sums over its items.
    weights: Vec<f64>,
    /// What [`Solver::average`] finds.
    pub relay: Vec<f64>,
    offsets: Vec<f64>,
    parts: Vec<f64>,
    product: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    better: Vec<f64>,
}

impl Solver {
    /// Reads off the plan what the systems need.
    pub fn prepare(&mut self, plan: &Plan) {
        let ones = vec![1.0; plan.ranks()];
        plan.transposed(&ones, Side::Ranks, &mut self.sums);
        plan.times(&vec![1.0; plan.items()], Side::Panels, &mut self.weights);
        self.factorize(plan);
    }

    fn factorize(&mut self, plan: &Plan) {
        let panels = &plan.panels;
        // Divided by the square root of the ranks' sums.
        let rows = plan.spread(|panel, out| {
            let (weights, mass) = (&self.weights[panel.places()], &plan.mass[panel.ranks.clone()]);
            out.iter_mut().zip(weights.iter().zip(mass)).for_each(|(x, (weight, mass))| *x = weight / mass.sqrt());
        });
        self.factor.clear();
        self.factor.resize(panels.len(), [0.0; NEAR + 1]);
        for (k, panel) in panels.iter().enumerate() {
            for apart in 1..=NEAR.min(k) {
                let other = &panels[k - apart];
                let (from, to) = (panel.ranks.start.max(other.ranks.start), panel.ranks.end.min(other.ranks.end));
                if from >= to {
                    break;
                }
                let mine = &rows[panel.base + from - panel.ranks.start..panel.base + to - panel.ranks.start];
                let its = &rows[other.base + from - other.ranks.start..];
                let coupling = inner(mine, &its[..to - from]);
                self.factor[k][apart] = -coupling;
                self.factor[k][0] += coupling;
                self.factor[k - apart][0] += coupling;
            }
        }
        for k in 0..panels.len() {
            self.factor[k][0] += FLOOR * (self.factor[k][0] + 1.0);
            for apart in (1..=NEAR.min(k)).rev() {
                let other = k - apart;
                let shared: f64 =
                    (apart + 1..=NEAR.min(k)).map(|far| self.factor[k][far] * self.factor[other][far - apart]).sum();
                self.factor[k][apart] = (self.factor[k][apart] - shared) / self.factor[other][0];
            }
            let taken: f64 = self.factor[k][1..].iter().map(|x| x * x).sum();
            self.factor[k][0] = (self.factor[k][0] - taken).max(0.5 * FLOOR * self.factor[k][0]).sqrt();
        }
    }

    /// `relay_j = (sum_i P_ji (x_i - x_j)) / M_j`.
    pub fn average(&mut self, plan: &Plan, x: &[f64]) {
        plan.offsets(x, &mut self.offsets);
        plan.times(&self.offsets, Side::Ranks, &mut self.relay);
        kernels::across(plan, x, &self.weights, &mut self.relay);
        self.relay.iter_mut().zip(&plan.mass).for_each(|(sum, mass)| *sum /= mass);
    }

    /// `product` = H x.
    fn apply(&mut self, plan: &Plan, x: &[f64]) {
        self.average(plan, x);
        self.parts.resize(plan.bases.len(), 0.0);
        kernels::beyond(plan, x, &self.relay, &mut self.parts);
        plan.transposed(&self.parts, Side::Panels, &mut self.product);
        for ((h, offset), sum) in self.product.iter_mut().zip(&self.offsets).zip(&self.sums) {
            *h = sum * offset - *h;
        }
    }

    /// `better` = the preconditioner times `residual`, without its mean.
    fn precondition(&mut self, plan: &Plan) {
        self.better.clear();
        let alone = plan.panels.len() == plan.items();
        let fine = |(r, d): (&f64, &f64)| if alone { 0.0 } else { r / d };
        self.better.extend(self.residual.iter().zip(&self.sums).map(fine));
        self.coarse.clear();
        self.coarse.extend(plan.panels.iter().map(|panel| self.residual[panel.items.clone()].iter().sum::<f64>()));
        for k in 0..self.coarse.len() {
            let known: f64 = (1..=NEAR.min(k)).map(|apart| self.factor[k][apart] * self.coarse[k - apart]).sum();
            self.coarse[k] = (self.coarse[k] - known) / self.factor[k][0];
        }
        for k in (0..self.coarse.len()).rev() {
            let value = self.coarse[k] / self.factor[k][0];
            self.coarse[k] = value;
            for apart in 1..=NEAR.min(k) {
                self.coarse[k - apart] -= self.factor[k][apart] * value;
            }
        }
        for (panel, coarse) in plan.panels.iter().zip(&self.coarse) {
            self.better[panel.items.clone()].iter_mut().for_each(|x| *x += coarse);
        }
        center(&mut self.better);
    }

    /// Solves H x = `right` up to a constant, until the residual is below `tolerance` times the right side.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn solve(&mut self, plan: &Plan, right: &[f64], tolerance: f64, x: &mut Vec<f64>, job: &Job) -> Result<()> {
        x.clear();
        x.resize(right.len(), 0.0);
        self.residual.clear();
        self.residual.extend_from_slice(right);
        center(&mut self.residual);
        let goal = tolerance * tolerance * square(&self.residual);
        let (mut left, mut slope) = (square(&self.residual), 0.0);
        for step in 0..STEPS {
            if left <= goal || left.is_nan() {
                break;
            }
            job.check()?;
            self.precondition(plan);
            let now = inner(&self.residual, &self.better);
            let turn = if step == 0 { 0.0 } else { now / slope };
            slope = now;
            self.direction.resize(right.len(), 0.0);
            self.direction.iter_mut().zip(&self.better).for_each(|(d, z)| *d = turn * *d + z);
            let direction = std::mem::take(&mut self.direction);
            self.apply(plan, &direction);
            self.direction = direction;
            let curvature = inner(&self.direction, &self.product);
            if curvature.is_nan() || curvature <= 0.0 || slope <= 0.0 {
                break;
            }
            let length = slope / curvature;
            x.iter_mut().zip(&self.direction).for_each(|(x, d)| *x += length * d);
            self.residual.iter_mut().zip(&self.product).for_each(|(r, h)| *r -= length * h);
            left = square(&self.residual);
        }
        self.direction.clear();
        Ok(())
    }
}

fn square(a: &[f64]) -> f64 {
    inner(a, a)
}

fn center(x: &mut [f64]) {
    let mut sums = [0.0; 8];
    for part in x.chunks(8) {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    let mean = sums.iter().sum::<f64>() / x.len() as f64;
    x.iter_mut().for_each(|x| *x -= mean);
}

/// Moves the potentials until every item's sum is within `tolerance` of 1, in at most `iterations` steps of Newton's
/// method; the ranks' sums hold to rounding in any case.
///
/// ```text
/// a, then b, by one step of Sinkhorn's each; then, until the items' sums are right:
///     x = H^-1 (1 - sums);   t = the longest of 1, 1/2, ... with which the dual falls enough
///     a += t x;   b -= ln(ranks' sums / M)
/// ```
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn balance(plan: &mut Plan, solver: &mut Solver, iterations: usize, tolerance: f64, job: &Job) -> Result<()> {
    plan.build();
    let (mut right, mut x, mut moved, mut ranks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    plan.transposed(&vec![1.0; plan.ranks()], Side::Ranks, &mut right);
    x.extend(right.iter().map(|sum| -sum.ln()));
    moved.extend(right.iter().map(|sum| 1.0 / sum));
    plan.times(&moved, Side::Ranks, &mut ranks);
    hold(plan, &x, &mut ranks);
    let mut before = f64::INFINITY;
    for _ in 0..iterations {
        solver.prepare(plan);
        right.clear();
        right.extend(solver.sums.iter().map(|sum| 1.0 - sum));
        let error = right.iter().fold(0.0, |most: f64, r| most.max(r.abs()));
        // An error so small that does not fall any more is rounding.
        let rounding = 1e-12 + 1e-14 * plan.items() as f64;
        if error <= tolerance || (error < rounding && error > 0.5 * before) {
            break;
        }
        before = error;
        solver.solve(plan, &right, error.clamp(1e-6, 0.1), &mut x, job)?;
        step(plan, &right, &mut x, &mut moved, &mut ranks);
        hold(plan, &x, &mut ranks);
    }
    Ok(())
}

/// Moves a by `items`, and b so that the ranks' sums, which that makes `ranks`, hold again.
fn hold(plan: &mut Plan, items: &[f64], ranks: &mut [f64]) {
    ranks.iter_mut().zip(&plan.mass).for_each(|(sum, mass)| *sum = -(*sum / mass).ln());
    plan.shift_by(items, ranks);
    plan.build();
}

/// Shortens the step `x` until the dual falls by a tenth of what its slope promises; leaves P exp(x) in `ranks`.
fn step(plan: &Plan, right: &[f64], x: &mut [f64], moved: &mut Vec<f64>, ranks: &mut Vec<f64>) {
    let most = x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let mut length = if most > STRIDE { STRIDE / most } else { 1.0 };
    let slope = inner(right, x);
    x.iter_mut().for_each(|x| *x *= length);
    loop {
        moved.clear();
        moved.extend(x.iter().map(|x| x.exp()));
        plan.times(moved, Side::Ranks, ranks);
        let grown: f64 = ranks.iter().zip(&plan.mass).map(|(sum, mass)| mass * (sum / mass).ln()).sum();
        let change = grown - x.iter().sum::<f64>();
        // Below this the change is rounding.
        let noise = 1e-14 * plan.items() as f64;
        if change <= -0.1 * length * slope + noise || length < 1e-3 {
            return;
        }
        length *= 0.5;
        x.iter_mut().for_each(|x| *x *= 0.5);
    }
}

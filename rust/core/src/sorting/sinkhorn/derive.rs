//! Products with a plan and their derivatives.
//!
//! All of them come from one number B, with columns R over the ranks and C over the items:
//!
//! ```text
//! B(s; R, C) = sum_ji P_ji Q_ji,   Q_ji = <R_j, C_i>;      dB/dR = P C,   dB/dC = P^T R
//! dB/ds_i = sum_j t_j P_ji (Q_ji - alpha_i - beta_j),      [M P; P^T D] (beta; alpha) = (sum_i P Q; sum_j P Q)
//! ```
//!
//! where t are the ranks' coordinates; alpha and beta are how B answers to the potentials, which give way so that the sums
//! of P stay. Dual numbers need no new kernel, because P' = P (t s' + a' + b'): its products are products of P with other
//! columns.

use super::plan::Plan;
use super::solve::Solver;
use crate::error::Result;
use crate::job::Job;

/// Columns over the ranks and over the items, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// R.
    pub ranks: Vec<f64>,
    /// C.
    pub items: Vec<f64>,
}

/// The gradients of B, or how they move.
#[derive(Debug, Default)]
pub struct Gradients {
    /// P C.
    pub ranks: Vec<f64>,
    /// P^T R.
    pub items: Vec<f64>,
    /// dB/ds.
    pub scores: Vec<f64>,
}

/// One plan with everything that its derivatives need.
#[derive(Debug)]
pub struct Derivation<'a> {
    plan: &'a Plan,
    solver: &'a mut Solver,
    tolerance: f64,
    job: &'a Job,
    /// Coordinates of the ranks, their mean taken off, and their product with P^T.
    t: Vec<f64>,
    mean: Vec<f64>,
}

/// How s and the potentials move.
struct Motion {
    s: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
}

fn fold(left: &[f64], right: &[f64], count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for (x, y) in left.chunks_exact(count).zip(right.chunks_exact(count)) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums
}

/// Every column times the same factors.
fn scaled(columns: &[f64], factors: &[f64]) -> Vec<f64> {
    columns.chunks_exact(factors.len()).flat_map(|column| column.iter().zip(factors).map(|(x, f)| x * f)).collect()
}

fn add(out: &mut [f64], other: &[f64]) {
    out.iter_mut().zip(other).for_each(|(x, y)| *x += y);
}

fn subtract(out: &mut [f64], other: &[f64]) {
    out.iter_mut().zip(other).for_each(|(x, y)| *x -= y);
}

impl<'a> Derivation<'a> {
    /// Prepares the systems; they are solved until the residual is below `tolerance` times the right side.
    #[must_use]
    pub fn new(plan: &'a Plan, solver: &'a mut Solver, tolerance: f64, job: &'a Job) -> Self {
        solver.prepare(plan);
        let middle = (plan.ranks() - 1) as f64 * 0.5;
        let t: Vec<f64> = (0..plan.ranks()).map(|j| j as f64 - middle).collect();
        let mut mean = Vec::new();
        plan.transposed(&t, &mut mean);
        Self { plan, solver, tolerance, job, t, mean }
    }

    fn times(&self, columns: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        self.plan.times(columns, &mut out);
        out
    }

    fn transposed(&self, columns: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        self.plan.transposed(columns, &mut out);
        out
    }

    /// Solves [M P; P^T D] (beta; alpha) = (ranks; items).
    fn solve(&mut self, ranks: &[f64], mut items: Vec<f64>) -> Result<(Vec<f64>, Vec<f64>)> {
        let over = |y: &[f64]| -> Vec<f64> { y.iter().zip(&self.plan.mass).map(|(y, mass)| y / mass).collect() };
        subtract(&mut items, &self.transposed(&over(ranks)));
        let mut alpha = Vec::new();
        self.solver.solve(self.plan, &items, self.tolerance, &mut alpha, self.job)?;
        let mut beta = ranks.to_vec();
        subtract(&mut beta, &self.times(&alpha));
        Ok((over(&beta), alpha))
    }

    /// The gradients of B.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn first(&mut self, of: &Columns) -> Result<Gradients> {
        let (ranks, items) = (self.times(&of.items), self.transposed(&of.ranks));
        let (beta, alpha) =
            self.solve(&fold(&of.ranks, &ranks, self.plan.ranks()), fold(&items, &of.items, self.plan.items()))?;
        let mut scores = fold(&self.transposed(&scaled(&of.ranks, &self.t)), &of.items, self.plan.items());
        subtract(&mut scores, &scaled(&alpha, &self.mean));
        subtract(&mut scores, &self.transposed(&scaled(&beta, &self.t)));
        Ok(Gradients { ranks, items, scores })
    }

    /// The gradients of B, and how they move with s at `speed` and with the columns at `drift`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn second(&mut self, of: &Columns, speed: &[f64], drift: &Columns) -> Result<(Gradients, Gradients)> {
        let (n, k, t) = (self.plan.items(), self.plan.ranks(), self.t.clone());
        let motion = self.motion(speed)?;
        let (ranks, items) = (self.times(&of.items), self.transposed(&of.ranks));
        let (tilted, tilted_drift) = (scaled(&of.ranks, &t), scaled(&drift.ranks, &t));
        let slope = self.transposed(&tilted);
        let (beta, alpha) = self.solve(&fold(&of.ranks, &ranks, k), fold(&items, &of.items, n))?;
        let bent = scaled(&beta, &t);
        let mut scores = fold(&slope, &of.items, n);
        subtract(&mut scores, &scaled(&alpha, &self.mean));
        subtract(&mut scores, &self.transposed(&bent));

        let ranks_moved = self.times_moved(&motion, &of.items, &drift.items);
        let items_moved = self.transposed_moved(&motion, &of.ranks, &drift.ranks);
        let mut right = fold(&drift.ranks, &ranks, k);
        add(&mut right, &fold(&of.ranks, &ranks_moved, k));
        subtract(&mut right, &self.times_moved(&motion, &alpha, &vec![0.0; n]));
        let mut below = fold(&items_moved, &of.items, n);
        add(&mut below, &fold(&items, &drift.items, n));
        subtract(&mut below, &self.transposed_moved(&motion, &beta, &vec![0.0; k]));
        let (beta_moved, alpha_moved) = self.solve(&right, below)?;

        let mut scores_moved = fold(&self.transposed_moved(&motion, &tilted, &tilted_drift), &of.items, n);
        add(&mut scores_moved, &fold(&slope, &drift.items, n));
        subtract(&mut scores_moved, &scaled(&alpha_moved, &self.mean));
        subtract(&mut scores_moved, &scaled(&alpha, &self.transposed_moved(&motion, &t, &vec![0.0; k])));
        subtract(&mut scores_moved, &self.transposed_moved(&motion, &bent, &scaled(&beta_moved, &t)));
        let moved = Gradients { ranks: ranks_moved, items: items_moved, scores: scores_moved };
        Ok((Gradients { ranks, items, scores }, moved))
    }

    /// How the potentials move with s.
    fn motion(&mut self, speed: &[f64]) -> Result<Motion> {
        let ranks: Vec<f64> = self.times(speed).iter().zip(&self.t).map(|(y, t)| -y * t).collect();
        let items = speed.iter().zip(&self.mean).map(|(s, mean)| -s * mean).collect();
        let (b, a) = self.solve(&ranks, items)?;
        Ok(Motion { s: speed.to_vec(), a, b })
    }

    /// How P C moves: t P(s' C) + P(a' C + C') + b' P C.
    fn times_moved(&self, motion: &Motion, columns: &[f64], drift: &[f64]) -> Vec<f64> {
        let mut out = scaled(&self.times(&scaled(columns, &motion.s)), &self.t);
        let mut inner = scaled(columns, &motion.a);
        add(&mut inner, drift);
        add(&mut out, &self.times(&inner));
        add(&mut out, &scaled(&self.times(columns), &motion.b));
        out
    }

    /// How P^T R moves: s' P^T(t R) + a' P^T R + P^T(b' R + R').
    fn transposed_moved(&self, motion: &Motion, columns: &[f64], drift: &[f64]) -> Vec<f64> {
        let mut out = scaled(&self.transposed(&scaled(columns, &self.t)), &motion.s);
        add(&mut out, &scaled(&self.transposed(columns), &motion.a));
        let mut inner = scaled(columns, &motion.b);
        add(&mut inner, drift);
        add(&mut out, &self.transposed(&inner));
        out
    }
}

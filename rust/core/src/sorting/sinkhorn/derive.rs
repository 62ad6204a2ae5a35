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
//!
//! Where P is nearly a permutation, the terms of t s' + a' + b' and of alpha + beta are large and their sums are not, and the
//! weakest couplings decide. So nothing is measured from the list's middle: the coordinate of rank j is its distance j - `h_i`
//! from the item's home h (where the hard assignment sends it), for which (beta; alpha) answers as well, because the sums of
//! P stay; and `beta_j` is kept as `gamma_j - alpha_j`, with the alpha of the item whose home j is. Products take all these
//! from the panel's first item, by a column over the ranks for each panel, and its items' small differences from that one by
//! factors over the items.

use super::plan::{Plan, Side};
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
    /// j - h of the panel's first item, for each panel and its ranks.
    lever: Vec<f64>,
    /// `h_i` less that of the panel's first item.
    rise: Vec<f64>,
    /// Of a column of ones.
    sums: Moments,
    /// `sum_j (j - h_i) P_ji`.
    lean: Vec<f64>,
}

/// P^T R and P^T (lever R), for columns R over the panels' ranks.
#[derive(Debug, Default)]
struct Moments {
    plain: Vec<f64>,
    tilted: Vec<f64>,
}

/// The solution (beta; alpha) of a system: what it takes from `Q_ji` is `(alpha_i - alpha_j) + gamma_j`.
struct Answer {
    alpha: Vec<f64>,
    gamma: Vec<f64>,
}

/// How ln P moves: by `lever_j s'_i + items_i + ranks_j`, for each panel and its ranks.
struct Motion {
    s: Vec<f64>,
    items: Vec<f64>,
    ranks: Vec<f64>,
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
        let homes: Vec<f64> = (0..plan.items()).map(|i| plan.home(i) as f64).collect();
        let (mut rise, lever) = (Vec::new(), plan.distances(&homes));
        plan.offsets(&homes, &mut rise);
        let (sums, lean) = (Moments::default(), Vec::new());
        let mut this = Self { plan, solver, tolerance, job, lever, rise, sums, lean };
        this.sums = this.moments(&vec![1.0; this.lever.len()]);
        this.lean = this.leaning(&this.sums);
        this
    }

    fn times(&self, columns: &[f64], side: Side) -> Vec<f64> {
        let mut out = Vec::new();
        self.plan.times(columns, side, &mut out);
        out
    }

    fn transposed(&self, columns: &[f64], side: Side) -> Vec<f64> {
        let mut out = Vec::new();
        self.plan.transposed(columns, side, &mut out);
        out
    }

    /// Columns over the ranks as the panels see them.
    fn spread(&self, columns: &[f64]) -> Vec<f64> {
        let part = |column: &[f64]| self.plan.spread(|panel, out| out.copy_from_slice(&column[panel.ranks.clone()]));
        columns.chunks_exact(self.plan.ranks()).flat_map(part).collect()
    }

    /// Sums the panels' parts, for each column.
    fn gather(&self, parts: &[f64]) -> Vec<f64> {
        parts.chunks_exact(self.lever.len()).flat_map(|column| self.plan.gather(column)).collect()
    }

    fn offsets(&self, x: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        self.plan.offsets(x, &mut out);
        out
    }

    /// The moments of columns over the panels' ranks.
    fn moments(&self, columns: &[f64]) -> Moments {
        let tilted = self.transposed(&scaled(columns, &self.lever), Side::Panels);
        Moments { plain: self.transposed(columns, Side::Panels), tilted }
    }

    /// How moments `still` of columns move with the plan, and with the columns at `drift`, or not at all where that is empty.
    fn moments_moved(&self, motion: &Motion, columns: &[f64], still: &Moments, drift: &[f64]) -> Moments {
        let mut own = scaled(columns, &motion.ranks);
        add(&mut own, drift);
        let Moments { mut plain, mut tilted } = self.moments(&own);
        add(&mut plain, &scaled(&still.tilted, &motion.s));
        add(&mut plain, &scaled(&still.plain, &motion.items));
        let square: Vec<f64> = self.lever.iter().map(|x| x * x).collect();
        add(&mut tilted, &scaled(&self.transposed(&scaled(columns, &square), Side::Panels), &motion.s));
        add(&mut tilted, &scaled(&still.tilted, &motion.items));
        Moments { plain, tilted }
    }

    /// `sum_j (j - h_i) P_ji R_j`.
    fn leaning(&self, moments: &Moments) -> Vec<f64> {
        let mut out = moments.tilted.clone();
        subtract(&mut out, &scaled(&moments.plain, &self.rise));
        out
    }

    /// Solves [M P; P^T D] (beta; alpha) = (ranks; items).
    fn solve(&mut self, mut ranks: Vec<f64>, mut items: Vec<f64>) -> Result<Answer> {
        ranks.iter_mut().zip(&self.plan.mass).for_each(|(y, mass)| *y /= mass);
        subtract(&mut items, &self.transposed(&ranks, Side::Ranks));
        let mut alpha = Vec::new();
        self.solver.solve(self.plan, &items, self.tolerance, &mut alpha, self.job)?;
        self.solver.average(self.plan, &alpha);
        subtract(&mut ranks, &self.solver.relay);
        Ok(Answer { alpha, gamma: ranks })
    }

    /// `gamma_j - alpha_j`, with the panel's first alpha added.
    fn pull(&self, answer: &Answer) -> Vec<f64> {
        let mut out = self.spread(&answer.gamma);
        subtract(&mut out, &self.plan.distances(&answer.alpha));
        out
    }

    /// `sum_j (j - h_i) P_ji (alpha_i + beta_j)`, for the moments of [`Derivation::pull`].
    fn taken(&self, answer: &Answer, pull: &Moments) -> Vec<f64> {
        let mut out = self.leaning(pull);
        add(&mut out, &scaled(&self.offsets(&answer.alpha), &self.lean));
        out
    }

    /// The gradients of B.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn first(&mut self, of: &Columns) -> Result<Gradients> {
        let (n, k) = (self.plan.items(), self.plan.ranks());
        let (ranks, seen) = (self.times(&of.items, Side::Ranks), self.moments(&self.spread(&of.ranks)));
        let answer = self.solve(fold(&of.ranks, &ranks, k), fold(&seen.plain, &of.items, n))?;
        let mut scores = fold(&self.leaning(&seen), &of.items, n);
        subtract(&mut scores, &self.taken(&answer, &self.moments(&self.pull(&answer))));
        Ok(Gradients { ranks, items: seen.plain, scores })
    }

    /// The gradients of B, and how they move with s at `speed` and with the columns at `drift`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn second(&mut self, of: &Columns, speed: &[f64], drift: &Columns) -> Result<(Gradients, Gradients)> {
        let (n, k) = (self.plan.items(), self.plan.ranks());
        let motion = self.motion(speed)?;
        let columns = self.spread(&of.ranks);
        let (ranks, seen) = (self.times(&of.items, Side::Ranks), self.moments(&columns));
        let answer = self.solve(fold(&of.ranks, &ranks, k), fold(&seen.plain, &of.items, n))?;
        let pull = self.pull(&answer);
        let (slope, pulling) = (self.leaning(&seen), self.moments(&pull));
        let mut scores = fold(&slope, &of.items, n);
        subtract(&mut scores, &self.taken(&answer, &pulling));

        let ranks_moved = self.gather(&self.times_moved(&motion, &of.items, &drift.items));
        let seen_moved = self.moments_moved(&motion, &columns, &seen, &self.spread(&drift.ranks));
        let mut pulling_moved = self.moments_moved(&motion, &pull, &pulling, &[]);
        // The sums of P stay: a number of the rank's, or of the item's, drops out of what P' makes of alpha + beta.
        let offsets = self.offsets(&answer.alpha);
        let mut taken = self.times_moved(&motion, &offsets, &[]);
        subtract(
            &mut taken,
            &scaled(&self.times_moved(&motion, &vec![1.0; n], &[]), &self.plan.distances(&answer.alpha)),
        );
        let mut right = fold(&drift.ranks, &ranks, k);
        add(&mut right, &fold(&of.ranks, &ranks_moved, k));
        subtract(&mut right, &self.gather(&taken));
        let mut below = fold(&seen_moved.plain, &of.items, n);
        add(&mut below, &fold(&seen.plain, &drift.items, n));
        subtract(&mut below, &pulling_moved.plain);
        let answer_moved = self.solve(right, below)?;

        let mut scores_moved = fold(&self.leaning(&seen_moved), &of.items, n);
        add(&mut scores_moved, &fold(&slope, &drift.items, n));
        let more = self.moments(&self.pull(&answer_moved));
        add(&mut pulling_moved.plain, &more.plain);
        add(&mut pulling_moved.tilted, &more.tilted);
        subtract(&mut scores_moved, &self.taken(&answer_moved, &pulling_moved));
        let lean_moved = self.leaning(&self.moments_moved(&motion, &vec![1.0; self.lever.len()], &self.sums, &[]));
        subtract(&mut scores_moved, &scaled(&offsets, &lean_moved));
        let moved = Gradients { ranks: ranks_moved, items: seen_moved.plain, scores: scores_moved };
        Ok((Gradients { ranks, items: seen.plain, scores }, moved))
    }

    /// How P moves with s: as with `Q_ji = (j - h_i) s'_i`, of which the answer is taken.
    fn motion(&mut self, speed: &[f64]) -> Result<Motion> {
        let mut parts = scaled(&self.times(speed, Side::Panels), &self.lever);
        subtract(&mut parts, &self.times(&scaled(speed, &self.rise), Side::Panels));
        let answer = self.solve(self.gather(&parts), scaled(&self.lean, speed))?;
        let mut items = self.offsets(&answer.alpha);
        add(&mut items, &scaled(speed, &self.rise));
        let negative = |x: Vec<f64>| x.into_iter().map(|x| -x).collect();
        Ok(Motion { s: speed.to_vec(), items: negative(items), ranks: negative(self.pull(&answer)) })
    }

    /// How P C moves, as the panels' parts of the sums; the columns at `drift`, or not at all where that is empty.
    fn times_moved(&self, motion: &Motion, columns: &[f64], drift: &[f64]) -> Vec<f64> {
        let mut own = scaled(columns, &motion.items);
        add(&mut own, drift);
        let mut out = self.times(&own, Side::Panels);
        add(&mut out, &scaled(&self.times(&scaled(columns, &motion.s), Side::Panels), &self.lever));
        add(&mut out, &scaled(&self.times(columns, Side::Panels), &motion.ranks));
        out
    }
}

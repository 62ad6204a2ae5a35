//! The adjoint of [`potentials`](super::potentials) over any [`Number`], element by element: run on dual numbers, it is the
//! second derivative. Nothing but vectors is kept; the band's elements are computed again in every pass.

use super::moments::slopes;
use crate::dual::Number;
use crate::error::Result;
use crate::job::Job;

/// One list: gaps of the sorted scores over tau, as in [`bands`](super::bands).
pub(super) struct Chain<'a, N> {
    pub gaps: Vec<N>,
    pub temperature: N,
    pub cut: f64,
    pub job: &'a Job,
}

/// Gradients of SUM A (S B); all matrices are row-major.
pub(super) struct Gradients<N> {
    pub rows: Vec<N>,
    pub columns: Vec<N>,
    pub scores: Vec<N>,
    pub temperature: N,
}

impl<N: Number> Chain<'_, N> {
    const fn count(&self) -> usize {
        self.gaps.len() + 1
    }

    /// Calls `visit(row, column, exp(-level), level)` for every element of the band.
    fn each(&self, mut visit: impl FnMut(usize, usize, N, N)) -> Result<()> {
        for i in 0..self.count() {
            self.job.check()?;
            visit(i, i, N::of(1.0), N::of(0.0));
            for down in [true, false] {
                let (mut level, mut odd) = (N::of(0.0), 1.0);
                let most = if down { self.count() - 1 - i } else { i };
                for m in 1..=most {
                    let (j, gap) = if down { (i + m, i + m - 1) } else { (i - m, i - m) };
                    level += N::of(odd) * self.gaps[gap];
                    // Not "<=", which NaN would pass.
                    if level.value() > self.cut {
                        break;
                    }
                    visit(i, j, (-level).exp(), level);
                    odd += 2.0;
                }
            }
        }
        Ok(())
    }

    /// K x, or K^T x, for row-major x of `width` columns.
    fn multiply(&self, transposed: bool, x: &[N], width: usize) -> Result<Vec<N>> {
        let mut out = vec![N::of(0.0); x.len()];
        self.each(|i, j, e, _| {
            let (to, from) = if transposed { (j, i) } else { (i, j) };
            for c in 0..width {
                out[to * width + c] += e * x[from * width + c];
            }
        })?;
        Ok(out)
    }

    fn inverse(&self, transposed: bool, x: &[N]) -> Result<Vec<N>> {
        Ok(self.multiply(transposed, x, 1)?.into_iter().map(|sum| N::of(1.0) / sum).collect())
    }

    /// As `potentials::adjoint`, step for step.
    pub fn adjoint(&self, a: &[N], b: &[N], width: usize, steps: usize) -> Result<Gradients<N>> {
        let mut v = vec![vec![N::of(1.0); self.count()]];
        let mut u = vec![self.inverse(false, &v[0])?];
        for t in 0..steps {
            v.push(self.inverse(true, &u[t])?);
            u.push(self.inverse(false, &v[t + 1])?);
        }
        let (ua, vb) = (scaled(a, &u[steps]), scaled(b, &v[steps]));
        let (rows, columns) = (self.multiply(false, &vb, width)?, self.multiply(true, &ua, width)?);
        let (mut u_bar, mut v_bar) = (contract(a, &rows, width), contract(b, &columns, width));
        let (mut s, mut r) = (vec![Vec::new(); steps + 1], vec![Vec::new(); steps]);
        for t in (0..=steps).rev() {
            s[t] = u_bar.iter().zip(&u[t]).map(|(&bar, &u)| -(bar * u * u)).collect();
            if t > 0 {
                let more = self.multiply(true, &s[t], 1)?;
                r[t - 1] = (0..self.count()).map(|j| -((v_bar[j] + more[j]) * v[t][j] * v[t][j])).collect();
                v_bar.fill(N::of(0.0));
                u_bar = self.multiply(false, &r[t - 1], 1)?;
            }
        }
        let mut weight = vec![N::of(0.0); self.count()];
        let (mut lever, mut heat) = (weight.clone(), N::of(0.0));
        self.each(|i, j, e, level| {
            let mut bar = N::of(0.0);
            (0..width).for_each(|c| bar += ua[i * width + c] * vb[j * width + c]);
            (0..=steps).for_each(|t| bar += s[t][i] * v[t][j]);
            (0..steps).for_each(|t| bar += u[t][i] * r[t][j]);
            let w = e * bar;
            weight[j] += w;
            lever[j] += N::of(j as f64 - i as f64) * w;
            heat += level * w;
        })?;
        let scores = slopes(&self.gaps, &weight, &lever).into_iter().map(|s| s / self.temperature).collect();
        Ok(Gradients {
            rows: scaled(&rows, &u[steps]),
            columns: scaled(&columns, &v[steps]),
            scores,
            temperature: heat / self.temperature,
        })
    }
}

fn scaled<N: Number>(x: &[N], factor: &[N]) -> Vec<N> {
    let width = x.len() / factor.len();
    x.iter().enumerate().map(|(at, &x)| x * factor[at / width]).collect()
}

fn contract<N: Number>(a: &[N], b: &[N], width: usize) -> Vec<N> {
    let dot = |(a, b): (&[N], &[N])| a.iter().zip(b).fold(N::of(0.0), |sum, (&a, &b)| sum + a * b);
    a.chunks_exact(width).zip(b.chunks_exact(width)).map(dot).collect()
}

//! Sinkhorn's scaling of a band to a doubly stochastic matrix, by potentials.
//!
//! ```text
//! u_0 = 1 / K 1                                  rows: this is P itself
//! repeat T times:  v = 1 / K^T u,  u = 1 / K v   columns, then rows
//! S = diag(u) K diag(v)
//! ```
//!
//! Backward, nothing but T is known and the T steps are taken again. With Kbar the gradient to K, a sum of outer products,
//! and bars for the gradients to the potentials,
//!
//! ```text
//! Kbar = (u A) (v B)^T;  ubar = A K (v B);  vbar = B K^T (u A)         for the value SUM A (S B)
//! for t = T .. 1:  s_t = -ubar u_t^2;  Kbar += s_t v_t^T;  vbar += K^T s_t
//!                  r_t = -vbar v_t^2;  Kbar += u_{t-1} r_t^T;  ubar = K r_t;  vbar = 0
//! s_0 = -ubar u_0^2;  Kbar += s_0 1^T
//! ```
//!
//! The 2T + 1 + m outer products are kept as vectors and meet the band once, in [`Moments`]. T = 0 is P itself.

use super::bands::{Band, Lane, PAD, Side};
use super::moments::{Moments, Outer, inside};
use crate::error::Result;
use crate::job::Job;

/// When scaling ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    pub iterations: usize,
    /// Largest deviation of a column's sum from 1; rows have just been scaled. 0 is never reached.
    pub tolerance: f64,
}

/// The two potentials, as padded vectors.
#[derive(Debug)]
pub(super) struct Potentials<T> {
    pub u: Vec<T>,
    pub v: Vec<T>,
    pub steps: usize,
}

/// What scaling passes through, one vector after the other: u before each step; ones, then v after each step.
#[derive(Debug, Default)]
struct Path<T> {
    u: Vec<T>,
    v: Vec<T>,
}

/// 1 / sums, in the padded form.
fn invert<T: Lane>(sums: &[f64], count: usize, out: &mut [T]) {
    for (out, sum) in out[inside(count)].iter_mut().zip(&sums[inside(count)]) {
        *out = T::of(1.0 / sum);
    }
}

/// The potential v before the first step.
pub(super) fn ones<T: Lane>(band: &Band<T>) -> Vec<T> {
    let mut found = vec![T::ZERO; band.stride()];
    found[inside(band.count)].fill(T::ONE);
    found
}

/// Scales until `stop`.
pub(super) fn scale<T: Lane>(band: &Band<T>, stop: Stop, job: &Job) -> Result<Potentials<T>> {
    scale_along(band, stop, None, job)
}

fn scale_along<T: Lane>(
    band: &Band<T>,
    stop: Stop,
    mut path: Option<&mut Path<T>>,
    job: &Job,
) -> Result<Potentials<T>> {
    let count = band.count;
    let mut sums = vec![0.0; band.stride()];
    let (mut u, mut v) = (vec![T::ZERO; band.stride()], ones(band));
    let mut steps = 0;
    band.multiply(Side::Rows, &v, 1, &mut sums, job)?;
    invert(&sums, count, &mut u);
    if let Some(path) = &mut path {
        path.v.extend_from_slice(&v);
    }
    while steps < stop.iterations {
        band.multiply(Side::Columns, &u, 1, &mut sums, job)?;
        let mut columns = v[inside(count)].iter().zip(&sums[inside(count)]);
        if columns.all(|(v, sum)| (v.wide() * sum - 1.0).abs() < stop.tolerance) {
            break;
        }
        invert(&sums, count, &mut v);
        if let Some(path) = &mut path {
            path.u.extend_from_slice(&u);
            path.v.extend_from_slice(&v);
        }
        band.multiply(Side::Rows, &v, 1, &mut sums, job)?;
        invert(&sums, count, &mut u);
        steps += 1;
    }
    Ok(Potentials { u, v, steps })
}

/// Each of several padded columns times `factor`.
pub(super) fn scaled<T: Lane>(columns: &[T], factor: &[T]) -> Vec<T> {
    columns.chunks_exact(factor.len()).flat_map(|x| x.iter().zip(factor).map(|(&x, &f)| x * f)).collect()
}

/// The gradients of SUM A (S B) to A, B, the columns' sums for the scores, for A on the rows and B on the columns.
pub(super) struct Adjoint {
    pub rows: Vec<f64>,
    pub columns: Vec<f64>,
    pub moments: Moments,
}

/// Without scaling: two walks along the band, rows and columns.
pub(super) fn plain_adjoint<T: Lane>(band: &Band<T>, a: &[T], b: &[T], job: &Job) -> Result<Adjoint> {
    let (stride, v) = (band.stride(), [&ones(band), b].concat());
    let mut sums = vec![0.0; v.len()];
    band.multiply(Side::Rows, &v, v.len() / stride, &mut sums, job)?;
    let mut rows = sums.split_off(stride);
    let mut u = vec![T::ZERO; stride];
    invert(&sums, band.count, &mut u);
    let u_bar = contract(a, &rows, stride);
    let mut left: Vec<_> = u_bar.iter().zip(&u).map(|(bar, u)| T::of(-bar * u.wide() * u.wide())).collect();
    left.extend(scaled(a, &u));
    let mut columns = vec![0.0; left.len()];
    let moments = Moments::of(band, Outer { rows: &left, columns: &v }, &mut columns, job)?;
    multiply_each(&mut rows, &u);
    Ok(Adjoint { rows, columns: columns.split_off(stride), moments })
}

/// Takes `steps` scaling steps again and goes back along them; see the top of this file.
pub(super) fn adjoint<T: Lane>(band: &Band<T>, a: &[T], b: &[T], steps: usize, job: &Job) -> Result<Adjoint> {
    let (count, stride) = (band.count, band.stride());
    let width = a.len() / stride;
    let mut path = Path::default();
    let stop = Stop { iterations: steps, tolerance: 0.0 };
    let Potentials { mut u, v, .. } = scale_along(band, stop, Some(&mut path), job)?;
    let (ua, vb) = (scaled(a, &u), scaled(b, &v));
    let (mut rows, mut columns) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    band.multiply(Side::Rows, &vb, width, &mut rows, job)?;
    band.multiply(Side::Columns, &ua, width, &mut columns, job)?;
    let (mut u_bar, mut v_bar) = (contract(a, &rows, stride), contract(b, &columns, stride));
    multiply_each(&mut rows, &u);
    multiply_each(&mut columns, &v);
    // The outer products: s_t with v_t for t = 0 ..= T, u_t with r_{t+1} for t = 0 .. T, and u A with v B.
    let mut s = vec![T::ZERO; (steps + 1) * stride];
    let mut r = vec![T::ZERO; steps * stride];
    let mut sums = vec![0.0; stride];
    for t in (0..=steps).rev() {
        let here = t * stride;
        for i in inside(count) {
            s[here + i] = T::of(-u_bar[i] * u[i].wide() * u[i].wide());
        }
        if t == 0 {
            break;
        }
        let (before, v) = (here - stride, &path.v[here..][..stride]);
        band.multiply(Side::Columns, &s[here..][..stride], 1, &mut sums, job)?;
        for i in inside(count) {
            r[before + i] = T::of(-(v_bar[i] + sums[i]) * v[i].wide() * v[i].wide());
        }
        v_bar.fill(0.0);
        band.multiply(Side::Rows, &r[before..][..stride], 1, &mut u_bar, job)?;
        u.copy_from_slice(&path.u[before..][..stride]);
    }
    let left = [s, path.u, ua].concat();
    let right = [path.v, r, vb].concat();
    let moments = Moments::of(band, Outer { rows: &left, columns: &right }, &mut [], job)?;
    Ok(Adjoint { rows, columns, moments })
}

/// Multiplies each of several padded columns by `factor`.
pub(super) fn multiply_each<T: Lane>(columns: &mut [f64], factor: &[T]) {
    for column in columns.chunks_exact_mut(factor.len()) {
        column.iter_mut().zip(factor).for_each(|(y, f)| *y *= f.wide());
    }
}

/// The sum over columns of a * b.
fn contract<T: Lane>(a: &[T], b: &[f64], stride: usize) -> Vec<f64> {
    let mut found = vec![0.0; stride];
    for (a, b) in a.chunks_exact(stride).zip(b.chunks_exact(stride)) {
        for i in PAD..stride - PAD {
            found[i] += a[i].wide() * b[i];
        }
    }
    found
}

//! Kernels between two panels, as Chebyshev expansions in both variables, and how exact they are.

use super::kernel::Kernel;
use std::f64::consts::PI;
use std::sync::OnceLock;

/// Half the width of a panel, in temperatures.
pub const HALF: f64 = 1.5;
/// Panels further apart than this see each other's kernel as its limit: what is left is below `exp(-HALF * 2 * NEAR)`.
pub const NEAR: i64 = 14;
/// Terms of the expansions for results in single precision.
pub const SINGLE: usize = 16;
/// Terms of the expansions for results in double precision.
pub const DOUBLE: usize = 24;

/// The coefficients `c[l][k]` of `kernel(2 HALF d + HALF (t - s)) = sum c[l][k] T_l(t) T_k(s)` for each d from -[`NEAR`]
/// to [`NEAR`], with `terms` = [`SINGLE`] or [`DOUBLE`] terms in both variables; in memory d, then k, then l. Computed
/// once per process: it depends on neither data nor temperature.
pub fn table(kernel: Kernel, terms: usize) -> &'static [f64] {
    static TABLES: [[OnceLock<Vec<f64>>; Kernel::COUNT]; 2] = [const { [const { OnceLock::new() }; Kernel::COUNT] }; 2];
    TABLES[usize::from(terms == DOUBLE)][kernel.index()].get_or_init(|| compute(kernel, terms))
}

fn compute(kernel: Kernel, terms: usize) -> Vec<f64> {
    let angle = |i: usize| (i as f64 + 0.5) * PI / terms as f64;
    // Values at the roots of T_terms to coefficients: a discrete cosine transform.
    let transform: Vec<f64> = (0..terms * terms)
        .map(|at| {
            let (k, i) = (at / terms, at % terms);
            (k as f64 * angle(i)).cos() * if k == 0 { 1.0 } else { 2.0 } / terms as f64
        })
        .collect();
    let mut out = Vec::with_capacity((2 * NEAR as usize + 1) * terms * terms);
    for d in -NEAR..=NEAR {
        let value = |i: usize, j: usize| kernel.value(2.0 * HALF * d as f64 + HALF * (angle(i).cos() - angle(j).cos()));
        let values: Vec<f64> = (0..terms * terms).map(|at| value(at / terms, at % terms)).collect();
        let half = product(&transform, &values, terms); // [l][j]
        out.extend(product(&transform, &transpose(&half, terms), terms)); // [k][l]
    }
    out
}

fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|at| (0..n).map(|k| a[at / n * n + k] * b[k * n + at % n]).sum()).collect()
}

fn transpose(a: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|at| a[at % n * n + at / n]).collect()
}

/// A certified bound of the error of a sum over pairs by panels, for weights whose absolute values sum to 1.
///
/// Let f be analytic and |f| <= M in the ellipse with foci -1 and 1 whose half axes sum to rho. Its Chebyshev coefficients
/// are at most 2 M rho^-k. The interpolant at the p roots of `T_p` takes each `T_k` of degree k >= p for a polynomial of a
/// lower degree that is at most 1; so the error is at most twice the sum of the coefficients from p on,
///
///   E = 4 M rho^(1 - p) / (rho - 1).
///
/// Here f(t) = kernel(D + HALF t - HALF s), with poles at the odd multiples of pi i: an ellipse that reaches y < pi into the
/// imaginary direction, in temperatures, has rho = q + sqrt(q^2 + 1), q = y / HALF. Interpolating in s, then in t, costs E
/// (1 + L), where L <= 1 + (2 / pi) ln p is the Lebesgue constant of the roots. A multiple of z can be taken off the kernel
/// without a change of the error, so that a kernel that grows to the right is small there and M is wanted only up to the
/// real part `reach` of the panel at d = 0. The far field differs from the kernel by less than that of distance
/// `HALF * 2 * NEAR`. Both parts: the smallest sum over y. Rounding in double precision comes on top.
#[must_use]
pub fn bound(kernel: Kernel, terms: usize) -> f64 {
    let p = terms as f64;
    let lebesgue = 1.0 + 2.0 / PI * p.ln();
    let at = |y: f64| {
        let root = (y * y + HALF * HALF).sqrt();
        let rho = (y + root) / HALF;
        // The target's ellipse reaches `root` from its centre, the source lies up to HALF from its own.
        4.0 * kernel.maximum(y, root + HALF) * rho.powf(1.0 - p) / (rho - 1.0) * (1.0 + lebesgue)
    };
    let near = (200..314).map(|y| at(f64::from(y) * 0.01)).fold(f64::INFINITY, f64::min);
    let gap = 2.0 * HALF * NEAR as f64;
    near + gap * gap * (-gap).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expansion at one point.
    fn expanded(kernel: Kernel, terms: usize, d: i64, t: f64, s: f64) -> f64 {
        let block = &table(kernel, terms)[(d + NEAR) as usize * terms * terms..][..terms * terms];
        let chebyshev = |k: usize, t: f64| (k as f64 * t.acos()).cos();
        (0..terms * terms).map(|at| block[at] * chebyshev(at / terms, s) * chebyshev(at % terms, t)).sum()
    }

    #[test]
    fn errors_stay_below_the_bound() {
        for terms in [SINGLE, DOUBLE] {
            for kernel in (0..Kernel::COUNT).map(Kernel::at) {
                let mut worst = 0.0f64;
                for d in -3..=3 {
                    for at in 0..41 * 41 {
                        let (t, s) = (f64::from(at / 41) / 20.0 - 1.0, f64::from(at % 41) / 20.0 - 1.0);
                        let exact = kernel.value(2.0 * HALF * d as f64 + HALF * (t - s));
                        worst = worst.max((expanded(kernel, terms, d, t, s) - exact).abs());
                    }
                }
                let bound = bound(kernel, terms);
                println!("{kernel:?}, {terms} terms: certified {bound:.1e}, seen {worst:.1e}");
                assert!(worst < bound + 2e-15 * 30.0, "{kernel:?} {terms}: {worst:e} {bound:e}");
                assert!(bound < if terms == SINGLE { 5e-6 } else { 1e-10 });
            }
        }
        for (terms, limit) in [(SINGLE, 1e-7), (DOUBLE, 1e-12)] {
            assert!(bound(Kernel::SIGMOID, terms) < limit && bound(Kernel::SOFTPLUS, terms) < limit);
        }
    }
}

//! `SoftSort`: `P = diag(1/z) K` over sorted scores, `K_ij = exp(-|s_i - s_j| / t)`, `z = K 1`, and its derivatives.
//!
//! Products are sums over K, which [`Links`](crate::sorting::scans::Links) give in linear time. The derivatives of
//! `<G, P V>` for rows G and items V are
//!
//! ```text
//! y = K v / z,   a_i = G_i / z_i,   C_i = <a_i, y_i>
//! to V_j         (K a)_j                                        the transposed product of G
//! to K_ij        M_ij = <a_i, v_j> - C_i
//! to s_k         -(1/t) sum_j sgn(s_k - s_j) K_kj (M_kj + M_jk)
//! to t           (1/t) sum_i step_i T_i,   T_i = the sum of K_pq (M_pq + M_qp) over all p < i <= q
//! ```
//!
//! With a column of ones in front of V and -C in front of a, `M_ij` is one inner product over columns. `left` and `right`
//! of both give all sums: `T_i = <left a_i, v_i + right v_i> + <left v_i, a_i + right a_i>`. Equal scores do not push each
//! other (sgn 0 = 0), so their gradient is symmetric.

use crate::dual::Number;
use crate::error::Result;
use crate::sorting::products::Walk;

/// Calls `out(r, c, y)` with the entries of `P V`, or of `P^T V` if `transposed`; items by place in the order.
pub(super) fn product<const W: usize>(
    walk: &Walk<'_, f64>,
    transposed: bool,
    v: impl Fn(usize, usize) -> f64,
    mut out: impl FnMut(usize, usize, f64),
) -> Result<()> {
    let (mut sides, mut z) = (Sides::default(), Vec::new());
    if transposed {
        let mut ones = Sides::default();
        ones.fill(walk, |_| [1.0])?;
        z.extend((0..walk.links.len()).map(|i| ones.sum(i, 0, 1.0)));
    }
    for k in (0..=walk.m).step_by(W) {
        if transposed {
            let a = |i: usize| walk.extended::<W>(k, 0.0, |c| v(i, c) / z[i]);
            sides.fill(walk, a)?;
            for i in 0..z.len() {
                let a = a(i);
                walk.columns::<W>(k).for_each(|(c, w)| out(i, c, sides.sum(i, w, a[w])));
            }
        } else {
            let v = |i: usize| walk.extended::<W>(k, 1.0, |c| v(i, c));
            sides.fill(walk, v)?;
            sides.norms(walk, k, &mut z);
            for i in 0..z.len() {
                let v = v(i);
                walk.columns::<W>(k).for_each(|(c, w)| out(i, c, sides.sum(i, w, v[w]) / z[i]));
            }
        }
    }
    Ok(())
}

/// Sums over the items before and after each.
#[derive(Debug)]
struct Sides<N, const W: usize> {
    left: Vec<[N; W]>,
    right: Vec<[N; W]>,
}

impl<N, const W: usize> Default for Sides<N, W> {
    fn default() -> Self {
        Self { left: Vec::new(), right: Vec::new() }
    }
}

impl<N: Number, const W: usize> Sides<N, W> {
    #[inline(always)]
    fn fill(&mut self, walk: &Walk<'_, N>, x: impl Fn(usize) -> [N; W]) -> Result<()> {
        walk.links.sides(walk.job, x, &mut self.left, &mut self.right)
    }

    #[inline(always)]
    fn sum(&self, i: usize, w: usize, here: N) -> N {
        (self.left[i][w] + self.right[i][w]) + here
    }

    /// Fills `z` when the column of ones is at hand.
    #[inline(always)]
    fn norms(&self, walk: &Walk<'_, N>, k: usize, z: &mut Vec<N>) {
        if k == 0 {
            z.extend((0..walk.links.len()).map(|i| self.sum(i, 0, N::of(1.0))));
        }
    }
}

/// Fills `push` with -t times the gradients to the sorted scores (in increasing order), hands out the products `P V` and
/// `P^T G`, and returns t times the gradient to the temperature.
pub(super) fn gradients<N: Number, const W: usize>(
    walk: &Walk<'_, N>,
    push: &mut [N],
    item: impl Fn(usize, usize) -> N,
    rank: impl Fn(usize, usize) -> N,
    mut to_rank: impl FnMut(usize, usize, N),
    mut to_item: impl FnMut(usize, usize, N),
) -> Result<N> {
    let (zero, mut sides) = (N::of(0.0), Sides::default());
    let (mut z, mut c) = (Vec::new(), vec![zero; walk.links.len()]);
    let values = |k: usize, i: usize| walk.extended::<W>(k, N::of(1.0), |c| item(i, c));
    for k in (0..=walk.m).step_by(W) {
        sides.fill(walk, |i| values(k, i))?;
        sides.norms(walk, k, &mut z);
        for i in 0..z.len() {
            let v = values(k, i);
            for (column, w) in walk.columns::<W>(k) {
                let y = sides.sum(i, w, v[w]) / z[i];
                c[i] += rank(i, column) / z[i] * y;
                to_rank(i, column, y);
            }
        }
    }
    let mut total = zero;
    for k in (0..=walk.m).step_by(W) {
        let a = |i: usize| walk.extended::<W>(k, -c[i], |c| rank(i, c) / z[i]);
        if walk.m >= W {
            sides.fill(walk, |i| values(k, i))?; // the columns at hand are others
        }
        let out = |i: usize, sums: [N; W]| walk.columns::<W>(k).for_each(|(c, w)| to_item(i, c, sums[w]));
        total += forces(walk, &mut sides, push, |i| values(k, i), a, out)?;
    }
    Ok(total)
}

/// Adds to `push` what the pairs `a_i v_j` do, hands out `(K a)_j`, and returns the sum of `step_i T_i`. Comes with the
/// sides of v; the room of its right side is used up.
#[inline(always)]
fn forces<N: Number, const W: usize>(
    walk: &Walk<'_, N>,
    sides: &mut Sides<N, W>,
    push: &mut [N],
    v: impl Fn(usize) -> [N; W] + Copy,
    a: impl Fn(usize) -> [N; W] + Copy,
    mut to_item: impl FnMut(usize, [N; W]),
) -> Result<N> {
    let (job, links, zero) = (walk.job, walk.links, N::of(0.0));
    let Sides { left: left_v, right: left_a } = sides;
    let (mut right_a, mut total) = ([zero; W], zero);
    links.up(job, a, |i, left| left_a[i] = *left)?;
    // Of a group of equal items: its first, and the sums beyond its last.
    let (mut first, mut beyond_v, mut beyond_a) = (usize::MAX, [zero; W], [zero; W]);
    links.down(job, v, |i, v, right_v| {
        let a = a(i);
        if first > i {
            first = i;
            while links.tied(first) {
                first -= 1;
            }
            (beyond_v, beyond_a) = (*right_v, right_a);
        }
        let (link, mut crossing, mut sums) = (links.links[i], zero, [zero; W]);
        for w in 0..W {
            let (with_v, with_a) = (v[w] + right_v[w], a[w] + right_a[w]);
            crossing += left_a[i][w] * with_v + left_v[i][w] * with_a;
            push[i] += a[w] * (left_v[first][w] - beyond_v[w]) + v[w] * (left_a[first][w] - beyond_a[w]);
            sums[w] = left_a[i][w] + with_a;
            right_a[w] = link * with_a;
        }
        to_item(i, sums);
        // Beyond a link of 0 nothing crosses, though the step may be infinite.
        if link.value() != 0.0 {
            total += links.steps[i] * crossing;
        }
    })?;
    Ok(total)
}

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
    let (job, links) = (walk.job, walk.links);
    let (mut z, mut room) = (vec![1.0; links.len()], Vec::new());
    if transposed {
        links.sums(job, &mut Vec::new(), |_| [1.0], |i, [sum]| z[i] = sum)?;
    }
    for k in (0..=walk.m).step_by(W) {
        if transposed {
            let a = |i: usize| walk.extended::<W>(k, 0.0, |c| v(i, c) / z[i]);
            links.sums(job, &mut room, a, |i, sums| walk.columns::<W>(k).for_each(|(c, w)| out(i, c, sums[w])))?;
        } else {
            let v = |i: usize| walk.extended::<W>(k, 1.0, |c| v(i, c));
            links.sums(job, &mut room, v, |i, sums| {
                if k == 0 {
                    z[i] = sums[0];
                }
                walk.columns::<W>(k).for_each(|(c, w)| out(i, c, sums[w] / z[i]));
            })?;
        }
    }
    Ok(())
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
    let (job, links, zero) = (walk.job, walk.links, N::of(0.0));
    let (mut z, mut c) = (vec![zero; links.len()], vec![zero; links.len()]);
    let mut room = Vec::new();
    let values = |k: usize, i: usize| walk.extended::<W>(k, N::of(1.0), |c| item(i, c));
    for k in (0..=walk.m).step_by(W) {
        links.sums(
            job,
            &mut room,
            |i| values(k, i),
            |i, sums| {
                if k == 0 {
                    z[i] = sums[0];
                }
                for (column, w) in walk.columns::<W>(k) {
                    let y = sums[w] / z[i];
                    c[i] += rank(i, column) / z[i] * y;
                    to_rank(i, column, y);
                }
            },
        )?;
    }
    let mut total = zero;
    for k in (0..=walk.m).step_by(W) {
        let a = |i: usize| walk.extended::<W>(k, -c[i], |c| rank(i, c) / z[i]);
        let out = |i: usize, sums: [N; W]| walk.columns::<W>(k).for_each(|(c, w)| to_item(i, c, sums[w]));
        total += forces(walk, &mut room, push, |i| values(k, i), a, out)?;
    }
    Ok(total)
}

/// Adds to `push` what the pairs `a_i v_j` do, hands out `(K a)_j`, and returns the sum of `step_i T_i`.
#[inline(always)]
fn forces<N: Number, const W: usize>(
    walk: &Walk<'_, N>,
    left_v: &mut Vec<[N; W]>,
    push: &mut [N],
    v: impl Fn(usize) -> [N; W] + Copy,
    a: impl Fn(usize) -> [N; W] + Copy,
    mut to_item: impl FnMut(usize, [N; W]),
) -> Result<N> {
    let (job, links, zero) = (walk.job, walk.links, N::of(0.0));
    let (mut left_a, mut right_a, mut total) = (Vec::with_capacity(links.len()), [zero; W], zero);
    left_v.clear();
    links.up(job, v, |_, left| left_v.push(*left))?;
    links.up(job, a, |_, left| left_a.push(*left))?;
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

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
    let (links, mut left, mut z) = (walk.links, Vec::new(), Vec::new());
    if transposed {
        z.resize(links.len(), 0.0);
        links.sums(walk.job, |_| [1.0], &mut Vec::new(), |i, _, [sum]| z[i] = sum)?;
    }
    for k in (0..=walk.m).step_by(W) {
        if transposed {
            let a = |i: usize| walk.extended::<W>(k, 0.0, |c| v(i, c) / z[i]);
            links.sums(walk.job, a, &mut left, |i, _, sums| {
                walk.columns::<W>(k).for_each(|(c, w)| out(i, c, sums[w]));
            })?;
        } else {
            if walk.m >= W {
                z.resize(links.len(), 0.0); // for the columns to come
            }
            let v = |i: usize| walk.extended::<W>(k, 1.0, |c| v(i, c));
            links.sums(walk.job, v, &mut left, |i, _, sums| {
                let norm = if k == 0 { sums[0] } else { z[i] };
                walk.columns::<W>(k).for_each(|(c, w)| out(i, c, sums[w] / norm));
                if walk.m >= W {
                    z[i] = norm;
                }
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
    let (zero, n, mut left) = (N::of(0.0), walk.links.len(), Vec::new());
    let (mut z, mut c) = (vec![zero; n], vec![zero; n]);
    let values = |k: usize, i: usize| walk.extended::<W>(k, N::of(1.0), |c| item(i, c));
    for k in (0..=walk.m).step_by(W) {
        walk.links.sums(
            walk.job,
            |i| values(k, i),
            &mut left,
            |i, _, sums| {
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
    let (mut room, mut total) = (Vec::with_capacity(n), zero);
    for k in (0..=walk.m).step_by(W) {
        let a = |i: usize| walk.extended::<W>(k, -c[i], |c| rank(i, c) / z[i]);
        if walk.m >= W {
            walk.links.up(walk.job, |i| values(k, i), |i, sums| left[i] = *sums)?; // of the columns at hand
        }
        room.clear();
        walk.links.up(walk.job, a, |_, sums| room.push(*sums))?;
        let out = |i: usize, sums: [N; W]| walk.columns::<W>(k).for_each(|(c, w)| to_item(i, c, sums[w]));
        total += forces(walk, &left, &room, push, |i| values(k, i), a, out)?;
    }
    Ok(total)
}

/// Adds to `push` what the pairs `a_i v_j` do, hands out `(K a)_j`, and returns the sum of `step_i T_i`.
#[inline(always)]
fn forces<N: Number, const W: usize>(
    walk: &Walk<'_, N>,
    left_v: &[[N; W]],
    left_a: &[[N; W]],
    push: &mut [N],
    v: impl Fn(usize) -> [N; W],
    a: impl Fn(usize) -> [N; W],
    mut to_item: impl FnMut(usize, [N; W]),
) -> Result<N> {
    let (job, links, zero) = (walk.job, walk.links, N::of(0.0));
    let (mut right_a, mut total) = ([zero; W], zero);
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

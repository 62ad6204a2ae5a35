//! `LapSum`'s soft permutation: with F the Laplace distribution and thresholds `b_r` between ranks r and r + 1,
//!
//! ```text
//! sum_j F((b_r - s_j) / t) = r,   P_rj = F((b_r - s_j) / t) - F((b_(r-1) - s_j) / t),   b_0 = -inf,  b_n = inf
//! ```
//!
//! Rows sum to r - (r - 1) and columns to F(inf) - F(-inf): both are 1. Thresholds lie between items ([`Roots`]), so that
//! sums over items at thresholds and over thresholds at items are those of [`Links`](crate::sorting::scans::Links), entered
//! and left by half steps. Write A and B for the sums of v over the items below and above a threshold, weighted by
//! K = exp(-distance / t); the sum of F v there is that of v below, minus A / 2, plus B / 2.
//!
//! For `<G, P V>`, with E the fall of G from one rank to the next and y = (A + B) / Z the mean of v with the weights K:
//!
//! ```text
//! to V_j    G_(first r with s_j below b_r) + 1/2 (sum_{r: b_r < s_j} - sum_{r: b_r > s_j}) E_r K_rj
//! to s_j    (1 / 2t) sum_r K_rj (<E_r, y_r> - <E_r, v_j>)       thresholds move by the mean of the items' moves
//! to t      -(1/t) sum_j s_j (gradient to s_j)                  scores and t scaled together change nothing
//! ```

use crate::dual::Number;
use crate::error::Result;
use crate::sorting::laplace::Roots;
use crate::sorting::products::Walk;

/// Calls `out(r, c, y)` with the entries of `P V`, or of `P^T V` if `transposed`; items by place in the order.
pub(super) fn product<const W: usize>(
    walk: &Walk<'_, f64>,
    transposed: bool,
    v: impl Fn(usize, usize) -> f64,
    mut out: impl FnMut(usize, usize, f64),
) -> Result<()> {
    let mut roots = Roots::default();
    roots.solve(walk.links, walk.job, walk.links.len().saturating_sub(1), 1.0)?;
    for k in (0..walk.m).step_by(W) {
        let columns = || (k..walk.m.min(k + W)).map(|c| (c, c - k));
        let v = |i: usize| -> [f64; W] { std::array::from_fn(|w| if k + w < walk.m { v(i, k + w) } else { 0.0 }) };
        if transposed {
            to_items(walk, &roots, v, |i, sums| columns().for_each(|(c, w)| out(i, c, sums[w])))?;
        } else {
            to_ranks(walk, &roots, v, |r, sums, _| columns().for_each(|(c, w)| out(r, c, sums[w])))?;
        }
    }
    Ok(())
}

/// Calls `out(r, (P v)_r, A + B)` for every rank; at the last, which has no threshold, the last sum is 0.
#[inline(always)]
fn to_ranks<N: Number, const W: usize>(
    walk: &Walk<'_, N>,
    roots: &Roots<N>,
    v: impl Fn(usize) -> [N; W],
    mut out: impl FnMut(usize, [N; W], [N; W]),
) -> Result<()> {
    let (n, zero, half) = (walk.links.len(), N::of(0.0), N::of(0.5));
    let (mut below, mut above) = (Vec::with_capacity(n), vec![[zero; W]; n]);
    walk.links.up(walk.job, &v, |i, left| {
        let here = v(i);
        below.push(std::array::from_fn::<N, W, _>(|w| left[w] + here[w]));
    })?;
    walk.links.down(walk.job, &v, |i, here, right| above[i] = std::array::from_fn(|w| right[w] + here[w]))?;
    let (mut at, mut bend) = (0, [zero; W]);
    for r in 0..n {
        let (mut sums, mut whole, next) = (bend, [zero; W], roots.at.get(r).map_or(n, |&at| at as usize));
        // Summed from small to large pieces: a difference of two running sums would carry the rounding of all ranks.
        let mut between = [zero; W];
        for i in at..next {
            let here = v(i);
            (0..W).for_each(|w| between[w] += here[w]);
        }
        bend = [zero; W];
        if r < roots.at.len() {
            for w in 0..W {
                let a = if next > 0 { roots.below[r] * below[next - 1][w] } else { zero };
                let b = if next < n { roots.above[r] * above[next][w] } else { zero };
                bend[w] = half * (a - b);
                whole[w] = a + b;
            }
        }
        (0..W).for_each(|w| sums[w] = between[w] + (sums[w] - bend[w]));
        out(r, sums, whole);
        at = next;
    }
    Ok(())
}

/// Calls `out(i, (P^T u)_i)` for every item, downwards.
#[inline(always)]
fn to_items<N: Number, const W: usize>(
    walk: &Walk<'_, N>,
    roots: &Roots<N>,
    u: impl Fn(usize) -> [N; W],
    mut out: impl FnMut(usize, [N; W]),
) -> Result<()> {
    let n = walk.links.len();
    let fall = |r: usize| -> [N; W] {
        let (here, next) = (u(r), u(r + 1));
        std::array::from_fn(|w| here[w] - next[w])
    };
    let mut room = Vec::new();
    let half = N::of(0.5);
    roots.scatter(walk.links, walk.job, &mut room, fall, |i, left, right, first| {
        let start = u(first.min(n - 1));
        out(i, std::array::from_fn(|w| start[w] + half * (left[w] - right[w])));
    })
}

/// As `softsort::gradients`.
pub(super) fn gradients<N: Number, const W: usize>(
    walk: &Walk<'_, N>,
    push: &mut [N],
    item: impl Fn(usize, usize) -> N,
    rank: impl Fn(usize, usize) -> N,
    mut to_rank: impl FnMut(usize, usize, N),
    mut to_item: impl FnMut(usize, usize, N),
) -> Result<N> {
    let (n, zero, half) = (walk.links.len(), N::of(0.0), N::of(0.5));
    let mut roots = Roots::default();
    roots.solve(walk.links, walk.job, n.saturating_sub(1), 1.0)?;
    let values = |k: usize, i: usize| walk.extended::<W>(k, N::of(1.0), |c| item(i, c));
    // <E_r, y_r>
    let mut mean = vec![zero; n];
    for k in (0..=walk.m).step_by(W) {
        to_ranks(
            walk,
            &roots,
            |i| values(k, i),
            |r, sums, whole| {
                for (c, w) in walk.columns::<W>(k) {
                    to_rank(r, c, sums[w]);
                    if r + 1 < n && roots.weight[r].value() != 0.0 {
                        mean[r] += (rank(r, c) - rank(r + 1, c)) * half * (whole[w] / roots.weight[r]);
                    }
                }
            },
        )?;
    }
    let mut room = Vec::new();
    for k in (0..=walk.m).step_by(W) {
        let e = |r: usize| walk.extended::<W>(k, -mean[r], |c| rank(r, c) - rank(r + 1, c));
        roots.scatter(walk.links, walk.job, &mut room, e, |i, left, right, first| {
            let v = values(k, i);
            for w in 0..W {
                push[i] += half * v[w] * (left[w] + right[w]);
            }
            for (c, w) in walk.columns::<W>(k) {
                to_item(i, c, rank(first.min(n - 1), c) + half * (left[w] - right[w]));
            }
        })?;
    }
    let mut places = Vec::new();
    walk.links.places(&mut places);
    let mut total = zero;
    places.iter().zip(push).for_each(|(&place, &mut push)| total += place * push);
    Ok(total)
}

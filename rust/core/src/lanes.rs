//! The inner loops, written once over fixed lanes.
//!
//! Every order of operations is spelled out, so that each instruction set gives the same bits; [`crate::real`]
//! instantiates the loops per instruction set.

use crate::real::{Real, band};

/// The canonical squared distance of the library: `|scale * x - center|^2` for `scale` a power of two.
///
/// `L` accumulators; lane `l` takes the coordinates `j = l (mod L)` in increasing `j`; missing coordinates count as zero;
/// then a fixed tree of halves. The relative error is at most `(ceil(d / L) + 7)` units of round-off, equal rows give 0
/// exactly, and every instruction set gives the same bits. Several rows at once hide the latency of the fused
/// multiply-add; they do not change the order inside a row.
#[inline(always)]
pub fn canon_rows_lanes<T: Real, const L: usize>(rows: &[T], scale: T, center: &[T], out: &mut [T]) {
    let d = center.len();
    if d == 0 {
        out.fill(T::ZERO);
        return;
    }
    let mut quads = rows.chunks_exact(4 * d);
    let mut values = out.chunks_exact_mut(4);
    for (quad, value) in (&mut quads).zip(&mut values) {
        let (a, b) = quad.split_at(2 * d);
        value.copy_from_slice(&canon_some::<T, L, 4>([&a[..d], &a[d..], &b[..d], &b[d..]], scale, center));
    }
    for (row, value) in quads.remainder().chunks_exact(d).zip(values.into_remainder()) {
        *value = canon_some::<T, L, 1>([row], scale, center)[0];
    }
}

#[inline(always)]
fn canon_some<T: Real, const L: usize, const R: usize>(rows: [&[T]; R], scale: T, center: &[T]) -> [T; R] {
    let d = center.len();
    let whole = d - d % L;
    let mut acc = [[T::ZERO; L]; R];
    let mut start = 0;
    while start < whole {
        let c = &center[start..start + L];
        for r in 0..R {
            let x = &rows[r][start..start + L];
            for l in 0..L {
                let difference = x[l].fma(scale, -c[l]);
                acc[r][l] = difference.fma(difference, acc[r][l]);
            }
        }
        start += L;
    }
    if whole < d {
        let mut c = [T::ZERO; L];
        c[..d - whole].copy_from_slice(&center[whole..]);
        for r in 0..R {
            let mut x = [T::ZERO; L];
            x[..d - whole].copy_from_slice(&rows[r][whole..d]);
            for l in 0..L {
                let difference = x[l].fma(scale, -c[l]);
                acc[r][l] = difference.fma(difference, acc[r][l]);
            }
        }
    }
    acc.map(fold_halves)
}

/// The fixed tree: upper half onto lower half, until one is left.
#[inline(always)]
fn fold_halves<T: Real, const L: usize>(mut lanes: [T; L]) -> T {
    let mut half = L / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = lanes[l] + lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
pub fn square_lanes<T: Real, const L: usize>(row: &[T]) -> T {
    let mut acc = [T::ZERO; L];
    let mut chunks = row.chunks_exact(L);
    for chunk in &mut chunks {
        for l in 0..L {
            acc[l] = chunk[l].fma(chunk[l], acc[l]);
        }
    }
    for (lane, x) in acc.iter_mut().zip(chunks.remainder()) {
        *lane = x.fma(*x, *lane);
    }
    fold_halves(acc)
}

/// The smallest `norms[j] - 2 * products[j]`: the squared distance in matrix-product form, less the row's own norm.
#[inline(always)]
pub fn lowest_lanes<T: Real, const L: usize>(norms: &[T], products: &[T]) -> T {
    let mut best = [T::INFINITY; L];
    let mut norm_chunks = norms.chunks_exact(L);
    let mut product_chunks = products.chunks_exact(L);
    for (norm, product) in (&mut norm_chunks).zip(&mut product_chunks) {
        best = lower_of(lanes_of(norm), lanes_of(product), best);
    }
    let rest = norm_chunks.remainder().iter().zip(product_chunks.remainder());
    let rest = rest.map(|(norm, product)| *norm - (*product + *product));
    best.into_iter().chain(rest).fold(T::INFINITY, |low, value| if value < low { value } else { low })
}

/// The first `L` elements as an array: fixed sizes are what compilers turn into registers.
#[inline(always)]
fn lanes_of<T, const L: usize>(slice: &[T]) -> &[T; L] {
    slice[..L].try_into().expect("L elements")
}

#[inline(always)]
fn lower_of<T: Real, const L: usize>(norm: &[T; L], product: &[T; L], mut best: [T; L]) -> [T; L] {
    for l in 0..L {
        let value = norm[l] - (product[l] + product[l]);
        best[l] = if value < best[l] { value } else { best[l] };
    }
    best
}

#[inline(always)]
pub fn below_lanes<T: Real, const L: usize>(norms: &[T], products: &[T], highest: T, out: &mut Vec<u32>) {
    for (chunk, (norm, product)) in norms.chunks(L).zip(products.chunks(L)).enumerate() {
        let mut any = false;
        for (norm, product) in norm.iter().zip(product) {
            any |= *norm - (*product + *product) <= highest;
        }
        if any {
            for (l, (norm, product)) in norm.iter().zip(product).enumerate() {
                if *norm - (*product + *product) <= highest {
                    out.push((chunk * L + l) as u32);
                }
            }
        }
    }
}

/// Candidates interleaved in one group of a panel measurement.
const WIDTH: usize = 8;

#[inline(always)]
pub fn panel_lanes<T: Real, const L: usize>(
    lanes: &[T],
    norms: &[T],
    coords: &[T],
    squares: &[T],
    out: &mut [T],
    stride: usize,
) {
    let d = coords.len() / WIDTH;
    let slack = T::of(band::<T>(d));
    for (panel, (rows, norms)) in lanes.chunks_exact((d * L).max(1)).zip(norms.chunks_exact(L)).enumerate() {
        let acc = panel_products::<T, L>(rows, coords);
        for (t, out) in out.chunks_exact_mut(stride).enumerate() {
            let out = &mut out[panel * L..(panel + 1) * L];
            for l in 0..L {
                let sum = norms[l] + squares[t];
                let value = sum - (acc[t][l] + acc[t][l]);
                // Below the rounding error of this form the rows count as equal.
                out[l] = if value > sum * slack { value } else { T::ZERO };
            }
        }
    }
}

/// Inner products of one panel's rows with eight candidates. The accumulators are named, not indexed: compilers then
/// keep them in registers.
#[inline(always)]
fn panel_products<T: Real, const L: usize>(rows: &[T], coords: &[T]) -> [[T; L]; WIDTH] {
    let (mut a, mut b, mut c, mut d) = ([T::ZERO; L], [T::ZERO; L], [T::ZERO; L], [T::ZERO; L]);
    let (mut e, mut f, mut g, mut h) = (a, a, a, a);
    for (x, y) in rows.chunks_exact(L).zip(coords.chunks_exact(WIDTH)) {
        let (x, y) = (lanes_of(x), lanes_of::<T, WIDTH>(y));
        a = axpy(x, y[0], a);
        b = axpy(x, y[1], b);
        c = axpy(x, y[2], c);
        d = axpy(x, y[3], d);
        e = axpy(x, y[4], e);
        f = axpy(x, y[5], f);
        g = axpy(x, y[6], g);
        h = axpy(x, y[7], h);
    }
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn axpy<T: Real, const L: usize>(x: &[T; L], y: T, mut acc: [T; L]) -> [T; L] {
    for l in 0..L {
        acc[l] = x[l].fma(y, acc[l]);
    }
    acc
}

#[inline(always)]
pub fn gain_lanes<T: Real>(bounds: &[T], distances: &[T], weights: &[f64]) -> f64 {
    let mut acc = [0.0; 8];
    let chunks = bounds.chunks(8).zip(distances.chunks(8)).zip(weights.chunks(8));
    for ((bounds, distances), weights) in chunks {
        for (((sum, bound), distance), weight) in acc.iter_mut().zip(bounds).zip(distances).zip(weights) {
            let drop = *bound - *distance;
            *sum += weight * (if drop > T::ZERO { drop } else { T::ZERO }).wide();
        }
    }
    fold_halves(acc)
}

#[inline(always)]
pub fn shift_each<T: Real>(row: &[T], scale: T, origin: &[T], out: &mut [T]) {
    for ((y, x), o) in out.iter_mut().zip(row).zip(origin) {
        *y = *x * scale - *o;
    }
}

//! What one block of comparators does: `B` lanes, which are `B / W` comparators of `W` lists.
//!
//! Choices are made between finished values, lane by lane, so that the loops become vector instructions; and without the
//! library's closures and slice copies, which stay calls inside a function with an instruction set of its own.

use super::weight::{Distribution, Lane, reach, slopes, tail};

/// From this many columns on, a comparator of a single list mixes whole rows.
const ROWS: usize = 5;

/// The steepness of every lane of a block, and where `w d` tends to.
#[derive(Debug)]
pub struct Steepness<T, const B: usize> {
    value: [T; B],
    limit: [T; B],
}

impl<T: Lane, const B: usize> Steepness<T, B> {
    /// From the steepness of `W` lists.
    #[inline(always)]
    pub fn new<const W: usize>(steepness: &[T], distribution: Distribution) -> Self {
        let value: [T; B] = std::array::from_fn(|i| steepness[i % W]);
        Self { value, limit: value.map(|value| T::of(distribution.limit()) / value) }
    }
}

/// The first `N` elements as an array: fixed sizes are what compilers turn into registers.
#[inline(always)]
pub fn first<T, const N: usize>(slice: &[T]) -> &[T; N] {
    slice[..N].try_into().expect("N elements")
}

/// As [`first`].
#[inline(always)]
pub fn first_mut<T, const N: usize>(slice: &mut [T]) -> &mut [T; N] {
    (&mut slice[..N]).try_into().expect("N elements")
}

/// Both are computed: what is chosen between must be cheap.
#[inline(always)]
pub fn pick<T: Copy>(condition: bool, yes: T, no: T) -> T {
    if condition { yes } else { no }
}

/// The numbers on the lower and on the upper wires of a block, of a matrix with `size` columns in its rows.
#[inline(always)]
fn gather<T: Lane, const B: usize, const W: usize>(
    matrix: &[T],
    pairs: &[[u32; 2]],
    (size, column): (usize, usize),
) -> ([T; B], [T; B]) {
    let (lists, _) = matrix.as_chunks::<W>();
    let (mut low, mut high) = ([T::default(); B], [T::default(); B]);
    for k in 0..B / W {
        let p = &lists[pairs[k][0] as usize * size + column];
        let q = &lists[pairs[k][1] as usize * size + column];
        for l in 0..W {
            low[k * W + l] = p[l];
            high[k * W + l] = q[l];
        }
    }
    (low, high)
}

/// The way back of [`gather`].
#[inline(always)]
fn scatter<T: Lane, const B: usize, const W: usize>(
    matrix: &mut [T],
    pairs: &[[u32; 2]],
    (size, column): (usize, usize),
    (low, high): (&[T; B], &[T; B]),
) {
    let (lists, _) = matrix.as_chunks_mut::<W>();
    for k in 0..B / W {
        let p = &mut lists[pairs[k][0] as usize * size + column];
        for l in 0..W {
            p[l] = low[k * W + l];
        }
        let q = &mut lists[pairs[k][1] as usize * size + column];
        for l in 0..W {
            q[l] = high[k * W + l];
        }
    }
}

/// Lets a block of scores through its comparators; returns the signed weights and the distances. `TAME` says that no
/// score is infinite and no distance large, see [`super::tile::Tile::is_tame`]; the results are the same bits.
#[inline(always)]
pub fn compare<T: Lane, const B: usize, const W: usize, const TAME: bool>(
    x: &mut [T],
    pairs: &[[u32; 2]],
    steepness: &Steepness<T, B>,
    distribution: Distribution,
) -> ([T; B], [T; B]) {
    let (mut low, mut high) = gather::<T, B, W>(x, pairs, (1, 0));
    let (mut weights, mut distances) = ([T::default(); B], [T::default(); B]);
    for i in 0..B {
        let (p, q) = (low[i], high[i]);
        let swapped = q < p;
        let (a, b) = (pick(swapped, q, p), pick(swapped, p, q));
        let mut d = b - a;
        if !TAME {
            d = pick(d > T::of(T::MAX), T::of(T::MAX), d);
            // Two equal infinities are a tie; that of finite scores keeps the slope of a dual number.
            d = pick(d >= T::default(), d, T::default());
        }
        let v = reach(distribution, d, steepness.value[i]);
        let w = tail(distribution, v);
        (low[i], high[i]) = (w.fma(d, a), w.fma(-d, b));
        if !TAME {
            let far = v > T::of(T::FAR);
            low[i] = pick(far, a + steepness.limit[i], low[i]);
            high[i] = pick(far, b - steepness.limit[i], high[i]);
        }
        weights[i] = pick(swapped, -w, w);
        distances[i] = d;
    }
    scatter::<T, B, W>(x, pairs, (1, 0), (&low, &high));
    (weights, distances)
}

/// The rows of `size` numbers on a comparator's two wires.
#[inline(always)]
fn rows<T>(matrix: &mut [T], pair: [u32; 2], size: usize) -> (&mut [T], &mut [T]) {
    let [low, high] = pair.map(|wire| wire as usize * size);
    let (front, back) = matrix.split_at_mut(high);
    (&mut front[low..low + size], &mut back[..size])
}

/// The sign of a weight, and the weight.
#[inline(always)]
fn signed<T: Lane>(weight: T) -> (bool, T) {
    let swapped = weight.negative();
    (swapped, pick(swapped, -weight, weight))
}

/// A and B mixed, and B - A.
#[inline(always)]
fn mixed<T: Lane>(swapped: bool, w: T, p: T, q: T) -> (T, T, T) {
    let (a, b) = (pick(swapped, q, p), pick(swapped, p, q));
    let difference = b - a;
    (w.fma(difference, a), w.fma(-difference, b), difference)
}

/// Mixes the rows of a block of comparators; keeps B - A if `KEEP`.
#[inline(always)]
pub fn mix<T: Lane, const B: usize, const W: usize, const KEEP: bool>(
    v: &mut [T],
    pairs: &[[u32; 2]],
    weights: &[T; B],
    columns: usize,
    differences: &mut [T],
) {
    if W == 1 && columns >= ROWS {
        for k in 0..B {
            let (low, high) = rows(v, pairs[k], columns);
            let (swapped, w) = signed(weights[k]);
            for j in 0..columns {
                let difference;
                (low[j], high[j], difference) = mixed(swapped, w, low[j], high[j]);
                if KEEP {
                    differences[k * columns + j] = difference;
                }
            }
        }
        return;
    }
    for j in 0..columns {
        let place = (columns, j);
        let (mut low, mut high) = gather::<T, B, W>(v, pairs, place);
        let mut kept = [T::default(); B];
        for i in 0..B {
            let (swapped, w) = signed(weights[i]);
            (low[i], high[i], kept[i]) = mixed(swapped, w, low[i], high[i]);
        }
        scatter::<T, B, W>(v, pairs, place, (&low, &high));
        if KEEP {
            *first_mut(&mut differences[j * B..]) = kept;
        }
    }
}

/// The numbers before the comparator, and D.
#[inline(always)]
fn unmixed<T: Lane>(swapped: bool, w: T, p: T, q: T) -> (T, T, T) {
    let difference = p - q;
    let (a, b) = (w.fma(-difference, p), w.fma(difference, q));
    (pick(swapped, b, a), pick(swapped, a, b), difference)
}

/// Mixes the rows of a block the other way; returns <D, B - A> of each lane if `SUM`.
#[inline(always)]
pub fn unmix<T: Lane, const B: usize, const W: usize, const SUM: bool>(
    u: &mut [T],
    pairs: &[[u32; 2]],
    weights: &[T; B],
    columns: usize,
    differences: &[T],
) -> [T; B] {
    let weights = *weights;
    let mut sums = [T::default(); B];
    if W == 1 && columns >= ROWS {
        for k in 0..B {
            let (low, high) = rows(u, pairs[k], columns);
            let (swapped, w) = signed(weights[k]);
            for j in 0..columns {
                let difference;
                (low[j], high[j], difference) = unmixed(swapped, w, low[j], high[j]);
                if SUM {
                    sums[k] = difference.fma(differences[k * columns + j], sums[k]);
                }
            }
        }
        return sums;
    }
    for j in 0..columns {
        let place = (columns, j);
        let (mut low, mut high) = gather::<T, B, W>(u, pairs, place);
        let mut found = [T::default(); B];
        for i in 0..B {
            let (swapped, w) = signed(weights[i]);
            (low[i], high[i], found[i]) = unmixed(swapped, w, low[i], high[i]);
        }
        scatter::<T, B, W>(u, pairs, place, (&low, &high));
        if SUM {
            let kept = *first::<T, B>(&differences[j * B..]);
            for i in 0..B {
                sums[i] = found[i].fma(kept[i], sums[i]);
            }
        }
    }
    sums
}

/// Takes the gradient to the scores back through a block of comparators, from its weights, distances and sums.
#[inline(always)]
pub fn descend<T: Lane, const B: usize, const W: usize, const TAME: bool>(
    to_x: &mut [T],
    pairs: &[[u32; 2]],
    (weights, distances, sums): (&[T; B], &[T; B], &[T; B]),
    steepness: &Steepness<T, B>,
    distribution: Distribution,
    to_steepness: &mut [T; B],
) {
    let (mut low, mut high) = gather::<T, B, W>(to_x, pairs, (1, 0));
    // Copies, so that nothing written can be thought to change what is read.
    let (weights, distances, sums, mut total) = (*weights, *distances, *sums, *to_steepness);
    for i in 0..B {
        let (swapped, w) = signed(weights[i]);
        let found = slopes::<T, TAME>(distribution, distances[i], w, steepness.value[i]);
        let difference = low[i] - high[i];
        let mut h = difference.fma(found.shift, sums[i] * found.weight);
        let mut s = found.by_steepness * difference.fma(distances[i], sums[i]);
        if !TAME {
            h = pick(found.far, T::default(), h);
            s = pick(found.far, -steepness.limit[i] * difference, s);
        }
        let (a, b) = (low[i] - h, high[i] + h);
        low[i] = pick(swapped, b, a);
        high[i] = pick(swapped, a, b);
        total[i] = total[i] + s;
    }
    *to_steepness = total;
    scatter::<T, B, W>(to_x, pairs, (1, 0), (&low, &high));
}

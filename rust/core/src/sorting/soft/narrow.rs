//! Least-squares ranks of a list that is one block, found without sorting it.
//!
//! With s = u / strength and R its range, m falling s form one block when no prefix of s less its mean sums to more than
//! one of rho less its mean: k (m - k) / 2. The largest k of s sum to at most k a above their mean, with a = max - mean,
//! and at most (m - k) b, with b = mean - min, as the rest sums to the opposite. So a <= (m - k) / 2 or b <= k / 2 is
//! enough; each k has one of them if 2 a + 2 b = 2 R <= m.

use crate::simd::dispatch;
use crate::sorting::order::Key;

/// Partial sums, in a fixed order on every processor.
const LANES: usize = 16;

/// What one pass over a list finds.
#[derive(Debug, Clone, Copy)]
struct Shape {
    count: f64,
    low: f64,
    high: f64,
    /// Sum of the differences to the first item that counts; NaN with a NaN or an infinity in the list.
    sum: f64,
}

/// Ranks a list if its range shows it to be one block; else returns false. `block` comes as zeros.
pub fn rank<T: Key>(
    x: &[T],
    mask: Option<&[bool]>,
    sign: f64,
    strength: f64,
    fill: f64,
    rank: &mut [T],
    block: &mut [i32],
) -> bool {
    let Some(first) = mask.map_or(Some(0), |mask| mask.iter().position(|&counts| counts)) else { return false };
    let Some(origin) = x.get(first).map(|x| x.wide()) else { return false };
    // Most lists that are not of one block show it in their first items.
    let shape = measure(&x[..x.len().min(64)], mask.map(|mask| &mask[..x.len().min(64)]), origin);
    if 2.0 * (shape.high - shape.low) > strength * x.len() as f64 {
        return false;
    }
    let Shape { count, low, high, sum } = measure(x, mask, origin);
    if !(2.0 * (high - low) <= strength * count && sum.is_finite() && strength > 0.0) {
        return false;
    }
    let scale = sign * strength.recip().min(f64::MAX);
    line(x, origin + sum / count, scale, 0.5 * (count + 1.0), rank);
    for (i, _) in mask.unwrap_or_default().iter().enumerate().filter(|&(_, &counts)| !counts) {
        (rank[i], block[i]) = (T::of(fill), -1);
    }
    true
}

/// The gradient less its mean, times `scale`.
pub fn center<T: Key>(grad: &[T], scale: f64, out: &mut [T]) {
    if let Some(first) = grad.first() {
        let origin = first.wide();
        let mean = origin + measure(grad, None, origin).sum / grad.len() as f64;
        line(grad, mean, scale, 0.0, out);
    }
}

dispatch! {
    fn measure<T: Key>(x: &[T], mask: Option<&[bool]>, origin: f64) -> Shape = measure_lanes
}

dispatch! {
    /// out = scale (x - center) + level
    fn line<T: Key>(x: &[T], center: f64, scale: f64, level: f64, out: &mut [T]) = line_each
}

#[inline(always)]
fn line_each<T: Key>(x: &[T], center: f64, scale: f64, level: f64, out: &mut [T]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = T::of((x.wide() - center) * scale + level);
    }
}

#[inline(always)]
fn measure_lanes<T: Key>(x: &[T], mask: Option<&[bool]>, origin: f64) -> Shape {
    let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let (mut sum, mut count) = ([0.0; LANES], [0.0; LANES]);
    let mut add = |lane: usize, x: f64, counts: bool| {
        low[lane] = if counts && x < low[lane] { x } else { low[lane] };
        high[lane] = if counts && x > high[lane] { x } else { high[lane] };
        sum[lane] += if counts { x - origin } else { 0.0 };
        count[lane] += f64::from(u8::from(counts));
    };
    match mask {
        None => {
            let chunks = x.chunks_exact(LANES);
            let rest = chunks.remainder();
            for chunk in chunks {
                for lane in 0..LANES {
                    add(lane, chunk[lane].wide(), true);
                }
            }
            rest.iter().enumerate().for_each(|(lane, x)| add(lane, x.wide(), true));
        }
        Some(mask) => {
            let lanes = x.iter().zip(mask).enumerate();
            lanes.for_each(|(i, (x, &counts))| add(i % LANES, x.wide(), counts));
        }
    }
    Shape {
        count: count.iter().sum(),
        low: low.into_iter().fold(f64::INFINITY, f64::min),
        high: high.into_iter().fold(f64::NEG_INFINITY, f64::max),
        sum: sum.iter().sum(),
    }
}

//! Permutahedron projections under a p-norm: blocks by splitting.
//!
//! The dual value gamma of a block solves SUM psi(`s_i` - gamma) = SUM `w_i`, with psi(t) = sign(t) |t|^(q - 1) and
//! q = p / (p - 1). It has no running sums, so blocks are found from above:
//!
//! ```text
//! split(block):
//!     solve for gamma;  y_i = psi(s_i - gamma)
//!     if some prefix of y sums to more than that of w:  split where it does most;  recurse into both parts
//! ```
//!
//! A prefix that is too large at gamma has an own optimal value above gamma, the rest one below, so no block of the
//! solution reaches over the place.

/// |t|^`power`, by multiplications for the powers of the usual norms.
#[inline(always)]
#[must_use]
pub fn power(t: f64, power: f64) -> f64 {
    let t = t.abs();
    match power {
        1.0 => t,
        2.0 => t * t,
        3.0 => t * t * t,
        _ => t.powf(power),
    }
}

/// psi(t) for q - 1 = `degree`.
#[inline(always)]
#[must_use]
pub fn psi(t: f64, degree: f64) -> f64 {
    power(t, degree).copysign(t)
}

/// The gamma at which the psi(s - gamma) of falling s sum to `total`, by Newton steps inside a bracket.
#[must_use]
pub fn root(s: &[f64], total: f64, degree: f64) -> f64 {
    let Some((&first, &last)) = s.first().zip(s.last()) else { return 0.0 };
    let shift = psi(total / s.len() as f64, degree.recip());
    let (mut low, mut high) = (last - shift, first - shift);
    let tiny = f64::EPSILON * first.abs().max(last.abs()).max(shift.abs());
    let mut gamma = low + 0.5 * (high - low);
    for _ in 0..200 {
        let (mut sum, mut slope) = (0.0, 0.0);
        for &s in s {
            let t = s - gamma;
            let weight = power(t, degree - 1.0);
            sum += weight * t;
            slope += weight;
        }
        let excess = sum - total;
        if excess > 0.0 {
            low = gamma;
        } else {
            high = gamma;
        }
        let step = gamma + excess / (degree * slope);
        // A step out of the bracket (or to nowhere, from a slope of zero) is replaced by bisection.
        let next = if step > low && step < high { step } else { low + 0.5 * (high - low) };
        if excess == 0.0 || (next - gamma).abs() <= tiny {
            return if excess == 0.0 { gamma } else { next };
        }
        gamma = next;
    }
    gamma
}

/// Ends of the blocks of the projection of falling `s` to the permutahedron of falling `w`, for q - 1 = `degree`. Takes
/// from s what keeps it small: numbers that are constant in each block.
pub fn blocks(s: &mut [f64], w: &[f64], degree: f64, open: &mut Vec<(usize, usize)>, ends: &mut Vec<u32>) {
    ends.clear();
    let Some((&most, &least)) = w.first().zip(w.last()) else { return };
    // Inside a block all of y lies between the ends of w, so neighbours further apart than this never share one. That
    // keeps every power finite, and hard orders cheap.
    let widest = (psi(most, degree.recip()) - psi(least, degree.recip())) * (1.0 + 1e-12);
    let mut start = 0;
    for end in 1..=s.len() {
        if end < s.len() && s[end - 1] - s[end] <= widest {
            continue;
        }
        let origin = s[start];
        s[start..end].iter_mut().for_each(|s| *s -= origin);
        open.push((start, end));
        start = end;
        while let Some((from, to)) = open.pop() {
            match split(&s[from..to], &w[from..to], degree) {
                Some(cut) => open.extend([(from + cut, to), (from, from + cut)]),
                None => ends.push(to as u32),
            }
        }
    }
}

/// Where a block falls apart.
fn split(s: &[f64], w: &[f64], degree: f64) -> Option<usize> {
    if s.len() == 1 {
        return None;
    }
    let gamma = root(s, w.iter().sum(), degree);
    let (mut running, mut most, mut cut, mut size) = (0.0, 0.0, 0, 0.0);
    for i in 0..s.len() - 1 {
        let y = psi(s[i] - gamma, degree);
        running += y - w[i];
        size += y.abs() + w[i].abs();
        if running > most {
            (most, cut) = (running, i + 1);
        }
    }
    (most > 1e-13 * size).then_some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_items_pool_where_their_gap_is_small() {
        // Apart: y = w, which needs s_1 - s_2 >= psi^-1(2) - psi^-1(1).
        let edge = 2f64.cbrt() - 1.0;
        for (gap, count) in [(edge * 0.99, 1), (edge * 1.01, 2), (1e38, 2)] {
            let mut ends = Vec::new();
            blocks(&mut [gap, 0.0], &[2.0, 1.0], 3.0, &mut Vec::new(), &mut ends);
            assert_eq!(ends.len(), count, "{gap}");
        }
    }

    #[test]
    fn roots_solve_their_equation() {
        for degree in [1.0, 2.0, 3.0, 2.5, 10.0] {
            for total in [-7.0, 0.0, 1e-3, 1e6] {
                let s = [5.0, 2.0, 1.9, -4.0];
                let gamma = root(&s, total, degree);
                let terms = s.map(|s| psi(s - gamma, degree));
                let (sum, size) = (terms.iter().sum::<f64>(), terms.iter().map(|y| y.abs()).sum::<f64>());
                assert!((sum - total).abs() <= 1e-13 * size, "{degree} {total}: {sum}");
            }
        }
    }
}

//! The probabilities of a row, on its support.
//!
//! ```text
//! with b = alpha - 1, u_i = z_i - max z <= 0 and E(u) = (1 + b u)_+^(1/b), the inverse of L(p) = (p^b - 1) / b:
//! p_i = E(u_i - theta),  theta >= 0 such that they sum to 1
//!
//! a sum over some of the tokens is too small, so their theta is a lower bound: that of the maxima of blocks     theta_0
//! candidates: the tokens with 1 + b (u_i - theta_0) > 0, found through the maxima                        one read of the row
//! b <= 1: Newton's iteration in theta on L(SUM p), which is convex (the logarithm of a norm): from below, without a safeguard.
//!         Equal tokens, and b -> 0, where it is the logarithm of a sum of exponentials, take one step
//! b > 1:  E has infinite slope at the end of its support, so the support comes first: the longest prefix of the sorted tokens
//!         with SUM r_i < 1, r_i = E with the last token at its end.   Then p_i = (r_i^b + t^b)^(1/b), a norm of (r_i, t), and
//!         the sum is convex in t, the last token's probability: Newton's iteration from t = 1/k, above
//! ```

use crate::decoding::logit::Logit;
use crate::decoding::row::Row;
use crate::elementary::{exp_f64, ln_f64};
use crate::lent::{Keep, Store};
use crate::simd::dispatch;
use std::cell::RefCell;
use std::thread::LocalKey;

/// Sums of probabilities are 1 within so much before they are divided by their sum.
const CLOSE: f64 = 2e-14;
/// Sums from which a step of Newton's iteration leads to within rounding of 1, and to a bound that is good enough.
const NEAR: f64 = 1e-8;
const ROUGH: f64 = 1e-3;
/// Steps that no iteration has needed.
const STEPS: usize = 100;
/// So many tokens are thinned out first.
const MANY: usize = 4096;
const LANES: usize = 8;
const PIECE: usize = 256;

/// The tokens of positive probability; no token means that it is not known.
#[derive(Debug, Clone, Default)]
pub struct Support {
    /// Their places.
    pub indices: Vec<u32>,
    /// Their probabilities.
    pub p: Vec<f64>,
    /// The largest number of the row.
    pub top: f64,
}

/// Working memory of a thread.
#[derive(Debug, Default)]
pub struct Work {
    falls: Vec<f64>,
    order: Vec<(f64, u32)>,
    /// The solution.
    pub found: Support,
}

thread_local! {
    static STORE: RefCell<Store<Work>> = const { RefCell::new(Store::new()) };
}

impl Keep for Work {
    const MOST: usize = 16 << 20;
    fn store() -> &'static LocalKey<RefCell<Store<Self>>> {
        &STORE
    }
    fn bytes(&self) -> usize {
        (self.falls.capacity() + self.found.p.capacity()) * size_of::<f64>()
            + self.found.indices.capacity() * size_of::<u32>()
            + self.order.capacity() * size_of::<(f64, u32)>()
    }
    fn forget(&mut self) {}
}

/// Theta of the maxima of blocks, not above that of the row; 0 for b = 0.
fn bound<T: Logit>(row: &Row<'_, T>, b: f64, work: &mut Work) -> f64 {
    let Work { falls, order, found } = work;
    let heads = row.maxima().map(|x| x - found.top).filter(|&fall| fall > -b.recip());
    let theta = if b > 1.0 {
        order.clear();
        order.extend(heads.map(|fall| (fall, 0)));
        sorted(order, b, &mut found.p)
    } else if b > 0.0 {
        falls.clear();
        falls.extend(heads);
        newton(falls, 0.0, b, ROUGH)
    } else {
        0.0
    };
    theta - 1e-12 * (1.0 + theta)
}

/// The entmax of a row, for alpha >= 1, as `work.found`.
pub fn support<T: Logit>(row: &mut Row<'_, T>, alpha: f64, work: &mut Work) {
    let (b, top) = (alpha - 1.0, row.statistics.maximum);
    let window = b.recip();
    work.found.top = top;
    let theta = bound(row, b, work);
    let Work { falls, order, found } = &mut *work;
    // A little less, because the sum is rounded: those too many get the probability 0.
    let least = top + (theta - window) - 1e-15 * (top.abs() + window + theta);
    falls.clear();
    found.indices.clear();
    let reached = row.reach(below::<T>(least));
    falls.extend(reached.iter().map(|&packed| T::value(T::unpack(packed).0).wide() - top));
    found.indices.extend(reached.iter().map(|&packed| T::unpack(packed).1));
    if b > 1.0 {
        order.clear();
        order.extend(falls.iter().copied().zip(found.indices.iter().copied()));
        sorted(order, b, &mut found.p);
        found.indices.clear();
        found.indices.extend(order.iter().map(|&(_, index)| index));
        divide(found);
        return;
    }
    let theta = thinned(falls, &mut found.indices, theta, b);
    let theta = newton(falls, theta, b, NEAR);
    found.p.clear();
    found.p.resize(falls.len(), 0.0);
    fill(falls, theta, b, &mut found.p);
    divide(found);
}

/// Many tokens take a step of Newton's iteration, which leaves fewer for the others; theta after it.
fn thinned(falls: &mut Vec<f64>, indices: &mut Vec<u32>, theta: f64, b: f64) -> f64 {
    if falls.len() < MANY || b == 0.0 {
        return theta;
    }
    let theta = theta + step(falls, theta, b).1.max(0.0);
    let least = theta - b.recip() - 1e-12 * (1.0 + theta + b.recip());
    let mut kept = 0;
    for i in 0..falls.len() {
        (falls[kept], indices[kept]) = (falls[i], indices[i]);
        kept += usize::from(falls[i] > least);
    }
    falls.truncate(kept);
    indices.truncate(kept);
    theta
}

/// A number of the type below `x`.
fn below<T: Logit>(x: f64) -> T {
    let near = T::of(x);
    if near > -T::LARGEST { T::value(T::before(near.key())) } else { -T::LARGEST }
}

/// Divides by the sum; tokens of probability 0 go.
fn divide(found: &mut Support) {
    let [total, _] = sum(&found.p);
    let mut dead = 0;
    for p in &mut found.p {
        *p /= total;
        dead += usize::from(*p <= 0.0);
    }
    if dead == 0 {
        return;
    }
    let mut kept = 0;
    for i in 0..found.p.len() {
        (found.p[kept], found.indices[kept]) = (found.p[i], found.indices[i]);
        kept += usize::from(found.p[i] > 0.0);
    }
    found.p.truncate(kept);
    found.indices.truncate(kept);
}

/// Theta, from one that is too small. A last step is taken from where the sum is `close` to 1: it squares the error.
fn newton(falls: &[f64], mut theta: f64, b: f64, close: f64) -> f64 {
    for _ in 0..STEPS {
        let (sum, change) = step(falls, theta, b);
        theta += change.max(0.0);
        if sum - 1.0 <= close {
            break;
        }
    }
    theta
}

/// The sum, and by how much Newton's iteration changes theta.
fn step(falls: &[f64], theta: f64, b: f64) -> (f64, f64) {
    let [sum, slope] = totals(falls, theta, b);
    (sum, deformed_ln(sum, b) * exp_f64((1.0 - b) * ln_f64(sum)) / slope)
}

/// `L(p) = (p^b - 1) / b`, the logarithm for b = 0.
pub fn deformed_ln(p: f64, b: f64) -> f64 {
    let l = ln_f64(p);
    l * moment(0, b * l)
}

/// The integral of `t^n e^(w t)` over t from 0 to 1: the derivative n of `(e^w - 1) / w`.
pub fn moment(n: usize, w: f64) -> f64 {
    if w.abs() < 1.0 {
        let (mut term, mut sum) = (1.0, ((n + 1) as f64).recip());
        for k in 1..19 {
            term *= w / k as f64;
            sum += term / (k + n + 1) as f64;
        }
        return sum;
    }
    let e = exp_f64(w);
    (1..=n).fold((e - 1.0) / w, |before, m| (e - m as f64 * before) / w)
}

/// E and E^(1-b), which is its slope.
trait Curve: Copy {
    fn at(self, u: f64) -> (f64, f64);
}

/// The number itself.
#[derive(Clone, Copy)]
struct Identity;

/// b = 0
#[derive(Clone, Copy)]
struct Exponential;

/// b = 1/2
#[derive(Clone, Copy)]
struct Square;

/// b = 1
#[derive(Clone, Copy)]
struct Linear;

/// b and 1/b
#[derive(Clone, Copy)]
struct Power(f64, f64);

impl Curve for Identity {
    #[inline(always)]
    fn at(self, u: f64) -> (f64, f64) {
        (u, 0.0)
    }
}

impl Curve for Exponential {
    #[inline(always)]
    fn at(self, u: f64) -> (f64, f64) {
        let y = exp_f64(u);
        (y, y)
    }
}

impl Curve for Square {
    #[inline(always)]
    fn at(self, u: f64) -> (f64, f64) {
        let y = u.mul_add(0.5, 1.0);
        let y = if y > 0.0 { y } else { 0.0 };
        (y * y, y)
    }
}

impl Curve for Linear {
    #[inline(always)]
    fn at(self, u: f64) -> (f64, f64) {
        let y = 1.0 + u;
        if y > 0.0 { (y, 1.0) } else { (0.0, 0.0) }
    }
}

impl Curve for Power {
    #[inline(always)]
    fn at(self, u: f64) -> (f64, f64) {
        let x = self.0 * u;
        let y = 1.0 + x;
        let live = y > f64::MIN_POSITIVE;
        let y = if live { y } else { 1.0 };
        let l = ln_f64(y) + (x - (y - 1.0)) / y; // log(1 + x): the second term is what y's rounding took
        let p = if live { exp_f64(l * self.1) } else { 0.0 };
        (p, p / y)
    }
}

/// The sums of pieces are added with a correction: in one sum a thousand equal terms would all be rounded the same way.
#[inline(always)]
fn accumulate<C: Curve>(falls: &[f64], theta: f64, curve: C) -> [f64; 2] {
    let (mut total, mut lost) = ([0.0; 2], [0.0; 2]);
    for piece in falls.chunks(PIECE) {
        let sums = accumulate_piece(piece, theta, curve);
        for i in 0..2 {
            let term = sums[i] - lost[i];
            let next = total[i] + term;
            lost[i] = (next - total[i]) - term;
            total[i] = next;
        }
    }
    total
}

#[inline(always)]
fn accumulate_piece<C: Curve>(falls: &[f64], theta: f64, curve: C) -> [f64; 2] {
    let mut sums = [[0.0; LANES]; 2];
    let mut chunks = falls.chunks_exact(LANES);
    for chunk in &mut chunks {
        for l in 0..LANES {
            let (p, slope) = curve.at(chunk[l] - theta);
            sums[0][l] += p;
            sums[1][l] += slope;
        }
    }
    for (l, &fall) in chunks.remainder().iter().enumerate() {
        let (p, slope) = curve.at(fall - theta);
        sums[0][l] += p;
        sums[1][l] += slope;
    }
    sums.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
}

#[inline(always)]
fn totals_lanes(falls: &[f64], theta: f64, b: f64) -> [f64; 2] {
    if b == 1.0 {
        accumulate(falls, theta, Linear)
    } else if b == 0.5 {
        accumulate(falls, theta, Square)
    } else if b == 0.0 {
        accumulate(falls, theta, Exponential)
    } else {
        accumulate(falls, theta, Power(b, b.recip()))
    }
}

#[inline(always)]
fn sum_lanes(values: &[f64]) -> [f64; 2] {
    accumulate(values, 0.0, Identity)
}

dispatch! {
    /// SUM of the numbers, and 0.
    fn sum(values: &[f64]) -> [f64; 2] = sum_lanes
}

dispatch! {
    /// SUM E and SUM E^(1-b).
    fn totals(falls: &[f64], theta: f64, b: f64) -> [f64; 2] = totals_lanes
}

#[inline(always)]
fn apply<C: Curve>(falls: &[f64], theta: f64, curve: C, out: &mut [f64]) {
    for (&fall, p) in falls.iter().zip(out) {
        *p = curve.at(fall - theta).0;
    }
}

#[inline(always)]
fn fill_lanes(falls: &[f64], theta: f64, b: f64, out: &mut [f64]) {
    if b == 1.0 {
        apply(falls, theta, Linear, out);
    } else if b == 0.5 {
        apply(falls, theta, Square, out);
    } else if b == 0.0 {
        apply(falls, theta, Exponential, out);
    } else {
        apply(falls, theta, Power(b, b.recip()), out);
    }
}

dispatch! {
    /// E of each.
    fn fill(falls: &[f64], theta: f64, b: f64, out: &mut [f64]) = fill_lanes
}

/// The solution for b > 1: keeps the support, sorted, and returns theta.
fn sorted(order: &mut Vec<(f64, u32)>, b: f64, p: &mut Vec<f64>) -> f64 {
    order.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    let lift = |fall: f64, last: f64| if fall > last { exp_f64(ln_f64(b * (fall - last)) / b) } else { 0.0 };
    let fits = |k: usize| order[..k].iter().map(|&(fall, _)| lift(fall, order[k - 1].0)).sum::<f64>() < 1.0;
    let (mut k, mut beyond) = (1, order.len() + 1);
    while beyond - k > 1 {
        let middle = k + (beyond - k) / 2;
        if fits(middle) {
            k = middle;
        } else {
            beyond = middle;
        }
    }
    order.truncate(k);
    let last = order[k - 1].0;
    let mut t = (k as f64).recip();
    for _ in 0..STEPS {
        let (mut total, mut slope) = (0.0, 0.0);
        p.clear();
        for &(fall, _) in &*order {
            let next = norm(lift(fall, last), t, b);
            total += next;
            slope += if next > t { exp_f64((b - 1.0) * ln_f64(t / next)) } else { 1.0 };
            p.push(next);
        }
        let next = t - (total - 1.0) / slope;
        if total - 1.0 <= CLOSE || next >= t || next <= 0.0 {
            break;
        }
        t = next;
    }
    last - deformed_ln(t, b) // 1 + b (last - theta) = t^b
}

/// `(r^b + t^b)^(1/b)` for b > 1 and t > 0.
fn norm(r: f64, t: f64, b: f64) -> f64 {
    let (high, low) = if r > t { (r, t) } else { (t, r) };
    if low == 0.0 {
        return high;
    }
    let ratio = exp_f64(b * ln_f64(low / high));
    high * exp_f64(libm::log1p(ratio) / b)
}

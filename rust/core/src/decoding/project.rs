//! The sparse distribution of a row, and its derivatives.
//!
//! ```text
//! on a fixed support, with upstream g on the tokens that are kept, and dq_i = c_i dp_i + w_i dm:
//! primal   w_i = q_i^(2-a)                                  c_i = (p_i / q_i)^(a-2)
//! dual     w_i = q_i^(3-a) / ((a-1) q_i - (a-2) p_i)        c_i = q_i / ((a-1) q_i - (a-2) p_i)
//! SUM dq = 0:   gbar = SUM w g / SUM w,   u = c (g - gbar),   kappa = SUM p u
//! dL/dl_j = p_j (u_j - kappa) / T on the support, - p_j kappa / T elsewhere
//! ```
//!
//! The second derivative is the first one, run on dual numbers: p and q move along the tangent.

use crate::decoding::adaptive::{Kept, Request};
use crate::decoding::at;
use crate::decoding::logit::{Decay, Logit};
use crate::decoding::renormalize::Rule;
use crate::decoding::row::Memory;
use crate::dual::{Dual, Number};
use crate::elementary::exp_f64;
use crate::error::Result;
use crate::job::Job;
use crate::lent::Lent;
use crate::simd::dispatch;

/// A kept token and what it gets; -1 and 0 where a row keeps fewer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The token.
    pub index: i64,
    /// Its value.
    pub q: f64,
}

impl Default for Place {
    fn default() -> Self {
        Self { index: -1, q: 0.0 }
    }
}

/// What is known of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Found {
    /// How many tokens it keeps.
    pub size: i64,
    /// Its largest logit.
    pub maximum: f64,
    /// The normaliser of its softmax; 0 where it was not needed.
    pub z0: f64,
}

/// Fills in the tokens that each row of `v` logits keeps, `width` places each.
///
/// # Errors
/// When a row or what it is asked for is refused, or the job was stopped.
pub fn project<T: Logit>(
    x: &[T],
    v: usize,
    request: &Request<'_>,
    (places, width): (&mut [Place], usize),
    found: &mut [Found],
    job: &Job,
) -> Result<()> {
    super::each(x, v, (places, width), (found, 1), job, |number, row, places, found| {
        let kept = Kept::of(row, number, request, &mut Lent::<Memory<T>>::new())?;
        for ((place, token), &q) in places.iter_mut().zip(&kept.tokens).zip(&kept.q) {
            *place = Place { index: token.index.into(), q };
        }
        found[0] = Found { size: kept.q.len() as i64, maximum: kept.statistics.maximum, z0: kept.statistics.z0 };
        Ok(())
    })
}

/// What the derivatives start from.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a, T> {
    /// The logits, `v` in a row.
    pub x: &'a [T],
    /// Logits in a row.
    pub v: usize,
    /// The rule that was followed.
    pub rule: Rule,
    /// The temperature of each row, or one for all.
    pub temperatures: &'a [f64],
    /// The tokens that were kept, `width` places in a row.
    pub indices: &'a [i64],
    /// Their values.
    pub q: &'a [f64],
    /// Places in a row.
    pub width: usize,
    /// What was found, one for each row: the largest logit and the normaliser.
    pub found: &'a [[f64; 2]],
    /// The upstream gradient, of the shape of `indices`.
    pub g: &'a [T],
}

/// One row of a [`Point`].
struct Support<'a, T> {
    row: &'a [T],
    rule: Rule,
    temperature: f64,
    indices: &'a [i64],
    q: &'a [f64],
    g: Vec<f64>,
    maximum: f64,
    /// The normaliser that the rule's p has.
    z: f64,
}

impl<T: Logit> Point<'_, T> {
    fn support(&self, number: usize) -> Support<'_, T> {
        let places = number * self.width..(number + 1) * self.width;
        let indices = &self.indices[places.clone()];
        let size = indices.iter().take_while(|&&index| index >= 0).count();
        let (q, g) = (&self.q[places.clone()][..size], &self.g[places][..size]);
        let [maximum, z] = self.found[number];
        Support {
            row: &self.x[number * self.v..(number + 1) * self.v],
            rule: self.rule,
            temperature: at(self.temperatures, number),
            indices: &indices[..size],
            q,
            g: g.iter().map(|g| g.wide()).collect(),
            maximum,
            z,
        }
    }
}

impl<T: Logit> Support<'_, T> {
    /// Whether nothing moves: a single token has 1.
    fn is_constant(&self) -> bool {
        self.q.len() < 2
    }

    /// The probabilities of the tokens that are kept; where only their ratios count, their shares.
    fn probabilities(&self) -> Vec<f64> {
        if self.rule.is_proportional() {
            return self.q.to_vec();
        }
        let fall = |&index: &i64| (self.row[index as usize].wide() - self.maximum) / self.temperature;
        self.indices.iter().map(|index| exp_f64(fall(index)) / self.z).collect()
    }
}

/// Fills `dx` with the gradient to the logits.
///
/// # Errors
/// When the job was stopped.
pub fn vjp<T: Logit>(point: &Point<'_, T>, dx: &mut [T], job: &Job) -> Result<()> {
    let mut nothing = vec![(); point.found.len()];
    super::each(point.x, point.v, (dx, point.v), (&mut nothing, 1), job, |number, _, dx, _| {
        let support = point.support(number);
        if support.is_constant() {
            return Ok(());
        }
        let p = support.probabilities();
        let (u, kappa) = pull(support.rule, &p, support.q, &support.g);
        let t = support.temperature;
        if kappa != 0.0 {
            spread(support.row, &Decay::new(T::of(support.maximum), t), -kappa / (t * support.z), dx);
        }
        for ((&index, p), u) in support.indices.iter().zip(p).zip(u) {
            dx[index as usize] = T::of(p * (u - kappa) / t);
        }
        Ok(())
    })
}

/// Fills `dx` and `dg` with the gradients of `<tangent, vjp>` to the logits and to the upstream gradient.
///
/// # Errors
/// When the job was stopped.
pub fn second<T: Logit>(point: &Point<'_, T>, tangent: &[T], dx: &mut [T], dg: &mut [T], job: &Job) -> Result<()> {
    super::each(point.x, point.v, (dx, point.v), (dg, point.width), job, |number, row, dx, dg| {
        let support = point.support(number);
        if support.is_constant() {
            return Ok(());
        }
        let (rule, t) = (support.rule, support.temperature);
        let tangent = &tangent[number * point.v..(number + 1) * point.v];
        let along: Vec<f64> = support.indices.iter().map(|&index| tangent[index as usize].wide()).collect();
        let (p, decay) = (support.probabilities(), Decay::new(T::of(support.maximum), t));
        let mean = if rule.is_proportional() {
            p.iter().zip(&along).map(|(p, t)| p * t).sum()
        } else {
            average(row, tangent, &decay) / support.z
        };
        let p: Vec<Dual> = p.iter().zip(&along).map(|(&p, along)| Dual::new(p, p * (along - mean) / t)).collect();
        let moved = push(rule, &p, support.q);
        for (dg, moved) in dg.iter_mut().zip(&moved) {
            *dg = T::of(*moved);
        }
        let q = Dual::zip(support.q, &moved);
        let g = Dual::zip(&support.g, &vec![0.0; support.g.len()]);
        let (u, kappa) = pull(rule, &p, &q, &g);
        if !rule.is_proportional() {
            // Elsewhere the gradient is -p_j kappa / T, and p_j moves by p_j (t_j - mean) / T.
            let scale = -1.0 / (t * support.z);
            let (by_tangent, constant) = (kappa.value / t, kappa.slope - kappa.value * mean / t);
            spread_along(row, tangent, &decay, [scale * by_tangent, scale * constant], dx);
        }
        for ((&index, p), u) in support.indices.iter().zip(p).zip(u) {
            dx[index as usize] = T::of((p * (u - kappa)).slope / t);
        }
        Ok(())
    })
}

/// Weights w relative to the largest, c, and the place of the largest weight; see the module.
fn weights<N: Number>(rule: Rule, p: &[N], q: &[N]) -> (Vec<N>, Vec<N>, usize) {
    let a = rule.alpha;
    let anchor = if a > 2.0 { q.len() - 1 } else { 0 };
    let (mut w, mut c) = (Vec::with_capacity(q.len()), Vec::with_capacity(q.len()));
    for (&p, &q_i) in p.iter().zip(q) {
        if rule.is_proportional() || a == 2.0 {
            w.push(if a == 2.0 { N::of(1.0) } else { q_i });
            c.push(N::of(1.0));
        } else if a.is_infinite() {
            // Only those at the level share what moves.
            let level = (q_i.value() / q[anchor].value() - 1.0).abs() < 1e-12;
            w.push(N::of(f64::from(u8::from(level))));
            c.push(N::of(f64::from(u8::from(!level))));
        } else {
            let ratio = q_i.ln() - N::of(libm::log(q[anchor].value()));
            if rule.dual {
                let slope = q_i * N::of(a - 1.0) - p * N::of(a - 2.0);
                w.push((ratio * N::of(3.0 - a)).exp() / slope);
                c.push(q_i / slope);
            } else {
                w.push((ratio * N::of(2.0 - a)).exp());
                c.push(((q_i.ln() - p.ln()) * N::of(2.0 - a)).exp());
            }
        }
    }
    (w, c, anchor)
}

/// u and kappa.
fn pull<N: Number>(rule: Rule, p: &[N], q: &[N], g: &[N]) -> (Vec<N>, N) {
    let (w, c, anchor) = weights(rule, p, q);
    let whole = w.iter().fold(N::default(), |sum, &w| sum + w);
    // gbar = g_anchor + shift: the anchor's own g - gbar is the shift, however small, and no difference of large numbers.
    let mut shift = N::default();
    for (&w, &g_i) in w.iter().zip(g) {
        shift += w / whole * (g_i - g[anchor]);
    }
    let u: Vec<N> = c.iter().zip(g).map(|(&c, &g_i)| c * (g_i - g[anchor] - shift)).collect();
    if rule.is_proportional() {
        return (u, N::default());
    }
    let kappa = p.iter().zip(&u).fold(N::default(), |sum, (&p, &u)| sum + p * u);
    (u, kappa)
}

/// How q moves with p.
fn push(rule: Rule, p: &[Dual], q: &[f64]) -> Vec<f64> {
    let values: Vec<f64> = p.iter().map(|p| p.value).collect();
    let (w, c, anchor) = weights(rule, &values, q);
    let (whole, all): (f64, f64) = (w.iter().sum(), c.iter().zip(p).map(|(c, p)| c * p.slope).sum());
    let mut moved: Vec<f64> = c.iter().zip(p).zip(&w).map(|((c, p), w)| c * p.slope - w / whole * all).collect();
    moved[anchor] = 0.0;
    moved[anchor] = -moved.iter().sum::<f64>();
    moved
}

#[inline(always)]
fn spread_lanes<T: Logit>(row: &[T], decay: &Decay<T>, scale: f64, out: &mut [T]) {
    let scale = T::of(scale);
    for (&x, out) in row.iter().zip(out) {
        *out = decay.weight(x) * scale;
    }
}

dispatch! {
    /// `out = scale exp((x - maximum) / T)`.
    fn spread<T: Logit>(row: &[T], decay: &Decay<T>, scale: f64, out: &mut [T]) = spread_lanes
}

#[inline(always)]
fn spread_along_lanes<T: Logit>(
    row: &[T],
    tangent: &[T],
    decay: &Decay<T>,
    [slope, constant]: [f64; 2],
    out: &mut [T],
) {
    let (slope, constant) = (T::of(slope), T::of(constant));
    for ((&x, &t), out) in row.iter().zip(tangent).zip(out) {
        *out = decay.weight(x) * t.fma(slope, constant);
    }
}

dispatch! {
    /// `out = (slope tangent + constant) exp((x - maximum) / T)`.
    fn spread_along<T: Logit>(
        row: &[T],
        tangent: &[T],
        decay: &Decay<T>,
        line: [f64; 2],
        out: &mut [T],
    ) = spread_along_lanes
}

#[inline(always)]
fn average_lanes<T: Logit>(row: &[T], tangent: &[T], decay: &Decay<T>) -> f64 {
    let mut lanes = [0.0; 16];
    for (x, t) in row.chunks(16).zip(tangent.chunks(16)) {
        for ((lane, &x), t) in lanes.iter_mut().zip(x).zip(t) {
            *lane += decay.weight(x).wide() * t.wide();
        }
    }
    lanes.iter().sum()
}

dispatch! {
    /// SUM `tangent exp((x - maximum) / T)`.
    fn average<T: Logit>(row: &[T], tangent: &[T], decay: &Decay<T>) -> f64 = average_lanes
}

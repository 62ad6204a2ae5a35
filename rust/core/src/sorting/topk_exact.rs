//! The gradient of a soft top-k mask over dual numbers in double precision: where the quick one loses its digits, for
//! logarithms, and for the second derivative.

use crate::dual::{Dual, Number};
use crate::sorting::curves::Curve;
use crate::sorting::threshold::{Threshold, boundary};

/// Below it, the sum of the slopes has lost digits and the threshold lies in a gap that is wide for the temperature.
const FAINT: f64 = 1e-290;
/// Largest gradient: one that is larger than any number must not become one that is no number.
const LARGEST: f64 = f32::MAX as f64;

/// One list: finite items that all count. Pairs are a value and its derivative along the tangents.
pub struct Exact {
    /// Items, with the sign that makes the chosen ones large.
    pub v: Vec<f64>,
    /// Cotangent of the values.
    pub g: Vec<f64>,
    /// Tangents of the items.
    pub tangent: Vec<f64>,
    /// What the values sum to.
    pub k: [f64; 2],
    /// The temperature.
    pub tau: [f64; 2],
    /// The threshold.
    pub theta: Threshold,
    /// Whether the threshold is the mean of two items instead of a root.
    pub cutoff: bool,
    /// Whether values are logarithms.
    pub log: bool,
}

/// Gradients, their slopes along the tangents, and the slopes of the values.
pub struct Gradient {
    /// To the items.
    pub dx: Vec<Dual>,
    /// To k.
    pub dk: Dual,
    /// To the temperature.
    pub dtau: Dual,
    /// The values' derivative along the tangents: the gradient to the cotangent.
    pub dg: Vec<f64>,
}

impl Gradient {
    /// That of a list with a NaN.
    pub fn nan(length: usize) -> Self {
        let nan = Dual::new(f64::NAN, f64::NAN);
        Self { dx: vec![nan; length], dk: nan, dtau: nan, dg: vec![f64::NAN; length] }
    }
}

impl Exact {
    /// The derivative of the threshold is a weighted mean of those of the items, with weights w proportional to the
    /// slopes f:
    ///
    /// ```text
    /// d theta = sum w dx - (sum w t) dtau - (tau / sum f) dk
    /// ```
    ///
    /// and with G = g F' (for logarithms g F' / F) and R its sum, dx = (G - w R) / tau, dk = R / sum f,
    /// dtau = -sum t dx.
    pub fn gradient<C: Curve>(&self, curve: C) -> Gradient {
        let [tau, slope_tau] = self.tau;
        let inverse = tau.max(1e-300).recip();
        let scaled = |v: &f64| self.theta.scaled(*v, inverse).clamp(-1e290, 1e290);
        let flat: Vec<f64> = self.v.iter().map(scaled).collect();
        let sum: f64 = flat.iter().map(|&t| curve.at(t).1).sum();
        let limit = self.cutoff || sum < FAINT;
        let weights = self.weights(curve, &flat, sum);
        let mean = |values: &[f64]| weights.iter().zip(values).map(|(w, x)| w * x).sum::<f64>();
        let mean_t = if self.cutoff { 0.0 } else { mean(&flat) };
        let mean_tangent = mean(&self.tangent);
        let by_k = if limit { 0.0 } else { self.k[1] / sum };
        let t: Vec<Dual> = flat
            .iter()
            .zip(&self.tangent)
            .map(|(&t, dx)| Dual::new(t, (dx - mean_tangent - (t - mean_t) * slope_tau) * inverse + by_k))
            .collect();
        let slopes: Vec<Dual> = t.iter().map(|t| t.chain(curve.at(t.value).1, curve.bend(t.value))).collect();
        let values: Vec<Dual> =
            if self.log { t.iter().map(|t| log_slope(curve, *t)).collect() } else { slopes.clone() };
        let dg =
            (0..t.len()).map(|i| values[i].value * t[i].slope + self.jump(values[i].value, weights[i], sum)).collect();
        let cotangents: Vec<Dual> = values
            .iter()
            .zip(&self.g)
            // A value that does not move hides whatever is behind it.
            .map(|(&value, &g)| if value.value == 0.0 { Dual::of(0.0) } else { value * Dual::of(g) })
            .collect();
        let weights: Vec<Dual> = if limit {
            weights.into_iter().map(Dual::of).collect()
        } else {
            let sum = slopes.iter().fold(Dual::of(0.0), |sum, &slope| sum + slope);
            slopes.iter().map(|&slope| slope / sum).collect()
        };
        let total = cotangents.iter().fold(Dual::of(0.0), |sum, &x| sum + x);
        let temperature = Dual::new(tau.max(1e-300), slope_tau);
        let dx: Vec<Dual> = cotangents
            .iter()
            .zip(&weights)
            .map(|(&cotangent, &weight)| (cotangent - weight * total) / temperature)
            .collect();
        let dtau = dx.iter().zip(&t).fold(Dual::of(0.0), |sum, (&dx, &t)| sum - dx * t);
        Gradient { dk: self.to_k(&slopes, total, &weights, limit), dx, dtau, dg }
    }

    /// What the slope of each item is of their sum. In a wide gap the threshold lies in the middle of it, and both sides
    /// weigh the same: the limit.
    fn weights<C: Curve>(&self, curve: C, t: &[f64], sum: f64) -> Vec<f64> {
        if self.cutoff {
            let mut weights = vec![0.0; t.len()];
            for i in boundary(&self.v, self.k[0] as usize, &mut Vec::new()) {
                weights[i] += 0.5;
            }
            return weights;
        }
        if sum >= FAINT {
            return t.iter().map(|&t| curve.at(t).1 / sum).collect();
        }
        let inner = t.iter().copied().filter(|&t| t > 0.0).fold(f64::INFINITY, f64::min);
        let outer = t.iter().copied().filter(|&t| t <= 0.0).fold(f64::NEG_INFINITY, f64::max);
        let share = |side: f64| 0.5 / t.iter().filter(|&&t| t == side).count() as f64;
        let (above, below) = (share(inner), share(outer));
        t.iter()
            .map(|&t| {
                if t == inner {
                    above
                } else if t == outer {
                    below
                } else {
                    0.0
                }
            })
            .collect()
    }

    /// The part of a value's derivative that comes from k where the derivative of its argument has none.
    fn jump(&self, slope: f64, weight: f64, sum: f64) -> f64 {
        if self.cutoff || sum >= FAINT || self.k[1] == 0.0 {
            return 0.0;
        }
        if self.log { (slope * self.k[1] / sum.max(FAINT)).clamp(-LARGEST, LARGEST) } else { weight * self.k[1] }
    }

    fn to_k(&self, slopes: &[Dual], total: Dual, weights: &[Dual], limit: bool) -> Dual {
        if self.cutoff {
            return Dual::of(0.0);
        }
        let sum = slopes.iter().fold(Dual::of(0.0), |sum, &slope| sum + slope);
        if !limit {
            let ratio = total / sum;
            return Dual::new(ratio.value.clamp(-LARGEST, LARGEST), ratio.slope.clamp(-LARGEST, LARGEST));
        }
        let found = if self.log {
            (total.value / sum.value.max(FAINT)).clamp(-LARGEST, LARGEST)
        } else {
            weights.iter().zip(&self.g).map(|(weight, g)| weight.value * g).sum()
        };
        Dual::of(found)
    }
}

fn log_slope<C: Curve>(curve: C, t: Dual) -> Dual {
    let (ratio, change) = curve.log_slopes(t.value);
    t.chain(ratio, change)
}

//! Sums over a row, from those of its leaves.

use crate::decoding::leaf::Leaf;
use crate::elementary::exp_f64;

/// Which sums a row is asked for beside its maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sums {
    /// None.
    Nothing,
    /// The normaliser of the softmax.
    Normalizer,
    /// Also what entropy and collision probability need.
    Moments,
    /// Also mean and deviation of the logits.
    Spread,
}

/// What is known of a row of logits at a temperature, with `e_j` = exp((`l_j` - max) / T).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// The largest logit.
    pub maximum: f64,
    /// The temperature.
    pub temperature: f64,
    /// SUM `e_j`, the softmax's normaliser; 0 where it was not asked for.
    pub z0: f64,
    /// SUM `e_j` (`l_j` - max) / T.
    pub z1: f64,
    /// SUM `e_j^2`.
    pub z2: f64,
    /// Mean of the logits that are not -inf.
    pub mean: f64,
    /// SUM (`l_j` - mean)^2 over them.
    pub square: f64,
    /// Their number.
    pub count: usize,
}

impl Statistics {
    /// From those of the leaves, in their order, as the definition has it.
    #[must_use]
    pub fn of(leaves: &[Leaf], temperature: f64, sums: Sums) -> Self {
        let maximum = leaves.iter().fold(f64::NEG_INFINITY, |top, leaf| top.max(leaf.maximum));
        let mut found = Self { maximum, temperature, ..Self::default() };
        if sums == Sums::Nothing {
            return found;
        }
        for leaf in leaves.iter().filter(|leaf| leaf.maximum > f64::NEG_INFINITY) {
            let fall = (leaf.maximum - maximum) / temperature;
            let weight = exp_f64(fall);
            found.z0 += weight * leaf.z0;
            found.z1 += weight * (leaf.z0 * fall.max(-1e3) - leaf.z1 / temperature);
            found.z2 += weight * weight * leaf.z2;
            if leaf.count > 0 {
                found.join(leaf);
            }
        }
        found
    }

    fn join(&mut self, leaf: &Leaf) {
        let (here, there) = (self.count as f64, leaf.count as f64);
        let mean = leaf.center + leaf.step / there;
        let square = (leaf.step_square - leaf.step * leaf.step / there).max(0.0);
        let shift = mean - self.mean;
        self.mean += shift * (there / (here + there));
        self.square += square + shift * shift * (here * there / (here + there));
        self.count += leaf.count;
    }

    /// log SUM exp(`l_j` / T).
    #[must_use]
    pub fn lse(&self) -> f64 {
        self.maximum / self.temperature + self.z0.ln()
    }

    /// The entropy of the softmax, in nats.
    #[must_use]
    pub fn entropy(&self) -> f64 {
        (self.z0.ln() - self.z1 / self.z0).max(0.0)
    }

    /// SUM `p_j^2`: the probability that two draws are equal.
    #[must_use]
    pub fn collision(&self) -> f64 {
        self.z2 / (self.z0 * self.z0)
    }

    /// The standard deviation of the logits that are not -inf, with one less than their number in the denominator; 0 for
    /// one logit.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        (self.square / (self.count.max(2) - 1) as f64).sqrt()
    }

    /// `exp((logit - max) / T)`: the weight of a token, from exact differences in double precision.
    #[inline]
    #[must_use]
    pub fn weight(&self, logit: f64) -> f64 {
        exp_f64((logit - self.maximum) / self.temperature)
    }
}

//! The next token: a row is read, cut to a few tokens, renormalised, and one of them is drawn.

use crate::decoding::adaptive::{Kept, Request, Wanted};
use crate::decoding::draw::{self, Draw, Places};
use crate::decoding::leaf::LEAF;
use crate::decoding::logit::Logit;
use crate::decoding::row::{Memory, Reading, Row};
use crate::decoding::statistics::{Statistics, Sums};
use crate::elementary::exp_f64;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;
use crate::simd::dispatch;

/// Draws one token for each row of `v` logits.
///
/// # Errors
/// When a row or what it is asked for is refused, or the job was stopped.
pub fn decode<T: Logit>(
    x: &[T],
    v: usize,
    request: &Request<'_>,
    places: &Places<'_>,
    out: &mut [Draw],
    job: &Job,
) -> Result<()> {
    let mut nothing = vec![(); out.len()];
    super::each(x, v, (out, 1), (&mut nothing, 1), job, |number, row, out, _| {
        let mut memory = Lent::<Memory<T>>::new();
        let place = places.at(number);
        if place.row.max(place.step) >> 32 != 0 {
            let [row, step] = [place.row, place.step].map(|x| x as i64);
            return Err(invalid!("row and step must be >= 0 and < 2**32, got {row} and {step} in row {number}"));
        }
        let (temperature, wanted) = request.of(number)?;
        let u = place.uniform(draw::DECODE);
        out[0] = match wanted {
            Wanted::Size(k) if k >= v && v > 1 => whole(row, number, temperature, u, &mut memory)?,
            _ => few(&Kept::of(row, number, request, &mut memory)?, u),
        };
        Ok(())
    })
}

fn few(kept: &Kept, u: f64) -> Draw {
    // There is always a token: the first has a positive value.
    let j = draw::pick(&kept.q, u).unwrap_or(0);
    Draw {
        token: kept.tokens[j].index.into(),
        size: kept.q.len() as i64,
        log_probability: libm::log(kept.q[j]).min(0.0),
    }
}

/// Draws from all tokens of a row, in the order of their indices; nothing is sorted.
fn whole<T: Logit>(values: &[T], number: usize, temperature: f64, u: f64, memory: &mut Memory<T>) -> Result<Draw> {
    let row = Row::read(values, number, Reading { temperature, sums: Sums::Nothing, expected: 1 }, memory)?;
    let mut weights = vec![0.0; LEAF];
    let (mut sums, mut size) = (Vec::with_capacity(values.len().div_ceil(LEAF)), 0);
    for leaf in values.chunks(LEAF) {
        let weights = &mut weights[..leaf.len()];
        size += weigh(leaf, &row.statistics, weights);
        sums.push(sum(weights));
    }
    let total: f64 = sums.iter().sum();
    // First the leaf, then the token in it: the interval of each token is as wide as its weight.
    let chosen = draw::pick(&sums, u).unwrap_or(0);
    let before: f64 = sums[..chosen].iter().sum();
    let start = chosen * LEAF;
    let leaf = &values[start..values.len().min(start + LEAF)];
    let weights = &mut weights[..leaf.len()];
    weigh(leaf, &row.statistics, weights);
    let j = draw::pick(weights, ((u * total - before) / sums[chosen]).clamp(0.0, 1.0 - f64::EPSILON)).unwrap_or(0);
    Ok(Draw { token: (start + j) as i64, size: size as i64, log_probability: libm::log(weights[j] / total).min(0.0) })
}

#[inline(always)]
fn weigh_lanes<T: Logit>(leaf: &[T], statistics: &Statistics, weights: &mut [f64]) -> usize {
    let mut count = 0u32;
    for (&x, weight) in leaf.iter().zip(weights) {
        *weight = exp_f64((x.wide() - statistics.maximum) / statistics.temperature);
        count += u32::from(*weight > 0.0);
    }
    count as usize
}

dispatch! {
    /// Fills in the weights and counts those that are not 0.
    fn weigh<T: Logit>(leaf: &[T], statistics: &Statistics, weights: &mut [f64]) -> usize = weigh_lanes
}

#[inline(always)]
fn sum_lanes(weights: &[f64]) -> f64 {
    let mut lanes = [0.0; 16];
    for chunk in weights.chunks(16) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, weight)| *lane += weight);
    }
    lanes.iter().sum()
}

dispatch! {
    /// The sum of the weights, in sixteen lanes.
    fn sum(weights: &[f64]) -> f64 = sum_lanes
}

//! Truncated distributions: which tokens a chain of rules keeps, their probabilities, and draws from them.
//!
//! ```text
//! the row is read once, with the sums that the rules need                               rules::sums
//! each rule cuts the sorted order further, by the sums of what is left                  rules::keep
//! where a cut falls is found among the largest tokens, or by a search in O(v)           order, search
//! a draw is one more cut: the first token whose running sum exceeds u times the sum
//! ```

use crate::decoding::at;
use crate::decoding::draw::{self, Draw, Places};
use crate::decoding::logit::Logit;
use crate::decoding::order::Order;
use crate::decoding::row::{Memory, Reading, Row, Token};
use crate::decoding::rules::{self, Chain, Kept, Rule};
use crate::decoding::statistics::Sums;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;

/// Tokens that are sorted at once: the rules keep fewer in most rows.
const FIRST: usize = 64;
/// Rows of so few numbers are sorted.
const SHORT: usize = 256;
/// So many tokens are sorted where a rule keeps no more.
const MOST: usize = 1024;

/// What is to be kept of rows. Slices hold a number for each row, or one for all.
#[derive(Debug)]
pub struct Request<'a> {
    /// Finite and >= 0; 0 keeps the largest token.
    pub temperature: &'a [f64],
    /// The rules, in order.
    pub rules: &'a [(Rule, &'a [f64])],
    /// At most so many tokens are kept, at least 1.
    pub most: usize,
}

/// What is kept of row `number`, and the order of its tokens; `drawn` is the uniform number of a draw that follows, `next`
/// the row that does.
fn cut<'m, T: Logit>(
    values: &'m [T],
    next: &[T],
    number: usize,
    request: &Request,
    drawn: Option<f64>,
    memory: &'m mut Memory<T>,
) -> Result<(Order<'m, T>, Kept)> {
    let temperature = at(request.temperature, number);
    if !(0.0..f64::INFINITY).contains(&temperature) {
        return Err(invalid!("temperature must be a finite number >= 0, got {temperature} in row {number}"));
    }
    let mut chain: Chain = request.rules.iter().map(|(rule, numbers)| (*rule, at(numbers, number))).collect();
    rules::check(&chain, number)?;
    let greedy = temperature == 0.0;
    if greedy {
        chain.clear();
    }
    let most = if greedy { 1 } else { request.most };
    chain.push((Rule::TopK, most as f64));
    let least = chain.iter().filter(|(rule, _)| *rule == Rule::TopK).fold(f64::MAX, |least, (_, k)| least.min(*k));
    let expected = if values.len() <= SHORT {
        values.len()
    } else if least <= MOST as f64 {
        least as usize
    } else {
        FIRST
    };
    // Masses alone can be summed in the pass that looks for where they end.
    let share = match chain[..] {
        [(Rule::TopP, share), _] => Some(share),
        [_] if drawn.is_some() => Some(1.0),
        _ => None,
    };
    let swept = share.is_some() && least >= values.len() as f64;
    let needed = rules::sums(&chain, values.len() <= SHORT);
    let sums = if swept { Sums::Nothing } else { needed };
    let reading = Reading { temperature: if greedy { 1.0 } else { temperature }, sums, expected };
    let row = Row::read(values, number, reading, memory)?;
    let mut order = Order::new(values, row, if swept { 0 } else { expected });
    if let (true, Some(share)) = (swept, share) {
        let shares = [share, drawn.map_or(share, |u| u * share)];
        order.sweep(&shares[usize::from(share >= 1.0)..=usize::from(drawn.is_some())], expected, next);
    }
    let kept = rules::keep(&mut order, &chain);
    Ok((order, kept))
}

/// The row after row `number`; nothing after the last.
fn following<T>(x: &[T], v: usize, number: usize) -> &[T] {
    x.get((number + 1) * v..(number + 2) * v).unwrap_or_default()
}

/// The tokens that are kept of each row, in order, with their probabilities.
///
/// # Errors
/// When a number of the request is out of its range, a row of logits is not fit, or the job was stopped.
pub fn truncate<T: Logit>(x: &[T], v: usize, request: &Request, job: &Job) -> Result<Vec<Vec<(u32, f64)>>> {
    let rows = x.len() / v;
    let (mut supports, mut done) = (vec![Vec::new(); rows], vec![(); rows]);
    super::each(x, v, (&mut supports, 1), (&mut done, 1), job, |number, values, support, _| {
        let mut memory = Lent::<Memory<T>>::new();
        let (mut order, kept) = cut(values, following(x, v, number), number, request, None, &mut memory)?;
        let (list, mut mass) = (&mut support[0], 0.0);
        order.visit(&kept.before, &kept.until, |token, e| {
            mass += e;
            list.push((token.index, e));
        });
        list.iter_mut().for_each(|(_, e)| *e /= mass);
        Ok(())
    })?;
    Ok(supports)
}

/// Draws one of the tokens that are kept of each row, at the place of the row.
///
/// # Errors
/// As [`truncate`].
pub fn decode<T: Logit>(
    x: &[T],
    v: usize,
    request: &Request,
    places: &Places,
    draws: &mut [Draw],
    job: &Job,
) -> Result<()> {
    let mut done = vec![(); draws.len()];
    super::each(x, v, (draws, 1), (&mut done, 1), job, |number, values, draw, _| {
        let mut memory = Lent::<Memory<T>>::new();
        let u = places.at(number).uniform(draw::SAMPLE);
        let (mut order, kept) = cut(values, following(x, v, number), number, request, Some(u), &mut memory)?;
        let (token, size) = (pick(&mut order, &kept, u), kept.until.count - kept.before.count);
        let statistics = order.statistics();
        let d = (token.logit - statistics.maximum) / statistics.temperature;
        let size = if kept.all { order.live() } else { size };
        draw[0] =
            Draw { token: i64::from(token.index), size: size as i64, log_probability: d - libm::log(kept.mass()) };
        Ok(())
    })
}

/// The first token whose running sum exceeds u times the whole sum.
fn pick<T: Logit>(order: &mut Order<T>, kept: &Kept, u: f64) -> Token {
    let (before, mass) = (kept.before, kept.mass());
    let found = order.first(&|prefix| prefix.mass - before.mass > u * mass);
    let at = match found {
        Some([_, at]) if kept.all || at.count <= kept.until.count => at,
        // The sums of two searches differ by their rounding, so that u times the one may not be reached by the other.
        _ => {
            order.first(&|prefix| prefix.mass - before.mass > u * mass * (1.0 - 1e-6)).map_or(kept.until, |[_, at]| at)
        }
    };
    order.last(&at)
}

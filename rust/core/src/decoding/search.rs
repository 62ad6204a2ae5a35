//! The end of a prefix of the sorted order, found without sorting.
//!
//! ```text
//! search(tokens, stop): the shortest prefix whose sums satisfy `stop`, which stays true from there on
//!     a sample, sorted, tells between which two logits the prefix ends, most likely
//!     one pass over the tokens sums those above and collects those between
//!     few are left: sort and walk;   else the same with what was collected
//! ```
//!
//! Where the sample was wrong, the pass is made again with wider bounds: the answer is always exact.

use crate::decoding::order::{Prefix, compare, weigh};
use crate::decoding::row::Token;
use crate::decoding::statistics::Statistics;

/// So many tokens are sorted without further ado.
const FEW: usize = 192;
/// Tokens in a sample of a list.
const SAMPLE: usize = 64;
/// Standard errors that bounds are away from where the prefix is expected to end.
const SAFETY: f64 = 3.0;

/// Where a prefix ends, as far as a sample tells.
#[derive(Debug)]
pub struct Guess<'a> {
    sample: &'a [Token],
    place: usize,
    width: usize,
}

impl<'a> Guess<'a> {
    /// From tokens that come after those of `base`; each stands for `share`, and all together weigh `left` (0: unknown).
    pub fn new(
        sample: &'a mut [Token],
        base: Prefix,
        share: f64,
        left: f64,
        statistics: &Statistics,
        stop: &dyn Fn(&Prefix) -> bool,
    ) -> Self {
        sample.sort_unstable_by(compare);
        let sums = |(mass, square): (f64, f64), token: &Token| {
            let [e, _] = weigh(token.logit, statistics);
            (mass + e, e.mul_add(e, square))
        };
        let (mass, square) = sample.iter().fold((0.0, 0.0), sums);
        let scale = if left > 0.0 && mass > 0.0 { left / mass } else { share };
        let (mut prefix, mut head, mut place) = (base, (0.0, 0.0), 0);
        let mut last = 0.0;
        for token in sample.iter() {
            let [e, moment] = weigh(token.logit, statistics);
            prefix.mass += scale * e;
            prefix.moment += scale * moment;
            prefix.count = base.count + (share * (place + 1) as f64) as usize;
            prefix.last = *token;
            (head, last) = (sums(head, token), e);
            if stop(&prefix) {
                break;
            }
            place += 1;
        }
        // The variance of a share of the whole, once by weights and once by numbers; in units of places.
        let (n, q) = (sample.len().max(1) as f64, if mass > 0.0 { head.0 / mass } else { 0.0 });
        let variance = (head.1 * (1.0 - q) * (1.0 - q) + (square - head.1) * q * q).max(0.0);
        let by_mass = if last > 0.0 { variance.sqrt() / last } else { n };
        let rank = place as f64 / n;
        let by_count = (n * rank * (1.0 - rank)).sqrt();
        let width = (SAFETY * by_mass.max(by_count)).min(n) as usize + 3;
        Self { sample, place, width }
    }

    /// The logits at `width` places before and after; without end where the sample ends.
    fn bounds(&self, width: usize) -> (f64, f64) {
        let high = self.place.checked_sub(width).and_then(|i| self.sample.get(i));
        let low = self.sample.get(self.place + width).map_or(f64::NEG_INFINITY, |token| token.logit);
        let high = high.map_or(f64::INFINITY, |token| token.logit);
        (if high > low { high } else { f64::INFINITY }, low)
    }
}

/// The shortest prefix that satisfies `stop`, and the one before it; none where all tokens together do not.
///
/// `split(high, low, between)` collects the tokens from `low` to below `high` and returns the sums of those from `high` on.
pub fn search(
    split: &dyn Fn(f64, f64, &mut Vec<Token>) -> Prefix,
    guess: &Guess,
    size: usize,
    statistics: &Statistics,
    stop: &dyn Fn(&Prefix) -> bool,
) -> Option<[Prefix; 2]> {
    let (mut width, mut between) = (guess.width, Vec::new());
    loop {
        let (high, low) = guess.bounds(width);
        between.clear();
        let above = split(high, low, &mut between);
        width *= 8;
        if stop(&above) {
            continue;
        }
        let found = walk(above, &mut between, size, statistics, stop);
        if found.is_some() || low == f64::NEG_INFINITY {
            return found;
        }
    }
}

/// The same for tokens that come after those of `base`, and are part of a list of `size`.
fn walk(
    base: Prefix,
    list: &mut [Token],
    size: usize,
    statistics: &Statistics,
    stop: &dyn Fn(&Prefix) -> bool,
) -> Option<[Prefix; 2]> {
    if list.len() <= FEW || list.len() > size / 2 {
        list.sort_unstable_by(compare);
        let mut before = base;
        return list.iter().find_map(|&token| {
            let prefix = before.with(token, statistics);
            let found = stop(&prefix).then_some([before, prefix]);
            before = prefix;
            found
        });
    }
    let list: &[Token] = list;
    let mut sample: [Token; SAMPLE] = std::array::from_fn(|i| list[i * list.len() / SAMPLE]);
    let guess = Guess::new(&mut sample, base, list.len() as f64 / SAMPLE as f64, 0.0, statistics, stop);
    let split = |high: f64, low: f64, between: &mut Vec<Token>| {
        between.extend(list.iter().filter(|token| token.logit >= low && token.logit < high));
        list.iter().filter(|token| token.logit >= high).fold(base, |sum, token| sum.with(*token, statistics))
    };
    search(&split, &guess, list.len(), statistics, stop)
}

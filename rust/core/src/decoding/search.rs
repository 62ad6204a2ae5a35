//! The end of a prefix of the sorted order, found without sorting.
//!
//! ```text
//! a sample of the row, in bins, tells between which two logits the prefix ends, most likely: a bracket      Guess
//! one pass over the row sums the tokens above the bracket and lists those inside                           cut
//! of the list those are kept that are near where it would end if they were evenly spread, until few are left;
//! these are sorted and walked through                                                                      narrow
//! ```
//!
//! Where the sample was wrong, the pass is made again with a wider bracket: the answer is always exact.

use crate::decoding::cut::{self, BINS, Bracket};
use crate::decoding::leaf::WIDTH;
use crate::decoding::list::List;
use crate::decoding::logit::Logit;
use crate::decoding::order::{Prefix, weighed};
use crate::decoding::row::Token;
use crate::decoding::statistics::Statistics;

/// So many tokens are sorted.
const FEW: usize = 48;
/// Standard errors that the ends of a bracket are away from where the prefix is expected to end.
const SAFETY: f64 = 3.0;
/// How far the share of tokens may be from that of their logits, beside by chance.
const UNEVEN: f64 = 1.0 / 64.0;
/// Logits, in units of the temperature, that the sample goes down: the weights of all others together are nothing.
const DEEP: f64 = 40.0;

/// What `first` looks for: true for all prefixes from some one on.
pub type Stop<'a> = &'a dyn Fn(&Prefix) -> bool;

/// Tokens from all over a row that come after those of a prefix, in bins by their logits, with sums up to each.
#[derive(Debug)]
pub struct Sample {
    base: Prefix,
    /// Where the bins begin, and their width.
    top: f64,
    step: f64,
    /// SUM 1, e, e d and e^2 up to the end of each bin.
    sums: [[f64; 4]; BINS],
    /// Tokens that one of the sample stands for.
    share: f64,
}

impl Sample {
    /// Of a row whose largest tokens are `base`: about sqrt(v) times 16 neighbors.
    pub fn new<T: Logit>(values: &[T], base: Prefix, statistics: &Statistics) -> Self {
        let (pieces, _) = values.as_chunks::<WIDTH>();
        let size = values.len().isqrt().min(pieces.len());
        // A step that is always the same could meet a pattern of the row: each piece is somewhere in its part.
        let step = (pieces.len() << 16).checked_div(size).unwrap_or(0);
        let piece = |i: usize| &pieces[(i * step + ((i * 40_503 % 0x1_0000 * step) >> 16)) >> 16];
        let pieces: Vec<&[T; WIDTH]> = (0..size).map(piece).collect();
        let top = base.last.logit;
        let floor = (top - DEEP * statistics.temperature).max(-T::LARGEST.wide());
        let mut counts = [0; BINS];
        let step = cut::bins(&pieces, T::of(floor), T::of(top), &mut counts);
        let mut weights = [[0.0; 3]; BINS];
        for (i, weight) in weights.iter_mut().enumerate() {
            weight[0] = top - step * (i as f64 + 0.5);
        }
        cut::weights(&mut weights, statistics);
        let mut sum = [0.0; 4];
        let sums = std::array::from_fn(|i| {
            let (count, [_, e, moment]) = (f64::from(counts[i]), weights[i]);
            sum = [sum[0] + count, sum[1] + count * e, sum[2] + count * moment, sum[3] + count * e * e];
            sum
        });
        Self { base, top, step, sums, share: values.len() as f64 / (size * WIDTH).max(1) as f64 }
    }

    /// The mass of the whole row, about.
    pub fn mass(&self) -> f64 {
        self.base.mass + self.share * self.sums[BINS - 1][1]
    }

    /// How many tokens of the row are at least `least`, about.
    pub fn count(&self, least: f64) -> f64 {
        let bin = ((self.top - least) / self.step).ceil() as usize; // all where the step is 0
        self.base.count as f64 + self.share * self.sums[bin.clamp(1, BINS) - 1][0]
    }

    /// Where a prefix ends; all tokens of the sample stand for the mass `left`.
    pub fn guess(&self, left: f64, stop: Stop) -> Guess<'_> {
        let whole = self.sums[BINS - 1];
        let scale = if left > 0.0 && whole[1] > 0.0 { left / whole[1] } else { self.share };
        let prefix = |i: usize| Prefix {
            count: self.base.count + (self.share * self.sums[i][0]) as usize,
            mass: self.base.mass + scale * self.sums[i][1],
            moment: self.base.moment + scale * self.sums[i][2],
            last: Token { logit: self.top - self.step * (i + 1) as f64, index: 0 },
        };
        let bin = partition(BINS, |i| !stop(&prefix(i)));
        // The variance of a share q of the whole, by weights and by numbers, in units of places.
        let head = self.sums[bin.min(BINS - 1)];
        let before = if bin > 0 { self.sums[bin - 1] } else { [0.0; 4] };
        let (here, count) = (head[0] - before[0], whole[0].max(1.0));
        let e = if here > 0.0 { (head[1] - before[1]) / here } else { 0.0 };
        let q = if whole[1] > 0.0 { head[1] / whole[1] } else { 0.0 };
        let variance = (head[3] * (1.0 - q) * (1.0 - q) + (whole[3] - head[3]) * q * q).max(0.0);
        let by_mass = if e > 0.0 { variance.sqrt() / e } else { count };
        let rank = head[0] / count;
        let by_count = (count * rank * (1.0 - rank)).sqrt();
        let width = (SAFETY * by_mass.max(by_count)).min(count) + 3.0;
        Guess { sample: self, before: before[0], after: head[0], width }
    }
}

/// Where a prefix ends, as far as a sample tells.
#[derive(Debug)]
pub struct Guess<'a> {
    sample: &'a Sample,
    /// Places of the sample between which it is.
    before: f64,
    after: f64,
    /// Places of the sample that it may be wrong by.
    pub width: f64,
}

impl Guess<'_> {
    /// How many tokens the prefix has at least, most likely.
    pub fn least(&self) -> f64 {
        self.sample.base.count as f64 + self.sample.share * (self.before - self.width)
    }

    /// From `width` places after to `width` places before; without end where the sample ends.
    pub fn bracket<T: Logit>(&self, width: f64) -> Bracket<T> {
        let Sample { sums, top, step, .. } = self.sample;
        let edge = |bin: usize| T::of(top - step * bin as f64);
        let (least, most) = (self.before - width, self.after + width);
        // The last bin has those whose weights are nothing.
        let low = partition(BINS, |i| sums[i][0] < most);
        let low = if low + 1 < BINS { edge(low + 1) } else { -T::LARGEST };
        let high = partition(BINS, |i| sums[i][0] <= least);
        let high = if high > 0 { edge(high) } else { T::INFINITY };
        Bracket { low, high: if high > low { high } else { T::INFINITY } }
    }
}

/// The shortest prefix that satisfies `stop`, and the one before it, among tokens that come after those of `base`; none
/// where all together do not.
pub fn narrow<T: Logit>(
    base: Prefix,
    list: &mut List<T>,
    spare: &mut List<T>,
    statistics: &Statistics,
    stop: Stop,
) -> Option<[Prefix; 2]> {
    let (mut base, mut whole, mut by_value) = (base, None, true);
    while list.values.len() > FEW {
        let (((low, high), sums), count) = (list.measure(statistics), list.values.len());
        if low >= high {
            return walk_ties(base, list, statistics, stop);
        }
        let all = *whole.get_or_insert_with(|| base.and(&sums));
        let above = T::value(T::after(high.key()));
        let (mut bracket, middle) = (Bracket { low, high: above }, [T::value(T::between(low.key(), above.key())); 2]);
        let (first, ends) =
            (base, if by_value { ends((low, high), &[base, all], count, statistics, stop) } else { middle });
        let sums = list.above(ends, statistics);
        for (end, sums) in ends.into_iter().zip(&sums).filter(|&(end, _)| end > low && end < above) {
            let here = first.and(sums);
            if stop(&here) {
                (bracket.low, whole) = (end, Some(here));
                break;
            }
            (bracket.high, base) = (end, here);
        }
        list.keep(bracket, spare);
        // Of logits that are far apart, numbers in the order of their bits are halved sooner.
        by_value = !by_value || list.values.len() < count / 2;
    }
    walk(base, list, statistics, stop)
}

/// The same, token by token. The index of a token is its number among those of its logit.
fn walk<T: Logit>(base: Prefix, list: &List<T>, statistics: &Statistics, stop: Stop) -> Option<[Prefix; 2]> {
    let mut logits: Vec<f64> = list.values.iter().map(|x| x.wide() + 0.0).collect();
    logits.sort_unstable_by(|a, b| b.total_cmp(a));
    let weights = weighed(logits.into_iter(), statistics);
    let (mut before, mut token) = (base, Token { logit: f64::INFINITY, index: 0 });
    weights.into_iter().find_map(|[logit, e, moment]| {
        token = Token { logit, index: if logit < token.logit { 0 } else { token.index + 1 } };
        let prefix = before.with(token, e, moment);
        let found = stop(&prefix).then_some([before, prefix]);
        before = prefix;
        found
    })
}

/// The same for equal logits, whose sums are multiples.
fn walk_ties<T: Logit>(base: Prefix, list: &List<T>, statistics: &Statistics, stop: Stop) -> Option<[Prefix; 2]> {
    let one = weighed(list.values.iter().take(1).map(|x| x.wide() + 0.0), statistics);
    let [logit, e, moment] = *one.first()?;
    let prefix = |i: usize| match i {
        0 => base,
        _ => Prefix {
            count: base.count + i,
            mass: base.mass + i as f64 * e,
            moment: base.moment + i as f64 * moment,
            last: Token { logit, index: i as u32 - 1 },
        },
    };
    let count = list.values.len();
    let place = partition(count, |i| !stop(&prefix(i + 1)));
    (place < count).then(|| [prefix(place), prefix(place + 1)])
}

/// Two logits, the greater one first, between which a prefix ends most likely: `count` tokens from `low` to `high` come
/// after the first prefix and make it the second.
///
/// ```text
/// as if their mass were spread with a density 1 + slope (2 t - 1), t = 0 at `high` and 1 at `low`:
/// mean t = 1/2 + slope / 6,   mass until t = t + slope (t^2 - t)
/// ```
fn ends<T: Logit>(
    (low, high): (T, T),
    [first, last]: &[Prefix; 2],
    count: usize,
    statistics: &Statistics,
    stop: Stop,
) -> [T; 2] {
    const STEPS: usize = 1024;
    let (number, mass, moment) = (last.count - first.count, last.mass - first.mass, last.moment - first.moment);
    let range = high.wide() - low.wide();
    let mean = (high.wide() - statistics.maximum - statistics.temperature * moment / mass) / range;
    let slope = if mass > 0.0 { (6.0 * mean - 3.0).clamp(-1.0, 1.0) } else { 0.0 };
    let logit = |t: f64| high.wide() - t * range;
    let prefix = |t: f64| {
        let share = t + slope * (t * t - t);
        Prefix {
            count: first.count + (share * number as f64) as usize,
            mass: first.mass + share * mass,
            moment: first.moment + share * moment,
            last: Token { logit: logit(t), index: u32::MAX },
        }
    };
    let t = partition(STEPS, |i| !stop(&prefix(i as f64 / STEPS as f64))) as f64 / STEPS as f64;
    let error = 1.0 / (count as f64).sqrt() + UNEVEN;
    [t - error, t + error].map(|t| T::of(logit(t)))
}

/// The first of 0..n that `before` is false for, n where there is none; it is true for all that come before.
fn partition(n: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

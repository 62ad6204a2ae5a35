//! Which tokens a chain of truncation rules keeps: always an interval of the sorted order, given by two prefixes.

use crate::decoding::logit::Logit;
use crate::decoding::order::{Order, Prefix};
use crate::decoding::statistics::Sums;
use crate::elementary::exp_f64;
use crate::error::{Result, invalid};

/// A rule; its number is given apart. See the Python docstring of `truncate` for the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Entropy of what is kept, at most a share of the entropy.
    TopH,
    /// The k largest.
    TopK,
    /// The fewest that have a share of the mass.
    TopP,
    /// Probability, at least a share of the largest.
    MinP,
    /// The fewest that have a share of the mass, in the order of how far their surprise is from the entropy.
    TypicalP,
    /// Probability, at least a number.
    Epsilon,
    /// Probability, at least a number that falls with the entropy.
    Eta,
    /// Logit, at least the maximum less some standard deviations.
    TopNSigma,
    /// Probability, at least the sum of squared probabilities.
    PLess,
    /// Surprise in bits, at most a number.
    Surprise,
}

/// Rules by the names of the arguments, in the order in which they are applied when no other is given.
const NAMES: [(&str, Rule); 10] = [
    ("top_h", Rule::TopH),
    ("top_k", Rule::TopK),
    ("top_p", Rule::TopP),
    ("min_p", Rule::MinP),
    ("typical_p", Rule::TypicalP),
    ("epsilon", Rule::Epsilon),
    ("eta", Rule::Eta),
    ("top_n_sigma", Rule::TopNSigma),
    ("p_less", Rule::PLess),
    ("surprise", Rule::Surprise),
];

impl Rule {
    /// The rule of an argument.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn named(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, rule)| rule).ok_or_else(|| invalid!("order must have names of rules, got {name:?}"))
    }

    /// The rules in the order in which they are applied when no other is given.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|&(_, rule)| rule)
    }

    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, rule)| *rule == self).map_or("", |(name, _)| name)
    }

    /// Requires a number in the range of the rule, in row `row`.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(self, number: f64, row: usize) -> Result<()> {
        let (fits, range) = match self {
            Self::TopH | Self::TopP | Self::MinP | Self::TypicalP => ((0.0..=1.0).contains(&number), ">= 0 and <= 1"),
            Self::Epsilon | Self::Eta => ((0.0..1.0).contains(&number), ">= 0 and < 1"),
            Self::TopK => (number >= 1.0, ">= 1"),
            Self::TopNSigma => ((0.0..f64::INFINITY).contains(&number), ">= 0 and finite"),
            Self::PLess => (true, ""),
            Self::Surprise => (number.is_finite(), "finite"),
        };
        if fits { Ok(()) } else { Err(invalid!("{} must be {range}, got {number} in row {row}", self.name())) }
    }

    /// The sums that the rule takes from the statistics of the row, when it comes first.
    fn sums(self) -> Sums {
        match self {
            Self::TopK | Self::MinP => Sums::Nothing,
            Self::TopP | Self::Epsilon | Self::Surprise => Sums::Normalizer,
            Self::TopH | Self::TypicalP | Self::Eta | Self::PLess => Sums::Moments,
            Self::TopNSigma => Sums::Spread,
        }
    }

    /// Whether it looks at the whole row, wherever it stands.
    fn is_global(self) -> bool {
        matches!(self, Self::TopNSigma | Self::PLess | Self::Surprise)
    }
}

/// The rules of one row, in order, with their numbers.
pub type Chain = Vec<(Rule, f64)>;

/// Requires every number to be in its range; `row` is for the errors.
///
/// # Errors
/// When one is not.
pub fn check(chain: &Chain, row: usize) -> Result<()> {
    chain.iter().try_for_each(|&(rule, number)| rule.check(number, row))
}

/// The sums of the whole row that the chain needs: once k tokens are left, or in rows that are sorted whole, the tokens' own
/// sums are at hand.
#[must_use]
pub fn sums(chain: &Chain, sorted: bool) -> Sums {
    let first = chain.iter().position(|&(rule, _)| rule == Rule::TopK).unwrap_or(chain.len());
    let needed = chain.iter().enumerate().filter(|&(i, (rule, _))| (i < first && !sorted) || rule.is_global());
    needed.map(|(_, (rule, _))| rule.sums()).max().unwrap_or(Sums::Nothing)
}

/// What is kept: the tokens of the second prefix that are not in the first.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// The tokens before.
    pub before: Prefix,
    /// The tokens until the last that is kept.
    pub until: Prefix,
    /// No rule has taken any: `until` may count and end beyond the last token that is not -inf.
    pub all: bool,
}

impl Kept {
    /// SUM e over the tokens that are kept.
    #[must_use]
    pub fn mass(&self) -> f64 {
        self.until.mass - self.before.mass
    }

    /// The same with the sums of the whole row where nothing was taken.
    fn sums<T: Logit>(&self, order: &mut Order<T>) -> Self {
        let until = if self.all { order.whole() } else { self.until };
        Self { until, ..*self }
    }

    /// Ends at the prefix, where it is the shorter one; one token stays.
    fn end<T: Logit>(&mut self, order: &mut Order<T>, prefix: Option<Prefix>) {
        let least = self.before.count + 1;
        let Some(mut prefix) = prefix else { return };
        if prefix.count < least {
            let Some([_, one]) = order.first(&|prefix| prefix.count >= least) else { return };
            prefix = one;
        }
        if self.all || prefix.count < self.until.count {
            (self.until, self.all) = (prefix, false);
        }
    }

    /// Ends before the weights that are less than `weight`.
    fn least<T: Logit>(&mut self, order: &mut Order<T>, weight: f64) {
        let found = order.at_least(order.logit(weight));
        self.end(order, found);
    }
}

/// -SUM p log p of the tokens from `before` to `until`.
fn entropy(before: &Prefix, until: &Prefix) -> f64 {
    let mass = until.mass - before.mass;
    libm::log(mass) - (until.moment - before.moment) / mass
}

/// Applies the rules one after the other, each to what the one before it has kept.
pub fn keep<T: Logit>(order: &mut Order<T>, chain: &Chain) -> Kept {
    let mut kept = Kept { before: Prefix::default(), until: Prefix::default(), all: true };
    for &(rule, number) in chain {
        apply(order, &mut kept, rule, number);
    }
    kept.sums(order)
}

fn apply<T: Logit>(order: &mut Order<T>, kept: &mut Kept, rule: Rule, number: f64) {
    let (before, statistics) = (kept.before, *order.statistics());
    match rule {
        Rule::TopK => {
            let count = before.count.saturating_add(number as usize);
            if (kept.all && count < order.len()) || (!kept.all && count < kept.until.count) {
                let found = order.first(&|prefix| prefix.count >= count);
                kept.end(order, found.map(|[_, at]| at));
            }
        }
        Rule::TopP if number < 1.0 => {
            let target = number * kept.sums(order).mass();
            let found = order.first(&|prefix| prefix.mass - before.mass >= target);
            kept.end(order, found.map(|[_, at]| at));
        }
        Rule::TopH if number < 1.0 => {
            let most = number * entropy(&before, &kept.sums(order).until);
            let found = order.first(&|prefix| prefix.count > before.count && entropy(&before, prefix) > most);
            kept.end(order, found.map(|[last, _]| last));
        }
        Rule::TypicalP if number < 1.0 => typical(order, kept, number),
        Rule::MinP => {
            let first = order.first(&|prefix| prefix.count > before.count).map_or(0.0, |[_, at]| at.last.logit);
            kept.least(order, number * statistics.weight(first));
        }
        Rule::Epsilon => {
            let mass = kept.sums(order).mass();
            kept.least(order, number * mass);
        }
        Rule::Eta => {
            let now = kept.sums(order);
            let share = number.sqrt() * exp_f64(-entropy(&before, &now.until));
            kept.least(order, number.min(share) * now.mass());
        }
        Rule::TopNSigma => {
            let found = order.at_least(statistics.maximum - number * statistics.deviation());
            kept.end(order, found);
        }
        Rule::PLess => kept.least(order, statistics.z2 / statistics.z0),
        Rule::Surprise => kept.least(order, statistics.z0 * libm::exp2(-number)),
        Rule::TopP | Rule::TopH | Rule::TypicalP => {}
    }
}

/// The tokens whose d is nearest to its mean, until they have a share of the mass: an interval around the mean, that grows
/// by the nearer neighbour and holds one token at least. Tokens as near as the last one are kept as well.
fn typical<T: Logit>(order: &mut Order<T>, kept: &mut Kept, share: f64) {
    let now = kept.sums(order);
    order.know(now.until.count);
    let (first, end) = (now.before.count, now.until.count.min(order.reach()));
    let (maximum, temperature) = (order.statistics().maximum, order.statistics().temperature);
    let mean = (now.until.moment - now.before.moment) / now.mass();
    let away = |i: usize| ((order.prefix(i + 1).last.logit - maximum) / temperature - mean).abs();
    let mut left = first + order.tokens(first, end).partition_point(|x| (x.last.logit - maximum) / temperature >= mean);
    let (mut right, target) = (left, share * now.mass());
    let (mut mass, mut farthest) = (0.0, 0.0);
    while left > first || right < end {
        let goes_left = left > first && (right == end || away(left - 1) <= away(right));
        let taken = if goes_left { left - 1 } else { right };
        if left < right && mass >= target && away(taken) > farthest {
            break;
        }
        (left, right) = if goes_left { (left - 1, right) } else { (left, right + 1) };
        farthest = away(taken);
        mass += order.prefix(taken + 1).mass - order.prefix(taken).mass;
    }
    *kept = Kept { before: order.prefix(left), until: order.prefix(right), all: false };
}

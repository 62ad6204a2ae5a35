//! Pool adjacent violators: the blocks of an isotonic regression, in one pass over a sorted list.
//!
//! ```text
//! for each item: new = the block of this item alone
//!     while there is a block before `new` whose optimal value is <= that of `new`:  merge the two
//!     push new
//! ```
//!
//! "<=" pools ties. Only decisions are made here, and the sums of kl ranks: other values of blocks are summed afresh once
//! they are known.
//!
//! Nobody can foresee whether two blocks merge, least of all the processor, which stalls at every other item. Blocks may
//! be merged in any order, so most of the work is done before, without branches: every run of neighbors that rise is one
//! block. After two such rounds few blocks are left to merge.
//!
//! ```text
//! twice:  k = 0;  union = the first block
//!     for each pair of neighbors (before, new):
//!         if they are to merge:  union += new    else:  k += 1;  union = new        (both by selecting numbers)
//!         blocks[k] = union
//! ```

use crate::fresh::room;
use crate::simd::dispatch;
use std::hint::select_unpredictable as select;
use std::ops::Range;

/// A block that begins at `start`, with two sums over it.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    start: usize,
    a: f64,
    b: f64,
}

/// Which blocks merge, and to what.
trait Rule {
    /// The block of one item.
    fn single(&self, item: usize) -> Block;
    /// Replaces `blocks` by those of some items, merged ahead where that is cheap.
    #[inline(always)]
    fn begin(&self, items: Range<usize>, blocks: &mut Vec<Block>) {
        blocks.clear();
        blocks.extend(items.map(|item| self.single(item)));
    }
    /// Whether two neighbours merge, the second of which ends at `end`.
    fn merge(&self, before: &Block, new: &Block, end: usize) -> bool;
    /// Their union.
    fn union(&self, before: &Block, new: &Block, end: usize) -> Block;
}

/// Working memory, kept from list to list.
#[derive(Debug, Default)]
pub struct Stack {
    blocks: Vec<Block>,
    /// The next blocks to be pushed.
    ahead: Vec<Block>,
}

/// Items whose blocks are merged ahead: they stay in the nearest cache.
const CHUNK: usize = 512;

impl Stack {
    /// The loops of the module's description, with so many rounds of the second one.
    #[inline(always)]
    fn pool(&mut self, n: usize, rule: &impl Rule, rounds: usize, ends: &mut Vec<u32>) {
        let Self { blocks, ahead } = self;
        blocks.clear();
        for start in (0..n).step_by(CHUNK) {
            let end = n.min(start + CHUNK);
            rule.begin(start..end, ahead);
            for _ in 0..rounds {
                merge_rises(ahead, end, rule);
            }
            for (at, &block) in ahead.iter().enumerate() {
                let (mut new, end) = (block, ahead.get(at + 1).map_or(end, |next| next.start));
                while let Some(last) = blocks.last().filter(|last| rule.merge(last, &new, end)) {
                    new = rule.union(last, &new, end);
                    blocks.pop();
                }
                blocks.push(new);
            }
        }
        ends.clear();
        ends.extend(blocks.iter().skip(1).map(|block| block.start as u32));
        ends.extend((n > 0).then_some(n as u32));
    }

    pub(super) const fn bytes(&self) -> usize {
        (self.blocks.capacity() + self.ahead.capacity()) * size_of::<Block>()
    }

    /// The sum of a over one of the blocks that were found last, in units of the first number after
    /// [`Stack::log_ratio`].
    #[inline(always)]
    #[must_use]
    pub fn sum(&self, block: usize) -> f64 {
        self.blocks.get(block).map_or(0.0, |block| block.a)
    }

    /// Blocks on which the least-squares fit of a falling sequence to `a_i` = alpha `u_i` - beta (n - i) is constant, for
    /// falling u.
    ///
    /// Sums are those of `a_i` - `a_start`, so that ties stay exact however large their common value.
    pub fn linear(&mut self, u: &[f64], alpha: f64, beta: f64, ends: &mut Vec<u32>) {
        solve_linear(self, &Linear { u, alpha, beta }, ends);
    }

    /// Blocks of the sequence `a_i` / (m - i), all `a_i` positive, the value of a block being the ratio of its sums.
    pub fn ratio_to_ranks(&mut self, a: &[f64], m: usize, ends: &mut Vec<u32>) {
        solve_ranks(self, a, m, ends);
    }

    /// Blocks of the sequence `a_i` / `b_i`, both positive, likewise.
    pub fn ratio(&mut self, a: &[f64], b: &[f64], ends: &mut Vec<u32>) {
        solve_ratio(self, a, b, ends);
    }

    /// [`Stack::ratio`] for numbers of any size, given the falls of their logarithms: `fall_a(i, j)` is the fall from
    /// item i to item j.
    ///
    /// The sums of a block are in units of its first numbers.
    pub fn log_ratio(
        &mut self,
        n: usize,
        ends: &mut Vec<u32>,
        fall_a: impl Fn(usize, usize) -> f64,
        fall_b: impl Fn(usize, usize) -> f64,
    ) {
        self.pool(n, &LogRatio { fall_a, fall_b }, 0, ends);
    }
}

/// The second loop of the module's description, once, for blocks of which the last ends at `end`.
#[inline(always)]
fn merge_rises(blocks: &mut Vec<Block>, end: usize, rule: &impl Rule) {
    let Some(&first) = blocks.first() else { return };
    let (mut before, mut union, mut count) = (first, first, 0);
    for at in 1..blocks.len() {
        let new = blocks[at];
        let end = blocks.get(at + 1).map_or(end, |next| next.start);
        let merge = rule.merge(&before, &new, end);
        let merged = rule.union(&union, &new, end);
        union = Block {
            start: select(merge, merged.start, new.start),
            a: select(merge, merged.a, new.a),
            b: select(merge, merged.b, new.b),
        };
        count += usize::from(!merge);
        blocks[count] = union;
        before = new;
    }
    blocks.truncate(count + 1);
}

/// Differences of a sequence to its first item in each block: a is their sum, b the first item's u.
struct Linear<'a> {
    u: &'a [f64],
    alpha: f64,
    beta: f64,
}

impl Linear<'_> {
    /// How much the sequence falls from the first item of a block to that of the next.
    #[inline(always)]
    fn fall(&self, before: &Block, new: &Block) -> f64 {
        self.alpha * (before.b - new.b) - self.beta * length(before.start, new.start)
    }
}

#[inline(always)]
fn length(start: usize, end: usize) -> f64 {
    (end as i64 - start as i64) as f64
}

impl Rule for Linear<'_> {
    #[inline(always)]
    fn single(&self, start: usize) -> Block {
        Block { start, a: 0.0, b: self.u[start] }
    }
    /// The first of the rounds, with a running distance to the first item of the block.
    #[inline(always)]
    fn begin(&self, items: Range<usize>, blocks: &mut Vec<Block>) {
        room(blocks, items.len(), Block::default());
        let u = &self.u[items.clone()];
        let (mut union, mut distance, mut count) = (self.single(items.start), 0.0, 0);
        blocks[0] = union;
        for (i, (&before, &new)) in u.iter().zip(&u[1..]).enumerate() {
            let fall = self.alpha * (before - new) - self.beta;
            let merge = fall <= 0.0;
            distance = select(merge, distance - fall, 0.0);
            union = Block {
                start: select(merge, union.start, items.start + i + 1),
                a: select(merge, union.a + distance, 0.0),
                b: select(merge, union.b, new),
            };
            count += usize::from(!merge);
            blocks[count] = union;
        }
        blocks.truncate(count + 1);
    }
    #[inline(always)]
    fn merge(&self, before: &Block, new: &Block, end: usize) -> bool {
        let (c, d) = (length(before.start, new.start), length(new.start, end));
        (self.fall(before, new) * c + before.a) * d <= new.a * c
    }
    #[inline(always)]
    fn union(&self, before: &Block, new: &Block, end: usize) -> Block {
        let d = length(new.start, end);
        Block { start: before.start, a: before.a + (new.a - self.fall(before, new) * d), b: before.b }
    }
}

/// a and b are sums of two sequences.
struct Ratio<A, B> {
    a: A,
    b: B,
}

impl<A: Fn(usize) -> f64, B: Fn(usize) -> f64> Rule for Ratio<A, B> {
    #[inline(always)]
    fn single(&self, start: usize) -> Block {
        Block { start, a: (self.a)(start), b: (self.b)(start) }
    }
    #[inline(always)]
    fn merge(&self, before: &Block, new: &Block, _: usize) -> bool {
        before.a * new.b <= new.a * before.b
    }
    #[inline(always)]
    fn union(&self, before: &Block, new: &Block, _: usize) -> Block {
        Block { start: before.start, a: before.a + new.a, b: before.b + new.b }
    }
}

/// a and b are sums in units of the block's first numbers, given by the falls of logarithms.
struct LogRatio<A, B> {
    fall_a: A,
    fall_b: B,
}

impl<A: Fn(usize, usize) -> f64, B: Fn(usize, usize) -> f64> Rule for LogRatio<A, B> {
    #[inline(always)]
    fn single(&self, start: usize) -> Block {
        Block { start, a: 1.0, b: 1.0 }
    }
    #[inline(always)]
    fn merge(&self, before: &Block, new: &Block, end: usize) -> bool {
        let fall = (self.fall_a)(before.start, new.start) - (self.fall_b)(before.start, new.start);
        let alone = end - before.start == 2;
        if alone { fall <= 0.0 } else { fall.exp() * before.a * new.b <= new.a * before.b }
    }
    #[inline(always)]
    fn union(&self, before: &Block, new: &Block, _: usize) -> Block {
        let sum = |before: f64, fall: f64, new: f64| before + (-fall).exp() * new;
        let (fall_a, fall_b) = ((self.fall_a)(before.start, new.start), (self.fall_b)(before.start, new.start));
        Block { start: before.start, a: sum(before.a, fall_a, new.a), b: sum(before.b, fall_b, new.b) }
    }
}

dispatch! {
    fn solve_linear(stack: &mut Stack, rule: &Linear<'_>, ends: &mut Vec<u32>) = linear_each
}

#[inline(always)]
fn linear_each(stack: &mut Stack, rule: &Linear<'_>, ends: &mut Vec<u32>) {
    stack.pool(rule.u.len(), rule, 1, ends);
}

dispatch! {
    fn solve_ratio(stack: &mut Stack, a: &[f64], b: &[f64], ends: &mut Vec<u32>) = ratio_each
}

#[inline(always)]
fn ratio_each(stack: &mut Stack, a: &[f64], b: &[f64], ends: &mut Vec<u32>) {
    stack.pool(a.len(), &Ratio { a: |i: usize| a[i], b: |i: usize| b[i] }, 2, ends);
}

dispatch! {
    fn solve_ranks(stack: &mut Stack, a: &[f64], m: usize, ends: &mut Vec<u32>) = ranks_each
}

#[inline(always)]
fn ranks_each(stack: &mut Stack, a: &[f64], m: usize, ends: &mut Vec<u32>) {
    stack.pool(a.len(), &Ratio { a: |i: usize| a[i], b: |i: usize| (m - i) as f64 }, 2, ends);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_pool_and_falling_values_stay_apart() {
        let (mut stack, mut ends) = (Stack::default(), Vec::new());
        stack.linear(&[3.0, 2.0, 1.0], 1.0, 0.5, &mut ends);
        assert_eq!(ends, [1, 2, 3]);
        stack.linear(&[3.0, 2.0, 1.0], 1.0, 1.0, &mut ends);
        assert_eq!(ends, [3]);
        stack.linear(&[1e30, 1e30, 1e30, -1e30], 1.0, 1e-8, &mut ends);
        assert_eq!(ends, [3, 4]);
        stack.linear(&[], 1.0, 1.0, &mut ends);
        assert!(ends.is_empty());
    }

    #[test]
    fn ratios_and_their_logarithms_agree() {
        let (mut stack, mut plain, mut logs) = (Stack::default(), Vec::new(), Vec::new());
        let a: Vec<f64> = (0..200).map(|i| (-f64::from(i) * 0.05 - f64::from(i * i % 17) * 0.1).exp()).collect();
        let b: Vec<f64> = (0..200).map(|i| f64::from(200 - i)).collect();
        stack.ratio(&a, &b, &mut plain);
        stack.log_ratio(200, &mut logs, |i, j| (a[i] / a[j]).ln(), |i, j| (b[i] / b[j]).ln());
        assert_eq!(plain, logs);
        assert!(plain.len() > 2 && plain.len() < 200);
    }
}

//! Pool adjacent violators: the blocks of an isotonic regression, in one pass over a sorted list.
//!
//! ```text
//! for each item: new = the block of this item alone
//!     while there is a block before `new` whose optimal value is <= that of `new`:  merge the two
//!     push new
//! ```
//!
//! "<=" pools ties. Only decisions are made here; the values of the blocks are summed afresh once they are known.

/// A block that begins at `start`, with two sums over it.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    start: usize,
    a: f64,
    b: f64,
}

/// Working memory, kept from list to list.
#[derive(Debug, Default)]
pub struct Stack(Vec<Block>);

impl Stack {
    /// The loop of the module's description. `single(i)` is the block of one item; `merged(before, new, end)` is the union
    /// of two neighbours, the second of which ends at `end`, or None where they stay apart.
    #[inline(always)]
    fn pool(
        &mut self,
        n: usize,
        ends: &mut Vec<u32>,
        single: impl Fn(usize) -> Block,
        merged: impl Fn(&Block, &Block, usize) -> Option<Block>,
    ) {
        let stack = &mut self.0;
        stack.clear();
        ends.clear();
        if n == 0 {
            return;
        }
        let mut last = single(0);
        for i in 1..n {
            let mut new = single(i);
            while let Some(union) = merged(&last, &new, i + 1) {
                new = union;
                match stack.pop() {
                    Some(before) => last = before,
                    None => break,
                }
            }
            if new.start > last.start {
                stack.push(last);
            }
            last = new;
        }
        stack.push(last);
        ends.extend(stack[1..].iter().map(|block| block.start as u32));
        ends.push(n as u32);
    }

    /// Blocks on which the least-squares fit of a falling sequence to `a_i` = alpha `u_i` - beta (n - i) is constant, for
    /// falling u.
    ///
    /// Sums are those of `a_i` - `a_start`, so that ties stay exact however large their common value.
    pub fn linear(&mut self, u: &[f64], alpha: f64, beta: f64, ends: &mut Vec<u32>) {
        let single = |start| Block { start, a: 0.0, b: 0.0 };
        self.pool(u.len(), ends, single, |last, new, end| {
            let (c, d) = ((new.start - last.start) as f64, (end - new.start) as f64);
            let fall = alpha * (u[last.start] - u[new.start]) - beta * c;
            let apart = (fall * c + last.a) * d > new.a * c;
            (!apart).then_some(Block { start: last.start, a: last.a + new.a - fall * d, b: 0.0 })
        });
    }

    /// Blocks of the sequence `a_i` / `b_i`, both positive, the value of a block being the ratio of its sums.
    pub fn ratio(&mut self, a: &[f64], b: &[f64], ends: &mut Vec<u32>) {
        let single = |start: usize| Block { start, a: a[start], b: b[start] };
        self.pool(a.len(), ends, single, |last, new, _| {
            let apart = last.a * new.b > new.a * last.b;
            (!apart).then_some(Block { start: last.start, a: last.a + new.a, b: last.b + new.b })
        });
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
        let single = |start| Block { start, a: 1.0, b: 1.0 };
        self.pool(n, ends, single, |last, new, end| {
            let (fall_a, fall_b) = (fall_a(last.start, new.start), fall_b(last.start, new.start));
            let fall = fall_a - fall_b;
            let alone = end - last.start == 2;
            let apart = if alone { fall > 0.0 } else { fall.exp() * last.a * new.b > new.a * last.b };
            let sum = |last: f64, fall: f64, new: f64| last + (-fall).exp() * new;
            (!apart).then(|| Block { start: last.start, a: sum(last.a, fall_a, new.a), b: sum(last.b, fall_b, new.b) })
        });
    }
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

//! A set of numbers in which equal numbers cancel; the largest comes first.

use std::collections::BinaryHeap;

/// Few numbers are kept in order; when they become many they move to a heap, where equal ones cancel as they are taken.
#[derive(Debug, Default)]
pub struct Queue {
    /// Ascending, all different.
    few: Vec<u64>,
    many: BinaryHeap<u64>,
}

/// Numbers that are kept in order.
const FEW: usize = 48;

impl Queue {
    /// Adds a number, or takes it out if it is there.
    #[inline]
    pub fn push(&mut self, item: u64) {
        let mut at = self.few.len();
        while at > 0 && self.few[at - 1] > item {
            at -= 1;
        }
        if at > 0 && self.few[at - 1] == item {
            self.few.remove(at - 1);
            return;
        }
        self.few.insert(at, item);
        if self.few.len() > FEW {
            self.many.extend(self.few.drain(..));
        }
    }

    /// Adds numbers that ascend.
    pub fn extend(&mut self, items: &[u64]) {
        if items.len() > FEW {
            self.many.extend(items);
        } else {
            items.iter().for_each(|&item| self.push(item));
        }
    }

    /// Takes the largest number.
    #[inline]
    pub fn pop(&mut self) -> Option<u64> {
        if self.many.is_empty() {
            return self.few.pop();
        }
        loop {
            let item = self.many.peek().copied().max(self.few.last().copied())?;
            let mut odd = self.few.last() == Some(&item);
            if odd {
                self.few.pop();
            }
            while self.many.peek() == Some(&item) {
                self.many.pop();
                odd = !odd;
            }
            if odd {
                return Some(item);
            }
        }
    }

    /// Moves all numbers to the end of a list, ascending.
    pub fn drain(&mut self, to: &mut Vec<u64>) {
        if self.many.is_empty() {
            to.append(&mut self.few);
            return;
        }
        let begin = to.len();
        to.append(&mut self.few);
        to.extend(self.many.drain());
        to[begin..].sort_unstable();
        let mut end = begin;
        for i in begin..to.len() {
            if end > begin && to[end - 1] == to[i] {
                end -= 1;
            } else {
                to[end] = to[i];
                end += 1;
            }
        }
        to.truncate(end);
    }
}

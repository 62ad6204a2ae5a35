//! Two sets of positive numbers in which equal numbers cancel and the largest comes first.

use std::collections::BinaryHeap;

/// Few numbers lie in any order and are looked through; when they become many they move to a heap. Equal ones cancel as
/// they are taken. Without branches for what comes next, as that cannot be foretold.
#[derive(Debug)]
pub struct Queue {
    few: [u64; FEW],
    len: usize,
    many: BinaryHeap<u64>,
}

/// Numbers that are looked through.
const FEW: usize = 32;

impl Default for Queue {
    fn default() -> Self {
        Self { few: [0; FEW], len: 0, many: BinaryHeap::new() }
    }
}

impl Queue {
    /// Adds a number, or takes it out if it is there; if `really`.
    #[inline]
    pub fn push(&mut self, item: u64, really: bool) {
        self.few[self.len] = item;
        self.len += usize::from(really);
        if self.len == FEW {
            self.many.extend(&self.few);
            self.len = 0;
        }
    }

    /// Takes all numbers out.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
        self.many.clear();
    }

    /// Takes the largest number.
    #[inline]
    pub fn pop(&mut self) -> Option<u64> {
        loop {
            let mut last = self.few[..self.len].iter().copied().fold(0, u64::max);
            last = last.max(self.many.peek().copied().unwrap_or(0));
            if last == 0 {
                return None;
            }
            let before = self.len;
            let mut kept = 0;
            for i in 0..before {
                let item = self.few[i];
                self.few[kept] = item;
                kept += usize::from(item != last);
            }
            self.len = kept;
            let mut odd = (before - kept) % 2 == 1;
            while self.many.peek() == Some(&last) {
                self.many.pop();
                odd = !odd;
            }
            if odd {
                return Some(last);
            }
        }
    }
}

/// Numbers below a bound as bits, with a bit for each word that is not 0, and so on up to one word.
#[derive(Debug)]
pub struct BitTree {
    levels: Vec<Vec<u64>>,
}

impl BitTree {
    /// No number below `bound`.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        let (mut levels, mut size) = (Vec::new(), bound);
        loop {
            size = size.div_ceil(64).max(1);
            levels.push(vec![0; size]);
            if size == 1 {
                return Self { levels };
            }
        }
    }

    /// Adds a number, or takes it out if it is there.
    #[inline]
    pub fn flip(&mut self, mut item: u32) {
        for level in &mut self.levels {
            let word = &mut level[item as usize / 64];
            let empty = *word == 0;
            *word ^= 1 << (item % 64);
            if !empty && *word != 0 {
                return;
            }
            item /= 64;
        }
    }

    /// The largest number.
    #[inline]
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        let mut at = 0;
        for level in self.levels.iter().rev() {
            at = 64 * at + 63_u32.checked_sub(level[at as usize].leading_zeros())?;
        }
        Some(at)
    }

    /// Moves all numbers to the end of a list.
    pub fn drain(&mut self, to: &mut Vec<u32>) {
        while let Some(last) = self.last() {
            to.push(last);
            self.flip(last);
        }
    }
}

//! Sets of numbers in which equal numbers cancel and the largest comes first.

/// Numbers below a bound as bits, with a bit for each word that is not 0, and so on up to one word.
#[derive(Debug)]
pub struct BitTree {
    levels: Vec<Vec<u64>>,
    drained: Vec<u32>,
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
                return Self { levels, drained: Vec::new() };
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

    /// Takes all numbers out, the largest first.
    pub fn drain(&mut self) -> &[u32] {
        self.drained.clear();
        while let Some(last) = self.last() {
            self.drained.push(last);
            self.flip(last);
        }
        &self.drained
    }
}

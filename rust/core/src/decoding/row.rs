//! One row of logits: read once, then asked for its largest tokens.

use crate::decoding::cut::Bracket;
use crate::decoding::leaf::{self, LANES, LEAF, Leaf};
use crate::decoding::list::List;
use crate::decoding::logit::Logit;
use crate::decoding::select;
use crate::decoding::statistics::{Statistics, Sums};
use crate::error::{Result, invalid};
use crate::lent::{Keep, Store};
use std::cell::RefCell;
use std::thread::LocalKey;

/// Blocks have at least so many logits: one step of a loop over lanes.
const SMALLEST: usize = leaf::WIDTH;
const GREATEST: usize = 128;
/// Blocks for each token that is asked for: then hardly any block holds two of them.
const BLOCKS: usize = 3;

/// Shorter rows have too few numbers in a lane.
const SPREAD: usize = 2048;

/// A token and its logit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Token {
    /// The logit, exactly.
    pub logit: f64,
    /// Its place in the row.
    pub index: u32,
}

/// How a row is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// > 0; what the sums are made at.
    pub temperature: f64,
    /// The sums that are wanted.
    pub sums: Sums,
    /// How many tokens will be asked for, about.
    pub expected: usize,
}

/// Working memory of a thread.
#[derive(Debug)]
pub struct Memory<T: Logit> {
    maxima: Vec<T::Key>,
    /// The maxima of the places that are equal mod 256: neighbors, many of which may be large, are in different lanes.
    lanes: [T; LANES],
    leaves: Vec<Leaf>,
    keys: Vec<T::Key>,
    found: Vec<T::Packed>,
    tokens: Vec<Token>,
    lists: [List<T>; 3],
}

impl<T: Logit> Default for Memory<T> {
    fn default() -> Self {
        let (maxima, leaves, keys, found, tokens, lists) = Default::default();
        Self { maxima, lanes: [-T::INFINITY; LANES], leaves, keys, found, tokens, lists }
    }
}

impl<T: Logit> Keep for Memory<T> {
    const MOST: usize = 8 << 20;
    fn store() -> &'static LocalKey<RefCell<Store<Self>>> {
        T::store()
    }
    fn bytes(&self) -> usize {
        (self.maxima.capacity() + self.keys.capacity()) * size_of::<T::Key>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.found.capacity() * size_of::<T::Packed>()
            + self.tokens.capacity() * size_of::<Token>()
            + self.lists.iter().map(List::bytes).sum::<usize>()
    }
    fn forget(&mut self) {}
}

/// A row that was read.
#[derive(Debug)]
pub struct Row<'a, T: Logit> {
    values: &'a [T],
    memory: &'a mut Memory<T>,
    block: usize,
    /// What was asked for, and the maximum.
    pub statistics: Statistics,
}

impl<'a, T: Logit> Row<'a, T> {
    /// Reads row `number` of the argument `logits`.
    ///
    /// # Errors
    /// When a logit is NaN or +inf, or all are -inf.
    pub fn read(values: &'a [T], number: usize, reading: Reading, memory: &'a mut Memory<T>) -> Result<Self> {
        let row = Self::scan(values, reading, memory, |column, x| {
            if x == T::INFINITY || x.partial_cmp(&x).is_none() {
                return Err(invalid!("logits must be finite or -inf, got {x} at row {number}, column {column}"));
            }
            Ok(())
        })?;
        if row.statistics.maximum == f64::NEG_INFINITY {
            return Err(invalid!("logits must have a finite number in every row, got only -inf in row {number}"));
        }
        Ok(row)
    }

    /// Reads numbers of any kind; `check` is shown those of a leaf in which one is not finite.
    pub(super) fn scan(
        values: &'a [T],
        reading: Reading,
        memory: &'a mut Memory<T>,
        check: impl Fn(usize, T) -> Result<()>,
    ) -> Result<Self> {
        let mut block = GREATEST;
        while block > SMALLEST && values.len() / block < BLOCKS * reading.expected {
            block /= 2;
        }
        memory.maxima.clear();
        memory.maxima.resize(values.len().div_ceil(block), T::LOWEST);
        memory.lanes.fill(-T::INFINITY);
        memory.leaves.clear();
        for ((number, leaf), keys) in values.chunks(LEAF).enumerate().zip(memory.maxima.chunks_mut(LEAF / block)) {
            let suspect = T::maxima(leaf, block, keys, &mut memory.lanes);
            let maximum = T::value(keys.iter().copied().max().unwrap_or(T::LOWEST));
            if suspect || maximum == T::INFINITY {
                leaf.iter().enumerate().try_for_each(|(l, &x)| check(number * LEAF + l, x))?;
            }
            memory.leaves.push(leaf::sums(leaf, maximum, reading.temperature, reading.sums));
        }
        let statistics = Statistics::of(&memory.leaves, reading.temperature, reading.sums);
        Ok(Self { values, memory, block, statistics })
    }

    /// The `k` largest tokens, or all that are not -inf, sorted: value decreasing, then index increasing.
    pub fn largest(&mut self, k: usize) -> &[Token] {
        let live = |found: &[T::Packed]| found.iter().take_while(|&&x| T::unpack(x).0 > T::LOWEST).count();
        self.select(k);
        let count = live(&self.memory.found);
        self.tokens(count)
    }

    /// All tokens whose logit is at least `least` and not -inf, sorted.
    pub fn at_least(&mut self, least: T) -> &[Token] {
        let least = if least > -T::LARGEST { least } else { -T::LARGEST };
        self.gather(least, usize::MAX);
        self.memory.found.sort_unstable();
        self.tokens(self.memory.found.len())
    }

    /// Lists the logits from some one on, at least `k` and mostly few more, first; that one.
    pub(super) fn head(&mut self, k: usize) -> T {
        let least = T::value(self.bound(k));
        let least = if least > -T::LARGEST { least } else { -T::LARGEST };
        let mut list = std::mem::take(&mut self.memory.lists[0]);
        list.clear();
        for (_, values) in self.blocks(least.key()) {
            T::inside(values, Bracket { low: least, high: T::INFINITY }, &mut list);
        }
        self.memory.lists[0] = list;
        least
    }

    /// Room for lists of tokens.
    pub(super) fn lists(&mut self) -> &mut [List<T>; 3] {
        &mut self.memory.lists
    }

    /// The maxima of blocks of the row.
    pub(super) fn maxima(&self) -> impl Iterator<Item = f64> {
        self.memory.maxima.iter().map(|&key| T::value(key).wide())
    }

    /// All tokens whose logit is at least `least` and not -inf, packed, by index.
    pub(super) fn reach(&mut self, least: T) -> &[T::Packed] {
        self.gather(if least > -T::LARGEST { least } else { -T::LARGEST }, usize::MAX);
        &self.memory.found
    }

    fn tokens(&mut self, count: usize) -> &[Token] {
        let token = |&packed: &T::Packed| {
            let (key, index) = T::unpack(packed);
            Token { logit: T::value(key).wide(), index }
        };
        self.memory.tokens.clear();
        self.memory.tokens.extend(self.memory.found[..count].iter().map(token));
        &self.memory.tokens
    }

    /// Finds the `k` largest, -inf among them, and returns them packed and sorted.
    pub(super) fn select(&mut self, k: usize) -> &[T::Packed] {
        let k = k.min(self.values.len());
        if self.spread(k) {
            T::arrange(&mut self.memory.found, k);
            return &self.memory.found;
        }
        let mut bound = self.bound(k);
        let mut few = self.gather(T::value(bound), 2 * k + leaf::WIDTH);
        // More blocks than that reach the bound only where many of their maxima equal it.
        if !few && BLOCKS * k <= self.memory.maxima.len() && self.blocks(bound).count() <= 2 * k {
            bound = self.finer(bound, k);
            few = self.gather(T::value(bound), 16 * k);
        }
        if !few {
            let exact = if self.above(bound) < k { bound } else { self.refined(bound, k) };
            self.gather_with_ties(exact, k);
        }
        T::arrange(&mut self.memory.found, k);
        &self.memory.found
    }

    /// Finds the k largest and few more by the maxima of lanes; false where these are not known or too many reach them.
    fn spread(&mut self, k: usize) -> bool {
        if k == 0 || 2 * k > LANES || self.values.len() < SPREAD {
            return false;
        }
        let keys = self.memory.lanes.map(T::key);
        let bound = select::threshold::<T>(&keys, k);
        bound > T::LOWEST && self.gather(T::value(bound), 2 * k + leaf::WIDTH)
    }

    /// A key that at least `k` numbers reach.
    fn bound(&mut self, k: usize) -> T::Key {
        if 2 * k >= self.values.len() {
            return T::LOWEST;
        }
        let blocks = self.memory.maxima.len();
        if BLOCKS * k <= blocks {
            return select::threshold::<T>(&self.memory.maxima, k);
        }
        if BLOCKS * k <= blocks * leaf::WIDTH && self.block > leaf::WIDTH {
            return self.finer(T::LOWEST, k);
        }
        self.memory.keys.clear();
        self.memory.keys.extend(self.values.iter().map(|x| x.key()));
        select::threshold::<T>(&self.memory.keys, k)
    }

    /// The same from parts of the blocks that reach `key`, where few blocks hold most of what is looked for.
    fn finer(&mut self, key: T::Key, k: usize) -> T::Key {
        let mut keys = std::mem::take(&mut self.memory.keys);
        keys.clear();
        for (_, values) in self.blocks(key) {
            let mut lanes = [T::LOWEST; leaf::WIDTH];
            leaf::lane_maxima(values, &mut lanes);
            keys.extend_from_slice(&lanes);
        }
        let found = select::threshold::<T>(&keys, k);
        self.memory.keys = keys;
        found
    }

    /// How many numbers are above the key.
    fn above(&self, key: T::Key) -> usize {
        let bound = T::value(key);
        self.blocks(key).map(|(_, values)| select::above(values, bound)).sum()
    }

    /// A key that at least `k` of the numbers from `key` on reach, and that fewer than `k` or few more are above.
    fn refined(&mut self, key: T::Key, k: usize) -> T::Key {
        let mut keys = std::mem::take(&mut self.memory.keys);
        keys.clear();
        for (_, values) in self.blocks(key) {
            keys.extend(values.iter().map(|x| x.key()));
        }
        let found = select::threshold::<T>(&keys, k);
        self.memory.keys = keys;
        found
    }

    /// The blocks with a number that reaches the key, and where they begin.
    fn blocks(&self, key: T::Key) -> impl Iterator<Item = (usize, &'a [T])> {
        let blocks = self.memory.maxima.iter().zip(self.values.chunks(self.block)).enumerate();
        let block = self.block;
        blocks.filter(move |(_, (maximum, _))| **maximum >= key).map(move |(n, (_, values))| (n * block, values))
    }

    /// Finds the numbers that are at least `least`, in the order of their places; false where there are more than `most`.
    fn gather(&mut self, least: T, most: usize) -> bool {
        let mut found = std::mem::take(&mut self.memory.found);
        found.clear();
        T::gather(self.values, self.block, &self.memory.maxima, least, most, &mut found);
        self.memory.found = found;
        self.memory.found.len() <= most
    }

    /// All numbers above the key, and of those that equal it the first, up to `k` numbers.
    fn gather_with_ties(&mut self, key: T::Key, k: usize) {
        self.gather(T::value(T::after(key)), usize::MAX);
        let mut found = std::mem::take(&mut self.memory.found);
        let tied = T::value(key);
        for (start, values) in self.blocks(key) {
            if found.len() >= k {
                break;
            }
            let ties = values.iter().enumerate().filter(|(_, x)| **x == tied);
            found.extend(ties.map(|(l, _)| T::pack(tied.key(), (start + l) as u32)).take(k - found.len()));
        }
        self.memory.found = found;
    }
}

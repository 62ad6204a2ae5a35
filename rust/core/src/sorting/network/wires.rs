//! The comparators of a sorting network, layer by layer.
//!
//! Every comparator sends the smaller score to its first wire, which is the lower one, so that after the last layer wire r
//! carries rank r.
//!
//! ```text
//! odd-even   layer t = 0 .. n:             (i, i + 1) for i = t mod 2, t mod 2 + 2, ...
//! bitonic    on 2^k wires, for b = 1 .. k: (i, i ^ (2^b - 1)) for i with bit b - 1 clear,
//!                              for j = b - 2 .. 0: (i, i + 2^j) for i with bit j clear
//! ```
//!
//! This is Batcher's network with the descending halves turned round. Where n is not a power of two, the lowest 2^k - n
//! wires are thought to carry minus infinity: there they stay, so their comparators are left out and nothing mixes with
//! them.
//!
//! On the way back a comparator between two equal numbers changes nothing. Where P^T u is wanted of a u that is constant
//! on the first wires and on the last ones, an odd-even network needs only the comparators inside a cone: it begins
//! between the two, with the last layer, and grows by a wire on either side with each layer before.

use std::ops::Range;

/// The shape of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Odd-even transposition sort: n layers.
    OddEven,
    /// Batcher's bitonic sort: k (k + 1) / 2 layers for 2^(k - 1) < n <= 2^k.
    Bitonic,
}

/// The comparators for one number of wires.
#[derive(Debug, Default)]
pub struct Network {
    /// Number of wires.
    wires: usize,
    /// Comparators of the distinct layers, each layer filled up to whole blocks.
    pairs: Vec<[u32; 2]>,
    /// Where each distinct layer begins, then where the last ends.
    starts: Vec<usize>,
    /// The comparators of each layer.
    layers: Vec<Range<usize>>,
}

impl Network {
    /// The network on `wires` wires. Every layer is filled up to a multiple of `block` comparators with comparators
    /// between the wires `wires` and `wires + 1`, which no item enters.
    #[must_use]
    pub fn new(form: Form, wires: usize, block: usize) -> Self {
        let mut network = Self { wires, starts: vec![0], ..Self::default() };
        if wires > 1 {
            match form {
                Form::OddEven => network.odd_even(block),
                Form::Bitonic => network.bitonic(block),
            }
        }
        network
    }

    /// The number of wires that items enter.
    #[must_use]
    pub const fn wires(&self) -> usize {
        self.wires
    }

    /// The number of layers.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The comparators of a layer: the lower wire, then the upper.
    #[inline]
    #[must_use]
    pub fn layer(&self, layer: usize) -> &[[u32; 2]] {
        &self.pairs[self.layers[layer].clone()]
    }

    /// The size of the largest layer.
    #[must_use]
    pub fn width(&self) -> usize {
        self.layers.iter().map(ExactSizeIterator::len).max().unwrap_or(0)
    }

    fn odd_even(&mut self, block: usize) {
        for first in 0..2 {
            self.add((first..self.wires - 1).step_by(2).map(|i| [i, i + 1]), block);
        }
        self.layers = (0..self.wires).map(|layer| self.distinct(layer % 2)).collect();
    }

    /// Layer 2 j is the one over the distance 2^j, layer 2 j + 1 the one that turns 2^(j + 1) wires round.
    fn bitonic(&mut self, block: usize) {
        let bits = self.wires.next_power_of_two().ilog2();
        let missing = (1 << bits) - self.wires;
        let clear = |bit: u32| (0..1usize << (bits - 1)).map(move |i| (i >> bit << (bit + 1)) | (i & ((1 << bit) - 1)));
        let real = |pair: &[usize; 2]| pair[0] >= missing;
        let shifted = |pair: [usize; 2]| pair.map(|wire| wire - missing);
        for bit in 0..bits {
            self.add(clear(bit).map(|i| [i, i + (1 << bit)]).filter(real).map(shifted), block);
            self.add(clear(bit).map(|i| [i, i ^ ((2 << bit) - 1)]).filter(real).map(shifted), block);
        }
        for bit in 0..bits {
            for layer in std::iter::once(2 * bit + 1).chain((0..bit).rev().map(|lower| 2 * lower)) {
                self.layers.push(self.distinct(layer as usize));
            }
        }
    }

    /// The network without comparators, in whole blocks, that change no P^T u of a u that is constant on the wires before
    /// `low` and on those from `high` on. Only odd-even networks have such: see [`self`].
    #[must_use]
    pub fn narrowed(mut self, form: Form, [mut low, mut high]: [usize; 2], block: usize) -> Self {
        if form == Form::Bitonic {
            return self;
        }
        for (t, layer) in self.layers.iter_mut().enumerate().rev() {
            let odd = t % 2;
            let from = low.saturating_sub(odd) / 2;
            let to = ((high + 1).saturating_sub(odd) / 2).min((self.wires - odd) / 2);
            if from < to {
                (low, high) = (low.min(odd + 2 * from), high.max(odd + 2 * to));
                *layer = layer.start + from / block * block..layer.start + to.next_multiple_of(block);
            } else {
                layer.end = layer.start;
            }
        }
        self
    }

    fn distinct(&self, layer: usize) -> Range<usize> {
        self.starts[layer]..self.starts[layer + 1]
    }

    fn add(&mut self, pairs: impl Iterator<Item = [usize; 2]>, block: usize) {
        self.pairs.extend(pairs.map(|pair| pair.map(|wire| wire as u32)));
        let end = self.starts[self.starts.len() - 1]
            + (self.pairs.len() - self.starts[self.starts.len() - 1]).next_multiple_of(block);
        let idle = self.wires as u32;
        self.pairs.resize(end, [idle, idle + 1]);
        self.starts.push(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The zero-one principle: a network that sorts all zeros and ones sorts everything.
    #[test]
    fn every_network_sorts() {
        for (form, wires) in
            [Form::OddEven, Form::Bitonic].into_iter().flat_map(|form| (0..=14).map(move |n| (form, n)))
        {
            let network = Network::new(form, wires, 4);
            for bits in 0u32..1 << wires {
                let mut x: Vec<u32> = (0..wires + 2).map(|i| bits >> i & 1).collect();
                for layer in 0..network.depth() {
                    for &[low, high] in network.layer(layer) {
                        let (a, b) = (x[low as usize], x[high as usize]);
                        (x[low as usize], x[high as usize]) = (a.min(b), a.max(b));
                    }
                }
                assert!(x[..wires].is_sorted(), "{form:?} {wires} {bits:b}");
            }
        }
    }

    #[test]
    fn what_is_left_out_stands_between_equal_numbers() {
        for (wires, block) in (2..20).flat_map(|n| [1, 4].map(|block| (n, block))) {
            let whole = Network::new(Form::OddEven, wires, block);
            for (low, high) in (1..wires).flat_map(|low| (low..wires).map(move |high| (low, high))) {
                let narrow = Network::new(Form::OddEven, wires, block).narrowed(Form::OddEven, [low, high], block);
                // Numbers of one name are equal; all that leave a comparator between different ones may be anything.
                let mut names: Vec<usize> = (0..wires)
                    .map(|r| {
                        if r < low {
                            0
                        } else if r < high {
                            r + 1
                        } else {
                            wires + 1
                        }
                    })
                    .collect();
                let mut left = 0;
                for layer in (0..whole.depth()).rev() {
                    assert!(narrow.layer(layer).len().is_multiple_of(block));
                    left += narrow.layer(layer).len();
                    for pair in whole.layer(layer).iter().filter(|pair| (pair[0] as usize) < wires) {
                        let [i, j] = pair.map(|wire| wire as usize);
                        assert!(names[i] == names[j] || narrow.layer(layer).contains(pair), "{wires} {low} {high}");
                        if names[i] != names[j] {
                            (names[i], names[j]) = (100 * layer + 2 * i + 100, 100 * layer + 2 * j + 101);
                        }
                    }
                }
                assert!(block > 1 || (wires, low, high) != (11, 10, 10) || left == 30);
            }
        }
    }

    #[test]
    fn a_wire_is_compared_once_in_a_layer_and_layers_are_whole_blocks() {
        for (form, wires) in [Form::OddEven, Form::Bitonic].into_iter().flat_map(|form| (0..70).map(move |n| (form, n)))
        {
            let network = Network::new(form, wires, 16);
            for layer in 0..network.depth() {
                let pairs = network.layer(layer);
                let mut used: Vec<_> = pairs.iter().flatten().filter(|&&wire| (wire as usize) < wires).collect();
                used.sort_unstable();
                used.dedup();
                let real = pairs.iter().filter(|pair| (pair[0] as usize) < wires).count();
                assert!(used.len() == 2 * real && pairs.len().is_multiple_of(16) && pairs.len() <= network.width());
                assert!(pairs.iter().all(|pair| pair[0] < pair[1] && pair[1] as usize <= wires + 1));
            }
        }
    }
}

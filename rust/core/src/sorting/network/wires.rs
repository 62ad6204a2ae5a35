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
    /// The distinct layer that each layer is.
    layers: Vec<u32>,
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
        let distinct = self.layers[layer] as usize;
        &self.pairs[self.starts[distinct]..self.starts[distinct + 1]]
    }

    /// The size of the largest layer.
    #[must_use]
    pub fn width(&self) -> usize {
        self.starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0)
    }

    fn odd_even(&mut self, block: usize) {
        for first in 0..2 {
            self.add((first..self.wires - 1).step_by(2).map(|i| [i, i + 1]), block);
        }
        self.layers = (0..self.wires as u32).map(|layer| layer % 2).collect();
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
            self.layers.push(2 * bit + 1);
            self.layers.extend((0..bit).rev().map(|lower| 2 * lower));
        }
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

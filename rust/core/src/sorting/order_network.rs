//! Short lists sorted eight at a time.
//!
//! A sorting network compares fixed places, so the same comparison of eight lists is one vector instruction. Numbers of 52
//! bits are compared as the fractions of floats in [1, 2): processors are slow at the minimum of 64-bit integers.
//!
//! ```text
//! Batcher's odd-even merge sort of n places, in place, for any n (Knuth, TAOCP 3, Algorithm 5.2.2M):
//! for p = 2^(ceil(log2 n) - 1), p / 2, ..., 1:
//!     (q, r, d) = (2^(ceil(log2 n) - 1), 0, p)
//!     repeat:  for i in 0..n - d with i & p == r:  order places i and i + d
//!              if q == p: stop;  (d, q, r) = (q - p, q / 2, p)
//! ```

use super::order::{Key, List, Packed};
use crate::simd::dispatch;
use std::hint::black_box;
use std::ops::Range;

/// Lists that are sorted together: one 512-bit register of keys.
const LANES: usize = 8;
/// Longer lists are faster by digits: the network does n (log n)^2 / 4 comparisons.
const LONGEST: usize = 320;

/// Neighbouring lists that were sorted together, not all of them asked for yet.
#[derive(Debug, Default)]
pub struct Ahead {
    columns: Vec<[f64; LANES]>,
    counts: [usize; LANES],
    /// Those that may still be asked for.
    left: Range<usize>,
}

impl Ahead {
    /// Puts the sorted keys of a list into `keys`, sorting it with those behind it unless that was done before. False
    /// where the list is too long, or has no neighbours.
    pub fn take(&mut self, list: &List<'_, f32>, keys: &mut Vec<u64>) -> bool {
        let Some(length) = list.lists.length().filter(|&length| (2..=LONGEST).contains(&length)) else { return false };
        if !self.left.contains(&list.list) {
            self.left = list.list..list.lists.count().min(list.list + LANES);
            if self.left.len() < LANES / 2 {
                self.left = 0..0;
                return false;
            }
            self.sort(list, length);
        }
        let lane = list.list % LANES;
        keys.clear();
        keys.extend(self.columns[..self.counts[lane]].iter().map(|keys| unpacked(keys[lane])));
        self.left.start = list.list + 1;
        true
    }

    /// Nobody asks for the rest.
    pub fn forget(&mut self) {
        self.left = 0..0;
    }

    /// Sorts as many lists as are left. Items that do not count go to the end.
    fn sort(&mut self, list: &List<'_, f32>, length: usize) {
        self.columns.clear();
        self.columns.resize(length, [f64::INFINITY; LANES]);
        for list_at in self.left.clone() {
            let (lane, range) = (list_at % LANES, list.lists.range(list_at));
            let items = list.x[range.clone()].iter().zip(0..);
            match list.mask {
                None => {
                    self.counts[lane] = length;
                    for (keys, (x, i)) in self.columns.iter_mut().zip(items) {
                        keys[lane] = packed(x.directed(list.descending), i);
                    }
                }
                Some(mask) => {
                    let mask = &mask[range];
                    self.counts[lane] = mask.iter().filter(|&&counts| counts).count();
                    for ((keys, (x, i)), _) in
                        self.columns.iter_mut().zip(items).zip(mask).filter(|(_, counts)| **counts)
                    {
                        keys[lane] = packed(x.directed(list.descending), i);
                    }
                }
            }
        }
        network(&mut self.columns);
    }
}

/// Bits of a position: a key of 32 bits and a position are the 52 bits of a fraction.
pub(super) const POSITION: u32 = 20;

/// A float that sorts as the key and then the position.
#[inline(always)]
pub(super) fn packed(key: u64, position: u64) -> f64 {
    f64::from_bits(1f64.to_bits() | key << POSITION | position)
}

/// The key and the position of [`packed`].
#[inline(always)]
fn unpacked(x: f64) -> u64 {
    let fraction = x.to_bits() ^ 1f64.to_bits();
    Packed::pack(fraction >> POSITION, fraction as u32 % (1 << POSITION))
}

dispatch! {
    fn network(columns: &mut [[f64; LANES]]) = network_each
}

#[inline(always)]
fn network_each(columns: &mut [[f64; LANES]]) {
    let n = columns.len();
    let top = n.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            let mut start = r;
            while start < n - d {
                let count = p.min(n - d - start);
                for i in start..start + count {
                    // Not to know that places follow one another keeps the compiler at vectors of lanes.
                    let i = black_box(i);
                    let (x, y) = (columns[i], columns[i + d]);
                    let (mut low, mut high) = (x, y);
                    for lane in 0..LANES {
                        low[lane] = if x[lane] < y[lane] { x[lane] } else { y[lane] };
                        high[lane] = if x[lane] < y[lane] { y[lane] } else { x[lane] };
                    }
                    (columns[i], columns[i + d]) = (low, high);
                }
                start += 2 * p;
            }
            if q == p {
                break;
            }
            (d, q, r) = (q - p, q / 2, p);
        }
        p /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sorting::lists::Lists;
    use crate::sorting::order::{Scratch, sorted, sorted_list};

    #[test]
    fn lists_sorted_together_are_those_sorted_alone() {
        for length in [2, 3, 17, 64, 100, 255, 320, 321] {
            for count in [1, 3, 5, 8, 21] {
                let x: Vec<f32> = (0..count * length).map(|i| ((i * 7919) % 101) as f32 - 50.0).collect();
                let mask: Vec<bool> = (0..x.len()).map(|i| i % 5 != 1).collect();
                let (mut ahead, mut alone) = (Scratch::default(), Scratch::default());
                for mask in [None, Some(&mask[..])] {
                    for descending in [false, true] {
                        for list in 0..count {
                            let lists = Lists::even(count, length);
                            let range = lists.range(list);
                            let given = List { x: &x, mask, lists, list, descending };
                            let mask = mask.map(|mask| &mask[range.clone()]);
                            assert_eq!(
                                sorted_list(&given, &mut ahead).0,
                                sorted(&x[range], mask, descending, &mut alone),
                                "{length} {count} {list}"
                            );
                        }
                    }
                }
            }
        }
    }
}

//! Passes over whole rows: sums over the tokens above a logit, and the tokens between two.

use crate::decoding::leaf::{LANES, LEAF, WIDTH, add, groups, total};
use crate::decoding::list::{self, List};
use crate::decoding::logit::{Decay, Logit};
use crate::decoding::order::Prefix;
use crate::decoding::statistics::Statistics;
use crate::elementary::exp_f64;
use crate::simd::dispatch;

/// Logits from `low` to below `high`.
#[derive(Debug, Clone, Copy)]
pub struct Bracket<T> {
    pub low: T,
    pub high: T,
}

/// Which tokens of a leaf reach the ends of a bracket, a bit for each.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    pub high: [u16; LEAF / WIDTH],
    pub low: [u16; LEAF / WIDTH],
}

/// Places are written so many at a time.
const AT_ONCE: usize = 8;
pub type Room = [u32; LEAF + AT_ONCE];

impl Marks {
    pub const NONE: Self = Self { high: [0; LEAF / WIDTH], low: [0; LEAF / WIDTH] };
}

/// The bits of 64 tokens.
#[inline(always)]
fn four(bits: &[u16; 4]) -> u64 {
    bits.iter().rev().fold(0, |all, &bits| all << 16 | u64::from(bits))
}

#[inline(always)]
fn sums_lanes<T: Logit>(leaf: &[T], least: T, decay: &Decay<T>) -> [f64; 3] {
    let (mut masses, mut falls, mut numbers) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let mut last = [[T::ZERO; LANES]; 4];
    let pick = |x: T, y: T| if x >= least { y } else { T::ZERO };
    for [a, b, c, d] in groups(leaf, &mut last) {
        let (mut mass, mut fall, mut count) = ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
        for l in 0..LANES {
            let [ea, eb] = [pick(a[l], decay.weight(a[l])), pick(b[l], decay.weight(b[l]))];
            let [ec, ed] = [pick(c[l], decay.weight(c[l])), pick(d[l], decay.weight(d[l]))];
            mass[l] = (ea + eb) + (ec + ed);
            fall[l] = eb.fma(decay.fall(b[l]), ea * decay.fall(a[l])) + ed.fma(decay.fall(d[l]), ec * decay.fall(c[l]));
            count[l] = (pick(a[l], T::ONE) + pick(b[l], T::ONE)) + (pick(c[l], T::ONE) + pick(d[l], T::ONE));
        }
        add(&mut masses, &mass);
        add(&mut falls, &fall);
        add(&mut numbers, &count);
    }
    [total(&masses), total(&falls), total(&numbers)]
}

dispatch! {
    /// SUM e, SUM e (maximum - l) and the number of the logits that are at least `least`.
    fn sums<T: Logit>(leaf: &[T], least: T, decay: &Decay<T>) -> [f64; 3] = sums_lanes
}

/// The sums over the tokens whose logit is at least `least`, above -inf; leaves are added in the order of their places.
pub fn above<T: Logit>(values: &[T], least: T, statistics: &Statistics) -> Prefix {
    let decay = Decay::new(T::of(statistics.maximum), statistics.temperature);
    let mut found = Prefix::default();
    for leaf in values.chunks(LEAF) {
        let [mass, fall, count] = sums(leaf, least, &decay);
        found.mass += mass;
        found.moment -= fall / statistics.temperature;
        found.count += count as usize;
    }
    found
}

/// Sums of a pass over a row, in double precision: SUM e over all logits, and over those above either bracket.
pub type Masses = [[f64; WIDTH]; 3];
/// Four logits of a lane are added pairwise in their own precision: more would cost digits where few tokens have most of
/// the weight.
pub type Four<T> = [[T; WIDTH]; 4];

/// The leaf in fours of vectors; the last is filled up in `last`.
#[inline(always)]
pub fn fours<'a, T: Copy>(leaf: &'a [T], last: &'a mut Option<Four<T>>, with: T) -> impl Iterator<Item = &'a Four<T>> {
    let (fours, _) = leaf.as_chunks::<WIDTH>().0.as_chunks::<4>();
    let rest = &leaf[fours.len() * 4 * WIDTH..];
    if !rest.is_empty() {
        let last = last.insert([[with; WIDTH]; 4]);
        last.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
    }
    fours.iter().chain(&*last)
}

#[inline(always)]
fn masses_lanes<T: Logit>(
    leaf: &[T],
    brackets: &[Bracket<T>],
    decay: &Decay<T>,
    marks: &mut [Marks; 2],
    masses: &mut Masses,
) {
    let mut last = None;
    for (number, four) in fours(leaf, &mut last, -T::INFINITY).enumerate() {
        let (mut e, mut sums) = ([[T::ZERO; WIDTH]; 4], [[T::ZERO; WIDTH]; 3]);
        for (e, x) in e.iter_mut().zip(four) {
            *e = std::array::from_fn(|l| decay.weight(x[l]));
        }
        sums[0] = std::array::from_fn(|l| (e[0][l] + e[1][l]) + (e[2][l] + e[3][l]));
        for (bracket, sum) in brackets.iter().zip(&mut sums[1..]) {
            let pick = |i: usize, l: usize| if four[i][l] >= bracket.high { e[i][l] } else { T::ZERO };
            *sum = std::array::from_fn(|l| (pick(0, l) + pick(1, l)) + (pick(2, l) + pick(3, l)));
        }
        for (mass, sum) in masses.iter_mut().zip(&sums) {
            for l in 0..WIDTH {
                mass[l] += sum[l].wide();
            }
        }
        let bits = |x: &[T; WIDTH], least: T| (0..WIDTH).fold(0, |bits, l| bits | u16::from(x[l] >= least) << l);
        for (bracket, marks) in brackets.iter().zip(&mut *marks) {
            for (i, x) in four.iter().enumerate() {
                marks.high[number * 4 + i] = bits(x, bracket.high);
                marks.low[number * 4 + i] = bits(x, bracket.low);
            }
        }
    }
}

dispatch! {
    /// See [`Logit::masses`].
    pub fn masses<T: Logit>(
        leaf: &[T],
        brackets: &[Bracket<T>],
        decay: &Decay<T>,
        marks: &mut [Marks; 2],
        masses: &mut Masses,
    ) = masses_lanes
}

/// The places in a leaf that are marked as inside, and how many are above.
///
/// Eight places are written at a time, whether there are so many or not: a loop that is left at the last of a word would be
/// mispredicted at most words.
#[inline(always)]
pub fn places<'a>(marks: &Marks, room: &'a mut Room) -> (&'a [u32], usize) {
    let (mut count, mut above) = (0, 0);
    let words = marks.low.as_chunks::<4>().0.iter().zip(marks.high.as_chunks::<4>().0);
    for ((low, high), first) in words.zip((0..).step_by(64)) {
        let (high, mut end) = (four(high), count);
        let mut inside = four(low) & !high;
        above += high.count_ones() as usize;
        count += inside.count_ones() as usize;
        while end < count {
            for place in &mut room[end..end + AT_ONCE] {
                *place = first + inside.trailing_zeros();
                inside &= inside.wrapping_sub(1);
            }
            end += AT_ONCE;
        }
    }
    (&room[..count], above)
}

#[inline(always)]
fn take_lanes<T: Logit>(leaf: &[T], places: &[u32], list: &mut List<T>) {
    match <&[T; LEAF]>::try_from(leaf) {
        // Without a check of places compilers find the instruction that gathers.
        Ok(leaf) => list.values.extend(places.iter().map(|&place| leaf[place as usize % LEAF])),
        Err(_) => list.values.extend(places.iter().map(|&place| leaf[place as usize])),
    }
}

dispatch! {
    /// Appends the logits at these places of a leaf.
    fn take<T: Logit>(leaf: &[T], places: &[u32], list: &mut List<T>) = take_lanes
}

/// In one pass: SUM e over the row; and for each of up to two brackets the tokens above it, without the moment, and a list
/// of those inside. The row `next` will be read next.
#[allow(clippy::large_stack_arrays)] // 16 KiB, and room for the last that are written at once
pub fn sweep<T: Logit>(
    values: &[T],
    brackets: &[Bracket<T>],
    statistics: &Statistics,
    lists: &mut [List<T>],
    next: &[T],
) -> (f64, [Prefix; 2]) {
    let decay = Decay::new(T::of(statistics.maximum), statistics.temperature);
    let (mut found, mut marks, mut masses) = ([Prefix::default(); 2], [Marks::NONE; 2], [[0.0; WIDTH]; 3]);
    let mut room = [0; LEAF + AT_ONCE];
    lists.iter_mut().for_each(List::clear);
    for (number, leaf) in values.chunks(LEAF).enumerate() {
        let start = number * LEAF;
        if leaf.len() < LEAF {
            marks = [Marks::NONE; 2];
        }
        let next = next.get(start..start + leaf.len()).unwrap_or_default();
        T::masses(leaf, brackets, &decay, &mut marks, &mut masses, next);
        for ((above, list), marks) in found.iter_mut().zip(&mut *lists).zip(&marks).take(brackets.len()) {
            let (places, count) = T::places(marks, &mut room);
            above.count += count;
            take(leaf, places, list);
        }
    }
    for (above, mass) in found.iter_mut().zip(&masses[1..]) {
        above.mass = total(mass);
    }
    (total(&masses[0]), found)
}

/// The same in two passes, where few tokens reach the brackets: these are listed first.
pub fn sweep_few<T: Logit>(
    values: &[T],
    brackets: &[Bracket<T>],
    statistics: &Statistics,
    [one, two, all]: &mut [List<T>; 3],
    next: &[T],
) -> (f64, [Prefix; 2]) {
    let decay = Decay::new(T::of(statistics.maximum), statistics.temperature);
    let (mut found, mut masses) = ([Prefix::default(); 2], [[0.0; WIDTH]; 3]);
    let least =
        brackets.iter().fold(T::INFINITY, |least, bracket| if bracket.low < least { bracket.low } else { least });
    all.clear();
    for (leaf, start) in values.chunks(LEAF).zip((0..).step_by(LEAF)) {
        let next = next.get(start..start + leaf.len()).unwrap_or_default();
        T::reach(leaf, least, &decay, &mut masses, all, next);
    }
    one.clear();
    two.clear();
    let mass = total(&masses[0]);
    let counts = T::split(all, brackets, &decay, &mut masses, [one, two]);
    for ((above, count), mass) in found.iter_mut().zip(counts).zip(&masses[1..]) {
        (above.count, above.mass) = (count, total(mass));
    }
    (mass, found)
}

/// See [`Logit::reach`].
pub fn reach<T: Logit>(leaf: &[T], least: T, decay: &Decay<T>, sums: &mut Masses, list: &mut List<T>) {
    masses(leaf, &[], decay, &mut [Marks::NONE; 2], sums);
    list::inside_any(leaf, Bracket { low: least, high: T::INFINITY }, list);
}

/// See [`Logit::split`].
pub fn split<T: Logit>(
    all: &List<T>,
    brackets: &[Bracket<T>],
    decay: &Decay<T>,
    sums: &mut Masses,
    lists: [&mut List<T>; 2],
) -> [usize; 2] {
    for leaf in all.values.chunks(LEAF) {
        masses(leaf, brackets, decay, &mut [Marks::NONE; 2], sums);
    }
    let mut above = [0; 2];
    for ((bracket, list), above) in brackets.iter().zip(lists).zip(&mut above) {
        *above = list::inside_any(&all.values, *bracket, list);
    }
    above
}

#[inline(always)]
fn find_lanes<T: Logit>(values: &[T], x: T, number: usize) -> Option<usize> {
    let mut left = number;
    for (piece, start) in values.chunks(4 * WIDTH).zip((0..).step_by(4 * WIDTH)) {
        let count = piece.iter().map(|&y| u32::from(y == x)).sum::<u32>() as usize;
        if count > left {
            return piece.iter().enumerate().filter(|(_, y)| **y == x).nth(left).map(|(l, _)| start + l);
        }
        left -= count;
    }
    None
}

dispatch! {
    /// The place of the `number`-th of the logits that equal `x`, counted from 0.
    pub fn find<T: Logit>(values: &[T], x: T, number: usize) -> Option<usize> = find_lanes
}

/// Bins of the logits of a sample.
pub const BINS: usize = 128;

#[inline(always)]
fn bins_lanes<T: Logit>(pieces: &[&[T; WIDTH]], floor: T, top: T, counts: &mut [u32; BINS]) -> f64 {
    let mut low = [T::INFINITY; WIDTH];
    for piece in pieces {
        for l in 0..WIDTH {
            let x = if piece[l] >= floor { piece[l] } else { T::INFINITY };
            low[l] = if x < low[l] { x } else { low[l] };
        }
    }
    let low = low.iter().fold(top, |a, &b| if b < a { b } else { a });
    let step = (top.wide() - low.wide()) / BINS as f64;
    let scale = T::of(if step > 0.0 { 1.0 / step } else { 0.0 });
    let (half, last) = (T::of(0.5), T::of(BINS as f64 + 1.0));
    // Each bin has four counts, so that one seldom waits for the one before it. The first and the last are of no use.
    let mut parts = [[0u32; 4]; 2 * BINS];
    for piece in pieces {
        let bins: [u32; WIDTH] = std::array::from_fn(|l| {
            let bin = (top - piece[l]) * scale + half; // to the nearest: a half is none
            let bin = if bin > T::ZERO { bin } else { T::ZERO };
            (if bin < last { bin } else { last }).bin()
        });
        for (l, &bin) in bins.iter().enumerate() {
            parts[bin as usize % (2 * BINS)][l % 4] += 1;
        }
    }
    for (count, part) in counts.iter_mut().zip(&parts[1..]) {
        *count = part.iter().sum();
    }
    step
}

dispatch! {
    /// Counts the numbers below `top` and from `floor` on in bins of equal width, from the top down; returns the width.
    pub fn bins<T: Logit>(pieces: &[&[T; WIDTH]], floor: T, top: T, counts: &mut [u32; BINS]) -> f64 = bins_lanes
}

#[inline(always)]
fn weights_lanes(tokens: &mut [[f64; 3]], statistics: &Statistics) {
    for [logit, e, moment] in tokens {
        let d = (*logit - statistics.maximum) / statistics.temperature;
        *e = exp_f64(d);
        *moment = if *e > 0.0 { *e * d } else { 0.0 };
    }
}

dispatch! {
    /// Fills in e and e d beside the logits.
    pub fn weights(tokens: &mut [[f64; 3]], statistics: &Statistics) = weights_lanes
}

#[inline(always)]
fn least_lanes<T: Logit>(weight: f64, statistics: &Statistics) -> T {
    let (mut low, mut high) = ((-T::LARGEST).key(), T::INFINITY.key());
    while low < high {
        let middle = T::between(low, high);
        let x = T::value(T::before(middle)).wide();
        if exp_f64((x - statistics.maximum) / statistics.temperature) >= weight {
            high = T::before(middle);
        } else {
            low = middle;
        }
    }
    T::value(low)
}

dispatch! {
    /// The smallest logit whose e is at least this weight.
    pub fn least<T: Logit>(weight: f64, statistics: &Statistics) -> T = least_lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_are_found_by_their_number() {
        let values: Vec<f32> = (0..1000).map(|i| if i % 37 == 5 { -0.0 } else { i as f32 }).collect();
        let places: Vec<usize> = (0..1000).filter(|i| i % 37 == 5 || *i == 0).collect();
        for (number, place) in places.iter().enumerate() {
            assert_eq!(find(&values, 0.0, number), Some(*place));
        }
        assert_eq!(find(&values, 0.0, places.len()), None);
        assert_eq!(find(&values[..7], 6.0, 0), Some(6));
    }
}

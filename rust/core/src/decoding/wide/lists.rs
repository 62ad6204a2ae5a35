//! Loops over lists of tokens with instructions of AVX-512.

use super::{Lanes, Out, Wide, four, load, load_some, marked};
use crate::decoding::cut::{Bracket, Masses, fours};
use crate::decoding::leaf::{WIDTH, total};
use crate::decoding::list::{List, Sums};
use crate::decoding::logit::Decay;
use std::arch::x86_64::{
    __m512, _CMP_GE_OQ, _CMP_LT_OQ, _kandn_mask16, _mm512_cmp_ps_mask, _mm512_mask_add_epi32, _mm512_mask_cmp_ps_mask,
    _mm512_mask_max_ps, _mm512_mask_min_ps, _mm512_mask_storeu_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_reduce_add_epi32, _mm512_reduce_max_ps, _mm512_reduce_min_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps, _mm512_sub_ps,
};

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
pub fn split<const N: usize>(
    all: &List<f32>,
    brackets: [Bracket<f32>; N],
    decay: &Decay<f32>,
    masses: &mut Masses,
    lists: [&mut List<f32>; 2],
) -> [usize; 2] {
    let (decay, mut lists) = (Wide::<true>::new(decay), lists.map(|list| Out::new(list, all.values.len())));
    let (one, mut reached) = (_mm512_set1_epi32(1), [_mm512_setzero_si512(); 2]);
    let mut last = None;
    let mut sums = [Lanes::load(&masses[1]), Lanes::load(&masses[2])];
    for [a, b, c, d] in fours(&all.values, &mut last, -f32::INFINITY) {
        let x = [load(a), load(b), load(c), load(d)];
        let e = decay.weights(x);
        for n in 0..N {
            let (low, high) = (_mm512_set1_ps(brackets[n].low), _mm512_set1_ps(brackets[n].high));
            let mut above = [0; 4];
            for i in 0..4 {
                let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x[i], low);
                above[i] = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x[i], high);
                reached[n] = _mm512_mask_add_epi32(reached[n], above[i], reached[n], one);
                // SAFETY: no more lanes are marked than the list has logits: it is filled up with -inf.
                unsafe { lists[n].append(_kandn_mask16(above[i], mask), x[i]) };
            }
            sums[n].add(marked(e, above));
        }
    }
    sums.iter().zip(&mut masses[1..]).for_each(|(sums, masses)| sums.store(masses));
    // SAFETY: all were written.
    lists.into_iter().for_each(|list| unsafe { list.close() });
    reached.map(|lanes| _mm512_reduce_add_epi32(lanes) as usize)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
pub fn inside(values: &[f32], bracket: Bracket<f32>, list: &mut List<f32>) -> usize {
    let (low, high) = (_mm512_set1_ps(bracket.low), _mm512_set1_ps(bracket.high));
    let (pieces, rest) = values.as_chunks::<16>();
    let (mut out, mut reached) = (Out::new(list, values.len()), 0);
    let mut append = |x: __m512, lanes: u16| {
        let mask = _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(lanes, x, low);
        reached += mask.count_ones() as usize;
        // SAFETY: no more lanes are marked than there are values.
        unsafe { out.append(_mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(mask, x, high), x) };
    };
    for piece in pieces {
        append(load(piece), u16::MAX);
    }
    let (x, lanes) = load_some(rest);
    append(x, lanes);
    let count = out.count;
    // SAFETY: all were written.
    unsafe { out.close() };
    reached - count
}

/// SUM e and SUM e (maximum - l): the lanes together, and with them the few tokens that fill no vector, one after the other.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
fn totals(lanes: [Lanes; 2], (values, weights): (&[f32], &[f32]), least: f32, maximum: f32) -> [f64; 2] {
    let mut sums = [[0.0; WIDTH]; 2];
    lanes.iter().zip(&mut sums).for_each(|(lanes, sums)| lanes.store(sums));
    let (mut mass, mut fall) = (total(&sums[0]), total(&sums[1]));
    for (&x, &e) in values.iter().zip(weights).filter(|(x, _)| **x >= least) {
        mass += f64::from(e);
        fall += f64::from(e * (maximum - x));
    }
    [mass, fall]
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
pub fn measure(values: &[f32], weights: &mut [f32], decay: &Decay<f32>, maximum: f32) -> ((f32, f32), [f64; 2]) {
    let (decay, top) = (Wide::<true>::new(decay), _mm512_set1_ps(maximum));
    let (mut low, mut high) = (_mm512_set1_ps(f32::INFINITY), _mm512_set1_ps(f32::NEG_INFINITY));
    let mut lanes = [Lanes::load(&[0.0; WIDTH]); 2];
    let ((pieces, rest), (heavy, few)) = (values.as_chunks::<WIDTH>(), weights.as_chunks_mut::<WIDTH>());
    let ((fours, more), (heavies, some)) = (pieces.as_chunks::<4>(), heavy.as_chunks_mut::<4>());
    for (x, out) in fours.iter().zip(heavies) {
        let x = [load(&x[0]), load(&x[1]), load(&x[2]), load(&x[3])];
        let e = decay.weights(x);
        let mut fall = x;
        for i in 0..4 {
            // SAFETY: the array has sixteen numbers.
            unsafe { _mm512_storeu_ps(out[i].as_mut_ptr(), e[i]) };
            (low, high) = (_mm512_min_ps(low, x[i]), _mm512_max_ps(high, x[i]));
            fall[i] = _mm512_mul_ps(e[i], _mm512_sub_ps(top, x[i]));
        }
        lanes[0].add(four(e));
        lanes[1].add(four(fall));
    }
    for (x, out) in more.iter().zip(some) {
        let x = load(x);
        let e = decay.weight(x);
        // SAFETY: the array has sixteen numbers.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), e) };
        (low, high) = (_mm512_min_ps(low, x), _mm512_max_ps(high, x));
        lanes[0].add(e);
        lanes[1].add(_mm512_mul_ps(e, _mm512_sub_ps(top, x)));
    }
    let (x, marks) = load_some(rest);
    (low, high) = (_mm512_mask_min_ps(low, marks, low, x), _mm512_mask_max_ps(high, marks, high, x));
    // SAFETY: no lane beyond the piece is written: weights are as many as values.
    unsafe { _mm512_mask_storeu_ps(few.as_mut_ptr(), marks, decay.weight(x)) };
    let range = (_mm512_reduce_min_ps(low), _mm512_reduce_max_ps(high));
    (range, totals(lanes, (rest, few), f32::NEG_INFINITY, maximum))
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
pub fn above(values: &[f32], weights: &[f32], least: [f32; 2], maximum: f32) -> [Sums; 2] {
    let (top, bounds) = (_mm512_set1_ps(maximum), least.map(|least| _mm512_set1_ps(least)));
    let mut lanes = [[Lanes::load(&[0.0; WIDTH]); 2]; 2];
    let mut counts = [0; 2];
    let ((pieces, rest), (heavy, few)) = (values.as_chunks::<WIDTH>(), weights.as_chunks::<WIDTH>());
    let ((fours, more), (heavies, some)) = (pieces.as_chunks::<4>(), heavy.as_chunks::<4>());
    for (x, e) in fours.iter().zip(heavies) {
        let x = [load(&x[0]), load(&x[1]), load(&x[2]), load(&x[3])];
        let e = [load(&e[0]), load(&e[1]), load(&e[2]), load(&e[3])];
        let mut fall = x;
        for i in 0..4 {
            fall[i] = _mm512_mul_ps(e[i], _mm512_sub_ps(top, x[i]));
        }
        for n in 0..2 {
            let mut marks = [0; 4];
            for i in 0..4 {
                marks[i] = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x[i], bounds[n]);
                counts[n] += marks[i].count_ones() as usize;
            }
            lanes[n][0].add(marked(e, marks));
            lanes[n][1].add(marked(fall, marks));
        }
    }
    for (x, e) in more.iter().zip(some) {
        let (x, e) = (load(x), load(e));
        for n in 0..2 {
            let marks = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, bounds[n]);
            counts[n] += marks.count_ones() as usize;
            lanes[n][0].add(_mm512_maskz_mov_ps(marks, e));
            lanes[n][1].add(_mm512_maskz_mov_ps(marks, _mm512_mul_ps(e, _mm512_sub_ps(top, x))));
        }
    }
    std::array::from_fn(|n| {
        let count = rest.iter().filter(|x| **x >= least[n]).count();
        (counts[n] + count, totals(lanes[n], (rest, few), least[n], maximum))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoding::{cut, list};
    use crate::rng::Stream;
    use crate::simd::{Level, level};

    fn lists() -> impl Iterator<Item = List<f32>> {
        [0, 1, 15, 16, 17, 63, 64, 65, 130, 1000, 5003].into_iter().map(|n| {
            let stream = Stream::new(5, n);
            let mut list = List::default();
            list.values.extend((0..n).map(|i| stream.uniform(i) as f32 * 90.0 - 60.0));
            list
        })
    }

    fn bits(sums: [f64; 2]) -> [u64; 2] {
        sums.map(f64::to_bits)
    }

    #[test]
    fn loops_over_lists_give_the_bits_of_every_other_level() {
        if level() != Level::Avx512 {
            return;
        }
        for list in lists() {
            for maximum in [30.0f32, 5000.0] {
                let decay = Decay::new(maximum, 1.0);
                let x: Vec<f32> = list.values.iter().map(|x| x + (maximum - 30.0)).collect();
                let (mut e, mut other) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                // SAFETY: `level()` never exceeds what the processor was found to have.
                let found = unsafe { measure(&x, &mut e, &decay, maximum) };
                let expected = list::measure(&x, &mut other, &decay, maximum);
                assert_eq!((found.0, bits(found.1), &e), (expected.0, bits(expected.1), &other));
                let least = [maximum - 20.0, maximum - 55.5];
                // SAFETY: as above.
                let found = unsafe { above(&x, &e, least, maximum) };
                let expected = list::above(&x, &e, least, maximum);
                assert_eq!(found.map(|(n, sums)| (n, bits(sums))), expected.map(|(n, sums)| (n, bits(sums))));
            }
        }
    }

    #[test]
    fn brackets_hold_what_they_do_on_every_other_level() {
        if level() != Level::Avx512 {
            return;
        }
        for List { values, .. } in lists() {
            for (low, high) in [(-10.0, 20.0), (values.first().copied().unwrap_or(0.0), f32::INFINITY), (5.0, 5.0)] {
                let (mut found, mut expected) = (List::default(), List::default());
                // SAFETY: as above.
                let count = unsafe { inside(&values, Bracket { low, high }, &mut found) };
                assert_eq!(count, list::inside_any(&values, Bracket { low, high }, &mut expected));
                assert_eq!(found.values, expected.values);
            }
        }
    }

    #[test]
    fn lists_are_split_as_on_every_other_level() {
        if level() != Level::Avx512 {
            return;
        }
        let decay = Decay::new(30.0, 0.9);
        let brackets = [Bracket { low: 0.0, high: 20.0 }, Bracket { low: -40.0, high: 3.0 }];
        for list in lists() {
            let (mut sums, mut others) = ([[1.0; WIDTH]; 3], [[1.0; WIDTH]; 3]);
            let mut found: [List<f32>; 4] = Default::default();
            let [one, two, three, four] = &mut found;
            // SAFETY: as above.
            let counts = unsafe { split(&list, brackets, &decay, &mut sums, [one, two]) };
            assert_eq!(counts, cut::split(&list, &brackets, &decay, &mut others, [three, four]));
            assert_eq!(sums[1..], others[1..]);
            for (a, b) in [(&found[0], &found[2]), (&found[1], &found[3])] {
                assert_eq!(a.values, b.values);
            }
            // SAFETY: as above.
            let counts =
                unsafe { split(&list, [brackets[1]], &decay, &mut sums, [&mut List::default(), &mut List::default()]) };
            assert_eq!(counts, [list.values.iter().filter(|x| **x >= 3.0).count(), 0]);
        }
    }
}

//! Loops with instructions of AVX-512 that compilers do not find by themselves: a vector's comparison as bits, the largest
//! of its lanes, those of its lanes that are marked. They are exact, so every level gives the same result.

mod largest;
pub mod lists;
mod normalizer;

pub use largest::{FEW, arrange, gather, maxima};
pub use normalizer::normalizer;

use crate::decoding::Logit;
use crate::decoding::cut::{self, Bracket, Marks, Masses, Room, fours};
use crate::decoding::leaf::WIDTH;
use crate::decoding::list::List;
use crate::decoding::logit::Decay;
use std::arch::x86_64::{
    __m512, __m512d, _CMP_GE_OQ, _MM_HINT_T1, _mm_prefetch, _mm512_add_pd, _mm512_add_ps, _mm512_castps_si512,
    _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtps_pd, _mm512_extractf32x8_ps,
    _mm512_fmadd_ps, _mm512_fmsub_ps, _mm512_loadu_pd, _mm512_loadu_ps, _mm512_mask_add_ps, _mm512_maskz_add_epi32,
    _mm512_maskz_compress_ps, _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_set1_ps, _mm512_slli_epi32,
    _mm512_storeu_pd, _mm512_storeu_ps, _mm512_sub_ps,
};

#[inline]
#[target_feature(enable = "avx512f")]
fn load(piece: &[f32; 16]) -> __m512 {
    // SAFETY: the array has sixteen numbers.
    unsafe { _mm512_loadu_ps(piece.as_ptr()) }
}

/// The numbers of a piece shorter than a vector, the bits of their lanes, and zeros.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_some(piece: &[f32]) -> (__m512, u16) {
    let lanes = ((1u32 << piece.len()) - 1) as u16;
    // SAFETY: no lane beyond the piece is read.
    (unsafe { _mm512_maskz_loadu_ps(lanes, piece.as_ptr()) }, lanes)
}

/// [`Decay`] in vectors; mostly nothing is subtracted first.
struct Wide<const SHIFTED: bool> {
    high: __m512,
    low: __m512,
    top: __m512,
    base: __m512,
    part: __m512,
    shift: __m512,
    floor: __m512,
}

const ROUND: f32 = 1.5 * (1 << 23) as f32;

impl<const SHIFTED: bool> Wide<SHIFTED> {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(decay: &Decay<f32>) -> Self {
        Self {
            high: _mm512_set1_ps(decay.high),
            low: _mm512_set1_ps(decay.low),
            top: _mm512_set1_ps(decay.whole + decay.part),
            base: _mm512_set1_ps(ROUND - decay.whole),
            part: _mm512_set1_ps(decay.part),
            shift: _mm512_set1_ps(decay.shift),
            floor: _mm512_set1_ps(decay.floor),
        }
    }

    /// [`Decay::weight`], bit for bit: integers of this size are added without rounding in any order.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn weight(&self, x: __m512) -> __m512 {
        let live = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, self.floor);
        let x = if SHIFTED { _mm512_sub_ps(x, self.shift) } else { x };
        let grid = _mm512_add_ps(_mm512_fmsub_ps(x, self.high, self.top), _mm512_set1_ps(ROUND));
        let n = _mm512_sub_ps(grid, self.base);
        let r = _mm512_fmadd_ps(x, self.low, _mm512_sub_ps(_mm512_fmsub_ps(x, self.high, n), self.part));
        let [rest @ .., last] = f32::SERIES else { return x };
        let mut p = _mm512_set1_ps(*last);
        for c in rest.iter().rev() {
            p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(*c));
        }
        let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(grid));
        _mm512_castsi512_ps(_mm512_maskz_add_epi32(live, _mm512_castps_si512(p), power))
    }

    /// [`Wide::weight`] of four vectors, step by step together: processors look ahead no further than a few vectors.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn weights(&self, x: [__m512; 4]) -> [__m512; 4] {
        let (mut live, mut grid, mut r) = ([0; 4], x, x);
        let mut y = x;
        let mut p = [_mm512_set1_ps(f32::SERIES[f32::SERIES.len() - 1]); 4];
        for i in 0..4 {
            live[i] = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x[i], self.floor);
            y[i] = if SHIFTED { _mm512_sub_ps(x[i], self.shift) } else { x[i] };
        }
        for i in 0..4 {
            grid[i] = _mm512_add_ps(_mm512_fmsub_ps(y[i], self.high, self.top), _mm512_set1_ps(ROUND));
        }
        for i in 0..4 {
            let n = _mm512_sub_ps(grid[i], self.base);
            r[i] = _mm512_sub_ps(_mm512_fmsub_ps(y[i], self.high, n), self.part);
            r[i] = _mm512_fmadd_ps(y[i], self.low, r[i]);
        }
        for c in f32::SERIES.iter().rev().skip(1) {
            for i in 0..4 {
                p[i] = _mm512_fmadd_ps(p[i], r[i], _mm512_set1_ps(*c));
            }
        }
        for i in 0..4 {
            let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(grid[i]));
            p[i] = _mm512_castsi512_ps(_mm512_maskz_add_epi32(live[i], _mm512_castps_si512(p[i]), power));
        }
        p
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
pub fn masses<const N: usize>(
    leaf: &[f32],
    brackets: [Bracket<f32>; N],
    decay: &Decay<f32>,
    marks: &mut [Marks; 2],
    masses: &mut Masses,
    next: &[f32],
) {
    if decay.shift == 0.0 {
        masses_of::<N, false>(leaf, brackets, decay, marks, masses, next);
    } else {
        masses_of::<N, true>(leaf, brackets, decay, marks, masses, next);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
fn masses_of<const N: usize, const SHIFTED: bool>(
    leaf: &[f32],
    brackets: [Bracket<f32>; N],
    decay: &Decay<f32>,
    marks: &mut [Marks; 2],
    masses: &mut Masses,
    next: &[f32],
) {
    let (decay, mut last) = (Wide::<SHIFTED>::new(decay), None);
    let mut sums = [Lanes::load(&masses[0]), Lanes::load(&masses[1]), Lanes::load(&masses[2])];
    for (number, [a, b, c, d]) in fours(leaf, &mut last, -f32::INFINITY).enumerate() {
        let x = [load(a), load(b), load(c), load(d)];
        let e = [decay.weight(x[0]), decay.weight(x[1]), decay.weight(x[2]), decay.weight(x[3])];
        sums[0].add(four(e));
        for n in 0..N {
            let (low, high) = (_mm512_set1_ps(brackets[n].low), _mm512_set1_ps(brackets[n].high));
            let mut reach = [0; 4];
            for i in 0..4 {
                reach[i] = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x[i], high);
                marks[n].high[number * 4 + i] = reach[i];
                marks[n].low[number * 4 + i] = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x[i], low);
            }
            sums[n + 1].add(marked(e, reach));
        }
        for i in 0..4 {
            fetch(next, (number * 4 + i) * WIDTH);
        }
    }
    sums.iter().zip(masses).for_each(|(sums, masses)| sums.store(masses));
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
pub fn reach(leaf: &[f32], least: f32, decay: &Decay<f32>, masses: &mut Masses, list: &mut List<f32>, next: &[f32]) {
    if decay.shift == 0.0 {
        reach_of::<false>(leaf, least, decay, masses, list, next);
    } else {
        reach_of::<true>(leaf, least, decay, masses, list, next);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
fn reach_of<const SHIFTED: bool>(
    leaf: &[f32],
    least: f32,
    decay: &Decay<f32>,
    masses: &mut Masses,
    list: &mut List<f32>,
    next: &[f32],
) {
    let (decay, bound) = (Wide::<SHIFTED>::new(decay), _mm512_set1_ps(least));
    let (mut out, mut last, mut sums) = (Out::new(list, leaf.len()), None, [Lanes::load(&masses[0])]);
    for (number, [a, b, c, d]) in fours(leaf, &mut last, -f32::INFINITY).enumerate() {
        let x = [load(a), load(b), load(c), load(d)];
        let e = [decay.weight(x[0]), decay.weight(x[1]), decay.weight(x[2]), decay.weight(x[3])];
        sums[0].add(four(e));
        for (i, x) in x.into_iter().enumerate() {
            // SAFETY: no more lanes are marked than the leaf has numbers: it is filled up with -inf.
            unsafe { out.append(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, bound), x) };
            fetch(next, (number * 4 + i) * WIDTH);
        }
    }
    sums[0].store(&mut masses[0]);
    // SAFETY: all were written.
    unsafe { out.close() };
}

/// The end of a list, to which lanes are appended by whole vectors: those beyond are overwritten or never looked at.
struct Out<'a> {
    list: &'a mut List<f32>,
    values: *mut f32,
    count: usize,
}

impl<'a> Out<'a> {
    /// With room for so many logits.
    fn new(list: &'a mut List<f32>, most: usize) -> Self {
        list.values.reserve(most + WIDTH);
        let values = list.values.spare_capacity_mut().as_mut_ptr().cast();
        Self { list, values, count: 0 }
    }

    /// # Safety
    /// No more logits are appended than there is room for.
    #[inline]
    #[target_feature(enable = "avx512f,popcnt")]
    unsafe fn append(&mut self, lanes: u16, values: __m512) {
        // SAFETY: there is room for one vector after the last of the logits.
        unsafe { _mm512_storeu_ps(self.values.add(self.count), _mm512_maskz_compress_ps(lanes, values)) };
        self.count += lanes.count_ones() as usize;
    }

    /// # Safety
    /// What was appended is no more than there was room for.
    unsafe fn close(self) {
        // SAFETY: so many were written.
        unsafe { self.list.values.set_len(self.list.values.len() + self.count) };
    }
}

/// Sums of sixteen lanes in double precision.
#[derive(Clone, Copy)]
struct Lanes([__m512d; 2]);

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(lanes: &[f64; WIDTH]) -> Self {
        // SAFETY: the array has sixteen numbers.
        Self(unsafe { [_mm512_loadu_pd(lanes.as_ptr()), _mm512_loadu_pd(lanes.as_ptr().add(8))] })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn add(&mut self, x: __m512) {
        self.0[0] = _mm512_add_pd(self.0[0], _mm512_cvtps_pd(_mm512_castps512_ps256(x)));
        self.0[1] = _mm512_add_pd(self.0[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(x)));
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(&self, lanes: &mut [f64; WIDTH]) {
        // SAFETY: the array has sixteen numbers.
        unsafe {
            _mm512_storeu_pd(lanes.as_mut_ptr(), self.0[0]);
            _mm512_storeu_pd(lanes.as_mut_ptr().add(8), self.0[1]);
        }
    }
}

/// The sum of four vectors, pairwise.
#[inline]
#[target_feature(enable = "avx512f")]
fn four(e: [__m512; 4]) -> __m512 {
    _mm512_add_ps(_mm512_add_ps(e[0], e[1]), _mm512_add_ps(e[2], e[3]))
}

/// The same of the lanes that are marked.
#[inline]
#[target_feature(enable = "avx512f")]
fn marked(e: [__m512; 4], marks: [u16; 4]) -> __m512 {
    let one = _mm512_maskz_mov_ps(marks[0], e[0]);
    let one = _mm512_mask_add_ps(one, marks[1], one, e[1]);
    let two = _mm512_maskz_mov_ps(marks[2], e[2]);
    let two = _mm512_mask_add_ps(two, marks[3], two, e[3]);
    _mm512_add_ps(one, two)
}

/// Asks for what stands from `place` on, where there is anything.
#[inline]
#[target_feature(enable = "avx512f")]
fn fetch(values: &[f32], place: usize) {
    if place < values.len() {
        // SAFETY: the place is inside.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(values.as_ptr().add(place).cast()) };
    }
}

/// All processors with AVX-512 have these instructions; with those on vectors, too, compilers would use them.
#[target_feature(enable = "popcnt,bmi1")]
pub fn places<'a>(marks: &Marks, room: &'a mut Room) -> (&'a [u32], usize) {
    cut::places(marks, room)
}

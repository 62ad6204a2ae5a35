//! The loops that find the largest numbers of a row.

use super::{load, load_some};
use crate::decoding::leaf::LANES;
use crate::decoding::logit::Logit;
use std::arch::x86_64::{
    __m512, __m512i, _CMP_GE_OQ, _CMP_UNORD_Q, _mm512_add_epi32, _mm512_add_ps, _mm512_andnot_si512,
    _mm512_castps_si512, _mm512_cmp_ps_mask, _mm512_cmpge_epi32_mask, _mm512_cmplt_epu64_mask, _mm512_loadu_si512,
    _mm512_mask_add_epi64, _mm512_mask_max_ps, _mm512_maskz_compress_epi32, _mm512_maskz_loadu_epi32, _mm512_max_ps,
    _mm512_permutex2var_epi32, _mm512_reduce_max_ps, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_ps,
    _mm512_setr_epi32, _mm512_setzero_si512, _mm512_srai_epi32, _mm512_storeu_ps, _mm512_storeu_si512,
    _mm512_xor_si512,
};

/// See [`Logit::maxima`].
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
pub fn maxima(leaf: &[f32], block: usize, keys: &mut [i32], lanes: &mut [f32; LANES]) -> bool {
    match block {
        16 => maxima_of::<1>(leaf, keys, lanes),
        32 => maxima_of::<2>(leaf, keys, lanes),
        64 => maxima_of::<4>(leaf, keys, lanes),
        _ => maxima_of::<8>(leaf, keys, lanes),
    }
}

/// With blocks of N vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
fn maxima_of<const N: usize>(leaf: &[f32], keys: &mut [i32], lanes: &mut [f32; LANES]) -> bool {
    const VECTORS: usize = LANES / 16;
    let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
    let (groups, _) = leaf.as_chunks::<16>().0.as_chunks::<VECTORS>();
    let (heads, tails) = keys.split_at_mut(groups.len() * VECTORS / N);
    let (mut nan, mut tops) = (0, [lowest; VECTORS]);
    for (top, lanes) in tops.iter_mut().zip(lanes.as_chunks::<16>().0) {
        *top = load(lanes);
    }
    for (group, keys) in groups.iter().zip(heads.chunks_exact_mut(VECTORS / N)) {
        for (number, key) in keys.iter_mut().enumerate() {
            let mut best = [lowest; 2];
            for i in 0..N {
                let x = load(&group[number * N + i]);
                nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
                best[i % 2] = _mm512_max_ps(best[i % 2], x);
                tops[number * N + i] = _mm512_max_ps(tops[number * N + i], x);
            }
            *key = _mm512_reduce_max_ps(_mm512_max_ps(best[0], best[1])).key();
        }
    }
    for (top, lanes) in tops.iter().zip(lanes.as_chunks_mut::<16>().0) {
        // SAFETY: the array has sixteen numbers.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), *top) };
    }
    for (chunk, key) in leaf[groups.len() * LANES..].chunks(16 * N).zip(tails) {
        let (pieces, rest) = chunk.as_chunks::<16>();
        let (x, some) = load_some(rest);
        nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        let mut best = _mm512_mask_max_ps(lowest, some, lowest, x);
        for piece in pieces {
            let x = load(piece);
            nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            best = _mm512_max_ps(best, x);
        }
        *key = _mm512_reduce_max_ps(best).key();
    }
    nan != 0
}

/// The tokens that were found.
struct Found<'a> {
    out: &'a mut Vec<u64>,
    values: &'a [f32],
    bound: __m512,
}

impl Found<'_> {
    /// Appends the marked lanes of a vector whose first number has the place `start`.
    ///
    /// # Safety
    /// Two vectors have room behind the list.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
    unsafe fn append(&mut self, x: __m512, start: usize, mask: u16) {
        let steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let places = _mm512_maskz_compress_epi32(mask, _mm512_add_epi32(steps, _mm512_set1_epi32(start as i32)));
        let ranks = _mm512_maskz_compress_epi32(mask, descending(x));
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        let count = self.out.len();
        // SAFETY: there is room for sixteen, of which as many are written as lanes are marked.
        unsafe {
            let end = self.out.as_mut_ptr().add(count);
            _mm512_storeu_si512(end.cast(), _mm512_permutex2var_epi32(places, low, ranks));
            _mm512_storeu_si512(end.add(8).cast(), _mm512_permutex2var_epi32(places, high, ranks));
            self.out.set_len(count + mask.count_ones() as usize);
        }
    }

    /// Appends what reaches the bound in these whole vectors.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
    fn flush(&mut self, hits: &[u32]) {
        self.out.reserve(16 * hits.len() + 16);
        for &hit in hits {
            let start = 16 * hit as usize;
            let x = load(self.values[start..].first_chunk().expect("a whole vector"));
            // SAFETY: room for sixteen tokens of each vector was reserved.
            unsafe { self.append(x, start, _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, self.bound)) };
        }
    }
}

/// The upper halves of [`Logit::pack`].
#[inline]
#[target_feature(enable = "avx512f")]
fn descending(x: __m512) -> __m512i {
    let bits = _mm512_castps_si512(_mm512_add_ps(x, _mm512_set1_ps(0.0))); // -0 becomes 0
    let flip = _mm512_andnot_si512(_mm512_srai_epi32::<31>(bits), _mm512_set1_epi32(i32::MAX));
    _mm512_xor_si512(bits, flip)
}

/// See [`Logit::gather`]. Which blocks reach the bound, and then which vectors of them, is written down without a branch:
/// a branch that nobody can foresee costs as much as the vectors of a block.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt")]
pub fn gather(values: &[f32], block: usize, maxima: &[i32], least: f32, most: usize, out: &mut Vec<u64>) {
    const PART: usize = 256;
    let key = _mm512_set1_epi32(least.key());
    let steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let (pieces, rest) = values.as_chunks::<16>();
    let mut found = Found { out, values, bound: _mm512_set1_ps(least) };
    let (mut blocks, mut hits) = ([0u32; PART + 16], [0u32; 64 + 8]);
    for (part, maxima) in maxima.chunks(PART).enumerate() {
        let mut count = 0;
        for (number, keys) in maxima.chunks(16).enumerate() {
            let some = ((1u32 << keys.len()) - 1) as u16;
            // SAFETY: no lane beyond the keys is read.
            let keys = unsafe { _mm512_maskz_loadu_epi32(some, keys.as_ptr()) };
            let mask = _mm512_cmpge_epi32_mask(keys, key) & some;
            let numbers = _mm512_add_epi32(steps, _mm512_set1_epi32((part * PART + number * 16) as i32));
            // SAFETY: at most PART are written, and sixteen more have room.
            unsafe {
                let end = blocks.as_mut_ptr().add(count);
                _mm512_storeu_si512(end.cast(), _mm512_maskz_compress_epi32(mask, numbers));
            }
            count += mask.count_ones() as usize;
        }
        let mut hit = 0;
        for &number in &blocks[..count] {
            let start = number as usize * (block / 16);
            for (i, piece) in pieces[start..].iter().take(block / 16).enumerate() {
                hits[hit] = (start + i) as u32;
                hit += usize::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(load(piece), found.bound) != 0);
            }
            if hit >= 64 {
                found.flush(&hits[..hit]);
                hit = 0;
                if found.out.len() > most {
                    return;
                }
            }
        }
        found.flush(&hits[..hit]);
    }
    let (x, some) = load_some(rest);
    found.out.reserve(16);
    // SAFETY: room was reserved.
    unsafe { found.append(x, 16 * pieces.len(), _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, found.bound) & some) };
}

/// Tokens that are sorted by counting how many are before each.
pub const FEW: usize = 128;

/// Sorts up to [`FEW`] tokens, all of which are different.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
pub fn arrange(tokens: &mut [u64]) {
    let (mut all, mut ranks, mut sorted) = ([u64::MAX; FEW], [0u64; FEW], [0u64; FEW + 1]);
    all[..tokens.len()].copy_from_slice(tokens);
    let one = _mm512_set1_epi64(1);
    let (fours, _) = all[..tokens.len().next_multiple_of(32)].as_chunks::<32>();
    for (four, out) in fours.iter().zip(ranks.as_chunks_mut::<32>().0) {
        let (mut own, mut before) = ([_mm512_setzero_si512(); 4], [_mm512_setzero_si512(); 4]);
        for (own, eight) in own.iter_mut().zip(four.as_chunks::<8>().0) {
            // SAFETY: the array has eight numbers.
            *own = unsafe { _mm512_loadu_si512(eight.as_ptr().cast()) };
        }
        for &token in tokens.iter() {
            let token = _mm512_set1_epi64(token as i64);
            for i in 0..4 {
                before[i] = _mm512_mask_add_epi64(before[i], _mm512_cmplt_epu64_mask(token, own[i]), before[i], one);
            }
        }
        for (before, eight) in before.iter().zip(out.as_chunks_mut::<8>().0) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(eight.as_mut_ptr().cast(), *before) };
        }
    }
    for (&token, &rank) in tokens.iter().zip(&ranks) {
        sorted[rank as usize] = token;
    }
    tokens.copy_from_slice(&sorted[..tokens.len()]);
}

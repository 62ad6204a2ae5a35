//! The two loops over all logits in single precision with instructions that compilers do not find by themselves: a vector's
//! comparison as bits, and the largest of its lanes. Both are exact, so every level gives the same result.

use crate::decoding::leaf;
use crate::decoding::select;

/// See [`leaf::maxima`].
#[inline]
pub fn maxima(leaf: &[f32], block: usize, keys: &mut [i32]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: `level()` never exceeds what the processor was found to have.
        return unsafe { wide::maxima(leaf, block, keys) };
    }
    leaf::maxima(leaf, block, keys)
}

/// See [`select::gather`].
#[inline]
pub fn gather(values: &[f32], start: usize, least: f32, out: &mut Vec<u64>) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        unsafe { wide::gather(values, start, least, out) };
        return;
    }
    select::gather(values, start, least, out);
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use crate::decoding::Logit;
    use std::arch::x86_64::{
        __m512, _CMP_GE_OQ, _CMP_UNORD_Q, _mm512_cmp_ps_mask, _mm512_loadu_ps, _mm512_mask_max_ps,
        _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_reduce_max_ps, _mm512_set1_ps,
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
        let lanes = (1 << piece.len()) - 1;
        // SAFETY: no lane beyond the piece is read.
        (unsafe { _mm512_maskz_loadu_ps(lanes, piece.as_ptr()) }, lanes)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
    pub fn maxima(leaf: &[f32], block: usize, keys: &mut [i32]) -> bool {
        let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
        let mut nan = 0;
        for (chunk, key) in leaf.chunks(block).zip(keys) {
            let (pieces, rest) = chunk.as_chunks::<16>();
            let (pairs, single) = pieces.as_chunks::<2>();
            let (mut top, mut other) = (lowest, lowest);
            for [a, b] in pairs {
                let (a, b) = (load(a), load(b));
                nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b);
                top = _mm512_max_ps(top, a);
                other = _mm512_max_ps(other, b);
            }
            for piece in single {
                let a = load(piece);
                nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
                top = _mm512_max_ps(top, a);
            }
            let (a, lanes) = load_some(rest);
            nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
            top = _mm512_mask_max_ps(top, lanes, top, a);
            *key = _mm512_reduce_max_ps(_mm512_max_ps(top, other)).key();
        }
        nan != 0
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
    pub fn gather(values: &[f32], start: usize, least: f32, out: &mut Vec<u64>) {
        let bound = _mm512_set1_ps(least);
        let (pieces, rest) = values.as_chunks::<16>();
        let mut append = |piece: &[f32], at: usize, mut mask: u16| {
            while mask != 0 {
                let l = mask.trailing_zeros() as usize;
                out.push(f32::pack(piece[l].key(), (at + l) as u32));
                mask &= mask - 1;
            }
        };
        for (number, piece) in pieces.iter().enumerate() {
            append(piece, start + 16 * number, _mm512_cmp_ps_mask::<_CMP_GE_OQ>(load(piece), bound));
        }
        let (some, lanes) = load_some(rest);
        append(rest, start + 16 * pieces.len(), _mm512_cmp_ps_mask::<_CMP_GE_OQ>(some, bound) & lanes);
    }
}

//! The softmax normaliser of a leaf.

use super::{Wide, load};
use crate::decoding::leaf::{self, LANES, LEAF, WIDTH};
use crate::decoding::logit::Decay;
use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _mm_prefetch, _mm512_add_pd, _mm512_add_ps, _mm512_castps512_ps256, _mm512_cvtps_pd,
    _mm512_extractf32x8_ps, _mm512_loadu_pd, _mm512_storeu_pd,
};

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
pub fn normalizer(leaf: &[f32], decay: &Decay<f32>) -> f64 {
    if decay.shift == 0.0 { normalizer_of::<false>(leaf, decay) } else { normalizer_of::<true>(leaf, decay) }
}

/// Sums in cache lines of their own: none is in two of them.
#[repr(align(64))]
struct Sums([f64; LANES]);

/// What follows the leaf in memory is asked for, mostly the next one: memory would rest while exponentials are made.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
fn normalizer_of<const SHIFTED: bool>(leaf: &[f32], decay: &Decay<f32>) -> f64 {
    let decay = Wide::<SHIFTED>::new(decay);
    let (mut lanes, mut last) = (Sums([0.0; LANES]), [[0.0; LANES]; 4]);
    let mut ahead = leaf.as_ptr().wrapping_add(LEAF);
    for [a, b, c, d] in leaf::groups(leaf, &mut last) {
        let (a, b) = (a.as_chunks::<WIDTH>().0, b.as_chunks::<WIDTH>().0);
        let (c, d) = (c.as_chunks::<WIDTH>().0, d.as_chunks::<WIDTH>().0);
        for (l, lanes) in lanes.0.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
            let [a, b, c, d] = decay.weights([load(&a[l]), load(&b[l]), load(&c[l]), load(&d[l])]);
            let sum = _mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d));
            add_halves(lanes, [_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps::<1>(sum)]);
            for _ in 0..4 {
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast()); // reads nothing, wherever it is
                ahead = ahead.wrapping_add(WIDTH);
            }
        }
    }
    leaf::total(&lanes.0)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn add_halves(lanes: &mut [f64; WIDTH], halves: [__m256; 2]) {
    for (lanes, half) in lanes.as_chunks_mut::<8>().0.iter_mut().zip(halves) {
        // SAFETY: the array has eight numbers.
        unsafe {
            let sum = _mm512_add_pd(_mm512_loadu_pd(lanes.as_ptr()), _mm512_cvtps_pd(half));
            _mm512_storeu_pd(lanes.as_mut_ptr(), sum);
        }
    }
}

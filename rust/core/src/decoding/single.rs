//! The loops over all logits in single precision: with AVX-512 by hand, elsewhere as compilers make them.

use crate::decoding::cut::{self, Bracket, Marks, Masses, Room};
use crate::decoding::leaf;
use crate::decoding::list::{self, List, Sums};
use crate::decoding::logit::Decay;
use crate::decoding::select;
#[cfg(target_arch = "x86_64")]
use crate::decoding::wide::{self, lists};

/// See [`leaf::maxima`].
#[inline]
pub fn maxima(leaf: &[f32], block: usize, keys: &mut [i32], lanes: &mut [f32; leaf::LANES]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: `level()` never exceeds what the processor was found to have.
        return unsafe { wide::maxima(leaf, block, keys, lanes) };
    }
    leaf::maxima(leaf, block, keys)
}

/// See [`leaf::normalizer`].
#[inline]
pub fn normalizer(leaf: &[f32], decay: &Decay<f32>) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe { wide::normalizer(leaf, decay) };
    }
    leaf::normalizer(leaf, decay)
}

/// See [`select::gather`].
#[inline]
pub fn gather(values: &[f32], block: usize, maxima: &[i32], least: f32, most: usize, out: &mut Vec<u64>) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        unsafe { wide::gather(values, block, maxima, least, most, out) };
        return;
    }
    select::gather(values, block, maxima, least, most, out);
}

/// See [`select::arrange`].
#[inline]
pub fn arrange(found: &mut Vec<u64>, k: usize) {
    #[cfg(target_arch = "x86_64")]
    if found.len() <= wide::FEW && crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        unsafe { wide::arrange(found) };
        return found.truncate(k);
    }
    select::arrange::<f32>(found, k);
}

/// See [`list::inside_any`].
#[inline]
pub fn inside(values: &[f32], bracket: Bracket<f32>, list: &mut List<f32>) -> usize {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe { lists::inside(values, bracket, list) };
    }
    list::inside_any(values, bracket, list)
}

/// See [`Logit::masses`](crate::decoding::Logit::masses).
#[inline]
pub fn masses(
    leaf: &[f32],
    brackets: &[Bracket<f32>],
    decay: &Decay<f32>,
    marks: &mut [Marks; 2],
    masses: &mut Masses,
    next: &[f32],
) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe {
            match *brackets {
                [] => wide::masses(leaf, [], decay, marks, masses, next),
                [one] => wide::masses(leaf, [one], decay, marks, masses, next),
                [one, two, ..] => wide::masses(leaf, [one, two], decay, marks, masses, next),
            }
        };
    }
    cut::masses(leaf, brackets, decay, marks, masses);
}

/// See [`Logit::reach`](crate::decoding::Logit::reach).
#[inline]
pub fn reach(leaf: &[f32], least: f32, decay: &Decay<f32>, masses: &mut Masses, list: &mut List<f32>, next: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe { wide::reach(leaf, least, decay, masses, list, next) };
    }
    cut::reach(leaf, least, decay, masses, list);
}

/// See [`Logit::split`](crate::decoding::Logit::split).
#[inline]
pub fn split(
    all: &List<f32>,
    brackets: &[Bracket<f32>],
    decay: &Decay<f32>,
    masses: &mut Masses,
    lists: [&mut List<f32>; 2],
) -> [usize; 2] {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe {
            match *brackets {
                [one, two, ..] => lists::split(all, [one, two], decay, masses, lists),
                [one] => lists::split(all, [one], decay, masses, lists),
                [] => [0; 2],
            }
        };
    }
    cut::split(all, brackets, decay, masses, lists)
}

/// See [`Logit::measure`](crate::decoding::Logit::measure).
#[inline]
pub fn measure(values: &[f32], weights: &mut [f32], decay: &Decay<f32>, maximum: f32) -> ((f32, f32), [f64; 2]) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe { lists::measure(values, weights, decay, maximum) };
    }
    list::measure(values, weights, decay, maximum)
}

/// See [`Logit::above`](crate::decoding::Logit::above).
#[inline]
pub fn above(values: &[f32], weights: &[f32], least: [f32; 2], maximum: f32) -> [Sums; 2] {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe { lists::above(values, weights, least, maximum) };
    }
    list::above(values, weights, least, maximum)
}

/// See [`cut::places`].
#[inline]
pub fn places<'a>(marks: &Marks, room: &'a mut Room) -> (&'a [u32], usize) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::level() == crate::simd::Level::Avx512 {
        // SAFETY: as above.
        return unsafe { wide::places(marks, room) };
    }
    cut::places(marks, room)
}

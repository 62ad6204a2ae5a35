//! Memory for many numbers.
//!
//! The system hands a page over when it is first written to, which costs as much as the work on what it holds. Asked for all
//! at once, and for large ones, pages come in a third of the time, and numbers that are written to here and there are
//! found faster afterwards.

use crate::real::Real;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Less memory comes from what was in use before.
const LARGE: usize = 1 << 20;
/// Zeros of so many bytes, which no cache would hold, are pages that are yet to be written to.
const VAST: usize = 1 << 24;
const PAGE: usize = 1 << 12;

/// `n` zeros.
#[must_use]
pub fn zeros<T: Copy + Default>(n: usize) -> Vec<T> {
    let mut numbers = vec![T::default(); n];
    populate(&mut numbers);
    numbers
}

/// `n` zeros, of which few will be written to: whoever writes to a page, or reads it, is handed it then. The system's own
/// allocation of zeros writes them all where the memory was in use before.
#[must_use]
pub fn blank<T: Real>(n: usize) -> Vec<T> {
    if n * size_of::<T>() < VAST {
        return vec![T::ZERO; n];
    }
    let mut numbers: Vec<T> = Vec::with_capacity(n);
    let pages = dropped(&mut numbers.spare_capacity_mut()[..n]);
    let first = numbers.as_mut_ptr();
    // SAFETY: there is room for n numbers. Those before and after the pages become zeros, and the pages hold zeros.
    unsafe {
        first.write_bytes(0, pages.start);
        first.add(pages.end).write_bytes(0, n - pages.end);
        numbers.set_len(n);
    }
    numbers
}

/// Asks at once for the pages of a part of [`blank`]'s `n` numbers that is about to be written to.
#[cfg(target_os = "linux")]
pub fn demand<T: Real>(part: &mut [T], n: usize) {
    let start = part.as_mut_ptr().align_offset(PAGE).min(part.len());
    let bytes = ((part.len() - start) * size_of::<T>()) & !(PAGE - 1);
    if n * size_of::<T>() < VAST || bytes == 0 {
        return;
    }
    // SAFETY: whole pages of our own; the advice changes no content. It is refused where the system does not know it.
    unsafe {
        libc::madvise(part.as_mut_ptr().add(start).cast(), bytes, libc::MADV_POPULATE_WRITE);
    }
}

/// Nothing is known of the system's pages.
#[cfg(not(target_os = "linux"))]
pub fn demand<T: Real>(_: &mut [T], _: usize) {}

/// Hands whole pages back to the system, so that they hold zeros, and returns the numbers on them.
#[cfg(target_os = "linux")]
fn dropped<T: Real>(numbers: &mut [MaybeUninit<T>]) -> Range<usize> {
    let first: *mut T = numbers.as_mut_ptr().cast();
    let start = first.align_offset(PAGE).min(numbers.len());
    let bytes = ((numbers.len() - start) * size_of::<T>()) & !(PAGE - 1);
    if bytes == 0 {
        return 0..0;
    }
    // SAFETY: whole pages of our own that hold nothing of worth. If they were not the process's own, as other allocators
    // may have it, the advice would be refused or leave the number that is looked at.
    unsafe {
        let pages = first.add(start);
        pages.write_volatile(T::ONE);
        let refused = libc::madvise(pages.cast(), bytes, libc::MADV_DONTNEED) != 0;
        if refused || pages.read_volatile() != T::ZERO { 0..0 } else { start..start + bytes / size_of::<T>() }
    }
}

#[cfg(not(target_os = "linux"))]
fn dropped<T: Real>(_: &mut [MaybeUninit<T>]) -> Range<usize> {
    0..0
}

/// Makes room for `n` numbers of any content.
pub fn room<T: Copy>(numbers: &mut Vec<T>, n: usize, number: T) {
    if numbers.capacity() < n {
        numbers.clear();
        numbers.reserve_exact(n);
        populate(numbers);
    }
    numbers.resize(n, number);
}

#[cfg(target_os = "linux")]
fn populate<T>(numbers: &mut Vec<T>) {
    let bytes = numbers.capacity() * size_of::<T>();
    if bytes < LARGE {
        return;
    }
    let (start, end) = (numbers.as_mut_ptr().cast::<u8>(), numbers.as_ptr().addr() + bytes);
    let start = start.map_addr(|at| at.next_multiple_of(PAGE));
    let whole = (end & !(PAGE - 1)).saturating_sub(start.addr());
    // SAFETY: whole pages of our own; the advice changes no content. It is refused where the system does not know it.
    unsafe {
        libc::madvise(start.cast(), whole, libc::MADV_HUGEPAGE);
        libc::madvise(start.cast(), whole, libc::MADV_POPULATE_WRITE);
    }
}

#[cfg(not(target_os = "linux"))]
fn populate<T>(_: &mut Vec<T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_numbers_are_zeros_where_others_were() {
        for n in [0, 1, VAST / 4 - 1, VAST / 4, VAST / 4 + 1, VAST / 2 + 1027] {
            for _ in 0..3 {
                let mut numbers = blank::<f32>(n);
                assert!(numbers == vec![0.0; n]);
                numbers.fill(7.0);
                let mut wide = blank::<f64>(n);
                assert!(wide == vec![0.0; n]);
                wide.fill(7.0);
            }
        }
    }

    #[test]
    fn there_is_room_and_zeros_are_zeros() {
        for n in [0, 1, 1000, LARGE, 3 * LARGE + 7] {
            assert!(zeros::<f32>(n) == vec![0.0; n]);
            let mut numbers = vec![3_u64; 5];
            room(&mut numbers, n, 7);
            room(&mut numbers, n / 2, 7);
            assert_eq!(numbers.len(), n / 2);
        }
    }
}

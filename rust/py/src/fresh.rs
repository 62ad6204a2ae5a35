//! Memory for large outputs.

/// Smaller outputs come from memory that was in use before.
const LARGE: usize = 1 << 20;

/// `n` zeros. Where they are many, the system is asked for all their pages at once, and for large ones: handing them over
/// one by one, as they are first written to, takes three times as long, a tenth of the time of a sort.
pub fn zeros<T: Copy + Default>(n: usize) -> Vec<T> {
    let mut numbers = vec![T::default(); n];
    if size_of_val(&numbers[..]) >= LARGE {
        populate(&mut numbers);
    }
    numbers
}

#[cfg(target_os = "linux")]
fn populate<T>(numbers: &mut [T]) {
    const PAGE: usize = 1 << 12;
    let range = numbers.as_mut_ptr_range();
    let start = range.start.cast::<u8>().map_addr(|at| at.next_multiple_of(PAGE));
    let bytes = (range.end.addr() & !(PAGE - 1)).saturating_sub(start.addr());
    // SAFETY: whole pages of our own; the advice changes no content. It is refused where the system does not know it.
    unsafe {
        libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE);
        libc::madvise(start.cast(), bytes, libc::MADV_POPULATE_WRITE);
    }
}

#[cfg(not(target_os = "linux"))]
fn populate<T>(_: &mut [T]) {}

//! Memory for vectors.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// Numbers that begin with a cache line: a vector that lies across two of them is read and written half as fast.
#[derive(Debug, Default)]
pub struct Aligned<T> {
    numbers: Vec<T>,
    first: usize,
    size: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Makes it `size` numbers long, whatever they are.
    pub fn resize(&mut self, size: usize) {
        let room = size + LINE / size_of::<T>();
        if self.numbers.len() < room {
            self.numbers = vec![T::default(); room];
            self.first = self.numbers.as_ptr().align_offset(LINE).min(room - size);
        }
        self.size = size;
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.numbers[self.first..self.first + self.size]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.first..self.first + self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_begins_with_a_line() {
        let mut numbers = Aligned::<f32>::default();
        assert!(numbers.is_empty());
        for size in [3, 0, 70, 16, 1000] {
            numbers.resize(size);
            numbers.fill(1.0);
            assert_eq!((numbers.len(), numbers.as_ptr().align_offset(LINE)), (size, 0));
        }
    }
}

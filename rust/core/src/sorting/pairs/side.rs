//! One side of a list of pairs: the items that count, the infinite ones apart.

use crate::real::Real;

/// The items of one side: finite ones, then those at minus infinity, then those at plus infinity.
#[derive(Debug, Default)]
pub struct Side {
    /// Values of the finite items.
    pub values: Vec<f64>,
    /// Positions of all items in the list.
    pub places: Vec<u32>,
    /// The number of items at minus infinity.
    pub low: usize,
}

impl Side {
    /// Takes the items of `x` whose `mask` is true, in their order; false when one of them is NaN.
    pub fn fill<T: Real>(&mut self, x: &[T], mask: Option<&[bool]>) -> bool {
        self.values.clear();
        self.places.clear();
        self.low = 0;
        if mask.is_none() && all_finite(x) {
            self.values.extend(x.iter().map(|x| x.wide()));
            self.places.extend(0..x.len() as u32);
            return true;
        }
        let counts = |i: usize| mask.is_none_or(|mask| mask[i]);
        for wanted in [None, Some(f64::NEG_INFINITY), Some(f64::INFINITY)] {
            for (i, x) in x.iter().map(|x| x.wide()).enumerate().filter(|&(i, _)| counts(i)) {
                if x.is_nan() {
                    return false;
                }
                if wanted.map_or(x.is_finite(), |wanted| x == wanted) {
                    self.places.push(i as u32);
                    if wanted.is_none() {
                        self.values.push(x);
                    }
                }
            }
            if wanted == Some(f64::NEG_INFINITY) {
                self.low = self.places.len() - self.values.len();
            }
        }
        true
    }

    /// The number of items.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // nobody asks
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// The number of finite items.
    #[must_use]
    pub const fn finite(&self) -> usize {
        self.values.len()
    }

    /// The entries of an array over the list that belong to the items, in their order.
    #[must_use]
    pub fn take<T: Real>(&self, array: &[T]) -> Vec<f64> {
        self.places.iter().map(|&place| array[place as usize].wide()).collect()
    }

    /// Writes one number for each item back to where it stands in the list.
    pub fn put<T: Real>(&self, array: &mut [T], number: impl Fn(usize) -> f64) {
        for (item, &place) in self.places.iter().enumerate() {
            array[place as usize] = T::of(number(item));
        }
    }
}

/// Whether no number is NaN or infinite.
pub fn all_finite<T: Real>(x: &[T]) -> bool {
    // Blocks without an early exit are vector instructions.
    x.chunks(64).all(|block| block.iter().fold(true, |finite, x| finite & x.is_finite()))
}

//! Working memory that a thread keeps from call to call: fresh pages cost as much as the work on a list.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// Working memory of one kind that a thread keeps.
#[derive(Debug)]
pub struct Store<T> {
    kept: Vec<Box<T>>,
    bytes: usize,
}

impl<T> Store<T> {
    /// Nothing yet.
    #[must_use]
    #[allow(clippy::new_without_default)] // a constant is what statics need
    pub const fn new() -> Self {
        Self { kept: Vec::new(), bytes: 0 }
    }
}

/// Working memory that threads keep.
pub trait Keep: Default + 'static {
    /// A thread keeps at most so many bytes.
    const MOST: usize;
    /// Where this thread keeps it.
    fn store() -> &'static LocalKey<RefCell<Store<Self>>>;
    /// The bytes it holds.
    fn bytes(&self) -> usize;
    /// Makes it fit for another call.
    fn forget(&mut self);
}

/// Working memory until it is dropped; then it goes to the store of the thread at hand.
#[derive(Debug)]
pub struct Lent<T: Keep>(Box<T>);

impl<T: Keep> Lent<T> {
    /// What the thread has kept, or new.
    #[must_use]
    pub fn new() -> Self {
        let lend = |store: &RefCell<Store<T>>| {
            let mut store = store.borrow_mut();
            let kept = store.kept.pop()?;
            store.bytes -= kept.bytes();
            Some(kept)
        };
        // A thread that ends has nothing.
        let mut lent = T::store().try_with(lend).ok().flatten().unwrap_or_default();
        lent.forget();
        Self(lent)
    }
}

impl<T: Keep> Default for Lent<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Keep> Deref for Lent<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Keep> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Keep> Drop for Lent<T> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.0);
        let bytes = memory.bytes();
        let _ = T::store().try_with(|store| {
            let mut store = store.borrow_mut();
            if store.bytes + bytes <= T::MOST {
                store.bytes += bytes;
                store.kept.push(memory);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Numbers(Vec<u8>, bool);

    thread_local! {
        static STORE: RefCell<Store<Numbers>> = const { RefCell::new(Store::new()) };
    }

    impl Keep for Numbers {
        const MOST: usize = 100;
        fn store() -> &'static LocalKey<RefCell<Store<Self>>> {
            &STORE
        }
        fn bytes(&self) -> usize {
            self.0.capacity()
        }
        fn forget(&mut self) {
            self.1 = false;
        }
    }

    #[test]
    fn a_thread_keeps_what_it_may_and_hands_it_out_again() {
        let (mut first, mut second) = (Lent::<Numbers>::new(), Lent::<Numbers>::new());
        (first.0.0, first.1) = (Vec::with_capacity(60), true);
        second.0.0 = Vec::with_capacity(60);
        drop(first);
        drop(second); // there is no room for it
        let again = Lent::<Numbers>::new();
        assert!(again.0.0.capacity() >= 60 && !again.1);
        assert_eq!(Lent::<Numbers>::new().0.0.capacity(), 0);
        std::thread::spawn(|| assert_eq!(Lent::<Numbers>::new().0.0.capacity(), 0)).join().unwrap();
    }
}

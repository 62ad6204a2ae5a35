//! Arrays of images, lists of such arrays, and work on all of their images side by side.

use super::image::Value;
use super::{grid, memory};
use crate::error::{Error, Result, invalid};
use crate::job::Job;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Images of one shape that lie one after another: the first `lead` axes of `shape` count them.
#[derive(Debug, Clone, Copy)]
pub struct Stack<'a, T> {
    /// Name of the argument, for errors.
    pub name: &'static str,
    /// All voxels.
    pub voxels: &'a [T],
    /// The shape of the whole.
    pub shape: &'a [usize],
    /// How many axes count images.
    pub lead: usize,
    /// Its place in a list, for errors.
    pub item: Option<usize>,
}

/// A stack of one of the two number types.
#[derive(Debug, Clone, Copy)]
pub enum Images<'a> {
    /// Single precision.
    Single(Stack<'a, f32>),
    /// Double precision.
    Double(Stack<'a, f64>),
}

impl Images<'_> {
    const fn shape(&self) -> (&[usize], usize) {
        match self {
            Self::Single(Stack { shape, lead, .. }) | Self::Double(Stack { shape, lead, .. }) => (shape, *lead),
        }
    }
}

/// Calls `work` for every item of a list, side by side, if the memory that they take will be there; `pair`: they are
/// pairs, of which `images` gives the first.
pub(super) fn items<'a, L: Sync, R: Send>(
    list: &[L],
    images: impl Fn(&L) -> Images<'a>,
    pair: bool,
    job: &Job,
    work: impl Fn(&L) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let stacks: Vec<_> = list.iter().map(images).collect();
    memory::check(stacks.iter().map(Images::shape), pair)?;
    all(list.len(), job, |i| work(&list[i]))
}

/// Calls `work` for 0, ..., `count` - 1: in the pool's threads when the caller runs inside one. Of several errors it is
/// the first one that comes back, whichever thread was the fastest.
fn all<R: Send>(count: usize, job: &Job, work: impl Fn(usize) -> Result<R> + Sync) -> Result<Vec<R>> {
    let bad = AtomicUsize::new(count);
    let one = |i: usize| {
        job.check()?;
        // What lies behind an error is not needed.
        if i > bad.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        work(i).inspect_err(|_| {
            bad.fetch_min(i, Ordering::Relaxed);
        })
    };
    if rayon::current_thread_index().is_none() || rayon::current_num_threads() == 1 {
        return (0..count).map(one).collect();
    }
    (0..count).into_par_iter().map(one).collect::<Vec<_>>().into_iter().collect()
}

impl<T: Sync> Stack<'_, T> {
    /// Calls `work` for the voxels and the shape of every image, side by side.
    pub(super) fn each<R: Send>(
        &self,
        job: &Job,
        work: impl Fn(Range<usize>, &[usize]) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let (images, shape) = self.shape.split_at(self.lead);
        let (images, size): (usize, usize) = (images.iter().product(), shape.iter().product());
        if size >= grid::LARGEST {
            return Err(self.error(&format!("images must be of less than {} voxels, got {size}", grid::LARGEST)));
        }
        if size == 0 {
            return Err(self.error(&format!("images must have at least one voxel, got shape {shape:?}")));
        }
        all(images, job, |image| work(image * size..(image + 1) * size, shape))
    }

    /// An error of this array.
    pub(super) fn error(&self, text: &str) -> Error {
        match self.item {
            Some(item) => invalid!("{text} (item {item} of the list)"),
            None => invalid!("{text}"),
        }
    }
}

impl<'a, T: Value> Stack<'a, T> {
    /// The voxels of one image, none of them NaN.
    pub(super) fn image(&self, range: Range<usize>, job: &Job) -> Result<&'a [T]> {
        let image = &self.voxels[range.clone()];
        let mut found = false;
        // Without an early exit, which would not vectorise.
        job.sweep(image.len(), |piece| found |= image[piece].iter().fold(false, |found, x| found | x.is_nan()))?;
        if !found {
            return Ok(image);
        }
        let at = image.iter().position(|x| x.is_nan()).unwrap_or_default();
        let place = place(self.shape, range.start + at);
        Err(self.error(&format!("{} must not contain NaN, got one at {place}", self.name)))
    }
}

/// "index (1, 2)" for a position in an array, "index (1,)" in one of one axis.
fn place(shape: &[usize], mut at: usize) -> String {
    let mut index = vec![0; shape.len()];
    for (i, &size) in index.iter_mut().zip(shape).rev() {
        (*i, at) = (at % size, at / size);
    }
    let text: Vec<_> = index.iter().map(ToString::to_string).collect();
    format!("index ({}{})", text.join(", "), if text.len() == 1 { "," } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_comes_back_in_any_number_of_threads() {
        let bad = |i: usize| if i % 7 == 3 { Err(invalid!("{i}")) } else { Ok(i) };
        let run = || (all(40, &Job::default(), bad), all(3, &Job::default(), bad));
        assert_eq!(run(), (Err(invalid!("3")), Ok(vec![0, 1, 2])));
        for threads in [2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            (0..50).for_each(|_| assert_eq!(pool.install(run), (Err(invalid!("3")), Ok(vec![0, 1, 2]))));
        }
    }
}

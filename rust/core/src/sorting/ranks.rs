//! Hard ranks.

use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{Key, Scratch, order};

/// What one item costs, about, in nanoseconds.
pub const COST: usize = 40;

/// Fills `ranks` with each item's rank in its list, from 1: by increasing value (decreasing if `descending`), equal values
/// by position. Items whose `mask` is false get `fill`; a list with a NaN among the others gets NaN there.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn ranks<T: Key>(
    x: &[T],
    lists: &Lists<'_>,
    mask: Option<&[bool]>,
    descending: bool,
    fill: T,
    ranks: &mut [T],
    job: &Job,
) -> Result<()> {
    let out = Output::new(ranks);
    let scratch = || (Scratch::default(), Vec::new());
    lists.each(job, scratch, |(scratch, places), _, range| {
        let x = &x[range.clone()];
        places.resize(x.len(), 0);
        let count = order(x, mask.map(|mask| &mask[range.clone()]), descending, scratch, places);
        // SAFETY: lists do not overlap.
        let ranks = unsafe { out.part(range) };
        ranks.fill(fill);
        let bad = count > 0 && x[places[count - 1] as usize].wide().is_nan();
        for (rank, &place) in places[..count].iter().enumerate() {
            ranks[place as usize] = T::of(if bad { f64::NAN } else { (rank + 1) as f64 });
        }
        Ok(())
    })
}

//! The k largest or smallest numbers of every row.

use crate::decoding::logit::Logit;
use crate::decoding::row::{Memory, Reading, Row};
use crate::decoding::statistics::Sums;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;

/// Fills `values` and `indices`, `k` for each row of `x`: in order, equal numbers by index.
///
/// # Errors
/// When a number is NaN, or the job was stopped.
pub fn topk<T: Logit>(
    x: &[T],
    v: usize,
    largest: bool,
    values: &mut [T],
    indices: &mut [i64],
    k: usize,
    job: &Job,
) -> Result<()> {
    super::each(x, v, (values, k), (indices, k), job, |number, row, values, indices| {
        let mut memory = Lent::<Memory<T>>::new();
        let mut negated = Vec::new();
        if !largest {
            negated.extend(row.iter().map(|&x| -x));
        }
        let read = if largest { row } else { &negated };
        let reading = Reading { temperature: 1.0, sums: Sums::Nothing, expected: k };
        let mut found = Row::scan(read, reading, &mut memory, |column, x| match x.partial_cmp(&x) {
            Some(_) => Ok(()),
            None => Err(invalid!("x must be free of NaN, got {x} at row {number}, column {column}")),
        })?;
        for ((&packed, value), place) in found.select(k).iter().zip(values).zip(indices) {
            let (_, index) = T::unpack(packed);
            (*value, *place) = (row[index as usize], i64::from(index));
        }
        Ok(())
    })
}

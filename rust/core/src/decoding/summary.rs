//! The statistics of rows of logits, as columns.

use crate::decoding::logit::Logit;
use crate::decoding::row::{Memory, Reading, Row};
use crate::decoding::statistics::Sums;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;

/// Columns of [`summarize`]: maximum, log-sum-exp, entropy, collision probability, mean, deviation.
pub const COLUMNS: usize = 6;

/// Fills [`COLUMNS`] numbers and the count of finite logits for each row of `logits`.
///
/// # Errors
/// When a row or a temperature is refused, or the job was stopped.
pub fn summarize<T: Logit>(
    logits: &[T],
    v: usize,
    temperature: &[f64],
    table: &mut [f64],
    counts: &mut [i64],
    job: &Job,
) -> Result<()> {
    super::each(logits, v, (table, COLUMNS), (counts, 1), job, |number, row, out, count| {
        let temperature = temperature[number];
        if !(temperature > 0.0 && temperature < f64::INFINITY) {
            return Err(invalid!("temperature must be a finite number > 0, got {temperature} for row {number}"));
        }
        let mut memory = Lent::<Memory<T>>::new();
        let reading = Reading { temperature, sums: Sums::Spread, expected: 1 };
        let found = Row::read(row, number, reading, &mut memory)?.statistics;
        out.copy_from_slice(&[
            found.maximum,
            found.lse(),
            found.entropy(),
            found.collision(),
            found.mean,
            found.deviation(),
        ]);
        count[0] = found.count as i64;
        Ok(())
    })
}

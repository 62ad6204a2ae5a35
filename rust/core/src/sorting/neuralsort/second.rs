//! The second derivative: the vector-Jacobian product on dual numbers.

use super::bands::Lane;
use super::smooth::Chain;
use super::{Axis, Inputs, Kept, Options, Places, axes, bad, rows};
use crate::dual::{Dual, Number};
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::Output;
use crate::sorting::order::counted;

/// Directions in which the inputs move.
#[derive(Debug, Clone, Copy)]
pub struct Tangents<'a, T> {
    /// Of the scores.
    pub x: &'a [T],
    /// Of `v`.
    pub v: &'a [T],
    /// Of the temperatures.
    pub temperature: &'a [T],
}

/// The parts of the result that belong to one list.
struct Parts<'a, T> {
    x: &'a mut [T],
    v: &'a mut [T],
    temperature: &'a mut [T],
    grad: &'a mut [T],
}

/// Fills the gradients of `<tangents, vjp>` to `x`, `v`, `temperature` and the gradient of `y`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn second<T: Lane>(
    inputs: &Inputs<'_, T>,
    kept: &Kept<'_, T>,
    tangents: &Tangents<'_, T>,
    options: &Options,
    (x, v, temperature, grad): (&mut [T], &mut [T], &mut [T], &mut [T]),
    job: &Job,
) -> Result<()> {
    let (x, v, temperature, grad) = (Output::new(x), Output::new(v), Output::new(temperature), Output::new(grad));
    inputs.lists.each(
        job,
        || (),
        |(), list, range| {
            let wide = rows(&range, inputs.width);
            // SAFETY: lists do not overlap.
            let parts = unsafe {
                Parts {
                    x: x.part(range.clone()),
                    v: v.part(wide.clone()),
                    temperature: temperature.part(list..list + 1),
                    grad: grad.part(wide.clone()),
                }
            };
            let inputs = Inputs { x: &inputs.x[range.clone()], v: &inputs.v[wide.clone()], ..*inputs };
            let tangents = Tangents { x: &tangents.x[range.clone()], v: &tangents.v[wide.clone()], ..*tangents };
            let kept = Kept { places: &kept.places[range], grad: &kept.grad[wide], ..*kept };
            one(list, &inputs, &kept, &tangents, options, parts, job)
        },
    )
}

/// `second` for one list; all but the numbers per list are cut to it.
fn one<T: Lane>(
    list: usize,
    inputs: &Inputs<'_, T>,
    kept: &Kept<'_, T>,
    tangents: &Tangents<'_, T>,
    options: &Options,
    out: Parts<'_, T>,
    job: &Job,
) -> Result<()> {
    let Parts { x: to_x, v: to_v, temperature: to_temperature, grad: to_grad } = out;
    let (order, width) = (&kept.places[..counted(kept.places)], inputs.width);
    let (at, single, [from, to]) = (Places::new(order, width), Places::new(order, 1), axes(options));
    if bad(inputs.x, order) || order.is_empty() {
        at.spoil(from, to_v);
        at.spoil(to, to_grad);
        single.spoil(Axis::Items, to_x);
        to_temperature.fill(if order.is_empty() { T::ZERO } else { T::of(f64::NAN) });
        return Ok(());
    }
    let sign = Dual::of(if options.descending { 1.0 } else { -1.0 });
    let still = vec![T::ZERO; kept.grad.len()];
    let temperature = Dual::new(inputs.temperature[list].wide(), tangents.temperature[list].wide());
    let s = duals(&single, Axis::Items, inputs.x, tangents.x);
    let v = duals(&at, from, inputs.v, tangents.v);
    let grad = duals(&at, to, kept.grad, &still);
    let gap = |pair: &[Dual]| {
        let difference = sign * (pair[0] - pair[1]);
        // Equal infinities are tied.
        if difference.value.is_nan() { Dual::of(0.0) } else { difference / temperature }
    };
    let gaps = s.windows(2).map(gap).collect();
    let cut = if options.iterations == 0 { f64::CUT } else { f64::SCALED_CUT };
    let (a, b) = if options.transposed { (v, grad) } else { (grad, v) };
    let found = Chain { gaps, temperature, cut, job }.adjoint(&a, &b, width, kept.steps[list] as usize)?;
    let (v, grad) = if options.transposed { (found.rows, found.columns) } else { (found.columns, found.rows) };
    store_slopes(&at, from, &v, Dual::of(1.0), to_v);
    store_slopes(&at, to, &grad, Dual::of(1.0), to_grad);
    store_slopes(&single, Axis::Items, &found.scores, sign, to_x);
    to_temperature[0] = T::of(found.temperature.slope);
    Ok(())
}

/// Rows in sorted order, moving along their tangents.
fn duals<T: Lane>(at: &Places<'_>, axis: Axis, rows: &[T], tangents: &[T]) -> Vec<Dual> {
    let elements = (0..at.order.len()).flat_map(|k| at.row(axis, k));
    elements.map(|i| Dual::new(rows[i].wide(), tangents[i].wide())).collect()
}

/// The way back, for the slopes of `factor` times the rows.
fn store_slopes<T: Lane>(at: &Places<'_>, axis: Axis, sorted: &[Dual], factor: Dual, rows: &mut [T]) {
    rows.fill(T::ZERO);
    for (k, row) in sorted.chunks_exact(at.width).enumerate() {
        for (out, &value) in rows[at.row(axis, k)].iter_mut().zip(row) {
            *out = T::of((factor * value).slope);
        }
    }
}

//! The gradients of soft top-k masks: the quick one in the items' precision, and the way to the exact one.

use crate::error::Result;
use crate::job::Job;
use crate::sorting::curves::{Clip, Curve, Gaussian, Laplace, Logistic, Power};
use crate::sorting::lists::Output;
use crate::sorting::threshold::{Passes, Threshold};
use crate::sorting::topk::{Dense, Kind, Problem, Settings, with_curve};
use crate::sorting::topk_exact::{Exact, Gradient};
use std::ops::Range;

/// The vector-Jacobian product for the cotangent `g` of `y`: `dx`, and one number per list of `dk` and `dtau`.
///
/// With f = F'(t) and m the mean of g weighted by f, they are f (g - m) / tau, m, and minus the sum of t dx.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn vjp<T: Passes>(
    problem: &Problem<'_, T>,
    thetas: &[[f64; 2]],
    g: &[T],
    dx: &mut [T],
    dk: &mut [T],
    dtau: &mut [T],
    job: &Job,
) -> Result<()> {
    let (dx, dk, dtau) = (Output::new(dx), Output::new(dk), Output::new(dtau));
    problem.lists.each(job, Dense::default, |scratch, list, range| {
        // SAFETY: lists do not overlap.
        let (dx, dk, dtau) =
            unsafe { (dx.part(range.clone()), dk.part(list..list + 1), dtau.part(list..list + 1)) };
        let theta = Threshold { anchor: thetas[list][0], shift: thetas[list][1] };
        if theta.anchor.is_infinite() {
            return Ok(()); // gradients were zero when they were made
        }
        let settings = problem.settings;
        if let Some([to_k, to_tau]) =
            with_curve!(settings.kind, curve => quick(curve, problem, list, range.clone(), theta, &g[range.clone()], scratch, dx))
        {
            (dk[0], dtau[0]) = (T::of(to_k), T::of(to_tau));
            return Ok(());
        }
        let found = exact(problem, list, range.clone(), theta, g, None);
        found.at.iter().zip(&found.gradient.dx).for_each(|(&i, slope)| dx[i as usize] = T::of(slope.value));
        (dk[0], dtau[0]) = (T::of(found.gradient.dk.value), T::of(found.gradient.dtau.value));
        Ok(())
    })
}

/// The gradient in the items' precision; None where that does not do.
#[allow(clippy::too_many_arguments)] // one list's part of a problem, its memory and its output
fn quick<T: Passes, C: Curve>(
    curve: C,
    problem: &Problem<'_, T>,
    list: usize,
    range: Range<usize>,
    theta: Threshold,
    g: &[T],
    scratch: &mut Dense<T>,
    dx: &mut [T],
) -> Option<[f64; 2]> {
    let Settings { kind, largest, log, .. } = problem.settings;
    let inverse = problem.tau[list].wide().max(1e-300).recip();
    let place = [T::of(theta.anchor), T::of(inverse), T::of(theta.shift)];
    let rounded = place[0].wide() != theta.anchor || place[2].wide() != theta.shift || !place[1].is_finite();
    if log || rounded || kind == Kind::Cutoff || theta.anchor.is_nan() {
        return None;
    }
    let x = &problem.x[range.clone()];
    if problem.mask.is_none() && largest {
        return sums(curve, x, place, g, dx);
    }
    scratch.gather(x, problem.mask.map(|mask| &mask[range]), largest);
    let Dense { v, at, y: out, g: some, .. } = scratch;
    some.clear();
    some.extend(at.iter().map(|&i| g[i as usize]));
    out.clear();
    out.resize(v.len(), T::ZERO);
    let found = sums(curve, v, place, some, out)?;
    dx.fill(T::ZERO);
    at.iter().zip(&*out).for_each(|(&i, &value)| dx[i as usize] = if largest { value } else { -value });
    Some(found)
}

fn sums<T: Passes, C: Curve>(curve: C, v: &[T], place: [T; 3], g: &[T], dx: &mut [T]) -> Option<[f64; 2]> {
    let [slopes, weighted] = T::slopes(curve, v, place, g, dx);
    if slopes < T::FAINT {
        return None;
    }
    let mean = weighted / slopes;
    let along = T::centre(v, place, g, T::of(mean), dx);
    // An infinite item times its slope of zero.
    if along.is_nan() { None } else { Some([mean, -along]) }
}

/// Where the finite items of a list that count lie, and gradients for them.
struct Found {
    at: Vec<u32>,
    gradient: Gradient,
}

/// The gradient and its derivative along the tangents of x, k and tau.
fn exact<T: Passes>(
    problem: &Problem<'_, T>,
    list: usize,
    range: Range<usize>,
    theta: Threshold,
    g: &[T],
    tangents: Option<[&[T]; 3]>,
) -> Found {
    let Settings { kind, largest, log, .. } = problem.settings;
    let (x, g) = (&problem.x[range.clone()], &g[range.clone()]);
    let mut dense = Dense::default();
    dense.gather(x, problem.mask.map(|mask| &mask[range.clone()]), largest);
    if dense.nan {
        dense.at.extend(dense.highest.iter().chain(&dense.lowest));
        let gradient = Gradient::nan(dense.at.len());
        return Found { at: dense.at, gradient };
    }
    let sign = if largest { 1.0 } else { -1.0 };
    let pick = |from: &[T], sign: f64| dense.at.iter().map(|&i| sign * from[i as usize].wide()).collect::<Vec<_>>();
    let [slope_k, slope_tau] = tangents.map_or([0.0; 2], |[_, k, tau]| [k[list].wide(), tau[list].wide()]);
    let exact = Exact {
        v: pick(x, sign),
        g: pick(g, 1.0),
        tangent: tangents.map_or_else(|| vec![0.0; dense.at.len()], |[tx, ..]| pick(&tx[range], sign)),
        k: [problem.k[list].wide() - dense.highest.len() as f64, slope_k],
        tau: [problem.tau[list].wide(), slope_tau],
        theta,
        cutoff: kind == Kind::Cutoff,
        log,
    };
    let mut gradient = with_curve!(kind, curve => exact.gradient(curve));
    gradient.dx.iter_mut().for_each(|slope| (slope.value, slope.slope) = (sign * slope.value, sign * slope.slope));
    Found { at: dense.at, gradient }
}

/// Gradients of `phi = <tangents, vjp>`: to x, k and tau, and to `g`.
///
/// # Errors
/// [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)] // inputs and outputs of the operator
pub fn second<T: Passes>(
    problem: &Problem<'_, T>,
    thetas: &[[f64; 2]],
    g: &[T],
    tangents: [&[T]; 3],
    dx: &mut [T],
    dk: &mut [T],
    dtau: &mut [T],
    dg: &mut [T],
    job: &Job,
) -> Result<()> {
    let (dx, dk, dtau, dg) = (Output::new(dx), Output::new(dk), Output::new(dtau), Output::new(dg));
    problem.lists.each(
        job,
        || (),
        |(), list, range| {
            // SAFETY: lists do not overlap.
            let (dx, dg) = unsafe { (dx.part(range.clone()), dg.part(range.clone())) };
            // SAFETY: as above.
            let (dk, dtau) = unsafe { (dk.part(list..list + 1), dtau.part(list..list + 1)) };
            let theta = Threshold { anchor: thetas[list][0], shift: thetas[list][1] };
            if theta.anchor.is_infinite() {
                return Ok(());
            }
            let found = exact(problem, list, range, theta, g, Some(tangents));
            for (place, &i) in found.at.iter().enumerate() {
                dx[i as usize] = T::of(found.gradient.dx[place].slope);
                dg[i as usize] = T::of(found.gradient.dg[place]);
            }
            (dk[0], dtau[0]) = (T::of(found.gradient.dk.slope), T::of(found.gradient.dtau.slope));
            Ok(())
        },
    )
}

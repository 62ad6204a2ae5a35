//! Soft top-k masks: the curves of [`crate::sorting::curves`] at the threshold where they sum to k, and their gradients.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::sorting::curves::{Clip, Curve, Gaussian, Laplace, Logistic, Power};
use crate::sorting::lists::{Lists, Output};
use crate::sorting::threshold::{Passes, Threshold, boundary, solve};
use crate::sorting::topk_exact::{Exact, Gradient};
use std::ops::Range;

/// What one item costs forward, about, in nanoseconds; by the fast gradient; by the exact one.
pub const COST: [usize; 3] = [5, 2, 60];

/// Which curve, and what else decides about the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `1 / (1 + exp(-t))`.
    Logistic,
    /// `exp(t) / 2` and its mirror image.
    Laplace,
    /// `t` cut to 0..1.
    Clip,
    /// `t^exponent`, `t` cut to 0..1.
    Power(f64),
    /// The normal distribution function.
    Gaussian,
    /// Logistic at the mean of the k-th and the next item (k whole): sums to k only about.
    Cutoff,
}

/// Options of an operator.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The curve.
    pub kind: Kind,
    /// Whether the largest items are chosen, or the smallest.
    pub largest: bool,
    /// Whether values are logarithms.
    pub log: bool,
    /// Whether values are those of the hard choice of `floor(k)` items.
    pub hard: bool,
}

/// Arguments of an operator: flat items, and one number per list of `k` and `tau`.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a, T> {
    /// The items.
    pub x: &'a [T],
    /// What the values of each list sum to.
    pub k: &'a [T],
    /// The temperature of each list.
    pub tau: &'a [T],
    /// Where the lists lie.
    pub lists: Lists<'a>,
    /// Which items count.
    pub mask: Option<&'a [bool]>,
    /// Options.
    pub settings: Settings,
}

/// Calls `$body` with `$curve` bound to the curve of a kind.
macro_rules! with_curve {
    ($kind:expr, $curve:ident => $body:expr) => {
        match $kind {
            Kind::Logistic | Kind::Cutoff => {
                let $curve = Logistic;
                $body
            }
            Kind::Laplace => {
                let $curve = Laplace;
                $body
            }
            Kind::Clip => {
                let $curve = Clip;
                $body
            }
            Kind::Power(exponent) => {
                let $curve = Power { exponent };
                $body
            }
            Kind::Gaussian => {
                let $curve = Gaussian;
                $body
            }
        }
    };
}

/// The finite items of a list that count, with the sign that makes the chosen ones large, and where the others are.
#[derive(Debug, Default)]
struct Dense<T> {
    v: Vec<T>,
    at: Vec<u32>,
    highest: Vec<u32>,
    lowest: Vec<u32>,
    nan: bool,
    y: Vec<T>,
    g: Vec<T>,
    places: Vec<u32>,
}

impl<T: Passes> Dense<T> {
    fn gather(&mut self, x: &[T], mask: Option<&[bool]>, largest: bool) {
        let Self { v, at, highest, lowest, nan, .. } = self;
        for places in [&mut *at, highest, lowest] {
            places.clear();
        }
        v.clear();
        *nan = false;
        for (i, &item) in x.iter().enumerate().filter(|&(i, _)| mask.is_none_or(|mask| mask[i])) {
            let item = if largest { item } else { -item };
            if item.is_finite() {
                v.push(item);
                at.push(i as u32);
            } else {
                *nan |= item.wide().is_nan();
                if item > T::ZERO { &mut *highest } else { &mut *lowest }.push(i as u32);
            }
        }
    }
}

/// Fills `y` with the soft mask and `thetas` with each list's threshold.
///
/// Of k above the infinite items, which are in, the finite items of a list share the rest; an infinite item on the other
/// side is out unless k is larger than what is left.
///
/// # Errors
/// When a `k` or `tau` is out of range; [`crate::Error::Interrupted`].
pub fn forward<T: Passes>(problem: &Problem<'_, T>, y: &mut [T], thetas: &mut [[f64; 2]], job: &Job) -> Result<()> {
    check(problem)?;
    let (values, thetas) = (Output::new(y), Output::new(thetas));
    problem.lists.each(job, Dense::default, |scratch, list, range| {
        // SAFETY: lists do not overlap.
        let (y, theta) = unsafe { (values.part(range.clone()), thetas.part(list..list + 1)) };
        let x = &problem.x[range.clone()];
        let mask = problem.mask.map(|mask| &mask[range]);
        let (k, tau) = (problem.k[list].wide(), problem.tau[list].wide());
        let settings = problem.settings;
        let found = with_curve!(settings.kind, curve => soft(curve, x, mask, [k, tau], settings, scratch, y, job))?;
        theta[0] = [found.anchor, found.shift];
        if settings.hard && !found.anchor.is_nan() {
            hard(x, mask, k, settings, scratch, y);
        }
        Ok(())
    })
}

fn check<T: Passes>(problem: &Problem<'_, T>) -> Result<()> {
    if let Some(k) = problem.k.iter().find(|k| !(**k >= T::ZERO && k.is_finite())) {
        return Err(invalid!("k must be finite and >= 0, got {k}"));
    }
    if let Some(k) = problem.k.iter().find(|k| problem.settings.kind == Kind::Cutoff && k.wide().fract() != 0.0) {
        return Err(invalid!("k must be a whole number with kind='threshold', got {k}"));
    }
    if let Some(tau) = problem.tau.iter().find(|tau| !(**tau > T::ZERO && tau.is_finite())) {
        return Err(invalid!("temperature must be finite and > 0, got {tau}"));
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // one list's part of a problem, its memory and its output
fn soft<T: Passes, C: Curve>(
    curve: C,
    x: &[T],
    mask: Option<&[bool]>,
    [k, tau]: [f64; 2],
    settings: Settings,
    scratch: &mut Dense<T>,
    y: &mut [T],
    job: &Job,
) -> Result<Threshold> {
    if mask.is_none() && settings.largest && !x.is_empty() {
        let moments = T::moments(x);
        // A NaN or an infinity spoils the sum of the differences; so may large finite items, which can take the long way.
        if moments[0].is_finite() {
            return finite(curve, x, moments, [k, tau], settings, y, job);
        }
    }
    scratch.gather(x, mask, settings.largest);
    let Dense { v, at, highest, lowest, nan, y: dense, .. } = scratch;
    let [zero, one] = if settings.log { [f64::NEG_INFINITY, 0.0] } else { [0.0, 1.0] };
    y.fill(T::of(zero));
    if *nan {
        at.iter().chain(&*highest).chain(&*lowest).for_each(|&i| y[i as usize] = T::of(f64::NAN));
        return Ok(Threshold::far(f64::NAN));
    }
    let (above, count, below) = (highest.len() as f64, v.len() as f64, lowest.len() as f64);
    let rest = k - above;
    dense.clear();
    dense.resize(v.len(), T::ZERO);
    let moments = if v.is_empty() { [0.0; 4] } else { T::moments(v) };
    let found = finite(curve, v, moments, [rest, tau], settings, dense, job)?;
    at.iter().zip(&*dense).for_each(|(&i, &value)| y[i as usize] = value);
    let share = |part: f64, whole: f64| {
        let value = T::of((part / whole).clamp(0.0, 1.0));
        if settings.log { T::of(value.wide().ln()) } else { value }
    };
    highest.iter().for_each(|&i| y[i as usize] = if rest >= 0.0 { T::of(one) } else { share(k, above) });
    lowest.iter().for_each(|&i| y[i as usize] = share(rest - count, below));
    Ok(found)
}

/// The soft mask of finite items that all count.
fn finite<T: Passes, C: Curve>(
    curve: C,
    v: &[T],
    moments: [f64; 4],
    [k, tau]: [f64; 2],
    settings: Settings,
    y: &mut [T],
    job: &Job,
) -> Result<Threshold> {
    let far = |value: f64, anchor: f64, y: &mut [T]| {
        y.fill(T::of(if settings.log { value.ln() } else { value }));
        Ok(Threshold::far(anchor))
    };
    if k <= 0.0 {
        return far(0.0, f64::INFINITY, y);
    }
    if k >= v.len() as f64 {
        return far(1.0, f64::NEG_INFINITY, y);
    }
    let found = if settings.kind == Kind::Cutoff {
        let [inner, outer] = boundary(v, k as usize, &mut Vec::new()).map(|i| v[i].wide());
        Threshold::far(0.5 * inner + 0.5 * outer)
    } else {
        solve(curve, v, moments, k, tau, y, job)?
    };
    let inverse = tau.max(1e-300).recip();
    if settings.log {
        for (y, &v) in y.iter_mut().zip(v) {
            *y = T::of(curve.log(found.scaled(v.wide(), inverse)));
        }
    } else if settings.kind == Kind::Cutoff {
        for (y, &v) in y.iter_mut().zip(v) {
            let (tail, _, upper) = curve.at(found.scaled(v.wide(), inverse));
            *y = T::of(if upper { 1.0 - tail } else { tail });
        }
    }
    Ok(found)
}

/// Overwrites `y` with the choice of the `floor(k)` first items, equal items by position.
fn hard<T: Passes>(x: &[T], mask: Option<&[bool]>, k: f64, settings: Settings, scratch: &mut Dense<T>, y: &mut [T]) {
    let Dense { v, at, places, .. } = scratch;
    at.clear();
    at.extend((0..x.len() as u32).filter(|&i| mask.is_none_or(|mask| mask[i as usize])));
    v.clear();
    v.extend(at.iter().map(|&i| if settings.largest { x[i as usize] } else { -x[i as usize] }));
    let chosen = (k.floor() as usize).min(v.len());
    let [zero, one] = if settings.log { [-T::INFINITY, T::ZERO] } else { [T::ZERO, T::ONE] };
    y.fill(zero);
    if chosen > 0 {
        boundary(v, chosen, places);
        places[..chosen].iter().for_each(|&place| y[at[place as usize] as usize] = one);
    }
}

/// The vector-Jacobian product for the cotangent `g` of `y`: `dx`, and one number per list of `dk` and `dtau`.
///
/// With f_i = F'(t_i) and m the mean of g weighted by f: dx_i = f_i (g_i - m) / tau, dk = m, dtau = -sum t_i dx_i.
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
    if dense.nan {
        dense.at.extend(dense.highest.iter().chain(&dense.lowest));
        gradient = Gradient::nan(dense.at.len());
    }
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

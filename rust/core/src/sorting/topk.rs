//! Soft top-k masks: the curves of [`crate::sorting::curves`] at the threshold where they sum to k, and their gradients.

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::sorting::curves::{Clip, Curve, Gaussian, Laplace, Logistic, Power};
use crate::sorting::lists::{Lists, Output};
use crate::sorting::threshold::{Passes, Threshold, boundary, solve};

pub use crate::sorting::topk_gradient::{second, vjp};

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

pub(super) use with_curve;

/// The finite items of a list that count, with the sign that makes the chosen ones large, and where the others are.
#[derive(Debug, Default)]
pub(super) struct Dense<T> {
    pub(super) v: Vec<T>,
    pub(super) at: Vec<u32>,
    pub(super) highest: Vec<u32>,
    pub(super) lowest: Vec<u32>,
    pub(super) nan: bool,
    pub(super) y: Vec<T>,
    pub(super) g: Vec<T>,
    places: Vec<u32>,
}

impl<T: Passes> Dense<T> {
    pub(super) fn gather(&mut self, x: &[T], mask: Option<&[bool]>, largest: bool) {
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

//! `LapSum`: soft ranks `1/2 + sum_j F((s_i - s_j) / t)` with F the Laplace distribution, its inverse (the soft sort), and
//! the derivatives of both, in linear time after sorting.
//!
//! With A and B the sums of K = exp(-distance / t) over the items below and above b, both without loss of precision,
//!
//! ```text
//! LapSum(b) = (items below b) - A / 2 + B / 2
//! ```
//!
//! Between neighbours s and s' = s + t h, A and B are `A_s p` and `B_s' q` with p = exp(-(b - s) / t) and p q = exp(-h): the
//! inverse is the root of a quadratic equation.

use crate::dual::Number;
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{Key, Scratch, counted, order};
use crate::sorting::products::spoilt;
use crate::sorting::scans::Links;

/// What one item costs, about, in nanoseconds.
pub const COST: usize = 60;

/// Which of the two operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Soft ranks, by item.
    Rank,
    /// Soft sort: the b with `LapSum(b) = r - 1/2`, by rank.
    Sort,
}

/// Points where `LapSum` has given values, between the items of a list.
#[derive(Debug)]
pub struct Roots<N> {
    /// Items below the point.
    pub at: Vec<u32>,
    /// `exp(-distance)` to the last item below, in temperatures.
    pub below: Vec<N>,
    /// The same to the first item above.
    pub above: Vec<N>,
    /// Half of the sum of `exp(-distance)` over all items.
    pub weight: Vec<N>,
    /// Whether the distance to the item below is the one to measure by; else that to the item above.
    pub by_below: Vec<bool>,
}

impl<N> Default for Roots<N> {
    fn default() -> Self {
        Self { at: Vec::new(), below: Vec::new(), above: Vec::new(), weight: Vec::new(), by_below: Vec::new() }
    }
}

impl<N: Number> Roots<N> {
    /// Finds where `LapSum` is `first`, `first + 1`, ...: `count` points. `first` is 1/2 or 1.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn solve(&mut self, links: &Links<N>, job: &Job, count: usize, first: f64) -> Result<()> {
        let (n, one) = (links.len(), N::of(1.0));
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        links.sides(job, |_| [one], &mut lower, &mut upper)?;
        for sum in lower.iter_mut().chain(&mut upper) {
            sum[0] += one;
        }
        let mut at = 0;
        for r in 0..count {
            let target = first + r as f64;
            // LapSum at item i, its own half included.
            while at < n && at as f64 + 0.5 * (1.0 + upper[at][0].value() - lower[at][0].value()) <= target {
                at += 1;
            }
            let a = if at > 0 { lower[at - 1][0] } else { N::of(0.0) };
            let b = if at < n { upper[at][0] } else { N::of(0.0) };
            let link = if at < n { links.links[at] } else { N::of(0.0) };
            let (p, q, weight, by_below) = cross(a, b, link, target - at as f64);
            self.at.push(at as u32);
            self.below.push(p);
            self.above.push(q);
            self.weight.push(weight);
            self.by_below.push(by_below);
        }
        Ok(())
    }

    /// Point r on the scale where item i lies at `place(i)` and one temperature is `unit` long.
    #[inline(always)]
    pub fn point(&self, r: usize, place: impl Fn(usize) -> N, unit: N) -> N {
        let at = self.at[r] as usize;
        if self.by_below[r] { place(at - 1) - unit * self.below[r].ln() } else { place(at) + unit * self.above[r].ln() }
    }

    /// Calls `out(i, left_i, right_i, first)` for items downwards: the sums of K e over the points below and above item
    /// i, and the first point above. `room` is working memory.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    #[inline(always)]
    pub fn scatter<const W: usize>(
        &self,
        links: &Links<N>,
        job: &Job,
        room: &mut Vec<[N; W]>,
        e: impl Fn(usize) -> [N; W],
        mut out: impl FnMut(usize, &[N; W], &[N; W], usize),
    ) -> Result<()> {
        let (links, zero) = (&links.links, N::of(0.0));
        room.clear();
        let (mut r, mut state) = (0, [zero; W]);
        for (i, &link) in links.iter().enumerate() {
            state.iter_mut().for_each(|state| *state = link * *state);
            while r < self.at.len() && self.at[r] as usize == i {
                let (e, q) = (e(r), self.above[r]);
                (0..W).for_each(|w| state[w] += q * e[w]);
                r += 1;
            }
            room.push(state);
        }
        job.check()?;
        r = self.at.len();
        state = [zero; W];
        for (i, &link) in links.iter().enumerate().rev() {
            while r > 0 && self.at[r - 1] as usize == i + 1 {
                r -= 1;
                let (e, p) = (e(r), self.below[r]);
                (0..W).for_each(|w| state[w] += p * e[w]);
            }
            out(i, &room[i], &state, r);
            state.iter_mut().for_each(|state| *state = link * *state);
        }
        job.check()
    }
}

/// The p and q = link / p at which `b q - a p = 2 d`, half of `a p + b q`, and whether p was found first. The sum in front
/// of the division never cancels.
fn cross<N: Number>(a: N, b: N, link: N, d: f64) -> (N, N, N, bool) {
    if d == 0.0 && link.value() == 0.0 {
        let zero = N::of(0.0);
        return (zero, zero, zero, true); // a flat stretch: the point may lie anywhere in it, out of everybody's reach
    }
    let weight = sqrt(N::of(d * d) + a * b * link);
    if d <= 0.0 {
        let p = (weight - N::of(d)) / a;
        (p, link / p, weight, true)
    } else {
        let q = (weight + N::of(d)) / b;
        (link / q, q, weight, false)
    }
}

fn sqrt<N: Number>(x: N) -> N {
    let root = x.value().sqrt();
    x.chain(root, 0.5 / root)
}

/// Fills `y` with soft ranks (by item) or softly sorted values (by rank), and `places` with the order of each list. What
/// does not count gets 0, all others of a list with a NaN get NaN. At strength 0 the results are the hard ones.
///
/// # Errors
/// [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)]
pub fn values<T: Key>(
    task: Task,
    x: &[T],
    lists: &Lists<'_>,
    mask: Option<&[bool]>,
    strength: &[T],
    descending: bool,
    y: &mut [T],
    places: &mut [i32],
    job: &Job,
) -> Result<()> {
    let (y, out) = (Output::new(y), Output::new(places));
    let scratch = || (Scratch::default(), Links::default(), (Vec::new(), Vec::new()));
    lists.each(job, scratch, |(keys, links, room), list, range| {
        // SAFETY: lists do not overlap.
        let (places, y) = unsafe { (out.part(range.clone()), y.part(range.clone())) };
        let x = &x[range.clone()];
        let count = order(x, mask.map(|mask| &mask[range]), descending, keys, places);
        let places = &places[..count];
        y.fill(T::ZERO);
        let score = |r: usize| x[places[r] as usize].wide();
        let at = |r: usize| if task == Task::Rank { places[r] as usize } else { r };
        if spoilt(count, score) {
            (0..count).for_each(|r| y[at(r)] = T::of(f64::NAN));
            return Ok(());
        }
        let t = strength[list].wide();
        links.join(count, t, score);
        match task {
            Task::Rank => {
                let (left, right) = room;
                links.sides(job, |_| [1.0], left, right)?;
                (0..count).for_each(|r| y[at(r)] = T::of((r + 1) as f64 + 0.5 * (right[r][0] - left[r][0])));
                Ok(())
            }
            Task::Sort => {
                let mut roots = Roots::default();
                roots.solve(links, job, count, 0.5)?;
                let slope = if descending { -t } else { t };
                (0..count).for_each(|r| y[r] = T::of(roots.point(r, score, slope)));
                Ok(())
            }
        }
    })
}

/// The inputs of [`gradients`]: scores, gradients of the values and strengths by position, so that they may be dual numbers.
#[derive(Debug)]
pub struct Inputs<'a, X, G, P> {
    /// Scores.
    pub x: X,
    /// Gradients of the values: by item for ranks, by rank for sorted values.
    pub g: G,
    /// Strengths by list.
    pub strength: P,
    /// The order of each list, from [`values`].
    pub places: &'a [i32],
    /// Whether the order is decreasing.
    pub descending: bool,
}

/// The outputs of [`gradients`].
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// To the scores.
    pub x: &'a mut [T],
    /// To the gradients of the values: the values themselves.
    pub g: &'a mut [T],
    /// To the strengths.
    pub strength: &'a mut [T],
}

/// Fills `out` with the derivatives of the sum of gradients times values, each passed through `part`. What does not count
/// gets 0, and infinite scores do.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn gradients<N: Number, T: Key, X, G, P>(
    task: Task,
    lists: &Lists<'_>,
    inputs: &Inputs<'_, X, G, P>,
    part: impl Fn(N) -> T + Sync,
    out: &mut Gradients<'_, T>,
    job: &Job,
) -> Result<()>
where
    X: Fn(usize) -> N + Sync,
    G: Fn(usize) -> N + Sync,
    P: Fn(usize) -> N + Sync,
{
    let (to_x, to_g, to_strength) = (Output::new(out.x), Output::new(out.g), Output::new(out.strength));
    lists.each(job, Links::default, |links, list, range| {
        // SAFETY: lists do not overlap.
        let (x, g, strength) =
            unsafe { (to_x.part(range.clone()), to_g.part(range.clone()), to_strength.part(list..list + 1)) };
        for slice in [&mut *x, &mut *g, &mut *strength] {
            slice.fill(T::ZERO);
        }
        let places = &inputs.places[range.clone()];
        let places = &places[..counted(places)];
        let (start, t) = (range.start, (inputs.strength)(list));
        let score = |r: usize| (inputs.x)(start + places[r] as usize);
        let at = |r: usize| if task == Task::Rank { places[r] as usize } else { r };
        if spoilt(places.len(), |r| score(r).value()) {
            for (r, &place) in places.iter().enumerate() {
                (x[place as usize], g[at(r)]) = (T::of(f64::NAN), T::of(f64::NAN));
            }
            strength[0] = T::of(f64::NAN);
            return Ok(());
        }
        links.join(places.len(), t, score);
        let upstream = |r: usize| (inputs.g)(start + at(r));
        let sign = N::of(if inputs.descending { -1.0 } else { 1.0 });
        let value = |r: usize, y: N| g[at(r)] = part(y);
        let push = |r: usize, d: N| {
            if score(r).value().is_finite() {
                x[places[r] as usize] = part(d);
            }
        };
        strength[0] = part(match task {
            Task::Rank => rank(links, job, t, sign, upstream, value, push),
            Task::Sort => sort(links, job, t, sign, score, upstream, value, push),
        }?);
        Ok(())
    })
}

/// Hands out ranks and the gradients to sorted scores, `(1 / 2t) sum_j K_ij (g_i - g_j)`; returns that to the strength.
#[inline(always)]
fn rank<N: Number>(
    links: &Links<N>,
    job: &Job,
    t: N,
    sign: N,
    g: impl Fn(usize) -> N,
    mut value: impl FnMut(usize, N),
    mut push: impl FnMut(usize, N),
) -> Result<N> {
    let (zero, half, one) = (N::of(0.0), N::of(0.5), N::of(1.0));
    let scale = if t.value() == 0.0 { zero } else { half / t };
    let (mut left, mut right, mut total) = (Vec::new(), Vec::new(), zero);
    links.sides(job, |r| [one, g(r)], &mut left, &mut right)?;
    for r in 0..links.len() {
        let (g, left, right) = (g(r), left[r], right[r]);
        value(r, N::of((r + 1) as f64) + half * (right[0] - left[0]));
        push(r, sign * scale * (g * (left[0] + right[0]) - (left[1] + right[1])));
        if links.links[r].value() != 0.0 {
            total += links.steps[r] * (left[0] * (g + right[1]) - left[1] * (one + right[0]));
        }
    }
    Ok(-(scale * total))
}

/// Hands out sorted values and the gradients to sorted scores, `sum_r K_rj g_r / Z_r`; returns that to the strength.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn sort<N: Number>(
    links: &Links<N>,
    job: &Job,
    t: N,
    sign: N,
    score: impl Fn(usize) -> N,
    g: impl Fn(usize) -> N,
    mut value: impl FnMut(usize, N),
    mut push: impl FnMut(usize, N),
) -> Result<N> {
    let mut roots = Roots::default();
    roots.solve(links, job, links.len(), 0.5)?;
    let (mut places, two) = (Vec::new(), N::of(2.0));
    links.places(&mut places);
    let mut total = N::of(0.0);
    for r in 0..links.len() {
        value(r, roots.point(r, &score, sign * t));
        total += g(r) * roots.point(r, |i| places[i], N::of(1.0));
    }
    let e = |r: usize| [g(r) / (two * roots.weight[r])];
    roots.scatter(links, job, &mut Vec::new(), e, |i, left, right, _| {
        let d = left[0] + right[0];
        push(i, d);
        total -= places[i] * d;
    })?;
    Ok(sign * total)
}

//! Sums over the two-sided exponential kernel `K_ij = exp(-|s_i - s_j| / t)` of a sorted list, in linear time.
//!
//! Neighbours are joined by links `a_i = exp(-|s_i - s_(i-1)| / t)`, and `K_ij` is the product of the links between i and j:
//!
//! ```text
//! left_i  = sum_{j < i} K_ij x_j = a_i (left_(i-1) + x_(i-1))
//! right_i = sum_{j > i} K_ij x_j = a_(i+1) (right_(i+1) + x_(i+1))
//! ```
//!
//! Links are at most 1, so nothing overflows and no rounding error grows, whatever the temperature.

use crate::dual::Number;
use crate::elementary::exp_f64;
use crate::error::Result;
use crate::job::Job;
use crate::simd::dispatch;

/// Items between two looks at the stop flag.
const STRIDE: usize = 1 << 16;

/// The links of a sorted list.
#[derive(Debug)]
pub struct Links<N> {
    /// Distance to the item before, in temperatures: 0 for equal items and for the first.
    pub steps: Vec<N>,
    /// `exp(-step)`; 0 for the first item.
    pub links: Vec<N>,
}

impl<N> Default for Links<N> {
    fn default() -> Self {
        Self { steps: Vec::new(), links: Vec::new() }
    }
}

impl<N: Number> Links<N> {
    /// Joins `count` values, sorted in either direction. At temperature 0 every link is 0, those of equal values too.
    pub fn join(&mut self, count: usize, temperature: N, value: impl Fn(usize) -> N) {
        let zero = N::of(0.0);
        self.steps.clear();
        let mut before = zero;
        for i in 0..count {
            let here = value(i);
            // Two infinities of one sign are equal; their difference would be NaN.
            let equal = i == 0 || here.value() == before.value();
            self.steps.push(if temperature.value() == 0.0 {
                N::of(f64::INFINITY)
            } else if equal {
                zero
            } else {
                (here - before).abs() / temperature
            });
            before = here;
        }
        self.links.clear();
        let mut decays = [0.0; 512];
        for steps in self.steps.chunks(512) {
            decays.iter_mut().zip(steps).for_each(|(decay, step)| *decay = -step.value());
            exponentials(&mut decays[..steps.len()]);
            // A link of 0 parts the list; its step may be infinite, and no derivative passes it.
            let link = |(&step, &e): (&N, &f64)| if e == 0.0 { zero } else { step.chain(e, -e) };
            self.links.extend(steps.iter().zip(&decays).map(link));
        }
        if let Some(first) = self.links.first_mut() {
            *first = zero;
        }
    }

    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether item `i` equals the one before it.
    #[inline(always)]
    #[must_use]
    pub fn tied(&self, i: usize) -> bool {
        i > 0 && self.steps[i].value() == 0.0
    }

    /// Calls `out(i, left_i)` for i upwards.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    #[inline(always)]
    pub fn up<const W: usize>(
        &self,
        job: &Job,
        x: impl Fn(usize) -> [N; W],
        mut out: impl FnMut(usize, &[N; W]),
    ) -> Result<()> {
        let mut state = [N::of(0.0); W];
        for begin in (0..self.len()).step_by(STRIDE) {
            job.check()?;
            for i in begin..self.len().min(begin + STRIDE) {
                let link = self.links[i];
                state.iter_mut().for_each(|state| *state = link * *state);
                out(i, &state);
                let here = x(i);
                (0..W).for_each(|k| state[k] += here[k]);
            }
        }
        Ok(())
    }

    /// Calls `out(i, x_i, right_i)` for i downwards.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    #[inline(always)]
    pub fn down<const W: usize>(
        &self,
        job: &Job,
        x: impl Fn(usize) -> [N; W],
        mut out: impl FnMut(usize, &[N; W], &[N; W]),
    ) -> Result<()> {
        let mut state = [N::of(0.0); W];
        for end in (1..=self.len()).rev().step_by(STRIDE) {
            job.check()?;
            for i in (end.saturating_sub(STRIDE)..end).rev() {
                let (here, link) = (x(i), self.links[i]);
                out(i, &here, &state);
                (0..W).for_each(|k| state[k] = link * (state[k] + here[k]));
            }
        }
        Ok(())
    }

    /// Fills `out` with the items' places on the scale of temperatures. The scale begins anew behind a link of 0: sums of
    /// places times weights that add up to 0 in each such piece do not depend on it, and keep their precision.
    pub fn places(&self, out: &mut Vec<N>) {
        let mut place = N::of(0.0);
        out.clear();
        out.extend(self.steps.iter().zip(&self.links).map(|(&step, link)| {
            place = if link.value() == 0.0 { N::of(0.0) } else { place + step };
            place
        }));
    }

    /// Calls `out(i, x_i, sum_j K_ij x_j)` for i downwards, and leaves the left sides in `left`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    #[inline(always)]
    pub fn sums<const W: usize>(
        &self,
        job: &Job,
        x: impl Fn(usize) -> [N; W],
        left: &mut Vec<[N; W]>,
        mut out: impl FnMut(usize, &[N; W], [N; W]),
    ) -> Result<()> {
        left.clear();
        left.reserve(self.len());
        self.up(job, &x, |_, sums| left.push(*sums))?;
        self.down(job, &x, |i, here, right| {
            let left = &left[i];
            out(i, here, std::array::from_fn(|w| (left[w] + right[w]) + here[w]));
        })
    }

    /// Fills `left` and `right`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    #[inline(always)]
    pub fn sides<const W: usize>(
        &self,
        job: &Job,
        x: impl Fn(usize) -> [N; W],
        left: &mut Vec<[N; W]>,
        right: &mut Vec<[N; W]>,
    ) -> Result<()> {
        for side in [&mut *left, &mut *right] {
            side.clear();
            side.resize(self.len(), [N::of(0.0); W]);
        }
        self.up(job, &x, |i, sums| left[i] = *sums)?;
        self.down(job, &x, |i, _, sums| right[i] = *sums)
    }
}

dispatch! {
    fn exponentials(values: &mut [f64]) = exponentials_lanes
}

#[inline(always)]
fn exponentials_lanes(values: &mut [f64]) {
    values.iter_mut().for_each(|x| *x = exp_f64(*x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dual::Dual;

    #[test]
    fn sums_are_those_of_the_matrix() {
        let s = [-f64::INFINITY, -f64::INFINITY, -3.0, -1.0, -1.0, 0.5, 40.0, f64::INFINITY];
        let x = [2.0, 1.0, -1.0, 0.5, 3.0, 2.0, -4.0, 1.0];
        let mut links = Links::default();
        links.join(s.len(), 0.7, |i| s[i]);
        let mut found = vec![[0.0]; s.len()];
        let (mut left, mut right) = (Vec::new(), Vec::new());
        links.sides(&Job::default(), |i| [x[i]], &mut left, &mut right).unwrap();
        (0..s.len()).for_each(|i| found[i] = [x[i] + left[i][0] + right[i][0]]);
        for (i, found) in found.iter().enumerate() {
            let weight = |j: usize| if s[i] == s[j] { 1.0 } else { (-f64::abs(s[i] - s[j]) / 0.7).exp() };
            let exact: f64 = (0..s.len()).map(|j| weight(j) * x[j]).sum();
            assert!((found[0] - exact).abs() < 1e-14, "{i}: {found:?} {exact}");
        }
    }

    #[test]
    fn links_of_far_and_infinite_items_have_no_slope() {
        let s = [Dual::new(0.0, 1.0), Dual::new(1e300, 1.0), Dual::new(f64::INFINITY, 1.0)];
        let mut links = Links::default();
        links.join(3, Dual::new(1e-8, 1.0), |i| s[i]);
        assert!(links.links.iter().all(|link| link.value == 0.0 && link.slope == 0.0));
    }
}

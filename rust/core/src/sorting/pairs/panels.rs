//! A sum over pairs by panels.
//!
//! ```text
//!   for each panel Q                     moments M_Q[k] = sum of w_j T_k(s_j) over its sources, s_j the coordinates
//!   for each panel P, in order
//!       near panels Q (|P - Q| <= NEAR)  c[l] += sum_k table[P - Q][l][k] M_Q[k]
//!       panels further to the right      nothing: the kernel is 0 there
//!       panels further to the left       the kernel is its limit 0, 1 or z, and sum of w_j (t - y_j) = t W + A, with the
//!                                        weight W and first moment A of all of them carried along from panel to panel
//!       its targets                      sum_l c[l] T_l(t_i), t_i the coordinates
//! ```
//!
//! Panels of few items neither keep moments nor are worth coefficients: a panel with few targets sums over its near sources
//! one by one, whatever their number, where that is less work. So time and memory are O(n + m), for whatever range.

use super::grid::Axis;
use super::kernel::{Kernel, Tail, Visit};
use super::lanes::{Terms, direct};
use super::table::{DOUBLE, HALF, NEAR, table};
use crate::error::Result;
use crate::job::Job;
use crate::sorting::lists::Output;
use rayon::prelude::*;
use std::ops::Range;

/// Items that one thread takes at a time. It fixes the order of sums, so it does not depend on the number of threads.
const SEGMENT: usize = 1 << 13;
/// Panels with fewer sources keep no moments.
const FEW: usize = 8;
/// Pairs that can be summed directly while one panel is coupled, per `terms^2`: 1 / 24.
const PAIRS: usize = 24;

/// Moments of all panels.
struct Moments {
    /// Sum of weights and first moment, for each panel.
    low: Vec<[f64; 2]>,
    /// All moments of the panels that keep them.
    all: Vec<f64>,
    /// Where a panel's moments begin in `all`, if it keeps any.
    start: Vec<u32>,
}

/// Work on segments: with the pool's threads where the caller runs inside one, in order otherwise.
fn spread<T: Send>(items: usize, job: &Job, work: impl Fn(Range<usize>) -> T + Sync) -> Result<Vec<T>> {
    let segment = |i: usize| {
        job.check()?;
        Ok(work(i * SEGMENT..items.min((i + 1) * SEGMENT)))
    };
    let count = items.div_ceil(SEGMENT);
    if count < 2 || rayon::current_thread_index().is_none() || rayon::current_num_threads() == 1 {
        return (0..count).map(segment).collect();
    }
    let outcomes: Vec<_> = (0..count).into_par_iter().map(segment).collect();
    outcomes.into_iter().collect()
}

/// One sum over the pairs of a list.
struct Sum<'a> {
    axis: Axis<'a>,
    kernel: Kernel,
    terms: Terms,
    sources: &'a [f64],
    weights: &'a [f64],
    targets: &'a [f64],
}

/// What a panel sees of the sources beyond its near field: their weight, and the sum of weight times distance in
/// temperatures to the panel's middle.
type Far = [f64; 2];

/// Adds `sum_j weights[j] * kernel(target minus source, in temperatures)` to `out` for each target.
///
/// # Errors
/// [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)]
pub fn panel_sum(
    axis: Axis<'_>,
    kernel: Kernel,
    terms: Terms,
    sources: &[f64],
    weights: &[f64],
    targets: &[f64],
    out: &mut [f64],
    job: &Job,
) -> Result<()> {
    if targets.is_empty() || sources.is_empty() {
        return Ok(());
    }
    let sum = Sum { axis, kernel, terms, sources, weights, targets };
    let moments = sum.moments(job)?;
    let far = sum.far(&moments);
    let parts = Output::new(out);
    let done = spread(targets.len(), job, |segment| {
        for (panel, items) in sum.axis.overlapping(segment, false) {
            // SAFETY: segments do not overlap, neither do panels.
            sum.panel(panel, &moments, far[panel], items.clone(), unsafe { parts.part(items) });
        }
    });
    done.map(|_| ())
}

impl Sum<'_> {
    /// The moments of every panel; a panel cut by segments adds up in their order.
    fn moments(&self, job: &Job) -> Result<Moments> {
        let (panels, terms) = (self.axis.len(), self.terms.count);
        let mut start = vec![u32::MAX; panels];
        let mut kept = 0;
        for panel in 0..panels {
            if self.axis.sources(panel..panel + 1).len() >= FEW {
                start[panel] = kept;
                kept += terms as u32;
            }
        }
        let keeps = |panel: usize| start[panel] != u32::MAX;
        let pieces = spread(self.sources.len(), job, |segment| {
            let mut piece = Vec::new();
            for (panel, items) in self.axis.overlapping(segment, true) {
                let at = piece.len();
                piece.resize(at + if keeps(panel) { terms } else { 2 }, 0.0);
                self.add_moments(panel, items, &mut piece[at..]);
            }
            piece
        })?;
        let mut moments = Moments { low: vec![[0.0; 2]; panels], all: vec![0.0; kept as usize], start };
        for (index, piece) in pieces.iter().enumerate() {
            let mut piece = &piece[..];
            let segment = index * SEGMENT..self.sources.len().min((index + 1) * SEGMENT);
            for (panel, _) in self.axis.overlapping(segment, true) {
                let start = moments.start[panel];
                let part;
                (part, piece) = piece.split_at(if start == u32::MAX { 2 } else { terms });
                moments.low[panel][0] += part[0];
                moments.low[panel][1] += part[1];
                if start != u32::MAX {
                    moments.all[start as usize..][..terms].iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
                }
            }
        }
        Ok(moments)
    }

    /// Adds the moments of some sources of a panel: as many as `out` is long, all or two.
    fn add_moments(&self, panel: usize, items: Range<usize>, out: &mut [f64]) {
        let frame = self.axis.frame(panel);
        if out.len() == self.terms.count {
            (self.terms.moments)(&self.sources[items.clone()], &self.weights[items], frame, out);
            return;
        }
        for item in items {
            out[0] += self.weights[item];
            out[1] += self.weights[item] * frame.coordinate(self.sources[item]);
        }
    }

    fn far(&self, moments: &Moments) -> Vec<Far> {
        let mut out = vec![[0.0; 2]; self.axis.len()];
        if self.kernel.tail() == Tail::Zero {
            return out;
        }
        // No weight at any distance, even an infinite one, is nothing.
        let scaled = |weight: f64, distance: f64| if weight == 0.0 { 0.0 } else { weight * distance };
        let (mut weight, mut first) = (0.0, 0.0);
        let (mut behind, mut last) = (self.axis.along().peekable(), None);
        for panel in self.axis.along() {
            first += last.map_or(0.0, |last| scaled(weight, self.axis.distance(last, panel)));
            while let Some(source) = behind.next_if(|&source| self.axis.offset(source, panel) > NEAR) {
                let [w, moment] = moments.low[source];
                first += scaled(w, self.axis.distance(source, panel)) - HALF * moment;
                weight += w;
            }
            out[panel] = [weight, first];
            last = Some(panel);
        }
        out
    }

    /// Adds the sums of some targets of a panel.
    fn panel(&self, panel: usize, moments: &Moments, far: Far, items: Range<usize>, out: &mut [f64]) {
        let near = self.axis.near(panel);
        let sources = self.axis.sources(near.clone());
        let targets = &self.targets[items];
        let frame = self.axis.frame(panel);
        let tail = self.tail(far);
        let pairs = self.axis.targets(panel..panel + 1).len() * sources.len();
        if pairs <= near.len() * self.terms.count.pow(2) / PAIRS {
            let (weights, sources) = (&self.weights[sources.clone()], &self.sources[sources]);
            self.kernel.visit(Direct { targets, sources, weights, inverse: self.axis.inverse(), out });
            out.iter_mut().zip(targets).for_each(|(sum, &v)| *sum += tail[1] * frame.coordinate(v) + tail[0]);
            return;
        }
        let mut coefficients = [0.0; DOUBLE];
        let coefficients = &mut coefficients[..self.terms.count];
        for source in near {
            self.couple(source, panel, moments, coefficients);
        }
        coefficients[0] += tail[0];
        coefficients[1] += tail[1];
        (self.terms.evaluate)(targets, frame, coefficients, out);
    }

    /// The far field as a linear function of a panel's coordinate.
    fn tail(&self, [weight, first]: Far) -> [f64; 2] {
        match self.kernel.tail() {
            Tail::Zero => [0.0, 0.0],
            Tail::One => [weight, 0.0],
            Tail::Line => [first, HALF * weight],
        }
    }

    /// Adds what the panel `source` contributes to the coefficients of the panel `target`.
    fn couple(&self, source: usize, target: usize, moments: &Moments, coefficients: &mut [f64]) {
        let (terms, items) = (self.terms.count, self.axis.sources(source..source + 1));
        if items.is_empty() {
            return;
        }
        let block = (self.axis.offset(source, target) + NEAR) as usize * terms * terms;
        let block = &table(self.kernel, terms)[block..block + terms * terms];
        let start = moments.start[source];
        if start == u32::MAX {
            let mut few = [0.0; DOUBLE];
            self.add_moments(source, items, &mut few[..terms]);
            (self.terms.couple)(block, &few[..terms], coefficients);
        } else {
            (self.terms.couple)(block, &moments.all[start as usize..][..terms], coefficients);
        }
    }
}

/// A direct sum, once the kernel is a type.
pub struct Direct<'a> {
    /// As in [`direct`].
    pub targets: &'a [f64],
    /// As in [`direct`].
    pub sources: &'a [f64],
    /// As in [`direct`].
    pub weights: &'a [f64],
    /// As in [`direct`].
    pub inverse: f64,
    /// As in [`direct`].
    pub out: &'a mut [f64],
}

impl Visit for Direct<'_> {
    type Out = ();
    fn visit<V: super::kernel::Value>(self) {
        direct::<V>(self.targets, self.sources, self.weights, self.inverse, self.out);
    }
}

//! What many seedings of the same rows share: a few anchors, and every row's distance to the nearest of them.
//!
//! With `a` the anchor of row `x` and `delta_a` the distance from `a` to the nearest centre, the triangle inequality
//! bounds `D^2(x, S)` by `(|x - a| + delta_a)^2`: no distance to a centre is needed, and the bound falls as centres come
//! near the anchors. The anchors are the mean and the centres of a small seeding (the pivots).

use crate::error::Result;
use crate::job::Job;
use crate::real::{Real, canon};
use crate::seeding::envelope::{Envelope, NO_HOME};
use crate::seeding::exact::{self, Start};
use crate::seeding::plan::Plan;
use crate::seeding::points::{BLOCK, Points};
use crate::seeding::score::{Centers, Frame};
use crate::seeding::start::{first_center, from_first, rescue};
use rayon::prelude::*;

/// Most pivots: with the mean, anchors are numbered by one byte.
const MOST: usize = 63;
/// Rows for one pivot.
const ROWS_PER_PIVOT: usize = 256;
/// The pivots' random numbers must not be those of a seeding: no user's seed meets this one but by chance.
const SEED: u64 = 0xA17C_40B5_F3D2_9E61;
/// Anchors, and every row's place among them.
#[derive(Debug, Clone)]
pub struct Prepared<T> {
    /// Scale, and the weighted mean times the scale as origin.
    pub frame: Frame<T>,
    /// Scaled anchors, row-major; the first is the mean.
    pub anchors: Vec<T>,
    /// The nearest anchor of every row.
    pub labels: Vec<u8>,
    /// The canonical squared distance to it, scaled.
    pub squares: Vec<T>,
    /// The potential of the mean, unscaled.
    pub spread: f64,
}

/// How many pivots pay for `n` rows.
#[must_use]
pub fn default_pivots(n: usize) -> usize {
    (n / ROWS_PER_PIVOT).min(MOST)
}

/// Finds the mean and `pivots` rows, and measures all rows against them: the only passes over the rows that seedings
/// from anchors need.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn prepare<T: Real>(points: Points<'_, T>, pivots: usize, job: &Job) -> Result<Prepared<T>> {
    let mut prepared = about_the_mean(points, T::ONE, job)?;
    if let Some(scale) = rescue(points, 0, &prepared.squares, job)? {
        prepared = about_the_mean(points, scale, job)?;
    }
    if pivots > 0 {
        add_pivots(points, &mut prepared, pivots.min(MOST).min(points.n()), job)?;
    }
    Ok(prepared)
}

fn about_the_mean<T: Real>(points: Points<'_, T>, scale: T, job: &Job) -> Result<Prepared<T>> {
    let origin = points.mean(scale, job)?;
    let distances = Envelope::new(points, NO_HOME, job, |start, bounds| {
        T::canon_rows(points.range(start, start + bounds.len()), scale, &origin, bounds);
    })?;
    let spread = distances.total() / scale.wide() / scale.wide();
    let squares = distances.into_bounds();
    let labels = vec![0; points.n()];
    Ok(Prepared { anchors: origin.clone(), frame: Frame { scale, origin }, labels, squares, spread })
}

fn add_pivots<T: Real>(points: Points<'_, T>, prepared: &mut Prepared<T>, pivots: usize, job: &Job) -> Result<()> {
    let first = first_center(points, SEED, job)?;
    let (envelope, frame) = from_first(points, first, job)?;
    let start = Start { first, envelope, frame, anchors: None };
    let chosen = exact::seed_path(points, &[pivots], SEED, start, Plan::default(), job)?.remove(0).indices;
    let mut centers = Centers::new(prepared.frame.clone());
    for row in chosen {
        centers.push(points.row(row));
        prepared.anchors.extend(points.scaled(row, prepared.frame.scale));
    }
    let squares = prepared.squares.par_chunks_mut(BLOCK);
    squares.zip(prepared.labels.par_chunks_mut(BLOCK)).enumerate().try_for_each(|(block, (squares, labels))| {
        let limits: Vec<f64> = squares.iter().map(|square| square.wide()).collect();
        centers.nearest_of_range(0..centers.count(), points, block * BLOCK, &limits, job, |j, value, pivot| {
            if value < squares[j] {
                (squares[j], labels[j]) = (value, pivot as u8 + 1);
            }
        })
    })
}

impl<T: Real> Prepared<T> {
    /// The nearest anchors of a few rows, and the canonical squared distances to them.
    #[must_use]
    pub fn locate(anchors: &[T], scale: T, rows: &[T], d: usize) -> (Vec<u8>, Vec<T>) {
        let nearest = |row: &[T]| {
            let squares = anchors.chunks_exact(d).map(|anchor| canon(row, scale, anchor)).enumerate();
            squares.fold((0, T::INFINITY), |best, (a, square)| if square < best.1 { (a as u8, square) } else { best })
        };
        rows.par_chunks_exact(d).map(nearest).unzip()
    }

    /// Lowers `delta`, the distances from the anchors to the nearest centre, for the centres from `first` on.
    pub fn approach(&self, centers: &Centers<T>, first: usize, delta: &mut [f64]) {
        let d = self.frame.origin.len();
        self.anchors.par_chunks_exact(d).zip(delta).for_each(|(anchor, delta)| {
            for c in first..centers.count() {
                *delta = delta.min(canon(centers.scaled(c), T::ONE, anchor).wide().sqrt());
            }
        });
    }

    /// No centre yet.
    #[must_use]
    pub fn far(&self) -> Vec<f64> {
        vec![f64::INFINITY; self.anchors.len() / self.frame.origin.len()]
    }

    /// `(|x_i - a_i| + delta)^2`, rounded up so that it bounds the canonical distance.
    #[inline]
    #[must_use]
    pub fn bound(&self, i: usize, delta: &[f64]) -> T {
        let reach = self.squares[i].wide().sqrt() + delta[self.labels[i] as usize];
        T::of(reach * reach * inflation::<T>(self.frame.origin.len()))
    }

    /// The envelope of the centres that `delta` knows.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn envelope<'a>(&self, points: Points<'a, T>, delta: &[f64], job: &Job) -> Result<Envelope<'a, T>> {
        Envelope::new(points, NO_HOME, job, |start, bounds| {
            bounds.iter_mut().enumerate().for_each(|(j, bound)| *bound = self.bound(start + j, delta));
        })
    }

    /// The envelope of the RS-k-means++ paper, `2 (|x - m|^2 + |c_1 - m|^2)`; of rows prepared without pivots.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn paper_envelope<'a>(&self, points: Points<'a, T>, first: usize, job: &Job) -> Result<Envelope<'a, T>> {
        let own = canon(points.row(first), self.frame.scale, &self.frame.origin).wide();
        let inflation = inflation::<T>(points.d());
        Envelope::new(points, NO_HOME, job, |start, bounds| {
            for (bound, square) in bounds.iter_mut().zip(&self.squares[start..]) {
                *bound = T::of(2.0 * (square.wide() + own) * inflation);
            }
        })
    }
}

/// Keeps a bound at or above `canon(x, c)` under the rounding of both distances, of `canon` and of the bound itself.
fn inflation<T: Real>(d: usize) -> f64 {
    1.0 + 4.0 * (d.div_ceil(T::LANES) + 12) as f64 * T::UNIT
}

/// A first centre in proportion to the weights, with its envelope.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn start<'a, T: Real>(
    points: Points<'a, T>,
    prepared: &'a Prepared<T>,
    seed: u64,
    job: &Job,
) -> Result<Start<'a, T>> {
    let first = first_center(points, seed, job)?;
    let mut centers = Centers::new(prepared.frame.clone());
    centers.push(points.row(first));
    let mut delta = prepared.far();
    prepared.approach(&centers, 0, &mut delta);
    let envelope = prepared.envelope(points, &delta, job)?;
    Ok(Start { first, envelope, frame: prepared.frame.clone(), anchors: Some(prepared) })
}

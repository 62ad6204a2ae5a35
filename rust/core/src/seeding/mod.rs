//! Seeding: exact k-means++ by batched envelope rejection, its variants, assignment and Lloyd's k-means.

pub mod anchors;
pub mod assign;
pub mod coreset;
pub mod envelope;
pub mod exact;
mod fill;
pub mod greedy;
pub mod lloyd;
pub mod panels;
pub mod pass;
pub mod plan;
pub mod points;
mod resolve;
pub mod sample;
pub mod score;
pub mod start;

pub use plan::{Plan, Refresh, Seeded};
pub use points::Points;

use crate::error::{Result, invalid};
use crate::job::Job;
use crate::real::Real;
use anchors::Prepared;
use exact::Start;

/// The ways to seed.
#[derive(Debug, Clone, Copy)]
pub enum Method {
    /// k-means++ by batched envelope rejection.
    Exact(Plan),
    /// RS-k-means++ as published: the paper's envelope, at most so many proposals a centre, then a uniform row.
    /// The second number is that of the potential's draws.
    Rejection(Option<u64>, usize),
    /// k-means++ by one pass a centre.
    Pass,
    /// Greedy k-means++ with so many candidates a centre.
    Greedy(usize),
    /// Greedy k-means++ on a coreset: candidates a centre, rows of the coreset (0 for the default).
    GreedyCoreset(usize, usize),
    /// Distinct uniform rows.
    Uniform,
}

/// Chooses `k` rows. With `prepared`, `Exact` and `Rejection` (the latter prepared without pivots) make no further pass
/// over the rows.
///
/// # Errors
/// [`crate::Error::Invalid`] when `k` is not between 1 and the number of rows; [`crate::Error::NotFinite`];
/// [`crate::Error::Interrupted`].
pub fn seed<T: Real>(
    points: Points<'_, T>,
    k: usize,
    method: Method,
    prepared: Option<&Prepared<T>>,
    seed: u64,
    job: &Job,
) -> Result<Seeded> {
    if k == 0 || k > points.n() {
        return Err(invalid!("n_clusters must be between 1 and the number of rows {}, got {k}", points.n()));
    }
    match method {
        Method::Pass => pass::seed(points, k, seed, job),
        Method::Greedy(trials) => greedy::seed(points, k, trials, seed, job),
        Method::GreedyCoreset(trials, size) => coreset::seed(points, k, trials, size, seed, job),
        Method::Uniform => {
            points.check_finite("X", job)?;
            job.expect(k);
            let mut indices = Vec::new();
            fill::fill_up(points, &mut indices, k, seed);
            job.reached(k);
            Ok(Seeded { indices, drawn: k, ..Seeded::default() })
        }
        Method::Exact(_) | Method::Rejection(..) => {
            seed_path(points, &[k], method, prepared, seed, job).map(|path| path.into_iter().next().unwrap_or_default())
        }
    }
}

/// Seedings for the ascending counts `ks`, each the beginning of the next; `Exact` and `Rejection` only.
///
/// # Errors
/// As [`seed`]; [`crate::Error::Invalid`] for another method.
pub fn seed_path<T: Real>(
    points: Points<'_, T>,
    ks: &[usize],
    method: Method,
    prepared: Option<&Prepared<T>>,
    seed: u64,
    job: &Job,
) -> Result<Vec<Seeded>> {
    match (method, prepared) {
        (Method::Exact(plan), None) => {
            let first = start::first_center(points, seed, job)?;
            let (envelope, frame) = start::from_first(points, first, job)?;
            exact::seed_path(points, ks, seed, Start { first, envelope, frame, anchors: None }, plan, job)
        }
        (Method::Exact(plan), Some(shared)) => {
            let start = anchors::start(points, shared, seed, job)?;
            exact::seed_path(points, ks, seed, start, plan, job)
        }
        (Method::Rejection(max_proposals, potential_draws), Some(shared)) => {
            let first = start::first_center(points, seed, job)?;
            let envelope = shared.paper_envelope(points, first, job)?;
            let start = Start { first, envelope, frame: shared.frame.clone(), anchors: None };
            let plan =
                Plan { tighten: false, refresh: Refresh::Never, max_proposals, potential_draws, ..Plan::default() };
            exact::seed_path(points, ks, seed, start, plan, job)
        }
        (Method::Rejection(..), None) => {
            let shared = anchors::prepare(points, 0, job)?;
            seed_path(points, ks, method, Some(&shared), seed, job)
        }
        _ => Err(invalid!("method must be exact or rejection for several counts")),
    }
}

/// One stream of random numbers per purpose: re-using numbers breaks sampling laws.
pub mod streams {
    /// The first centre.
    pub const FIRST: u64 = 0x100;
    /// The row of proposal `t`.
    pub const PROPOSAL: u64 = 0x101;
    /// The acceptance number of proposal `t`.
    pub const ACCEPT: u64 = 0x102;
    /// Unused rows that fill up a seeding.
    pub const FILL: u64 = 0x103;
    /// Uniform rows of the bounded mode.
    pub const UNIFORM: u64 = 0x104;
    /// Candidates of greedy seeding.
    pub const TRIAL: u64 = 0x105;
    /// Proposals of the potential estimate.
    pub const POTENTIAL: u64 = 0x106;
    /// Rows of a coreset.
    pub const CORESET: u64 = 0x107;
    /// New centres of empty clusters.
    pub const EMPTY: u64 = 0x108;
    /// Draws of `D2Sampler.sample`.
    pub const SAMPLE: u64 = 0x109;
    /// Acceptance numbers of `SAMPLE`.
    pub const SAMPLE_ACCEPT: u64 = 0x10a;
    /// Acceptance numbers of pooled candidates.
    pub const TRIAL_ACCEPT: u64 = 0x10b;
}

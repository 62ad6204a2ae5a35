//! The schedule of an exact seeding, and what comes of it.

/// When the envelope is brought down to `D^2(x, S)` for all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// By ski-rental: once rejected proposals have cost as many distances as a refresh would.
    Auto,
    /// Never, except to detect that every row coincides with a centre.
    Never,
    /// Whenever this many centres were added.
    Every(usize),
}

/// The schedule. It is part of the result wherever tightening or refreshing is on, so only tests change it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Lower the bounds of rejected rows between batches.
    pub tighten: bool,
    /// See [`Refresh`].
    pub refresh: Refresh,
    /// The largest batch.
    pub max_batch: usize,
    /// Give up after this many proposals for one centre and take a uniform row: the bounded mode of the paper.
    pub max_proposals: Option<u64>,
    /// Estimate the final potential from this many more proposals; 0 for not at all.
    pub potential_draws: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { tighten: true, refresh: Refresh::Auto, max_batch: 2048, max_proposals: None, potential_draws: 0 }
    }
}

/// A finished seeding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seeded {
    /// The chosen rows in the order of drawing.
    pub indices: Vec<usize>,
    /// How many of them were drawn; the rest are unused rows filled in because no row was left at a positive distance.
    pub drawn: usize,
    /// How many of the drawn are uniform rows of the bounded mode.
    pub uniform: usize,
    /// Proposals looked at.
    pub proposals: u64,
    /// Full refreshes of the envelope.
    pub refreshes: u32,
    /// The first total of the envelope.
    pub first_total: f64,
    /// Estimate of the potential of the result; NaN when not asked for.
    pub potential: f64,
    /// Its standard error.
    pub potential_stderr: f64,
}

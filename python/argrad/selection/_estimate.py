"""Estimates of a total from selected rows, and their standard errors."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from argrad import _array, _check
from argrad._array import Array
from argrad.selection._student import two_sided

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

ESTIMATORS = ("ht", "hajek", "difference", "regression")
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated total of losses.

    Attributes:
        value: the estimate of sum_i a_i l_i over all rows.
        stderr: its standard error; NaN when fewer than two rows were drawn by chance.
        ci: 95 % confidence interval, Student's t with one degree of freedom less than rows.
        vs_uniform: estimated variance over that of drawing as many rows as losses were queried, the pilot's included,
            without replacement and in proportion to the sample weights; above 1 uniform sampling would have been better
            by this factor.
    """

    value: float
    stderr: float
    ci: tuple[float, float]
    vs_uniform: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all rows, and over those of each cluster.

    Attributes:
        masses: float64, shape (k,): sample weights.
        sizes: int64, shape (k,): rows of positive weight.
        mass: all sample weights.
        squares: squares of all sample weights.
    """

    masses: Floats
    sizes: Rows
    mass: float
    squares: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What is needed of a selection, as plain numpy arrays; one entry a selected row, and those of clusters."""

    weights: Floats
    chances: Floats  # probabilities of the selected rows
    labels: Rows
    own: Floats  # sample weights
    proxies: Floats | None
    totals: Totals
    n_select: int
    n_queries: int
    draw: str


def estimate(function: str, sample: Sample, losses: Array, estimator: str, *, device: bool) -> Estimate:
    """Estimate the total; `Selection.estimate` has the formulas."""
    values = check_losses(function, losses, len(sample.weights), device=device)
    _check.choice(function, "estimator", estimator, ESTIMATORS)
    w, mass = sample.weights, sample.totals.mass
    total = float(w.sum())
    mean = float(w @ values) / total if total > 0 else 0.0
    known: Floats | float = 0.0
    added = 0.0
    if estimator == "hajek":
        known, added = mean, mass * mean
    elif estimator == "difference":
        if sample.proxies is None:
            raise ValueError(
                f'{function}: estimator must be "ht", "hajek" or "regression" for a selection without a loss, '
                f"got {estimator!r}"
            )
        known, added = sample.proxies[sample.labels], float(sample.totals.masses @ sample.proxies)
    elif estimator == "regression":
        known = slope(sample, values)
        added = mass * known
    residuals = values - known
    value = added + float(w @ residuals)
    spread, freedom = variance(sample, residuals)
    error = math.sqrt(spread) if spread >= 0 else math.nan
    reach = two_sided(LEVEL, freedom) * error if spread > 0 else error
    uniform = uniform_variance(sample, values, mean)
    return Estimate(value, error, (value - reach, value + reach), ratio(spread, uniform))


def check_losses(function: str, losses: Array, size: int, *, device: bool) -> Floats:
    """Return the losses of the selected rows as float64."""
    _check.vector(function, "losses", losses, size, device=device)
    values: Floats = _array.to_host(losses).astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        position = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{function}: losses must be finite, got {values[position]} at position {position}")
    return values


def slope(sample: Sample, values: Floats) -> float:
    """The least-squares slope of l a / (A p) on h = a / (A p) - 1 over the draws; 0 where h is constant."""
    # w is a / (s p), up to the certain rows: so a / (A p) = w s / A.
    relative = sample.weights * (sample.n_select / sample.totals.mass)
    centred = relative - relative.mean() if len(relative) else relative
    spread = float(centred @ centred)
    if spread <= 1e-20 * max(float(relative @ relative), 1e-300):
        return 0.0
    return float(centred @ (values * relative)) / spread


def variance(sample: Sample, residuals: Floats) -> tuple[float, int]:
    """The estimated variance of sum w e and its degrees of freedom; NaN if it cannot be estimated."""
    if sample.draw == "stratified":
        return stratified_variance(sample, residuals), len(residuals) - 1
    z = sample.weights * residuals
    if sample.draw == "iid":
        s = len(z)
        return (float(((z - z.mean()) ** 2).sum()) * s / (s - 1) if s > 1 else math.nan), s - 1
    left = 1 - sample.chances
    if sample.draw == "poisson":
        return (float(left @ z**2) if len(z) else math.nan), len(z) - 1
    # Certain rows are no part of chance: the others are neighbours across them.
    chance = left > 0
    z, left = z[chance], left[chance]
    s = len(z)
    if s < 2:
        return (math.nan if s else 0.0), s - 1
    return float(left[1:] @ np.diff(z) ** 2) * s / (2 * (s - 1)), s - 1


def stratified_variance(sample: Sample, residuals: Floats) -> float:
    """The variance of a stratified draw, clusters with fewer than two selected rows joined with the next."""
    y = sample.own * residuals
    sizes = sample.totals.sizes
    count = len(sizes)
    drawn = np.bincount(sample.labels, minlength=count)
    if drawn.sum() < 2:
        return math.nan
    # A group ends at the first cluster at which it has two rows; what is left at the end joins the last group.
    group = np.zeros(count, dtype=np.int64)
    number, found = 0, 0
    for cluster in range(count):
        group[cluster] = number
        found += int(drawn[cluster])
        if found >= 2:
            number, found = number + 1, 0
    group = np.minimum(group, number - 1)
    members = group[sample.labels]
    n = np.bincount(group, weights=sizes, minlength=number)
    s = np.bincount(group, weights=drawn, minlength=number)
    deviation = y - (np.bincount(members, weights=y, minlength=number) / s)[members]
    within = np.bincount(members, weights=deviation**2, minlength=number) / (s - 1)
    return float((n**2 * (1 - s / n) * within / s).sum())


def uniform_variance(sample: Sample, values: Floats, mean: float) -> float:
    """The variance of the total under `n_queries` draws in proportion to the sample weights."""
    total = float(sample.weights.sum())
    if total <= 0:
        return math.nan
    spread = float(sample.weights @ (values - mean) ** 2) / total
    # For equal weights this is 1 - m / n.
    share = sample.totals.squares / sample.totals.mass**2
    return sample.totals.mass**2 * spread / sample.n_queries * max(0.0, 1 - sample.n_queries * share)


def ratio(spread: float, uniform: float) -> float:
    """`spread / uniform`; 1 if both are zero."""
    if uniform == 0:
        return math.inf if spread > 0 else 1.0
    return spread / uniform

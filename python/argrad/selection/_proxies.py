"""What a few queried losses say about all others: the proxies lhat and the Hoelder constants Lambda of the clusters."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from argrad import _array, _check, _native
from argrad._array import Array

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Loss: TypeAlias = Array | Callable[[Array], Array] | None
Part: TypeAlias = Callable[[int, int], object] | None

USABLE = 3
"""A quantile of fewer ratios says nothing about a cluster."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """The sample weights, float64, where the embeddings are; None for none. And what the host knows of them."""

    values: Any
    positive: int  # rows of positive weight
    total: float
    squares: float  # the sum of the squares

    def at(self, rows: Any) -> Any:
        """The sample weights of `rows`."""
        return 1.0 if self.values is None else self.values[rows]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows, weights, probabilities of all rows, and how many are certain; arrays where the embeddings are."""

    rows: Any
    weights: Any
    probabilities: Any
    certain: int


@dataclass(frozen=True, slots=True)
class Clusters:
    """Rows by cluster. Clusters are numbered along a chain of near neighbors.

    Labels, spread and order are where the embeddings are, all else but the centers is on the host.
    """

    labels: Any
    spread: Any  # v = distance to the center to the power z, float64
    order: Any  # rows of positive weight by cluster and distance
    starts: Rows  # where each cluster begins in `order`
    mass: Floats  # sum of sample weights by cluster
    centers: Array
    indices: Rows  # row numbers of the centers

    @property
    def count(self) -> int:
        """The number of clusters."""
        return len(self.indices)

    @property
    def sizes(self) -> Rows:
        """Rows of positive weight by cluster."""
        return np.diff(self.starts)

    def members(self, positions: Rows) -> Rows:
        """The rows at positions of the order, on the host."""
        rows: Rows = _array.to_host(self.order[_array.to_device(positions, self.order)])
        return rows

    def of(self, rows: Rows) -> tuple[Rows, Floats]:
        """Labels and spread of rows, on the host."""
        at = _array.to_device(rows, self.labels)
        return _array.to_host(self.labels[at]), _array.to_host(self.spread[at])

    def rates(self, drawn: Rows, size: int) -> Floats:
        """By cluster, the probability of a row to be among the drawn ones of a stratified draw of `size` rows."""
        # Sizes are known once drawn: given them each cluster is a uniform sample, unless one has no row at all.
        if ((drawn > 0) | (self.sizes == 0)).all():
            return drawn / np.maximum(self.sizes, 1)
        return np.full(len(drawn), size / int(self.starts[-1]))


@dataclass(frozen=True, slots=True)
class Options:
    """The options about proxies, checked."""

    proxy: str
    n_pilot: int
    z: float
    holder: str | float | Floats
    holder_quantile: float


@dataclass(frozen=True, slots=True)
class Proxies:
    """Expected losses and Hoelder constants by cluster, and what they cost."""

    values: Floats
    holder: float | Floats
    holder_spread: tuple[float, float, float] | None
    r2: float | None
    n_queries: int


class Oracle:
    """Queries losses: of an array it reads the wanted rows only."""

    def __init__(self, function: str, loss: Loss, embeddings: Array, *, device: bool) -> None:
        """Check the loss without reading or computing a value."""
        self.function, self.loss, self.like = function, loss, embeddings
        self.queried, self.device = 0, device
        if not callable(loss):
            _check.weights_form(function, "loss", loss, embeddings.shape[0], device=self.device)

    def __call__(self, rows: Rows) -> Floats:
        """Return the losses of ascending `rows`."""
        if callable(self.loss):
            found = self.loss(_array.to_device(rows, self.like))
            _check.array(self.function, "loss(indices)", found, device=self.device)
            _check.weights_form(self.function, "loss(indices)", found, len(rows), device=self.device)
        else:
            assert self.loss is not None
            found = self.loss[_array.to_device(rows, self.loss)]
        losses: Floats = _array.to_host(found).astype(np.float64)
        good = (losses >= 0) & (losses < np.inf)
        if not good.all():
            at = int(np.flatnonzero(~good)[0])
            raise ValueError(f"{self.function}: loss must be finite and >= 0, got {losses[at]} at row {rows[at]}")
        self.queried += len(rows)
        return losses


def without_loss(clusters: Clusters) -> Proxies:
    """Score by the distances alone."""
    return Proxies(np.zeros(clusters.count), 1.0, None, None, 0)


def from_losses(oracle: Oracle, clusters: Clusters, options: Options, seed: int) -> Proxies:
    """Query the pilot or the representatives and estimate proxies and Hoelder constants."""
    k, quantile = clusters.count, isinstance(options.holder, str) and options.holder == "quantile"
    wanted = math.ceil(math.log(100 * k) / -math.log1p(-options.holder_quantile)) if quantile else 0
    if options.proxy == "medoid":
        values, r2 = queried_at(oracle, clusters.indices), None
        ratios, labels = chain_ratios(clusters, values, options.z), np.arange(k)[1:]
        if quantile:
            rows = pilot(clusters, wanted, seed)
            ratios, labels = member_ratios(clusters, rows, oracle(rows), values)
    else:
        rows = pilot(clusters, max(options.n_pilot, wanted), seed)
        losses = oracle(rows)
        values, r2 = shrunken_means(losses, clusters.of(rows)[0], clusters)
        ratios, labels = member_ratios(clusters, rows, losses, values)
    holder, spread = constant(ratios, labels, k, options)
    return Proxies(values, holder, spread, r2, oracle.queried)


def queried_at(oracle: Oracle, rows: Rows) -> Floats:
    """Query rows in any order; the oracle sees them ascending."""
    order = np.argsort(rows)
    values = np.empty(len(rows))
    values[order] = oracle(rows[order])
    return values


def pilot(clusters: Clusters, most: int, seed: int) -> Rows:
    """Up to `most` uniform rows of each cluster, ascending."""
    rows: Rows = np.sort(clusters.members(_native.pilot_rows(clusters.starts, most, seed)))
    return rows


def shrunken_means(losses: Floats, labels: Rows, clusters: Clusters) -> tuple[Floats, float | None]:
    """Pilot means by cluster, drawn towards their common mean by empirical Bayes, and the share between clusters.

    With r rows, mean m and variance s^2 by cluster, s_w^2 the average of s^2, and s_b^2 the variance of m less
    s_w^2 / r: lhat = (r m + kappa mean) / (r + kappa), kappa = s_w^2 / s_b^2. So a cluster whose few pilots happen to
    be small does not give its rows tiny probabilities. A cluster known entirely keeps its mean.
    """
    k = clusters.count
    r = np.bincount(labels, minlength=k).astype(np.float64)
    seen, several = r > 0, r > 1
    means = np.zeros(k)
    means[seen] = np.bincount(labels, weights=losses, minlength=k)[seen] / r[seen]
    common = float(clusters.mass @ means) / float(clusters.mass.sum())
    means[~seen] = common
    if not several.any():
        return means, None
    squares = np.bincount(labels, weights=(losses - means[labels]) ** 2, minlength=k)
    within = float((squares[several] / (r[several] - 1)).mean())
    between = max(float(means[seen].var(ddof=1)) - within * float((1 / r[seen]).mean()), 0.0) if seen.sum() > 1 else 0.0
    if within == 0:
        return means, 1.0
    pull = within / (within + r * between)
    pull[r == clusters.sizes] = 0.0
    return means + pull * (common - means), between / (within + between)


def member_ratios(clusters: Clusters, rows: Rows, losses: Floats, values: Floats) -> tuple[Floats, Rows]:
    """|loss - lhat| / v of the queried rows off their center, and their clusters."""
    labels, spread = clusters.of(rows)
    off = spread > 0
    return np.abs(losses - values[labels])[off] / spread[off], labels[off]


def chain_ratios(clusters: Clusters, values: Floats, z: float) -> Floats:
    """The same between neighboring representatives, for want of other queried rows."""
    centers = _array.to_host(clusters.centers).astype(np.float64)
    steps: Floats = np.linalg.norm(np.diff(centers, axis=0), axis=1) ** z
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(steps > 0, np.abs(np.diff(values)) / steps, np.nan)


def constant(
    ratios: Floats, labels: Rows, k: int, options: Options
) -> tuple[float | Floats, tuple[float, float, float] | None]:
    """The Hoelder constant, one number or one a cluster, and the quartiles of the ratios."""
    if not isinstance(options.holder, str):
        return options.holder, None
    usable = np.isfinite(ratios)
    ratios, labels = ratios[usable], labels[usable]
    if not len(ratios):
        return 0.0, None
    low, middle, high = (float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75)))
    if options.holder == "estimate":
        return middle, (low, middle, high)
    order = np.lexsort((ratios, labels))
    ratios, counts = ratios[order], np.bincount(labels, minlength=k)
    place = np.maximum(counts - 1, 0) * options.holder_quantile
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    below = np.minimum(first + place.astype(np.int64), len(ratios) - 1)
    above = np.minimum(below + 1, len(ratios) - 1)
    found = ratios[below] + (place % 1) * (ratios[above] - ratios[below])
    return np.where(counts < USABLE, middle, found), (low, middle, high)

"""The steps of sensitivity sampling on the host, from clusters to rows; `_device_scores` has the same for a device."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from argrad import _array, _check, _native
from argrad._array import Array
from argrad.seeding import assign, kmeans_plusplus
from argrad.selection._proxies import Clusters, Drawn, Floats, Part, Proxies, Weighing

BLOCK = 1024
"""Numbers that are summed one after the other, as a device does."""


def weigh(function: str, argument: str, weights: Array | None, n: int) -> Weighing:
    """Check weights of rows, and sum them."""
    values = _check.weights(function, argument, weights, n)
    if values is None:
        return Weighing(None, n, float(n), float(n))
    return Weighing(values, int(np.count_nonzero(values)), total(values), total(values * values))


def total(values: Floats) -> float:
    """The sum of blocks of 1024 numbers, all added one after the other: the same bits on every machine."""
    whole = len(values) // BLOCK * BLOCK
    sums = np.add.accumulate(values[:whole].reshape(-1, BLOCK), axis=1)[:, -1]
    rest = np.add.accumulate(values[whole:])[-1:]
    return float(np.add.accumulate(np.concatenate((sums, rest)))[-1])


def clip(values: Floats, limit: float) -> tuple[Floats, float]:
    """The values cut at a limit, and their sum."""
    clipped = np.minimum(values, limit)
    return clipped, total(clipped)


def cluster(
    function: str, embeddings: Array, k: int, weighing: Weighing, z: float, seed: int, part: tuple[Part, Part]
) -> Clusters:
    """Cluster the rows around k of them, and number the clusters along a chain of near neighbors."""
    weights = None if weighing.values is None else _array.like(weighing.values, embeddings)
    centers, indices = seeded(function, embeddings, k, weights, seed, part[0])
    chain = _native.center_chain(function, _array.raw(centers))
    centers, rows = centers[_array.like(chain, embeddings)], _array.raw(indices)[chain]
    labels, distances = assign(embeddings, centers, return_distance=True, progress=part[1])
    labels, spread = _array.raw(labels), power(_array.raw(distances), z)
    order, starts = _native.cluster_order(function, labels, k, spread, weighing.values)
    mass = np.bincount(labels, weights=weighing.values, minlength=k).astype(np.float64)
    return Clusters(labels, spread, order, starts, mass, centers, rows)


def seeded(
    function: str, embeddings: Array, k: int, weights: Array | None, seed: int, progress: Part
) -> tuple[Array, Array]:
    """Seed k centers on behalf of `function`."""
    names = {"X": "embeddings"}
    return _check.on_behalf(  # type: ignore[no-any-return]
        function, names, kmeans_plusplus, embeddings, k, sample_weight=weights, random_state=seed, progress=progress
    )


def power(distances: NDArray[Any], z: float) -> Floats:
    """`distances ** z` in float64."""
    spread: Floats = distances.astype(np.float64)
    if z == 2:
        spread *= spread
    elif z != 1:
        spread **= z
    return spread


def score(clusters: Clusters, proxies: Proxies, weighing: Weighing) -> tuple[Floats, float, float]:
    """The scores a (lhat + Lambda v), their sum, and that of a Lambda v."""
    holder = proxies.holder if isinstance(proxies.holder, float) else proxies.holder[clusters.labels]
    with np.errstate(over="ignore", invalid="ignore"):  # the caller says so
        cost = clusters.spread * holder
        scores = cost + proxies.values[clusters.labels]
        if weighing.values is not None:
            scores *= weighing.values
            cost *= weighing.values
        return scores, total(scores), total(cost)


def lost(clusters: Clusters, scores: Floats, weighing: Weighing) -> int:
    """Count the rows of positive weight off their center whose score is zero."""
    off = (scores == 0) & (clusters.spread > 0)
    return int(np.count_nonzero(off if weighing.values is None else off & (weighing.values > 0)))


def mixture(scores: Floats, weighing: Weighing, factor: float, mix: float) -> Floats:
    """`factor` times the scores and `mix` times the share of all weight. Overwrites the scores."""
    scores *= factor
    scores += mix * ((1.0 if weighing.values is None else weighing.values) / weighing.total)
    return scores


def select(function: str, clusters: Clusters, p: Floats, weighing: Weighing, size: int, draw: str, seed: int) -> Drawn:
    """Draw rows with the probabilities p, or in proportion to the sizes of the clusters."""
    if draw == "iid":
        rows, _ = _native.weighted_sample(function, p, size, True, "multinomial", False, False, seed)
        return Drawn(rows, weighing.at(rows) / (size * p[rows]), p, 0)
    if draw == "stratified":
        positions, sizes = _native.stratified_rows(clusters.starts, size, seed)
        rows = clusters.order[positions]
        pi = clusters.rates(sizes, size)[clusters.labels]
        if weighing.values is not None:
            pi[weighing.values == 0] = 0.0
    else:
        try:
            pi = _native.inclusion_probabilities(function, p, size)
        except ValueError:
            raise too_few(function, int(np.count_nonzero(p)), size) from None
        rows = clusters.order[_native.draw_included(function, pi[clusters.order], size, draw, seed)]
    return Drawn(rows, weighing.at(rows) / pi[rows], pi, int(np.count_nonzero(pi == 1)))


def too_few(function: str, positive: int, size: int) -> ValueError:
    """The error of a draw of more rows than there are."""
    return ValueError(
        f"{function}: n_select must be at most the number of rows of positive probability, {positive}, got {size}"
    )

"""The steps of sensitivity sampling on a device, as `_scores` has them for the host.

What has one entry for each row stays on the device. What has one for each cluster, pilot row or selected row comes to
the host, where it is little: the statistics of the pilot, and the choice of pilots and of rows inside strata.
"""

import math
from typing import Any

from argrad import _array, _check, _cuda, _native, _radix
from argrad._array import Array
from argrad.seeding import assign
from argrad.selection import _device
from argrad.selection._device import BLOCK_ROWS, DRAW_WORDS, MOST_BLOCKS, per_item
from argrad.selection._device_included import Included
from argrad.selection._proxies import Clusters, Drawn, Part, Proxies, Weighing
from argrad.selection._scores import seeded, too_few

FILE = "selection_scores"
MOST_CENTERS = 1 << 14
"""Of which all distances are kept at once, for the chain: 1 GiB in single precision."""


def weigh(function: str, argument: str, weights: Array | None, n: int) -> Weighing:
    """Check weights of rows, and sum them; waits for the device."""
    _check.weights_form(function, argument, weights, n, device=True)
    if weights is None:
        return Weighing(None, n, float(n), float(n))
    values = _array.cast(_array.raw(weights), "float64")
    draw = _cuda.full((DRAW_WORDS,), 0, "int64", values)
    _cuda.launch(values, _device.FILE, "weigh<double>", per_item(n, values), 256, values, draw, n)
    whole, squares = _sums(values, None, math.inf)
    _, positive, _, _, bad = (int(word) for word in _array.to_host(draw))
    if bad or not 0 < whole < math.inf:
        _cuda.confirm((1,), _check.weights, function, argument, values, n)
    return Weighing(values, positive, whole, squares)


def _sums(values: Any, clipped: Any, limit: float) -> tuple[float, float]:
    """Sum values, cut at a limit, and their squares."""
    n, blocks = int(values.shape[0]), -(-values.shape[0] // BLOCK_ROWS)
    sums = _cuda.empty((2, blocks), "float64", values)
    _launch(values, "sum_values", blocks, values, clipped, sums, n, limit)
    return _totals(sums)


def clip(values: Any, limit: float) -> tuple[Any, float]:
    """The values cut at a limit, and their sum; waits for the device."""
    clipped = _cuda.empty((int(values.shape[0]),), "float64", values)
    whole, _ = _sums(values, clipped, limit)
    return clipped, whole


def _launch(like: Any, name: str, blocks: int, *args: object) -> None:
    _cuda.launch(like, FILE, name, min(blocks, MOST_BLOCKS), 256, *args)


def _totals(sums: Any) -> tuple[float, float]:
    """Add up two lists of sums, and wait for them."""
    totals = _cuda.empty((2,), "float64", sums)
    _launch(sums, "add_totals", 1, sums, totals, int(sums.shape[1]))
    first, second = _array.to_host(totals)
    return float(first), float(second)


def cluster(
    function: str, embeddings: Array, k: int, weighing: Weighing, z: float, seed: int, part: tuple[Part, Part]
) -> Clusters:
    """Cluster the rows around k of them, and number the clusters along a chain of near neighbors."""
    weights = weighing.values
    centers, indices = seeded(function, embeddings, k, weights, seed, part[0])
    order = chain(_array.raw(centers))
    centers, indices = centers[order], indices[order]
    labels, distances = assign(embeddings, centers, return_distance=True, progress=part[1])
    labels, distances = _array.raw(labels), _array.raw(distances)
    n = int(labels.shape[0])
    spread, keys = _cuda.empty((n,), "float64", labels), _cuda.empty((n,), "int64", labels)
    fill = per_item(n, labels)
    name = f"spread_rows<{_cuda.number(distances)}>"
    _launch(labels, name, fill, distances, spread, keys, n, float(z))
    numbers = _cuda.empty((n,), "int32", labels), _cuda.empty((n,), "int32", labels)
    ends = _cuda.full((2,), 0, "int64", labels)
    ends[1] = n
    _, by_spread = _radix.sort((keys, _cuda.empty((n,), "int64", labels)), numbers, ends, 1, n, bits=64)
    _, rows, starts = _by_label(labels, weights, by_spread, k)
    bounds = _array.to_host(starts)
    mass = (bounds[1:] - bounds[:-1]).astype("float64") if weights is None else _masses(labels, weights, k)
    return Clusters(labels, spread, rows[: int(bounds[-1])], bounds, mass, centers, _array.to_host(indices))


def chain(centers: Any) -> Any:
    """Return the centers' numbers from the first on, each followed by the nearest of those that are left."""
    (k, d), number = centers.shape, _cuda.number(centers)
    reach = _cuda.full((1,), 0, "int64", centers)
    taken, order = _cuda.full((k,), 0, "uint8", centers), _cuda.empty((k,), "int64", centers)
    _launch(centers, f"center_reach<{number}>", per_item(k * d, centers), centers, reach, k * d)
    squares = None
    if k <= MOST_CENTERS:
        squares = _cuda.empty((k, k), _array.computed(centers), centers)
        _launch(centers, f"center_distances<{number}>", (-(-k // 32)) ** 2, centers, reach, squares, k, d)
    args = (centers, reach, squares, taken, order, k, d)
    _cuda.launch(centers, FILE, f"chain_centers<{number}>", 1, 1024, *args)
    return order


def _by_label(labels: Any, weights: Any, places: Any, k: int) -> tuple[Any, Any, Any]:
    """Sort rows, in the order of `places` (None: their own), by their cluster; those of weight zero come last.

    Returns:
        The rows as int32 and as int64, and where each cluster begins.
    """
    n = int(labels.shape[0])
    keys = _cuda.empty((n,), "int32", labels)
    _launch(labels, "label_keys", per_item(n, labels), labels, weights, places, keys, n, k)
    ends = _cuda.full((2,), 0, "int64", labels)
    ends[1] = n
    spare = _cuda.empty((n,), "int32", labels)
    numbers = _cuda.empty((n,), "int32", labels) if places is None else places, _cuda.empty((n,), "int32", labels)
    bits, numbered = k.bit_length(), places is not None
    keys, places = _radix.sort((keys, spare), numbers, ends, 1, n, bits=bits, numbered=numbered)
    order, starts = _cuda.empty((n,), "int64", labels), _cuda.empty((k + 1,), "int64", labels)
    _launch(labels, "finish_order", per_item(n, labels), keys, places, order, starts, n, k)
    return places, order, starts


def _masses(labels: Any, weights: Any, k: int) -> Any:
    """Return the sum of the sample weights of each cluster, on the host."""
    rows, _, starts = _by_label(labels, weights, None, k)
    mass = _cuda.empty((k,), "float64", labels)
    _launch(labels, "cluster_masses", -(-k // 8), weights, rows, starts, mass, k)
    return _array.to_host(mass)


def score(clusters: Clusters, proxies: Proxies, weighing: Weighing) -> tuple[Any, float, float]:
    """The scores a (lhat + Lambda v), their sum, and that of a Lambda v; waits for the device."""
    labels, n = clusters.labels, int(clusters.labels.shape[0])
    blocks = -(-n // BLOCK_ROWS)
    scores, sums = _cuda.empty((n,), "float64", labels), _cuda.empty((2, blocks), "float64", labels)
    one, many = (proxies.holder, None) if isinstance(proxies.holder, float) else (0.0, proxies.holder)
    holders = None if many is None else _array.to_device(many, labels)
    values = _array.to_device(proxies.values, labels)
    args = (clusters.spread, labels, weighing.values, values, holders, scores, sums, n, one)
    _launch(labels, "score_rows", blocks, *args)
    return scores, *_totals(sums)


def lost(clusters: Clusters, scores: Any, weighing: Weighing) -> int:
    """Count the rows of positive weight off their center whose score is zero; waits for the device."""
    off = (scores == 0) & (clusters.spread > 0)
    return int((off if weighing.values is None else off & (weighing.values > 0)).sum())


def mixture(scores: Any, weighing: Weighing, factor: float, mix: float) -> Any:
    """`factor` times the scores and `mix` times the share of all weight. Overwrites the scores."""
    n = int(scores.shape[0])
    args = (scores, weighing.values, n, float(factor), float(mix), weighing.total)
    _launch(scores, "mix_rows", per_item(n, scores), *args)
    return scores


def select(function: str, clusters: Clusters, p: Any, weighing: Weighing, size: int, draw: str, seed: int) -> Drawn:
    """Draw rows with the probabilities p, or in proportion to the sizes of the clusters; waits for the device."""
    if draw == "iid":
        rows, _ = _device.repeated(p, size, seed, steps=False, inverse=False, in_order=False, fault=None)
        return Drawn(rows, weighing.at(rows) / (size * p[rows]), p, 0)
    if draw == "stratified":
        positions, sizes = _native.stratified_rows(clusters.starts, size, seed)
        rows = clusters.order[_array.to_device(positions, p)]
        pi = _array.to_device(clusters.rates(sizes, size), p)[clusters.labels]
        if weighing.values is not None:
            pi = pi * (weighing.values > 0)
    else:
        included = Included.of(p, size)
        if included.bad():
            raise too_few(function, int((p > 0).sum()), size)
        pi = included.probabilities()
        rows = clusters.order[Included.given(pi[clusters.order]).draw(draw, size, seed)]
    return Drawn(rows, weighing.at(rows) / pi[rows], pi, int((pi == 1).sum()))

"""Sorting networks as loops over comparators in float64, their P as a product of matrices. Never imports argrad."""

import math
from itertools import pairwise

import numpy as np

DISTRIBUTIONS = ("logistic", "logistic_art", "reciprocal", "cauchy", "gaussian", "optimal")
NETWORKS = ("odd_even", "bitonic")


def distribution(name, d, steepness):
    """F(steepness d), increasing in d."""
    v = steepness * d
    if name == "logistic_art":
        v = v / (abs(d) + 1e-10) ** 0.25
    if name in ("logistic", "logistic_art"):
        return 1 / (1 + math.exp(-v)) if v >= 0 else 1 - 1 / (1 + math.exp(v))
    if name == "reciprocal":
        return (v / (2 + abs(v)) + 1) / 2
    if name == "cauchy":
        return math.atan(v) / math.pi + 0.5
    if name == "gaussian":
        return math.erfc(-v / math.sqrt(2)) / 2
    if abs(v) <= 0.25:
        return v + 0.5
    return 1 - 1 / (16 * v) if v > 0 else -1 / (16 * v)


def comparators(network, n):
    """Layers of (wire of the minimum, wire of the maximum) on n wires.

    The bitonic network is Batcher's, with every second block sorted downwards; where n is no power of two, it is the
    one on the next power of two with minus infinity on the wires in front, whose comparators move but never mix.
    """
    if network == "odd_even":
        return [[(i, i + 1) for i in range(layer % 2, n - 1, 2)] for layer in range(n)]
    bits = max(n - 1, 0).bit_length()
    items = [None] * (2**bits - n) + list(range(n))
    layers = []
    for block in range(bits):
        for distance in (2**j for j in range(block, -1, -1)):
            layer = []
            for i in range(2**bits):
                if i & distance:
                    continue
                low, high = (i, i + distance) if not i >> (block + 1) & 1 else (i + distance, i)
                if items[low] is not None and items[high] is not None:
                    layer.append((items[low], items[high]))
                elif items[high] is None:
                    items[low], items[high] = items[high], items[low]
            layers.append(layer)
    return relabelled(layers, items[2**bits - n :])


def relabelled(layers, order):
    """The layers, then a last one of pairs (rank, name): the wire that carries each rank."""
    return [*layers, [("rank", r, wire) for r, wire in enumerate(order)]]


def permutation(x, network="odd_even", name="cauchy", steepness=10.0, descending=False):
    """P of one list, dense: row r for rank r, ascending unless told."""
    n = len(x)
    values = [-float(a) if descending else float(a) for a in x]
    matrix = np.eye(n)
    order = list(range(n))
    for layer in comparators(network, n):
        mixing = np.eye(n)
        for comparator in layer:
            if comparator[0] == "rank":
                order[comparator[1]] = comparator[2]
                continue
            low, high = comparator
            a, b = values[low], values[high]
            f = distribution(name, b - a, steepness)
            mixing[low, low] = mixing[high, high] = f
            mixing[low, high] = mixing[high, low] = 1 - f
            values[low], values[high] = f * a + (1 - f) * b, (1 - f) * a + f * b
        matrix = mixing @ matrix
    return matrix[order]


def product(x, v, steepness, transposed=False, mask=None, offsets=None, **options):
    """P @ v or P.T @ v for x (*batch, n), v (*batch, n, m), steepness (*batch, lists)."""
    x, v = np.asarray(x, np.float64), np.asarray(v, np.float64)
    out = np.zeros_like(v)
    bounds = [0, x.shape[-1]] if offsets is None else list(offsets)
    for row in np.ndindex(x.shape[:-1]):
        for i, (start, end) in enumerate(pairwise(bounds)):
            items = [j for j in range(start, end) if mask is None or mask[row][j]]
            ranks = list(range(start, start + len(items)))
            matrix = permutation(x[row][items], steepness=float(steepness[(*row, i)]), **options)
            if transposed:
                out[row][items] = matrix.T @ v[row][ranks]
            else:
                out[row][ranks] = matrix @ v[row][items]
    return out

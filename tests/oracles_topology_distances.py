"""Distances between small persistence diagrams by trying every matching, and by a dense assignment of larger ones.

Diagrams are lists, or arrays, of (birth, death) with finite ends.
"""

import itertools
import math

import numpy as np
from scipy.optimize import linear_sum_assignment


def between(x, y, p):
    """Return the p-norm of the difference of two bars."""
    b, d = abs(x[0] - y[0]), abs(x[1] - y[1])
    return max(b, d) if p == math.inf else (b**p + d**p) ** (1 / p)


def to_diagonal(x, p):
    """Return the distance of a bar to the nearest bar of length 0."""
    half = abs(x[0] - x[1]) / 2  # the nearest one is at the middle of birth and death
    return between((half, half), (0.0, 0.0), p)


def matchings(m, n):
    """Yield every partial matching of m and n things as a list of pairs."""
    for k in range(min(m, n) + 1):
        for left in itertools.combinations(range(m), k):
            for right in itertools.permutations(range(n), k):
                yield list(zip(left, right, strict=True))


def lengths(x, y, pairs, p):
    """Return what the bars of a matching move."""
    left, right = {i for i, _ in pairs}, {j for _, j in pairs}
    out = [between(x[i], y[j], p) for i, j in pairs]
    out += [to_diagonal(bar, p) for i, bar in enumerate(x) if i not in left]
    return out + [to_diagonal(bar, p) for j, bar in enumerate(y) if j not in right]


def wasserstein(x, y, order=1.0, p=math.inf):
    """Return the least cost and every matching that has it."""
    costs = [(sum(move**order for move in lengths(x, y, pairs, p)), pairs) for pairs in matchings(len(x), len(y))]
    least = min(cost for cost, _ in costs)
    return least ** (1 / order), [pairs for cost, pairs in costs if cost <= least * (1 + 1e-12)]


def bottleneck(x, y):
    """Return the least largest move."""
    return min(max([0.0, *lengths(x, y, pairs, math.inf)]) for pairs in matchings(len(x), len(y)))


def on_a_line(x, y, angle):
    """Return the transport between projections of two diagrams, each completed by the other put on the diagonal."""

    def project(bars):
        return [b * math.cos(angle) + d * math.sin(angle) for b, d in bars]

    def flat(bars):
        return [((b + d) / 2, (b + d) / 2) for b, d in bars]

    return sum(abs(a - b) for a, b in zip(*(sorted(project(bars)) for bars in (x + flat(y), y + flat(x))), strict=True))


def sliced_wasserstein(x, y, directions):
    """Return the mean over directions of the transport between projections."""
    angles = [math.pi * (i / directions - 0.5) for i in range(directions)]
    return sum(on_a_line(x, y, angle) for angle in angles) / directions


def assignment(x, y, order, p):
    """Return the Wasserstein distance of two arrays by an assignment with a copy on the diagonal for every bar."""
    gap = np.abs(x[:, None] - y[None])
    cost = gap.max(-1) if p == math.inf else (gap**p).sum(-1) ** (1 / p)
    flat = 0.5 if p == math.inf else 2 ** (1 / p) / 2
    a, b = (flat * np.abs(bars[:, 1] - bars[:, 0]) for bars in (x, y))
    matrix = np.block([[cost, np.tile(a[:, None], len(x))], [np.tile(b, (len(y), 1)), np.zeros((len(y), len(x)))]])
    matrix = matrix**order
    return matrix[linear_sum_assignment(matrix)].sum() ** (1 / order)

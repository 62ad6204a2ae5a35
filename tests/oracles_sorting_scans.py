"""Naive references for SoftSort and LapSum: loops over all pairs in float64. This module never imports argrad."""

import itertools
import math

import numpy as np


def lists_of(x, mask=None, offsets=None):
    """Yield (row, first, positions that count) for each list of a matrix."""
    n = x.shape[1]
    bounds = [0, n] if offsets is None else [int(i) for i in offsets]
    for row in range(x.shape[0]):
        for first, last in itertools.pairwise(bounds):
            yield row, first, [j for j in range(first, last) if mask is None or mask[row, j]]


def distance(a, b):
    """|a - b|, 0 for equal infinities."""
    return 0.0 if a == b else abs(a - b)


def softsort(x, temperature, descending=False):
    """SoftSort's matrix of one list."""
    s = sorted((float(a) for a in x), reverse=descending)
    P = np.zeros((len(s), len(s)))
    for r in range(len(s)):
        weights = [math.exp(-distance(s[r], float(a)) / temperature) for a in x]
        for j in range(len(s)):
            P[r, j] = weights[j] / math.fsum(weights)
    return P


def cumulative(t):
    """The Laplace distribution function."""
    return 0.5 * math.exp(t) if t < 0 else 1 - 0.5 * math.exp(-t)


def lapsum(b, x, strength):
    """The sum of Laplace distributions around x."""
    return math.fsum(cumulative(math.copysign(distance(b, a) / strength, b - a) if b != a else 0.0) for a in x)


def laplace_rank(x, strength, descending=False):
    """Soft ranks of one list."""
    values = [-float(a) if descending else float(a) for a in x]
    return np.array([0.5 + lapsum(a, values, strength) for a in values])


def inverse(target, x, strength):
    """The b with lapsum(b) = target, by bisection; the middle where there is a flat stretch."""
    reach = 800 * strength
    ends = []
    for below in (lambda b: lapsum(b, x, strength) < target, lambda b: lapsum(b, x, strength) <= target):
        low, high = min(x) - reach, max(x) + reach
        for _ in range(200):
            middle = 0.5 * low + 0.5 * high
            low, high = (middle, high) if below(middle) else (low, middle)
        ends.append(low)
    return 0.5 * (ends[0] + ends[1])


def laplace_sort(x, strength, descending=False):
    """Softly sorted values of one list."""
    values = [-float(a) if descending else float(a) for a in x]
    found = [inverse(r + 0.5, values, strength) for r in range(len(values))]
    return np.array([-b if descending else b for b in found])


def laplace(x, temperature, descending=False):
    """LapSum's permutation matrix of one list."""
    values = [-float(a) if descending else float(a) for a in x]
    n = len(values)
    thresholds = [inverse(r, values, temperature) for r in range(1, n)]
    columns = [[0.0, *[cumulative((b - a) / temperature) for b in thresholds], 1.0] for a in values]
    return np.array([[columns[j][r + 1] - columns[j][r] for j in range(n)] for r in range(n)])


MATRICES = {"softsort": softsort, "laplace": laplace}


def matrix(method, x, temperature, descending=False, mask=None, offsets=None):
    """The matrices of a batch, (rows, n, n); `temperature` of shape (rows, lists)."""
    P = np.zeros((*x.shape, x.shape[1]))
    lists = 1 if offsets is None else len(offsets) - 1
    for number, (row, first, items) in enumerate(lists_of(x, mask, offsets)):
        if items:
            part = MATRICES[method](x[row, items], float(temperature[row, number % lists]), descending)
            for r in range(len(items)):
                P[row, first + r, items] = part[r]
    return P


def hard(x, descending=False, mask=None, offsets=None):
    """Hard permutation matrices, ties by position."""
    P = np.zeros((*x.shape, x.shape[1]))
    for row, first, items in lists_of(x, mask, offsets):
        for r, j in enumerate(sorted(items, key=lambda j: -x[row, j] if descending else x[row, j])):
            P[row, first + r, j] = 1
    return P

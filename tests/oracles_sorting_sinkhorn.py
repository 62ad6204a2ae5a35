"""Naive references for Sinkhorn sort and sorted SOFT top-k: loops over dense plans, float64, no argrad."""

import math

import numpy as np


def _log_sum(values):
    top = max(values)
    return top if top == -math.inf else top + math.log(sum(math.exp(v - top) for v in values))


def plan(x, targets, masses, temperature, steps):
    """Sinkhorn's own iterations on a dense plan: rows for targets, columns for items of mass 1."""
    x, rows = [float(value) for value in x], range(len(targets))
    level = [[-((value - target) ** 2) / temperature for value in x] for target in targets]
    b = [0.0] * len(targets)
    a = [0.0] * len(x)
    for _ in range(steps):
        a = [-_log_sum([level[r][i] + b[r] for r in rows]) for i in range(len(x))]
        b = [math.log(masses[r]) - _log_sum([level[r][i] + a[i] for i in range(len(x))]) for r in rows]
    return np.array([[math.exp(level[r][i] + a[i] + b[r]) for i in range(len(x))] for r in rows])


def square(x, temperature, descending=False, steps=500):
    """n times the transposed plan between x and (0..n-1)/(n-1)."""
    n = len(x)
    targets = [r / max(n - 1, 1) for r in range(n)]
    return plan(x, targets[::-1] if descending else targets, [1.0] * n, temperature, steps)


def top(x, k, temperature, descending=True, steps=500):
    """n times the first k columns of the plan between x and k, k-1, ..., 0, transposed."""
    n = len(x)
    masses = [1.0] * k + ([float(n - k)] if n > k else [])
    targets = [float(k - r) for r in range(len(masses))]
    x = [value if descending else -value for value in x]
    return plan(x, targets, masses, temperature, steps)[:k]


def surplus(matrix, x, spacing, temperature):
    """By how much log(matrix) fails to be 2 x_i y_j / temperature plus a row's and a column's number, at most.

    A positive matrix with right sums for which this is 0 is the plan, whatever its size. Looks at neighbors that are
    not negligible only.
    """
    order, worst = np.argsort(x, kind="stable"), 0.0
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(matrix)[:, order])
    gaps = np.diff(np.asarray(x)[order])
    for r in range(len(logs) - 1):
        for i in range(len(order) - 1):
            square_of_four = logs[r : r + 2, i : i + 2]
            if square_of_four.min() > -25:
                found = square_of_four[0, 0] + square_of_four[1, 1] - square_of_four[0, 1] - square_of_four[1, 0]
                worst = max(worst, abs(found - 2 * gaps[i] * spacing / temperature))
    return worst


def product(matrix, v):
    """The matrix times the columns of v, as loops."""
    rows, columns = len(matrix), len(v[0])
    out = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            out[r, c] = sum(matrix[r][i] * v[i][c] for i in range(len(v)))
    return out

"""Naive references for Sinkhorn sort and sorted SOFT top-k: loops over dense plans, float64, no argrad.

`derivatives` works with many digits instead.
"""

import math

import mpmath
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


def _balanced(s, masses, b):
    """The plan exp(s_i j + a_i + b_j) whose items' sums are 1 and whose ranks' sums are `masses`, and its b.

    The a are eliminated; Newton's method for the b, from those given, in mpmath's digits.
    """
    count = len(masses)
    while True:
        rows = [[mpmath.exp(score * j + b[j]) for j in range(count)] for score in s]
        rows = [[entry / mpmath.fsum(row) for entry in row] for row in rows]
        off = [mpmath.fsum(row[j] for row in rows) - masses[j] for j in range(count)]
        if max(abs(x) for x in off) < mpmath.eps ** mpmath.mpf("0.9"):
            return rows, b
        H = mpmath.matrix(count - 1, count - 1)
        for j in range(count - 1):
            for other in range(j + 1):
                H[j, other] = mpmath.fsum(row[j] * (int(j == other) - row[other]) for row in rows)
                H[other, j] = H[j, other]
        step = mpmath.lu_solve(H, [-x for x in off[:-1]])
        length = min(1, 2 / max(abs(x) for x in step))
        b = [level + length * move for level, move in zip(b, [*step, 0], strict=True)]


def derivatives(x, v, weights, temperature, k, way, faster, digits=70):
    """The first and second derivative of <weights, P v>, P the k ascending rows of sorted SOFT top-k, k < len(x).

    Along x + h way, temperature + h faster; differences of plans with `digits` digits, of which they keep twenty.
    """
    with mpmath.workdps(digits):
        order = np.argsort(x)
        x, way, v = ([mpmath.mpf(float(a[i])) for i in order] for a in (x, way, v))
        masses = [mpmath.mpf(1)] * k + [mpmath.mpf(len(x) - k)]
        step = mpmath.mpf(10) ** (-digits // 4)

        def value(h, b):
            rate = 2 / (mpmath.mpf(temperature) + h * mpmath.mpf(faster))
            rows, b = _balanced([rate * (score + h * move) for score, move in zip(x, way, strict=True)], masses, b)
            columns = ([row[j] for row in rows] for j in range(k))
            return mpmath.fsum(float(w) * mpmath.fdot(P, v) for w, P in zip(weights, columns, strict=True)), b

        # That of the hard assignment.
        b = [mpmath.mpf(0)]
        for j in range(k):
            b.append(b[-1] - (x[j] + x[j + 1]) / mpmath.mpf(temperature))
        here, b = value(0, b)
        above, below = value(step, b)[0], value(-step, b)[0]
        return float((above - below) / (2 * step)), float((above - 2 * here + below) / step**2)

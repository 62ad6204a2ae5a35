"""Naive references of the entmax family: bisection in mpmath, generic quadratic programs; never imports argrad."""

import mpmath
import numpy as np


def entmax(x, alpha, digits=40):
    """Entmax of one row, from the definition: bisection in tau; softmax for alpha = 1. A list of mpmath numbers.

    Small probabilities are roots of numbers that are far smaller, so that tau has the more digits the larger alpha.
    """
    digits = digits + int(3 * max(alpha - 2, 0))
    with mpmath.workdps(digits):
        items = [mpmath.mpf(float(v)) for v in x]
        top = max(items)
        if alpha == 1:
            weights = [mpmath.exp(v - top) for v in items]
            return [w / mpmath.fsum(weights) for w in weights]
        b = mpmath.mpf(float(alpha)) - 1
        items = [b * (v - top) for v in items]

        def probabilities(tau):
            return [(v - tau) ** (1 / b) if v > tau else mpmath.mpf(0) for v in items]

        low, high = mpmath.mpf(-1), mpmath.mpf(0)
        for _ in range(int(digits * 3.4)):
            middle = (low + high) / 2
            if mpmath.fsum(probabilities(middle)) >= 1:
                low = middle
            else:
                high = middle
        p = probabilities(low)
        return [v / mpmath.fsum(p) for v in p]


def omega(p, alpha):
    """The negative entropy, of mpmath numbers."""
    if alpha == 1:
        return mpmath.fsum(v * mpmath.log(v) for v in p if v > 0)
    a = mpmath.mpf(float(alpha))
    return mpmath.fsum(v**a - v for v in p) / (a * (a - 1))


def conjugate(x, alpha, target=None, digits=40):
    """The conjugate of the negative entropy; with a target, a list that sums to 1, its Fenchel-Young loss."""
    with mpmath.workdps(digits):
        p = entmax(x, alpha, digits)
        items = [mpmath.mpf(float(v)) for v in x]
        value = mpmath.fsum(v * z for v, z in zip(p, items, strict=True) if v > 0) - omega(p, alpha)
        if target is None:
            return value
        y = [mpmath.mpf(float(v)) for v in target]
        return value + omega(y, alpha) - mpmath.fsum(v * z for v, z in zip(y, items, strict=True) if v > 0)


def array(numbers):
    """Mpmath numbers as float64."""
    return np.array([float(v) for v in numbers])


def sparsemax(x):
    """Sparsemax of one row by its textbook closed form: a sort; float64."""
    x = np.asarray(x, np.float64)
    z = -np.sort(-x[x > -np.inf])
    sums = np.cumsum(z)
    k = np.flatnonzero(1 + np.arange(1, len(z) + 1) * z > sums)[-1] + 1
    return np.maximum(x - (sums[k - 1] - 1) / k, 0)


def entmax15(x):
    """1.5-entmax of one row by its textbook closed form: a sort, running means and squares; float64."""
    z = np.asarray(x, np.float64) / 2
    z = z - z.max()
    ordered = -np.sort(-z[z > -np.inf])
    n = np.arange(1, len(ordered) + 1)
    mean = np.cumsum(ordered) / n
    spread = np.cumsum(ordered**2) - n * mean**2
    tau = mean - np.sqrt(np.maximum((1 - spread) / n, 0))
    return np.maximum(z - tau[np.flatnonzero(tau <= ordered)[-1]], 0) ** 2


def constrained(x, upper, total=None, digits=40):
    """Softmax under caps, or with a total sparsemax, of one row: bisection in the threshold, from the definition."""
    with mpmath.workdps(digits):
        items, bounds = [mpmath.mpf(float(v)) for v in x], [mpmath.mpf(float(u)) for u in upper]
        live = [v for v in items if v > -mpmath.inf]
        top, goal = max(live), mpmath.mpf(1 if total is None else float(total))

        def point(theta):
            if total is None:
                return [min(mpmath.exp(v - theta), u) for v, u in zip(items, bounds, strict=True)]
            return [min(max(v - theta, mpmath.mpf(0)), u) for v, u in zip(items, bounds, strict=True)]

        low, high = min(live) - goal - 1, top + 1
        while total is None and mpmath.fsum(point(low)) < goal and top - low < 10**6:
            low = 2 * low - top - 1
        high = high + mpmath.log(len(items)) if total is None else high
        for _ in range(int(digits * 3.4) + 40):
            middle = (low + high) / 2
            if mpmath.fsum(point(middle)) >= goal:
                low = middle
            else:
                high = middle
        return point(low)

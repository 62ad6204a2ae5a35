"""Naive references of the entmax family: bisection in mpmath, generic quadratic programs; never imports argrad."""

import mpmath
import numpy as np


def entmax(x, alpha, digits=40):
    """Entmax of one row, from the definition: bisection in tau; softmax for alpha = 1. A list of mpmath numbers."""
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

"""Sums over pairs by loops, in float64."""

import math


def sigmoid(z):
    """1 / (1 + exp(-z)) without overflow."""
    e = math.exp(-abs(z))
    return e / (1 + e) if z < 0 else 1 / (1 + e)


def softplus(z):
    """log(1 + exp(z)) without overflow."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


KERNELS = {"sigmoid": sigmoid, "softplus": softplus}


def pairwise_sum(x, y, weights, kernel, temperature):
    """One list against another: `sum_j weights[j] * kernel((x[i] - y[j]) / temperature)` for each i.

    Equal items differ by 0, infinities too; a weight of 0 adds nothing.
    """
    if any(math.isnan(v) for v in [*x, *y, *weights]):
        return [math.nan] * len(x)
    sums = []
    for a in x:
        terms = [
            w * KERNELS[kernel](0.0 if a == b else (a - b) / temperature)
            for b, w in zip(y, weights, strict=True)
            if w != 0
        ]
        sums.append(math.fsum(terms) if all(map(math.isfinite, terms)) else sum(terms))
    return sums

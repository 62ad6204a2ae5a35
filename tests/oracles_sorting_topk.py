"""Naive references of the soft top-k family, in mpmath and loops; never imports argrad."""

import math

import mpmath
import numpy as np

KINDS = ("logistic", "laplace", "l2", "pnorm", "gaussian", "threshold")


def curve(kind, t, p=4 / 3):
    """F(t) in mpmath."""
    if kind in ("logistic", "threshold"):
        return 1 / (1 + mpmath.exp(-t))
    if kind == "laplace":
        return mpmath.exp(t) / 2 if t < 0 else 1 - mpmath.exp(-t) / 2
    if kind == "gaussian":
        return mpmath.erfc(-t / mpmath.sqrt(2)) / 2
    cut = min(max(t, mpmath.mpf(0)), mpmath.mpf(1))
    return cut if kind == "l2" else cut ** (1 / (mpmath.mpf(p) - 1))


def soft_topk(x, k, kind="logistic", temperature=1.0, p=4 / 3, digits=40):
    """Values of one list of finite items with 0 < k < n, by bisection; mpmath numbers."""
    with mpmath.workdps(digits):
        items = [mpmath.mpf(float(v)) for v in x]
        k, tau = mpmath.mpf(float(k)), mpmath.mpf(float(temperature))
        if kind == "threshold":
            largest = sorted(items, reverse=True)
            theta = (largest[int(k) - 1] + largest[int(k)]) / 2
            return [curve(kind, (v - theta) / tau) for v in items]
        low, high = min(items) - 800 * tau, max(items) + 800 * tau
        for _ in range(40 + int(digits * 3.4)):
            theta = (low + high) / 2
            values = [curve(kind, (v - theta) / tau, p) for v in items]
            if sum(values) > k:
                low = theta
            else:
                high = theta
        return values


def hard_topk(x, k, largest=True):
    """1 for the floor(k) first items, equal items by position."""
    order = sorted(range(len(x)), key=lambda i: (-x[i] if largest else x[i], i))
    y = np.zeros(len(x))
    y[order[: math.floor(k)]] = 1
    return y


def sinkhorn_topk(x, k, epsilon, iterations=200):
    """The same as the logistic mask: n times the plan to the second of two targets 0 and 1, in float64."""
    x = np.asarray(x, np.float64)
    n = len(x)
    logits = -((x[:, None] - np.array([0.0, 1.0])) ** 2) / epsilon
    g = np.zeros(2)
    for _ in range(iterations):
        f = -np.log(n) - np.logaddexp.reduce(logits + g, axis=1)
        g = np.log([(n - k) / n, k / n]) - np.logaddexp.reduce(logits + f[:, None], axis=0)
    return n * np.exp(logits + f[:, None] + g)[:, 1]


def rank(x, descending=False):
    """Ranks from 1, equal items by position."""
    order = sorted(range(len(x)), key=lambda i: (-x[i] if descending else x[i], i))
    ranks = np.empty(len(x))
    ranks[order] = np.arange(1, len(x) + 1)
    return ranks


def blackbox_gradient(x, g, interpolation, descending=False):
    """(rank(x + interpolation g) - rank(x)) / interpolation."""
    ahead = [a + interpolation * b for a, b in zip(x, g, strict=True)]
    return (rank(ahead, descending) - rank(x, descending)) / interpolation

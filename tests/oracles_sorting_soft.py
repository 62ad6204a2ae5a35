"""Naive references for soft ranks and soft sorts, written as loops over one list in float64; never imports argrad."""

import itertools
import math


def block_value(s, w, regularization, p=4 / 3):
    """The dual value of a block: what is taken from s there."""
    if regularization == "l2":
        return math.fsum(s) / len(s) - math.fsum(w) / len(w)
    if regularization == "kl":
        top_s, top_w = max(s), max(w)
        return (
            top_s
            - top_w
            + math.log(math.fsum(math.exp(a - top_s) for a in s) / math.fsum(math.exp(b - top_w) for b in w))
        )
    low, high = min(s) - 1, max(s) + 1
    total = math.fsum(w)
    while math.fsum(psi(a - low, p) for a in s) < total:
        low -= high - low
    while math.fsum(psi(a - high, p) for a in s) > total:
        high += high - low
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if math.fsum(psi(a - middle, p) for a in s) > total else (low, middle)
    return (low + high) / 2


def psi(t, p):
    return math.copysign(abs(t) ** (1 / (p - 1)), t)


def block_points(s, w, regularization, p=4 / 3):
    if len(s) == 1:
        return list(w)
    value = block_value(s, w, regularization, p)
    return [psi(a - value, p) if regularization == "pnorm" else a - value for a in s]


def blocks(s, w, regularization, p=4 / 3):
    """Merge neighbours out of order, anew from the front each time, until there are none. Falling s and w."""
    found = [[i] for i in range(len(s))]
    while True:
        values = [block_value([s[i] for i in b], [w[i] for i in b], regularization, p) for b in found]
        bad = [i for i in range(len(found) - 1) if values[i] <= values[i + 1]]
        if not bad:
            return found
        found[bad[0]] += found.pop(bad[0] + 1)


def project(s, w, regularization, p=4 / 3):
    """Project falling s to the permutahedron of falling w ("kl": logarithms of both)."""
    y = []
    for block in blocks(s, w, regularization, p):
        y += block_points([s[i] for i in block], [w[i] for i in block], regularization, p)
    return y


def soft_rank(x, strength, regularization="l2", *, descending=False, p=4 / 3):
    m = len(x)
    sign = -1 if descending else 1
    order = sorted(range(m), key=lambda i: -sign * x[i])
    s = [sign * x[i] / strength for i in order]
    w = [float(m - i) for i in range(m)]
    y = project(s, [math.log(b) for b in w] if regularization == "kl" else w, regularization, p)
    ranks = [0.0] * m
    for place, i in enumerate(order):
        ranks[i] = math.exp(y[place]) if regularization == "kl" else y[place]
    return ranks


def soft_sort(x, strength, regularization="l2", *, descending=False, p=4 / 3):
    m = len(x)
    sign = 1 if descending else -1
    w = sorted((sign * a for a in x), reverse=True)
    s = [(m - i) / strength for i in range(m)]
    return [sign * a for a in project(s, w, regularization, p)]


def mean_ranks(x):
    """Exact ranks, equal scores sharing the mean of theirs."""
    return [sum(b < a for b in x) + (sum(b == a for b in x) + 1) / 2 for a in x]


def distance(y, s, regularization, p=4 / 3):
    """What the projection of s minimises ("kl": in logarithms)."""
    if regularization == "l2":
        return math.fsum((a - b) ** 2 for a, b in zip(y, s, strict=True)) / 2
    if regularization == "kl":
        return math.fsum(math.exp(a) * (a - b) - math.exp(a) for a, b in zip(y, s, strict=True))
    return math.fsum(abs(a) ** p / p - a * b for a, b in zip(y, s, strict=True))


def best_face(s, w, regularization, p=4 / 3):
    """The nearest of the stationary points on all faces of the permutahedron that lie in it: no pooling involved."""
    n, best = len(s), None
    for cuts in itertools.product((False, True), repeat=n - 1):
        edges = [0, *[i + 1 for i, cut in enumerate(cuts) if cut], n]
        y = []
        for a, b in itertools.pairwise(edges):
            y += block_points(s[a:b], w[a:b], regularization, p)
        if not majorised(y, w, regularization):
            continue
        candidate = distance(y, s, regularization, p), y
        best = candidate if best is None or candidate[0] < best[0] else best
    return best[1]


def majorised(y, w, regularization, slack=1e-9):
    """Whether the largest k of y never sum to more than those of w, and all to the same ("kl": of exponentials)."""
    if regularization == "kl":
        y, w = [math.exp(a) for a in y], [math.exp(a) for a in w]
    size = slack * (1 + math.fsum(map(abs, w)))
    left = right = 0.0
    for a, b in zip(sorted(y, reverse=True), sorted(w, reverse=True), strict=True):
        left, right = left + a, right + b
        if left > right + size:
            return False
    return abs(left - right) <= size

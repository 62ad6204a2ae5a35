"""NeuralSort's matrix and its Sinkhorn scaling, in loops and double precision."""

import itertools

import numpy as np


def matrix(x, temperature=1.0, *, descending=False, mask=None):
    """P of one list: row i is the softmax of (c_i x_j - b_j) / t over the items that count; the other rows are 0."""
    n = len(x)
    kept = [j for j in range(n) if mask is None or mask[j]]
    count = len(kept)
    x = [float(a) for a in x]
    found = np.zeros((n, n))
    for i in range(count):
        c = count + 1 - 2 * (i + 1)
        c = c if descending else -c
        logits = [(c * x[j] - sum(abs(x[j] - x[k]) for k in kept)) / temperature for j in kept]
        top = max(logits)
        exps = [np.exp(a - top) for a in logits]
        for j, e in zip(kept, exps, strict=True):
            found[i, j] = e / sum(exps)
    return found


def off(p):
    """The largest difference from 1 of the sum of a row or column that is not all 0."""
    sums = [s for axis in (0, 1) for s, used in zip(p.sum(axis), p.any(axis), strict=True) if used]
    return max((abs(s - 1) for s in sums), default=0.0)


def scale(p, iterations, tolerance=0.0):
    """Divide columns, then rows, by their sums, until all sums are within the tolerance of 1; and how often."""
    p = p.copy()
    for step in range(iterations):
        if off(p) < tolerance:
            return p, step
        for axis in (0, 1):
            sums = p.sum(axis, keepdims=True)
            p = np.divide(p, sums, out=np.zeros_like(p), where=sums > 0)
    return p, iterations


def lists(x, offsets=None):
    """The pieces of the last dimension, as slices into it, for every row: (row index, slice)."""
    edges = [0, x.shape[-1]] if offsets is None else list(offsets)
    for row in np.ndindex(x.shape[:-1]):
        for a, b in itertools.pairwise(edges):
            yield row, slice(a, b)


def product(x, v, temperature, *, descending=False, transposed=False, mask=None, offsets=None, scaling=None):
    """P V or P^T V for every list; `temperature` has one number per list, in the order of `lists`."""
    y = np.zeros(v.shape)
    temperature = np.asarray(temperature, float).ravel()
    for index, (row, part) in enumerate(lists(x, offsets)):
        p = matrix(
            x[row][part], temperature[index], descending=descending, mask=None if mask is None else mask[row][part]
        )
        p = p if scaling is None else scale(p, *scaling)[0]
        y[row][part] = (p.T if transposed else p) @ v[row][part]
    return y

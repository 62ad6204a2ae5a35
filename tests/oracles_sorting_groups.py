"""Two groups in a sorting network, list by list with a dense P, in float64. Never imports argrad."""

import math

import numpy as np

from oracles_sorting_network import comparators


def tail(name, d, steepness):
    """The weight of the wrong order at the distance d >= 0, without cancellation."""
    v = steepness * d
    if name == "logistic_art":
        v /= (d + 1e-10) ** 0.25
    if name in ("logistic", "logistic_art"):
        return math.exp(-v) / (1 + math.exp(-v))
    if name == "reciprocal":
        return 1 / (2 + v)
    if name == "cauchy":
        return math.atan2(1, v) / math.pi
    if name == "gaussian":
        return math.erfc(v / math.sqrt(2)) / 2
    return 0.5 - v if v <= 0.25 else 1 / (16 * v)


def permutation(x, network, distribution, steepness):
    """P of one list: the rows of the identity mixed as the scores are."""
    values, rows, order = [float(a) for a in x], np.eye(len(x)), list(range(len(x)))
    for layer in comparators(network, len(x)):
        for low, high, *wire in layer:
            if low == "rank":
                order[high] = wire[0]
                continue
            a, b = values[low], values[high]
            w = tail(distribution, abs(b - a), steepness)
            to_low, to_high = (1 - w, w) if a <= b else (w, 1 - w)
            values[low], values[high] = to_low * a + to_high * b, to_high * a + to_low * b
            rows[low], rows[high] = to_low * rows[low] + to_high * rows[high], to_high * rows[low] + to_low * rows[high]
    return rows[order]


def group_order(x, positive, steepness, negatives=None, mask=None, network="odd_even", distribution="cauchy"):
    """Probabilities of the items of one list, 1 where an item takes no part, and how many take part."""
    counted = [i for i in range(len(x)) if mask is None or mask[i]]
    good = sorted((i for i in counted if positive[i]), key=lambda i: x[i])
    bad = sorted((i for i in counted if not positive[i]), key=lambda i: x[i])
    if not good or not bad:
        return np.ones(len(x)), 0
    bad = bad if negatives is None else bad[-negatives:]
    entering = bad + good
    matrix = permutation([x[i] for i in entering], network, distribution, steepness)
    probability = np.ones(len(x))
    for column, item in enumerate(entering):
        places = range(len(bad)) if column < len(bad) else range(len(bad), len(entering))
        probability[item] = math.fsum(matrix[place][column] for place in places)
    return probability, len(entering)


def batch(x, positive, steepness, mask=None, **options):
    """The same for x (*batch, n)."""
    x = np.asarray(x, np.float64)
    probability, count = np.ones(x.shape), np.zeros(x.shape[:-1], np.int64)
    for row in np.ndindex(x.shape[:-1]):
        part = None if mask is None else mask[row]
        probability[row], count[row] = group_order(x[row], positive[row], steepness, mask=part, **options)
    return probability, count


def mean(values, taking):
    """The mean of each list over the items that take part; 0 where none does."""
    return np.where(taking, values, 0).sum(-1) / np.maximum(taking.sum(-1), 1)

"""Naive, loop-written references of the selection stem, and samplers with one planted bug each; no import of argrad."""

import itertools
import math

import numpy as np

from oracles import uniform, word

KEYS, SPACINGS, PERMUTATION, SYSTEMATIC, PIVOTAL, POISSON = range(0x200, 0x206)


# --- draws ----------------------------------------------------------------------------------------------------------


def keys(weights, size, seed):
    """Rows of the `size` smallest E / w in order, and 1 / (1 - exp(-w tau)) with tau the next key."""
    found = []
    for row, w in enumerate(weights):
        if w > 0:
            found.append((-math.log1p(-uniform(seed, KEYS, row)) / w, row))
    found.sort()
    rows = [row for _, row in found[:size]]
    if len(found) == size:
        return rows, [1.0] * size
    return rows, [-1 / math.expm1(-weights[row] * found[size][0]) for row in rows]


def first_above(weights, target):
    """The first row at which the running sum exceeds `target`, or the last positive row."""
    total, last = 0.0, None
    for row, w in enumerate(weights):
        total += w
        if w > 0:
            last = row
            if total > target:
                return row
    return last


def multinomial(weights, size, seed):
    """Independent draws from sorted uniforms, put in the order of one random word each."""
    spacings = [-math.log1p(-uniform(seed, SPACINGS, j)) for j in range(size + 1)]
    whole, below, rows = sum(spacings), 0.0, []
    for j in range(size):
        below += spacings[j]
        rows.append(first_above(weights, below / whole * sum(weights)))
    return [rows[j] for _, j in sorted((word(seed, PERMUTATION, j), j) for j in range(size))]


def systematic_repeated(weights, size, seed):
    """Rows at equal steps of the running sum."""
    u, step = uniform(seed, SYSTEMATIC, 0), sum(weights) / size
    return [first_above(weights, (j + u) * step) for j in range(size)]


def inclusion(weights, size):
    """Raise tau until the probabilities min(1, tau w) sum to `size`."""
    certain = set()
    while True:
        rest = sum(w for row, w in enumerate(weights) if row not in certain)
        tau = (size - len(certain)) / rest if rest > 0 else 0.0
        new = {row for row, w in enumerate(weights) if row not in certain and tau * w >= 1}
        if not new:
            return [1.0 if row in certain else tau * w for row, w in enumerate(weights)]
        certain |= new


def systematic(pi, size, seed):
    """Certain rows, and the others at equal steps of the running sum."""
    certain = [row for row, p in enumerate(pi) if p >= 1]
    rest = [p if p < 1 else 0.0 for p in pi]
    left = size - len(certain)
    return sorted(certain + systematic_repeated(rest, left, seed)) if left else certain


def pivotal(pi, size, seed):
    """One undecided row meets all others in order (Deville and Tille)."""
    chosen, carried = [], None
    for row, p in enumerate(pi):
        if p >= 1:
            chosen.append(row)
        elif p > 0 and carried is None:
            carried = (row, p)
        elif p > 0:
            u, (old, q) = uniform(seed, PIVOTAL, row), carried
            if p + q < 1:
                carried = (old if u < q / (p + q) else row, p + q)
            else:
                old_wins = u < (1 - p) / (2 - p - q)
                chosen.append(old if old_wins else row)
                carried = (row if old_wins else old, p + q - 1)
    if carried is not None and len(chosen) < size:
        chosen.append(carried[0])
    return sorted(chosen)


def poisson(pi, seed):
    """Each row decides alone."""
    return [row for row, p in enumerate(pi) if uniform(seed, POISSON, row) < p]


def successive_law(weights, size):
    """Probability of every ordered tuple of rows under successive draws without replacement; rows in base n."""
    n = len(weights)
    law = np.zeros(n**size)
    for rows in itertools.permutations(range(n), size):
        p, left = 1.0, sum(weights)
        for row in rows:
            p *= weights[row] / left if left > 0 else 0.0
            left -= weights[row]
        law[cell(rows, n)] = p
    return law


def repeated_law(weights, size):
    """Probability of every ordered tuple of independent draws."""
    n, total = len(weights), sum(weights)
    law = np.zeros(n**size)
    for rows in itertools.product(range(n), repeat=size):
        law[cell(rows, n)] = math.prod(weights[row] / total for row in rows)
    return law


def cell(rows, n):
    """The number of an ordered tuple."""
    number = 0
    for row in rows:
        number = number * n + int(row)
    return number


def wrong_sampler(mutant, weights, size, rng):
    """Successive draws without replacement, with one bug."""
    w, rows = np.array(weights, dtype=float), []
    for _ in range(size):
        if mutant == "uniform":
            p = (w > 0) / (w > 0).sum()
        elif mutant == "square":
            p = w**2 / (w**2).sum()
        else:
            p = w / w.sum()
        at = int(np.searchsorted(np.cumsum(p), rng.random(), side="right"))
        row = min(at + (mutant == "shifted"), len(w) - 1)
        rows.append(row)
        if mutant != "repeats":
            w[row] = 0.0
    return rows


# --- scores ---------------------------------------------------------------------------------------------------------


def shrunken_means(losses, labels, k, sizes, mass):
    """Empirical Bayes: (r m + kappa mean) / (r + kappa) with kappa = s_w^2 / s_b^2, by loops over clusters."""
    groups = [[x for x, label in zip(losses, labels, strict=True) if label == c] for c in range(k)]
    means = [sum(g) / len(g) for g in groups]
    common = sum(m * a for m, a in zip(means, mass, strict=True)) / sum(mass)
    variances = [sum((x - m) ** 2 for x in g) / (len(g) - 1) for g, m in zip(groups, means, strict=True) if len(g) > 1]
    within = sum(variances) / len(variances)
    centre = sum(means) / k
    between = sum((m - centre) ** 2 for m in means) / (k - 1) - within * sum(1 / len(g) for g in groups) / k
    result = []
    for group, m, size in zip(groups, means, sizes, strict=True):
        if len(group) == size:
            result.append(m)
        elif between <= 0:
            result.append(common)
        else:
            kappa = within / between
            result.append((len(group) * m + kappa * common) / (len(group) + kappa))
    return result, max(between, 0.0) / (within + max(between, 0.0))


def mixture(proxies, labels, spread, holder, a, mix):
    """(1 - mix) q / sum q + mix a / sum a."""
    q = [a[i] * (proxies[labels[i]] + holder * spread[i]) for i in range(len(labels))]
    return [(1 - mix) * q[i] / sum(q) + mix * a[i] / sum(a) for i in range(len(q))]


# --- estimates ------------------------------------------------------------------------------------------------------


def totals(selection, losses):
    """All four estimates of the total, by loops over the selected rows."""
    w, s, a, p, labels = parts(selection)
    rows, mass = selection.indices, sum(a)
    ht = sum(w[j] * losses[j] for j in range(len(w)))
    result = {"ht": ht, "hajek": mass * ht / sum(w)}
    if selection.proxies is not None:
        lhat = selection.proxies
        result["difference"] = sum(a[i] * lhat[labels[i]] for i in range(len(a))) + sum(
            w[j] * (losses[j] - lhat[labels[rows[j]]]) for j in range(len(w))
        )
    share = 1.0 if selection.draw == "iid" else 1 / s
    h = [a[i] / (mass * p[i] * share) - 1 for i in rows]
    y = [losses[j] * (h[j] + 1) for j in range(len(w))]
    b = np.polyfit(h, y, 1)[0] if max(h) - min(h) > 1e-9 else 0.0
    result["regression"] = mass * b + sum(w[j] * (losses[j] - b) for j in range(len(w)))
    known = {"ht": [0.0] * len(w), "hajek": [ht / sum(w)] * len(w), "regression": [b] * len(w)}
    if selection.proxies is not None:
        known["difference"] = [lhat[labels[i]] for i in rows]
    return result, {
        name: variance(selection, [x - c for x, c in zip(losses, c, strict=True)]) for name, c in known.items()
    }


def parts(selection):
    """Weights, sample size, sample weights, probabilities and labels as lists."""
    a = selection.sample_weight
    a = [1.0] * len(selection.labels) if a is None else a.tolist()
    return (
        selection.weights.tolist(),
        selection.n_select,
        a,
        selection.probabilities.tolist(),
        selection.labels.tolist(),
    )


def variance(selection, e):
    """The variance formulas, literally."""
    w, _, a, p, labels = parts(selection)
    rows, count = selection.indices.tolist(), len(e)
    if selection.draw == "iid":
        estimates = [count * w[j] * e[j] for j in range(count)]
        mean = sum(estimates) / count
        return sum((x - mean) ** 2 for x in estimates) / (count * (count - 1))
    if selection.draw == "poisson":
        return sum((1 - p[rows[j]]) * (w[j] * e[j]) ** 2 for j in range(count))
    if selection.draw == "stratified":
        return sum(stratum(c, rows, labels, a, e) for c in sorted(set(labels)))
    chance = [j for j in range(count) if p[rows[j]] < 1]
    total = 0.0
    for before, j in itertools.pairwise(chance):
        total += (1 - p[rows[j]]) * (w[j] * e[j] - w[before] * e[before]) ** 2
    return len(chance) / (2 * (len(chance) - 1)) * total


def stratum(cluster, rows, labels, a, e):
    """One cluster's part; every cluster has two selected rows here."""
    y = [a[row] * e[j] for j, row in enumerate(rows) if labels[row] == cluster]
    n = sum(1 for i, label in enumerate(labels) if label == cluster and a[i] > 0)
    mean = sum(y) / len(y)
    return n**2 * (1 - len(y) / n) * sum((x - mean) ** 2 for x in y) / (len(y) - 1) / len(y)

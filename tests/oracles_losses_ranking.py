"""Naive, loop-written references of the ranking losses in float64, one list at a time; no import of argrad.

Each takes the inputs and options of its loss as lists and numbers, without the items that do not count, and returns the
value of the list, or None when there is nothing to rank.
"""

import math


def neuralsort(scores, temperature):
    """P, rows from the largest down."""
    n = len(scores)
    spread = [sum(abs(a - b) for b in scores) for a in scores]
    rows = []
    for r in range(1, n + 1):
        logits = [((n + 1 - 2 * r) * scores[j] - spread[j]) / temperature for j in range(n)]
        largest = max(logits)
        terms = [math.exp(x - largest) for x in logits]
        rows.append([x / sum(terms) for x in terms])
    return rows


def sinkhorn(p, iterations, tolerance):
    """Columns, then rows, until every sum is 1 up to the tolerance."""
    n = len(p)
    for _ in range(iterations):
        sums = [sum(p[r][i] for r in range(n)) for i in range(n)]
        p = [[p[r][i] / sums[i] for i in range(n)] for r in range(n)]
        p = [[x / sum(row) for x in row] for row in p]
        off = [abs(sum(row) - 1) for row in p] + [abs(sum(p[r][i] for r in range(n)) - 1) for i in range(n)]
        if max(off) < tolerance:
            break
    return p


def neural_ndcg(
    scores,
    relevance,
    k=None,
    temperature=1.0,
    transposed=False,
    max_iterations=30,
    tolerance=1e-6,
    gain="exponential",
):
    n = len(scores)
    gains = [2.0**y - 1 if gain == "exponential" else float(y) for y in relevance]
    discount = [1 / math.log2(1 + r) if k is None or r <= k else 0.0 for r in range(1, n + 1)]
    ideal = sum(d * g for d, g in zip(discount, sorted(gains, reverse=True), strict=True))
    if ideal == 0:
        return None
    p = sinkhorn(neuralsort(scores, temperature), max_iterations, tolerance)
    if transposed:
        return -sum(gains[i] * sum(p[r][i] * discount[r] for r in range(n)) for i in range(n)) / ideal
    return -sum(discount[r] * sum(p[r][i] * gains[i] for i in range(n)) for r in range(n)) / ideal


def lcron(scores, target, state, quotas, k=10, temperature=50.0, at=None):
    """`at`: inputs at which the column sums are taken, which are constants to the gradient."""
    n, constant = len(target), scores if at is None else at[0]
    if isinstance(target[0] if n else True, bool):
        found = {i for i in range(n) if target[i]}
    else:
        found = set(sorted(range(n), key=lambda i: (-target[i], i))[:k])
    if not found:
        return None
    kept, dropped = [], []
    for stage, fixed, quota in zip(scores, constant, quotas, strict=True):
        p = neuralsort(stage, temperature)
        column = [sum(row[i] for row in neuralsort(fixed, temperature)) + 1e-6 for i in range(n)]
        kept.append([sum(p[r][i] for r in range(min(quota, n))) / column[i] for i in range(n)])
        dropped.append([sum(p[r][i] for r in range(quota, n)) / column[i] for i in range(n)])
    value = 0.0
    for i in range(n):
        if i in found:
            value -= math.log(math.prod(a[i] for a in kept) + 1e-6) / n
        else:
            value -= math.log(1 - math.prod(1 - b[i] for b in dropped) + 1e-6) / n
    for a, b, w, quota in zip(kept, dropped, state, quotas, strict=True):
        single = 0.0
        for i in range(n):
            single -= math.log((a[i] if i in found else b[i]) + 1e-6) / n
        value += (single if n > quota else 0.0) / (2 * w * w) + math.log(abs(w))
    return value


def odd_even(scores, steepness):
    """P of the odd-even network with Cauchy's comparators, rows from the smallest up."""
    n = len(scores)
    wires, rows = list(scores), [[float(i == j) for j in range(n)] for i in range(n)]
    for layer in range(n):
        for a in range(layer % 2, n - 1, 2):
            f = math.atan(steepness * (wires[a + 1] - wires[a])) / math.pi + 0.5
            low, high = wires[a], wires[a + 1]
            wires[a], wires[a + 1] = f * low + (1 - f) * high, (1 - f) * low + f * high
            first, second = rows[a], rows[a + 1]
            rows[a] = [f * x + (1 - f) * y for x, y in zip(first, second, strict=True)]
            rows[a + 1] = [(1 - f) * x + f * y for x, y in zip(first, second, strict=True)]
    return rows


def groco(scores, positive, negatives=10, steepness=1.0):
    good = sorted(s for s, y in zip(scores, positive, strict=True) if y > 0)
    bad = sorted(s for s, y in zip(scores, positive, strict=True) if not y > 0)
    bad = bad if negatives is None else bad[-negatives:]
    if not good or not bad:
        return None
    p, n = odd_even(bad + good, steepness), len(bad) + len(good)
    value = 0.0
    for i in range(n):
        chance = sum(p[r][i] for r in range(len(bad), n))
        value -= math.log(chance if i >= len(bad) else 1 - chance) / n
    return value


def topk_cross_entropy(scores, target, weights, candidates=16, top1="softmax", steepness=2.0, ignore_index=-100):
    if target == ignore_index:
        return None
    others = sorted((s for i, s in enumerate(scores) if i != target), reverse=True)
    x = [scores[target], *others[: candidates - 1]]
    p, n = odd_even(x, steepness), len(x)
    softmax = math.exp(x[0]) / sum(math.exp(s) for s in x)
    chance = 0.0
    for number, share in enumerate(weights, start=1):
        if number == 1 and top1 != "network":
            chance += share * softmax if top1 == "softmax" else 0.0
        else:
            chance += share * sum(p[n - r][0] for r in range(1, number + 1))
    value = -math.log(chance * (1 - 2e-7) + 1e-7)
    return value if top1 != "cross_entropy" else -weights[0] * math.log(softmax) + (1 - weights[0]) * value


def mann_whitney(scores, target, temperature=1.0):
    good = [s for s, y in zip(scores, target, strict=True) if y > 0]
    bad = [s for s, y in zip(scores, target, strict=True) if not y > 0]
    if not good or not bad:
        return None
    total = 0.0
    for s in good:
        for t in bad:
            margin = (t - s) / temperature
            total += max(margin, 0) + math.log1p(math.exp(-abs(margin)))
    return total / (len(good) * len(bad))


def soft_rank(scores, strength):
    """Ascending soft ranks: the projection onto the permutahedron, by pooling adjacent violators."""
    n = len(scores)
    order = sorted(range(n), key=lambda i: -scores[i])
    excess = [scores[i] / strength - (n - place) for place, i in enumerate(order)]
    blocks = []
    for place in range(n):
        blocks.append([place])
        while len(blocks) > 1 and _mean(excess, blocks[-2]) <= _mean(excess, blocks[-1]):
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    ranks = [0.0] * n
    for block in blocks:
        for place in block:
            ranks[order[place]] = scores[order[place]] / strength - _mean(excess, block)
    return ranks


def _mean(values, places):
    return sum(values[place] for place in places) / len(places)


def spearman(scores, target, strength=1.0):
    n = len(scores)
    hard = [sum(t < s for t in target) + (sum(t == s for t in target) + 1) / 2 for s in target]
    if len(set(target)) < 2:
        return None
    soft = soft_rank(scores, strength)
    a = [x - sum(soft) / n for x in soft]
    b = [x - sum(hard) / n for x in hard]
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

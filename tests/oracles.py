"""Naive, loop-written references. They follow the definitions, not the fast algorithms, and never import argrad."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
MASK = 0xFFFFFFFF


# --- random numbers -------------------------------------------------------------------------------------------------


def philox4x32(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 (Salmon et al. 2011) on Python integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        low, high = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = high >> 32 ^ c1 ^ k0, high & MASK, low >> 32 ^ c3 ^ k1, low & MASK
        k0, k1 = k0 + 0x9E3779B9 & MASK, k1 + 0xBB67AE85 & MASK
    return [c0, c1, c2, c3]


def word(seed: int, stream: int, index: int) -> int:
    """The 64-bit word `index` of a stream: two words a block, the seed as key, the stream as upper half counter."""
    block = index // 2
    a, b, c, d = philox4x32([block & MASK, block >> 32, stream & MASK, stream >> 32], [seed & MASK, seed >> 32])
    return a | b << 32 if index % 2 == 0 else c | d << 32


def uniform(seed: int, stream: int, index: int) -> float:
    """A multiple of 2**-53 in [0, 1)."""
    return (word(seed, stream, index) >> 11) * 2.0**-53


def below(seed: int, stream: int, index: int, n: int) -> int:
    """An integer in 0..n-1."""
    return word(seed, stream, index) * n >> 64


# --- the canonical squared distance ---------------------------------------------------------------------------------


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its exact error (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded float64 product and its exact error (Dekker, Veltkamp); away from overflow and underflow."""
    p = a * b
    t, v = a * 134217729.0, b * 134217729.0
    a_high, b_high = t - (t - a), v - (v - b)
    a_low, b_low = a - a_high, b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def odd_sum(a: Array, b: Array) -> Array:
    """The float64 sum rounded to odd: a later rounding to fewer bits is then the rounding of the exact sum."""
    s, error = two_sum(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    even = (s.view(np.int64) & 1) == 0
    return np.where((error != 0) & even, np.nextafter(s, np.where(error > 0, np.inf, -np.inf)), s)


def fma(a: Array, b: Array, c: Array) -> Array:
    """`a * b + c` rounded once, in the dtype of the arguments (float32 or float64)."""
    if a.dtype == np.float32:
        # The product of two 24-bit numbers is exact in float64.
        return odd_sum(a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)).astype(np.float32)
    u, u_error = two_product(a, b)
    t, t_error = two_sum(np.asarray(c), u_error)
    v, v_error = two_sum(u, t)
    return v + odd_sum(t_error, v_error)


def canon(x: Array, centers: Array) -> Array:
    """The library's squared distance of every row of `x` to every row of `centers`, bit by bit.

    Lane l of 16 (float32) or 8 (float64) takes the coordinates j = l (mod lanes) by fused multiply-add, then the lanes
    are folded in halves.
    """
    lanes = 16 if x.dtype == np.float32 else 8
    sums = [np.zeros((len(x), len(centers)), dtype=x.dtype) for _ in range(lanes)]
    for j in range(x.shape[1]):
        difference = x[:, j, None] - centers[None, :, j]
        sums[j % lanes] = fma(difference, difference, sums[j % lanes])
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [sums[lane] + sums[lane + half] for lane in range(half)]
    return sums[0]


def squared_distance(x: Array, c: Array) -> float:
    """The plain definition, in float64."""
    return float(sum((float(a) - float(b)) ** 2 for a, b in zip(x, c, strict=True)))


def squared_distances(x: Array) -> Array:
    """All pairs of rows, in float64; exact for small integer coordinates."""
    return np.array([[squared_distance(a, b) for b in x] for a in x])


def nearest(x: Array, centers: Array) -> tuple[NDArray[np.intp], Array]:
    """The nearest centre of every row by `canon`, ties to the lowest index, and its squared distance."""
    best, label = np.full(len(x), np.inf, dtype=x.dtype), np.zeros(len(x), dtype=np.intp)
    for c in range(len(centers)):
        distance = canon(x, centers[c : c + 1])[:, 0]
        closer = distance < best
        best, label = np.where(closer, distance, best), np.where(closer, c, label)
    return label, best


def potential(x: Array, centers: Array, weights: Array | None = None) -> float:
    """The weighted sum of squared distances to the nearest centre, in float64."""
    best = np.full(len(x), np.inf)
    for center in centers.astype(np.float64):
        best = np.minimum(best, ((x.astype(np.float64) - center) ** 2).sum(axis=1))
    return float(best.sum() if weights is None else (best * weights).sum())


# --- k-means++ and its laws -----------------------------------------------------------------------------------------


def d2_law(distances: Array, weights: Array, chosen: list[int]) -> Array:
    """The law of the next centre: in proportion to weight times squared distance to the chosen."""
    mass = np.array([w * min(row[c] for c in chosen) for w, row in zip(weights, distances, strict=True)])
    return mass / mass.sum()


def plain_law(distances: Array, weights: Array, k: int) -> Array:
    """The probability of every ordered tuple of k centres under k-means++, an array of shape (n,) * k."""
    n = len(distances)
    law = np.zeros((n,) * k)
    for chosen in product(range(n), repeat=k):
        p = weights[chosen[0]] / weights.sum()
        for step in range(1, k):
            if p == 0:
                break
            p *= d2_law(distances, weights, list(chosen[:step]))[chosen[step]]
        law[chosen] = p
    return law


def best_candidate(distances: Array, weights: Array, chosen: list[int], candidates: list[int]) -> int:
    """The candidate that leaves the smallest potential, the earliest at ties."""
    costs = []
    for candidate in candidates:
        rows = [w * min(row[c] for c in [*chosen, candidate]) for w, row in zip(weights, distances, strict=True)]
        costs.append(sum(rows))
    return candidates[costs.index(min(costs))]


def greedy_law(distances: Array, weights: Array, k: int, trials: int) -> Array:
    """The probability of every ordered tuple of k centres under greedy k-means++: all candidate tuples enumerated."""
    n = len(distances)
    steps: dict[tuple[int, ...], Array] = {}
    law = np.zeros((n,) * k)
    for chosen in product(range(n), repeat=k):
        p = weights[chosen[0]] / weights.sum()
        for step in range(1, k):
            if p == 0:
                break
            before = chosen[:step]
            if before not in steps:
                steps[before] = greedy_step(distances, weights, list(before), trials)
            p *= steps[before][chosen[step]]
        law[chosen] = p
    return law


def greedy_step(distances: Array, weights: Array, chosen: list[int], trials: int) -> Array:
    """The law of the next centre of greedy k-means++."""
    single, law = d2_law(distances, weights, chosen), np.zeros(len(distances))
    support = np.flatnonzero(single).tolist()
    for candidates in product(support, repeat=trials):
        law[best_candidate(distances, weights, chosen, list(candidates))] += np.prod(single[list(candidates)])
    return law


def kmeans_plusplus(
    x: Array, weights: Array, k: int, rng: np.random.Generator, trials: int = 1
) -> tuple[list[int], float]:
    """k-means++ by k passes; greedy for more than one trial. Returns the indices and the potential."""
    x = x.astype(np.float64)
    chosen = [int(rng.choice(len(x), p=weights / weights.sum()))]
    best = ((x - x[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < k:
        mass = weights * best
        candidates = rng.choice(len(x), size=trials, p=mass / mass.sum())
        updates = [np.minimum(best, ((x - x[c]) ** 2).sum(axis=1)) for c in candidates]
        costs = [float((weights * update).sum()) for update in updates]
        winner = costs.index(min(costs))
        chosen.append(int(candidates[winner]))
        best = updates[winner]
    return chosen, float((weights * best).sum())


def expected_proposals(x: Array, chosen: list[int], envelope: float) -> tuple[float, float]:
    """Mean and variance of the number of proposals of a frozen envelope of sum `envelope`, given the drawn centres."""
    mean = variance = 0.0
    for step in range(1, len(chosen)):
        p = potential(x, x[chosen[:step]]) / envelope
        mean += 1 / p
        variance += (1 - p) / p**2
    return mean, variance


# --- seeding, draw by draw, with the library's random numbers ---------------------------------------------------------

FIRST, PROPOSAL, ACCEPT, UNIFORM, TRIAL = 0x100, 0x101, 0x102, 0x104, 0x105


def inverse(mass: Array, u: float) -> int:
    """The row at `u` of the inverse cumulative distribution."""
    return int(np.searchsorted(np.cumsum(mass), u * mass.sum(), side="right"))


def seed_by_passes(x: Array, weights: Array, k: int, seed: int) -> list[int]:
    """The method "pass"."""
    chosen = [inverse(weights, uniform(seed, FIRST, 0))]
    while len(chosen) < k:
        mass = weights * nearest(x, x[chosen])[1].astype(np.float64)
        chosen.append(inverse(mass, uniform(seed, PROPOSAL, len(chosen) - 1)))
    return chosen


def seed_greedily(x: Array, weights: Array, k: int, seed: int, trials: int) -> list[int]:
    """The method "greedy"."""
    chosen, drawn = [inverse(weights, uniform(seed, FIRST, 0))], 0
    while len(chosen) < k:
        mass = weights * nearest(x, x[chosen])[1].astype(np.float64)
        candidates = [inverse(mass, uniform(seed, TRIAL, drawn + trial)) for trial in range(trials)]
        drawn += trials
        costs = [(weights * nearest(x, x[[*chosen, c]])[1].astype(np.float64)).sum() for c in candidates]
        chosen.append(candidates[int(np.argmin(costs))])
    return chosen


def seed_by_rejection(x: Array, weights: Array, k: int, seed: int, most: int | None = None) -> tuple[list[int], int]:
    """The method "rejection", one proposal at a time: the chosen rows and the number of proposals."""
    mean = (weights[:, None] * x.astype(np.float64)).sum(axis=0) / weights.sum()
    norms = canon(x, mean.astype(x.dtype)[None])[:, 0].astype(np.float64)
    chosen = [inverse(weights, uniform(seed, FIRST, 0))]
    bounds = 2 * (norms + norms[chosen[0]])
    proposals = failures = fills = 0
    while len(chosen) < k:
        row = inverse(weights * bounds, uniform(seed, PROPOSAL, proposals))
        limit = uniform(seed, ACCEPT, proposals) * bounds[row]
        proposals, failures = proposals + 1, failures + 1
        if canon(x[row][None], x[chosen]).min() > limit:
            chosen.append(row)
            failures = 0
        elif failures == most:
            chosen.append(inverse(weights, uniform(seed, UNIFORM, fills)))
            failures, fills = 0, fills + 1
    return chosen, proposals


# --- coresets -------------------------------------------------------------------------------------------------------


def lightweight_law(x: Array, weights: Array) -> Array:
    """The sampling law of a lightweight coreset: half by weight, half by weighted squared distance to the mean."""
    x, total = x.astype(np.float64), weights.sum()
    mean = (weights[:, None] * x).sum(axis=0) / total
    spread = np.array([w * squared_distance(row, mean) for row, w in zip(x, weights, strict=True)])
    return weights / total if spread.sum() == 0 else 0.5 * weights / total + 0.5 * spread / spread.sum()


def lightweight_coreset(x: Array, weights: Array, m: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Array]:
    """Rows and weights of a lightweight coreset of m draws with replacement."""
    law = lightweight_law(x, weights)
    rows = rng.choice(len(x), size=m, p=law)
    return rows, weights[rows] / (m * law[rows])

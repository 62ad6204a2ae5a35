"""Simulators of k-means++ seeding, many runs at once, correct and with one planted bug each.

The law harness must accept the correct ones and reject every mutant; otherwise its verdict on the library is worth
nothing. `reject` is batched envelope rejection, `scan` the classical pass with an inverse cumulative distribution.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Rows = NDArray[np.integer]
CHUNK = 100_000

REJECTION_MUTANTS = ("distance", "uniform", "frozen", "shifted", "tighten_inside", "reused")
SCAN_MUTANTS = ("distance", "uniform", "frozen", "shifted")


def counts_of(
    simulate: Callable[..., Rows], distances: Array, weights: Array, k: int, runs: int, seed: int, **options: object
) -> NDArray[np.int64]:
    """Counts of all ordered tuples, the first centre most significant."""
    rng, n = np.random.default_rng(seed), len(weights)
    counts = np.zeros(n**k, dtype=np.int64)
    for start in range(0, runs, CHUNK):
        chosen = simulate(distances, weights, k, min(CHUNK, runs - start), rng, **options)
        counts += np.bincount(chosen @ n ** np.arange(k - 1, -1, -1), minlength=n**k)
    return counts


def draw(mass: Array, uniforms: Array, shifted: bool = False) -> Rows:
    """One row per run by the inverse cumulative distribution; the mutant is off by one."""
    cumulative = np.cumsum(mass, axis=1)
    rows = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(axis=1)
    return np.minimum(rows + shifted, mass.shape[1] - 1)


def first_centers(weights: Array, runs: int, rng: np.random.Generator) -> Rows:
    """First centres in proportion to the weights."""
    return draw(np.broadcast_to(weights, (runs, len(weights))), rng.random(runs))


def scan(
    distances: Array, weights: Array, k: int, runs: int, rng: np.random.Generator, mutant: str | None = None
) -> Rows:
    """k-means++ by passes over all rows."""
    distances = np.sqrt(distances) if mutant == "distance" else distances
    chosen = np.empty((runs, k), dtype=np.int64)
    chosen[:, 0] = first_centers(weights, runs, rng)
    best = distances[chosen[:, 0]]
    for step in range(1, k):
        rows = draw(best * weights, rng.random(runs), mutant == "shifted")
        chosen[:, step] = mixed(rows, len(weights), rng) if mutant == "uniform" else rows
        if mutant != "frozen":
            best = np.minimum(best, distances[chosen[:, step]])
    return chosen


def mixed(rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """Replace one row in a hundred by a uniform one."""
    return np.where(rng.random(len(rows)) < 0.01, rng.integers(0, n, len(rows)), rows)


def reject(
    distances: Array,
    weights: Array,
    k: int,
    runs: int,
    rng: np.random.Generator,
    batch: int = 4,
    mutant: str | None = None,
) -> Rows:
    """Batched envelope rejection with tightening between batches."""
    distances = np.sqrt(distances) if mutant == "distance" else distances
    result = np.empty((runs, k), dtype=np.int64)
    state = {
        "run": np.arange(runs),
        "chosen": np.tile(first_centers(weights, runs, rng)[:, None], k),
        "count": np.ones(runs, dtype=np.int64),
    }
    state["bound"] = distances[state["chosen"][:, 0]]
    state["best"] = state["bound"].copy()
    while len(state["run"]):
        one_batch(state, distances, weights, k, batch, rng, mutant)
        done = state["count"] == k
        result[state["run"][done]] = state["chosen"][done]
        state = {name: values[~done] for name, values in state.items()}
    return result


def one_batch(
    state: dict[str, NDArray],
    distances: Array,
    weights: Array,
    k: int,
    batch: int,
    rng: np.random.Generator,
    mutant: str | None,
) -> None:
    """Draw a batch of proposals from the bounds as they stand, resolve them in order, then lower the bounds."""
    bound, best, chosen, count = state["bound"], state["best"], state["chosen"], state["count"]
    every, lowered = np.arange(len(count)), bound.copy()
    mass = bound * weights
    for proposal in rng.random((batch, len(count))):
        rows = draw(mass, proposal, mutant == "shifted")
        accept = proposal if mutant == "reused" else rng.random(len(count))
        judge = lowered if mutant == "tighten_inside" else bound
        open_ = count < k
        taken = open_ & (best[every, rows] > accept * judge[every, rows])
        lower = every[open_ & ~taken]
        lowered[lower, rows[lower]] = np.minimum(lowered[lower, rows[lower]], best[lower, rows[lower]])
        new = every[taken]
        accepted = mixed(rows[new], len(weights), rng) if mutant == "uniform" else rows[new]
        chosen[new, count[new]] = accepted
        count[new] += 1
        if mutant != "frozen":
            best[new] = np.minimum(best[new], distances[accepted])
            lowered[new, accepted] = 0
    bound[:] = lowered

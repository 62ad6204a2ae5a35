"""Lloyd's k-means on a device."""

import struct
from typing import Any, NamedTuple

from argrad import _array, _cuda, _radix
from argrad.seeding._device import MOST_BLOCKS, nearest
from argrad.seeding._device_plusplus import BLOCK_ROWS, Seeder, word

FILE = "seeding_lloyd"
EMPTY = 0x108
"""The stream of random numbers of new centers, as `rust/core/src/seeding/mod.rs` has it."""


class Assigned(NamedTuple):
    """An assignment, and what the host has read of it."""

    labels: Any
    squares: Any
    potential: float
    moved: bool


def lloyd(
    X: Any, weights: Any, centers: Any, max_iter: int, tol: float, seed: int
) -> tuple[Any, Any, float, int] | None:
    """Improve the centers as the native function does; None for bad numbers, which that function tells."""
    seeder = Seeder(X, weights, centers.shape[0], seed)
    if weights is not None and not seeder.weights_are_good():
        return None
    now = _assign(seeder, centers, None)
    iterations = 0
    while now is not None and iterations < max_iter:
        moved = _means(seeder, centers, now, iterations)
        after = _assign(seeder, moved, now.labels)
        if after is None:
            return None
        if after.potential > now.potential:
            break  # rounding: the centers at hand are already optimal to the last bits
        iterations += 1
        settled = not after.moved or now.potential - after.potential <= tol * now.potential
        centers, now = moved, after
        if settled:
            break
    return None if now is None else (centers, now.labels, now.potential, iterations)


def _assign(seeder: Seeder, centers: Any, before: Any) -> Assigned | None:
    """Find the nearest centers and wait for their potential; None for bad numbers."""
    X, n, blocks = seeder.X, seeder.n, seeder.row_blocks
    labels, squares, extent = nearest(X, centers, None)
    sums, progress = _cuda.empty((blocks,), "float64", X), _cuda.full((2,), 0, "int64", X)
    args = (squares, seeder.weights, labels, labels if before is None else before, sums, progress, n)
    seeder.launch("sum_squares<T>", min(blocks, MOST_BLOCKS), 256, *args, file=FILE)
    seeder.launch("add_potential<T>", 1, 256, sums, extent, progress, blocks, file=FILE)
    potential, moved, bad = struct.unpack("=dII", _array.to_host(progress).tobytes())
    return None if bad else Assigned(labels, squares, potential, bool(moved))


def _sorted(seeder: Seeder, labels: Any) -> tuple[Any, Any]:
    """Return the labels in ascending order and their rows, equal ones in the order of the rows."""
    X, n = seeder.X, seeder.n
    ends = _cuda.full((2,), 0, "int64", X)
    ends[1] = n
    keys = labels + 0, _cuda.empty((n,), "int64", X)  # a copy, because the sort overwrites it
    rows = _cuda.empty((n,), "int32", X), _cuda.empty((n,), "int32", X)
    return _radix.sort(keys, rows, ends, 1, n, bits=max((seeder.k - 1).bit_length(), 1))


def _means(seeder: Seeder, centers: Any, now: Assigned, iteration: int) -> Any:
    """Return the mean of each cluster, or a new center where it has no weight."""
    X, weights, n, d, k, walk = seeder.X, seeder.weights, seeder.n, seeder.d, seeder.k, seeder.walk
    groups, blocks, before = seeder.sums
    means, empty = _cuda.empty((k, d), _array.computed(X), X), _cuda.empty((k,), "int32", X)
    by_cluster = _sorted(seeder, now.labels)
    seeder.launch("means<T>", k, 128, X, *by_cluster, weights, centers, means, empty, walk, n, d, file=FILE)
    # The sums of an envelope, if a cluster is empty.
    fill = 2 * _cuda.processors(X)
    seeder.launch("sum_groups<T>", fill, 256, walk, now.squares, weights, groups, None, n)
    seeder.launch("sum_blocks", fill, 256, walk, groups, blocks, None, n)
    seeder.launch("sum_prefix", 1, 256, blocks, before, walk, -(-n // BLOCK_ROWS), 1)
    args = (X, now.squares, groups, blocks, before, weights, walk, empty, means, word(seeder.seed), EMPTY, iteration)
    seeder.launch("reseed_empty<T>", -(-k // 8), 256, *args, n, d, k, file=FILE)
    return means

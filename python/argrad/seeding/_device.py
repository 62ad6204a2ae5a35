"""Rows against given centers on a device."""

from typing import Any

from argrad import _array, _cuda
from argrad._array import Array

FILE = "seeding"
RANGE_WORDS = 3
TILE = 32
TILE_THREADS = 256
SUMMED = 1024
MOST_BLOCKS = 1 << 20
"""Rows of a tile, the threads of its block, and the rows that one block sums, as in the sources; and the blocks of a
launch, whose rows go on past them."""


def per_item(count: int, like: Array) -> int:
    """Return the blocks of 256 threads, one thread an item, that fill the device."""
    return min(-(-count // 256), 16 * _cuda.processors(like))


def together(X: Any, centers: Any) -> tuple[Any, Any]:
    """Return both in one type of storage: half precision beside single precision is widened."""
    return (X, centers) if X.dtype == centers.dtype else (_cuda.widen(X), _cuda.widen(centers))


def nearest(X: Any, centers: Any, fault: Any) -> tuple[Any, Any, Any]:
    """Return the labels (-1 for none), the squares times that of a scale, and what tells that scale."""
    (n, d), k, number = X.shape, centers.shape[0], _cuda.number(X)
    labels, squares = _cuda.empty((n,), "int64", X), _cuda.empty((n,), _array.computed(X), X)
    extent = _cuda.full((RANGE_WORDS,), 0, "int64", X)
    tiles = min(-(-n // TILE), MOST_BLOCKS)
    _cuda.launch(X, FILE, f"check_finite<{number}>", per_item(k * d, X), 256, centers, extent, k * d, fault)
    for turn in range(2):
        if turn:
            for rows in (X, centers):
                count = rows.shape[0] * d
                name = f"measure_reach<{number}>"
                _cuda.launch(X, FILE, name, per_item(count, X), 256, rows, centers, None, extent, count, d)
        name, block = f"assign<{number}>", TILE_THREADS
        _cuda.launch(X, FILE, name, tiles, block, X, centers, labels, squares, extent, n, k, d, turn)
    return labels, squares, extent


def assign(X: Any, centers: Any, *, root: bool, none: int, fault: Any) -> tuple[Any, Any]:
    """Return the labels and the squares, or with `root` the distances; `none` is the label of rows without any."""
    n, kind = X.shape[0], "double" if _array.computed(X) == "float64" else "float"
    labels, squares, extent = nearest(X, centers, fault)
    name = f"finish_assign<{kind}>"
    _cuda.launch(X, FILE, name, per_item(n, X), 256, labels, squares, extent, n, int(root), none, fault)
    return labels, squares


def potential(X: Any, centers: Any, weights: Any, fault: Any) -> tuple[Any, Any]:
    """Return the potential, float64 without dimensions, and the labels."""
    labels, squares = assign(X, centers, root=False, none=0, fault=fault)
    n = X.shape[0]
    kind = "double" if _array.computed(X) == "float64" else "float"
    blocks = -(-n // SUMMED)
    sums, found = _cuda.empty((blocks, 2), "float64", X), _cuda.empty((), "float64", X)
    wide = None if weights is None else _array.cast(weights, "float64")
    _cuda.launch(X, FILE, f"potential_blocks<{kind}>", blocks, 256, squares, wide, sums, n, fault)
    _cuda.launch(X, FILE, "kmeans_potential", 1, 256, sums, found, blocks, fault)
    return found, labels

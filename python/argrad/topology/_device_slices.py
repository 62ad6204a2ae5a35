"""The sliced Wasserstein distance on a device: the launches of the kernels in `cuda/topology_slices.cu`.

    bars -> lists of all of them for each direction, their values as keys    list_bars, center_bars, project_bars
    sorted by value, then by group                                           radix sort, line_keys, radix sort
    the signs of the differences of equal ranks -> slopes                    compare_ranks, add_slopes
    bars with an infinite end                                                match_lasting, in two more lists
    what each bar adds to its distance                                       finish_slopes, sum_shares

Nothing waits for the device. Directions are worked on a few at a time, so that the lists stay small.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from argrad import _array, _cuda, _radix
from argrad._array import Array
from argrad.topology._device import blocks, launch

ITEMS = 1 << 21
"""Items of the lists that are sorted at a time, of some 40 bytes each."""

_SHORT = 256
"""Items that a shorter list counts for: its sort takes as much memory."""

_WAYS = 7
"""Lines of a group, as in the kernels."""


def slopes(
    first: tuple[Array, ...], second: tuple[Array, ...], size: int, directions: int, refuse: Callable[..., object]
) -> tuple[Array, ...]:
    """Return what each bar of both adds to its distance, and the slopes to births and deaths of the first, and second.

    Args:
        first: birth, death and number of the distance of each bar of the first; a negative number: of none.
        second: those of the second.
        size: how many distances there are.
        directions: how many.
        refuse: the function of the host that raises the error for a NaN, of all these arrays.
    """
    like, n = first[0], first[0].shape[0]
    m = n + second[0].shape[0]
    ends, found = _cuda.empty((2 * m,), "float64", like), _cuda.full((2, m), 0.0, "float64", like)
    lines, shares = _cuda.empty((m,), "int32", like), _cuda.empty((m,), "float64", like)
    low, high = (_cuda.full((size,), start, "int64", like) for start in (-1, 0))
    fault = _cuda.fault(like)
    _launch(like, "list_bars", m, *first, *second, ends, lines, low, high, shares, n, m, size, fault)
    _launch(like, "center_bars", m, ends, lines, low, high, m, size)
    several = max(1, ITEMS // (2 * max(m, _SHORT)))
    for begin in range(0, directions if m else 0, several):
        angles = [math.pi * (k / directions - 0.5) for k in range(begin, min(begin + several, directions))]
        table = _array.to_device(np.array([[math.cos(angle), math.sin(angle)] for angle in angles]), like)
        count, lasting = len(angles), int(begin == 0)
        sizes = (n, m, count)
        keys, bars = _sorted(ends, lines, table, (*sizes, lasting, size))
        signs = _cuda.empty((2 * count, m), "int8", like)
        _launch(like, "compare_ranks", count * m, ends, lines, table, bars, signs, *sizes, size)
        _launch(like, "add_slopes", m, lines, table, signs, found, *sizes, size)
        if lasting:
            last = 2 * count * m
            _launch(like, "match_lasting", 2 * m, ends, keys[last:], bars[last:], shares, found, m, size)
    _launch(like, "finish_slopes", m, ends, lines, found, shares, m, size, 1.0 / directions)
    _cuda.confirm(fault, refuse, *first, *second)
    return shares[:n], shares[n:], found[0, :n], found[1, :n], found[0, n:], found[1, n:]


def _sorted(ends: Array, lines: Array, table: Array, sizes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the lists of all directions in order: the lines and the bars at each place."""
    _, m, count, lasting, size = sizes
    lists = 2 * (count + lasting)
    starts = _starts(ends, lists, m)
    keys, spare = (_cuda.empty((lists * m,), "int64", ends) for _ in range(2))
    bars, others, first, second = (_cuda.empty((lists * m,), "int32", ends) for _ in range(4))
    _launch(ends, "project_bars", lists * m, ends, lines, table, keys, *sizes)
    _, by_value = _radix.sort((keys, spare), (bars, others), starts, lists, m, bits=64)
    _launch(ends, "line_keys", lists * m, ends, lines, by_value, first, *sizes)
    free = others if by_value is bars else bars
    bits = (_WAYS * size).bit_length()
    return _radix.sort((first, second), (by_value, free), starts, lists, m, bits=bits, numbered=True)


def _starts(like: Array, segments: int, length: int) -> Array:
    """Return where segments of one length begin, and the end of the last."""
    return _array.cast(_array.counted(segments + 1, like), "int64") * length


def totals(shares: Array, places: Array, size: int) -> Array:
    """Return the sum of the shares at each of `size` places; others count for nothing."""
    m = shares.shape[0]
    found = _cuda.full((size,), 0.0, "float64", shares)
    keys, spare, bars, others = (_cuda.empty((m,), "int32", shares) for _ in range(4))
    keys[:] = places
    order = _radix.sort((keys, spare), (bars, others), _starts(shares, 1, m), 1, m, bits=(size + 1).bit_length())
    _cuda.launch(shares, "topology_slices", "sum_shares", min(size, 1 << 20), 256, *order, shares, found, m, size)
    return found


def _launch(like: Array, name: str, items: int, *args: Any) -> None:
    launch(like, "topology_slices", name, blocks(items), *args)

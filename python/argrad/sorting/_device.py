"""What operators on lists share on a device: the batch as kernels take it, the order of its lists, working memory."""

import math
from typing import Any, NamedTuple

from argrad import _array, _cuda
from argrad._array import Array

SHARED = 40 * 1024
"""Bytes of shared memory that blocks ask for at most: a device gives 48 KiB, and kernels have some by themselves."""
SHORT = 2048
"""The longest list that is sorted in shared memory."""
SCRATCH = 1 << 28
"""Bytes of global memory that blocks may work in, unless one alone needs more."""


class Batch(NamedTuple):
    """The lists of an array, see `cuda/lists.cuh`.

    Attributes:
        total: how many lists there are.
        n: items of a row: as many as a list has at most.
        arguments: offsets, stride, lists of a row, n and total, as kernels take them.
        ragged: whether there are offsets.
    """

    total: int
    n: int
    arguments: tuple[Any, ...]
    ragged: bool

    @property
    def blocks(self) -> int:
        """Blocks of a grid for kernels without working memory."""
        return min(self.total, 2**31 - 1)


def batch(x: Array, offsets: Array | None) -> Batch:
    """Return the lists of x, shape (*batch, n)."""
    n, rows = x.shape[-1], math.prod(x.shape[:-1])
    if offsets is None:
        return Batch(rows, n, (None, 0, 1, n, rows), False)
    lists, stride = offsets.shape[-1] - 1, 0
    if offsets.ndim > 1:
        offsets, stride = _array.spread(offsets, (*x.shape[:-1], lists + 1)), lists + 1
    offsets = _array.raw(_array.cast(offsets, "int64"))
    return Batch(rows * lists, n, (offsets, stride, lists, n, rows * lists), True)


def outputs(shape: tuple[int, ...], x: Array, lists: Batch, mask: Array | None = None) -> Array:
    """Return an array for numbers that kernels write where items count, and that is 0 elsewhere."""
    make = _cuda.empty(shape, _array.computed(x), x)
    return make if mask is None and not lists.ragged else _cuda.full(shape, 0, _array.computed(x), x)


def threads(n: int, items: int = 4) -> int:
    """Return how many threads a block has for lists of n items, `items` for each thread at a time."""
    return min(max(1 << max(-(-n // items) - 1, 0).bit_length(), 32), 256)


class Room(NamedTuple):
    """Working memory for blocks: `scratch` of global memory, `size` for each, or where that is None `shared` memory."""

    blocks: int
    scratch: Array | None
    size: int
    shared: int


def room(x: Array, blocks: int, size: int, *, columns: int = 1) -> Room:
    """Return working memory of `size` bytes for each of up to `blocks` x `columns` blocks."""
    if size <= SHARED:
        return Room(min(blocks, 2**31 - 1), None, size, size)
    blocks = max(1, min(blocks, 2 * _cuda.processors(x), SCRATCH // (size * columns)))
    return Room(blocks, _cuda.empty((blocks * columns * size,), "uint8", x), size, 0)


def size_of(n: int, *widths: int) -> int:
    """Return the bytes of a `Room` (`lists.cuh`) for one array of n items for each of the widths in bytes."""
    return sum([-(-n * width // 16) * 16 for width in widths])


def order(x: Array, mask: Array | None, lists: Batch, descending: bool, fault: Array | None) -> Array:
    """Return the places of the items of each list by increasing value (decreasing if `descending`), int32.

    Equal values are in the order of their places, NaN at the end; the rest, for items that do not count, is -1.

    Args:
        x: float32 or float64.
        mask: which items count.
        lists: the lists of x.
        descending: see above.
        fault: where bad offsets are reported.
    """
    bits = 8 if _array.computed(x) == "float64" else 4
    places = _cuda.full(x.shape, -1, "int32", x) if lists.ragged else _cuda.empty(x.shape, "int32", x)
    longest = min(lists.n, SHORT)
    held = room(x, lists.total, 0)
    if lists.n > SHORT:
        held = room(x, lists.total, max(size_of(lists.n, bits, bits, 4, 4), SHARED + 1))
    _cuda.launch(
        x,
        "sorting_places",
        f"order_lists<{_cuda.number(x)}>",
        held.blocks,
        256 if lists.n > SHORT else threads(lists.n, 2),
        *(x, mask, *lists.arguments, int(descending), places, SHORT, held.scratch, held.size, fault),
        shared=(1 << max(longest - 1, 0).bit_length()) * 2 * bits,
    )
    return places


def hard_places(x: Array, places: Array, lists: Batch) -> Array:
    """Return the place in its row that each item has after sorting, int64; -1 as `_places.places` says."""
    to = _cuda.full(x.shape, -1, "int64", x) if lists.ragged else _cuda.empty(x.shape, "int64", x)
    name = f"hard_places<{_cuda.number(x)}>"
    _cuda.launch(x, "sorting_places", name, lists.blocks, threads(lists.n), x, places, *lists.arguments, to)
    return to


def hard_ranks(x: Array, places: Array, lists: Batch, fill: float) -> Array:
    """Return the rank of each item in its list, from 1, in the precision of x; `fill` where an item does not count."""
    ranks = (
        _cuda.full(x.shape, math.nan, _array.computed(x), x)
        if lists.ragged
        else _cuda.empty(x.shape, _array.computed(x), x)
    )
    name = f"hard_ranks<{_cuda.number(x)}>"
    _cuda.launch(
        x, "sorting_places", name, lists.blocks, threads(lists.n), x, places, *lists.arguments, float(fill), ranks
    )
    return ranks


def row_numbers(x: Array, mask: Array | None, lists: Batch, backwards: bool, fault: Array | None) -> Array:
    """Return the numbers of the places of each list, int64; see `_places.row_numbers`."""
    numbers = _cuda.full(x.shape, 0, "int64", x) if lists.ragged else _cuda.empty(x.shape, "int64", x)
    arguments = (mask, *lists.arguments, int(backwards), numbers, fault)
    _cuda.launch(x, "sorting_places", "row_numbers", lists.blocks, threads(lists.n), *arguments)
    return numbers

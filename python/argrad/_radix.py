"""Sorts and scans by many blocks, for lists whose lengths only the device knows (kernels in `cuda/radix.cu`)."""

from argrad import _cuda
from argrad._array import Array

BLOCK = 256
"""Threads of a block, as `radix.cu` wants them."""

TILE = 2048
"""Items that a block moves at a time, as in `radix.cu`."""


def scan(counts: Array, rows: int, *, totals: Array | None = None) -> None:
    """Replace the numbers of each row by the sums of those before them.

    Args:
        counts: int64, contiguous, of `rows` rows.
        rows: how many.
        totals: int64, gets the sum of each row; None: not wanted.
    """
    if rows:
        _cuda.launch(counts, "radix", "scan_rows", rows, BLOCK, counts, totals, rows, size(counts) // rows)


def size(x: Array) -> int:
    """Return the number of items of an array of any kind."""
    return int(x.numel()) if hasattr(x, "numel") else int(x.size)


def sort(
    keys: tuple[Array, Array],
    numbers: tuple[Array, Array],
    starts: Array,
    segments: int,
    longest: int,
    *,
    bits: int,
    numbered: bool = False,
    pieces: int | None = None,
) -> tuple[Array, Array]:
    """Sort segments of a list by their keys, rising and stable.

    Args:
        keys: the keys as int32 or int64, taken as unsigned, and a second array for them.
        numbers: an int32 for each key that moves with it, and a second array for them.
        starts: int64, shape (segments + 1,): where each segment begins, and the end of the last.
        segments: how many.
        longest: a bound for the length of a segment, at most 2^32.
        bits: how many low bits of the keys may be set.
        numbered: whether the numbers are there; otherwise those are the places of the keys in their segment.
        pieces: blocks that share a segment; None: enough to fill the device.

    Returns:
        Keys and numbers in order, one of the two arrays of each; the other is free.
    """
    if segments == 0:
        return keys[0], numbers[0]
    if pieces is None:
        pieces = max(1, min(-(-longest // TILE), -(-8 * _cuda.processors(starts) // segments)))
    kind = "u64" if str(keys[0].dtype).endswith("64") else "u32"
    counts = _cuda.empty((segments * BLOCK * pieces,), "int64", starts)
    for turn in range(-(-bits // 8)):
        here, there = turn % 2, 1 - turn % 2
        tail = (segments, pieces, 8 * turn)
        _cuda.launch(
            starts, "radix", f"radix_count<{kind}>", segments * pieces, BLOCK, keys[here], starts, counts, *tail
        )
        scan(counts, segments)
        known = numbers[here] if turn or numbered else None
        moved = (keys[here], known, keys[there], numbers[there], starts, counts)
        _cuda.launch(starts, "radix", f"radix_move<{kind}>", segments * pieces, BLOCK, *moved, *tail)
    last = -(-bits // 8) % 2
    return keys[last], numbers[last]

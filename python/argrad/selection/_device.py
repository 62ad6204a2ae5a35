"""Weighted draws on a device."""

from typing import Any

from argrad import _array, _cuda, _radix

FILE, STEPS = "selection", "selection_steps"
BINS, LEVELS, TASK = 8192, 5, 4096
"""As in `selection.cu`."""

BLOCK_ROWS, MOST_BLOCKS = 1024, 1 << 20
"""Rows that are summed one after the other, as in `selection_steps.cu`; and the blocks of a launch."""

DRAW_WORDS, HEIGHTS_WORDS = 5, 4
KEYS, SPACINGS, PERMUTATION, SYSTEMATIC = 0x200, 0x201, 0x202, 0x203
"""Streams of random numbers, as `rust/core/src/selection/mod.rs` has them."""


def per_item(count: int, like: Any) -> int:
    """Return the blocks of 256 threads, one thread an item, that fill the device."""
    return min(-(-count // 256), 8 * _cuda.processors(like))


def word(seed: int) -> int:
    """Return the 64 bits of a seed as a signed number."""
    return seed - 2**64 if seed >= 2**63 else seed


def sort(keys: Any, places: Any, bits: int) -> tuple[Any, Any]:
    """Sort keys of 64 bits by the lower `bits` of them, with their places; stable. Overwrites both."""
    n = keys.shape[0]
    ends = _cuda.full((2,), 0, "int64", keys)
    ends[1] = n
    spare = _cuda.empty((n,), "int64", keys), _cuda.empty((n,), "int32", keys)
    return _radix.sort((keys, spare[0]), (places, spare[1]), ends, 1, n, bits=bits, numbered=True)


def keys(weights: Any, size: int, seed: int, *, inverse: bool, in_order: bool, fault: Any) -> tuple[Any, Any]:
    """Draw rows without replacement by exponential keys: rows, and the inverses of their probabilities or None."""
    n, number, tasks = weights.shape[0], _cuda.number(weights), -(-weights.shape[0] // TASK)
    fill, stream = per_item(n, weights), (word(seed), KEYS)
    draw = _cuda.full((DRAW_WORDS,), 0, "int64", weights)
    counts = _cuda.full((LEVELS, BINS), 0, "int32", weights)
    starts = _cuda.empty((2, tasks), "int64", weights)
    found, rows = _cuda.full((size + 1,), -1, "int64", weights), _cuda.full((size + 1,), 0, "int32", weights)
    _cuda.launch(weights, FILE, f"weigh<{number}>", fill, 256, weights, draw, n)
    for level in range(LEVELS):
        here = counts[level]
        _cuda.launch(weights, FILE, f"count_keys<{number}>", fill, 256, weights, draw, here, n, size, *stream, level)
        _cuda.launch(weights, FILE, "find_digit", 1, 256, draw, here, size, level)
    for places in ((None, None), (found, rows)):
        args = (weights, draw, starts, *places, n, size, *stream)
        _cuda.launch(weights, FILE, f"collect_keys<{number}>", tasks, 256, *args)
        if places[0] is None:
            _radix.scan(starts, 1)
    found, rows = sort(found, rows, 64)
    drawn = _cuda.empty((size,), "int64", weights)
    chances = _cuda.empty((size,), "float64", weights) if inverse else None
    args = (weights, draw, found, rows, drawn, chances, size, fault)
    _cuda.launch(weights, FILE, f"finish_keys<{number}>", per_item(size, weights), 256, *args)
    return ordered(drawn, chances) if in_order else (drawn, chances)


def repeated(
    weights: Any, size: int, seed: int, *, steps: bool, inverse: bool, in_order: bool, fault: Any
) -> tuple[Any, Any]:
    """Draw rows with replacement: independently, or at equal steps along the running sum of the weights."""
    n, number, number_of_seed = weights.shape[0], _cuda.number(weights), word(seed)
    fill, blocks, chunks = per_item(size, weights), -(-n // BLOCK_ROWS), -(-size // BLOCK_ROWS)
    state = _cuda.full((HEIGHTS_WORDS,), 0, "int64", weights)

    def launch(name: str, blocks: int, *args: object) -> None:
        _cuda.launch(weights, STEPS, name.replace("<S>", f"<{number}>"), min(blocks, MOST_BLOCKS), 256, *args)

    def wide(*shape: int) -> Any:
        return _cuda.empty(shape, "float64", weights)

    sums, prefix, targets, before, places = wide(blocks), wide(blocks + 1), wide(size), None, None
    launch("sum_weights<S>", blocks, weights, sums, state, n)
    launch("sum_prefix", 1, sums, prefix, state, blocks, 0)
    if not steps:
        parts, before = wide(chunks), wide(chunks + 1)
        launch("space_heights", chunks, targets, parts, size, number_of_seed, SPACINGS)
        launch("sum_prefix", 1, parts, before, state, chunks, 1)
    stream = SYSTEMATIC if steps else SPACINGS
    launch("place_heights", fill, targets, before, state, size, number_of_seed, stream)
    rows, drawn = (_cuda.empty((size,), "int64", weights) for _ in range(2))
    launch("walk_rows<S>", blocks, weights, prefix, targets, state, rows, n, size)
    if not (steps or in_order):
        keys, places = _cuda.empty((size,), "int64", weights), _cuda.empty((size,), "int32", weights)
        launch("shuffle_keys", fill, keys, places, size, number_of_seed, PERMUTATION)
        _, places = sort(keys, places, 64)
    chances = wide(size) if inverse else None
    launch("finish_rows<S>", fill, weights, state, rows, places, drawn, chances, size, fault)
    return drawn, chances


def ordered(drawn: Any, chances: Any) -> tuple[Any, Any]:
    """Return rows in ascending order, with what belongs to each."""
    size = drawn.shape[0]
    found, places = _cuda.empty((size,), "int64", drawn), _cuda.empty((size,), "int32", drawn)
    fill = per_item(size, drawn)
    _cuda.launch(drawn, FILE, "rows_as_keys", fill, 256, drawn, found, places, size)
    found, places = sort(found, places, 32)
    arranged = None if chances is None else _cuda.empty((size,), "float64", drawn)
    _cuda.launch(drawn, FILE, "arrange_rows", fill, 256, found, places, chances, drawn, arranged, size)
    return drawn, arranged


def floating(weights: Any) -> Any:
    """Return weights as kernels take them: integers as float64."""
    name = str(weights.dtype).removeprefix("torch.")
    return weights if name.startswith(("float", "bfloat")) else _array.cast(weights, "float64")

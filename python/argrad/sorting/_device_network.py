"""Products with relaxed sorting networks and their derivatives on a device: `cuda/sorting_network.cu`."""

import math

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device
from argrad.sorting._device import Batch, Room

_FILE = "sorting_network"
_COLUMNS = 8
"""Columns that a block takes through the network at once in products."""
RECORD = 1 << 20
"""Bytes up to which a block records all layers for the way back. Beyond, it goes back in segments."""
DISTRIBUTIONS = ("logistic", "logistic_art", "reciprocal", "cauchy", "gaussian", "optimal")
"""The distributions in the order of `network.cuh`."""


def product(
    x: Array,
    v: Array,
    steepness: Array,
    mask: Array | None,
    offsets: Array | None,
    options: tuple[bool, str, str, bool],
    fault: Array | None,
) -> Array:
    """Return P v, or P^T v; `options` are descending, network, distribution and transposed."""
    x, v, steepness = _cuda.widen(x), _cuda.widen(v), _cuda.widen(steepness)
    descending, network, distribution, transposed = options
    lists, m = _device.batch(x, offsets), _columns(x, v)
    most = min(m, _COLUMNS)
    groups = max(1, min(-(-m // most), 8 * _cuda.processors(x) // max(lists.total, 1)))
    segment, held = _room(x, lists, network, most, (0, 0, 1) if transposed else None, columns=groups)
    y = _device.outputs(v.shape, x, lists, mask)
    _cuda.launch(
        x,
        _FILE,
        f"network_product<{_cuda.number(x)}>",
        (held.blocks, groups),
        _device.threads(lists.n, 2),
        *(x, v, steepness, mask, *lists.arguments, m, most, int(descending), int(network == "bitonic")),
        *(DISTRIBUTIONS.index(distribution), int(transposed), segment, y, held.scratch, held.size, fault),
        shared=held.shared,
    )
    return y


def gradients(
    x: Array,
    right: Array,
    left: Array,
    steepness: Array,
    mask: Array | None,
    offsets: Array | None,
    options: tuple[bool, str, str],
    wanted: tuple[bool, bool] = (True, True),
    tangents: tuple[Array | None, ...] = (),
) -> tuple[Array, Array | None, Array | None, Array]:
    """Return the gradients of `<left, P right>` to scores, right and left factor (if `wanted`) and steepness.

    With tangents of the four (None: it stands still) the derivatives of these gradients along them instead.
    """
    given = [None if y is None else _cuda.widen(y) for y in (x, right, left, steepness, *tangents)]
    x, (descending, network, distribution) = given[0], options
    lists, m = _device.batch(x, offsets), _columns(x, right)
    segment, held = _room(x, lists, network, m, (1, m, 1), dual=bool(tangents))
    to_x, to_steepness = _device.outputs(x.shape, x, lists, mask), _cuda.empty(steepness.shape, _array.computed(x), x)
    to_right, to_left = [_device.outputs(right.shape, x, lists, mask) if want else None for want in wanted]
    _cuda.launch(
        x,
        _FILE,
        f"network_{'second' if tangents else 'vjp'}<{_cuda.number(x)}>",
        held.blocks,
        _device.threads(lists.n, 2),
        *(*given, mask, *lists.arguments, m, int(descending), int(network == "bitonic")),
        *(DISTRIBUTIONS.index(distribution), segment, to_x, to_right, to_left, to_steepness),
        *(held.scratch, held.size),
        shared=held.shared,
    )
    return to_x, to_right, to_left, to_steepness


def _room(
    x: Array,
    lists: Batch,
    network: str,
    m: int,
    record: tuple[int, int, int] | None,
    *,
    columns: int = 1,
    dual: bool = False,
) -> tuple[int, Room]:
    """Return the layers of a segment and the memory of a block of `sorting_network.cu` for m columns at once."""
    width = 16 if dual else 8 if _array.computed(x) == "float64" else 4
    both = record is not None and record[0] > 0
    state = _device.size_of(lists.n, 4, *[width] * (2 if both else 1), *[width * m] * (2 if both else 1))
    return room(x, lists.total, lists.n, network, width, state, record, m if both else 0, columns=columns)


def room(
    x: Array,
    lists: int,
    n: int,
    network: str,
    width: int,
    state: int,
    record: tuple[int, int, int] | None,
    kept: int,
    *,
    columns: int = 1,
) -> tuple[int, Room]:
    """Return the layers of a segment and the memory of a block for a `Tile` (`network_tile.cuh`).

    Args:
        x: scores.
        lists: how many lists there are.
        n: items of a list at most.
        network: its name.
        width: bytes of a number.
        state: bytes of what is not recorded.
        record: arrays of distances, differences and weights for the way back; None: there is none.
        kept: columns of the right factor that the way back takes.
        columns: blocks of the grid in its second dimension.
    """
    bits = max(n - 1, 0).bit_length()
    depth, comparators = (bits * (bits + 1) // 2, 1 << max(bits - 1, 0)) if network == "bitonic" else (n, n // 2)
    depth = max(depth, 1)
    if record is None:
        return depth, _device.room(x, lists, state, columns=columns)

    def size(segment: int) -> int:
        states = n * (1 + kept) * (-(-depth // segment) - 1)
        recorded = [segment * comparators * arrays for arrays in record]
        return state + sum([-(-part * width // 16) * 16 for part in (*recorded, states)])

    segment = depth if size(depth) <= RECORD else math.isqrt(depth - 1) + 1
    return segment, _device.room(x, lists, size(segment), columns=columns)


def _columns(x: Array, v: Array) -> int:
    """Return the columns of v: 1 where it has the dimensions of the scores."""
    return 1 if v.ndim == x.ndim else int(v.shape[-1])

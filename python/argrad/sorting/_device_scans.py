"""SoftSort's products and their derivatives on a device: the kernels of `cuda/sorting_scans.cu`."""

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device
from argrad.sorting._device import Batch, Room

_FILE = "sorting_scans"
_COLUMNS = 4
"""Columns that a block takes at once, as in `sorting_scans.cu`."""


def product(
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    descending: bool,
    transposed: bool,
    fault: Array | None,
) -> tuple[Array, Array]:
    """Return P V, or P^T V, and the order of the items, int32 of the shape of x."""
    x, v, temperature = _cuda.widen(x), _cuda.widen(v), _cuda.widen(temperature)
    lists = _device.batch(x, offsets)
    places = _device.order(x, mask, lists, descending, fault)
    return multiply(x, v, temperature, mask, places, lists, transposed, fault), places


def multiply(
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    places: Array,
    lists: Batch,
    transposed: bool,
    fault: Array | None,
) -> Array:
    """Return the product of items, or if `transposed` of rows, with the matrix of sorted lists."""
    m = _columns(x, v)
    y = _device.outputs(v.shape, x, lists, mask)
    groups = -(-m // _COLUMNS)
    groups = max(1, min(groups, 8 * _cuda.processors(x) // max(lists.total, 1)))
    size = _device.size_of(lists.n, 8, 8, 4, 4, 8, 8 * (_COLUMNS + 1))
    held = _device.room(x, lists.total, size, columns=groups)
    _cuda.launch(
        x,
        _FILE,
        f"softsort_product<{_cuda.number(x)}>",
        (held.blocks, groups),
        _device.threads(lists.n),
        *(x, v, temperature, places, *lists.arguments, m, int(transposed), y, held.scratch, held.size, fault),
        shared=held.shared,
    )
    return y


def gradients(
    x: Array,
    items: Array,
    rows: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    places: Array,
    descending: bool,
    tangents: tuple[Array | None, ...] = (),
) -> tuple[Array, Array, Array, Array]:
    """Return the gradients of `<rows, P items>` to scores, items, rows and temperatures.

    With tangents of the four (None: it stands still) the derivatives of these gradients along them instead.
    """
    given = [None if y is None else _cuda.widen(y) for y in (x, items, rows, temperature, *tangents)]
    x = given[0]
    lists, m, number = _device.batch(x, offsets), _columns(x, items), _cuda.number(x)
    found = tuple([_device.outputs(y.shape, x, lists, mask) for y in (x, items, rows)])
    to_temperature = _cuda.empty(temperature.shape, _array.computed(x), x)
    held = _forces_room(x, lists, m, 16 if tangents else 8)
    _cuda.launch(
        x,
        _FILE,
        f"softsort_{'second' if tangents else 'vjp'}<{number}>",
        held.blocks,
        _device.threads(lists.n, 2 if tangents else 4),
        *(*given, places, *lists.arguments, m, int(descending), *found, to_temperature, held.scratch, held.size, None),
        shared=held.shared,
    )
    return (*found, to_temperature)


def _forces_room(x: Array, lists: Batch, m: int, width: int) -> Room:
    """Return the memory of `Links` and `Forces` for numbers of so many bytes."""
    wide = width * (2 if m == 1 else _COLUMNS)
    size = _device.size_of(lists.n, width, width, 4, 4, width, width, width, wide, wide, wide, wide)
    return _device.room(x, lists.total, size)


def _columns(x: Array, v: Array) -> int:
    """Return the columns of v: 1 where it has the dimensions of the scores."""
    return 1 if v.ndim == x.ndim else int(v.shape[-1])

"""Products of SoftSort and LapSum, LapSum's ranks and sorted values, and their derivatives on a device.

The kernels are those of `cuda/sorting_scans.cu`, `sorting_laplace.cu` and `sorting_laplace_product.cu`.
"""

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device
from argrad.sorting._device import Batch

_COLUMNS = 4
"""Columns that a block takes at once, as in the kernels."""
_FILES = {"softsort": ("sorting_scans", "softsort"), "laplace": ("sorting_laplace_product", "laplace_product")}
"""By method the file and the start of the names of the derivatives."""


def product(
    method: str,
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
    return multiply(method, x, v, temperature, mask, places, lists, transposed, fault), places


def multiply(
    method: str,
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
    if method == "softsort":
        widths = (*_links(8), 8, 8 * (_COLUMNS + 1))
    else:
        widths = (*_links(8), *_roots(8), 8, 8, *[8 * (1 if m == 1 else _COLUMNS)] * 3)
    held = _device.room(x, lists.total, _device.size_of(lists.n, *widths), columns=groups)
    _cuda.launch(
        x,
        _FILES[method][0],
        f"{method}_product<{_cuda.number(x)}>",
        (held.blocks, groups),
        _device.threads(lists.n),
        *(x, v, temperature, places, *lists.arguments, m, int(transposed), y, held.scratch, held.size, fault),
        shared=held.shared,
    )
    return y


def gradients(
    method: str,
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
    found = [_device.outputs(y.shape, x, lists, mask) for y in (x, items, rows)]
    to_temperature = _cuda.empty(temperature.shape, _array.computed(x), x)
    size, suffix = (16, "second") if tangents else (8, "vjp")
    wide = size * (2 if m == 1 or tangents else _COLUMNS)
    if method == "softsort":
        widths = (*_links(size), size, size, size, wide, wide, wide, wide)
    else:
        widths = (*_links(size), *_roots(size), size, size, wide, wide, wide)
    held = _device.room(x, lists.total, _device.size_of(lists.n, *widths))
    file, name = _FILES[method]
    _cuda.launch(
        x,
        file,
        f"{name}_{suffix}<{number}>",
        held.blocks,
        _device.threads(lists.n, 32 // size),
        *(*given, places, *lists.arguments, m, int(descending), *found, to_temperature, held.scratch, held.size),
        shared=held.shared,
    )
    return found[0], found[1], found[2], to_temperature


def laplace_values(
    x: Array,
    strength: Array,
    mask: Array | None,
    offsets: Array | None,
    descending: bool,
    sorts: bool,
    fault: Array | None,
) -> tuple[Array, Array]:
    """Return LapSum's ranks, or if `sorts` its sorted values, and the order of the items."""
    x, strength = _cuda.widen(x), _cuda.widen(strength)
    lists = _device.batch(x, offsets)
    places = _device.order(x, mask, lists, descending, fault)
    y = _device.outputs(x.shape, x, lists, mask)
    held = _device.room(x, lists.total, _laplace_size(lists.n, 8, 1))
    _cuda.launch(
        x,
        "sorting_laplace",
        f"laplace_values<{_cuda.number(x)}>",
        held.blocks,
        _device.threads(lists.n),
        *(x, strength, places, *lists.arguments, int(descending), int(sorts), y, held.scratch, held.size, fault),
        shared=held.shared,
    )
    return y, places


def laplace_gradients(
    x: Array,
    grad: Array,
    strength: Array,
    mask: Array | None,
    offsets: Array | None,
    places: Array,
    descending: bool,
    sorts: bool,
    tangents: tuple[Array, ...] = (),
) -> tuple[Array, Array, Array]:
    """Return the gradients of the sum of `grad` times values to scores, `grad` and strengths.

    With tangents of scores and strengths the derivatives of these gradients along them instead.
    """
    given = [_cuda.widen(y) for y in (x, grad, strength, *tangents)]
    x = given[0]
    lists, size, suffix = _device.batch(x, offsets), *((16, "second") if tangents else (8, "vjp"))
    to_x, to_grad = _device.outputs(x.shape, x, lists, mask), _device.outputs(x.shape, x, lists, mask)
    to_strength = _cuda.empty(strength.shape, _array.computed(x), x)
    held = _device.room(x, lists.total, _laplace_size(lists.n, size, 2))
    outputs = (to_x, to_grad, to_strength, held.scratch, held.size)
    _cuda.launch(
        x,
        "sorting_laplace",
        f"laplace_{suffix}<{_cuda.number(x)}>",
        held.blocks,
        _device.threads(lists.n, 32 // size),
        *(*given, places, *lists.arguments, int(descending), int(sorts), *outputs),
        shared=held.shared,
    )
    return to_x, to_grad, to_strength


def _links(size: int) -> tuple[int, ...]:
    """Return the bytes for each item of the arrays of `Links` (`scans.cuh`), for numbers of so many bytes."""
    return (size, size, 4, 4)


def _roots(size: int) -> tuple[int, ...]:
    """Return those of `Roots` (`roots.cuh`)."""
    return (4, 4, 8, size, size, size)


def _laplace_size(n: int, size: int, wide: int) -> int:
    """Return the bytes of a block of `sorting_laplace.cu`."""
    return _device.size_of(n, *_links(size), *_roots(size), size, size, size, wide * size, wide * size)


def _columns(x: Array, v: Array) -> int:
    """Return the columns of v: 1 where it has the dimensions of the scores."""
    return 1 if v.ndim == x.ndim else int(v.shape[-1])

"""Products with transport plans and their derivatives on a device: the kernels of `cuda/sorting_sinkhorn*.cu`."""

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device

_COLUMNS = 4
"""Columns that are multiplied at once, as in the kernels."""
_PLAN, _SOLVER, _MOTION, _SYSTEM, _ANSWERS = 2, 7, 3, 3, 4
"""Numbers for each item in these parts of a block's memory; see `plan.cuh`, `balance.cuh` and the derivatives."""

Options = tuple[int, bool, bool]
"""k (0: as many ranks as items), descending, transposed."""


def balance(
    x: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    k: int,
    descending: bool,
    iterations: int,
    tolerance: float,
    fault: Array | None,
) -> tuple[Array, Array, Array]:
    """Return the order of the items, and the potentials of items and of ranks as the bits of float64."""
    x, temperature = _cuda.widen(x), _cuda.widen(temperature)
    lists = _device.batch(x, offsets)
    places = _device.order(x, mask, lists, descending, fault)
    items, ranks = (_cuda.full(x.shape, 0, "int64", x) for _ in range(2))
    held = _device.room(x, lists.total, _device.size_of(lists.n, *[8] * (_PLAN + _SOLVER + 3)))
    _cuda.launch(
        x,
        "sorting_sinkhorn",
        f"sinkhorn_balance<{_cuda.number(x)}>",
        held.blocks,
        _device.threads(lists.n, 1),
        *(x, temperature, places, *lists.arguments, k, int(descending), iterations, float(tolerance)),
        *(items, ranks, held.scratch, held.size, fault),
        shared=held.shared,
    )
    return places, items, ranks


def product(
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    options: Options,
    solution: tuple[Array, Array, Array],
    shape: tuple[int, ...],
) -> Array:
    """Return the product, of this shape, with the plan of `balance`."""
    x, v, temperature = _cuda.widen(x), _cuda.widen(v), _cuda.widen(temperature)
    k, descending, transposed = options
    lists, m, (places, items, ranks) = _device.batch(x, offsets), v.shape[-1], solution
    y = _device.outputs(shape, x, lists, mask)
    groups = max(1, min(-(-m // _COLUMNS), 8 * _cuda.processors(x) // max(lists.total, 1)))
    widths = (*[8] * _PLAN, 8 * (1 if m == 1 else _COLUMNS))
    held = _device.room(x, lists.total, _device.size_of(lists.n, *widths), columns=groups)
    _cuda.launch(
        x,
        "sorting_sinkhorn",
        f"sinkhorn_product<{_cuda.number(x)}>",
        (held.blocks, groups),
        _device.threads(lists.n, 1),
        *(x, v, temperature, places, items, ranks, *lists.arguments, k, m, int(descending), int(transposed)),
        *(y, held.scratch, held.size),
        shared=held.shared,
    )
    return y


def gradients(
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    options: Options,
    solution: tuple[Array, Array, Array],
    grad: Array,
    tangents: tuple[Array, ...] = (),
) -> tuple[Array, ...]:
    """Return the gradients to x, v and temperature.

    With tangents of the three the derivatives of these gradients along them instead, and that to `grad`.
    """
    given = [_cuda.widen(y) for y in (x, v, grad, temperature, *tangents)]
    x = given[0]
    k, descending, transposed = options
    lists, m = _device.batch(x, offsets), v.shape[-1]
    found = [_device.outputs(y.shape, x, lists, mask) for y in (given[0], given[1])]
    found.append(_cuda.empty(temperature.shape, _array.computed(x), x))
    if tangents:
        found.append(_device.outputs(grad.shape, x, lists, mask))
    width = 16 if tangents else 8
    widths = (*[8] * (_PLAN + _SOLVER + _MOTION + _SYSTEM), *[width] * _ANSWERS, width * m, width * m)
    held = _device.room(x, lists.total, _device.size_of(lists.n, *widths))
    _cuda.launch(
        x,
        "sorting_sinkhorn_derivative",
        f"sinkhorn_{'second' if tangents else 'vjp'}<{_cuda.number(x)}>",
        held.blocks,
        _device.threads(lists.n, 1),
        *(*given, *solution, *lists.arguments, k, m, int(descending), int(transposed)),
        *(*found, held.scratch, held.size),
        shared=held.shared,
    )
    return tuple(found)


def untouched(x: Array) -> Array:
    """Return an array of any content in the shape of x, in the dtype that is computed in."""
    return _cuda.empty(x.shape, _array.computed(x), x)

"""NeuralSort's products and their derivatives on a device: the kernels of `cuda/sorting_neuralsort.cu`."""

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device

_FILE = "sorting_neuralsort"
_COLUMNS = 4
"""Columns that are multiplied at once, as in the kernels."""

Options = tuple[bool, bool, int, float]
"""Descending, transposed, iterations, tolerance."""


def product(
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    options: Options,
    fault: Array | None,
) -> tuple[Array, Array, Array]:
    """Return the product, the order of the items and the number of scaling steps of each list."""
    x, v, temperature = _cuda.widen(x), _cuda.widen(v), _cuda.widen(temperature)
    descending, transposed, iterations, tolerance = options
    lists = _device.batch(x, offsets)
    places = _device.order(x, mask, lists, descending, fault)
    y = _device.outputs(v.shape, x, lists, mask)
    steps = _cuda.empty(temperature.shape, "int64", x)
    width = 8 if _array.computed(x) == "float64" else 4
    held = _device.room(x, lists.total, _device.size_of(lists.n, 8, width, width, width * _COLUMNS, 8))
    _cuda.launch(
        x,
        _FILE,
        f"neuralsort<{_cuda.number(x)}>",
        held.blocks,
        _device.threads(lists.n, 1),
        *(x, v, temperature, places, *lists.arguments, v.shape[-1], int(descending), int(transposed)),
        *(iterations, float(tolerance), y, steps, held.scratch, held.size, fault),
        shared=held.shared,
    )
    return y, places, steps


def gradients(
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    options: Options,
    places: Array,
    steps: Array,
    grad: Array,
    tangents: tuple[Array, ...] = (),
) -> tuple[Array, ...]:
    """Return the gradients to x, v and temperature.

    With tangents of the three the derivatives of these gradients along them instead, and that to `grad`.
    """
    given = [_cuda.widen(y) for y in (x, v, grad, temperature, *tangents)]
    x = given[0]
    descending, transposed, iterations, _ = options
    lists, m, width = _device.batch(x, offsets), v.shape[-1], 8 if _array.computed(x) == "float64" else 4
    shapes = (x.shape, v.shape, v.shape) if tangents else (x.shape, v.shape)
    found = [_device.outputs(shape, x, lists, mask) for shape in shapes]
    to_temperature = _cuda.empty(temperature.shape, _array.computed(x), x)
    number, width = (16, 16) if tangents else (8, width)
    widths = (*[number] * 6, 4, 4, width * _COLUMNS, *[width * (iterations + 1)] * 4, width * m, width * m)
    held = _device.room(x, lists.total, _device.size_of(lists.n + 1, *widths))
    _cuda.launch(
        x,
        _FILE,
        f"neuralsort_{'second' if tangents else 'vjp'}<{_cuda.number(x)}>",
        held.blocks,
        _device.threads(lists.n, 1),
        *(*given, places, steps, *lists.arguments, m, int(descending), int(transposed), iterations),
        *(*found, to_temperature, held.scratch, held.size),
        shared=held.shared,
    )
    return (found[0], found[1], to_temperature, *found[2:])

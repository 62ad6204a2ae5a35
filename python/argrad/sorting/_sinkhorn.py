"""Sinkhorn sort: products with the entropic transport plan between scores and ranks, and their derivatives."""

from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_sinkhorn, _lists
from argrad.sorting._lists import Lists

ITERATIONS = 100
TOLERANCES = {"float32": 1e-6, "float64": 1e-10}

_Matrix = np.ndarray[Any, Any]
_Arrays = tuple[_Matrix, ...]


class Sinkhorn(NamedTuple):
    """The plan P_rj = exp(a_j + b_r - (x_j - y_r)^2 / temperature), y_r = (r-1)/(n-1), whose rows and columns sum to 1.

    P is n times the transposed plan of entropic optimal transport between the scores and equally spaced targets, all of
    weight 1/n, with `temperature` as the entropy's weight (POT's `reg`, OTT's `epsilon`). With `descending=True` the
    rows are in reverse order. Only differences of scores matter.

    The potentials are found by Newton's method (on a device in one kernel, a block of threads a list, in float64), each
    step worth hundreds of Sinkhorn's, until every column sums to 1 within `tolerance` (1e-6, in float64 1e-10), for
    each list by itself; rows sum to 1 to rounding in any case. If `iterations` steps are not enough (100; three or four
    are usual), the plan is returned as it is then. The gradient is that of a plan that is balanced.

    Where 2 (gap between neighbors) / ((n-1) temperature) >= 84 the plan couples the items below with those above by
    less than rounding; the list falls into parts there, and the gradient through the gap is exactly zero. So is that
    of infinite scores. They lie beyond all finite ones; equal ones share their ranks evenly.
    """

    lists: Lists
    descending: bool
    temperature: Array
    iterations: int
    tolerance: float

    def product(self, v: Array, transposed: bool) -> Array:
        """Return P v, or the transposed product."""
        return call(self.lists, v, self.temperature, 0, self.descending, transposed, self.iterations, self.tolerance)


def enter(
    lists: Lists, *, descending: bool, temperature: object, iterations: object = None, tolerance: object = None
) -> Sinkhorn:
    """Check the options."""
    temperatures = _lists.per_list(lists, "temperature", temperature, low=0, open_low=True)
    return Sinkhorn(lists, descending, temperatures, *limits(lists, iterations, tolerance))


def limits(lists: Lists, iterations: object, tolerance: object) -> tuple[int, float]:
    """Check when to stop; None is the default."""
    name = lists.function
    steps = ITERATIONS if iterations is None else _check.integer(name, "iterations", iterations, low=0)
    default = TOLERANCES[_array.computed(lists.x)]
    return steps, default if tolerance is None else _check.real(name, "tolerance", tolerance, low=0)


def call(
    lists: Lists,
    v: Array,
    temperature: Array,
    k: int,
    descending: bool,
    transposed: bool,
    iterations: int,
    tolerance: float,
) -> Array:
    """Return the product with the plan for all ranks (k = 0), or for k ranks and one more that takes the rest."""
    arrays = (lists.x, v, temperature, lists.mask, lists.offsets)
    options = (lists.function, k, descending, transposed, iterations, tolerance)
    return _lists.call("sinkhorn_product", _forward, 1, *arrays, *options)


def _check_temperatures(function: str, temperature: _Matrix) -> None:
    if not (temperature.min(initial=1.0) > 0 and temperature.max(initial=1.0) < np.inf):
        wrong = temperature[~((temperature > 0) & (temperature < np.inf))][0]
        raise ValueError(f"{function}: temperature must be a finite number > 0, got {wrong}")


def _options(
    x: _Matrix, mask: _Matrix | None, offsets: _Matrix | None, function: str, k: int, *flags: bool
) -> tuple[Any, ...]:
    return (_lists.bounds(function, x.shape, offsets), mask, k or None, *flags)


def _kernel(name: str, x: _Matrix) -> Any:
    return getattr(_native, f"{name}_{'f64' if x.dtype == np.float64 else 'f32'}")


def _forward(
    x: _Matrix, v: _Matrix, temperature: _Matrix, mask: _Matrix | None, offsets: _Matrix | None, *options: Any
) -> _Arrays:
    arrays = (x, v, temperature, mask, offsets)
    if not _array.is_device(x):
        return _on_host(*arrays, *options)
    _, k, descending, transposed, iterations, tolerance = options
    fault = _cuda.fault(x)
    solution = _device_sinkhorn.balance(x, temperature, mask, offsets, k, descending, iterations, tolerance, fault)
    _cuda.confirm(fault, _on_host, *arrays, *options)
    shape = _product_shape(x, v, k, transposed)
    return _device_sinkhorn.product(*arrays, (k, descending, transposed), solution, shape), *solution


def _on_host(
    x: _Matrix,
    v: _Matrix,
    temperature: _Matrix,
    mask: _Matrix | None,
    offsets: _Matrix | None,
    function: str,
    k: int,
    descending: bool,
    transposed: bool,
    iterations: int,
    tolerance: float,
) -> _Arrays:
    _check_temperatures(function, temperature)
    options = _options(x, mask, offsets, function, k, descending, transposed)
    y, *solution = _kernel("sinkhorn", x)(function, x, v, temperature, options, iterations, tolerance)
    return y.reshape(_product_shape(x, v, k, transposed)), *[part.reshape(x.shape) for part in solution]


def _vjp(
    x: _Matrix,
    v: _Matrix,
    temperature: _Matrix,
    mask: _Matrix | None,
    offsets: _Matrix | None,
    function: str,
    k: int,
    descending: bool,
    transposed: bool,
    iterations: int,
    tolerance: float,
    order: _Matrix,
    items: _Matrix,
    ranks: _Matrix,
    y_grad: _Matrix,
    wanted: int,
) -> _Arrays:
    if _array.is_device(x):
        arrays, solution = (temperature, mask, offsets), (order, items, ranks)
        if wanted != 2:
            how = (k, descending, transposed)
            return _device_sinkhorn.gradients(x, v, *arrays, how, solution, y_grad)
        # The product is linear in v.
        how = (k, descending, not transposed)
        back = _device_sinkhorn.product(x, y_grad, *arrays, how, solution, v.shape)
        return _device_sinkhorn.untouched(x), back, _device_sinkhorn.untouched(temperature)
    options = _options(x, mask, offsets, function, k, descending, transposed)
    saved = (order, items, ranks)
    found = _kernel("sinkhorn_vjp", x)(function, x, v, temperature, options, saved, y_grad, wanted != 2)
    return tuple(to.reshape(of.shape) for to, of in zip(found, (x, v, temperature), strict=True))


def _second(
    x: _Matrix,
    v: _Matrix,
    temperature: _Matrix,
    mask: _Matrix | None,
    offsets: _Matrix | None,
    function: str,
    k: int,
    descending: bool,
    transposed: bool,
    iterations: int,
    tolerance: float,
    order: _Matrix,
    items: _Matrix,
    ranks: _Matrix,
    y_grad: _Matrix,
    *tangents: _Matrix,
) -> _Arrays:
    if _array.is_device(x):
        arrays, solution = (x, v, temperature, mask, offsets), (order, items, ranks)
        return _device_sinkhorn.gradients(*arrays, (k, descending, transposed), solution, y_grad, tangents)
    options = _options(x, mask, offsets, function, k, descending, transposed)
    saved = (order, items, ranks)
    found = _kernel("sinkhorn_second", x)(function, x, v, temperature, options, saved, y_grad, tangents)
    return tuple(to.reshape(of.shape) for to, of in zip(found, (x, v, temperature, y_grad), strict=True))


def _product_shape(x: Array, v: Array, k: int, transposed: bool) -> tuple[int, ...]:
    rows = x.shape[-1] if transposed or k == 0 else k
    return (*x.shape[:-1], rows, v.shape[-1])


def _shapes(
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    function: str,
    k: int,
    descending: bool,
    transposed: bool,
    iterations: int,
    tolerance: float,
) -> _torch.Shapes:
    shape = _product_shape(x, v, k, transposed)
    return (shape, None), (x.shape, "int32"), (x.shape, "int64"), (x.shape, "int64")


# The potentials are float64 whatever the scores are; as residuals they travel as their bits, because floating residuals
# take the dtype that is computed in.
_torch.declare_smooth(
    "sinkhorn_product",
    "(Tensor x, Tensor v, Tensor temperature, Tensor? mask, Tensor? offsets, str function, int k, bool descending, "
    "bool transposed, int iterations, float tolerance) -> (Tensor y, Tensor order, Tensor items, Tensor ranks)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x", "v", "temperature"),
    saved=("order", "items", "ranks"),
    values=1,
    device=True,
)

"""Products with SoftSort's and LapSum's matrices, which kernels make by scans, and their derivatives."""

from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device, _device_scans, _lists
from argrad.sorting._lists import Lists

_Arrays = tuple[np.ndarray[Any, Any], ...]


class Scans(NamedTuple):
    """A matrix whose entries are exponentials of distances between scores, by `method`."""

    lists: Lists
    descending: bool
    temperature: Array
    method: str

    @property
    def takes_vectors(self) -> bool:
        """Tell `SoftPermutation` that v may be of the shape of x."""
        return True

    def product(self, v: Array, transposed: bool) -> Array:
        """Return P v, or the transposed product; v of the shape of x, or with one more dimension."""
        lists = self.lists
        arrays = (lists.x, v, self.temperature, lists.mask, lists.offsets)
        options = (lists.function, self.method, self.descending, transposed)
        return _lists.call("scan_product", _forward, 1, *arrays, *options)


def _forward(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    temperature: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    method: str,
    descending: bool,
    transposed: bool,
    *,
    memo: bool = False,
) -> tuple[Any, ...]:
    if _array.is_device(x):
        arrays, fault = (x, v, temperature, mask, offsets), _cuda.fault(x)
        found = _device_scans.product(method, *arrays, descending, transposed, fault)
        _cuda.confirm(fault, _on_host, *arrays, function, method, descending, transposed)
        return (*found, None) if memo else found
    return _on_host(x, v, temperature, mask, offsets, function, method, descending, transposed, memo=memo)


def _on_host(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    temperature: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    method: str,
    descending: bool,
    transposed: bool,
    *,
    memo: bool = False,
) -> tuple[Any, ...]:
    bounds = _lists.bounds(function, x.shape, offsets)
    y, places, kept = _native.scan_product(
        function, method, x, v, temperature, bounds, mask, descending, transposed, memo
    )
    outputs = y.reshape(v.shape), places.reshape(x.shape)
    return (*outputs, kept) if memo else outputs


def _vjp(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    temperature: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    method: str,
    descending: bool,
    transposed: bool,
    places: np.ndarray[Any, Any],
    y_grad: np.ndarray[Any, Any],
    wanted: int,
    memo: Any = None,
) -> _Arrays:
    if _array.is_device(x):
        return _vjp_on_device(method, x, v, temperature, mask, offsets, descending, transposed, places, y_grad, wanted)
    bounds = _lists.bounds(function, x.shape, offsets)
    if wanted == 2:  # the product is linear in v
        back, *_ = _native.scan_product(
            function, method, x, y_grad, temperature, bounds, mask, descending, not transposed, False
        )
        return np.empty_like(x), back.reshape(v.shape), np.empty_like(temperature)
    items, rows = (y_grad, v) if transposed else (v, y_grad)
    to_x, to_items, to_rows, to_temperature = _native.scan_gradients(
        function, method, x, items, rows, temperature, bounds, places, descending, None, not transposed, memo
    )
    to_v = to_rows if transposed else to_items
    return to_x.reshape(x.shape), to_v.reshape(v.shape), to_temperature.reshape(temperature.shape)


def _vjp_on_device(
    method: str,
    x: Array,
    v: Array,
    temperature: Array,
    mask: Array | None,
    offsets: Array | None,
    descending: bool,
    transposed: bool,
    places: Array,
    y_grad: Array,
    wanted: int,
) -> _Arrays:
    if wanted == 2:  # as on the host
        lists = _device.batch(x, offsets)
        a, u, t = _cuda.widen(x), _cuda.widen(y_grad), _cuda.widen(temperature)
        back = _device_scans.multiply(method, a, u, t, mask, places, lists, not transposed, None)
        return _cuda.empty(x.shape, _array.computed(x), x), back, _cuda.empty(temperature.shape, _array.computed(x), x)
    items, rows = (y_grad, v) if transposed else (v, y_grad)
    to_x, to_items, to_rows, to_temperature = _device_scans.gradients(
        method, x, items, rows, temperature, mask, offsets, places, descending
    )
    return to_x, to_rows if transposed else to_items, to_temperature


def _second(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    temperature: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    method: str,
    descending: bool,
    transposed: bool,
    places: np.ndarray[Any, Any],
    y_grad: np.ndarray[Any, Any],
    *tangents: np.ndarray[Any, Any],
) -> _Arrays:
    items, rows = (y_grad, v) if transposed else (v, y_grad)
    if _array.is_device(x):
        to_scores, along, to_t = tangents
        moves = (to_scores, None, along, to_t) if transposed else (to_scores, along, None, to_t)
        to_x, to_items, to_rows, to_temperature = _device_scans.gradients(
            method, x, items, rows, temperature, mask, offsets, places, descending, moves
        )
        return (to_x, *((to_rows, to_temperature, to_items) if transposed else (to_items, to_temperature, to_rows)))
    bounds = _lists.bounds(function, x.shape, offsets)
    to_x, to_items, to_rows, to_temperature = _native.scan_gradients(
        function,
        method,
        x,
        items,
        rows,
        temperature,
        bounds,
        places,
        descending,
        (*tangents, transposed),  # type: ignore[arg-type]
        False,
        None,
    )
    to_v, to_grad = (to_rows, to_items) if transposed else (to_items, to_rows)
    return (
        to_x.reshape(x.shape),
        to_v.reshape(v.shape),
        to_temperature.reshape(temperature.shape),
        to_grad.reshape(v.shape),
    )


def _shapes(x: Array, v: Array, *others: Any) -> _torch.Shapes:
    return (v.shape, None), (x.shape, "int32")


_torch.declare_smooth(
    "scan_product",
    "(Tensor x, Tensor v, Tensor temperature, Tensor? mask, Tensor? offsets, str function, str method, "
    "bool descending, bool transposed) -> (Tensor y, Tensor places)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x", "v", "temperature"),
    saved=("places",),
    values=1,
    memo=True,
    device=True,
)

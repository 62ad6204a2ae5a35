"""LapSum: soft ranks and soft sorting by sums of Laplace distributions, and its doubly stochastic permutation."""

from typing import Any

import numpy as np

from argrad import _array, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_scans, _lists, _scans
from argrad.sorting._lists import Lists

_Arrays = tuple[np.ndarray[Any, Any], ...]


def enter(lists: Lists, *, descending: bool, temperature: object) -> _scans.Scans:
    """Check the options of the permutation."""
    return _scans.Scans(
        lists, descending, _lists.per_list(lists, "temperature", temperature, low=0, open_low=True), "laplace"
    )


def soft_rank(lists: Lists, strength: Array, descending: bool) -> Array:
    """Return 1/2 + sum_j F((x_i - x_j) / strength), F the Laplace distribution; 0 at masked items.

    Args:
        lists: scores.
        strength: >= 0, one number per list, as `_lists.per_list` gives them. At 0 ranks are hard (ties by position).
        descending: whether rank 1 belongs to the largest item.
    """
    return _call(lists, strength, descending, False)


def soft_sort(lists: Lists, strength: Array, descending: bool) -> Array:
    """Return for r = 1, 2, ... the b with sum_j F((b - x_j) / strength) = r - 1/2; 0 beyond the items that count."""
    return _call(lists, strength, descending, True)


def _call(lists: Lists, strength: Array, descending: bool, sorts: bool) -> Array:
    arrays = (lists.x, strength, lists.mask, lists.offsets)
    return _lists.call("laplace_values", _forward, 1, *arrays, lists.function, descending, sorts)


def _forward(
    x: np.ndarray[Any, Any],
    strength: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    descending: bool,
    sorts: bool,
) -> _Arrays:
    if not _array.is_device(x):
        return _on_host(x, strength, mask, offsets, function, descending, sorts)
    arrays, fault = (x, strength, mask, offsets), _cuda.fault(x)
    found = _device_scans.laplace_values(*arrays, descending, sorts, fault)
    _cuda.confirm(fault, _on_host, *arrays, function, descending, sorts)
    return found


def _on_host(
    x: np.ndarray[Any, Any],
    strength: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    descending: bool,
    sorts: bool,
) -> _Arrays:
    if not (strength.min(initial=0.0) >= 0 and strength.max(initial=0.0) < np.inf):
        wrong = strength[~((strength >= 0) & (strength < np.inf))][0]
        raise ValueError(f"{function}: strength must be finite and >= 0, got {wrong}")
    bounds = _lists.bounds(function, x.shape, offsets)
    y, places = _native.laplace_values(function, sorts, x, strength, bounds, mask, descending)
    return y.reshape(x.shape), places.reshape(x.shape)


def _vjp(
    x: np.ndarray[Any, Any],
    strength: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    descending: bool,
    sorts: bool,
    places: np.ndarray[Any, Any],
    y_grad: np.ndarray[Any, Any],
    wanted: int,
) -> _Arrays:
    if _array.is_device(x):
        to_x, _, to_strength = _device_scans.laplace_gradients(
            x, y_grad, strength, mask, offsets, places, descending, sorts
        )
        return to_x, to_strength
    bounds = _lists.bounds(function, x.shape, offsets)
    to_x, _, to_strength = _native.laplace_gradients(
        function, sorts, x, y_grad, strength, bounds, places, descending, None
    )
    return to_x.reshape(x.shape), to_strength.reshape(strength.shape)


def _second(
    x: np.ndarray[Any, Any],
    strength: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    descending: bool,
    sorts: bool,
    places: np.ndarray[Any, Any],
    y_grad: np.ndarray[Any, Any],
    x_tangent: np.ndarray[Any, Any],
    strength_tangent: np.ndarray[Any, Any],
) -> _Arrays:
    if _array.is_device(x):
        to_x, to_grad, to_strength = _device_scans.laplace_gradients(
            x, y_grad, strength, mask, offsets, places, descending, sorts, (x_tangent, strength_tangent)
        )
        return to_x, to_strength, to_grad
    bounds = _lists.bounds(function, x.shape, offsets)
    to_x, to_grad, to_strength = _native.laplace_gradients(
        function, sorts, x, y_grad, strength, bounds, places, descending, (x_tangent, strength_tangent)
    )
    return to_x.reshape(x.shape), to_strength.reshape(strength.shape), to_grad.reshape(x.shape)


def _shapes(x: Array, *others: Any) -> _torch.Shapes:
    return (x.shape, None), (x.shape, "int32")


_torch.declare_smooth(
    "laplace_values",
    "(Tensor x, Tensor strength, Tensor? mask, Tensor? offsets, str function, bool descending, bool sorts) -> "
    "(Tensor y, Tensor places)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x", "strength"),
    saved=("places",),
    values=1,
    device=True,
)

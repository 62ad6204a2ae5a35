"""Where the items of a list go: integers without a gradient, for hard permutations and for vectors over the ranks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from argrad import _array, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device, _lists
from argrad.sorting._lists import Lists


def places(lists: Lists, descending: bool) -> Array:
    """Return the place that each item has after sorting, int64 of the shape of x.

    Places count along the last dimension: the first of a list is where the list begins. Items that do not count have
    -1, and so have all items of a list with a NaN among those that count.
    """
    return _call("hard_places", _places, lists, descending)


def row_numbers(lists: Lists, backwards: bool) -> Array:
    """Return the numbers 1, 2, ... of the places of each list, int64 of the shape of x; 0 where no item goes.

    Args:
        lists: the lists.
        backwards: whether the last place that an item goes to has number 1.
    """
    return _call("row_numbers", _row_numbers, lists, backwards)


def send(v: Array, places: Array, rows: int) -> Array:
    """Return P V, P the hard permutation: (*batch, rows, m) with `v[..., j, :]` at row `places[..., j]`.

    Items whose place is -1, or not below `rows`, go nowhere; rows that no item goes to are zero.
    """
    shape = (*v.shape[:-2], rows + 1, v.shape[-1])
    if _array.is_tensor(v):
        index = places.masked_fill((places < 0) | (places >= rows), rows).unsqueeze(-1).expand(v.shape)
        return v.new_zeros(shape).scatter(-2, index, v)[..., :rows, :]
    out = np.zeros_like(v, shape=shape)
    index = np.where((places < 0) | (places >= rows), rows, places)[..., None]
    np.put_along_axis(out, np.broadcast_to(index, v.shape), v, -2)
    return out[..., :rows, :]


def fetch(u: Array, places: Array) -> Array:
    """Return the transposed product: (*batch, n, m) with `u[..., places[..., j], :]` at row j, or zeros."""
    rows = u.shape[-2]
    if _array.is_tensor(u):
        nowhere = (places < 0) | (places >= rows)
        index = places.masked_fill(nowhere, 0).unsqueeze(-1).expand(*places.shape, u.shape[-1])
        return u.gather(-2, index).masked_fill(nowhere.unsqueeze(-1), 0)
    nowhere = (places < 0) | (places >= rows)
    index = np.where(nowhere, 0, places)[..., None]
    return np.where(
        nowhere[..., None], 0, np.take_along_axis(u, np.broadcast_to(index, (*places.shape, u.shape[-1])), -2)
    )


def _call(operator: str, forward: Any, lists: Lists, option: bool) -> Array:
    x = lists.x.detach() if _array.is_tensor(lists.x) else lists.x
    return _lists.call(operator, forward, 1, x, lists.mask, lists.offsets, lists.function, option)


def _places(
    x: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    descending: bool,
) -> tuple[np.ndarray[Any, Any]]:
    if _array.is_device(x):
        return (_places_on_device(x, mask, offsets, function, descending),)
    return _places_on_host(x, mask, offsets, function, descending)


def _places_on_device(x: Array, mask: Array | None, offsets: Array | None, function: str, descending: bool) -> Array:
    lists, fault, wide = _device.batch(x, offsets), _cuda.fault(x), _cuda.widen(x)
    order = _device.order(wide, mask, lists, descending, fault)
    _cuda.confirm(fault, _places_on_host, x, mask, offsets, function, descending)
    return _device.hard_places(wide, order, lists)


def _places_on_host(
    x: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    descending: bool,
) -> tuple[np.ndarray[Any, Any]]:
    bounds = _lists.bounds(function, x.shape, offsets)
    # float64, because float32 holds no ranks above 2**24.
    ranks = _native.hard_rank(function, x.astype(np.float64), bounds, mask, descending, np.nan)
    found = np.nan_to_num(ranks, nan=0.0).astype(np.int64).reshape(x.shape) - 1
    return (np.where(found < 0, -1, found + _starts(x.shape, bounds)),)


def _row_numbers(
    x: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    backwards: bool,
) -> tuple[np.ndarray[Any, Any]]:
    if not _array.is_device(x):
        return _row_numbers_on_host(x, mask, offsets, function, backwards)
    fault = _cuda.fault(x)
    numbers = _device.row_numbers(x, mask, _device.batch(x, offsets), backwards, fault)
    _cuda.confirm(fault, _row_numbers_on_host, x, mask, offsets, function, backwards)
    return (numbers,)


def _row_numbers_on_host(
    x: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    function: str,
    backwards: bool,
) -> tuple[np.ndarray[Any, Any]]:
    bounds = _lists.bounds(function, x.shape, offsets)
    n = x.shape[-1]
    numbers = np.arange(1, n + 1) - _starts(x.shape, bounds)
    if bounds is None:
        counts: Any = n if mask is None else mask.sum(-1, keepdims=True)
    else:
        running = np.append(0, np.cumsum(np.ones(x.size, bool) if mask is None else mask))
        counts = np.repeat(np.diff(running[bounds]), np.diff(bounds)).reshape(x.shape)
    found = np.where(numbers <= counts, counts + 1 - numbers if backwards else numbers, 0)
    return (np.ascontiguousarray(np.broadcast_to(found, x.shape)),)


def _starts(shape: tuple[int, ...], bounds: np.ndarray[Any, Any] | None) -> Any:
    """Return where the list of each item begins in the last dimension."""
    if bounds is None:
        return 0
    starts = np.repeat(bounds[:-1], np.diff(bounds)).reshape(shape)
    return starts - shape[-1] * np.arange(starts.size // max(shape[-1], 1)).reshape(*shape[:-1], 1)


def _shapes(x: Array, mask: Array | None, offsets: Array | None, function: str, option: bool) -> _torch.Shapes:
    return ((x.shape, "int64"),)


def _backward(saved: Mapping[str, Any], grads: Sequence[Any], wanted: Sequence[str]) -> dict[str, Any]:
    return {}


for _name, _forward, _option in (("hard_places", _places, "descending"), ("row_numbers", _row_numbers, "backwards")):
    _torch.declare(
        _name,
        f"(Tensor x, Tensor? mask, Tensor? offsets, str function, bool {_option}) -> (Tensor out)",
        forward=_forward,
        shapes=_shapes,
        backward=_backward,
        values=1,
        saved=(),
        folds=True,
        device=True,
    )

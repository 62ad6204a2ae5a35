"""What operators on lists do first and last: checks, the list dimension to the end and back, per-list numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _torch
from argrad._array import Array


class Lists(NamedTuple):
    """A checked input whose last dimension holds the lists.

    Attributes:
        function: name of the public function, for error sentences.
        x: scores, shape (*batch, n).
        dim: where the last dimension came from, negative.
        mask: None, or booleans of the shape of `x`: which items count.
        offsets: None (each row is one list), or int64 of shape (lists + 1,): the last dimension holds the lists
            `offsets[i]:offsets[i + 1]`, the same in every row.
    """

    function: str
    x: Array
    dim: int
    mask: Array | None
    offsets: Array | None

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of one number per list: the leading dimensions, and the lists of a row."""
        lists = 1 if self.offsets is None else self.offsets.shape[-1] - 1
        return (*self.x.shape[:-1], lists)

    def leave(self, y: Array) -> Array:
        """Move the last dimension of a result of the shape of `x` back to where it came from."""
        return y if self.dim == -1 else move(y, -1, self.dim)


def move(x: Array, source: int, destination: int) -> Array:
    """Move one dimension, as a view."""
    return x.movedim(source, destination) if _array.is_tensor(x) else np.moveaxis(x, source, destination)


def enter(
    function: str,
    x: Array,
    *,
    dim: int = -1,
    mask: Array | None = None,
    offsets: Array | None = None,
    name: str = "x",
    device: bool = False,
) -> Lists:
    """Check what operators on lists share; values are read by the kernels.

    Error sentences call the arguments x, mask and offsets, or those of a second input y, y_mask and y_offsets (`name`).
    `device` tells whether there are kernels for arrays on a device.

    Raises:
        TypeError: `x` not a floating array, `mask` not boolean, `offsets` not int64 or int32, or arrays of two kinds.
        ValueError: `x` without a dimension, `dim` out of range, or `mask` or `offsets` of the wrong shape.
        RuntimeError: an array on a device without kernels.
    """
    _check.floating(function, name, x, device=device)
    if x.ndim == 0:
        raise ValueError(f"{function}: {name} must have at least one dimension, got a 0-dimensional array")
    if dim != -1 or type(dim) is not int:
        dim = _check.integer(function, "dim", dim, low=-x.ndim, high=x.ndim - 1)
        dim = dim - x.ndim if dim >= 0 else dim
    prefix = "" if name == "x" else f"{name}_"
    if mask is not None or offsets is not None:
        _check.same_kind(function, {name: x, f"{prefix}mask": mask, f"{prefix}offsets": offsets})
    if mask is not None:
        mask = check_mask(function, mask, tuple(x.shape), name)
    if offsets is not None:
        _check_offsets(function, offsets, f"{prefix}offsets")
    if dim != -1:
        x, mask = move(x, dim, -1), None if mask is None else move(mask, dim, -1)
    return Lists(function, x, dim, mask, offsets)


def check_mask(function: str, mask: Array, shape: tuple[int, ...], name: str = "x") -> Array:
    """Require a boolean array of exactly this shape, that of the input `name`."""
    argument = "mask" if name == "x" else f"{name}_mask"
    _check.array(function, argument, mask, device=True)  # it is where x is
    if _check.dtype_name(mask) != "bool":
        raise TypeError(f"{function}: {argument} must be of dtype bool, got {_check.dtype_name(mask)}")
    if tuple(mask.shape) != shape:
        raise ValueError(f"{function}: {argument} must be of shape {shape} like {name}, got {tuple(mask.shape)}")
    return mask


def _check_offsets(function: str, offsets: Array, argument: str) -> None:
    _check.array(function, argument, offsets, device=True)  # they are where x is
    if _check.dtype_name(offsets) not in ("int64", "int32"):
        raise TypeError(f"{function}: {argument} must be of dtype int64 or int32, got {_check.dtype_name(offsets)}")
    if offsets.ndim != 1 or offsets.shape[0] < 1:
        raise ValueError(f"{function}: {argument} must be of shape (lists + 1,), got {tuple(offsets.shape)}")


def per_list(lists: Lists, argument: str, value: object, *, low: float | None = None, open_low: bool = False) -> Array:
    """Return a number, or a floating array of one number for each list, as an array of shape `lists.batch`.

    Its dtype is the one that is computed in. Arrays keep their gradient. The bounds, as in `_check.real`, hold for a
    number; the kernels check the values of arrays.

    Raises:
        TypeError: neither a number nor a floating array of the kind of x.
        ValueError: a number that is not finite or out of range, or an array that cannot be broadcast to one number per
            list: the shape of x without `dim` (with `offsets`, followed by the number of lists).
    """
    x, shape = lists.x, lists.batch
    if type(value) is float or _array.kind_of(value) is None:
        return _array.full(shape, _check.real(lists.function, argument, value, low=low, open_low=open_low), x)
    _check.floating(lists.function, argument, value, device=True)
    _check.same_kind(lists.function, {"x": x, argument: value})
    array: Any = value
    given = (*array.shape, 1) if lists.offsets is None and array.ndim > 0 else tuple(array.shape)
    if len(given) > len(shape) or any(a not in (1, b) for a, b in zip(given[::-1], shape[::-1], strict=False)):
        wanted = tuple(shape if lists.offsets is not None else shape[:-1])
        raise ValueError(
            f"{lists.function}: {argument} must be a number or of shape {wanted}, got {tuple(array.shape)}"
        )
    array = _array.cast(array.reshape(given), _array.computed(x))
    return _array.spread(array, shape)


def bounds(
    function: str, shape: tuple[int, ...], offsets: np.ndarray[Any, Any] | None, argument: str = "offsets"
) -> np.ndarray[Any, Any] | None:
    """Return where each list of an array of `shape`, taken as one row of numbers, begins; then where the last ends.

    Args:
        function: name of the public function.
        shape: shape of the array of items, (*batch, n).
        offsets: as in `Lists`, or with leading batch dimensions.
        argument: what the function calls them.

    Raises:
        ValueError: offsets that do not begin with 0 and end with n. (That they do not decrease is checked natively.)
    """
    if offsets is None:
        return None
    n, rows = shape[-1], int(np.prod(shape[:-1], dtype=np.int64))
    table = np.broadcast_to(offsets.astype(np.int64), (*shape[:-1], offsets.shape[-1])).reshape(rows, -1)
    wrong = np.flatnonzero((table[:, 0] != 0) | (table[:, -1] != n))
    if wrong.size:
        first, last = table[wrong[0], [0, -1]].tolist()
        raise ValueError(f"{function}: {argument} must begin with 0 and end with {n}, got {first} and {last}")
    starts = table[:, :-1] + n * np.arange(rows, dtype=np.int64)[:, None]
    return np.append(starts.ravel(), rows * n)


def call(operator: str, forward: Callable[..., tuple[Any, ...]], values: int, *args: Any) -> Any:
    """Call an operator: on tensors the declared one, on others its forward function.

    Args:
        operator: name under which the stem declared it.
        forward: what it was declared with.
        values: number of outputs that are values.
        args: arrays and options; the first array decides about kind and dtype.
    """
    if _array.is_tensor(args[0]):
        return getattr(_torch, operator)(*args)
    outputs = forward(*[x if _array.kind_of(x) is None else _array.raw(x) for x in args])[:values]
    results = tuple(_array.like(y, args[0], args[0].dtype) for y in outputs)
    return results[0] if values == 1 else results

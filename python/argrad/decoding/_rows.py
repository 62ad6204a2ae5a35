"""What every operator on rows of logits checks, and its parameters and seeds per row."""

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check
from argrad._array import Array

MOST = 2**32 - 1
"""Numbers in a row: places are kept in 32 bits."""


class Rows(NamedTuple):
    """Checked rows.

    Attributes:
        function: public name of the operator, for errors.
        x: the array, shape (*batch, v).
        batch: leading dimensions.
        v: numbers in a row, at least one.
    """

    function: str
    x: Array
    batch: tuple[int, ...]
    v: int


def enter(function: str, argument: str, x: Array, *, device: bool = False) -> Rows:
    """Require a floating array (`device`: not only on the host) whose last dimension holds rows of at least one number.

    Raises:
        TypeError: not an array, or not of a floating dtype.
        ValueError: no dimension, or rows that are empty or too long.
        RuntimeError: an array on a device.
    """
    _check.floating(function, argument, x, device=device)
    shape = tuple(x.shape)
    if not shape or shape[-1] == 0:
        raise ValueError(f"{function}: {argument} must have rows of at least one number, got shape {shape}")
    if shape[-1] > MOST:
        raise ValueError(f"{function}: {argument} must have at most {MOST} numbers in a row, got {shape[-1]}")
    return Rows(function, x, shape[:-1], shape[-1])


def per_row(
    rows: Rows,
    argument: str,
    value: object,
    *,
    low: float | None = None,
    open_low: bool = False,
    high: float | None = None,
    open_high: bool = False,
) -> Array:
    """Require a number, or an array of one for each row; return float64 of the shape of the batch, kind of the rows.

    The bounds, as in `_check.real`, hold for a number; kernels check the values of arrays and name the row.

    Raises:
        TypeError: neither a number nor an array of numbers of the kind of the rows.
        ValueError: a number out of range, or an array of another shape than that of the batch.
    """
    if _array.kind_of(value) is None:
        number = _check.real(rows.function, argument, value, low=low, high=high, open_low=open_low, open_high=open_high)
        return _array.constant(rows.batch, number, "float64", rows.x)
    return _spread(rows, argument, value, "float64")


def per_row_integer(rows: Rows, argument: str, value: object, *, low: int, high: int = 2**63 - 1) -> Array:
    """Require an integer, or an array of one for each row; return int64 of the shape of the batch, kind of the rows.

    Raises:
        TypeError: neither an integer nor an array of integers of the kind of the rows.
        ValueError: an integer out of range, or an array of another shape than that of the batch.
    """
    if _array.kind_of(value) is None:
        number = _check.integer(rows.function, argument, value, low=low, high=high)
        return _array.constant(rows.batch, number, "int64", rows.x)
    if not _check.dtype_name(value).startswith(("int", "uint")):
        raise TypeError(f"{rows.function}: {argument} must be of an integer dtype, got {_check.dtype_name(value)}")
    return _spread(rows, argument, value, "int64")


def _spread(rows: Rows, argument: str, value: Array, dtype: str) -> Array:
    _check.numbers(rows.function, argument, value, device=True)
    _check.same_kind(rows.function, {"logits": rows.x, argument: value})
    if tuple(value.shape) not in ((), rows.batch):
        raise ValueError(
            f"{rows.function}: {argument} must be a number or of shape {rows.batch}, got {tuple(value.shape)}"
        )
    return _array.spread(_array.cast(value, dtype), rows.batch)


def numbers_of_rows(rows: Rows) -> Array:
    """Return 0, 1, ... as int64, a number for each row in order."""
    return _array.counted(math.prod(rows.batch), rows.x).reshape(rows.batch)


def flat(array: Array) -> Any:
    """Return parameters as the kernels take them: one dimension, contiguous."""
    return _array.raw(array).reshape(-1)


def wide(bits: Array) -> Array:
    """Return int64 bits as the float64 that they are: how operators on float32 hand out float64."""
    if not _array.is_tensor(bits):
        return bits.view(np.float64)
    return bits.view(sys.modules["torch"].float64)

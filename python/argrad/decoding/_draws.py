"""Where the draws of an operator stand: seed, row and step, one each or one for every row."""

import math
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check
from argrad._array import Array
from argrad.decoding import _rows

_HIGH = 2**32 - 1


class Place(NamedTuple):
    """Checked numbers for all rows, or arrays of one for each.

    Attributes:
        seed: 64 bits; arrays hold them as int64.
        row: None for 0, 1, ...
        step: number of the step.
    """

    seed: Any
    row: Any
    step: Any

    def plain(self) -> tuple[Any, Any, Any]:
        """Return what the kernels take."""
        return plain(self.seed), plain(self.row), plain(self.step)


def place(rows: _rows.Rows, seed: object, row: object, step: object) -> Place:
    """Require what says where the draws of rows stand.

    Raises:
        TypeError: not what `_check.seed` takes nor an integer array, or `row` or `step` no integer or integer array.
        ValueError: a negative or too large number, or an array of another shape than that of the batch.
    """
    bits = _check.seed(rows.function, seed, "seed") if _is_number(seed) else _integers(rows, "seed", seed)
    return Place(bits, None if row is None else _integers(rows, "row", row), _integers(rows, "step", step))


def _is_number(value: object) -> bool:
    return type(value) is int or _array.kind_of(value) is None


def _integers(rows: _rows.Rows, argument: str, value: object) -> int | Array:
    if _is_number(value):
        return _check.integer(rows.function, argument, value, low=0, high=_HIGH)
    return _rows.per_row_integer(rows, argument, value, low=0)


def spread(rows: _rows.Rows, where: Place) -> tuple[Any, Any, Any]:
    """Return seed, row and step as tensors of int64 and of the shape of the batch; the rows are a tensor."""
    import torch

    def numbers(number: Any) -> Any:
        if not isinstance(number, int):
            return number
        return rows.x.new_full(rows.batch, number - (number >> 63 << 64), dtype=torch.int64)

    count = torch.arange(math.prod(rows.batch)).reshape(rows.batch)
    return numbers(where.seed), count if where.row is None else numbers(where.row), numbers(where.step)


def plain(number: Any) -> Any:
    """Return a number, or an array of numbers as the kernels take it."""
    return number if number is None or isinstance(number, int | float) else np.ascontiguousarray(_array.raw(number))


def leave(rows: _rows.Rows, found: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return token, size and log-probability in the shape of the batch, kind of the rows."""
    token, size, logs = (_array.like(x, rows.x) for x in found)
    return token.reshape(rows.batch), size.reshape(rows.batch), logs.reshape(rows.batch)


def as_float(bits: Any) -> Any:
    """Return the float64 whose bits a tensor of int64 holds."""
    import torch

    return bits.view(torch.float64)

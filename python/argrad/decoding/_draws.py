"""Where the draws of an operator stand: seed, row and step, one each or one for every row."""

from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _torch
from argrad._array import Array
from argrad.decoding import _rows

_HIGH, _MOST = 2**32 - 1, 2**64 - 1


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

    def arrays(self) -> list[Array]:
        """Return the arrays among its parts."""
        return [x for x in self if x is not None and type(x) is not int]

    def plain(self) -> tuple[Any, Any, Any]:
        """Return what the kernels take."""
        return plain(self.seed), plain(self.row), plain(self.step)


def place(rows: _rows.Rows, seed: object, row: object, step: object) -> Place:
    """Require what says where the draws of rows stand.

    Raises:
        TypeError: not what `_check.seed` takes nor an integer array, or `row` or `step` no integer or integer array.
        ValueError: a negative or too large number, or an array of another shape than that of the batch.
    """
    if row is None and (found := alone(seed, step)) is not None:
        return Place(*found)
    bits = _integers(rows, "seed", seed) if _is_array(seed) else _check.seed(rows.function, seed, "seed")
    return Place(bits, None if row is None else _integers(rows, "row", row), _integers(rows, "step", step))


def alone(seed: object, step: object) -> tuple[int, None, int] | None:
    """Return what the kernels take if seed and step are ordinary integers in their ranges."""
    if type(seed) is int and type(step) is int and 0 <= seed <= _MOST and 0 <= step <= _HIGH:
        return seed, None, step
    return None


def _is_array(value: object) -> bool:
    return type(value) is not int and _array.kind_of(value) is not None


def _integers(rows: _rows.Rows, argument: str, value: object) -> int | Array:
    if _is_array(value):
        return _rows.per_row_integer(rows, argument, value, low=0)
    return _check.integer(rows.function, argument, value, low=0, high=_HIGH)


def spread(rows: _rows.Rows, where: Place) -> tuple[Any, Any, Any]:
    """Return seed, row and step as tensors of int64 and of the shape of the batch; the rows are a tensor."""

    def numbers(number: Any) -> Any:
        if not isinstance(number, int):
            return number
        return _array.constant(rows.batch, number - (number >> 63 << 64), "int64", rows.x)

    row = _rows.numbers_of_rows(rows) if where.row is None else numbers(where.row)
    return numbers(where.seed), row, numbers(where.step)


def plain(number: Any) -> Any:
    """Return a number, or an array of numbers as the kernels take it."""
    plain_types = (int, float, type(None))
    return number if type(number) in plain_types else np.ascontiguousarray(_array.raw(number))


def leave(rows: _rows.Rows, found: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return token, size and log-probability as the kind of the rows."""
    token, size, logs = _torch.give(found) if _array.is_tensor(rows.x) else found
    return token, size, logs

"""Exact draws from sparse distributions, and the way from them to dense arrays."""

import math
from typing import Any

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.decoding import _device_truncate, _draws, _rows


def sample(
    indices: Array,
    values: Array,
    size: Array,
    *,
    seed: object = None,
    row: int | Array | None = None,
    step: int | Array = 0,
) -> tuple[Any, Any]:
    """Draw a token of each row from a sparse distribution, exactly.

    By inversion in float64, with 53 bits: the first place whose running sum exceeds u times the sum. A token of
    probability 0 is never drawn, and any other can be, down to probabilities of 1e-16.

    Args:
        indices: tokens, int64, shape (*batch, K).
        values: their probabilities, >= 0, of the same shape: float16, bfloat16 (torch), float32 or float64; numpy
            array, torch tensor (CPU or CUDA) or cupy array. Those of a row need not sum to 1; a draw is in proportion
            to them.
        size: how many places of each row count, int64, shape batch; an integer for one row.
        seed: None (fresh entropy), an integer of 64 bits, a numpy `Generator` or `RandomState`, a `torch.Generator`, or
            an integer array of one seed for each row.
        row: number of each row, 0 to 2^32 - 1; None counts 0, 1, ... Give the number of a request to make its draws
            independent of its place in the batch, and inside `torch.vmap`, which shows single rows.
        step: number of the step, 0 to 2^32 - 1: draws at different steps are independent.

    Returns:
        Token, int64, and its log-probability among those of its row, float64; shape batch, kind of `values`.

    Raises:
        TypeError: not arrays of one kind, of another dtype, or a seed, row or step of another type.
        ValueError: shapes that do not fit, a size that is not from 1 to K, a value that is negative or not finite,
            values whose sum is not positive, a drawn index below 0 (the row is named), or a seed, row or step out of
            range. On a device a row that is refused gives the token -1 and NaN, see `argrad.set_device_validation`.

    Gradient:
        None: the results are constants.

    Determinism:
        A function of the row's values and of seed, row and step: the same token in any batch and on any machine.
        Inside `torch.compile` a seed must be given.

    Cost:
        O(K) for each row.

    References:
        Numbers are those of Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import sample, truncate
        >>> kept = truncate(np.log([[0.15, 0.5, 0.05, 0.3]] * 4), top_k=2)
        >>> sample(*kept, seed=1)[0]
        array([3, 3, 3, 1])
    """
    rows, size = _lists("sample", indices, values, size)
    place = _draws.place(rows, seed, row, step)
    if _torch.is_direct([indices, values, size, *place.arrays()]):
        places, weights, sizes = (_array.raw(x) for x in (indices, values, size))
        if not _array.is_device(weights):
            token, _, logs = _draws.leave(rows, _native.sample("sample", places, weights, sizes, place.plain()))
            return token, logs
    numbers = _draws.spread(rows, place)
    if _array.is_tensor(values):
        token, bits = _torch.sample(values, indices, size, *numbers)
    else:
        token, bits = _forward(weights, places, sizes, *numbers)
    return token, _rows.wide(bits)


def to_dense(indices: Array, values: Array, size: Array, v: int) -> Any:
    """Return sparse distributions as dense ones: the values at their indices, zero elsewhere.

    Args:
        indices: tokens, int64, shape (*batch, K).
        values: their probabilities, >= 0, of the same shape: float16, bfloat16 (torch), float32 or float64; numpy
            array, torch tensor (CPU or CUDA) or cupy array. Those of a row need not sum to 1.
        size: how many places of each row count, int64, shape batch; an integer for one row.
        v: numbers in a dense row, at least 1. A row names no token twice.

    Returns:
        Shape (*batch, v), dtype and kind of `values`.

    Raises:
        TypeError: not arrays of one kind, or of another dtype.
        ValueError: shapes that do not fit, `v` < 1, or an index that counts and is not below `v` (numpy; torch says so
            itself, in its own words, as `RuntimeError`; a cupy array leaves it out, see
            `argrad.set_device_validation`).

    Gradient:
        To `values`: the upstream gradient at their indices.

    Determinism:
        No randomness.

    Cost:
        O(v) for each row.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import to_dense, truncate
        >>> to_dense(*truncate(np.log([0.15, 0.5, 0.05, 0.3]), top_k=2), 4)
        array([0.   , 0.625, 0.   , 0.375])
    """
    return _spread("to_dense", indices, values, size, v, logarithm=False)


def to_logits(indices: Array, values: Array, size: Array, v: int) -> Any:
    """Return the logarithms of sparse distributions as dense arrays, -inf where there is no token.

    What a logits processor hands on: the softmax of the result is the distribution.

    Args:
        indices: tokens, int64, shape (*batch, K).
        values: their probabilities, >= 0, of the same shape: float16, bfloat16 (torch), float32 or float64; numpy
            array, torch tensor (CPU or CUDA) or cupy array. Those of a row need not sum to 1.
        size: how many places of each row count, int64, shape batch; an integer for one row.
        v: numbers in a dense row, at least 1. A row names no token twice.

    Returns:
        Shape (*batch, v), dtype and kind of `values`.

    Raises:
        TypeError: not arrays of one kind, or of another dtype.
        ValueError: shapes that do not fit, `v` < 1, or an index that counts and is not below `v` (numpy; torch says so
            itself, in its own words, as `RuntimeError`; a cupy array leaves it out, see
            `argrad.set_device_validation`).

    Gradient:
        To `values`: the upstream gradient at their indices, over the value.

    Determinism:
        No randomness.

    Cost:
        O(v) for each row.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import to_logits, truncate
        >>> to_logits(*truncate(np.log([0.15, 0.5, 0.05, 0.3]), top_k=2), 4).round(2)
        array([ -inf, -0.47,  -inf, -0.98])
    """
    return _spread("to_logits", indices, values, size, v, logarithm=True)


def _lists(function: str, indices: Array, values: Array, size: Array) -> tuple[_rows.Rows, Array]:
    """Require indices, values and sizes that fit, of one kind; return the values as rows, and the sizes as an array."""
    rows = _rows.enter(function, "values", values, device=True)
    if isinstance(size, int | np.integer):  # that of one row, taken out of an array of sizes
        size = _array.constant((), int(size), "int64", values)
    for argument, x, shape in (("indices", indices, tuple(values.shape)), ("size", size, rows.batch)):
        _check.numbers(function, argument, x, device=True)
        _check.same_kind(function, {"values": values, argument: x})
        if _check.dtype_name(x) != "int64":
            raise TypeError(f"{function}: {argument} must be of dtype int64, got {_check.dtype_name(x)}")
        if tuple(x.shape) != shape:
            raise ValueError(f"{function}: {argument} must be of shape {shape}, got {tuple(x.shape)}")
    return rows, size


def _spread(function: str, indices: Array, values: Array, size: Array, v: int, *, logarithm: bool) -> Any:
    rows, size = _lists(function, indices, values, size)
    if type(v).__name__ != "SymInt":  # the size of a dimension that a compiler keeps open
        v = _check.integer(function, "v", v, low=1, high=_rows.MOST)
    if _array.is_tensor(values):
        return _spread_tensor(rows, indices, size, v, logarithm)
    return _spread_array(function, rows, indices, size, v, logarithm)


def _spread_array(function: str, rows: _rows.Rows, indices: Any, size: Any, v: int, logarithm: bool) -> Any:
    values, library = rows.x, _array.library(rows.x)
    absent = _array.counted(indices.shape[-1], values) >= size[..., None]
    wrong = ~absent & ((indices < 0) | (indices >= v))
    if (not _array.is_device(values) or _cuda.validates()) and wrong.any():
        first = int(indices[wrong][0])
        raise ValueError(f"{function}: indices must be from 0 to {v - 1} in the places that count, got {first}")
    with np.errstate(divide="ignore"):
        numbers = library.log(values) if logarithm else values
    empty = -math.inf if logarithm else 0.0
    dense = _cuda.full((math.prod(rows.batch), v + 1), empty, values.dtype, values)
    # What does not count goes to a place beyond the row.
    places = library.where(absent | wrong, v, indices).reshape(len(dense), indices.shape[-1])
    dense[_array.counted(len(dense), values)[:, None], places] = numbers.reshape(places.shape)
    return library.ascontiguousarray(dense[:, :v]).reshape(*rows.batch, v)


def _spread_tensor(rows: _rows.Rows, indices: Any, size: Any, v: int, logarithm: bool) -> Any:
    values = rows.x
    absent = (indices.new_ones(indices.shape[-1]).cumsum(0) - 1) >= size[..., None]
    empty = -math.inf if logarithm else 0.0
    # Places that hold no token repeat what the first one writes; the gradient goes to the first alone.
    numbers = values.masked_fill(absent, 1.0).log() if logarithm else values
    places = indices.where(~absent, indices[..., :1])
    numbers = numbers.where(~absent, numbers[..., :1].detach())
    return values.new_full((*rows.batch, v), empty).scatter(-1, places, numbers)


def _forward(values: Any, indices: Any, size: Any, seed: Any, row: Any, step: Any) -> tuple[Any, Any]:
    if _array.is_device(values):
        return _device_truncate.sample(values, indices, size, _draws.Place(seed, row, step))
    place = (_rows.flat(seed), _rows.flat(row), _rows.flat(step))
    token, _, logs = _native.sample("sample", indices, values, size, place)
    return token, logs.view(np.int64)


_torch.declare(
    "sample",
    "(Tensor values, Tensor indices, Tensor size, Tensor seed, Tensor row, Tensor step) -> (Tensor token, Tensor bits)",
    forward=_forward,
    shapes=lambda values, *_: ((values.shape[:-1], "int64"), (values.shape[:-1], "int64")),
    backward=lambda *_: {},
    values=2,
    saved=(),
    folds=True,
    device=True,
)

"""Argument checks with one sentence grammar: `"{function}: {argument} must be {expected}, got {actual}"`.

The first two arguments of every check are the public function's name and the argument's name. A check looks at kinds,
dtypes and shapes of arrays; it reads values only where it says so.
"""

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from argrad import _array
from argrad._array import Array

# Tuples, because a union of types is made anew at each use.
_BOOLEANS = (bool, np.bool_)
_INTEGERS = (int, np.integer)
_NUMBERS = (int, float, np.integer, np.floating)

FLOATS = ("float16", "bfloat16", "float32", "float64")
WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def array(function: str, argument: str, x: Array, *, device: bool = False) -> None:
    """Require a dense array: a numpy array, a torch tensor or a cupy array.

    Args:
        function: see above.
        argument: see above.
        x: the value.
        device: whether the function has kernels for arrays on a device; otherwise they are refused.

    Raises:
        TypeError: another type, or a sparse tensor.
        RuntimeError: an array on a device for which there is no kernel.
    """
    kind = _array.kind_of(x)
    if kind is None:
        raise TypeError(f"{function}: {argument} must be {_array.EXPECTED}, got {_array.describe(x)}")
    if kind == "torch" and str(x.layout) != "torch.strided":
        raise TypeError(f"{function}: {argument} must be a dense tensor, got layout {x.layout}")
    if (kind == "cupy" or (kind == "torch" and not x.is_cpu)) and not (device and _array.has_kernels(x)):
        raise RuntimeError(
            f"{function}: {argument} must be in host memory, got {_array.location(x)}; "
            f"{_array.way_to_host(x, argument)}"
        )


def floating(function: str, argument: str, x: Array, *, device: bool = False) -> None:
    """Require an array of one of the four floating dtypes; `device` as in `array`.

    Raises:
        TypeError: not an array, or another dtype.
        RuntimeError: an array on a device.
    """
    # numpy builds the name of a dtype anew at each call.
    if (x.dtype.char in "efd") if type(x) is np.ndarray else _array.is_plain(x):
        return
    array(function, argument, x, device=device)
    name = dtype_name(x)
    if name not in FLOATS:
        raise TypeError(f"{function}: {argument} must be of dtype {', '.join(FLOATS[:-1])} or {FLOATS[-1]}, got {name}")


def numbers(function: str, argument: str, x: Array, *, device: bool = False) -> None:
    """Require an array of a dtype whose numbers have an order; `device` as in `array`.

    Raises:
        TypeError: not an array, or another dtype.
        RuntimeError: an array on a device.
    """
    array(function, argument, x, device=device)
    name = dtype_name(x)
    if name not in WHOLE and name not in FLOATS:
        raise TypeError(f"{function}: {argument} must be of a floating, integer or boolean dtype, got {name}")


def matrix(function: str, argument: str, x: Array, *, allow_empty: bool = False, device: bool = False) -> None:
    """Require a floating array of two dimensions with at least one column, and one row unless `allow_empty`.

    Raises:
        TypeError: not an array, or not of a floating dtype.
        ValueError: another rank, no column, or no row.
        RuntimeError: an array on a device.
    """
    floating(function, argument, x, device=device)
    if x.ndim != 2:
        raise ValueError(f"{function}: {argument} must be 2-dimensional, got {x.ndim} dimension(s)")
    if x.shape[1] == 0 or (x.shape[0] == 0 and not allow_empty):
        least = "one column" if allow_empty else "one row and one column"
        raise ValueError(f"{function}: {argument} must be a matrix of at least {least}, got shape {tuple(x.shape)}")


def vector(function: str, argument: str, x: Array, n: int, *, device: bool = False) -> None:
    """Require a floating array of one dimension and length `n`.

    Raises:
        TypeError: not an array, or not of a floating dtype.
        ValueError: another shape.
        RuntimeError: an array on a device.
    """
    floating(function, argument, x, device=device)
    _shape(function, argument, x, n)


def _shape(function: str, argument: str, x: Array, n: int) -> None:
    if x.ndim != 1 or x.shape[0] != n:
        raise ValueError(f"{function}: {argument} must be of shape ({n},), got {tuple(x.shape)}")


def dtype_name(x: Array) -> str:
    """Return the dtype's name, the same word for numpy and torch."""
    # numpy spells structured and big-endian dtypes differently in str; the name is free of the byte order.
    return str(x.dtype).removeprefix("torch.") if _array.is_tensor(x) else str(x.dtype.name)


def same_kind(function: str, arrays: Mapping[str, Array | None]) -> None:
    """Require all arrays, None aside, to be of one library and on one device.

    Raises:
        TypeError: a numpy array together with a tensor, or tensors of two devices.
    """
    found = _present(arrays)
    for name, x in found[1:]:
        first, reference = found[0]
        if _array.kind_of(x) != _array.kind_of(reference) or _device(x) != _device(reference):
            raise TypeError(f"{function}: {name} must be {_whereabouts(reference)} like {first}, got {_whereabouts(x)}")


def _device(x: Array) -> object:
    return x.device if _array.kind_of(x) in ("torch", "cupy") else None


def _whereabouts(x: Array) -> str:
    kind = _array.kind_of(x)
    if kind is None:
        return _array.describe(x)
    return f"a torch tensor on {x.device}" if kind == "torch" else f"a {kind} array"


def same_precision(function: str, arrays: Mapping[str, Array | None]) -> None:
    """Require all arrays, None aside, to be computed in one dtype: float16 and bfloat16 count as float32.

    Raises:
        TypeError: float64 together with a smaller dtype, because nothing is cast silently.
    """
    found = [(name, "float32" if "float16" in dtype_name(x) else dtype_name(x)) for name, x in _present(arrays)]
    for name, dtype in found[1:]:
        first, expected = found[0]
        if dtype != expected:
            raise TypeError(f"{function}: {name} must be of dtype {expected} like {first}, got {dtype}")


def _present(arrays: Mapping[str, Array | None]) -> list[tuple[str, Array]]:
    return [(name, x) for name, x in arrays.items() if x is not None]


def integer(function: str, argument: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Require an integer, not a boolean or a float, within `low <= value <= high`.

    Raises:
        TypeError: another type.
        ValueError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, _INTEGERS):
        raise TypeError(f"{function}: {argument} must be an integer{_range(low, high)}, got {value!r}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{function}: {argument} must be an integer{_range(low, high)}, got {int(value)}")
    return int(value)


def integers(function: str, argument: str, value: object, *, low: int, high: int) -> tuple[int, ...]:
    """Require an integer, or several different ones, as `integer` does; return them in their order.

    Raises:
        TypeError: another type.
        ValueError: out of range, or one that is there twice.
    """
    if not isinstance(value, list | tuple | range | set | frozenset):
        if isinstance(value, _INTEGERS) and not isinstance(value, bool):
            return (integer(function, argument, value, low=low, high=high),)
        raise TypeError(f"{function}: {argument} must be an integer{_range(low, high)} or several, got {value!r}")
    found = tuple([integer(function, argument, number, low=low, high=high) for number in value])
    if len(set(found)) < len(found):
        raise ValueError(f"{function}: {argument} must be different integers, got {value!r}")
    return found


def real(
    function: str,
    argument: str,
    value: object,
    *,
    low: float | None = None,
    high: float | None = None,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Require a finite number, not a boolean, within the bounds; an open bound is excluded itself.

    Raises:
        TypeError: another type.
        ValueError: NaN, infinite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        expected = _range(low, high, open_low, open_high)
        raise TypeError(f"{function}: {argument} must be a finite number{expected}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the largest float
        number = math.inf
    below = low is not None and (number <= low if open_low else number < low)
    above = high is not None and (number >= high if open_high else number > high)
    # Comparisons instead of math.isfinite, which torch.compile cannot trace for a symbolic number; NaN fails them.
    if not -math.inf < number < math.inf or below or above:
        expected = _range(low, high, open_low, open_high)
        raise ValueError(f"{function}: {argument} must be a finite number{expected}, got {number}")
    return number


def flag(function: str, argument: str, value: object) -> bool:
    """Require a boolean.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(value, _BOOLEANS):
        raise TypeError(f"{function}: {argument} must be a boolean, got {value!r}")
    return bool(value)


def _range(low: float | None, high: float | None, open_low: bool = False, open_high: bool = False) -> str:
    bounds = [] if low is None else [f"{'>' if open_low else '>='} {low}"]
    bounds += [] if high is None else [f"{'<' if open_high else '<='} {high}"]
    return (" " + " and ".join(bounds)) if bounds else ""


def choice(function: str, argument: str, value: object, options: Collection[str]) -> str:
    """Require one of the named options.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{function}: {argument} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return value


def weights_form(function: str, argument: str, w: Array | None, n: int, *, device: bool = False) -> None:
    """Require None or an array of `n` weights, without reading the values.

    Integer weights are accepted, because a weight is often a count.

    Raises:
        TypeError: not an array, or neither floating nor integer.
        ValueError: another shape than `(n,)`.
        RuntimeError: an array on a device.
    """
    if w is None:
        return
    array(function, argument, w, device=device)
    name = dtype_name(w)
    if name not in FLOATS and not name.startswith(("int", "uint")):
        raise TypeError(f"{function}: {argument} must be of a floating or integer dtype, got {name}")
    _shape(function, argument, w, n)


def weights(function: str, argument: str, w: Array | None, n: int) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return the weights as a contiguous float64 array, or None for None; reads the values.

    Raises:
        TypeError: see `weights_form`.
        ValueError: another shape than `(n,)`, a negative, NaN or infinite weight (with its position), or a sum that is
            zero or overflows.
        RuntimeError: an array on a device.
    """
    weights_form(function, argument, w, n)
    if w is None:
        return None
    values: np.ndarray[Any, np.dtype[np.float64]] = _array.raw(w).astype(np.float64, copy=False)
    # Two passes without temporaries decide; NaN fails every comparison, so it is caught here as well.
    if not (values.min(initial=0.0) >= 0.0 and values.max(initial=0.0) < np.inf):
        position = int(np.flatnonzero(~((values >= 0.0) & (values < np.inf)))[0])
        raise ValueError(f"{function}: {argument} must be finite and >= 0, got {values[position]} at row {position}")
    with np.errstate(over="ignore"):
        total = float(np.sum(values))
    if not 0.0 < total < math.inf:
        raise ValueError(f"{function}: {argument} must be weights of a positive, finite sum, got sum {total}")
    return values


def on_behalf(function: str, names: Mapping[str, str], operator: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a public operator for another public function, which its errors then speak of.

    Args:
        function: the public function that was called.
        names: what it calls the operator's arguments; those that are not there have one name.
        operator: what to call.
        args: its arguments.
        options: its options.
    """
    try:
        return operator(*args, **options)
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        start, text = f"{operator.__name__}: ", str(error)
        if not text.startswith(start):
            raise
        first, rest = text.removeprefix(start).split(" ", 1)
        raise type(error)(f"{function}: {names.get(first, first)} {rest}") from None


def seed(function: str, random_state: object, argument: str = "random_state") -> int:
    """Reduce any kind of random state to one 64-bit seed.

    None takes fresh entropy from the operating system. An integer is the seed itself. A generator (numpy `Generator`,
    `RandomState`, `torch.Generator`) gives 64 bits and moves on, so that two calls with one generator differ.

    Raises:
        TypeError: another type.
        ValueError: an integer outside [0, 2**64).
    """
    if random_state is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**64, dtype=np.uint64))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**64, dtype=np.uint64))
    bits = _array.torch_bits(random_state)
    if bits is not None:
        return bits
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        if not 0 <= random_state < 2**64:
            raise ValueError(f"{function}: {argument} must be an integer in [0, 2**64), got {random_state}")
        return int(random_state)
    raise TypeError(
        f"{function}: {argument} must be None, an integer, a numpy Generator or RandomState or a torch.Generator, "
        f"got {random_state!r}"
    )

"""What distances between barcodes do first and last: checks, which bars belong together, the shape of the answer."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from argrad import _array, _check, _torch
from argrad._array import Array
from argrad.topology._barcode import Barcode


class Bars(NamedTuple):
    """One barcode in float64, with the number of the distance that each bar belongs to, or -1."""

    birth: Array
    death: Array
    group: Array

    def place(self, count: int) -> Array:
        """Return the numbers, `count` instead of -1."""
        return self.group + (count + 1) * (self.group < 0)


class Pair(NamedTuple):
    """What is to be compared, and the form of the answer."""

    function: str
    first: Bars
    second: Bars
    shape: tuple[int, ...]
    like: Array

    @property
    def size(self) -> int:
        """How many distances there are."""
        return math.prod(self.shape)

    def arrays(self) -> tuple[Array, ...]:
        """Return birth, death and number of the bars of the first, and of the second."""
        return (*self.first, *self.second)

    def constants(self) -> tuple[Array, ...]:
        """Return the same tensors without their gradients."""
        return tuple(x.detach() for x in self.arrays())

    def shaped(self, distance: Array) -> Any:
        """Return the distances in the shape and dtype of the answer."""
        distance = _array.cast(distance.reshape(self.shape), _check.dtype_name(self.like))
        return distance if _array.is_tensor(distance) else distance[()]


def enter(
    function: str,
    first: Barcode,
    second: Barcode,
    dims: int | Sequence[int] | None,
    batch_shape: tuple[int, ...] | None,
) -> Pair:
    """Check two barcodes and number the distances that their bars belong to; see `wasserstein_distance`.

    Raises:
        TypeError: not barcodes, or barcodes of two kinds or precisions.
        ValueError: `dims` or `batch_shape` out of range, or arrays of different lengths.
    """
    _fields(function, "first", first)
    _fields(function, "second", second)
    _check.same_kind(function, {"first": first.birth, "second": second.birth})
    _check.same_precision(function, {"first": first.birth, "second": second.birth})
    batch_shape = _batch_shape(function, first, second, batch_shape)
    if dims is None:
        degrees = tuple(range(1 + max(_largest(first.dimension), _largest(second.dimension))))
    else:
        degrees = _check.integers(function, "dims", dims, low=0, high=2)
    sides = []
    for bars in (first, second):
        index = sum([(bars.dimension == degree) * (i + 1) for i, degree in enumerate(degrees)])
        image = bars.batch * (batch_shape[1] if len(batch_shape) == 2 else 1) + bars.channel
        # Numbers from 1 on, times whether the degree is wanted: -1 where it is not.
        group = (image * len(degrees) + index) * (index > 0) - 1 if degrees else image * 0 - 1
        sides.append(Bars(_array.cast(bars.birth, "float64"), _array.cast(bars.death, "float64"), group))
    single = dims is not None and not isinstance(dims, list | tuple | range | set | frozenset)
    shape = batch_shape if single else (*batch_shape, len(degrees))
    return Pair(function, sides[0], sides[1], shape, first.birth)


def _fields(function: str, argument: str, bars: object) -> None:
    """Require a barcode; of the arrays that a distance reads, one kind and one number for each bar."""
    if not isinstance(bars, Barcode):
        actual = f"a {type(bars).__name__}" if isinstance(bars, list | tuple) else _array.describe(bars)
        raise TypeError(f"{function}: {argument} must be a Barcode, got {actual}")
    _check.floating(function, f"{argument}.birth", bars.birth)
    if bars.birth.ndim != 1:
        raise ValueError(f"{function}: {argument}.birth must be of one dimension, got shape {tuple(bars.birth.shape)}")
    n = bars.birth.shape[0]
    for name in ("death", "dimension", "batch", "channel"):
        field, place = getattr(bars, name), f"{argument}.{name}"
        _check.same_kind(function, {f"{argument}.birth": bars.birth, place: field})
        if name == "death":
            _check.floating(function, place, field)
        elif not _check.dtype_name(field).startswith(("int", "uint")):
            raise TypeError(f"{function}: {place} must be of an integer dtype, got {_check.dtype_name(field)}")
        if tuple(field.shape) != (n,):
            raise ValueError(f"{function}: {place} must be of shape ({n},) like birth, got {tuple(field.shape)}")


def _batch_shape(function: str, first: Barcode, second: Barcode, said: object) -> tuple[int, ...]:
    """Check the leading dimensions, which a compiled function has to say, or find the least ones."""
    batch_shape = None
    if said is not None:
        if not isinstance(said, list | tuple) or len(said) > 2:
            raise ValueError(f"{function}: batch_shape must be (), (n,) or (n, c), got {said!r}")
        batch_shape = tuple([_check.integer(function, "batch_shape", size, low=0) for size in said])
        if _array.is_tensor(first.birth) and _torch.is_compiling():
            return batch_shape
    largest = []
    for name in ("batch", "channel"):
        for argument, bars in (("first", first), ("second", second)):
            least = int(getattr(bars, name).min()) if len(bars.birth) else 0
            if least < 0:
                raise ValueError(f"{function}: {argument}.{name} must be >= 0, got {least}")
        largest.append(max(_largest(getattr(first, name)), _largest(getattr(second, name))))
    batch, channel = largest
    if batch_shape is None:
        return (batch + 1, channel + 1) if channel > 0 else (batch + 1,) if batch > 0 else ()
    for name, place, size in zip(("batch", "channel"), largest, (*batch_shape, 1, 1), strict=False):
        if place >= size:
            raise ValueError(
                f"{function}: batch_shape must be large enough for every bar, got {batch_shape}, {name} {place}"
            )
    return batch_shape


def _largest(x: Array) -> int:
    return int(x.max()) if len(x) else -1

"""What distances between barcodes do first and last: checks, which bars belong together, the shape of the answer."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from argrad import _array, _check, _cuda, _torch
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
    batch_shape, degrees = _extent(function, first, second, dims, batch_shape)
    sides = []
    for bars in (first, second):
        index = sum([(bars.dimension == degree) * (i + 1) for i, degree in enumerate(degrees)])
        image = bars.batch * (batch_shape[1] if len(batch_shape) == 2 else 1) + bars.channel
        if _on_device(bars.birth):  # where nobody may have looked
            for field, end in zip((bars.batch, bars.channel), (*batch_shape, 1, 1), strict=False):
                index = index * ((field >= 0) & (field < end))
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
    _check.floating(function, f"{argument}.birth", bars.birth, device=True)
    if bars.birth.ndim != 1:
        raise ValueError(f"{function}: {argument}.birth must be of one dimension, got shape {tuple(bars.birth.shape)}")
    n = bars.birth.shape[0]
    for name in ("death", "dimension", "batch", "channel"):
        field, place = getattr(bars, name), f"{argument}.{name}"
        _check.same_kind(function, {f"{argument}.birth": bars.birth, place: field})
        if name == "death":
            _check.floating(function, place, field, device=True)
        elif not _check.dtype_name(field).startswith(("int", "uint")):
            raise TypeError(f"{function}: {place} must be of an integer dtype, got {_check.dtype_name(field)}")
        if tuple(field.shape) != (n,):
            raise ValueError(f"{function}: {place} must be of shape ({n},) like birth, got {tuple(field.shape)}")


def _extent(
    function: str, first: Barcode, second: Barcode, dims: int | Sequence[int] | None, said: object
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check the leading dimensions and the degrees; find those in the bars that were not said."""
    batch_shape = None
    if said is not None:
        if not isinstance(said, list | tuple) or len(said) > 2:
            raise ValueError(f"{function}: batch_shape must be (), (n,) or (n, c), got {said!r}")
        batch_shape = tuple([_check.integer(function, "batch_shape", size, low=0) for size in said])
    # Not in what is compiled, nor on a device unless it is to be waited for.
    compiling = _array.is_tensor(first.birth) and _torch.is_compiling()
    looks = not compiling and (not _on_device(first.birth) or _cuda.fault(first.birth) is not None)
    degrees = None if dims is None else _check.integers(function, "dims", dims, low=0, high=2)
    fields = [first.dimension, second.dimension] if dims is None else []
    if batch_shape is None or looks:
        fields += [first.batch, second.batch, first.channel, second.channel]
    ranges = _ranges(fields)
    if degrees is None:
        degrees = tuple(range(1 + max([largest for _, largest in ranges[:2]])))
        ranges = ranges[2:]
    return batch_shape if not ranges and batch_shape is not None else _counted(function, ranges, batch_shape), degrees


def _counted(function: str, ranges: Sequence[tuple[int, int]], batch_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Require numbers of images that the leading dimensions hold, or find the least ones that do."""
    for i, (least, _) in enumerate(ranges):
        if least < 0:
            field = f"{('first', 'second')[i % 2]}.{('batch', 'channel')[i // 2]}"
            raise ValueError(f"{function}: {field} must be >= 0, got {least}")
    batch, channel = (max(ranges[i][1], ranges[i + 1][1]) for i in (0, 2))
    if batch_shape is None:
        return (batch + 1, channel + 1) if channel > 0 else (batch + 1,) if batch > 0 else ()
    for name, place, size in zip(("batch", "channel"), (batch, channel), (*batch_shape, 1, 1), strict=False):
        if place >= size:
            raise ValueError(
                f"{function}: batch_shape must be large enough for every bar, got {batch_shape}, {name} {place}"
            )
    return batch_shape


def _on_device(x: Array) -> bool:
    return _array.place_of(x) == "device"


def _ranges(fields: Sequence[Array]) -> list[tuple[int, int]]:
    """Return the least and the largest number of each array, 0 and -1 of one without any; waits for a device once."""
    some = [x for x in fields if len(x)]
    if some and _on_device(some[0]):
        ends = _cuda.empty((len(some), 2), "int64", some[0])
        for i, x in enumerate(some):
            ends[i, 0], ends[i, 1] = x.min(), x.max()
        known = iter(_array.to_host(ends).tolist())
    else:
        known = iter([(int(x.min()), int(x.max())) for x in some])
    return [tuple(next(known)) if len(x) else (0, -1) for x in fields]

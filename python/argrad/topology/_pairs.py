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
        ValueError: `dims` or `batch_shape` out of range.
    """
    for argument, bars in (("first", first), ("second", second)):
        if not isinstance(bars, Barcode):
            raise TypeError(f"{function}: {argument} must be a Barcode, got {_array.describe(bars)}")
        _check.floating(function, f"{argument}.birth", bars.birth)
    _check.same_kind(function, {"first": first.birth, "second": second.birth})
    _check.same_precision(function, {"first": first.birth, "second": second.birth})
    if batch_shape is None:
        batch_shape = _least_shape(first, second)
    elif len(batch_shape) > 2 or any([size < 0 for size in batch_shape]):  # noqa: C419 (torch.compile traces it)
        raise ValueError(f"{function}: batch_shape must be (), (n,) or (n, c), got {batch_shape}")
    elif not (_array.is_tensor(first.birth) and _torch.is_compiling()):
        _require_inside(function, batch_shape, first, second)
    if dims is None:
        degrees = tuple(range(1 + max(_largest(first.dimension), _largest(second.dimension))))
    else:
        degrees = tuple(dims) if isinstance(dims, Sequence) else (dims,)
        for degree in degrees:
            _check.integer(function, "dims", degree, low=0, high=2)
    sides = []
    for bars in (first, second):
        index = sum([(bars.dimension == degree) * (i + 1) for i, degree in enumerate(degrees)])
        image = bars.batch * (batch_shape[1] if len(batch_shape) == 2 else 1) + bars.channel
        # Numbers from 1 on, times whether the degree is wanted: -1 where it is not.
        group = (image * len(degrees) + index) * (index > 0) - 1 if degrees else image * 0 - 1
        sides.append(Bars(_array.cast(bars.birth, "float64"), _array.cast(bars.death, "float64"), group))
    shape = batch_shape if isinstance(dims, int) else (*batch_shape, len(degrees))
    return Pair(function, sides[0], sides[1], shape, first.birth)


def _require_inside(function: str, batch_shape: tuple[int, ...], first: Barcode, second: Barcode) -> None:
    sizes = (*batch_shape, 1, 1)
    for position, size in (("batch", sizes[0]), ("channel", sizes[1])):
        largest = max(_largest(getattr(first, position)), _largest(getattr(second, position)))
        if largest >= size:
            raise ValueError(
                f"{function}: batch_shape must be large enough for every bar, got {batch_shape}, {position} {largest}"
            )


def _least_shape(first: Barcode, second: Barcode) -> tuple[int, ...]:
    batch = 1 + max(_largest(first.batch), _largest(second.batch))
    channel = 1 + max(_largest(first.channel), _largest(second.channel))
    return (batch, channel) if channel > 1 else (batch,) if batch > 1 else ()


def _largest(x: Array) -> int:
    return int(x.max()) if len(x) else -1

"""What operators on images do first and last: checks, options, dtypes, lists of images; values of voxels."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from argrad import _array, _check
from argrad._array import Array

Images: TypeAlias = Any
"""An array of images, or a list of them (an alias for readers)."""

NOWHERE = -1
"""Index of the death of a class that is alive where the filtration ends."""

OUTSIDE = -2
"""Index of an endpoint in the ring of zeros around an image."""

LARGEST = 2**53
MOST = 2**30
"""An image has fewer voxels than this (`LARGEST` in rust/core/src/topology/grid.rs)."""

CONNECTIVITY = ("face", "full")

Numbers = np.ndarray[Any, Any]


class Filtration(NamedTuple):
    """The checked options of a filtration, in the order of the torch operators' schemas."""

    superlevel: bool
    full: bool
    threshold: float | None
    ring: str
    degrees: list[bool]
    essential: bool

    def native(self) -> tuple[Any, ...]:
        """The options as the native functions take them; the ring's constant is 0."""
        superlevel, full, threshold, ring, degrees, essential = self
        return superlevel, full, threshold, ring, 0.0, tuple(degrees), essential


FILTRATION = "bool superlevel, bool full, float? threshold, str ring, bool[] degrees, bool essential"


def options(
    function: str,
    d: int,
    *,
    filtration: str,
    connectivity: str,
    dims: int | Sequence[int] | None,
    essential: bool,
    threshold: float | None,
    relative: bool = False,
    sphere: bool = False,
) -> Filtration:
    """Check the options of the filtration of images with `d` axes.

    Raises:
        TypeError: an option of another type.
        ValueError: an unknown option, a degree that images of `d` axes do not have, or two rings.
    """
    superlevel = _check.choice(function, "filtration", filtration, ("sublevel", "superlevel")) == "superlevel"
    full = _check.choice(function, "connectivity", connectivity, CONNECTIVITY) == "full"
    if threshold is not None:
        threshold = _check.real(function, "threshold", threshold)
    relative = _check.flag(function, "relative", relative)
    if _check.flag(function, "sphere", sphere) and relative:
        raise ValueError(f"{function}: sphere must be False where relative is True, got True")
    ring = "lowest" if relative else "constant" if sphere else "none"
    essential = _check.flag(function, "essential", essential)
    return Filtration(superlevel, full, threshold, ring, _degrees(function, d, dims), essential)


def _degrees(function: str, d: int, dims: int | Sequence[int] | None) -> list[bool]:
    if dims is None:
        return [True, True, True]
    chosen = _check.integers(function, "dims", dims, low=0, high=d - 1)
    return [k in chosen for k in range(3)]


def enter(function: str, argument: str, x: Array, spatial_dims: int | None, *, device: bool = False) -> int:
    """Check an array of images and return how many leading dimensions count them; `device` as in `_check.array`.

    Raises:
        TypeError: not an array, or a dtype without an order.
        ValueError: no image, or one of more than three axes or without voxels.
        RuntimeError: an array on a device for which there is no kernel.
    """
    _check.numbers(function, argument, x, device=device)
    shape = tuple(x.shape)
    if spatial_dims is None:
        if not 1 <= len(shape) <= 3:
            raise ValueError(
                f"{function}: {argument} must be one image of 1 to 3 axes, or spatial_dims must say how many of its "
                f"axes are an image's, got shape {shape}"
            )
        d = len(shape)
    else:
        d = _check.integer(function, "spatial_dims", spatial_dims, low=1, high=3)
        if not d <= len(shape) <= d + 2:
            axes = ", ".join(f"s{i + 1}" for i in range(d))
            raise ValueError(
                f"{function}: {argument} must be of shape ({axes}), (n, {axes}) or (n, c, {axes}), got {shape}"
            )
    lead = len(shape) - d
    if 0 in shape[lead:]:
        raise ValueError(f"{function}: {argument} must be images of at least one voxel, got shape {shape}")
    return lead


def each(function: str, argument: str, lists: Sequence[Any], one: Callable[..., Any]) -> list[Any]:
    """Apply `one` to the images of a list, or of two lists of one length; errors say which image it was.

    Raises:
        TypeError: not all of them lists.
        ValueError: lists of different lengths.
    """
    for x in lists:
        if not isinstance(x, list | tuple):
            raise TypeError(f"{function}: {argument} must be lists of images or none of them, got {_array.describe(x)}")
        if len(x) != len(lists[0]):
            raise ValueError(f"{function}: {argument} must be lists of one length, got {len(lists[0])} and {len(x)}")
    found = []
    for i, images in enumerate(zip(*lists, strict=True)):
        try:
            found.append(one(*images))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} (item {i} of the list)") from None
    return found


def numbers(function: str, argument: str, x: Numbers) -> Numbers:
    """Return the numpy array as float32 or float64, whichever holds every number of its dtype exactly.

    Raises:
        ValueError: a 64-bit integer beyond 2^53, with its position.
    """
    if x.dtype.kind == "f":
        return x
    if x.dtype.itemsize <= 2:
        return x.astype(np.float32)
    if x.dtype.itemsize == 8:
        beyond = x > LARGEST if x.dtype.kind == "u" else (x > LARGEST) | (x < -LARGEST)
        _refuse(function, argument, x, beyond, "of integers of at most 2^53")
    return x.astype(np.float64)


def rounded(function: str, argument: str, x: Numbers, dtype: str) -> Numbers:
    """Return whole numbers as numbers of the floating dtype of this name, halves as float32.

    Raises:
        ValueError: a number that the dtype does not have, with its position.
    """
    y = numbers(function, argument, x)
    if dtype == "bfloat16":
        y = y.astype(np.float32)
        y.view(np.uint32)[...] &= np.uint32(0xFFFF0000)  # the upper half of a float32
    else:
        with np.errstate(over="ignore"):
            y = y.astype(dtype).astype("float64" if dtype == "float64" else "float32")
    _refuse(function, argument, x, y != x, f"of integers that {dtype}, the dtype of prediction, represents")
    return y


def _refuse(function: str, argument: str, x: Numbers, bad: Numbers, expected: str) -> None:
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{function}: {argument} must be {expected}, got {x[at]} at index {at}")


def binary(function: str, argument: str, x: Array, lead: int) -> Numbers:
    """Return masks, of which `lead` dimensions count the images, as contiguous uint8 of zeros and ones.

    Raises:
        ValueError: another value than 0 and 1, with its position, or too many voxels.
    """
    size = spatial(x, lead)[1]
    if size >= MOST:  # before the passes over them
        raise ValueError(f"{function}: {argument} must be images of less than {MOST} voxels, got {size}")
    raw: Numbers = _array.raw(x)
    if raw.dtype == bool:
        return raw.view(np.uint8)
    ones: Numbers = raw == 1
    _refuse(function, argument, raw, ~(ones | (raw == 0)), "a mask of zeros and ones")
    return ones.view(np.uint8)


def spatial(x: Array, lead: int) -> tuple[int, int]:
    """Return the number of images of an array and of the voxels of each."""
    return math.prod(x.shape[:lead]), math.prod(x.shape[lead:])


def ends(x: Array, lead: int, found: Array, kind: Filtration, dtype: str) -> tuple[Array, Array]:
    """Return the values of births and deaths: those of voxels of `x`, gathered, and constants where there is no voxel.

    Args:
        x: the images, of the kind of `found`.
        lead: how many of its dimensions count images.
        found: int64, shape (4, bars): image, degree, birth voxel, death voxel.
        kind: the options of the filtration.
        dtype: name of the dtype of the values.
    """
    tensor = _array.is_tensor(x)
    # As an array: subclasses (numpy.matrix) do not flatten.
    flat: Any = (np.asarray(x) if isinstance(x, np.ndarray) else x).reshape(-1)
    size, voxels = spatial(x, lead)[1], found[2:]
    lasting, ringed = kind.essential or kind.threshold is not None, kind.ring == "constant"
    # Births and deaths in one: half as many passes over the gradient of the images.
    places = (found[0] * size + (voxels.clip(min=0) if lasting or ringed else voxels)).reshape(-1)
    # On a device the slope of an index is a sum in fixed order, that of index_select is not.
    found = flat[places] if not tensor or not x.is_cpu else flat.index_select(0, places)
    y = _array.cast(found, dtype).reshape(voxels.shape)
    if lasting:
        end = kind.threshold if kind.threshold is not None else -math.inf if kind.superlevel else math.inf
        y = _filled(y, voxels == NOWHERE, end)
    if ringed:
        y = _filled(y, voxels == OUTSIDE, 0.0)
    birth, death = y.unbind(0) if tensor else y
    return birth, death


def _filled(y: Array, where: Array, number: float) -> Array:
    return y.masked_fill(where, number) if _array.is_tensor(y) else np.where(where, y.dtype.type(number), y)

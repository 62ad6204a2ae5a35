"""What is counted in a mask: Betti numbers and Euler characteristics."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.topology import _device_masks, _images
from argrad.topology._images import Images


def betti_numbers(mask: Images, *, connectivity: str = "face", spatial_dims: int | None = None) -> Any:
    """Count the components, loops and holes of a mask.

    beta_0 is the number of connected components, beta_1 that of holes of a plane or tunnels of a volume, beta_2 that of
    cavities enclosed in a volume. Their alternating sum is the Euler characteristic.

    Args:
        mask: zeros and ones of any dtype, an image of 1 to 3 axes, or images of shape (n, *S) or (n, c, *S); numpy
            array, torch tensor (CPU or CUDA) or cupy array; or a list of them.
        connectivity: "face": voxels of the mask are connected through faces (4 neighbors in a plane, 6 in a volume),
            those of the background through corners; "full": the other way round (8 or 26).
        spatial_dims: how many of the last axes are an image's; by default all are, so that `mask` is one image.

    Returns:
        int64 of the kind of `mask`, shape (..., d): beta_0, ..., beta_(d - 1) of each image with d axes; for a list, a
        list of them. An axis of size 1 counts for nothing, and the last number is 0 then.

    Raises:
        TypeError: not an array.
        ValueError: a value that is neither 0 nor 1 (with its position; on a device it counts as 1, see
            `argrad.set_device_validation`), a shape that is none of the above, or an axis of size 0.

    Gradient:
        None.

    Determinism:
        No randomness. The same numbers for every number of threads, and on a device.

    Cost:
        O(n) time and n / 8 bytes for n voxels, and 12 bytes for each run of voxels along the last axis; on a device 5
        bytes a voxel.

    References:
        Rosenfeld and Pfaltz, "Sequential Operations in Digital Picture Processing", J. ACM 1966 (components).

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import betti_numbers
        >>> mask = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]])
        >>> print(betti_numbers(mask), betti_numbers(mask, connectivity="full"))
        [2 1] [1 1]
    """
    name = "betti_numbers"
    if isinstance(mask, list | tuple):
        return _images.each(
            name,
            "mask",
            [mask],
            lambda mask: betti_numbers(mask, connectivity=connectivity, spatial_dims=spatial_dims),
        )
    lead = _images.enter(name, "mask", mask, spatial_dims, device=True)
    full = _check.choice(name, "connectivity", connectivity, _images.CONNECTIVITY) == "full"
    if _array.is_tensor(mask):
        return _torch.betti_numbers(mask.detach(), lead, full)
    return _count(_array.raw(mask) if _array.place_of(mask) == "device" else mask, lead, full)[0]


def _count(mask: Array, lead: int, full: bool) -> tuple[Array]:
    if _array.is_device(mask):
        found = _device_masks.betti_numbers("betti_numbers", mask, lead, full)
        return (found.reshape(*mask.shape[:lead], mask.ndim - lead),)
    counts = _native.betti_numbers("betti_numbers", _images.binary("betti_numbers", "mask", mask, lead), lead, full)
    return (counts.reshape(*mask.shape[:lead], mask.ndim - lead),)


_torch.declare(
    "betti_numbers",
    "(Tensor mask, int lead, bool full) -> Tensor numbers",
    forward=_count,
    shapes=lambda mask, lead, full: (((*mask.shape[:lead], mask.ndim - lead), "int64"),),
    backward=lambda saved, grads, wanted: {},
    values=1,
    saved=(),
    device=True,
)


def euler_characteristic(
    x: Images,
    *,
    thresholds: Array | Sequence[float] | None = None,
    connectivity: str = "face",
    spatial_dims: int | None = None,
) -> Any:
    """Compute the Euler characteristic of a mask, or the curve of those of an image's sublevel sets.

    chi = vertices - edges + faces - cubes of the set = beta_0 - beta_1 + beta_2.

    Args:
        x: a mask of zeros and ones of any dtype; with `thresholds`, an image of any floating, integer or boolean dtype.
            One of 1 to 3 axes, or several of shape (n, *S) or (n, c, *S); numpy array, torch tensor (CPU or CUDA) or
            cupy array; or a list of them.
        thresholds: numbers t, in any order: the sets are then {x <= t}. Infinite ones are allowed. An array on a device
            is waited for.
        connectivity: "face": voxels of the set are connected through faces (4 neighbors in a plane, 6 in a volume);
            "full": through corners as well (8 or 26).
        spatial_dims: how many of the last axes are an image's; by default all are, so that `x` is one image.

    Returns:
        int64 of the kind of `x`, one number for each image: shape (...); with `thresholds`, shape (..., thresholds).
        For a list, a list of them.

    Raises:
        TypeError: not an array.
        ValueError: a mask with a value that is neither 0 nor 1, an image with NaN (with the position; on a device the
            value counts as 1 and NaN is in no set, see `argrad.set_device_validation`), thresholds with NaN or of
            another shape than (t,), a shape that is none of the above, or an axis of size 0.

    Gradient:
        None.

    Determinism:
        No randomness. The same numbers for every number of threads, and on a device.

    Cost:
        O(n) time and n / 8 bytes for a mask of n voxels; O(n log t) time and 4 n bytes for a curve at t thresholds.

    References:
        Gray, "Local Properties of Binary Images in Two Dimensions", IEEE Trans. Computers 1971.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import euler_characteristic
        >>> x = np.array([[1.0, 2.0, 1.0], [2.0, 9.0, 3.0], [0.0, 2.0, 1.0]])
        >>> print(euler_characteristic(x <= 3.0))
        0
        >>> print(euler_characteristic(x, thresholds=[0.0, 1.0, 2.0, 3.0, 9.0]))
        [1 4 1 0 1]
    """
    name = "euler_characteristic"
    if isinstance(x, list | tuple):
        options: dict[str, Any] = {"thresholds": thresholds, "connectivity": connectivity, "spatial_dims": spatial_dims}
        return _images.each(name, "x", [x], lambda x: euler_characteristic(x, **options))
    lead = _images.enter(name, "x", x, spatial_dims, device=True)
    full = _check.choice(name, "connectivity", connectivity, _images.CONNECTIVITY) == "full"
    levels = None if thresholds is None else _levels(name, thresholds)
    if _array.is_tensor(x):
        return _torch.euler_characteristic(x.detach(), lead, levels, full)
    return _euler(_array.raw(x) if _array.place_of(x) == "device" else x, lead, levels, full)[0][()]


def _levels(function: str, thresholds: Array | Sequence[float]) -> list[float]:
    if isinstance(thresholds, list | tuple):
        for number in thresholds:
            if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
                raise TypeError(f"{function}: thresholds must be numbers, got {number!r}")
        levels = [float(number) for number in thresholds]
    else:
        given = np.asarray(_array.to_host(thresholds))
        if given.ndim != 1 or given.dtype.kind not in "fiu":
            raise ValueError(
                f"{function}: thresholds must be numbers of shape (t,), got dtype {given.dtype} and shape {given.shape}"
            )
        levels = given.astype(np.float64).tolist()
    for i, number in enumerate(levels):
        if math.isnan(number):
            raise ValueError(f"{function}: thresholds must not contain NaN, got one at position {i}")
    return levels


def _euler(x: Array, lead: int, levels: list[float] | None, full: bool) -> tuple[Array]:
    name, images = "euler_characteristic", tuple(x.shape[:lead])
    if _array.is_device(x):
        if levels is None:
            return (_device_masks.euler_characteristics(name, x, lead, full).reshape(images),)
        return (_device_masks.euler_curves(name, x, lead, levels, full).reshape(*images, len(levels)),)
    if levels is None:
        counts = _native.euler_characteristics(name, _images.binary(name, "x", x, lead), lead, full)
        return (counts.reshape(images),)
    order = np.argsort(levels, kind="stable")
    numbers = _images.numbers(name, "x", _array.raw(x))
    rising = _native.euler_curves(name, numbers, lead, sorted(levels), full).reshape(*images, len(levels))
    curves = np.empty_like(rising)
    curves[..., order] = rising
    return (curves,)


def _euler_shape(x: Array, lead: int, levels: list[float] | None, full: bool) -> Any:
    return (((*x.shape[:lead], *([] if levels is None else [len(levels)])), "int64"),)


_torch.declare(
    "euler_characteristic",
    "(Tensor x, int lead, float[]? levels, bool full) -> Tensor numbers",
    forward=_euler,
    shapes=_euler_shape,
    backward=lambda saved, grads, wanted: {},
    values=1,
    saved=(),
    device=True,
)

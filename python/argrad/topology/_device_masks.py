"""Betti numbers and Euler characteristics on a device: the launches of the kernels in `cuda/topology_masks.cu`.

Nothing here waits for the device. Counts are added by integer atomics, whose order cannot matter.
"""

import math
from typing import Any

from argrad import _array, _cuda, _radix
from argrad._array import Array
from argrad.topology import _device, _images
from argrad.topology._device import BLOCK, blocks, launch

_SHARED_LEVELS = 4096
"""Thresholds that a block counts for in shared memory, as in the kernels."""


def _grid(x: Array, lead: int) -> tuple[int, int, int]:
    """Return planes, rows and columns; axes of size 1 come first."""
    long = [int(size) for size in x.shape[lead:] if size != 1]
    planes, rows, columns = [1] * (3 - len(long)) + long
    return planes, rows, columns


def _mask(function: str, argument: str, mask: Array, lead: int) -> Array:
    """Return a mask as bytes; numbers other than 0 and 1 are refused where one looks, and count as 1 otherwise."""
    _device.bounded(function, mask, lead)
    if _cuda.fault(mask) is not None:
        _images.binary(function, argument, _array.to_host(mask), lead)
    return _array.cast(mask != 0, "uint8")


def _parts(x: Array, images: int, items: int) -> int:
    """Return how many blocks share an image."""
    return max(1, min(-(-items // (4 * BLOCK)), -(-8 * _cuda.processors(x) // max(images, 1))))


def euler_characteristics(function: str, mask: Array, lead: int, full: bool) -> Array:
    """Return the Euler characteristic of each mask, shape (images,)."""
    images = _images.spatial(mask, lead)[0]
    counts, grid = _cuda.full((images,), 0, "int64", mask), _grid(mask, lead)
    argument = "mask" if function == "betti_numbers" else "x"
    _count_cells(_mask(function, argument, mask, lead), counts, images, grid, full)
    return counts


def _count_cells(mask: Array, counts: Array, images: int, grid: tuple[int, int, int], full: bool) -> None:
    parts = _parts(counts, images, math.prod(grid))
    launch(counts, "topology_masks", "count_cells", images * parts, mask, counts, images, *grid, int(full))


def betti_numbers(function: str, mask: Array, lead: int, full: bool) -> Array:
    """Return the Betti numbers of each mask, shape (images, axes)."""
    images, _ = _images.spatial(mask, lead)
    d, grid = mask.ndim - lead, _grid(mask, lead)
    mask = _mask(function, "mask", mask, lead)
    chi = _cuda.full((images,), 0, "int64", mask)
    _count_cells(mask, chi, images, grid, full)
    first = _components(mask, images, grid, full, background=False)
    found = _cuda.full((images, d), 0, "int64", mask)
    found[:, 0] = first
    if grid[0] > 1:
        # Those of the background, which is connected the other way, less the outside (Alexander duality).
        third = _components(mask, images, grid, not full, background=True) - 1
        found[:, 1], found[:, 2] = first + third - chi, third
    elif d > 1:
        found[:, 1] = first - chi
    return found


def _components(mask: Array, images: int, grid: tuple[int, int, int], full: bool, *, background: bool) -> Array:
    """Return the number of components of each mask, or of its background with what is around it."""
    n, columns = math.prod(grid), grid[2]
    counts, parents = _cuda.full((images,), 0, "int64", mask), _cuda.empty((images, n + 1), "int32", mask)
    items, kind = blocks(images * n), int(background)
    launch(mask, "topology_masks", "begin_components", items, mask, parents, images, n, columns, kind)
    launch(mask, "topology_masks", "unite_voxels", items, mask, parents, images, *grid, int(full), kind)
    parts = _parts(mask, images, n)
    launch(mask, "topology_masks", "count_roots", images * parts, mask, parents, counts, images, n, kind)
    return counts


def euler_curves(function: str, x: Array, lead: int, levels: list[float], full: bool) -> Array:
    """Return the Euler characteristics of the sublevel sets of each image, shape (images, levels); NaN is in no set."""
    _device.bounded(function, x, lead)
    images, size = _images.spatial(x, lead)
    count, grid = len(levels), _grid(x, lead)
    if _cuda.fault(x) is not None:
        _refuse_nan(function, x, lead)
    x = _device.numbers(function, "x", x)
    curves = _cuda.empty((images, count), "int64", x)
    asked, rising = _upload(levels, x), _upload(sorted(levels), x)
    bins = _cuda.empty((images * size,), "int32", x)
    name = f"find_levels<{_cuda.number(x)}>"
    launch(x, "topology_masks", name, blocks(images * size), x, rising, bins, images * size, count)
    counts = _cuda.full((images, count + 1), 0, "int64", x)
    parts = _parts(x, images, size)
    shared = 4 * (count + 1) if count < _SHARED_LEVELS else 0
    given = (bins, counts, images, *grid, count, int(full))
    _cuda.launch(x, "topology_masks", "count_cells_by_level", images * parts, BLOCK, *given, shared=shared)
    _radix.scan(counts, images)
    launch(x, "topology_masks", "read_levels", blocks(images * count), counts, rising, asked, curves, images, count)
    return curves


def _refuse_nan(function: str, x: Array, lead: int) -> None:
    from argrad import _native

    _native.euler_curves(function, _images.numbers(function, "x", _array.to_host(x)), lead, [], False)


def _upload(numbers: list[float], like: Array) -> Array:
    """Return the numbers on the device, as arguments of a kernel: a copy would wait for the device."""
    found = _cuda.empty((len(numbers),), "float64", like)
    for first in range(0, len(numbers), 8):
        part = numbers[first : first + 8]
        eight: Any = [*part, *[0.0] * (8 - len(part))]
        _cuda.launch(like, "topology_masks", "write_levels", 1, 32, found, first, len(part), *eight)
    return found

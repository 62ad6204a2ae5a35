"""Barcodes and matchings of images of one or two axes on a device: the launches of the kernels in `cuda/topology*.cu`.

    numbers -> keys -> the engine's image        image_keys (float64: ranks by a sort), lowest_keys, frame_keys
    -> local pairs, critical edges, sorted       local_pairs, count_edges, list_edges, radix sort
    -> merge trees of vertices and of squares    join_edges: one thread an edge, all images at once
    -> matches (of two images)                   note_ends, match_cells
    -> how many bars: the one synchronisation    find_bars
    -> bars, sorted                              find_bars, radix sort, write_bars, pair_bars, split_bars

The steps and their rules for ties are those of `rust/core/src/topology`, and so are the results. All images of a batch,
and of a matching both images and their comparison, go through each launch together, as segments of one list.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from argrad import _array, _check, _cuda, _radix
from argrad._array import Array
from argrad.topology import _images
from argrad.topology._images import Filtration

BLOCK = 256
CHUNK = 4096
"""Items of a list that a block takes, as in `plane.cuh`."""

RINGS = ("none", "lowest", "constant")
_SMALL = ("bool", "int8", "uint8", "int16", "uint16")


class Plane(NamedTuple):
    """The shapes of a stack of images, and of the engine's images with their rings.

    Attributes:
        images: how many there are in an array.
        sides: 1, or 3 for two images and their comparison.
        axes: how many axes an image has, and how many of them are longer than 1.
        shape: height and width of an image.
        up: rows of a ring, one or none; `across`: its columns.
        rings: how many rings there are.
    """

    images: int
    sides: int
    axes: tuple[int, int]
    shape: tuple[int, int]
    up: int
    across: int
    rings: int

    @property
    def framed(self) -> tuple[int, int]:
        """Height and width with the rings."""
        return self.shape[0] + 2 * self.up * self.rings, self.shape[1] + 2 * self.across * self.rings

    @property
    def n(self) -> int:
        """Voxels of an engine's image."""
        return math.prod(self.framed)

    @property
    def segments(self) -> int:
        """Images of the engine."""
        return self.sides * self.images

    @property
    def edges(self) -> int:
        """Edges of an engine's image, none of which has to be critical."""
        h, w = self.framed
        return 2 * h * w - h - w


class Keys(NamedTuple):
    """The keys of all voxels, those of the threshold and of the ring, and the float64 numbers where keys are ranks."""

    keys: Array
    constants: Array
    exact: Array | None


class Pairing(NamedTuple):
    """What the kernels know after the pairing; arrays as their comments say."""

    plane: Plane
    source: Keys
    lowest: Array | None
    keys: Array
    squares: Array
    trees: Array
    labelled: Array | None
    ids: Array
    edge_keys: Array
    order: Array
    starts: Array
    at_edges: Array
    label_at_edges: Array


class Asked(NamedTuple):
    """What is asked of the bars; for a matching, whether the comparison has the larger keys, and the rule."""

    kind: Filtration
    shortest: float = 0.0
    larger: bool = False
    strict: bool = False

    @property
    def shared(self) -> int:
        """0: vertices; 1: squares, for an intersection."""
        return int(self.larger)


def shape_of(function: str, argument: str, x: Array, lead: int, kind: Filtration, sides: int) -> Plane:
    """Return the shapes of a stack of images.

    Raises:
        ValueError: an image with too many voxels.
        RuntimeError: volumes, for which there is no kernel.
    """
    bounded(function, x, lead)
    images = _images.spatial(x, lead)[0]
    long = [int(s) for s in x.shape[lead:] if s != 1]
    if len(long) == 3:
        raise RuntimeError(
            f"{function}: {argument} must be in host memory where images have three axes, got {tuple(x.shape)} on a "
            f"device; {_array.way_to_host(x, argument)}"
        )
    shape = (1, *long) if len(long) == 1 else (1, 1) if not long else (long[0], long[1])
    up, across = int(len(long) == 2), int(len(long) > 0)
    rings = int(kind.ring != "none") + int(kind.full)
    return Plane(images, sides, (x.ndim - lead, len(long)), (shape[0], shape[1]), up, across, rings)


def bounded(function: str, x: Array, lead: int) -> None:
    """Require images whose cells have numbers.

    Raises:
        ValueError: an image with too many voxels.
    """
    size = _images.spatial(x, lead)[1]
    if size >= _images.MOST:
        raise ValueError(f"{function}: images must be of less than {_images.MOST} voxels, got {size}")


def numbers(function: str, argument: str, x: Array) -> Array:
    """Return the array in a floating dtype that holds its numbers; integers beyond 2^53 are refused where one looks."""
    name = _check.dtype_name(x)
    if name in _check.FLOATS:
        return x
    if name not in _SMALL and _cuda.fault(x) is not None:
        _images.numbers(function, argument, _array.to_host(x))
    return _array.cast(x, "float32" if name in _SMALL else "float64")


def blocks(items: int) -> int:
    return min(-(-items // BLOCK), 1 << 22)


def chunks(n: int) -> int:
    return -(-n // CHUNK)


def launch(like: Array, file: str, name: str, blocks: int, *args: object) -> None:
    _cuda.launch(like, file, name, min(blocks, (1 << 31) - 1), BLOCK, *args)


def _order(images: Sequence[Array], kind: Filtration, fault: Array) -> Keys:
    """Give every number a key in the order of the numbers."""
    like, sizes = images[0], [_radix.size(x) for x in images]
    count, wide = sum(sizes), _cuda.number(images[0]) == "double"
    keys, at = _cuda.empty((count + 2,), "int64" if wide else "int32", like), 0
    for i, (x, size) in enumerate(zip(images, sizes, strict=True)):
        last = size if i == len(images) - 1 else -1
        end = kind.threshold if kind.threshold is not None else 0.0
        name = f"image_keys<{_cuda.number(x)}>"
        launch(like, "topology", name, blocks(size), x, keys[at:], size, last, end, 0.0, fault)
        at += size
    if wide:
        keys = _ranks(keys, count + 2)
    return Keys(keys, keys[count:], images[0] if wide else None)


def _ranks(keys: Array, count: int) -> Array:
    """Replace keys of 64 bits by their places among all different ones, from 1 on."""
    starts = _cuda.full((2,), count, "int64", keys)
    starts[:1] = 0
    spare, places = _cuda.empty((count,), "int64", keys), _cuda.empty((count,), "int32", keys)
    ordered, places = _radix.sort(
        (keys, spare), (places, _cuda.empty((count,), "int32", keys)), starts, 1, count, bits=64
    )
    counts, ranks = _cuda.empty((chunks(count),), "int64", keys), _cuda.empty((count,), "int32", keys)
    launch(keys, "topology", "count_ranks", chunks(count), ordered, counts, count)
    _radix.scan(counts, 1)
    launch(keys, "topology", "write_ranks", chunks(count), ordered, places, counts, ranks, count)
    return ranks


def _frame(source: Keys, plane: Plane, asked: Asked) -> tuple[Array, Array | None]:
    """Make the engine's images; and where each image is lowest, if that is needed."""
    kind, lowest = asked.kind, None
    ring, censored = RINGS.index(kind.ring), int(kind.threshold is not None)
    like, sides, voxels = source.keys, min(plane.sides, 2), math.prod(plane.shape)
    if kind.essential or kind.ring == "lowest":
        lowest = _cuda.full((sides * plane.images * 2,), -1, "int64", like)
        given = (source.keys, source.constants, lowest, sides * plane.images, voxels, int(kind.superlevel), censored)
        launch(like, "topology", "lowest_keys", sides * plane.images * chunks(voxels), *given)
    framed = _cuda.empty((plane.segments * plane.n,), "int32", like)
    options = (int(kind.superlevel), censored, ring, int(kind.full), int(asked.larger))
    shapes = (plane.images, sides, *plane.shape, plane.up, plane.across)
    arrays = (source.keys, source.constants, lowest, framed)
    launch(like, "topology", "frame_keys", blocks(plane.images * plane.n), *arrays, *shapes, *options)
    return framed, lowest


def pair(images: Sequence[Array], plane: Plane, asked: Asked, fault: Array) -> Pairing:
    """Pair the cells of all images, and for a matching those of their comparisons."""
    source = _order(images, asked.kind, fault)
    keys, lowest = _frame(source, plane, asked)
    like, n, segments, capacity = keys, plane.n, plane.segments, plane.segments * plane.edges
    sizes = (segments, *plane.framed)

    ways, squares = _cuda.empty((segments * n,), "uint8", like), _cuda.empty((segments * n,), "int32", like)
    trees = _cuda.empty((2 * segments * (n + 1),), "int64", like)
    tail = (plane.images, plane.sides, *plane.framed, asked.shared)
    launch(like, "topology_plane", "local_pairs", blocks(segments * n), keys, ways, squares, trees, *tail)

    starts = _cuda.full((segments + 1,), 0, "int64", like)
    counts = _cuda.empty((segments * chunks(n),), "int64", like)
    launch(like, "topology_plane", "count_edges", segments * chunks(n), ways, counts, *sizes)
    _radix.scan(counts, segments, totals=starts)
    _radix.scan(starts, 1)
    ids, *lists = [_cuda.empty((capacity,), "int32", like) for _ in range(5)]
    given = (ways, keys, counts, starts, ids, lists[0], *sizes)
    launch(like, "topology_plane", "list_edges", segments * chunks(n), *given)
    edge_keys, order = _radix.sort((lists[0], lists[1]), (lists[2], lists[3]), starts, segments, plane.edges, bits=32)
    at_edges, label_at_edges = lists[1], lists[3]  # free after four passes

    labelled = _cuda.full((4 * plane.images * (n + 1),), -1, "int64", like) if plane.sides == 3 else None
    parts = max(1, min(-(-plane.edges // BLOCK), -(-8 * _cuda.processors(like) // segments)))
    joined = (trees, labelled, keys, squares, ids, order, starts)
    launch(like, "topology_plane", "join_edges", 2 * segments * parts, *joined, *tail)
    ends = (trees, labelled, order, starts, at_edges, label_at_edges, plane.images, plane.sides, n, asked.shared)
    launch(like, "topology_plane", "note_ends", blocks(2 * segments * n), *ends)
    return Pairing(
        plane,
        source,
        lowest,
        *(keys, squares, trees, labelled, ids, edge_keys, order, starts, at_edges, label_at_edges),
    )

"""Barcodes and matchings of images on a device: the launches of the kernels in `cuda/topology*.cu`.

    numbers -> keys -> the engine's image        image_keys (float64: ranks by a sort), lowest_keys, frame_keys
    -> local pairs, critical links, sorted       local_pairs, count_edges, list_edges, radix sort
    -> merge trees of degree 0 and of the top    join_links: one thread a link, all images at once
    -> matches (of two images)                   note_ends, match_cells
    -> how many bars: the one synchronisation    find_bars
    -> bars, sorted                              find_bars, radix sort, write_bars, pair_bars, split_bars

The steps and their rules for ties are those of `rust/core/src/topology`, and so are the results. All images of a batch,
and of a matching both images and their comparison, go through each launch together, as segments of one list. Degree 1
of volumes, a reduction of columns, has no such form: `_device_tunnels` has it done by the host.
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


class Shapes(NamedTuple):
    """The shapes of a stack of images, and of the engine's images with their rings.

    Attributes:
        images: how many there are in an array.
        sides: 1, or 3 for two images and their comparison.
        axes: how many axes an image has, and how many of them are longer than 1.
        shape: planes, rows and columns of an image.
        ring: planes, rows and columns of a ring at one end, 1 or 0 of each.
        rings: how many rings there are.
    """

    images: int
    sides: int
    axes: tuple[int, int]
    shape: tuple[int, int, int]
    ring: tuple[int, int, int]
    rings: int

    @property
    def framed(self) -> tuple[int, int, int]:
        """Planes, rows and columns with the rings."""
        planes, rows, columns = [s + 2 * r * self.rings for s, r in zip(self.shape, self.ring, strict=True)]
        return planes, rows, columns

    @property
    def volume(self) -> bool:
        """Whether images have three axes."""
        return self.axes[1] == 3

    @property
    def n(self) -> int:
        """Voxels of an engine's image."""
        return math.prod(self.framed)

    @property
    def segments(self) -> int:
        """Images of the engine."""
        return self.sides * self.images

    @property
    def lists(self) -> int:
        """How many lists of links there are: volumes have one for each degree."""
        return self.segments * (2 if self.volume else 1)

    @property
    def links(self) -> int:
        """A bound for the links of a list."""
        return (3 if self.volume else 2) * self.n


class Keys(NamedTuple):
    """The keys of all voxels, those of the threshold and of the ring, and the float64 numbers where keys are ranks."""

    keys: Array
    constants: Array
    exact: Array | None


class Pairing(NamedTuple):
    """What the kernels know after the pairing; arrays as their comments say."""

    shapes: Shapes
    source: Keys
    lowest: Array | None
    keys: Array
    squares: Array
    trees: Array
    labelled: Array | None
    ids: Array
    link_keys: Array
    order: Array
    starts: Array
    at_links: Array
    label_at_links: Array


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


def shapes_of(function: str, x: Array, lead: int, kind: Filtration, sides: int) -> Shapes:
    """Return the shapes of a stack of images.

    Raises:
        ValueError: an image with too many voxels.
    """
    bounded(function, x, lead)
    long = [int(s) for s in x.shape[lead:] if s != 1]
    planes, rows, columns = [1] * (3 - len(long)) + long
    rings = int(kind.ring != "none") + int(kind.full)
    ring = (int(len(long) == 3), int(len(long) > 1), int(len(long) > 0))
    images = _images.spatial(x, lead)[0]
    return Shapes(images, sides, (x.ndim - lead, len(long)), (planes, rows, columns), ring, rings)


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


def _frame(source: Keys, shapes: Shapes, asked: Asked) -> tuple[Array, Array | None]:
    """Make the engine's images; and where each image is lowest, if that is needed."""
    kind, lowest = asked.kind, None
    ring, censored = RINGS.index(kind.ring), int(kind.threshold is not None)
    like, sides, voxels = source.keys, min(shapes.sides, 2), math.prod(shapes.shape)
    if kind.essential or kind.ring == "lowest":
        lowest = _cuda.full((sides * shapes.images * 2,), -1, "int64", like)
        given = (source.keys, source.constants, lowest, sides * shapes.images, voxels, int(kind.superlevel), censored)
        launch(like, "topology", "lowest_keys", sides * shapes.images * chunks(voxels), *given)
    framed = _cuda.empty((shapes.segments * shapes.n,), "int32", like)
    options = (int(kind.superlevel), censored, ring, int(kind.full), int(asked.larger))
    sizes = (shapes.images, sides, *shapes.shape, *shapes.ring)
    arrays = (source.keys, source.constants, lowest, framed)
    launch(like, "topology", "frame_keys", blocks(shapes.images * shapes.n), *arrays, *sizes, *options)
    return framed, lowest


class _Links(NamedTuple):
    """The critical links of all lists, one after the other, with room for more, and where each list begins."""

    ids: Array
    keys: Array
    starts: Array


def _links(keys: Array, ways: Array, trees: Array, shapes: Shapes) -> _Links:
    """List the links that nobody leaves by, ascending by their numbers."""
    like, capacity, parts = keys, shapes.lists * shapes.links, shapes.lists * chunks(shapes.n)
    counts, starts = _cuda.empty((parts,), "int64", like), _cuda.full((shapes.lists + 1,), 0, "int64", like)
    ids, link_keys = (_cuda.empty((capacity,), "int32", like) for _ in range(2))
    if shapes.volume:
        file, names = "topology_volume", ("count_links", "list_links")
        arrays: tuple[Array, ...] = (keys, ways, trees)
        sizes: tuple[int, ...] = (shapes.segments, *shapes.framed)
    else:
        file, names = "topology_plane", ("count_edges", "list_edges")
        arrays, sizes = (keys, ways), (shapes.segments, *shapes.framed[1:])
    launch(like, file, names[0], parts, *arrays, counts, *sizes)
    _radix.scan(counts, shapes.lists, totals=starts)
    _radix.scan(starts, 1)
    launch(like, file, names[1], parts, *arrays, counts, starts, ids, link_keys, *sizes)
    return _Links(ids, link_keys, starts)


def pair(images: Sequence[Array], shapes: Shapes, asked: Asked, fault: Array) -> Pairing:
    """Pair the cells of all images, and for a matching those of their comparisons."""
    source = _order(images, asked.kind, fault)
    keys, lowest = _frame(source, shapes, asked)
    like, n, segments = keys, shapes.n, shapes.segments
    ways, squares = _cuda.empty((segments * n,), "uint8", like), _cuda.empty((segments * n,), "int32", like)
    trees = _cuda.empty((2 * segments * (n + 1),), "int64", like)
    whole = (shapes.images, shapes.sides, *shapes.framed, asked.shared)
    if shapes.volume:
        launch(
            like, "topology_volume", "local_pairs_of_volume", blocks(segments * n), keys, ways, squares, trees, *whole
        )
    else:
        flat = (shapes.images, shapes.sides, *shapes.framed[1:], asked.shared)
        launch(like, "topology_plane", "local_pairs", blocks(segments * n), keys, ways, squares, trees, *flat)

    links = _links(keys, ways, trees, shapes)
    spare, order, places = (_cuda.empty(links.ids.shape, "int32", like) for _ in range(3))
    link_keys, order = _radix.sort(
        (links.keys, spare), (order, places), links.starts, shapes.lists, shapes.links, bits=32
    )
    # Free after four passes; of volumes there are links that join nothing.
    at_links = _cuda.full(spare.shape, 0, "int32", like) if shapes.volume else spare
    labelled = _cuda.full((4 * shapes.images * (n + 1),), -1, "int64", like) if shapes.sides == 3 else None
    parts = max(1, min(-(-shapes.links // BLOCK), -(-8 * _cuda.processors(like) // segments)))
    joined = (trees, labelled, keys, squares, links.ids, order, links.starts)
    launch(like, "topology_join", "join_links", 2 * segments * parts, *joined, *whole)
    lists = segments if shapes.volume else 0
    ends = (trees, labelled, order, links.starts, at_links, places, shapes.images, shapes.sides, n, lists, asked.shared)
    launch(like, "topology_join", "note_ends", blocks(2 * segments * n), *ends)
    found = (keys, squares, trees, labelled, links.ids, link_keys, order, links.starts, at_links, places)
    return Pairing(shapes, source, lowest, *found)

"""The last steps of `_device`: how many bars there are, the bars in order, and which of them are matched."""

import math
from collections.abc import Callable
from typing import NamedTuple

from argrad import _array, _cuda, _radix
from argrad._array import Array
from argrad.topology import _device, _device_tunnels
from argrad.topology._device import RINGS, Asked, Pairing, blocks, chunks, launch
from argrad.topology._images import Numbers


class Bars(NamedTuple):
    """The bars of one or two sides, sorted.

    Attributes:
        tables: for each side int64 of shape (4, bars): image, degree, birth and death voxel.
        roots: int32, the cell of each bar, below 1 bit for squares.
        counts: int64, how many there are of each (side, image, degree), and matched ones of each (image, degree).
        matched: how many are matched.
        places: int32, where the bar of each cell of the second side is.
    """

    tables: tuple[Array, ...]
    roots: Array
    counts: Array
    matched: int
    places: Array | None


def barcodes(
    function: str,
    x: Array,
    lead: int,
    asked: Asked,
    refuse: Callable[[], object],
    tunnels: Callable[[], Numbers] | None = None,
) -> Array:
    """Return the bars of a stack of images as `_barcode._forward` does.

    Args:
        function: the public function.
        x: the images.
        lead: how many of its dimensions count images.
        asked: what is asked of the device.
        refuse: raises the error for a NaN.
        tunnels: has the host find the bars of degree 1 of volumes; called when the device has all of its work.
    """
    shapes = _device.shapes_of(function, x, lead, asked.kind, 1)
    bars, more = _cuda.empty((4, 0), "int64", x), None
    if shapes.images and any(asked.kind.degrees):
        summary = _cuda.full((shapes.images * shapes.axes[0] + 2,), 0, "int64", x)
        found = _device.pair([x], shapes, asked, summary[-1:])
        more = tunnels() if tunnels else None
        bars = _listed(found, asked, None, summary, refuse).tables[0]
    elif tunnels:
        more = tunnels()
    return bars if more is None else _device_tunnels.merge(bars, _array.to_device(more, x))[0]


def matchings(
    function: str,
    f: Array,
    g: Array,
    lead: int,
    asked: Asked,
    refuse: Callable[[], object],
    tunnels: Callable[[], tuple[Numbers, ...]] | None = None,
) -> tuple[Array, ...]:
    """Return the matchings of two stacks of images as `_matching._forward` does; arguments as in `barcodes`."""
    shapes = _device.shapes_of(function, f, lead, asked.kind, 3)
    images, columns = shapes.images, shapes.axes[0]
    counts = _cuda.full((3, images, columns), 0, "int64", f)
    empty = [_cuda.empty(shape, dtype, f) for shape, dtype in [((4, 0), "int64"), ((0,), "int32")] * 2]
    found, matched, more = _device_tunnels.Matched((empty[0], empty[2]), (empty[1], empty[3])), 0, None
    if images and any(asked.kind.degrees):
        summary = _cuda.full((3 * images * columns + 2,), 0, "int64", f)
        paired = _device.pair([f, g], shapes, asked, summary[-1:])
        match = _matches(paired, asked)
        more = tunnels() if tunnels else None
        bars = _listed(paired, asked, match, summary, refuse)
        found, matched = _partners(bars, match, shapes), bars.matched
        size = images * columns
        both = bars.counts[2 * size :].reshape(images, columns)
        counts[0] = both
        for side in range(2):
            counts[1 + side] = bars.counts[side * size : (side + 1) * size].reshape(images, columns) - both
    elif tunnels:
        more = tunnels()
    if more is not None:
        first, second, theirs, *_, several = more
        found, matched = _device_tunnels.merge_matched(found, (first, second), theirs), matched + len(theirs)
        counts = counts + _array.to_device(several, f)
    pairs = _cuda.empty((matched, 2), "int64", f)
    alone = [_split(found.partners[0], pairs, matched), _split(found.partners[1], None, matched)]
    return *found.bars, pairs, *alone, counts


def _matches(found: Pairing, asked: Asked) -> Array:
    """Return the second image's cell for each cell of the first, or -1."""
    images, n = found.shapes.images, found.shapes.n
    match = _cuda.full((2 * images * n,), -1, "int32", found.keys)
    given = (found.trees, found.labelled, found.keys, found.squares, found.link_keys, found.order, found.starts)
    lists = found.shapes.segments if found.shapes.volume else 0
    tail = (found.at_links, found.label_at_links, match, images, n, lists, asked.shared, int(asked.strict))
    launch(found.keys, "topology_match", "match_cells", blocks(2 * images * n), *given, *tail)
    return match


def _partners(bars: Bars, match: Array, shapes: _device.Shapes) -> _device_tunnels.Matched:
    first, second = bars.tables
    partners, back = (_cuda.full((table.shape[1],), -1, "int32", match) for table in bars.tables)
    joined = (first, bars.roots, match, bars.places, partners, back, first.shape[1], shapes.images, shapes.n)
    launch(match, "topology_match", "pair_bars", blocks(first.shape[1]), *joined)
    return _device_tunnels.Matched((first, second), (partners, back))


def _split(partners: Array, pairs: Array | None, matched: int) -> Array:
    """List the pairs of bars, and return the places of those without a partner."""
    count = partners.shape[0]
    alone, counts = _cuda.empty((count - matched,), "int64", partners), _cuda.empty((chunks(count),), "int64", partners)
    launch(partners, "topology_match", "split_bars", chunks(count), partners, counts, None, None, count, 0)
    _radix.scan(counts, 1)
    launch(partners, "topology_match", "split_bars", chunks(count), partners, counts, pairs, alone, count, 1)
    return alone


def _listed(found: Pairing, asked: Asked, match: Array | None, summary: Array, refuse: Callable[[], object]) -> Bars:
    """List the bars in order; waits for the device, once, to learn how many there are, and whether there was a NaN.

    Args:
        found: the pairing.
        asked: what is asked of the bars.
        match: the second image's cells for those of the first, or None.
        summary: int64, zeros: for each (side, image, degree) and, with `match`, each (image, degree) one, one more, and
            the note of a NaN.
        refuse: raises the error for a NaN.
    """
    shapes, kind, like = found.shapes, asked.kind, found.keys
    sides, (columns, d) = min(shapes.sides, 2), shapes.axes
    rows, every, parts = sides * shapes.images * columns, summary.shape[0] - 2, chunks(shapes.links)
    counts, starts = _cuda.empty((every * parts,), "int64", like), summary[: every + 1]
    arrays = (found.keys, found.squares, found.trees, found.ids, found.order, found.at_links, found.starts)
    source = (found.source.constants, found.source.keys, found.source.exact, found.lowest, match, counts)
    sizes = (shapes.images, sides, shapes.segments, columns, *shapes.framed, *shapes.shape, *shapes.ring)
    wanted = sum([degree << k for k, degree in enumerate(kind.degrees)])
    end = kind.threshold if kind.threshold is not None else -math.inf if kind.superlevel else math.inf
    rings = (RINGS.index(kind.ring), int(kind.full), int(kind.superlevel), int(kind.threshold is not None))
    options = (*sizes, *rings, d, wanted, int(kind.essential), end, asked.shortest)

    launch(like, "topology_bars", "find_bars", rows * parts, *arrays, *source, None, None, None, *options)
    _radix.scan(counts, every, totals=starts)
    lengths = starts[:-1] + 0
    _radix.scan(starts, 1)
    known = _array.to_host(summary)
    if known[-1]:
        refuse()
        raise RuntimeError("argrad: a kernel has reported a fault that the host does not see; please report this")
    total, half, matched = int(known[rows]), int(known[rows // sides]), int(known[every]) - int(known[rows])

    bars, roots = ([_cuda.empty((total,), dtype, like) for _ in range(2)] for dtype in ("int64", "int32"))
    voxels = math.prod(shapes.shape)
    if total:
        outputs = (starts, bars[0], roots[0])
        launch(like, "topology_bars", "find_bars", rows * parts, *arrays, *source, *outputs, *options)
    ordered, cells = _radix.sort(
        (bars[0], bars[1]),
        (roots[0], roots[1]),
        starts,
        rows,
        max(total, 1),
        bits=((voxels + 2) ** 2 - 1).bit_length(),
        numbered=True,
    )
    places = None if match is None else _cuda.full(((2 * shapes.n + 1) * shapes.images,), -1, "int32", like)
    table = _cuda.empty((4 * total,), "int64", like)
    given = (ordered, cells, starts, table, places, shapes.images, sides, columns, voxels, shapes.n)
    launch(like, "topology_bars", "write_bars", blocks(total), *given)
    tables = [table[: 4 * half].reshape(4, half), table[4 * half :].reshape(4, total - half)]
    return Bars(tuple(tables[:sides]), cells, lengths, matched, places)

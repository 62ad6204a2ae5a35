"""Degree 1 of volumes on a device: the host reduces its columns while the device works on degrees 0 and 2.

images -> pinned memory of the host       `_array.copying`, on a stream of its own
degrees 0 and 2                           launched as `_device` and `_device_bars` have it
the copy is there: degree 1               the host's threads, beside the device
its bars -> the device                    merge_bars puts them between the others, move_partners likewise
"""

from typing import NamedTuple

import numpy as np

from argrad import _array, _cuda
from argrad._array import Array
from argrad.topology import _device, _images
from argrad.topology._images import Filtration, Numbers


class Matched(NamedTuple):
    """The bars of two sides, int64 of shape (4, bars), and of each bar its partner's place on the other side, or -1."""

    bars: tuple[Array, Array]
    partners: tuple[Array, Array]


def wanted(x: Array, lead: int, kind: Filtration) -> bool:
    """Tell whether these are volumes of which degree 1 is asked for."""
    long = [size for size in x.shape[lead:] if size != 1]
    return len(long) == 3 and kind.degrees[1] and _images.spatial(x, lead)[0] > 0


def parts(kind: Filtration) -> tuple[Filtration, Filtration]:
    """Return the options for what the device does, and for what the host does."""
    ends = [kind.degrees[0], False, kind.degrees[2]]
    return kind._replace(degrees=ends), kind._replace(degrees=[False, True, False], essential=False)


def merge(bars: Array, more: Array) -> tuple[Array, Array]:
    """Put the host's bars between those of the device; return all in order, and where each of both lists has gone."""
    count, others = bars.shape[1], more.shape[1]
    merged, places = (_cuda.empty(shape, "int64", bars) for shape in ((4, count + others), (count + others,)))
    given = (bars, more, merged, places, count, others)
    _device.launch(bars, "topology_merge", "merge_bars", _device.blocks(count + others), *given)
    return merged, places


def merge_matched(found: Matched, tables: tuple[Numbers, Numbers], pairs: Numbers) -> Matched:
    """Put the bars that the host has found and matched, with its pairs of them, between those of the device."""
    like = found.bars[0]
    sizes = [table.shape[1] for table in found.bars]
    merged, places = zip(
        *[merge(bars, _array.to_device(more, like)) for bars, more in zip(found.bars, tables, strict=True)], strict=True
    )
    partners = []
    for side in range(2):
        count, others = sizes[side], tables[side].shape[1]
        theirs = np.full(others, -1, np.int32)
        theirs[pairs[:, side]] = sizes[1 - side] + pairs[:, 1 - side]
        both, moved = (_cuda.empty((count + others,), "int32", like) for _ in range(2))
        both[:count], both[count:] = found.partners[side], _array.to_device(theirs, like)
        given = (both, places[side], places[1 - side], moved, count + others)
        _device.launch(like, "topology_merge", "move_partners", _device.blocks(count + others), *given)
        partners.append(moved)
    return Matched((merged[0], merged[1]), (partners[0], partners[1]))

"""Distances between persistence barcodes."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.topology import _device_slices
from argrad.topology._barcode import Barcode
from argrad.topology._pairs import Pair, enter


class Partners(NamedTuple):
    """Which bars of two barcodes are matched.

    Attributes:
        first: for each bar of the first barcode the place of its partner in the second; -1: it is matched to the
            diagonal (or is an essential bar without a partner, and the distance is infinite); -2: it takes no part,
            because its degree was not asked for. int64.
        second: the same for each bar of the second barcode.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import barcode, wasserstein_distance
        >>> first, second = barcode(np.array([0.0, 3.0, 1.0, 3.0, 2.5])), barcode(np.array([0.0, 3.0, 1.0]))
        >>> wasserstein_distance(first, second, dims=0, return_matching=True)[1].first
        array([ 0,  1, -1])
    """

    first: Array
    second: Array


def wasserstein_distance(
    first: Barcode,
    second: Barcode,
    *,
    order: float = 1.0,
    internal_p: float = math.inf,
    dims: int | Sequence[int] | None = None,
    batch_shape: tuple[int, ...] | None = None,
    return_matching: bool = False,
) -> Any:
    """Return the least cost of turning one barcode into the other.

    With q = `order` and p = `internal_p`, over all ways to give bars x of the first partners y of the second,

        min ( SUM_{x with partner y} |x - y|_p^q + SUM_{x, y without partner} |its way to the diagonal|_p^q )^(1/q),

    for each image and each degree by itself. Essential bars are matched among themselves in the order of their births.

    Args:
        first: a barcode, of numpy arrays, torch tensors (CPU or CUDA) or cupy arrays.
        second: a barcode of the same kind, of as many images.
        order: q, 1 <= q < inf.
        internal_p: p, 1 <= p <= inf.
        dims: a degree, or several; None: 0 up to the largest there is.
        batch_shape: (), (n,) or (n, c): the leading dimensions that the barcodes count as `batch` and `channel`. None
            takes the least that holds all bars: () if every number is 0, (n,) if every channel is 0. Images without
            any bar at the end of a batch, and a batch of one, need it said. On a device bars of other images take no
            part, unless one looks for them (`argrad.set_device_validation`).
        return_matching: whether to return the matching too.

    Returns:
        The distances, of shape `batch_shape`, followed by one number for each of `dims` unless it is a single integer;
        dtype and kind of the births. With `return_matching`: the distances, and `Partners`. A distance is inf where the
        numbers of essential bars differ.

    Raises:
        TypeError: not barcodes, or barcodes of two kinds or precisions.
        ValueError: `order`, `internal_p`, `dims` or `batch_shape` out of range, or a bar that is NaN.

    Gradient:
        To births and deaths of both (and through them to the images), exact wherever the optimal matching is the only
        one and, for q = 1, no bar lies on its partner. Zero where a distance is zero.

    Determinism:
        No randomness. The same bits for every number of threads. Among optimal matchings the choice is fixed by the
        order of the bars.

    Cost:
        Successive shortest paths over pairs that are nearer to each other than to the diagonal, in float64: O(m) to
        O(m^2) memory for m bars, seldom more than O(m^2) time, O(m^3) at worst. No copies on the diagonal. These paths
        are one after the other, so the host finds the matching for a device too: one copy of the bars to the host,
        which waits for it, and one of the partners back; the distance and its gradient are the device's. It waits once
        more for the sizes unless `dims` and `batch_shape` say them.

    References:
        Cohen-Steiner, Edelsbrunner, Harer, Mileyko, "Lipschitz functions have L_p-stable persistence", Foundations of
        Computational Mathematics 10, 2010.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import barcode, wasserstein_distance
        >>> first, second = barcode(np.array([0.0, 3.0, 1.0])), barcode(np.array([0.0, 4.0, 1.5, 2.0]))
        >>> float(wasserstein_distance(first, second, dims=0))
        1.0
    """
    name = "wasserstein_distance"
    q = _check.real(name, "order", order, low=1)
    return _matched(enter(name, first, second, dims, batch_shape), q, _norm_of(name, internal_p), return_matching)


def bottleneck_distance(
    first: Barcode,
    second: Barcode,
    *,
    dims: int | Sequence[int] | None = None,
    batch_shape: tuple[int, ...] | None = None,
    return_matching: bool = False,
) -> Any:
    """Return how far a bar has to move, at most, to turn one barcode into the other.

    Over all ways to give bars x of the first partners y of the second, for each image and each degree by itself,

        min max ( |x - y|_inf for x with partner y,  half the length of every bar without ).

    Args:
        first: a barcode, as in `wasserstein_distance`.
        second: a barcode of the same kind, of as many images.
        dims: as in `wasserstein_distance`.
        batch_shape: as in `wasserstein_distance`.
        return_matching: whether to return the matching too.

    Returns:
        As `wasserstein_distance`.

    Raises:
        TypeError: as `wasserstein_distance`.
        ValueError: as `wasserstein_distance`.

    Gradient:
        To the ends of the one pair, or bar, that attains the maximum; shared evenly where several do.

    Determinism:
        No randomness. The distance is exact, one of the differences itself. The same bits for every number of threads.

    Cost:
        At most 64 matchings by Hopcroft and Karp with neighbours from a tree: O(m^2) at worst each for m bars, about
        O(m log m) commonly; O(m) memory. On a device as `wasserstein_distance`: the host waits and matches.

    References:
        Efrat, Itai, Katz, "Geometry helps in bottleneck matching and related problems", Algorithmica 31, 2001; Cohen-
        Steiner, Edelsbrunner, Harer, "Stability of persistence diagrams", Discrete & Computational Geometry 37, 2007.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import barcode, bottleneck_distance
        >>> first, second = barcode(np.array([0.0, 3.0, 1.0])), barcode(np.array([0.0, 4.0, 1.5, 2.0]))
        >>> float(bottleneck_distance(first, second, dims=0))
        1.0
    """
    bars = enter("bottleneck_distance", first, second, dims, batch_shape)
    return _matched(bars, math.inf, math.inf, return_matching)


def sliced_wasserstein_distance(
    first: Barcode,
    second: Barcode,
    *,
    directions: int = 50,
    dims: int | Sequence[int] | None = None,
    batch_shape: tuple[int, ...] | None = None,
) -> Any:
    """Return the mean over directions of the transport between the projections of two barcodes on a line.

    With D' the bars of D put on the diagonal, (b + d) / 2 twice, and t = pi (i / directions - 1/2) for i = 0, 1, ...,

        mean_t W(D1 + D2', D2 + D1'),    W the sum of |x_(r) - y_(r)| over ranks r of x, y = b cos t + d sin t.

    Essential bars are matched among themselves in the order of their births, whose distances are added.

    Args:
        first: a barcode, as in `wasserstein_distance`.
        second: a barcode of the same kind, of as many images.
        directions: how many, 1 to 2^31.
        dims: as in `wasserstein_distance`.
        batch_shape: as in `wasserstein_distance`.

    Returns:
        The distances, as `wasserstein_distance` without a matching.

    Raises:
        TypeError: as `wasserstein_distance`.
        ValueError: as `wasserstein_distance`, or `directions` out of range. A bar that is NaN makes a distance NaN on a
            device, unless one looks for it (`argrad.set_device_validation`).

    Gradient:
        To births and deaths of both, exact wherever no two projections are equal; the second derivative is zero.

    Determinism:
        No randomness: the directions are fixed. The same bits for every number of threads. On a device the same pairs,
        and sums in another order, always the same one.

    Cost:
        Two sorts for each direction: O(directions m log m) time for m bars, O(m) memory; O(m) backward. On a device as
        many directions at once as 80 MB hold, or one; it is waited for once, for the sizes, unless `dims` and
        `batch_shape` say them.

    References:
        Carriere, Cuturi, Oudot, "Sliced Wasserstein Kernel for Persistence Diagrams", ICML 2017, arXiv:1706.03358,
        section 3; the directions are those of GUDHI's `SlicedWassersteinDistance`, which leaves out the last one.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import barcode, sliced_wasserstein_distance
        >>> first, second = barcode(np.array([0.0, 3.0, 1.0])), barcode(np.array([0.0, 4.0, 1.5, 2.0]))
        >>> print(sliced_wasserstein_distance(first, second, dims=0).round(3))
        0.976
    """
    name = "sliced_wasserstein_distance"
    count = _check.integer(name, "directions", directions, low=1, high=2**31)
    bars = enter(name, first, second, dims, batch_shape)
    if not _array.is_tensor(first.birth):
        found = _slopes(*[_array.raw(x) for x in bars.arrays()], name, count, bars.size)
        return bars.shaped(_totals(found[:2], [side.place(bars.size) for side in (bars.first, bars.second)], bars.size))
    share, other_share, *slopes = _torch.diagram_slopes(*bars.constants(), name, count, bars.size)
    total = share.new_zeros(bars.size + 1)
    for side, part, slope in ((bars.first, share, slopes[:2]), (bars.second, other_share, slopes[2:])):
        # The distance is linear in the ends near them: its value is that of the kernel, its slope the kernel's too.
        ends = [x.where(x.isfinite(), 0.0) for x in (side.birth, side.death)]
        moves = [s * (x - x.detach()) for s, x in zip(slope, ends, strict=True)]
        total = _added(total, side.place(bars.size), part + moves[0] + moves[1])
    return bars.shaped(total[:-1])


def _totals(shares: Sequence[Array], places: Sequence[Array], size: int) -> Array:
    """Return the sums of the shares of bars, of both sides, at each of `size` places."""
    if _array.is_device(shares[0]):
        count, m = shares[0].shape[0], shares[0].shape[0] + shares[1].shape[0]
        both, where = (_cuda.empty((m,), dtype, shares[0]) for dtype in ("float64", "int64"))
        both[:count], both[count:], where[:count], where[count:] = *shares, *places
        return _device_slices.totals(both, where, size)
    totals = np.zeros(size + 1)
    for share, place in zip(shares, places, strict=True):
        np.add.at(totals, place, share)
    return totals[:-1]


def _added(total: Array, places: Array, terms: Array) -> Array:
    """Return the tensor with each term added at its place; in a fixed order on every device."""
    return total.index_add(0, places, terms) if total.is_cpu else total.index_put((places,), terms, accumulate=True)


def _matched(bars: Pair, q: float, p: float, return_matching: bool) -> Any:
    _check.flag(bars.function, "return_matching", return_matching)
    if _array.is_tensor(bars.like):
        partners = Partners(*_torch.diagram_partners(*bars.constants(), bars.function, q, p))
        distance = _total(bars, partners, q, p)
    else:
        first, second, found = _match(*bars.arrays(), bars.function, q, p)
        partners, distance = Partners(first, second), _cuda.full((bars.size,), 0.0, "float64", first)
        distance[: len(found)] = found
    distance = bars.shaped(distance)
    return (distance, partners) if return_matching else distance


def _norm_of(function: str, internal_p: object) -> float:
    endless = isinstance(internal_p, float | np.floating) and internal_p == math.inf
    return math.inf if endless else _check.real(function, "internal_p", internal_p, low=1)


def _total(bars: Pair, partners: Partners, q: float, p: float) -> Array:
    """Return the distances of tensors as differentiable functions of their ends."""
    ends = [[x.where(x.isfinite(), 0.0) for x in side[:2]] for side in (bars.first, bars.second)]
    sides = ((bars.first, ends[0], partners.first), (bars.second, ends[1], partners.second))
    matched = partners.first >= 0
    gaps = [(x - _take(y, partners.first)).abs() for x, y in zip(ends[0], ends[1], strict=True)]
    flat = 0.5 if p == math.inf else 2.0 ** (1 / p) / 2
    lengths = [flat * (death - birth).abs() for _, (birth, death), _ in sides]
    lengths[0] = _norm(gaps[0], gaps[1], p).where(matched, lengths[0])
    # A pair counts once: at its first bar.
    lengths[1] = lengths[1].where(partners.second < 0, 0.0)
    places = [side.place(bars.size) for side, *_ in sides]
    zero = lengths[0].new_zeros(bars.size + 1)
    total = zero
    if q == math.inf:
        for place, length in zip(places, lengths, strict=True):
            total = total.scatter_reduce(0, place, length, "amax")
    else:
        # In units of the longest of each distance, so that no power overflows.
        unit = zero
        for place, length in zip(places, lengths, strict=True):
            unit = unit.scatter_reduce(0, place, length.detach(), "amax")
        unit = unit + (unit == 0)
        for place, length in zip(places, lengths, strict=True):
            total = _added(total, place, (length / unit[place]) ** q)
        some = total > 0
        total = (unit * total.where(some, 1.0) ** (1 / q)).where(some, 0.0)
    left_over = zero
    for place, (side, _, partner) in zip(places, sides, strict=True):
        endless = (side.birth - side.death).isinf() & (partner == -1)
        left_over = _added(left_over, place, endless.to(zero.dtype))
    return total.where(left_over == 0, math.inf)[:-1]


def _take(x: Array, partner: Array) -> Array:
    """Return x at the partners, 0 where there is none."""
    padded = x.new_zeros(x.shape[0] + 1)
    padded[:-1] = x
    return padded[partner.clamp(min=-1)]


def _norm(b: Array, d: Array, p: float) -> Array:
    """Return the p-norm of two nonnegative tensors; its slope at 0 is 0."""
    large = b.maximum(d)
    if p == math.inf:
        return large
    some = large > 0
    unit = large.detach().where(some, 1.0)
    power = (b / unit) ** p + (d / unit) ** p
    return (unit * power.where(some, 1.0) ** (1 / p)).where(some, 0.0)


def _match(*args: Any) -> Any:
    *arrays, function, q, p = args
    device = _array.is_device(arrays[0])
    first, second = _bars(*(_brought(arrays) if device else arrays))
    found = _native.diagram_matchings(function, first, second, q, p)
    return tuple([_array.to_device(x, arrays[0]) for x in found]) if device else found


def _brought(arrays: Sequence[Array]) -> list[Any]:
    """Bring the bars to the host, in one copy."""
    sizes = [x.shape[0] for x in arrays]
    packed = _cuda.empty((sum(sizes),), "float64", arrays[0])
    for x, end, size in zip(arrays, itertools.accumulate(sizes), sizes, strict=True):
        packed[end - size : end] = x  # numbers of distances are below 2^53
    return np.split(_array.to_host(packed), list(itertools.accumulate(sizes[:-1])))


def _partners(*args: Any) -> Any:
    return _match(*args)[:2]


def _slopes(*args: Any) -> Any:
    *arrays, function, directions, size = args
    if _array.is_device(arrays[0]):

        def refuse(*arrays: Any) -> None:
            first, second = _bars(*arrays)
            _native.diagram_slices(function, first, second, 1)

        return _device_slices.slopes(tuple(arrays[:3]), tuple(arrays[3:]), size, directions, refuse)
    first, second = _bars(*arrays)
    share, other_share, x, y = _native.diagram_slices(function, first, second, directions)
    return share, other_share, *[np.ascontiguousarray(slope) for slope in (x[:, 0], x[:, 1], y[:, 0], y[:, 1])]


def _bars(*arrays: Any) -> Any:
    """Return two pairs of ends and groups as the native functions take them."""
    return tuple((np.stack(arrays[i : i + 2], -1), np.ascontiguousarray(arrays[i + 2], np.int64)) for i in (0, 3))


def _no_backward(*_: Any) -> dict[str, Any]:
    return {}


_ENDS = "Tensor birth, Tensor death, Tensor group, Tensor other_birth, Tensor other_death, Tensor other_group"
_torch.declare(
    "diagram_partners",
    f"({_ENDS}, str function, float order, float internal) -> (Tensor partner, Tensor other_partner)",
    forward=_partners,
    shapes=lambda *args: ((args[0].shape, "int64"), (args[3].shape, "int64")),
    backward=_no_backward,
    values=2,
    saved=(),
    device=True,
)
_torch.declare(
    "diagram_slopes",
    f"({_ENDS}, str function, int directions, int size) -> (Tensor share, Tensor other_share, Tensor birth_slope, "
    "Tensor death_slope, Tensor other_birth_slope, Tensor other_death_slope)",
    forward=_slopes,
    shapes=lambda *args: tuple((args[i].shape, None) for i in (0, 3, 0, 0, 3, 3)),
    backward=_no_backward,
    values=6,
    saved=(),
    device=True,
)

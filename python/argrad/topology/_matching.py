"""Betti matching: which topological features of two images correspond, because they lie at the same place."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.topology import _device, _device_bars, _device_tunnels, _images
from argrad.topology._barcode import Barcode, assemble
from argrad.topology._images import FILTRATION, Filtration, Images, Numbers


class Matching(NamedTuple):
    """The bars of two images, or of the pairs of images of two arrays, and which of them are matched.

    Attributes:
        prediction: the bars of the first image.
        target: the bars of the second image.
        pairs: int64, shape (matches, 2): places of matched bars in `prediction` and `target`, rising.
        unmatched_prediction: int64: places of the bars in `prediction` without a partner.
        unmatched_target: int64: places of the bars in `target` without a partner.
        n_matched: int64, shape (*leading dimensions, d): how many pairs there are of each degree.
        n_unmatched_prediction: the same for bars of the prediction without a partner.
        n_unmatched_target: the same for the target.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import betti_matching
        >>> first, second = np.array([1.0, 0.2, 0.9, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])
        >>> found = betti_matching(first, second)
        >>> found.n_matched, found.n_unmatched_prediction
        (array([0]), array([1]))
    """

    prediction: Barcode
    target: Barcode
    pairs: Array
    unmatched_prediction: Array
    unmatched_target: Array
    n_matched: Array
    n_unmatched_prediction: Array
    n_unmatched_target: Array


def betti_matching(
    prediction: Images,
    target: Images,
    *,
    filtration: str = "superlevel",
    connectivity: str = "face",
    comparison: str = "union",
    rule: str = "refined",
    relative: bool = False,
    sphere: bool = False,
    essential: bool = False,
    threshold: float | None = None,
    dims: int | Sequence[int] | None = None,
    spatial_dims: int | None = None,
) -> Any:
    """Match the bars of two images that are the same feature at the same place.

    The sets of both images at a level lie in their union, the set of the comparison image. A class of homology of the
    one and a class of the other correspond if they become one class there: a bar [b, .) of the prediction and a bar of
    the target are matched if some bar of the comparison image has a death j so that (b, j) is a pair of the map from
    the prediction into the comparison, and likewise for the target. Bars of length zero are left out.

    Args:
        prediction: an image of 1 to 3 axes, or images of shape (n, *S) or (n, c, *S), any floating, integer or boolean
            dtype; numpy array, torch tensor (CPU or CUDA) or cupy array; or a list of them, of any shapes. Axes of size
            1 count for nothing.
        target: the second images, of the shape of the first and of the same precision (half precision counts as
            float32); a boolean or integer target beside a floating prediction is cast to its dtype, exactly.
        filtration: "superlevel": {x >= t} with t falling, for probabilities of the foreground; or "sublevel".
        connectivity: "face": voxels of the set are connected through faces (4 neighbors in a plane, 6 in a volume: the
            V-construction); "full": through corners as well (8 or 26: the T-construction).
        comparison: "union", or "intersection" of the two sets: then a pair of the maps shares its birth.
        rule: "refined" counts every pair of the maps if the bars of both images and of the comparison are not of
            length zero, as the published programs do. "strict" is the definition: the pair itself, from the birth in
            the image to the death in the comparison, must not be empty either. Every strict match is a refined one.
            They agree on two masks. On grey images refined also matches a feature that the prediction has only after
            it died in the comparison, and equal voxels, or the order of the cells around one, can decide about it.
        relative: surround images by a ring of their value that comes first, so that structures at the border close.
        sphere: surround images by a ring of zeros, the background.
        essential: whether the one class that never dies, the oldest component of each image, is a bar. **The two
            are always matched, wherever they lie**, unless a `threshold` leaves one of the images empty.
        threshold: where the filtration ends: voxels at it or beyond it are in no set, and bars that are alive there end
            at the threshold (with `death_index` -1).
        dims: which degrees, an integer or several; all of 0 to d - 1 by default.
        spatial_dims: how many of the last axes are an image's; by default all are, so that each argument is one image.

    Returns:
        A `Matching`: the barcodes, the matched pairs and the rest as arrays of the kind of `prediction`, and how many
        there are; for lists, a list of them.

    Raises:
        TypeError: not an array, arrays of two kinds, or of dtypes that do not go together.
        ValueError: NaN or an integer that the common dtype does not have (with the position), shapes that differ, a
            shape that is none of the above, an axis of size 0, or an option out of range. Infinite values are allowed.
        RuntimeError: `torch.vmap`, because images have different numbers of bars.
        MemoryError: images that need more working memory than there is, known before work starts.

    Gradient:
        Births and deaths are values of voxels, so gradients go to these voxels of `prediction` and `target`, exact
        wherever no two voxels of the images are equal, and any number of times. Indices and counts have none. An image
        without bars has a gradient of zero.

    Determinism:
        No randomness: equal voxels are ordered by their positions. The same arrays for every number of threads, which
        share the images of arrays and lists, and on a device. A flip of both images can change a refined matching, and
        a strict one where voxels are equal; bars it never changes.

    Cost:
        O(n log n) time for n voxels in one and two dimensions and, in practice, nearly so in three; O(n) memory. On a
        device some 250 bytes a voxel (560 of a volume), and one wait for the device: the host has to know how many bars
        there are. Pairs of a list come one after the other there. Degree 1 of volumes on a device is the host's, as in
        `barcode`: both images are copied, for which the host waits as well.

    References:
        Stucki, Paetzold, Shit, Menze and Bauer, "Topologically Faithful Image Segmentation via Induced Matching of
        Persistence Barcodes", ICML 2023, arXiv:2211.15272; Stucki, Buergin, Paetzold and Bauer, "Efficient Betti
        Matching Enables Topology-Aware 3D Segmentation via Persistent Homology", 2024, arXiv:2407.04683 ("refined" is
        what its program computes). Bauer and Lesnick, "Induced Matchings and the Algebraic Stability of Persistence
        Barcodes", 2015, arXiv:1311.3681 ("strict").

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import betti_matching
        >>> target = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]])
        >>> prediction = np.where(target == 1, 0.9, 0.1)
        >>> print(betti_matching(prediction, target).n_matched)
        [0 1]
        >>> prediction[0, 1] = 0.3
        >>> found = betti_matching(prediction, target)
        >>> print(found.prediction.birth, found.prediction.death, found.pairs)
        [0.3] [0.1] [[0 0]]
    """
    name = "betti_matching"
    intersection = _check.choice(name, "comparison", comparison, ("union", "intersection")) == "intersection"
    strict = _check.choice(name, "rule", rule, ("refined", "strict")) == "strict"

    def enter(prediction: Array, target: Array) -> _Entered:
        lead, *dtypes = _enter(name, prediction, target, spatial_dims)
        kind = _images.options(
            name,
            prediction.ndim - lead,
            filtration=filtration,
            connectivity=connectivity,
            dims=dims,
            essential=essential,
            threshold=threshold,
            relative=relative,
            sphere=sphere,
        )
        return _Entered(lead, (dtypes[0], dtypes[1]), kind, (intersection, strict))

    if isinstance(prediction, list | tuple) or isinstance(target, list | tuple):
        lists = [prediction, target]
        return _of_lists(lists, _images.each(name, "prediction and target", lists, enter))
    return _of_arrays(prediction, target, enter(prediction, target))


class _Entered(NamedTuple):
    """What the checks of two arrays found: leading dimensions, dtypes of the values, options, and how to match."""

    lead: int
    dtypes: tuple[str, str]
    kind: Filtration
    how: tuple[bool, bool]


def _of_arrays(prediction: Array, target: Array, entered: _Entered) -> Matching:
    options = (entered.dtypes[0], entered.lead, *entered.kind, *entered.how)
    if _array.is_tensor(prediction):
        found = _torch.topology_matching(prediction, target, *options)
    else:
        found = _forward(_array.raw(prediction), _array.raw(target), *options)
    return _assemble(prediction, target, entered, found)


def _of_lists(lists: Sequence[Sequence[Array]], entered: Sequence[_Entered]) -> list[Matching]:
    """Return the matchings of two lists; all pairs are worked on side by side."""
    name = "betti_matching"
    arrays = [*lists[0], *lists[1]]
    if not _torch.is_direct(arrays) or any(_array.place_of(x) == "device" for x in arrays):
        return _images.each(name, "prediction and target", [*lists, entered], _of_arrays)
    if not entered:
        return []

    def prepare(f: Array, g: Array, entered: _Entered) -> tuple[Numbers, Numbers]:
        return _prepare(_array.raw(f), _array.raw(g), entered.dtypes[0])

    pairs = _images.each(name, "prediction and target", [*lists, entered], prepare)
    leads, (_, _, kind, how) = [one.lead for one in entered], entered[0]
    results = _match(pairs, leads, kind, how, listed=True)
    found = []
    for f, g, one, result in zip(*lists, entered, results, strict=True):
        found.append(_assemble(f, g, one, [_array.like(array, f) for array in result]))
    return found


def _assemble(prediction: Array, target: Array, entered: _Entered, found: Sequence[Array]) -> Matching:
    """Return what was found as a `Matching`, with values gathered from the images."""
    lead, dtypes, kind, _ = entered
    first, second, pairs, only_first, only_second, counts = found
    counts = counts.reshape(3, *prediction.shape[:lead], prediction.ndim - lead)
    return Matching(
        assemble(prediction, lead, first, kind, dtypes[0]),
        assemble(target, lead, second, kind, dtypes[1]),
        pairs,
        only_first,
        only_second,
        counts[0],
        counts[1],
        counts[2],
    )


def _enter(function: str, prediction: Array, target: Array, spatial_dims: int | None) -> tuple[int, str, str]:
    """Check two arrays of images; return how many leading dimensions count them, and the dtypes of their values."""
    lead = _images.enter(function, "prediction", prediction, spatial_dims, device=True)
    _images.enter(function, "target", target, spatial_dims, device=True)
    _check.same_kind(function, {"prediction": prediction, "target": target})
    if tuple(prediction.shape) != tuple(target.shape):
        raise ValueError(
            f"{function}: target must be of shape {tuple(prediction.shape)} like prediction, got {tuple(target.shape)}"
        )
    first, second = _check.dtype_name(prediction), _check.dtype_name(target)
    if second in _check.WHOLE:
        common = "float64" if first in _check.WHOLE else first
        return lead, common, common
    if first in _check.WHOLE:
        raise TypeError(f"{function}: target must be of a boolean or integer dtype like prediction, got {second}")
    _check.same_precision(function, {"prediction": prediction, "target": target})
    return lead, first, second


def _forward(f: Numbers, g: Numbers, dtype: str, lead: int, *options: Any) -> tuple[Numbers, ...]:
    """Return the bars of both as in `barcode`, pairs and places of other bars, and counts of shape (3, images, d)."""
    if _array.is_device(f):
        return _on_device(f, g, dtype, lead, Filtration(*options[:-2]), options[-2:])
    return _match([_prepare(f, g, dtype)], [lead], Filtration(*options[:-2]), options[-2:])[0]


def _on_device(
    f: Array, g: Array, dtype: str, lead: int, kind: Filtration, how: tuple[bool, bool]
) -> tuple[Array, ...]:
    name, (intersection, strict) = "betti_matching", how

    def refuse() -> None:
        first, second = _prepare(_array.to_host(f), _array.to_host(g), dtype)
        _native.betti_matchings(name, [(first, lead)], [(second, lead)], False, kind.native(), *how)

    tunnels = None
    if _device_tunnels.wanted(f, lead, kind):
        arrived = _array.copying(f), _array.copying(g)
        kind, own = _device_tunnels.parts(kind)

        def tunnels() -> tuple[Numbers, ...]:
            return _match([_prepare(arrived[0](), arrived[1](), dtype)], [lead], own, how)[0]

    given = _device.numbers(name, "prediction", f), _device.numbers(name, "target", g)
    if "float64" in (_check.dtype_name(given[0]), _check.dtype_name(given[1]), dtype):
        given = _array.cast(given[0], "float64"), _array.cast(given[1], "float64")
    # In the dual complex unions are intersections.
    asked = _device.Asked(kind, larger=intersection != kind.full, strict=strict)
    return _device_bars.matchings(name, *given, lead, asked, refuse, tunnels)


def _prepare(f: Numbers, g: Numbers, dtype: str) -> tuple[Numbers, Numbers]:
    """Return two arrays of images in one dtype that has all of their numbers."""
    name, floating = "betti_matching", f.dtype.kind == "f"
    f = _images.numbers(name, "prediction", f)
    if g.dtype.kind != "f":
        g = _images.rounded(name, "target", g, dtype) if floating else _images.numbers(name, "target", g)
    common = np.result_type(f, g)
    return f.astype(common, copy=False), g.astype(common, copy=False)


def _match(
    pairs: Sequence[tuple[Numbers, Numbers]],
    leads: Sequence[int],
    kind: Filtration,
    how: tuple[bool, bool],
    *,
    listed: bool = False,
) -> list[tuple[Numbers, ...]]:
    """Return what is found in several pairs of arrays, each as `_forward` does."""
    name = "betti_matching"
    first_images, second_images = (
        [(pair[side], lead) for pair, lead in zip(pairs, leads, strict=True)] for side in (0, 1)
    )
    results = _native.betti_matchings(name, first_images, second_images, listed, kind.native(), *how)
    found = []
    for (f, _), lead, result in zip(pairs, leads, results, strict=True):
        first, second, matches, only_f, only_g = result
        bars = [np.stack(table, dtype=np.int64, casting="safe") for table in (first, second)]
        parts = bars[0][:2, matches[:, 0]], bars[0][:2, only_f], bars[1][:2, only_g]
        images, d = _images.spatial(f, lead)[0], f.ndim - lead
        counts = [np.bincount(part[0] * d + part[1], minlength=images * d).reshape(images, d) for part in parts]
        found.append((*bars, matches, only_f, only_g, np.stack(counts)))
    return found


_torch.declare_ragged(
    "topology_matching",
    f"(Tensor prediction, Tensor target, str dtype, int lead, {FILTRATION}, bool intersection, bool strict) -> "
    "(Tensor prediction_bars, Tensor target_bars, Tensor pairs, Tensor unmatched_prediction, Tensor unmatched_target, "
    "Tensor counts)",
    forward=_forward,
    shapes=lambda unknown, prediction, target, dtype, lead, *args: [
        (4, unknown()),
        (4, unknown()),
        (unknown(), 2),
        (unknown(),),
        (unknown(),),
        (3, _images.spatial(prediction, lead)[0], prediction.ndim - lead),
    ],
    refusal="betti_matching: torch.vmap cannot stack matchings of different lengths; pass a batch with spatial_dims "
    "instead",
    device=True,
)

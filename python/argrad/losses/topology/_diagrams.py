"""Losses that compare barcodes without looking where their bars are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from argrad import _array, topology
from argrad._check import choice, integer, on_behalf
from argrad.losses import _check
from argrad.losses._reduce import reduce
from argrad.losses.topology._images import Images, added, degrees, finite, images, levels

if TYPE_CHECKING:
    from torch import Tensor

    from argrad.topology import Barcode


class _Bars(NamedTuple):
    """The bars of a prediction, for losses that keep the longest.

    Attributes:
        birth: where each bar is born.
        death: where it dies; an essential one: at the end of the filtration, 0 from above and 1 from below.
        example: the number of its example.
        kept: whether it is among the longest of its example and degree, of which as many are wanted.
        missing: how many wanted bars each example lacks.
    """

    birth: Tensor
    death: Tensor
    example: Tensor
    kept: Tensor
    missing: Tensor


def wasserstein_topology_loss(
    prediction: Tensor,
    target: Tensor,
    *,
    matching: str = "longest",
    filtration: str = "superlevel",
    connectivity: str = "face",
    dims: int | Sequence[int] | None = None,
    essential: bool = False,
    spatial_dims: int | None = None,
    sample_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Give a prediction as many clear features as the target has, wherever they are.

    With (b, d) the bars of the prediction, e the bar of a feature that is certain, (1, 0) for bright structures and
    (0, 1) for dark ones, and beta_k the Betti numbers of the target,

        "longest"      SUM_k  SUM_{the beta_k longest} |(b, d) - e|^2  +  SUM_{others} 1/2 |b - d|^2,
        "wasserstein"  SUM_k  W_2(bars of the prediction, bars of the target)^2, with Euclidean distances.

    Every feature of the target for which the prediction has no bar adds 1/2, without a gradient.

    Args:
        prediction: probabilities, shape (*S), (n, *S) or (n, c, *S), floating.
        target: labels of the same shape: numbers > 0 (and True) are the foreground; for "wasserstein" any image.
        matching: "longest" or "wasserstein". The second may leave a short bar alone where the first pulls it up.
        filtration: "superlevel": bright structures; "sublevel": dark ones; "both": the sum of the two losses.
        connectivity: "face" or "full", of the structures.
        dims: the degrees that count: 0 components, 1 loops (2-D) or tunnels (3-D), 2 cavities; None: all.
        essential: whether the component that never dies counts: its death is the end of [0, 1] ("longest"), or not
            compared ("wasserstein").
        spatial_dims: how many of the last dimensions are space, 1 to 3; None: all.
        sample_weight: factor on each example's value, shape (), (n,) or (n, c).
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `prediction`: a scalar, or for "none" one value per example, shape (), (n,) or (n, c).

    Raises:
        TypeError: not tensors, prediction not floating, or target complex.
        ValueError: shapes that do not fit, an option out of range, or a NaN (with its position).

    Gradient:
        To `prediction`, at the voxels of birth and death, and to `sample_weight`. Exact wherever no two values of the
        prediction are equal and no two bars at the border of the longest are of one length.

    Determinism:
        No randomness. An example's value depends neither on its batch nor on the number of threads. Ties are decided by
        the order of voxels.

    Cost:
        That of `barcode`, and of sorting the bars; "wasserstein": of `wasserstein_distance`, which is much more where
        there are thousands of bars.

    References:
        Hu, Li, Samaras, Chen, "Topology-Preserving Deep Image Segmentation", NeurIPS 2019, arXiv:1906.05404, where
        patches are compared; "wasserstein" is the variant of the package topolosses.

    Examples:
        >>> import torch
        >>> from argrad.losses.topology import wasserstein_topology_loss
        >>> target = torch.tensor([1.0, 1, 0, 1, 1])
        >>> blurred = torch.tensor([0.9, 0.8, 0.5, 0.7, 0.6])
        >>> wasserstein_topology_loss(blurred, target)  # (0.7 - 1)^2 + (0.5 - 0)^2
        tensor(0.3400)
    """
    import torch

    name = "wasserstein_topology_loss"
    checked = images(name, prediction, spatial_dims, sample_weight, reduction)
    goal = checked.target(name, target)
    choice(name, "matching", matching, ("longest", "wasserstein"))
    wanted, values = degrees(name, dims, checked.spatial), checked.zeros()
    for level in levels(name, filtration):
        options: dict[str, Any] = {
            "filtration": level,
            "connectivity": connectivity,
            "dims": wanted,
            "essential": essential,
            "spatial_dims": checked.spatial,
        }
        if matching == "longest":
            betti = on_behalf(
                name,
                {"mask": "target > 0"},
                topology.betti_numbers,
                _foreground(goal, level),
                connectivity=connectivity,
                spatial_dims=checked.spatial,
            )
            if not essential:  # one component of each image that has any
                betti = (betti - (torch.arange(checked.spatial, device=betti.device) == 0).long()).clamp(min=0)
            bars = _longest(name, checked, betti, options)
            values = values + _certain(bars, level)
        else:
            sides = {"prediction": checked.prediction, "target": goal}
            first, second = [
                _between_numbers(on_behalf(name, {"x": argument}, topology.barcode, x, **options))
                for argument, x in sides.items()
            ]
            distance = topology.wasserstein_distance(
                first, second, order=2, internal_p=2, dims=wanted, batch_shape=checked.lead
            )
            # An infinite one: the essential component of one image alone is born at a number.
            values = values + finite(distance).square().sum(-1).reshape(-1)
    return reduce(values.reshape(checked.lead), reduction, weights=sample_weight, dtype=checked.dtype)


def _foreground(goal: Tensor, level: str) -> Tensor:
    """Return where the labels are, with NaN where they are NaN, so that the operator refuses it."""
    import torch

    labels = goal > 0 if level == "superlevel" else goal <= 0
    # One pass sees that there is nothing to do; no device waits.
    if not torch.compiler.is_compiling() and goal.is_cpu and not math.isnan(goal.sum().item()):
        return labels
    return labels.to(goal.dtype).where(goal == goal, goal)


def _between_numbers(bars: Barcode) -> Barcode:
    """Take bars with an end at an infinite value out of their degree."""
    dead = bars.death.isfinite() | (bars.death_index < 0)
    return bars._replace(dimension=bars.dimension.where(bars.birth.isfinite() & dead, 3))


def _certain(bars: _Bars, level: str) -> Tensor:
    """Pull the longest bars to the one of a certain feature, and the others to the diagonal."""
    start = 1.0 if level == "superlevel" else 0.0
    birth, death = finite(bars.birth - start), finite(bars.death - (1.0 - start))
    length = finite(bars.birth - bars.death)
    terms = (birth.square() + death.square()).where(bars.kept, length.square() / 2)
    return added(bars.missing / 2, bars.example, terms.double())


def betti_prior_loss(
    prediction: Tensor,
    betti: Tensor | Sequence[int],
    *,
    filtration: str = "superlevel",
    connectivity: str = "face",
    dims: int | Sequence[int] | None = None,
    spatial_dims: int | None = None,
    sample_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Give a prediction the Betti numbers that are known beforehand; no target is needed.

    With the bars of each degree k sorted by their lengths |b - d|, missing ones of length 0, and beta_k the numbers,

        value = SUM_k  SUM_{i <= beta_k} (1 - |b_i - d_i|^2)  +  SUM_{i > beta_k} |b_i - d_i|^2.

    The component that never dies is a bar too, up to the end of [0, 1].

    Args:
        prediction: probabilities, shape (*S), (n, *S) or (n, c, *S), floating.
        betti: the Betti number of each degree 0, ..., d - 1 for d spatial dimensions: integers, or a tensor of an
            integer dtype of shape (d,), or (c, d) or (n, c, d) or (n, d) to say it for each channel or example.
        filtration: "superlevel": bright structures; "sublevel": dark ones; "both": the sum of the two losses.
        connectivity: "face" or "full", of the structures.
        dims: the degrees that count; None: all.
        spatial_dims: how many of the last dimensions are space, 1 to 3; None: all.
        sample_weight: factor on each example's value, shape (), (n,) or (n, c).
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `prediction`: a scalar, or for "none" one value per example, shape (), (n,) or (n, c).

    Raises:
        TypeError: prediction not a floating tensor, or betti not integers.
        ValueError: shapes that do not fit, an option out of range, or a NaN (with its position).

    Gradient:
        To `prediction`, at the voxels of birth and death, and to `sample_weight`. Exact wherever no two values of the
        prediction are equal and no two bars at the border of the longest are of one length. Bars of length 0 that are
        to become longer have gradient zero: a flat image gets no loops.

    Determinism:
        No randomness. An example's value depends neither on its batch nor on the number of threads. Ties are decided by
        the order of voxels.

    Cost:
        That of `barcode`, and of sorting the bars.

    References:
        Clough, Byrne, Oksuz, Zimmer, Schnabel, King, "A Topological Loss Function for Deep-Learning Based Image
        Segmentation Using Persistent Homology", TPAMI 2022, arXiv:1910.01877.

    Examples:
        >>> import torch
        >>> from argrad.losses.topology import betti_prior_loss
        >>> ring = torch.tensor([[0.9, 0.9, 0.9], [0.9, 0.1, 0.9], [0.9, 0.7, 0.9]])
        >>> betti_prior_loss(ring, (1, 1))  # 1 - 0.9^2 + 1 - (0.7 - 0.1)^2
        tensor(0.8300)
    """
    name = "betti_prior_loss"
    checked = images(name, prediction, spatial_dims, sample_weight, reduction)
    numbers = _numbers(name, betti, checked)
    wanted, values = degrees(name, dims, checked.spatial), checked.zeros()
    for level in levels(name, filtration):
        options: dict[str, Any] = {"filtration": level, "connectivity": connectivity, "dims": wanted}
        bars = _longest(name, checked, numbers, {**options, "essential": True, "spatial_dims": checked.spatial})
        square = finite(bars.birth - bars.death).square()
        values = values + added(bars.missing, bars.example, (1 - square).where(bars.kept, square).double())
    return reduce(values.reshape(checked.lead), reduction, weights=sample_weight, dtype=checked.dtype)


def _numbers(name: str, betti: Tensor | Sequence[int], checked: Images) -> Tensor:
    """Require Betti numbers; return them as integers of shape (*lead, d)."""
    import torch

    d, lead = checked.spatial, checked.lead
    numbers: Any = betti
    if isinstance(betti, list | tuple):
        several = [integer(name, "betti", number, low=0, high=2**53) for number in betti]
        numbers = checked.prediction.new_tensor(several, dtype=torch.int64)
    elif not _array.is_tensor(betti):
        raise TypeError(f"{name}: betti must be a tensor, a list or a tuple, got {_array.describe(betti)}")
    shapes = [(*lead[i:], d) for i in range(len(lead) + 1)]
    if tuple(numbers.shape) not in shapes:
        raise ValueError(f"{name}: betti must be of shape {' or '.join(map(str, shapes))}, got {tuple(numbers.shape)}")
    known = _check.classes(name, "betti", numbers, tuple(numbers.shape))
    if not torch.compiler.is_compiling() and known.is_cpu and known.numel() and int(known.min()) < 0:
        raise ValueError(f"{name}: betti must be integers >= 0, got {int(known.min())}")
    return known.expand(*lead, d)


def _longest(name: str, checked: Images, betti: Tensor, options: dict[str, Any]) -> _Bars:
    """Find the bars of a prediction and the longest among them."""
    import torch

    bars, d = on_behalf(name, {"x": "prediction"}, topology.barcode, checked.prediction, **options), checked.spatial
    last = 0.0 if options["filtration"] == "superlevel" else 1.0
    death = bars.death.where(bars.death.isfinite(), last)
    example = checked.example(bars)
    group = example * d + bars.dimension.long()  # of one example and degree
    # Ranks within the groups: sort by length, then stably by group, and count from each group's first.
    order = (bars.birth - death).detach().abs().argsort(descending=True, stable=True)
    order = order.index_select(0, group.index_select(0, order).argsort(stable=True))
    sorted_group = group.index_select(0, order)
    place = torch.ones_like(order).cumsum(0) - 1 - torch.searchsorted(sorted_group, sorted_group)
    rank = torch.empty_like(place).scatter(0, order, place)
    number = betti.reshape(-1)
    count = number.new_zeros(math.prod(checked.lead) * d).index_add(0, group, torch.ones_like(group))
    lacking = (number - count).clamp(min=0).reshape(-1, d)
    missing = sum([lacking[:, k] for k in options["dims"]], torch.zeros_like(lacking[:, 0]))
    kept = rank < number.index_select(0, group)
    return _Bars(bars.birth, death, example, kept, missing.double())

"""The Betti matching loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from argrad import topology
from argrad._check import choice, on_behalf, real
from argrad.losses._reduce import reduce
from argrad.losses.topology._images import Images, added, finite, images, levels

if TYPE_CHECKING:
    from torch import Tensor

    from argrad.topology import Barcode


class _Terms(NamedTuple):
    """What is added up; see `betti_matching_loss`."""

    weight_matched: float
    weight_unmatched: float
    push_unmatched: str
    min_persistence: float


def betti_matching_loss(
    prediction: Tensor,
    target: Tensor,
    *,
    filtration: str = "superlevel",
    connectivity: str = "face",
    comparison: str = "union",
    rule: str = "refined",
    dims: int | Sequence[int] | None = None,
    weight_matched: float = 1.0,
    weight_unmatched: float = 1.0,
    push_unmatched: str = "diagonal",
    min_persistence: float = 0.0,
    relative: bool = False,
    sphere: bool = False,
    essential: bool = False,
    threshold: float | None = None,
    spatial_dims: int | None = None,
    sample_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Pull topological features of a prediction to the features of the target that they overlap, and the others away.

    With (b, d) birth and death of bars of the prediction f and of the target g, matched by `betti_matching`,

        value = w_m SUM_{matched}        2 ((b_f - b_g)^2 + (d_f - d_g)^2)
              + w_u SUM_{unmatched of f} (b_f - d_f)^2
              +     SUM_{unmatched of g} (b_g - d_g)^2,

    summed over degrees. The last sum has no gradient: nothing in the prediction is to blame for it.

    Args:
        prediction: probabilities, shape (*S), (n, *S) or (n, c, *S), floating.
        target: labels 0 and 1, or probabilities, of the same shape, numbers or booleans.
        filtration: "superlevel": bright structures; "sublevel": dark ones; "both": the sum of the two losses.
        connectivity: "face" or "full", of the structures; see `betti_matching`.
        comparison: "union" or "intersection"; see `betti_matching`.
        rule: "refined" or "strict"; see `betti_matching`.
        dims: the degrees that count: 0 components, 1 loops (2-D) or tunnels (3-D), 2 cavities; None: all.
        weight_matched: w_m >= 0.
        weight_unmatched: w_u >= 0.
        push_unmatched: where unmatched bars of the prediction are pushed. "diagonal": as above, birth and death to each
            other. "background": the voxel of birth to the background, that of death to the foreground, by
            2 ((b - 0)^2 + (d - 1)^2) for bright structures, 2 ((b - 1)^2 + d^2) for dark ones. "target": both voxels
            to the values that the target has there, by 2 ((b - g[voxel of b])^2 + (d - g[voxel of d])^2).
        min_persistence: unmatched bars of the prediction that are shorter do not count.
        relative: see `betti_matching`.
        sphere: see `betti_matching`.
        essential: whether the component that never dies counts, with its birth alone.
        threshold: see `betti_matching`.
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
        prediction are equal; the loss jumps where the matching changes. An image without bars has gradient zero. For
        two soft maps, add the loss with its arguments exchanged: that is the gradient to the other.

    Determinism:
        No randomness. An example's value depends neither on its batch nor on the number of threads. Ties are decided by
        the order of voxels. Unless `essential`, the component that never dies is not compared, and where it lies never
        is (`betti_matching_error` says more).

    Cost:
        That of `betti_matching`, once for each filtration; O(bars) more, forward and backward.

    References:
        Stucki, Paetzold, Shit, Menze, Bauer, "Topologically faithful image segmentation via induced matching of
        persistence barcodes", ICML 2023, arXiv:2211.15272; Stucki, Bürgin, Paetzold, Bauer, "Efficient Betti Matching
        Enables Topology-Aware 3D Segmentation via Persistent Homology", arXiv:2407.04683; defaults as in the authors'
        code, which takes the mean of both filtrations, and whose "background" pushes the unmatched bars of the target
        too, a constant.

    Examples:
        >>> import torch
        >>> from argrad.losses.topology import betti_matching_loss
        >>> target = torch.tensor([[1.0, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> cut = torch.tensor([[0.9, 0.9, 0.9], [0.9, 0.1, 0.9], [0.9, 0.3, 0.9]], requires_grad=True)
        >>> loss = betti_matching_loss(cut, target)
        >>> loss.backward()
        >>> [[round(x, 2) for x in row] for row in cut.grad.tolist()]  # mends the loop, and empties it
        [[0.0, 0.0, 0.0], [0.0, 0.4, 0.0], [0.0, -2.8, 0.0]]
    """
    name = "betti_matching_loss"
    checked = images(name, prediction, spatial_dims, sample_weight, reduction)
    goal = checked.target(name, target)
    choice(name, "push_unmatched", push_unmatched, ("diagonal", "background", "target"))
    terms = _Terms(
        weight_matched=real(name, "weight_matched", weight_matched, low=0),
        weight_unmatched=real(name, "weight_unmatched", weight_unmatched, low=0),
        push_unmatched=push_unmatched,
        min_persistence=real(name, "min_persistence", min_persistence, low=0),
    )
    values = checked.zeros()
    for level in levels(name, filtration):
        found = on_behalf(
            name,
            {},
            topology.betti_matching,
            checked.prediction,
            goal,
            filtration=level,
            connectivity=connectivity,
            comparison=comparison,
            rule=rule,
            relative=relative,
            sphere=sphere,
            essential=essential,
            threshold=threshold,
            dims=dims,
            spatial_dims=checked.spatial,
        )
        values = _add(values, checked, goal, found, level, terms)
    return reduce(values.reshape(checked.lead), reduction, weights=sample_weight, dtype=checked.dtype)


def _add(values: Tensor, checked: Images, goal: Tensor, found: topology.Matching, level: str, terms: _Terms) -> Tensor:
    """Add the terms of one filtration to the values of the examples."""
    f, g = found.prediction, found.target
    example = checked.example(f)
    own, other = found.pairs.unbind(-1)
    birth = finite(f.birth.index_select(0, own) - g.birth.index_select(0, other))
    death = finite(f.death.index_select(0, own) - g.death.index_select(0, other))
    matched = (birth.square() + death.square()).double()
    values = added(values, example.index_select(0, own), matched, 2 * terms.weight_matched)
    # Nearly all bars of a prediction are unmatched, so that it is quicker to take none out and to fill in the others.
    pushed = _push(f, checked, goal, level, terms).index_fill(0, own, 0.0).double()
    values = added(values, example, pushed, terms.weight_unmatched)
    alone = found.unmatched_target
    length = finite(g.birth.index_select(0, alone) - g.death.index_select(0, alone))
    return added(values, checked.example(g).index_select(0, alone), length.square().double())


def _push(bars: Barcode, checked: Images, goal: Tensor, level: str, terms: _Terms) -> Tensor:
    """Return what each bar of the prediction is worth if it is unmatched."""
    length = finite(bars.birth - bars.death)
    if terms.push_unmatched == "diagonal":
        pushed = length.square()
    else:
        if terms.push_unmatched == "background":
            background = 0.0 if level == "superlevel" else 1.0
            gaps = [bars.birth - background, bars.death - (1.0 - background)]
        else:
            start = checked.example(bars) * math.prod(checked.prediction.shape[len(checked.lead) :])
            gaps = []
            for end, index in ((bars.birth, bars.birth_index), (bars.death, bars.death_index)):
                there = goal.reshape(-1).index_select(0, start + index.clamp(min=0))
                gaps.append((end - there).where(index >= 0, 0.0))  # an end without a voxel of its own is a constant
        birth, death = (finite(gap) for gap in gaps)
        pushed = 2 * (birth.square() + death.square())
    if terms.min_persistence > 0:
        pushed = pushed.where(length.abs() >= terms.min_persistence, 0.0)
    return pushed

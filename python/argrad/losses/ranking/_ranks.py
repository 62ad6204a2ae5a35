"""Losses of soft ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argrad import sorting
from argrad.losses import _check
from argrad.losses._reduce import reduce

if TYPE_CHECKING:
    from torch import Tensor


def spearman_loss(
    scores: Tensor,
    target: Tensor,
    *,
    strength: float | Tensor = 1.0,
    regularization: str = "l2",
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Return one minus Spearman's rank correlation, with soft ranks of the scores.

    With r = soft_rank(scores), R the ranks of the target, equal targets sharing the mean of theirs,

        value = 1 - SUM_i (r_i - mean r) (R_i - mean R) / sqrt(SUM_i (r_i - mean r)^2  SUM_i (R_i - mean R)^2),

    which lies in [0, 2]: 0 where the order is right and the soft ranks are those of the target, 2 where it is reversed.

    Args:
        scores: shape (*batch, n), floating.
        target: values to be ranked alike, shape (*batch, n), numbers or booleans; only their order matters.
        strength: of the soft ranks, >= 0, or a tensor of one per list, or "auto"; see `soft_rank`.
        regularization: of the soft ranks; see `soft_rank`.
        mask: booleans, shape (*batch, n): which items count; None: all.
        sample_weight: factor on each list's value, shape (*batch,).
        empty: "skip", or the value of a list whose targets are all equal (one item or none among them).
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: not tensors, or scores not floating.
        ValueError: shapes that do not fit, or an option out of range. A score that is NaN makes its list NaN.

    Gradient:
        To `scores`, `strength` and `sample_weight`. Zero where the strength is smaller than every gap between scores
        (with "l2"): the soft ranks are the ranks then. Zero too where all scores are equal: the correlation is taken as
        0 there, and has no derivative.

    Determinism:
        A list's value depends neither on its batch nor on the number of threads.

    Cost:
        Two sorts, O(n log n), forward; O(n) backward.

    References:
        Blondel, Teboul, Berthet, Djolonga, "Fast Differentiable Sorting and Ranking", ICML 2020, arXiv:2002.08871,
        section 6.3 (soft ranks there against hard ones of the target). Ties in the target get average ranks, as in
        `scipy.stats.spearmanr`; with strength 0 and no ties in the scores the loss is one minus its statistic.

    Examples:
        >>> import torch
        >>> from argrad.losses.ranking import spearman_loss
        >>> spearman_loss(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([1, 3, 2]))
        tensor(0.5000)
    """
    name = "spearman_loss"
    lists = _check.lists(name, scores, mask)
    order = _check.constant(name, "target", target, tuple(scores.shape))
    _check.reducing(name, reduction, sample_weight, tuple(scores.shape[:-1]), empty)
    x = lists.scores
    soft = sorting.soft_rank(x, strength=strength, regularization=regularization, mask=mask, fill=0.0)
    hard = average_rank(order, mask).to(x.dtype)
    number = x.shape[-1] if mask is None else mask.sum(-1, keepdim=True).clamp(min=1)
    middle = (1 + number) / 2  # the mean of both
    soft, hard = soft - soft.sum(-1, keepdim=True) / number, hard - middle
    if mask is not None:
        soft, hard = soft.where(mask, 0.0), hard.where(mask, 0.0)
    spread, size = hard.square().sum(-1), soft.square().sum(-1)
    some = (spread != 0) & (size != 0)
    # Roots one by one, because the product overflows early; none of 0, because it has no derivative there.
    scale = size.where(some, 1.0).sqrt() * spread.where(some, 1.0).sqrt()
    correlation = ((soft * hard).sum(-1) / scale).where(some, 0.0)
    return reduce(
        1 - correlation, reduction, weights=sample_weight, counted=spread != 0, empty=empty, dtype=lists.dtype
    )


def average_rank(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return ranks from 1 among the items that count, equal values sharing the mean of theirs."""
    import torch

    x = x.to(torch.float64) if x.is_floating_point() else x.to(torch.int64)
    if mask is not None:
        largest = torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).max
        x = x.where(mask, largest)
    x = x.contiguous()  # searchsorted warns otherwise
    ordered = x.sort(-1).values
    below = torch.searchsorted(ordered, x)
    through = torch.searchsorted(ordered, x, right=True)
    if mask is not None:
        through = through.minimum(mask.sum(-1, keepdim=True))  # masked items stand last, after equal ones that count
    return (below + through + 1) / 2

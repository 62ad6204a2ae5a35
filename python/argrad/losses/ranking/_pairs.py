"""Losses that are sums over pairs of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argrad import sorting
from argrad.losses import _check
from argrad.losses._reduce import ratio, reduce

if TYPE_CHECKING:
    from torch import Tensor


def mann_whitney_loss(
    scores: Tensor,
    target: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Bound one minus the area under the ROC curve: the mean logistic loss over all pairs of unequal label.

    With P the positives of a list and N its negatives,

        value = 1/(|P| |N|) SUM_{p in P, n in N} log(1 + exp((s_n - s_p) / temperature)),

    which is at least log 2 times the share of pairs in the wrong order, and tends to the mean margin by which pairs are
    wrong, over the temperature, as that goes to 0.

    Args:
        scores: s, shape (*batch, n), floating.
        target: labels, shape (*batch, n), boolean or numbers: positive where > 0, negative otherwise.
        temperature: > 0, or a tensor of one per list, shape (*batch,), with gradient.
        mask: booleans, shape (*batch, n): which items count; None: all.
        sample_weight: factor on each list's value, shape (*batch,).
        empty: "skip", or the value of a list without positives or without negatives.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: not tensors, or scores not floating.
        ValueError: shapes that do not fit, or an option out of range. A score that is NaN makes its list NaN.

    Gradient:
        To `scores`, `temperature` and `sample_weight`, of the sum as it is computed. Zero nowhere but under the mask
        and in lists that are empty.

    Determinism:
        A list's value depends neither on its batch nor on the number of threads.

    Cost:
        That of one `pairwise_sum`: O(n) time and memory, forward and backward.

    References:
        Yan et al., "Optimizing classifier performance via an approximation to the Wilcoxon-Mann-Whitney statistic",
        ICML 2003, with the logistic in place of their power. As in Gao and Zhou, "On the consistency of AUC pairwise
        optimization", IJCAI 2015.

    Examples:
        >>> import torch
        >>> from argrad.losses.ranking import mann_whitney_loss
        >>> mann_whitney_loss(torch.tensor([2.0, 0.0, 1.0]), torch.tensor([1, 0, 0]))
        tensor(0.2201)
    """
    name = "mann_whitney_loss"
    lists = _check.lists(name, scores, mask)
    positive = _check.labels(name, "target", target, lists)
    temperature = _check.parameter(name, "temperature", temperature)
    _check.reducing(name, reduction, sample_weight, tuple(scores.shape[:-1]), empty)
    negative = ~positive if mask is None else mask & ~positive
    x = lists.scores if mask is None else lists.scores.where(mask, 0.0)
    # Weights and a choice of sums, not masks: branches on labels in random order would take twice the time.
    sums = sorting.pairwise_sum(x, x, weights=positive.to(x.dtype), kernel="softplus", temperature=temperature)
    sums = sums.where(negative, 0.0)
    pairs = positive.sum(-1).double() * negative.sum(-1)  # float32 would round their number
    values = ratio(sums.sum(-1), pairs.to(x.dtype))
    return reduce(values, reduction, weights=sample_weight, counted=pairs > 0, empty=empty, dtype=lists.dtype)

"""Losses of differentiable sorting networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from argrad import sorting
from argrad._check import choice, integer, real
from argrad.losses import _check
from argrad.losses._reduce import reduce

if TYPE_CHECKING:
    from torch import Tensor


def groco_loss(
    scores: Tensor,
    positive: Tensor,
    *,
    negatives: int | None = 10,
    network: str = "odd_even",
    distribution: str = "cauchy",
    steepness: float | Tensor = 1.0,
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Ask of a sorting network that it puts every positive above every negative, in whatever order among themselves.

    Of each list the positives and the largest negatives go through a relaxed sorting network: m negatives, ascending,
    then the positives, ascending. With P its matrix (row r: where the r-th smallest comes from),

        p_i   = SUM_{r > m} P[r, i]               the soft probability that i ends among the positives' places
        value = -mean_i log( p_i if i is positive, 1 - p_i otherwise ).

    Args:
        scores: similarities of an anchor to its candidates, shape (*batch, n), floating.
        positive: which candidates belong to the anchor, shape (*batch, n), booleans, or numbers > 0.
        negatives: how many of the largest negatives take part, >= 1; None: all.
        network: "odd_even" or "bitonic"; see `soft_permutation`.
        distribution: of the relaxed comparators; see `soft_permutation`.
        steepness: of the comparators, > 0, or a tensor of one per list, shape (*batch,).
        mask: booleans, shape (*batch, n): which candidates count; None: all.
        sample_weight: factor on each list's value, shape (*batch,).
        empty: "skip", or the value of a list without positives or without negatives.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: not tensors, or scores not floating.
        ValueError: shapes that do not fit, or an option out of range. A score that is NaN makes its list NaN.

    Gradient:
        To `scores`, `steepness` and `sample_weight`; zero for negatives that take no part. Chances below 1e-12 count as
        1e-12, with gradient zero.

    Determinism:
        A list's value depends neither on its batch nor on the number of threads.

    Cost:
        That of `argrad.sorting.group_order`: a sort, and one product of P^T with a vector, O(c^2) for c candidates that
        take part (odd-even); no matrix.

    References:
        Shvetsova, Petersen, Kukleva, Schiele, Kuehne, "Learning by Sorting: Self-supervised Learning with Group
        Ordering Constraints", ICCV 2023, arXiv:2301.02009; defaults as in the authors' code. They average with the
        mirrored loss of the negatives' places, which is the same number, since columns of a network's P sum to 1, and
        cut logarithms at -100. They detach the candidates (pass scores made that way), and give every list equally many
        positives.

    Examples:
        >>> import torch
        >>> from argrad.losses.ranking import groco_loss
        >>> scores = torch.tensor([0.9, 0.1, -0.3, 0.8])
        >>> good, bad = torch.tensor([True, False, False, True]), torch.tensor([False, True, True, False])
        >>> bool(groco_loss(scores, good, steepness=10.0) < groco_loss(scores, bad, steepness=10.0))
        True
    """
    name = "groco_loss"
    lists = _check.lists(name, scores, mask)
    label = _check.labels(name, "positive", positive, lists)
    steepness = _check.parameter(name, "steepness", steepness)
    most = None if negatives is None else integer(name, "negatives", negatives, low=1)
    _check.reducing(name, reduction, sample_weight, tuple(scores.shape[:-1]), empty)
    # The operator's mean over the lists spares what torch takes for `reduce`, half as long as all the rest.
    together = reduction == "mean" and sample_weight is None and empty == "skip" and scores.ndim <= 2
    logs, count = sorting.group_order(
        lists.scores,
        label,
        negatives=most,
        network=network,
        distribution=distribution,
        steepness=steepness,
        log=True,
        reduction="batch_mean" if together else "mean",
        mask=mask,
    )
    values: Tensor = -logs
    if together:
        return values.to(lists.dtype)
    return reduce(
        values,
        reduction,
        weights=sample_weight,
        counted=count > 0,
        empty=empty,
        settled=True,  # the mean logarithm of no item is 0
        dtype=lists.dtype,
    )


def topk_cross_entropy_loss(
    scores: Tensor,
    target: Tensor,
    *,
    weights: Sequence[float],
    candidates: int = 16,
    top1: str = "softmax",
    network: str = "odd_even",
    distribution: str = "cauchy",
    steepness: float | Tensor = 2.0,
    ignore_index: int = -100,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Classify with a choice of k: the cross-entropy of the target being among the top k, k drawn from a distribution.

    The target's score and the largest others, `candidates` in all, go through a relaxed sorting network. With P its
    matrix (row r: where the r-th largest comes from) and p_K the weights,

        chance = SUM_K p_K SUM_{r <= K} P[r, target],    value = -log(chance (1 - 2e-7) + 1e-7),

    where by default the summand K = 1 is p_1 times the softmax over the candidates instead.

    Args:
        scores: logits, shape (*batch, v), floating.
        target: class indices, shape (*batch,), of an integer dtype, in [0, v) or `ignore_index`.
        weights: p_1, ..., p_k: nonnegative, with sum 1; k at most the number of candidates. (0, 0, 0, 0, 1) asks for
            the top 5 alone, (0.5, 0, 0, 0, 0.5) for both.
        candidates: how many scores enter the network, >= 2; all where there are fewer classes.
        top1: "softmax"; "network": the summand K = 1 like the others; "cross_entropy": softmax cross-entropy weighed
            with p_1, plus the logarithm of the others alone weighed with 1 - p_1.
        network: "odd_even" or "bitonic"; see `soft_permutation`.
        distribution: of the relaxed comparators; see `soft_permutation`.
        steepness: of the comparators, > 0, or a tensor of one per example, shape (*batch,).
        ignore_index: target of examples that do not count.
        sample_weight: factor on each example's value, shape (*batch,).
        empty: "skip", or the value of examples to be ignored.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: not tensors, scores not floating, or target not of an integer dtype.
        ValueError: shapes that do not fit, or an option out of range. A score that is NaN makes its example NaN. An
            index out of range is torch's error.

    Gradient:
        To `scores`, `steepness` and `sample_weight`; zero for scores that are no candidates. The value never exceeds
        -log 1e-7.

    Determinism:
        An example's value depends neither on its batch nor on the number of threads.

    Cost:
        O(v) for the candidates, and one product of P^T with a vector: O(candidates^2), memory the same, no matrix.

    References:
        Petersen, Kuehne, Borgelt, Deussen, "Differentiable Top-k Classification Learning", ICML 2022,
        arXiv:2206.07290; the order of the candidates, the constants and the three ways for K = 1 ("sm", "sort", "smce"
        there) as in the authors' package difftopk, whose splitter selection network is not here.

    Examples:
        >>> import torch
        >>> from argrad.losses.ranking import topk_cross_entropy_loss
        >>> scores, target = torch.tensor([[5.0, 4.0, 1.0, 0.0]]), torch.tensor([1])
        >>> first = topk_cross_entropy_loss(scores, target, weights=[1.0])
        >>> first_two = topk_cross_entropy_loss(scores, target, weights=[0.0, 1.0])
        >>> bool(first_two < first)
        True
    """
    name = "topk_cross_entropy_loss"
    lists = _check.lists(name, scores, None)
    entering = min(integer(name, "candidates", candidates, low=2), scores.shape[-1])
    index = _check.classes(name, "target", target, tuple(scores.shape[:-1]))
    shares = _shares(name, weights, entering)
    choice(name, "top1", top1, ("softmax", "network", "cross_entropy"))
    steepness = _check.parameter(name, "steepness", steepness)
    _check.reducing(name, reduction, sample_weight, tuple(scores.shape[:-1]), empty)
    counted = index != ignore_index
    x = _candidates(lists.scores, index.where(counted, 0), entering)
    softmax = x.log_softmax(-1)[..., 0]
    sorted_shares = shares if top1 == "network" else [0.0, *shares[1:]]
    chance = softmax.new_zeros(()) if top1 != "softmax" else shares[0] * softmax.exp()
    if any(sorted_shares):
        p = sorting.soft_permutation(
            x, method="network", network=network, distribution=distribution, steepness=steepness
        )
        # Row r counts for every K >= r; the rows of an ascending network end with the largest.
        rows = [sum(sorted_shares[r:]) for r in range(len(shares) - 1, -1, -1)]
        vector = x.new_tensor([0.0] * (entering - len(rows)) + rows)
        chance = chance + (p.mT @ vector.expand(x.shape))[..., 0]
    values = -(chance * (1 - 2e-7) + 1e-7).log()
    if top1 == "cross_entropy":
        values = (1 - shares[0]) * values - shares[0] * softmax
    return reduce(values, reduction, weights=sample_weight, counted=counted, empty=empty, dtype=lists.dtype)


def _shares(name: str, weights: Sequence[float], most: int) -> list[float]:
    """Require a distribution over K = 1..k."""
    shares = [real(name, "weights", share, low=0) for share in weights]
    if not 1 <= len(shares) <= most:
        raise ValueError(f"{name}: weights must be 1 to {most} numbers, one for each K, got {len(shares)}")
    if abs(sum(shares) - 1) > 1e-4:
        raise ValueError(f"{name}: weights must be numbers of sum 1, got {shares} of sum {sum(shares)}")
    return shares


def _candidates(x: Tensor, index: Tensor, count: int) -> Tensor:
    """Return the target's score, then the largest others from the top, shape (*batch, count)."""
    import torch

    label = index.unsqueeze(-1)
    others = x.detach().scatter(-1, label, -torch.inf).topk(count - 1).indices
    return x.gather(-1, torch.cat([label, others], -1))

"""The rivals of the ranking losses: their formulas in plain torch, and diffsort's networks.

Each takes tensors and returns the loss of the batch, to be differentiated by autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor


def allrank_neural_ndcg(scores: Tensor, relevance: Tensor, iterations: int = 50, tolerance: float = 1e-6) -> Tensor:
    """NeuralNDCG as allRank 1.4.3 computes it: n x n matrices, n^3 work for row sums, the batch stops together."""
    n = scores.shape[-1]
    distances = (scores[:, :, None] - scores[:, None, :]).abs()
    sums = distances @ scores.new_ones(n, n)
    multipliers = n + 1 - 2 * torch.arange(1, n + 1, dtype=scores.dtype)
    p = torch.softmax((scores[:, :, None] * multipliers - sums).mT, -1)
    for _ in range(iterations):
        p = p / p.sum(1, keepdim=True).clamp(min=1e-10)
        p = p / p.sum(2, keepdim=True).clamp(min=1e-10)
        if max((p.sum(2) - 1).abs().max(), (p.sum(1) - 1).abs().max()) < tolerance:
            break
    gains = torch.exp2(relevance.to(scores.dtype)) - 1
    discount = 1 / torch.log2(torch.arange(n, dtype=scores.dtype) + 2)
    ideal = (gains.sort(-1, descending=True).values * discount).sum(-1)
    ndcg = ((p @ gains[..., None])[..., 0] * discount).sum(-1) / (ideal + 1e-10)
    return -ndcg.masked_fill(ideal == 0, 0.0).sum() / (ideal != 0).sum()


@cache
def _sorter(size: int, steepness: float) -> Any:
    import diffsort

    return diffsort.DiffSortNet("odd_even", size, steepness=steepness, interpolation_type="cauchy")


def diffsort_groco(scores: Tensor, positives: int, steepness: float = 1.0) -> Tensor:
    """GroCo as its authors compute it on diffsort 0.2.0; the first `positives` columns are the positives."""
    ahead = scores[:, :positives].sort(1).values
    behind = scores[:, positives:].topk(scores.shape[1] - positives, 1).values.flip(1)
    ordered = torch.cat([behind, ahead], 1)
    m = behind.shape[1]
    p = _sorter(ordered.shape[1], steepness)(ordered)[1]
    wanted = (torch.arange(ordered.shape[1]) >= m).to(scores.dtype).expand_as(ordered)
    entropy = torch.nn.functional.binary_cross_entropy
    last = entropy(p[:, :, m:].sum(2).clip(0, 1), wanted)
    first = entropy(p[:, :, :m].sum(2).clip(0, 1), 1 - wanted)
    return (last + first) / 2


def dense_mann_whitney(scores: Tensor, positive: Tensor) -> Tensor:
    """The mean logistic loss over all pairs, from the matrix of all pairs."""
    return torch.nn.functional.softplus(scores[~positive][:, None] - scores[positive][None, :]).mean()


def dense_topk_cross_entropy(
    scores: Tensor, target: Tensor, weights: Sequence[float], candidates: int = 16, steepness: float = 2.0
) -> Tensor:
    """Top-k cross-entropy as difftopk computes it, on diffsort's odd-even network (softmax for the first summand)."""
    label = target[:, None]
    others = scores.scatter(1, label, -torch.inf).topk(candidates - 1, 1).values
    x = torch.cat([scores.gather(1, label), others], 1)
    p = _sorter(candidates, steepness)(x)[1]
    chance = weights[0] * x.softmax(1)
    for k, weight in enumerate(weights[1:], start=2):
        chance = chance + weight * p[:, :, -k:].sum(2)
    return -torch.log(chance[:, 0] * (1 - 2e-7) + 1e-7).mean()

"""NeuralSort and NeuralNDCG as their users write them: dense torch code, from the papers' and allRank's formulas."""

from __future__ import annotations

from typing import Any

Tensor = Any


def quadratic(x: Tensor, v: Tensor, temperature: float) -> Tensor:
    """P V in O(n^2): Grover et al. 2019, Eq. 5, the row sums of |x_i - x_j| by a reduction; descending."""
    return _softmax(x, (x.unsqueeze(-1) - x.unsqueeze(-2)).abs().sum(-1), temperature) @ v


def cubic(x: Tensor, v: Tensor, temperature: float) -> Tensor:
    """P V in O(n^3): the same sums as a product with a matrix of ones, as allRank 1.4.3 and LCRON form them."""
    return _cubic_matrix(x, temperature) @ v


def neural_ndcg(scores: Tensor, relevance: Tensor, temperature: float = 1.0, iterations: int = 50) -> Tensor:
    """NeuralNDCG as allRank 1.4.3 computes it (no padding): tolerance 1e-6 over the whole batch, gains 2^y - 1."""
    import torch

    p = _cubic_matrix(scores, temperature)
    for _ in range(iterations):
        p = p / p.sum(-2, keepdim=True).clamp(min=1e-10)
        p = p / p.sum(-1, keepdim=True).clamp(min=1e-10)
        if (p.sum(-1) - 1).abs().max() < 1e-6 and (p.sum(-2) - 1).abs().max() < 1e-6:
            break
    gains = 2.0**relevance - 1
    discounts = 1 / torch.log2(torch.arange(scores.shape[-1], dtype=scores.dtype) + 2)
    ideal = (gains.sort(descending=True).values * discounts).sum(-1)
    found = ((p @ gains.unsqueeze(-1)).squeeze(-1) * discounts).sum(-1)
    return -(found / (ideal + 1e-10))[ideal > 0].mean()


def _cubic_matrix(x: Tensor, temperature: float) -> Tensor:
    n = x.shape[-1]
    ones = x.new_ones((n, 1))
    column = x.unsqueeze(-1)
    sums = (column - column.mT).abs() @ (ones @ ones.mT)
    return _softmax(x, sums[..., 0], temperature)


def _softmax(x: Tensor, sums: Tensor, temperature: float) -> Tensor:
    import torch

    n = x.shape[-1]
    factors = n + 1 - 2 * torch.arange(1, n + 1, dtype=x.dtype)
    return torch.softmax((factors.unsqueeze(-1) * x.unsqueeze(-2) - sums.unsqueeze(-2)) / temperature, -1)

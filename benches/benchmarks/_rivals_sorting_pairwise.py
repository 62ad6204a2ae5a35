"""Rivals of `pairwise_sum`: the n x m matrix in plain torch, as the published losses form it.

Each takes what the public function takes, so that values and gradients can be compared.
"""

from __future__ import annotations

from typing import Any


def dense(x: Any, y: Any, *, weights: Any = None, kernel: str = "sigmoid", temperature: float = 1.0) -> Any:
    """The sum over the last dimension of the whole matrix: allRank's ApproxNDCG and SmoothAP's code have this form."""
    import torch

    z = (x.unsqueeze(-1) - y.unsqueeze(-2)) / temperature
    value = torch.sigmoid(z) if kernel == "sigmoid" else torch.nn.functional.softplus(z)
    return (value if weights is None else value * weights.unsqueeze(-2)).sum(-1)

"""Rivals of Sinkhorn sort and SOFT top-k: dense log-domain iterations in torch, with n or k + 1 targets, and POT.

Each takes scores (b, n) and returns the dense P, rows for ranks in increasing order (SOFT: from the largest).
"""

from __future__ import annotations

import torch


def dense_sinkhorn(x: torch.Tensor, temperature: float, steps: int = 200) -> torch.Tensor:
    """`steps` log-domain iterations on the n x n cost, unrolled (Cuturi et al. 2019, arXiv 1905.11885, section 2)."""
    n = x.shape[-1]
    level = -((x[..., None, :] - torch.linspace(0, 1, n, dtype=x.dtype)[:, None]) ** 2) / temperature
    b = torch.zeros_like(x)
    for _ in range(steps):
        a = -torch.logsumexp(level + b[..., :, None], -2)
        b = -torch.logsumexp(level + a[..., None, :], -1)
    return (level + a[..., None, :] + b[..., :, None]).exp()


def dense_soft_topk(x: torch.Tensor, k: int, temperature: float, steps: int = 200) -> torch.Tensor:
    """The same on the n x (k+1) cost of sorted SOFT (Xie et al. 2020, arXiv 2002.06504, section 3)."""
    targets = torch.arange(k, -1, -1, dtype=x.dtype)
    mass = torch.ones_like(targets)
    mass[-1] = x.shape[-1] - k
    level = -((x[..., None, :] - targets[:, None]) ** 2) / temperature
    b = torch.zeros_like(level[..., 0])
    for _ in range(steps):
        a = -torch.logsumexp(level + b[..., :, None], -2)
        b = mass.log() - torch.logsumexp(level + a[..., None, :], -1)
    return (level + a[..., None, :] + b[..., :, None]).exp()[..., :k, :]


def pot(x: torch.Tensor, temperature: float, threshold: float = 1e-9) -> torch.Tensor:
    """POT's log-domain Sinkhorn on one list (b = 1), until its marginals are within `threshold`."""
    import ot

    n = x.shape[-1]
    weights = torch.full((n,), 1 / n, dtype=x.dtype)
    cost = (x[0][:, None] - torch.linspace(0, 1, n, dtype=x.dtype)) ** 2
    options = {"method": "sinkhorn_log", "numItermax": 100_000, "stopThr": threshold, "warn": False}
    return n * ot.sinkhorn(weights, weights, cost, temperature, **options).T[None]

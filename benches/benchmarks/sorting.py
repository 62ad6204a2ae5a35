"""Sorting: time and peak memory of forward and backward through the torch operators, and errors against float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from argrad import sorting

from . import _data

if TYPE_CHECKING:
    from collections.abc import Callable

SCALE = 20 if _data.SMOKE else 1


def scores(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return normal scores, the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


class _Operator:
    """Forward and backward of `self.call` at `self.x`, as time and peak memory."""

    x: torch.Tensor
    call: Callable[[torch.Tensor], torch.Tensor]

    def prepare(self, call: Callable[[torch.Tensor], torch.Tensor], *shape: int) -> None:
        self.x = scores(*shape).requires_grad_()
        self.call = call
        self.run()

    def run(self) -> None:
        self.call(self.x).sum().backward()
        self.x.grad = None

    def time_forward_backward(self, *_: Any) -> None:
        self.run()

    def peakmem_forward_backward(self, *_: Any) -> None:
        self.run()


class SoftRank(_Operator):
    """Soft ranks of many short lists, some long ones, and one very long."""

    params = (["l2", "kl", "pnorm", "laplace"], [(4096, 100), (64, 1000), (1, 1_000_000)])
    param_names = ("regularization", "shape")

    def setup(self, regularization: str, shape: tuple[int, int]) -> None:
        call = lambda x: sorting.soft_rank(x, regularization=regularization)  # noqa: E731
        self.prepare(call, shape[0], max(2, shape[1] // SCALE))

    def track_error(self, regularization: str, shape: tuple[int, int]) -> float:
        """Largest error of a rank against float64, in units of one rank."""
        exact = sorting.soft_rank(self.x.detach().double(), regularization=regularization)
        return float((self.call(self.x.detach()) - exact).abs().max())

    track_error.unit = "ranks"  # type: ignore[attr-defined]


class SoftTopK(_Operator):
    """Masks of sum 10."""

    params = (["logistic", "laplace", "l2", "pnorm", "gaussian", "threshold"], [(64, 1000), (1, 1_000_000)])
    param_names = ("kind", "shape")

    def setup(self, kind: str, shape: tuple[int, int]) -> None:
        self.prepare(lambda x: sorting.soft_topk(x, 10, kind=kind), shape[0], max(20, shape[1] // SCALE))


class SoftPermutation(_Operator):
    """P @ x for each method at a length that suits it."""

    params = (["softsort", "laplace", "neuralsort", "network", "sinkhorn"],)
    param_names = ("method",)
    lengths = {"softsort": 100_000, "laplace": 100_000, "neuralsort": 4000, "network": 256, "sinkhorn": 200}  # noqa: RUF012

    def setup(self, method: str) -> None:
        call = lambda x: sorting.soft_permutation(x, method=method) @ x  # noqa: E731
        self.prepare(call, 4, self.lengths[method] // SCALE)


class PairwiseSum(_Operator):
    """All pairs of two sets of scores."""

    params = (["sigmoid", "softplus"], [1000, 1_000_000])
    param_names = ("kernel", "n")

    def setup(self, kernel: str, n: int) -> None:
        self.prepare(lambda x: sorting.pairwise_sum(x, x.flip(0), kernel=kernel), n // SCALE)

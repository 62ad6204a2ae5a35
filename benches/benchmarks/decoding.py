"""Decoding: time and peak memory of selection, decoding and projections of rows of logits, one thread."""

from __future__ import annotations

from typing import Any

import torch

import argrad
from argrad.decoding import (
    bregman_decode,
    bregman_project,
    constrained_softmax,
    constrained_sparsemax,
    entmax,
    entmax_conjugate,
    logit_statistics,
    topk,
    topk_softmax,
    truncate,
    truncated_decode,
)

from . import _data, _logits

SHAPES = [(2, 500)] if _data.SMOKE else [(1, 128_256), (64, 32_000)]
KINDS = ("gaussian", "peaked", "flat")


class _Rows:
    """Rows of logits."""

    params = (list(KINDS), SHAPES)
    param_names = ("kind", "shape")

    def setup(self, kind: str, shape: tuple[int, int]) -> None:
        argrad.set_num_threads(1)
        torch.set_num_threads(1)
        self.x = torch.from_numpy(_logits.draw(kind, *shape))
        self.leaf = self.x.clone().requires_grad_()
        self.run()

    def run(self) -> None:
        raise NotImplementedError

    def time_it(self, *_: Any) -> None:
        self.run()

    def peakmem_it(self, *_: Any) -> None:
        self.run()


class TopK(_Rows):
    """The 50 largest."""

    def run(self) -> None:
        topk(self.x, 50)


class Statistics(_Rows):
    """All sums of a row."""

    def run(self) -> None:
        logit_statistics(self.x, temperature=0.7)


class AdaptiveDecode(_Rows):
    """A draw with as many tokens as are worth their price, in closed form and by a search."""

    def run(self) -> None:
        bregman_decode(self.x, alpha=1.0, penalty=0.01, seed=0)
        bregman_decode(self.x, alpha=1.3, penalty=1e-3, seed=0)


class Project(_Rows):
    """A sparse distribution and its gradient."""

    def run(self) -> None:
        bregman_project(self.leaf, alpha=1.5, k=50)[1].square().sum().backward()


class TopP(_Rows):
    """A draw from the nucleus, and the nucleus."""

    def run(self) -> None:
        truncated_decode(self.x, top_p=0.9, seed=0)
        truncate(self.x, top_p=0.9)


class Entmax(_Rows):
    """Sparse projections and their gradients."""

    def run(self) -> None:
        for alpha in (1.3, 1.5, 2.0):
            entmax(self.leaf, alpha).square().sum().backward()


class Conjugate(_Rows):
    """The value that belongs to a projection, and its gradient."""

    def run(self) -> None:
        entmax_conjugate(self.leaf, 1.5).sum().backward()


class TopKSoftmax(_Rows):
    """A softmax of the 50 largest."""

    def run(self) -> None:
        topk_softmax(self.leaf, 50).square().sum().backward()


class Capped(_Rows):
    """Projections with caps."""

    def run(self) -> None:
        upper = torch.full_like(self.x, 0.1)
        constrained_softmax(self.leaf, upper).square().sum().backward()
        constrained_sparsemax(self.leaf, upper).square().sum().backward()

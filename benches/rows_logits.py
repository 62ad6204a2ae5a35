"""The rows of the table that measure selection and decoding of rows of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benches.benchmarks import _logits
from benches.beside import Case, Row, forward_backward

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (32_000, 128_256, 262_144)
BATCHES = (1, 64)
K = 50


def logits(kind: str, b: int, v: int, quick: bool) -> torch.Tensor:
    """Return logits as a tensor, fewer of them in a quick run."""
    return torch.from_numpy(_logits.draw(kind, min(b, 2), 2_000) if quick else _logits.draw(kind, b, v))


def inputs() -> list[tuple[str, int, int]]:
    """Return kinds, batches and vocabularies: all kinds at one vocabulary, those of language models at all."""
    middle = SIZES[1]
    return [
        (kind, b, v)
        for b in BATCHES
        for v in SIZES
        for kind in _logits.KINDS
        if v == middle or kind in ("gaussian", "real")
    ]


def _topk(kind: str, b: int, v: int) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from argrad.decoding import topk

        x = logits(kind, b, v, quick)

        def check(ours: Any, theirs: Any) -> str:
            order = torch.from_numpy(np.argsort(-x.numpy(), axis=-1, kind="stable")[..., :K].copy())
            places = "the places of a stable sort" if torch.equal(ours[1], order) else "OTHER places"
            values = "the same values" if torch.equal(ours[0], theirs.values) else "OTHER values"
            return f"{values}, {places}"

        return Case(lambda: topk(x, K), lambda: torch.topk(x, K), check)

    return case


def _pair(kind: str, b: int, v: int) -> Callable[[bool], Case]:
    """Normaliser and top 50: alpha = 2 adds an equal share of what the others have to each probability."""

    def case(quick: bool) -> Case:
        from argrad.decoding import bregman_project

        x = logits(kind, b, v, quick)

        def theirs() -> Any:
            return torch.topk(torch.softmax(x, -1), K)

        def check(ours: Any, found: Any) -> str:
            p = torch.softmax(x.double(), -1).topk(K).values
            exact = p + (1 - p.sum(-1, keepdim=True)) / K
            return f"largest error against float64 {(ours[1].double() - exact).abs().max().item():.1e}"

        return Case(lambda: bregman_project(x, alpha=2.0, k=K), theirs, check)

    return case


def _adaptive(alpha: float, penalty: float, dual: bool, kind: str, b: int, v: int) -> Callable[[bool], Case]:
    """The rival is our own: a draw from the 50 most probable tokens, which needs the normaliser and no search."""

    def case(quick: bool) -> Case:
        from argrad.decoding import bregman_decode

        x = logits(kind, b, v, quick)
        ours = lambda: bregman_decode(x, alpha=alpha, penalty=penalty, dual=dual, seed=0)  # noqa: E731

        def check(found: Any, _: Any) -> str:
            size = found[1].reshape(-1)
            return f"sizes {size.min()} to {size.max()}"

        return Case(ours, lambda: bregman_decode(x, alpha=2.0, k=K, seed=0), check)

    return case


def _project(alpha: float, kind: str, b: int, v: int) -> Callable[[bool], Case]:
    """Values and gradients of the projection on its 50 tokens; the rival's formula is dense, as autograd has it."""

    def dense(x: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(x, -1).topk(K).values
        rest = 1 - p.sum(-1, keepdim=True)
        if alpha == 1.0:
            return p / (1 - rest)
        if alpha == 2.0:
            return p + rest / K
        root = p.sqrt()
        whole = root.sum(-1, keepdim=True)
        return (root + rest / (whole + (whole * whole + K * rest).sqrt())) ** 2

    def case(quick: bool) -> Case:
        from argrad.decoding import bregman_project

        x = logits(kind, b, v, quick)
        exact = forward_backward(dense, x.double())()
        ours = forward_backward(lambda x: bregman_project(x, alpha=alpha, k=K)[1], x)

        def check(found: Any, theirs: Any) -> str:
            parts = [
                ", ".join(f"{(a.double() - e).abs().max().item():.1e}" for a, e in zip(y, exact, strict=True))
                for y in (found, theirs)
            ]
            return f"largest error against float64 (value, gradient): ours {parts[0]}; rival {parts[1]}"

        return Case(ours, forward_backward(dense, x), check)

    return case


def _rows() -> list[Row]:
    rows = []
    for kind, b, v in inputs():
        size, name = f"{b} x {v} {kind}", f"{b}-{v}-{kind}"
        must = (10, 25) if b == 1 else (6, 13)
        rows.append(Row(f"topk {name}", "largest logits", "topk 50", size, "torch.topk", _topk(kind, b, v), *must))
        rows.append(
            Row(
                f"normaliser {name}",
                "largest logits",
                "softmax normaliser + top 50",
                size,
                "torch.softmax, topk",
                _pair(kind, b, v),
                5,
                8,
            )
        )
    for b in BATCHES:
        for v in SIZES:
            for alpha, penalty, dual in (
                (1.0, 0.05, False),
                (1.5, 0.002, False),
                (2.0, 2e-5, False),
                (1.7, 5e-4, True),
            ):
                job = f"adaptive decode, alpha {alpha:g}{' dual' if dual else ''}, penalty {penalty:g}"
                case = _adaptive(alpha, penalty, dual, "real", b, v)
                size = f"{b} x {v} real"
                rival = "our top 50 + normaliser"
                rows.append(
                    Row(f"adaptive {alpha:g} {b}-{v}", "bregman decoding", job, size, rival, case, 0.833, 0.909)
                )
            for alpha in (1.0, 1.5, 2.0):
                job = f"bregman_project k=50 f+b, alpha {alpha:g}"
                case, size = _project(alpha, "real", b, v), f"{b} x {v} real"
                rows.append(
                    Row(f"project {alpha:g} {b}-{v}", "bregman decoding", job, size, "dense autograd", case, 1, 10)
                )
    return rows


ROWS = _rows()

"""The rows of the table that measure sparse projections onto the simplex and the losses on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benches.beside import Case, Row, forward, forward_backward
from benches.rows_logits import inputs, logits

if TYPE_CHECKING:
    from collections.abc import Callable

GENERAL = 1.3


def _worst(exact: torch.Tensor) -> Callable[[Any, Any], str]:
    """Say how far the values of both are from those of our float64 run."""

    def check(ours: Any, theirs: Any) -> str:
        parts = [f"{(y[0].double() - exact).abs().max().item():.1e}" for y in (ours, theirs)]
        return f"largest error against float64: ours {parts[0]}; rival {parts[1]}"

    return check


def _projection(alpha: float, kind: str, b: int, v: int) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        import entmax as rival

        from argrad.decoding import entmax, sparsemax

        x = logits(kind, b, v, quick)
        ours = sparsemax if alpha == 2.0 else lambda x: entmax(x, alpha)
        theirs = {
            1.5: lambda x: rival.entmax15(x, dim=-1, k=100),
            2.0: lambda x: rival.sparsemax(x, dim=-1, k=100),
            GENERAL: lambda x: rival.entmax_bisect(x, alpha, dim=-1),
        }[alpha]
        return Case(forward(ours, x), forward(theirs, x), _worst(ours(x.double())))

    return case


def _loss(k: int | None) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        import entmax as rival

        from argrad.losses.fenchel_young import entmax_loss

        b, v = (4, 500) if quick else (512, 32_000)
        generator = torch.Generator().manual_seed(0)
        x = 2 * torch.randn((b, v), generator=generator)
        target = torch.randint(0, v, (b,), generator=generator)
        theirs = forward_backward(lambda x: rival.entmax15_loss(x, target, k).mean(), x)
        ours = forward_backward(lambda x: entmax_loss(x, target), x)
        exact = forward_backward(lambda x: entmax_loss(x, target), x.double())()

        def check(found: Any, other: Any) -> str:
            parts = [
                ", ".join(f"{(a.double() - e).abs().max().item():.1e}" for a, e in zip(y, exact, strict=True))
                for y in (found, other)
            ]
            return f"largest error against float64 (value, gradient): ours {parts[0]}; rival {parts[1]}"

        return Case(ours, theirs, check)

    return case


JOBS = {1.5: ("entmax 1.5", "entmax 1.3, k=100", 10, 15), 2.0: ("sparsemax", "entmax 1.3, k=100", 10, 15)}
JOBS[GENERAL] = (f"entmax {GENERAL:g}", "entmax 1.3, bisection", 100, 300)

ROWS: list[Row] = [
    Row(f"{job} {b}-{v}-{kind}", "projections", job, f"{b} x {v} {kind}", rival, _projection(alpha, kind, b, v), *aims)
    for alpha, (job, rival, *aims) in JOBS.items()
    for kind, b, v in inputs()
] + [
    Row("entmax loss default", "projections", "entmax_loss f+b", "512 x 32000", "entmax 1.3", _loss(None), 40, 80),
    Row("entmax loss k", "projections", "entmax_loss f+b", "512 x 32000", "entmax 1.3, k=100", _loss(100), 8, 15),
]

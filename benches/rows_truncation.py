"""The rows of the table that measure truncated draws from rows of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benches.beside import Case, Row
from benches.rows_logits import K, inputs, logits

if TYPE_CHECKING:
    from collections.abc import Callable

TOP_P = 0.9


def _apart(x: torch.Tensor, rules: dict[str, Any], warper: Callable[..., torch.Tensor]) -> str:
    """Say how far the distributions that both draw from are apart."""
    from argrad.decoding import to_dense, truncate

    ours = to_dense(*truncate(x, **rules), x.shape[-1])
    theirs = torch.softmax(warper(None, x), -1)
    kept = [(p > 0).sum(-1) for p in (ours, theirs)]
    size = f"{kept[0].min()} to {kept[0].max()} tokens, at most {(kept[0] - kept[1]).abs().max()} more or fewer"
    return f"{size}; largest difference of probabilities {(ours - theirs).abs().max().item():.1e}"


def _beside_transformers(rule: str, kind: str, b: int, v: int) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from transformers import TopKLogitsWarper, TopPLogitsWarper

        from argrad.decoding import truncated_decode

        x = logits(kind, b, v, quick)
        warper, rules = (
            (TopKLogitsWarper(K), {"top_k": K}) if rule == "top-k" else (TopPLogitsWarper(TOP_P), {"top_p": TOP_P})
        )

        def theirs() -> torch.Tensor:
            return torch.multinomial(torch.softmax(warper(None, x), -1), 1)

        ours = lambda: truncated_decode(x, **rules, seed=0)  # noqa: E731
        return Case(ours, theirs, lambda *_: _apart(x, rules, warper))

    return case


def _beside_a_careful_user(kind: str, b: int, v: int) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from transformers import TopKLogitsWarper

        from argrad.decoding import truncated_decode

        x = logits(kind, b, v, quick)

        def theirs() -> torch.Tensor:
            values, places = torch.topk(x, K)
            return places.gather(-1, torch.multinomial(torch.softmax(values, -1), 1))

        ours = lambda: truncated_decode(x, top_k=K, seed=0)  # noqa: E731
        return Case(ours, theirs, lambda *_: _apart(x, {"top_k": K}, TopKLogitsWarper(K)))

    return case


def _rows() -> list[Row]:
    rows, group = [], "truncation and draws"
    for kind, b, v in inputs():
        size, name = f"{b} x {v} {kind}", f"{b}-{v}-{kind}"
        for rule, aims in (("top-k", (40, 80)), ("top-p", (100, 300))):
            job = f"{rule} {K if rule == 'top-k' else TOP_P:g} + sample"
            rival = "transformers' warper, softmax, multinomial"
            rows.append(
                Row(f"{rule} draw {name}", group, job, size, rival, _beside_transformers(rule, kind, b, v), *aims)
            )
        rival = "torch.topk, softmax, multinomial"
        case = _beside_a_careful_user(kind, b, v)
        rows.append(Row(f"careful draw {name}", group, f"top-k {K} + sample", size, rival, case, 4, 7))
    return rows


ROWS = _rows()

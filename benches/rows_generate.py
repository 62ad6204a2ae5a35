"""The rows of the table that measure decoding inside `generate()` of transformers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from benches.benchmarks import _language
from benches.beside import Case, Row

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = 128_256
TOP_P = 0.9


def _nucleus(b: int, tokens: int) -> Callable[[bool], Case]:
    """Tokens of a small model by nucleus sampling: the loop that draws in one read beside the library's own."""

    def case(quick: bool) -> Case:
        from transformers import TopPLogitsWarper

        from argrad.decoding import truncate
        from argrad.integrations.transformers import truncated_generate

        logging.getLogger("transformers").setLevel(logging.ERROR)
        v = 500 if quick else WORDS
        model, prompts = _language.model(v, 2 if quick else 60), _language.prompts(v, b)
        count = 2 if quick else tokens
        options = {
            "attention_mask": torch.ones_like(prompts), "do_sample": True, "top_p": TOP_P, "top_k": 0,
            "max_new_tokens": count, "min_new_tokens": None,
        }  # fmt: skip
        with torch.no_grad():
            logits = model(prompts).logits[:, -1].float()
        kept = truncate(logits, top_p=TOP_P)[2]
        theirs = (TopPLogitsWarper(TOP_P)(None, logits) > -float("inf")).sum(-1)

        def check(ours: Any, _: Any) -> str:
            same = (kept - theirs).abs().max().item()
            rate = ours.shape[0] * (ours.shape[1] - prompts.shape[1])
            return f"{rate} tokens a call; nuclei of {kept.min()} to {kept.max()} words, at most {same} apart in size"

        return Case(
            lambda: model.generate(prompts, custom_generate=truncated_generate, seed=0, **options),
            lambda: model.generate(prompts, **options),
            check,
        )

    return case


ROWS = [
    Row(
        f"generate {b}",
        "generation",
        f"generate, {tokens} tokens, top-p 0.9",
        f"{b} x {WORDS}",
        "transformers 5.23",
        _nucleus(b, tokens),
        1,
        2,
    )
    for b, tokens in ((1, 64), (64, 4))
]

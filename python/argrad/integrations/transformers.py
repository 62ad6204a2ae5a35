"""The rules of `argrad.decoding` in `generate()` of transformers. Needs `pip install argrad[transformers]`.

Three ways in, from the fastest to the most composable:

1. `custom_generate=`: `bregman_generate` and `truncated_generate` run the loop of `generate` themselves. Each token is
   drawn in one pass over the logits, without a sort, a softmax or a multinomial over the vocabulary.
2. Samplers, for `do_sample=False`: `BregmanSampler` and `TruncationSampler` draw inside the list of processors.
3. Processors and warpers, for `do_sample=True` and for beams: `BregmanLogitsProcessor`, `TruncationLogitsWarper`, and
   twins of the library's own warpers by name. The library draws, and its draw costs more than everything else.

**Two traps of the library.** With `do_sample=True`, `generate` appends its own temperature and truncation after the
processors that it is given, and `top_k` is 50 unless it is set: more than 50 tokens are cut silently, and a second
temperature bends the distribution. With a processor or warper of this module, pass `top_k=0, temperature=1.0` to
`generate` and give the temperature to the processor. The other two ways do not have these traps.

The model may be in host memory or on an NVIDIA GPU: tokens are drawn where the logits are. The loop waits for the GPU
once a token, to see whether every row has stopped, as the library's does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from argrad import _check
from argrad.integrations import _rules

try:
    from transformers import LogitsProcessor
except ImportError as error:
    raise ImportError(
        "argrad.integrations.transformers needs transformers: pip install argrad[transformers]"
    ) from error

from argrad.integrations._generate import bregman_generate, truncated_generate
from argrad.integrations._warpers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    MinPLogitsWarper,
    PLessLogitsWarper,
    TopHLogitsWarper,
    TopKLogitsWarper,
    TopNSigmaLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BregmanLogitsProcessor",
    "BregmanSampler",
    "EpsilonLogitsWarper",
    "EtaLogitsWarper",
    "MinPLogitsWarper",
    "PLessLogitsWarper",
    "TopHLogitsWarper",
    "TopKLogitsWarper",
    "TopNSigmaLogitsWarper",
    "TopPLogitsWarper",
    "TruncationLogitsWarper",
    "TruncationSampler",
    "TypicalLogitsWarper",
    "bregman_generate",
    "truncated_generate",
]


class _Distribution(LogitsProcessor):
    """Replaces the scores of each row by log q of a rule."""

    supports_continuous_batching = True  # a row's answer depends on nothing but the row

    def __init__(self, rule: _rules.Bregman | _rules.Truncation, min_tokens_to_keep: int) -> None:
        _rules.try_out(rule)
        self.rule = rule
        self.min_tokens_to_keep = _check.integer(type(self).__name__, "min_tokens_to_keep", min_tokens_to_keep, low=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return _rules.log_probabilities(self.rule, scores, self.min_tokens_to_keep)


class BregmanLogitsProcessor(_Distribution):
    """Sparse Bregman decoding as a processor: log q on the tokens kept, -inf elsewhere.

    For `do_sample=True` and for beams. The library's own temperature and truncation come after it: pass `top_k=0` and
    `temperature=1.0` to `generate`, or the defaults of the model cut and bend what this class returns.

    Args:
        alpha: As in `argrad.decoding.bregman_project`, like the arguments that follow.
        penalty: Price of one more token, or None.
        k: Number of tokens to keep, or None. Exactly one of `penalty` and `k` is given.
        dual: The dual decoder.
        temperature: Of the softmax before the rule, >= 0.
        max_k: At most so many tokens, or None.
        min_tokens_to_keep: Rows of fewer tokens keep this many. Beams need the number of end tokens plus one.

    Raises:
        TypeError: A parameter of a wrong type.
        ValueError: A parameter out of range, or both or neither of `penalty` and `k`.

    Examples:
        >>> import torch
        >>> from argrad.integrations.transformers import BregmanLogitsProcessor
        >>> processor = BregmanLogitsProcessor(penalty=0.5)
        >>> processor(None, torch.tensor([[2.0, 1.9, -1.0, -3.0]])).exp()
        tensor([[0.5250, 0.4750, 0.0000, 0.0000]])

        In `generate`::

            model.generate(**inputs, do_sample=True, top_k=0, temperature=1.0,
                           logits_processor=[BregmanLogitsProcessor(penalty=0.01, temperature=0.8)])
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        penalty: float | None = None,
        k: int | None = None,
        dual: bool = False,
        temperature: float = 1.0,
        max_k: int | None = None,
        min_tokens_to_keep: int = 1,
    ) -> None:
        """Check the rule."""
        super().__init__(_rules.Bregman(alpha, penalty, k, dual, temperature, max_k), min_tokens_to_keep)


class TruncationLogitsWarper(_Distribution):
    """All truncation rules in one pass over the scores: log q on the tokens kept, -inf elsewhere.

    For `do_sample=True` and for beams, with `top_k=0` and `temperature=1.0` in `generate`, as for
    `BregmanLogitsProcessor`. With the same options the same tokens are kept as by the library's chain of warpers; ties
    at the k-th token and `top_h` are the exceptions (see `argrad.decoding.truncate`).

    Args:
        temperature: Of the softmax before the rules, >= 0.
        min_tokens_to_keep: Rows of fewer tokens keep this many, the most probable. Beams need the number of end tokens
            plus one.
        **rules: `top_k`, `top_p`, `min_p`, `typical_p`, `epsilon`, `eta`, `top_h`, `top_n_sigma`, `p_less`, `order`,
            `max_k`: as in `argrad.decoding.truncate`.

    Raises:
        TypeError: A parameter of a wrong type, or an unknown rule.
        ValueError: A parameter out of range.

    Examples:
        >>> import torch
        >>> from argrad.integrations.transformers import TruncationLogitsWarper
        >>> TruncationLogitsWarper(top_k=3, min_p=0.5)(None, torch.tensor([[2.0, 1.9, -1.0, -3.0]])).exp()
        tensor([[0.5250, 0.4750, 0.0000, 0.0000]])
    """

    def __init__(self, *, temperature: float = 1.0, min_tokens_to_keep: int = 1, **rules: Any) -> None:
        """Check the rules."""
        super().__init__(_rules.Truncation(temperature, rules), min_tokens_to_keep)


class _Sampler(LogitsProcessor):
    """Draws a token for each row; greedy search takes it, for its score is 0 and all others are -inf."""

    supports_continuous_batching = False  # the step is read from the input, which continuous batching slices

    def __init__(
        self, rule: _rules.Bregman | _rules.Truncation, seed: object, row: object, pad_token_id: int | None
    ) -> None:
        name = type(self).__name__
        _rules.try_out(rule)
        self.rule = rule
        self.seed = _rules.seed_of(name, seed)
        self.row = _rules.rows_of(name, row)
        self.pad_token_id = None if pad_token_id is None else _check.integer(name, "pad_token_id", pad_token_id, low=0)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.pad_token_id is None:
            step: Any = input_ids.shape[1]
        else:  # without the padding on the left, whose width is that of the longest companion
            step = ((input_ids != self.pad_token_id).cumsum(1) > 0).sum(1)
        token = self.rule.draw(scores, seed=self.seed, row=self.row, step=step)
        return scores.new_full(scores.shape, -float("inf")).scatter_(1, token[:, None], 0.0)


class BregmanSampler(_Sampler):
    """Sparse Bregman decoding that draws inside the list of processors; for `generate` with `do_sample=False`.

    Greedy search applies processors but none of the library's own warpers, and takes the largest score: the token that
    was drawn here. Without beams. A draw is decided by (`seed`, number of the row, length of the row), so it does not
    depend on the other rows of the batch as long as `row` names the requests and `pad_token_id` names the padding.

    Args:
        alpha: As in `argrad.decoding.bregman_decode`, like the arguments up to `max_k`.
        penalty: Price of one more token, or None.
        k: Number of tokens to keep, or None. Exactly one of `penalty` and `k` is given.
        dual: The dual decoder.
        temperature: Of the softmax before the rule, >= 0.
        max_k: At most so many tokens, or None.
        seed: An integer below 2**64, or one for each row; None takes one from torch's global generator when the sampler
            is made, so that `transformers.set_seed` reaches it.
        row: A number below 2**32 for each row of the batch, or None for 0, 1, ... in order.
        pad_token_id: Token of the padding on the left; None where there is none.

    Raises:
        TypeError: A parameter of a wrong type.
        ValueError: A parameter out of range, or both or neither of `penalty` and `k`.

    Examples:
        >>> import torch
        >>> from argrad.integrations.transformers import BregmanSampler
        >>> sampler = BregmanSampler(penalty=0.5, seed=0)
        >>> scores = sampler(torch.zeros(3, 1, dtype=torch.int64), torch.tensor([[2.0, 1.9, -1.0, -3.0]] * 3))
        >>> bool((scores.exp().sum(-1) == 1).all() and (scores[:, :2] == 0).any(-1).all())
        True

        In `generate`::

            model.generate(**inputs, do_sample=False, logits_processor=[BregmanSampler(penalty=0.01, seed=0)])
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        penalty: float | None = None,
        k: int | None = None,
        dual: bool = False,
        temperature: float = 1.0,
        max_k: int | None = None,
        seed: object = None,
        row: object = None,
        pad_token_id: int | None = None,
    ) -> None:
        """Check the rule."""
        super().__init__(_rules.Bregman(alpha, penalty, k, dual, temperature, max_k), seed, row, pad_token_id)


class TruncationSampler(_Sampler):
    """Truncation rules and the draw, inside the list of processors; for `generate` with `do_sample=False`.

    Otherwise as `BregmanSampler`, with the rules of `TruncationLogitsWarper`.

    Args:
        temperature: Of the softmax before the rules, >= 0.
        seed: As in `BregmanSampler`.
        row: As in `BregmanSampler`.
        pad_token_id: As in `BregmanSampler`.
        **rules: As in `TruncationLogitsWarper`.

    Raises:
        TypeError: A parameter of a wrong type, or an unknown rule.
        ValueError: A parameter out of range.

    Examples:
        >>> import torch
        >>> from argrad.integrations.transformers import TruncationSampler
        >>> sampler = TruncationSampler(top_p=0.9, seed=0)
        >>> scores = sampler(torch.zeros(3, 1, dtype=torch.int64), torch.tensor([[2.0, 1.9, -1.0, -3.0]] * 3))
        >>> bool((scores.exp().sum(-1) == 1).all() and (scores[:, :2] == 0).any(-1).all())
        True
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        seed: object = None,
        row: object = None,
        pad_token_id: int | None = None,
        **rules: Any,
    ) -> None:
        """Check the rules."""
        super().__init__(_rules.Truncation(temperature, rules), seed, row, pad_token_id)

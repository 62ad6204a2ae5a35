"""Twins of the warpers of transformers, under the same names and with the same arguments, and two that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import LogitsProcessor

from argrad import _check
from argrad.integrations import _rules

if TYPE_CHECKING:
    from torch import Tensor


class _Warper(LogitsProcessor):
    """Keeps the scores of the tokens that one rule keeps, and writes `filter_value` elsewhere."""

    supports_continuous_batching = True

    def __init__(self, filter_value: float, min_tokens_to_keep: int, **rule: Any) -> None:
        self.rule = _rules.Truncation(1.0, rule)
        _rules.try_out(self.rule)
        self.filter_value = filter_value
        self.min_tokens_to_keep = _check.integer(type(self).__name__, "min_tokens_to_keep", min_tokens_to_keep, low=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        kept = _rules.support(self.rule, scores, self.min_tokens_to_keep)
        return scores.masked_fill(~kept, self.filter_value)


class TopKLogitsWarper(_Warper):
    """The `top_k` most probable tokens; of tokens tied with the last, the first (the library keeps all of them).

    Examples:
        >>> import torch
        >>> TopKLogitsWarper(2)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(self, top_k: int, filter_value: float = -float("inf"), min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep, top_k=top_k)


class TopPLogitsWarper(_Warper):
    """The fewest tokens of a mass of at least `top_p`.

    Examples:
        >>> import torch
        >>> TopPLogitsWarper(0.8)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(self, top_p: float, filter_value: float = -float("inf"), min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep, top_p=top_p)


class MinPLogitsWarper(_Warper):
    """The tokens of at least `min_p` times the largest probability.

    Examples:
        >>> import torch
        >>> MinPLogitsWarper(0.3)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(self, min_p: float, filter_value: float = -float("inf"), min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep, min_p=min_p)


class TypicalLogitsWarper(_Warper):
    """The tokens whose surprise is nearest to the entropy, of a mass of at least `mass`.

    Examples:
        >>> import torch
        >>> TypicalLogitsWarper(0.5)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., -inf]])
    """

    def __init__(self, mass: float = 0.9, filter_value: float = -float("inf"), min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep, typical_p=mass)


class EpsilonLogitsWarper(_Warper):
    """The tokens of a probability of at least `epsilon`.

    Examples:
        >>> import torch
        >>> EpsilonLogitsWarper(0.1)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(self, epsilon: float, filter_value: float = -float("inf"), min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep, epsilon=epsilon)


class EtaLogitsWarper(_Warper):
    """The tokens of a probability of at least min(epsilon, sqrt(epsilon) exp(-entropy)).

    Examples:
        >>> import torch
        >>> EtaLogitsWarper(0.1)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(
        self,
        epsilon: float,
        filter_value: float = -float("inf"),
        min_tokens_to_keep: int = 1,
        device: str = "cpu",
    ) -> None:
        del device  # the library's twin has it; nothing is stored on a device here
        super().__init__(filter_value, min_tokens_to_keep, eta=epsilon)


class TopHLogitsWarper(_Warper):
    """The most tokens whose entropy is at most `top_h` times that of the row.

    The rule of the paper; the library's twin looks at 100 tokens and compares another sum.

    Examples:
        >>> import torch
        >>> TopHLogitsWarper(0.8)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(self, top_h: float, filter_value: float = -float("inf")) -> None:
        super().__init__(filter_value, 1, top_h=top_h)


class TopNSigmaLogitsWarper(_Warper):
    """The tokens whose logit is within `n` standard deviations of the largest one; not in the library.

    Examples:
        >>> import torch
        >>> TopNSigmaLogitsWarper(1.5)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(self, n: float, filter_value: float = -float("inf"), min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep, top_n_sigma=n)


class PLessLogitsWarper(_Warper):
    """The tokens of a probability of at least the sum of all squared probabilities; not in the library.

    Examples:
        >>> import torch
        >>> PLessLogitsWarper()(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., -inf]])
    """

    def __init__(self, filter_value: float = -float("inf"), min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep, p_less=True)

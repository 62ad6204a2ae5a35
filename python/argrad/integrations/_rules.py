"""The two kinds of rule that choose a next token, each with its parameters, in the one form that adapters use."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from argrad import _check, decoding

if TYPE_CHECKING:
    from torch import Tensor

Sparse = tuple[Any, Any, Any]
"""Indices (b, k), values (b, k) and size (b,), as the operators return them."""


@dataclass(frozen=True)
class Bregman:
    """Sparse Bregman decoding; the fields are the arguments of `argrad.decoding.bregman_project`."""

    alpha: float = 1.0
    penalty: Any = None
    k: Any = None
    dual: bool = False
    temperature: Any = 1.0
    max_k: int | None = None

    def project(self, logits: Tensor) -> Sparse:
        """Return the distribution of each row."""
        return decoding.bregman_project(logits, **self._options())

    def draw(self, logits: Tensor, **place: Any) -> Tensor:
        """Return a token for each row, drawn in one pass over the logits."""
        token, _, _ = decoding.bregman_decode(logits, **self._options(), **_beside(logits, place))
        return token  # type: ignore[no-any-return]

    def widest(self, k: int) -> Bregman:
        """Return the rule that keeps exactly `k` tokens."""
        return replace(self, penalty=None, max_k=None, k=k)

    def _options(self) -> dict[str, Any]:
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


@dataclass(frozen=True)
class Truncation:
    """Truncation rules, one after the other; `options` are the other arguments of `argrad.decoding.truncate`."""

    temperature: Any = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    def project(self, logits: Tensor) -> Sparse:
        """Return the distribution of each row."""
        return decoding.truncate(logits, temperature=self.temperature, **self.options)

    def draw(self, logits: Tensor, **place: Any) -> Tensor:
        """Return a token for each row."""
        options = {**self.options, **_beside(logits, place)}
        token, _, _ = decoding.truncated_decode(logits, temperature=self.temperature, **options)
        return token  # type: ignore[no-any-return]

    def widest(self, k: int) -> Truncation:
        """Return the rule that keeps exactly `k` tokens."""
        return replace(self, options={"top_k": k})


def _beside(logits: Tensor, place: dict[str, Any]) -> dict[str, Any]:
    """Return the place of the draws with its tensors on the device of the logits."""
    return {name: x.to(logits.device) if hasattr(x, "to") else x for name, x in place.items()}


def with_temperature(rule: Bregman | Truncation, temperature: Any) -> Bregman | Truncation:
    """Return the rule at another temperature, a number or one for each row."""
    return replace(rule, temperature=temperature)


def try_out(rule: Bregman | Truncation) -> None:
    """Let the operator check the rule's parameters, on a row of two tokens, where the rule is made."""
    import torch

    rule.project(torch.zeros(1, 2))


def log_probabilities(rule: Bregman | Truncation, logits: Tensor, least: int = 1) -> Tensor:
    """Return log q on the support and -inf elsewhere, shape and dtype of `logits`.

    A row in which the rule keeps fewer than `least` tokens keeps the `least` most probable ones instead.
    """
    v = logits.shape[-1]
    indices, values, size = rule.project(logits)
    dense: Tensor = decoding.to_logits(indices, values, size, v)
    short = size < least
    if least > 1 and short.any():
        dense[short] = decoding.to_logits(*rule.widest(least).project(logits[short]), v)
    return dense


def support(rule: Bregman | Truncation, logits: Tensor, least: int = 1) -> Tensor:
    """Return which tokens the rule keeps, a mask of the shape of `logits`; `least` as in `log_probabilities`."""
    mask = _mask(rule.project(logits), logits)
    short = mask.sum(-1) < least
    if least > 1 and short.any():
        mask[short] = _mask(rule.widest(least).project(logits[short]), logits[short])
    return mask


def _mask(distribution: Sparse, logits: Tensor) -> Tensor:
    indices, _, _ = distribution
    v = logits.shape[-1]
    # Padding has index -1; it is written to a column that is cut off.
    places = indices.where(indices >= 0, v)
    wide = logits.new_zeros((logits.shape[0], v + 1)).bool()
    kept: Tensor = wide.scatter_(1, places, True)[:, :v]
    return kept


def seed_of(function: str, seed: object) -> Any:
    """Return a seed that stays the same for a whole generation.

    None draws it from torch's global generator, so that `torch.manual_seed` and `transformers.set_seed` reach it; an
    array or a tensor, one seed for each row, is left to the operator.
    """
    import torch

    if seed is None:
        return int(torch.randint(2**63 - 1, ()))
    return torch.as_tensor(seed) if hasattr(seed, "shape") else _check.seed(function, seed, "seed")


def rows_of(function: str, row: object) -> Tensor | None:
    """Return the numbers of the rows as a tensor; None leaves them to the operator: 0, 1, ... in order."""
    import torch

    if row is None:
        return None
    rows = torch.as_tensor(row)
    if rows.dim() != 1 or rows.is_floating_point():
        raise TypeError(f"{function}: row must be a list or one-dimensional tensor of integers, got {row!r}")
    return rows.to(torch.int64)

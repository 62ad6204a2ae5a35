"""From one value per example to the loss: weights, examples that do not count, and the three reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def reduce(
    values: Tensor,
    reduction: str,
    *,
    weights: Tensor | None = None,
    counted: Tensor | None = None,
    empty: str | float = "skip",
    settled: bool = False,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the weighted values themselves ("none"), their sum, or their mean over the values that count.

    With w the weights (1 without), v the values, C the examples that count,

        none = w v, and 0 outside C;    sum = SUM none;    mean = SUM none / |C|,    0 / 0 = 0.

    The mean divides by how many count, not by the sum of the weights: a weight of 0 is an example that is worth
    nothing, an example outside C is one that says nothing (a list without anything to rank, a padded row). A mean over
    no example is 0, still connected to its inputs, with gradient 0: a batch that happens to be empty changes nothing.

    Args:
        values: v, one per example, any shape. Where an example does not count the value may be anything, but the way to
            it must be differentiable without NaN (see `ratio`).
        reduction: "none", "sum" or "mean".
        weights: w, a constant or with gradient; any shape that broadcasts to that of the values.
        counted: C as booleans of the shape of the values; None: all count.
        empty: "skip", or a number: the value of examples outside C, which then count with it.
        settled: whether the values outside C are 0 already, and so are the gradients to their inputs.
        dtype: of the result; None keeps that of the values.
    """
    number = values.numel()
    if counted is not None and not (settled and isinstance(empty, str)):
        values = values.where(counted, 0.0 if isinstance(empty, str) else empty)
    if weights is not None:
        values = values * weights.to(values.dtype)
    if reduction == "sum":
        values = values.sum()
    elif reduction == "mean":
        if counted is None or not isinstance(empty, str):
            values = values.sum() / max(number, 1)
        else:
            values = values.sum() / counted.count_nonzero().clamp(min=1)
    return values if dtype is None else values.to(dtype)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator, and 0 with gradient 0 to both where the denominator is 0."""
    some = denominator != 0
    return (numerator / denominator.where(some, 1.0)).where(some, 0.0)


def item_mean(terms: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean over the last dimension of the items that count, 0 where there is none."""
    if mask is None:
        return terms.mean(-1) if terms.shape[-1] else terms.sum(-1)
    return ratio(terms.where(mask, 0.0).sum(-1), mask.sum(-1).to(terms.dtype))

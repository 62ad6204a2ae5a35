"""What losses check before they compute: kinds, dtypes and shapes of tensors, and the options that all of them have.

The grammar is that of `argrad._check`. Values of tensors are never read, so that every loss compiles into one graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from argrad import _array, _check

if TYPE_CHECKING:
    import torch
    from torch import Tensor

REDUCTIONS = ("none", "sum", "mean")


class Lists(NamedTuple):
    """Checked lists of scores.

    Attributes:
        scores: shape (*batch, n), in the dtype that is computed in: float32 for halves.
        mask: None, or booleans of the same shape: which items count.
        dtype: dtype of the loss.
    """

    scores: Tensor
    mask: Tensor | None
    dtype: torch.dtype


def lists(function: str, scores: Tensor, mask: Tensor | None) -> Lists:
    """Require a floating tensor of at least one dimension, and a mask of its shape or None."""
    tensor(function, "scores", scores)
    _check.floating(function, "scores", scores, device=True)
    if scores.ndim == 0:
        raise ValueError(f"{function}: scores must have at least one dimension, got a 0-dimensional tensor")
    if mask is not None:
        tensor(function, "mask", mask)
        if _check.dtype_name(mask) != "bool":
            raise TypeError(f"{function}: mask must be of dtype bool, got {_check.dtype_name(mask)}")
        shape(function, "mask", mask, tuple(scores.shape))
    return Lists(wide(scores), mask, scores.dtype)


def tensor(function: str, argument: str, x: object) -> None:
    """Require a torch tensor."""
    if not _array.is_tensor(x):
        raise TypeError(f"{function}: {argument} must be a torch tensor, got {_array.describe(x)}")


def shape(function: str, argument: str, x: Tensor, expected: tuple[int, ...]) -> None:
    """Require a shape."""
    if tuple(x.shape) != expected:
        raise ValueError(f"{function}: {argument} must be of shape {expected}, got {tuple(x.shape)}")


def wide(x: Tensor) -> Tensor:
    """Return the tensor in the dtype that is computed in."""
    return x.float() if x.dtype.itemsize == 2 else x


def constant(function: str, argument: str, x: Tensor, expected: tuple[int, ...]) -> Tensor:
    """Require a tensor of numbers or booleans of this shape; return it without its gradient."""
    tensor(function, argument, x)
    _check.array(function, argument, x, device=True)
    if x.is_complex():
        raise TypeError(f"{function}: {argument} must be real, got {_check.dtype_name(x)}")
    shape(function, argument, x, expected)
    return x.detach()


def classes(function: str, argument: str, x: Tensor, expected: tuple[int, ...]) -> Tensor:
    """Require a tensor of class indices of this shape; return them as int64."""
    x = constant(function, argument, x, expected)
    if not _check.dtype_name(x).startswith(("int", "uint")):
        raise TypeError(f"{function}: {argument} must be of an integer dtype, got {_check.dtype_name(x)}")
    return x.long()


def labels(function: str, argument: str, x: Tensor, lists: Lists) -> Tensor:
    """Require one 0/1 label or boolean for each item; return booleans, False where the mask is."""
    positive = constant(function, argument, x, tuple(lists.scores.shape))
    positive = positive if _check.dtype_name(x) == "bool" else positive > 0
    return positive if lists.mask is None else positive & lists.mask


def parameter(function: str, argument: str, value: float | Tensor) -> float | Tensor:
    """Require a number > 0; a tensor, one number per list, is left to the operator."""
    if _array.is_tensor(value):
        return value
    return _check.real(function, argument, value, low=0, open_low=True)


def reducing(
    function: str,
    reduction: str,
    sample_weight: Tensor | None,
    batch: tuple[int, ...],
    empty: str | float = "skip",
) -> None:
    """Require the options that `reduce` takes from every loss: one weight per example, in the shape of the batch."""
    _check.choice(function, "reduction", reduction, REDUCTIONS)
    if sample_weight is not None:
        tensor(function, "sample_weight", sample_weight)
        _check.array(function, "sample_weight", sample_weight, device=True)
        if sample_weight.is_complex():
            raise TypeError(f"{function}: sample_weight must be real, got {_check.dtype_name(sample_weight)}")
        shape(function, "sample_weight", sample_weight, batch)
    if empty != "skip":
        if isinstance(empty, str):
            raise ValueError(f"{function}: empty must be 'skip' or a number, got {empty!r}")
        _check.real(function, "empty", empty)

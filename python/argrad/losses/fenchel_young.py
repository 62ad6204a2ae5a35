"""Fenchel-Young losses of the entmax family: cross-entropy with a margin, and predictions that are exactly zero.

Scores have shape (*batch, v). Targets are class indices, shape (*batch,), or distributions, shape (*batch, v). Every
loss takes

- `ignore_index`: class of examples that do not count;
- `sample_weight`, shape (*batch,): a factor on each example's value, constant or with gradient;
- `empty`: what becomes of examples to be ignored. "skip": value 0, and not counted by the mean. A number: they count
  with that value;
- `reduction`: "mean" over the examples that count (0 over none), "sum", or "none": one value for each example.

Targets are constants: no gradient flows to them. float16 and bfloat16 scores are computed in float32 and the loss comes
back in their dtype. A score of -inf masks a class; NaN, +inf and rows of only -inf are refused, because a sparse
gradient would hide them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argrad import decoding
from argrad._check import on_behalf, real
from argrad.losses import _check
from argrad.losses._reduce import reduce

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["entmax_loss", "fenchel_young_loss", "sparsemax_loss"]


def fenchel_young_loss(
    scores: Tensor,
    target: Tensor,
    *,
    alpha: float = 1.5,
    ignore_index: int = -100,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Return how far the target is from the prediction `entmax(scores, alpha)`, zero where they are equal.

    With Omega(p) = SUM_i (p_i^alpha - p_i) / (alpha (alpha - 1)), its conjugate Omega* and y the target (one-hot for a
    class),

        value = Omega*(scores) + Omega(y) - <scores, y>  >=  0.

    alpha = 1 is cross-entropy (the Kullback-Leibler divergence for distributions). For alpha > 1 the loss has a margin:
    it is exactly 0 once the target's score exceeds all others by 1 / (alpha - 1).

    Args:
        scores: shape (*batch, v), floating.
        target: class indices, shape (*batch,), of an integer dtype, in [0, v) or `ignore_index`; or distributions,
            shape (*batch, v), floating, whose sums are taken to be 1.
        alpha: of the prediction, >= 1; 2 is `sparsemax_loss`.
        ignore_index: class of examples that do not count.
        sample_weight: factor on each example's value, shape (*batch,).
        empty: "skip", or the value of examples to be ignored.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: not tensors, scores not floating, or a target that is neither of an integer nor of a floating dtype.
        ValueError: shapes that do not fit, an option out of range; a score that is NaN or +inf, a row of only -inf, a
            class out of range, or a share that is negative or not finite: the row is named.

    Gradient:
        To `scores`: prediction - target, exactly, mostly zeros; the second derivative is that of `entmax`. To
        `sample_weight`. Beyond the margin the gradient is 0.

    Determinism:
        An example's value depends neither on its batch nor on the number of threads.

    Cost:
        One read of the scores forward, one write of their gradient backward; nothing of the size of the scores in
        between. Half precision is copied to float32 first.

    References:
        Blondel, Martins, Niculae, "Learning with Fenchel-Young Losses", JMLR 21, 2020, arXiv:1901.02324; Peters,
        Niculae, Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, arXiv:1905.05702. The loss is computed with
        the scores measured from that of the target, so that it stays accurate for confident rows.

    Examples:
        >>> import torch
        >>> from argrad.losses.fenchel_young import fenchel_young_loss
        >>> scores = torch.tensor([[1.0, 0.5, -1.0], [3.0, 0.0, 0.0]])
        >>> fenchel_young_loss(scores, torch.tensor([0, 0]), reduction="none")
        tensor([0.1844, 0.0000])
    """
    return _loss("fenchel_young_loss", scores, target, alpha, ignore_index, sample_weight, empty, reduction)


def sparsemax_loss(
    scores: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Return how far the target is from sparsemax's prediction: `fenchel_young_loss` with alpha = 2.

    With y the target (one-hot for a class), p = sparsemax(scores),

        value = <p - y, scores> - (|p|^2 - |y|^2) / 2  >=  |p - y|^2 / 2,

    exactly 0 once the target's score exceeds all others by 1.

    Args:
        scores: shape (*batch, v), floating.
        target: class indices, shape (*batch,), or distributions, shape (*batch, v); see `fenchel_young_loss`.
        ignore_index: class of examples that do not count.
        sample_weight: factor on each example's value, shape (*batch,).
        empty: "skip", or the value of examples to be ignored.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: as `fenchel_young_loss`.
        ValueError: as `fenchel_young_loss`.

    Gradient:
        To `scores`: sparsemax(scores) - target, exactly. To `sample_weight`.

    Determinism:
        An example's value depends neither on its batch nor on the number of threads.

    Cost:
        As `fenchel_young_loss`.

    References:
        Martins, Astudillo, "From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label Classification",
        ICML 2016, arXiv:1602.02068.

    Examples:
        >>> import torch
        >>> from argrad.losses.fenchel_young import sparsemax_loss
        >>> sparsemax_loss(torch.tensor([[1.0, 0.5, -1.0]]), torch.tensor([0]))
        tensor(0.0625)
    """
    return _loss("sparsemax_loss", scores, target, 2.0, ignore_index, sample_weight, empty, reduction)


def entmax_loss(
    scores: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Return how far the target is from 1.5-entmax's prediction: `fenchel_young_loss` with alpha = 1.5.

    With y the target (one-hot for a class), p = entmax(scores, 1.5),

        value = <p - y, scores> - (4 / 3) SUM_i (p_i^1.5 - y_i^1.5),

    exactly 0 once the target's score exceeds all others by 2.

    Args:
        scores: shape (*batch, v), floating.
        target: class indices, shape (*batch,), or distributions, shape (*batch, v); see `fenchel_young_loss`.
        ignore_index: class of examples that do not count.
        sample_weight: factor on each example's value, shape (*batch,).
        empty: "skip", or the value of examples to be ignored.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: as `fenchel_young_loss`.
        ValueError: as `fenchel_young_loss`.

    Gradient:
        To `scores`: entmax(scores, 1.5) - target, exactly. To `sample_weight`.

    Determinism:
        An example's value depends neither on its batch nor on the number of threads.

    Cost:
        As `fenchel_young_loss`.

    References:
        Peters, Niculae, Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, arXiv:1905.05702.

    Examples:
        >>> import torch
        >>> from argrad.losses.fenchel_young import entmax_loss
        >>> entmax_loss(torch.tensor([[1.0, 0.5, -1.0]]), torch.tensor([0]))
        tensor(0.1844)
    """
    return _loss("entmax_loss", scores, target, 1.5, ignore_index, sample_weight, empty, reduction)


def _loss(
    name: str,
    scores: Tensor,
    target: Tensor,
    alpha: float,
    ignore_index: int,
    sample_weight: Tensor | None,
    empty: str | float,
    reduction: str,
) -> Tensor:
    lists = _check.lists(name, scores, None)
    alpha = real(name, "alpha", alpha, low=1)
    batch = tuple(scores.shape[:-1])
    _check.tensor(name, "target", target)
    _check.reducing(name, reduction, sample_weight, batch, empty)
    x, counted = lists.scores, None
    if target.is_floating_point():
        y = _check.constant(name, "target", target, tuple(scores.shape)).to(x.dtype)
    else:
        y = _check.classes(name, "target", target, batch)
        counted = y != ignore_index
        y = y.where(counted, 0)
    values: Tensor = on_behalf(name, {"x": "scores"}, decoding.entmax_conjugate, x, alpha, target=y)
    return reduce(values, reduction, weights=sample_weight, counted=counted, empty=empty, dtype=lists.dtype)

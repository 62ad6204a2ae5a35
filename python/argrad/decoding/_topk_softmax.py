"""Softmax on the k largest logits."""

from typing import Any

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.decoding import _device_simplex, _rows
from argrad.decoding._entmax import call, spread


def topk_softmax(
    logits: Array,
    k: int | Array,
    *,
    temperature: float | Array = 1.0,
    selection_bias: Array | None = None,
) -> Any:
    """Return the softmax over the k largest logits of each row, zero for all others.

    With S the places of the k largest of logits + selection_bias,

        p_i = e^(logits_i / temperature) / SUM_{j in S} e^(logits_j / temperature) for i in S,    0 elsewhere.

    The gate of a mixture of experts: a bias that balances their load decides who is chosen, and weights nobody.

    Args:
        logits: shape (*batch, v), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. -inf masks an item: it is never chosen.
        k: how many are chosen, >= 1, or an integer array of one for each row, shape `batch`; all where there are fewer.
        temperature: >= 0, or an array of one for each row. 0 gives everything to the largest chosen logit.
        selection_bias: added for the choice alone: finite, of the kind and precision of `logits`, of a shape that
            broadcasts to theirs.

    Returns:
        p of the shape, dtype and kind of `logits`. Among equal (biased) logits the first are chosen.

    Raises:
        TypeError: not an array, not of a floating dtype, a `k` that is no integer, or arrays of two kinds or
            precisions.
        ValueError: rows without numbers; a NaN, +inf or only -inf in a row, a bias that is not finite, or a parameter
            out of range (the row is named; on a device it gives NaN, see `argrad.set_device_validation`); shapes that
            do not fit.

    Gradient:
        To `logits`, that of the softmax on S: p_i (g_i - <p, g>) / temperature, twice differentiable. Zero elsewhere,
        and zero to the choice; none to the other arguments.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        One read of the logits for k << v, and one write of p. Backward touches S alone.

    References:
        The gate of Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer",
        ICLR 2017, arXiv:1701.06538; the bias of Wang et al., "Auxiliary-Loss-Free Load Balancing Strategy for
        Mixture-of-Experts", 2024, arXiv:2408.15664.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import topk_softmax
        >>> topk_softmax(np.array([1.0, 3.0, 2.0]), 2).round(3)
        array([0.   , 0.731, 0.269])
        >>> topk_softmax(np.array([1.0, 3.0, 2.0]), 2, selection_bias=np.array([5.0, 0.0, 0.0])).round(3)
        array([0.119, 0.881, 0.   ])
    """
    rows = _rows.enter("topk_softmax", "logits", logits, device=True)
    return call(
        "topk_softmax",
        _forward,
        logits,
        _rows.per_row_integer(rows, "k", k, low=1),
        _rows.per_row(rows, "temperature", temperature, low=0.0),
        _bias(logits, selection_bias),
    )


def _bias(logits: Array, bias: Array | None) -> Array | None:
    """Require None or an array that broadcasts to the shape of the logits; return one of that shape."""
    if bias is None:
        return None
    found = spread("topk_softmax", "selection_bias", bias, logits, "logits", tuple(logits.shape))
    _check.same_precision("topk_softmax", {"logits": logits, "selection_bias": bias})
    return found.detach() if _array.is_tensor(found) else found


def _forward(logits: Any, k: Any, temperature: Any, bias: Any, memo: bool = False) -> tuple[Any, ...]:
    if _array.is_device(logits):
        device = _device_simplex.topk_softmax(logits, k, temperature, bias)
        return device if memo else device[:1]
    p, kept = _native.topk_softmax("topk_softmax", logits, (k, temperature, bias))
    return (p.reshape(logits.shape), kept) if memo else (p.reshape(logits.shape),)


def _vjp(logits: Any, k: Any, temperature: Any, bias: Any, g: Any, wanted: int, kept: Any = None) -> tuple[Any, ...]:
    if _array.is_device(logits):
        return (_device_simplex.topk_softmax_vjp(logits, k, temperature, bias, g, kept),)
    found = _native.topk_softmax_vjp("topk_softmax", logits, (k, temperature, bias), g, kept)
    return (found.reshape(logits.shape),)


def _second(logits: Any, k: Any, temperature: Any, bias: Any, g: Any, along: Any) -> tuple[Any, ...]:
    if _array.is_device(logits):
        return _device_simplex.topk_softmax_second(logits, k, temperature, bias, g, along)
    found = _native.topk_softmax_second("topk_softmax", logits, (k, temperature, bias), g, along)
    return tuple(x.reshape(logits.shape) for x in found)


_torch.declare_smooth(
    "topk_softmax",
    "(Tensor logits, Tensor k, Tensor temperature, Tensor? selection_bias) -> (Tensor p)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=lambda logits, *_: ((logits.shape, None),),
    differentiable=("logits",),
    saved=(),
    values=1,
    memo=True,
    device=True,
)

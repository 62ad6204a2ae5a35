"""Statistics of rows of logits."""

from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _cuda, _native, _torch
from argrad._array import Array
from argrad.decoding import _device, _rows


class LogitStatistics(NamedTuple):
    """What one read of a row of logits tells, one number for each row; with p = softmax(logits / temperature).

    Attributes:
        maximum: the largest logit.
        lse: log SUM exp(logits / temperature).
        entropy: of p, in nats.
        collision: SUM p^2, the probability that two draws are equal.
        mean: of the logits that are not -inf.
        deviation: their standard deviation, with one less than their number in the denominator; 0 for one logit.
        count: how many are not -inf, int64.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import logit_statistics
        >>> logit_statistics(np.array([[0.0, -np.inf, 2.0]]))._asdict()["count"]
        array([2])
    """

    maximum: Any
    lse: Any
    entropy: Any
    collision: Any
    mean: Any
    deviation: Any
    count: Any


def logit_statistics(logits: Array, *, temperature: float | Array = 1.0) -> LogitStatistics:
    """Return maximum, log-sum-exp, entropy, collision probability, mean, deviation and count of each row, in one read.

    Args:
        logits: shape (*batch, v), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. -inf masks a token.
        temperature: > 0, of the softmax; a number or one for each row, shape batch. Mean and deviation are those of
            the logits as they are.

    Returns:
        `LogitStatistics` of arrays of shape batch, kind of `logits`, float64 (the count int64).

    Raises:
        TypeError: not an array, not of a floating dtype, or a temperature of another kind.
        ValueError: a row without numbers, a NaN or +inf (row and column are named), a row of -inf alone, or a
            temperature out of range. On a device such a row gives NaN and the count -1, see
            `argrad.set_device_validation`.

    Gradient:
        None: the results are constants. (`torch.logsumexp` has one.)

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch: the order of
        summation is part of the definition.

    Cost:
        One read of the logits. float32 is summed in 4096 / 256 = 16 terms at most before it goes on in float64: the
        normaliser has a relative error of at most 1e-7, entropy and deviation of about 1e-7; float64 about 1e-14.

    References:
        Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018, arXiv:1805.02867, for sums relative to
        a maximum; Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983, for joining variances.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import logit_statistics
        >>> found = logit_statistics(np.log([[0.5, 0.25, 0.25]]))
        >>> found.entropy.round(4), found.collision.round(4), found.count
        (array([1.0397]), array([0.375]), array([3]))
    """
    rows = _rows.enter("logit_statistics", "logits", logits, device=True)
    tau = _rows.per_row(rows, "temperature", temperature, low=0, open_low=True)
    if _array.is_tensor(logits):
        bits, count = _torch.logit_statistics(logits, tau)
    else:
        bits, count = _forward(_array.raw(logits), tau)
    table = _rows.wide(bits)
    maximum, lse, entropy, collision, mean, deviation = (table[..., column] for column in range(6))
    return LogitStatistics(maximum, lse, entropy, collision, mean, deviation, count)


def _forward(logits: Any, temperature: Any) -> tuple[Any, Any]:
    """Return the bits of float64 columns, whatever is computed in, and the counts."""
    if _array.is_device(logits):
        return _on_device(logits, _rows.flat(temperature))
    table, count = _native.logit_statistics("logit_statistics", logits, _rows.flat(temperature))
    return table.view(np.int64).reshape(*logits.shape[:-1], 6), count.reshape(logits.shape[:-1])


def _on_device(logits: Any, temperature: Any) -> tuple[Any, Any]:
    batch = logits.shape[:-1]
    columns, count = _cuda.empty((*batch, 6), "int64", logits), _cuda.empty(batch, "int64", logits)
    read, fault = _device.read(logits, temperature, _device.SPREAD, 1), _cuda.fault(logits)
    arguments = (read.leaves, temperature, columns, count, read.rows, read.v, fault)
    _cuda.launch(logits, "decoding", "logit_statistics", read.rows, 128, *arguments)
    _cuda.confirm(fault, _native.logit_statistics, "logit_statistics", logits, temperature)
    return columns, count


def _shapes(logits: Any, temperature: Any) -> _torch.Shapes:
    return ((*logits.shape[:-1], 6), "int64"), (tuple(logits.shape[:-1]), "int64")


_torch.declare(
    "logit_statistics",
    "(Tensor logits, Tensor temperature) -> (Tensor columns, Tensor count)",
    forward=_forward,
    shapes=_shapes,
    backward=lambda *_: {},
    values=2,
    saved=(),
    folds=True,
    device=True,
)

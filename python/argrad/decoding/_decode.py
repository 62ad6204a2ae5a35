"""The next token: selection, renormalisation and an exact draw in one read of the logits."""

from typing import Any

import numpy as np

from argrad import _array, _native, _torch
from argrad._array import Array
from argrad.decoding import _bregman, _device_bregman, _draws, _rows


def bregman_decode(
    logits: Array,
    *,
    alpha: float = 1.0,
    penalty: float | Array | None = None,
    k: int | Array | None = None,
    dual: bool = False,
    temperature: float | Array = 1.0,
    max_k: int | None = None,
    seed: Any = None,
    row: Array | int | None = None,
    step: Array | int = 0,
) -> tuple[Any, Any, Any]:
    """Draw a token from each row of logits, after a sparse Bregman projection of its softmax.

    The distribution that is drawn from is that of `bregman_project` with the same arguments: the most probable tokens,
    as many as `k` says or as are worth the `penalty`, renormalised by the member `alpha` of the family. `penalty` has
    another scale for each alpha: see the table there. alpha = 1 with `k` is plain top-k sampling, `penalty=0` is
    sampling from the whole softmax, `temperature=0` is the argmax.

    Args:
        logits: shape (*batch, v), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. -inf masks a token.
        alpha: as in `bregman_project`, one number for all rows.
        penalty: as in `bregman_project`; a number or one for each row, shape batch. Either `penalty` or `k` is given.
        k: as in `bregman_project`; a number or one for each row.
        dual: as in `bregman_project`.
        temperature: >= 0; 0 takes the largest logit, the first of equal ones. A number or one for each row.
        max_k: no row keeps more than this many tokens. None for no bound.
        seed: None (fresh entropy), an integer, a numpy `Generator` or `RandomState`, a `torch.Generator`, or an integer
            array of one seed for each row.
        row: number that tells a row's draws from those of others, 0 <= row < 2^32; an integer array of shape batch, or
            one number for all. None numbers the rows 0, 1, ... Pass the request's number to make its draws independent
            of the batch.
        step: number that tells a row's draws from one another, 0 <= step < 2^32: the position in the text. A number or
            one for each row.

    Returns:
        Token, shape batch, int64; size, int64: how many tokens it was drawn from; log_probability, float64: the
        logarithm of its probability among them. All of the kind of `logits`.

    Raises:
        TypeError: not an array, not of a floating dtype, or a parameter of another kind.
        ValueError: a row without numbers, of -inf alone, or with a NaN or +inf (row and column are named), both or
            neither of `penalty` and `k`, or a parameter out of range (the row is named where it is an array). On a
            device such a row gives the token -1, the size -1 and NaN, see `argrad.set_device_validation`.

    Gradient:
        None: the results are constants. `bregman_project` has one; for score-function estimators take the logarithm of
        its value at the token.

    Determinism:
        A function of the logits of a row, its parameters, seed, row number and step alone: the same bits on any number
        of threads, on any instruction set, and in any batch.

    Cost:
        One read of the logits, without exponentials of them at alpha = 1; O(size) beyond the selection at alpha = 1, 2
        and 1.5 (primal), O(size log size) elsewhere. A draw from the whole softmax sorts nothing and reads twice.

    References:
        As for `bregman_project`. Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011,
        for the generator: 53 random bits, one for each seed, row and step. The draw is the inverse of the distribution
        function in float64: a token of probability 0 is never drawn.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import bregman_decode
        >>> logits = np.log([[0.05, 0.5, 0.25, 0.15, 0.05], [0.9, 0.1, 0.0, 0.0, 0.0]] + np.float64(1e-30))
        >>> token, size, log_probability = bregman_decode(logits, penalty=0.2, seed=7)
        >>> token, size, log_probability.round(4)
        (array([1, 0]), array([2, 1]), array([-0.4055,  0.    ]))
    """
    if (
        row is None
        and (where := _draws.alone(seed, step)) is not None
        and (lent := _torch.lend(logits)) is not None
        and (options := _bregman.plain("bregman_decode", lent, alpha, penalty, k, dual, temperature, max_k)) is not None
    ):
        token, size, logs = _torch.give(_native.bregman_decode("bregman_decode", lent, options, where))
        return token, size, logs
    rows = _rows.enter("bregman_decode", "logits", logits, device=True)
    request = _bregman.enter(rows, alpha, penalty, k, dual, temperature, max_k)
    place = _draws.place(rows, seed, row, step)
    host = _bregman.memory(logits, *request[:3], *place)
    if host is not None:
        found = _native.bregman_decode("bregman_decode", host, request.options(), place.plain())
        return _draws.leave(rows, found)
    numbers = (*_draws.spread(rows, place), *request.spread(rows))
    if _array.is_tensor(logits):
        token, size, bits = _torch.bregman_decode(logits, *numbers)
    else:
        token, size, bits = _forward(_array.raw(logits), *numbers)
    return token, size, _rows.wide(bits)


def _forward(
    logits: Any,
    seed: Any,
    row: Any,
    step: Any,
    temperature: Any,
    penalty: Any,
    k: Any,
    alpha: float,
    dual: bool,
    most: int,
) -> tuple[Any, Any, Any]:
    """Return tokens, sizes, and the bits of float64 log-probabilities."""
    request = _bregman.Request(temperature, penalty, k, alpha, dual, most)
    place = _draws.Place(seed, row, step)
    if _array.is_device(logits):
        return _device_bregman.decode(logits, request, place)
    token, size, logs = _native.bregman_decode("bregman_decode", logits, request.options(), place.plain())
    return token, size, logs.view(np.int64)


def _shapes(logits: Any, *args: Any) -> _torch.Shapes:
    return ((tuple(logits.shape[:-1]), "int64"),) * 3


_torch.declare(
    "bregman_decode",
    "(Tensor logits, Tensor seed, Tensor row, Tensor step, Tensor temperature, Tensor? penalty, Tensor? k, "
    "float alpha, bool dual, SymInt most) -> (Tensor token, Tensor size, Tensor log_probability)",
    forward=_forward,
    shapes=_shapes,
    backward=lambda *_: {},
    values=3,
    saved=(),
    folds=True,
    device=True,
)

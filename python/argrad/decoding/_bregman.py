"""Sparse Bregman projections: the k largest tokens of a row, renormalised, with k fixed or priced."""

import math
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.decoding import _device_bregman, _draws, _rows

LEAST = 1e-12
"""Penalties below it are refused: gains of double precision cannot be told apart there."""
CLOSE = 1e-8
"""So near to 1, alpha is 1."""


_PLAIN = (float, int, type(None))
_REAL = (float, int)
_NUMBERS = (int, float, np.integer, np.floating)


class Request(NamedTuple):
    """What rows are asked for: numbers for all of them, or arrays of one for each.

    Attributes:
        temperature: of the softmax.
        penalty: price of a token, or None.
        k: number of tokens, or None.
        alpha: member of the family.
        dual: side of the divergence.
        most: no row keeps more, whatever the data; at most v.
    """

    temperature: Any
    penalty: Any
    k: Any
    alpha: float
    dual: bool
    most: int

    def options(self) -> tuple[Any, Any, Any, float, bool, int]:
        """Return what the kernels take."""
        tau, penalty, k, alpha, dual, most = self
        if type(tau) not in _PLAIN or type(penalty) not in _PLAIN or type(k) not in _PLAIN:
            tau, penalty, k = _draws.plain(tau), _draws.plain(penalty), _draws.plain(k)
        return tau, penalty, k, alpha, dual, most

    def spread(self, rows: _rows.Rows) -> tuple[Any, Any, Any, float, bool, int]:
        """Return what a declared operator takes: arrays of the shape of the batch."""
        tau, price = [_full(rows, x, "float64") for x in (self.temperature, self.penalty)]
        return tau, price, _full(rows, self.k, "int64"), self.alpha, self.dual, self.most


def _full(rows: _rows.Rows, number: Any, dtype: str) -> Any:
    given = number is None or _array.kind_of(number) is not None
    return number if given else _array.constant(rows.batch, number, dtype, rows.x)


def plain(
    function: str, lent: Any, alpha: Any, penalty: Any, k: Any, dual: object, temperature: Any, max_k: object
) -> tuple[Any, Any, Any, float, bool, int] | None:
    """Return what the kernels take if all are ordinary numbers in their ranges; None for all else."""
    v = lent.shape[-1]
    if type(alpha) not in _REAL or type(temperature) not in _REAL or type(dual) is not bool or max_k is not None:
        return None
    if not 0.0 <= temperature < math.inf or v > _rows.MOST:
        return None
    if penalty is None and type(k) is int and 1 <= k < 2**63:
        alpha = _alpha(function, alpha, dual, adaptive=False)
        return float(temperature), None, k, alpha, dual, min(k, v)
    if k is None and type(penalty) is float and (penalty >= LEAST or penalty == 0.0):
        alpha = _alpha(function, alpha, dual, adaptive=True)
        return float(temperature), penalty, None, alpha, dual, min(v, _bound(alpha, dual, penalty))
    return None


def memory(logits: Array, *parameters: Any) -> Any:
    """Return the logits as a numpy array where kernels may read all this; None where an operator has to see it.

    None on a device as well: there parameters are arrays.
    """
    if not _torch.is_direct([logits, *[x for x in parameters if type(x) not in _PLAIN]]):
        return None
    array = _array.raw(logits)
    return None if _array.is_device(array) else array


def bregman_project(
    logits: Array,
    *,
    alpha: float = 1.0,
    penalty: float | Array | None = None,
    k: int | Array | None = None,
    dual: bool = False,
    temperature: float | Array = 1.0,
    max_k: int | None = None,
) -> tuple[Any, Any, Any]:
    """Return the sparse distribution nearest to softmax(logits / temperature) in a Bregman divergence, token by token.

    With p = softmax(logits / temperature), phi(x) = x^alpha / (alpha (alpha - 1)) (x log x at alpha = 1) and its
    divergence D, the distribution q that minimises

        primal   D(q, p) + penalty * (number of tokens with q > 0)
        dual     D(p, q) + penalty * (number of tokens with q > 0)

    or, with `k` instead of `penalty`, the divergence alone among all q on k tokens. The best tokens are the most
    probable ones, and the best number of them is found exactly. What they get:

    ======== ============================================ ==================================================
    alpha    q                                            in words
    ======== ============================================ ==================================================
    -inf     p, but the largest gets all the rest         (fixed k only)
    1        p / SUM p                                    softmax of the kept logits
    1.5      (sqrt(p) + v)^2                              the square roots rise by the same amount
    2        p + (1 - SUM p) / k                          the rest in equal shares; primal and dual agree
    inf      max(p, c)                                    the smallest are lifted to a level (fixed k only)
    other    p^(alpha - 1) + m, to the 1 / (alpha - 1)    dual: the root q >= p of (q - p) q^(alpha - 2) = m
    ======== ============================================ ==================================================

    The price of a token has another scale for each alpha. However flat a distribution is, it keeps at most

    ================ ======= ====== ===== ==== ==== === ===
    penalty          1e-5    1e-4   1e-3  0.01 0.05 0.2 0.4
    ================ ======= ====== ===== ==== ==== === ===
    primal 0.5       4e10    4e8    4e6   4e4  1600 100 25
    primal 1         100,000 10,000 1,000 100  20   5   3
    primal 1.5       1,645   355    77    17   6    3   2
    primal, dual 2   224     71     23    8    4    2   2
    primal 3         33      15     7     4    2    2   1
    dual 1.2         48,213  7,077  1,039 153  40   13  8
    dual 1.5         2,610   563    122   27   9    4   3
    dual 3           41      19     9     5    3    2   2
    ================ ======= ====== ===== ==== ==== === ===

    tokens: (alpha penalty)^(-1/alpha) in the primal. At a fixed k, alpha > 1 flattens and alpha < 1 sharpens what is
    kept.

    Args:
        logits: shape (*batch, v), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. -inf masks a token. To project probabilities, pass their logarithms.
        alpha: member of the family, one number for all rows. Primal: any number or infinity with `k`, finite and > 0
            with `penalty`. Dual: at least 1.05, or 1 with `k`.
        penalty: price of a token, 0 or at least 1e-12; 0 keeps all tokens, inf one. A number or one for each row, shape
            batch. Either `penalty` or `k` is given.
        k: how many tokens are kept, >= 1; those there are if there are fewer. A number or one for each row.
        dual: minimise D(p, q) instead of D(q, p).
        temperature: >= 0; 0 keeps the largest logit alone. A number or one for each row.
        max_k: no row keeps more than this many tokens: the exact solution under that constraint. None for no bound.

    Returns:
        Indices, shape (*batch, K), int64; values, the same shape, dtype and kind of `logits`; size, shape batch, int64:
        how many tokens the row keeps. Values decrease, tokens of equal logits are in the order of their indices; places
        beyond the size hold index -1 and value 0. K is `k`, or the bound above for the smallest penalty, and at most v
        and `max_k`: it does not depend on logits. Where an array of `penalty` or `k` is seen by `torch.compile`, `vmap`
        or another transform, or is on a device, which nothing here waits for, K is `max_k`, or v without one. Tokens
        whose probability is 0 in float64 are not kept.

    Raises:
        TypeError: not an array, not of a floating dtype, or a parameter of another kind.
        ValueError: a row without numbers, of -inf alone, or with a NaN or +inf (row and column are named), both or
            neither of `penalty` and `k`, or a parameter out of range (the row is named where it is an array). On a
            device such a row gives NaN, the index -1 and the size -1, see `argrad.set_device_validation`.

    Gradient:
        Exact, to `logits`, on the support that was chosen, twice differentiable; none to the parameters. Where a token
        enters or leaves, the values have a kink for `k` and jump for `penalty`, and the gradient is one-sided. Tokens
        that are not kept get a gradient as well, through the probability that is handed out; at alpha = 1 they get
        none. Forward mode is not supported.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        One read of the logits and O(K log K); alpha = 1, 2 and 1.5 (primal) take O(size) beyond, others O(size log
        size). Kept for the backward pass: K values and indices and two numbers for each row. The backward pass reads
        the logits once more, and not at all at alpha = 1, where only kept tokens have a gradient. All that follows the
        selection is computed in float64.

    References:
        Noarov et al., "Foundations of Top-k Decoding for Language Models", NeurIPS 2025, arXiv:2505.19371, for both
        problems and the convexity in k. That dropped tokens add a constant, the bounds and the closed rules are derived
        in the core's documentation.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import bregman_project
        >>> logits = np.log([0.05, 0.5, 0.25, 0.15, 0.05])
        >>> indices, values, size = bregman_project(logits, alpha=2.0, k=3)
        >>> indices, values.round(4), size
        (array([1, 2, 3]), array([0.5333, 0.2833, 0.1833]), array(3))
        >>> indices, values, size = bregman_project(logits, penalty=0.2)
        >>> indices, values.round(4), size
        (array([ 1,  2, -1, -1, -1]), array([0.6667, 0.3333, 0.    , 0.    , 0.    ]), array(2))
    """
    if (lent := _torch.lend(logits)) is not None and (
        options := plain("bregman_project", lent, alpha, penalty, k, dual, temperature, max_k)
    ) is not None:
        values, indices, size, *_ = _native.bregman_project("bregman_project", lent, options, False)
        indices, values, size = _torch.give((indices, values, size))
        return indices, values, size
    rows = _rows.enter("bregman_project", "logits", logits, device=True)
    request = enter(rows, alpha, penalty, k, dual, temperature, max_k)
    recorded = _array.is_tensor(logits) and _torch.is_recorded(logits)
    host = None if recorded else memory(logits, *request[:3])
    if host is None and _array.is_tensor(logits):
        values, indices, size = _torch.bregman_project(logits, *request.spread(rows))
        return indices, values, size
    if host is None:
        values, indices, size, *_ = _forward(_array.raw(logits), *request.spread(rows))
        return indices, _array.like(values, logits, logits.dtype), size
    values, indices, size, *_ = _native.bregman_project("bregman_project", host, request.options(), False)
    if not _array.is_tensor(logits):
        return indices, _array.like(values, logits, logits.dtype), size
    return _array.tensor(indices), _array.tensor(values, logits.dtype), _array.tensor(size)


def enter(
    rows: _rows.Rows,
    alpha: object,
    penalty: object,
    k: object,
    dual: object,
    temperature: object,
    max_k: object,
) -> Request:
    """Check what rows are asked for.

    Raises:
        TypeError: a parameter of another kind.
        ValueError: a parameter out of range, or both or neither of `penalty` and `k`.
    """
    function = rows.function
    if (penalty is None) == (k is None):
        found = "neither" if k is None else "both"
        raise ValueError(f"{function}: penalty or k must be given, and not the other, got {found}")
    dual = dual if type(dual) is bool else _check.flag(function, "dual", dual)
    alpha = _alpha(function, alpha, dual, adaptive=k is None)
    high = rows.v if max_k is None else min(rows.v, _check.integer(function, "max_k", max_k, low=1))
    tau = _temperature(rows, temperature)
    if k is not None:
        sizes, most = _sizes(rows, k)
        return Request(tau, None, sizes, alpha, dual, high if most is None else min(high, most))
    prices, least = _prices(rows, penalty)
    return Request(tau, prices, None, alpha, dual, high if least is None else min(high, _bound(alpha, dual, least)))


def _temperature(rows: _rows.Rows, temperature: Any) -> Any:
    if type(temperature) is float and 0.0 <= temperature < math.inf:
        return temperature
    if _array.kind_of(temperature) is not None:
        return _rows.per_row(rows, "temperature", temperature)
    return _check.real(rows.function, "temperature", temperature, low=0)


def _alpha(function: str, alpha: object, dual: bool, *, adaptive: bool) -> float:
    if type(alpha) is not float and (isinstance(alpha, bool) or not isinstance(alpha, _NUMBERS)):
        raise TypeError(f"{function}: alpha must be a number, got {alpha!r}")
    number = float(alpha)
    if dual and not (1.05 <= number < math.inf or (number == 1.0 and not adaptive)):
        expected = "finite and >= 1.05 for adaptive k (dual)" if adaptive else "1, or finite and >= 1.05 (dual)"
        raise ValueError(f"{function}: alpha must be {expected}, got {number}")
    if not dual and adaptive and not 0.0 < number < math.inf:
        raise ValueError(f"{function}: alpha must be finite and > 0 for adaptive k (primal), got {number}")
    if not -math.inf <= number <= math.inf:
        raise ValueError(f"{function}: alpha must be a number, got {number}")
    return number


def _prices(rows: _rows.Rows, penalty: Any) -> tuple[Any, float | None]:
    """Return checked penalties and the smallest, None where nobody may read it."""
    if type(penalty) is not float and _array.kind_of(penalty) is not None:
        prices = _rows.per_row(rows, "penalty", penalty)
        return prices, float(prices.min()) if _is_legible(rows, prices) else None
    if type(penalty) is not float and (isinstance(penalty, bool) or not isinstance(penalty, _NUMBERS)):
        raise TypeError(f"{rows.function}: penalty must be a number or an array, got {penalty!r}")
    number = float(penalty)
    if number != 0.0 and not number >= LEAST:
        raise ValueError(f"{rows.function}: penalty must be 0 or >= {LEAST}, got {number}")
    return number, number


def _sizes(rows: _rows.Rows, k: Any) -> tuple[Any, int | None]:
    """Return checked numbers of tokens and the largest, None where nobody may read it."""
    if type(k) is int and 1 <= k < 2**63:
        return k, k
    if _array.kind_of(k) is not None:
        sizes = _rows.per_row_integer(rows, "k", k, low=1)
        return sizes, max(1, int(sizes.max())) if _is_legible(rows, sizes) else None
    number = _check.integer(rows.function, "k", k, low=1, high=2**63 - 1)
    return number, number


def _is_legible(rows: _rows.Rows, parameter: Array) -> bool:
    readable = math.prod(parameter.shape) > 0 and _torch.is_direct([rows.x, parameter])
    return readable and not _array.is_device(_array.raw(parameter))


def _bound(alpha: float, dual: bool, penalty: float) -> int:
    """Return how many tokens are kept at most: where c k^-alpha <= penalty no further one is worth its price."""
    if not LEAST <= penalty < math.inf:
        return 1 if penalty == math.inf else _rows.MOST
    if abs(alpha - 1.0) < CLOSE:
        logarithm = -math.log(math.expm1(min(penalty, 700.0)))
    else:
        factor = 1.0 / alpha
        if dual:
            factor = 1.0 / (alpha * (alpha - 1.0)) if alpha <= 2.0 else (alpha - 1.0) / alpha
        logarithm = math.log(factor / penalty) / alpha
    return max(1, math.ceil(math.exp(min(logarithm, math.log(_rows.MOST)))))


def _forward(
    x: Any, temperature: Any, penalty: Any, k: Any, alpha: float, dual: bool, width: int
) -> tuple[Any, Any, Any, Any, Any]:
    """Return values, indices and sizes; the bits of the values in float64, and of maximum and normaliser."""
    request = Request(temperature, penalty, k, alpha, dual, width)
    if _array.is_device(x):
        return _device_bregman.project(x, request)
    values, indices, size, exact, sums = _native.bregman_project("bregman_project", x, request.options(), True)
    return values, indices, size, exact.view(np.int64), sums.view(np.int64)


def _shapes(
    x: Any, temperature: Any, penalty: Any, k: Any, alpha: float, dual: bool, width: int, *_: Any
) -> _torch.Shapes:
    batch = tuple(x.shape[:-1])
    kept = (*batch, width)
    return (kept, None), (kept, "int64"), (batch, "int64"), (kept, "int64"), ((*batch, 2), "int64")


def _vjp(
    x: Any,
    temperature: Any,
    penalty: Any,
    k: Any,
    alpha: float,
    dual: bool,
    width: int,
    indices: Any,
    exact: Any,
    sums: Any,
    g: Any,
    wanted: int,
) -> tuple[Any, ...]:
    if _array.is_device(x):
        point = _device_bregman.Point(x, temperature, alpha, dual, width, indices, exact, sums)
        return (_device_bregman.derive(point, g)[0],)
    saved = (indices, exact.view(np.float64), sums.view(np.float64))
    dx = _native.bregman_project_vjp("bregman_project", x, _rows.flat(temperature), saved, g, (alpha, dual, width))
    return (dx.reshape(x.shape),)


def _second(
    x: Any,
    temperature: Any,
    penalty: Any,
    k: Any,
    alpha: float,
    dual: bool,
    width: int,
    indices: Any,
    exact: Any,
    sums: Any,
    g: Any,
    tangent: Any,
) -> tuple[Any, ...]:
    if _array.is_device(x):
        point = _device_bregman.Point(x, temperature, alpha, dual, width, indices, exact, sums)
        return _device_bregman.derive(point, g, tangent)
    saved = (indices, exact.view(np.float64), sums.view(np.float64))
    dx, dg = _native.bregman_project_second(
        "bregman_project", x, _rows.flat(temperature), saved, g, tangent, (alpha, dual, width)
    )
    return dx.reshape(x.shape), dg.reshape(g.shape)


_torch.declare_smooth(
    "bregman_project",
    "(Tensor x, Tensor temperature, Tensor? penalty, Tensor? k, float alpha, bool dual, SymInt width) -> "
    "(Tensor values, Tensor indices, Tensor size, Tensor exact, Tensor sums)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x",),
    saved=("indices", "exact", "sums"),
    values=1,
    device=True,
    shown=3,
)

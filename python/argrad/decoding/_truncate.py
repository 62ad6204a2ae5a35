"""Truncation rules: the tokens that are left of a distribution, and draws from them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.decoding import _device_truncate, _draws, _rows

ORDER = (
    "top_h",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "epsilon",
    "eta",
    "top_n_sigma",
    "p_less",
    "surprise",
)
"""The rules in the order in which they are applied when no other is given."""

_BOUNDS = {
    "temperature": (0.0, math.inf, True),
    "top_h": (0.0, 1.0, False),
    "top_p": (0.0, 1.0, False),
    "min_p": (0.0, 1.0, False),
    "typical_p": (0.0, 1.0, False),
    "epsilon": (0.0, 1.0, True),
    "eta": (0.0, 1.0, True),
    "top_n_sigma": (0.0, math.inf, True),
    "surprise": (-math.inf, math.inf, True),
}
"""For each number the least, the greatest, and whether the greatest is excluded."""


class Request(NamedTuple):
    """Checked rows and what is to be kept of them.

    Attributes:
        rows: the logits.
        temperature: a number, or float64 of the shape of the batch.
        rules: names in order, each with its number or numbers.
        max_k: None, or how many tokens are kept at most.
    """

    rows: _rows.Rows
    temperature: Any
    rules: tuple[tuple[str, Any], ...]
    max_k: int | None

    def arrays(self) -> list[Array]:
        """Return the arrays among its parts."""
        arrays = [x for _, x in self.rules if type(x) is not float]
        return [self.rows.x, *arrays] if type(self.temperature) is float else [self.rows.x, self.temperature, *arrays]

    def options(self) -> tuple[Any, list[tuple[str, Any]], int | None]:
        """Return what the kernels take."""
        return _draws.plain(self.temperature), [(name, _draws.plain(x)) for name, x in self.rules], self.max_k

    def width(self) -> int:
        """Return how many tokens can be left of a row at most, whatever the logits."""
        bounds = [int(x) for name, x in self.rules if name == "top_k" and isinstance(x, float) and x < self.rows.v]
        return min([self.rows.v, *bounds, *([] if self.max_k is None else [self.max_k])])

    def spread(self) -> list[Any]:
        """Return the arguments of the declared operators."""
        given = {name: _spread(self.rows, x) for name, x in self.rules if name != "p_less"}
        tensors = [given.get(name) for name in ORDER if name != "p_less"]
        order = ",".join([name for name, _ in self.rules])
        return [self.rows.x, _spread(self.rows, self.temperature), *tensors, order, self.max_k]


def _spread(rows: _rows.Rows, number: Any) -> Array:
    return _array.constant(rows.batch, number, "float64", rows.x) if isinstance(number, float) else number


def enter(
    function: str, logits: Array, temperature: object, rules: Sequence[object], order: object, max_k: object
) -> Request:
    """Require logits, a temperature, and the numbers of the rules as in `ORDER`; one that is None is not there."""
    rows = _rows.enter(function, "logits", logits, device=True)
    checked = [(name, _number(rows, name, x)) for name, x in zip(ORDER, rules, strict=True) if x is not None]
    if order is not None:
        names = _order(function, order, [name for name, _ in checked])
        checked.sort(key=lambda rule: names.index(rule[0]))
    if max_k is not None:
        max_k = _check.integer(function, "max_k", max_k, low=1)
    return Request(rows, _number(rows, "temperature", temperature), tuple(checked), max_k)


def _order(function: str, order: object, given: Sequence[str]) -> Sequence[str]:
    if isinstance(order, str) or not isinstance(order, Sequence):
        raise TypeError(f"{function}: order must be a sequence of names of rules, got {order!r}")
    for name in order:
        _check.choice(function, "order", name, ORDER)
    missing = [name for name in given if name not in order]
    if missing or len(set(order)) < len(order):
        raise ValueError(f"{function}: order must be names of all rules that are given, none twice, got {tuple(order)}")
    return order


def _number(rows: _rows.Rows, name: str, value: object) -> Any:
    """Require a number in its range, or an array of one for each row, whose values the kernels check."""
    if name == "top_k":
        if type(value) is int or _array.kind_of(value) is None:
            return float(_check.integer(rows.function, name, value, low=1))
        return _array.cast(_rows.per_row_integer(rows, name, value, low=1), "float64")
    if name == "p_less":
        return float(_check.flag(rows.function, name, value))
    low, high, below = _BOUNDS[name]
    if type(value) is float and low <= value < high:
        return value
    if _array.kind_of(value) is not None:
        return _rows.per_row(rows, name, value)
    least, greatest = (None if math.isinf(bound) else bound for bound in (low, high))
    return _check.real(rows.function, name, value, low=least, high=greatest, open_high=below)


def truncate(
    logits: Array,
    *,
    temperature: float | Array = 1.0,
    top_h: float | Array | None = None,
    top_k: int | Array | None = None,
    top_p: float | Array | None = None,
    min_p: float | Array | None = None,
    typical_p: float | Array | None = None,
    epsilon: float | Array | None = None,
    eta: float | Array | None = None,
    top_n_sigma: float | Array | None = None,
    p_less: bool = False,
    surprise: float | Array | None = None,
    order: Sequence[str] | None = None,
    max_k: int | None = None,
) -> tuple[Any, Any, Any]:
    """Return the tokens that truncation rules leave of the softmax of each row, with their probabilities.

    With p = softmax(logits / temperature) in decreasing order, each rule keeps a part and hands on what it kept,
    renormalised; each keeps one token at least. Rules are applied in the order of the arguments, that of transformers;
    the last three look at the whole row, wherever they stand. What is kept is a prefix of the order, or with
    `typical_p` an interval, so the row is read once and neither sorted nor written.

    Args:
        logits: shape (*batch, v), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. -inf masks a token: it is never kept, nor counted.
        temperature: >= 0, of the softmax; 0 keeps the largest logit alone. This and the numbers below are one number,
            or an array of one for each row, shape batch, kind of `logits`.
        top_h: 0 to 1; keep the longest prefix whose entropy is at most `top_h` times the entropy.
        top_k: >= 1; keep the k largest: exactly so many, ties by lowest index.
        top_p: 0 to 1; keep the shortest prefix of at least this mass (nucleus).
        min_p: 0 to 1; keep p_i >= `min_p` max p.
        typical_p: 0 to 1; keep the tokens whose -log p is nearest to the entropy until they have at least this mass,
            and those as near as the last of them.
        epsilon: 0 to below 1; keep p_i >= `epsilon`.
        eta: 0 to below 1; keep p_i >= min(`eta`, sqrt(`eta`) exp(-entropy)).
        top_n_sigma: >= 0; keep logits >= max - `top_n_sigma` standard deviations of the row's logits.
        p_less: keep p_i >= sum_j p_j^2 of the whole row.
        surprise: bits; keep -log2 p_i <= `surprise`, of the whole row.
        order: names of the rules above in another order than this one; it names every rule that is given.
        max_k: keep at most so many, last of all.

    Returns:
        Indices, int64, values, dtype of `logits`, both of shape (*batch, K) and decreasing in value, equal ones in the
        order of their indices; and sizes, int64, shape batch. Places from the size on have index -1 and value 0. K is
        the largest size; inside `torch.compile`, `torch.export` and transforms, where sizes are not known, it is the
        least of v, `max_k`, and `top_k` where that is one number.

    Raises:
        TypeError: not an array, not of a floating dtype, a number of another type, or arrays of two kinds.
        ValueError: a row without numbers, a NaN or +inf (row and column are named), a row of -inf alone, a number out
            of its range, or an `order` that does not fit. On a device a row with such a number gives NaN, the index -1
            and the size -1, see `argrad.set_device_validation`.

    Gradient:
        To `logits`, of the values, with what is kept held fixed: that of a softmax over the kept tokens. Differentiable
        any number of times. Zero where the temperature is 0; none to temperatures and rules.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        One read of the logits, and sums only where a rule needs them (`top_k` and `min_p` need none). A prefix beyond
        the largest 64 tokens is found by one or two more passes, in O(v); the kept tokens are sorted. Masses of such
        long prefixes have a relative error of 1e-7 in float32; all others are sums in float64. On a device masses are
        sums of integers, and the largest size is waited for, except inside `torch.compile` and transforms.

    References:
        top-k: Fan et al. 2018, arXiv:1805.04833; top-p: Holtzman et al. 2020, arXiv:1904.09751; min-p: Nguyen et al.
        2024, arXiv:2407.01082; typical: Meister et al. 2023, arXiv:2202.00666; epsilon and eta: Hewitt et al. 2022,
        arXiv:2210.15191; top-n-sigma: Tang et al. 2024, arXiv:2411.07641; `surprise` is the cut of Mirostat 2, Basu et
        al. 2021, arXiv:2007.14966; top-h and p-less are read from their definitions.
        Equal to the processors of transformers 5 except for ties at `top_k` (transformers keeps all that equal the
        k-th) and `top_h` (transformers sums -p log p over the 100 largest tokens and does not renormalise prefixes).

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import truncate
        >>> logits = np.log([0.15, 0.5, 0.05, 0.3])
        >>> truncate(logits, top_p=0.7)
        (array([1, 3]), array([0.625, 0.375]), array(2))

        Mirostat 2 keeps its state outside:

        >>> from argrad.decoding import truncated_decode
        >>> surprise, target, rate = 6.0, 3.0, 0.1
        >>> token, size, log_probability = truncated_decode(logits, surprise=surprise, seed=0)
        >>> surprise -= rate * (-log_probability / np.log(2) - target)
    """
    less = None if p_less is False else p_less
    rules = (top_h, top_k, top_p, min_p, typical_p, epsilon, eta, top_n_sigma, less, surprise)
    request = enter("truncate", logits, temperature, rules, order, max_k)
    direct, tensor = _torch.is_direct(request.arrays()), _array.is_tensor(logits)
    array = _array.raw(logits) if direct and not (tensor and _torch.is_recorded(logits)) else None
    if array is not None and not (tensor and _array.is_device(array)):
        if _array.is_device(array):
            values, indices, size = _forward(array, *request.spread()[1:], None)
        else:
            indices, values, size = _native.truncate("truncate", array, request.options(), None)
        return _array.like(indices, logits), _array.like(values, logits, logits.dtype), _array.like(size, logits)
    # Compilers and transforms have to know shapes before they know numbers.
    values, indices, size = _torch.truncate(*request.spread(), None if direct else request.width())
    return indices, values, size


def truncated_decode(
    logits: Array,
    *,
    temperature: float | Array = 1.0,
    top_h: float | Array | None = None,
    top_k: int | Array | None = None,
    top_p: float | Array | None = None,
    min_p: float | Array | None = None,
    typical_p: float | Array | None = None,
    epsilon: float | Array | None = None,
    eta: float | Array | None = None,
    top_n_sigma: float | Array | None = None,
    p_less: bool = False,
    surprise: float | Array | None = None,
    order: Sequence[str] | None = None,
    max_k: int | None = None,
    seed: object = None,
    row: int | Array | None = None,
    step: int | Array = 0,
) -> tuple[Any, Any, Any]:
    """Draw a token of each row from what truncation rules leave: `sample` of `truncate` in one go.

    Nothing is sorted or written that a draw does not need, so that drawing from a nucleus costs little more than
    reading the logits.

    Args:
        logits: shape (*batch, v), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. -inf masks a token: it is never drawn.
        temperature: >= 0, of the softmax; 0 keeps the largest logit alone. This and the numbers below are one number,
            or an array of one for each row, shape batch, kind of `logits`.
        top_h: 0 to 1; keep the longest prefix whose entropy is at most `top_h` times the entropy.
        top_k: >= 1; keep the k largest: exactly so many, ties by lowest index.
        top_p: 0 to 1; keep the shortest prefix of at least this mass (nucleus).
        min_p: 0 to 1; keep p_i >= `min_p` max p.
        typical_p: 0 to 1; keep the tokens whose -log p is nearest to the entropy until they have at least this mass,
            and those as near as the last of them.
        epsilon: 0 to below 1; keep p_i >= `epsilon`.
        eta: 0 to below 1; keep p_i >= min(`eta`, sqrt(`eta`) exp(-entropy)).
        top_n_sigma: >= 0; keep logits >= max - `top_n_sigma` standard deviations of the row's logits.
        p_less: keep p_i >= sum_j p_j^2 of the whole row.
        surprise: bits; keep -log2 p_i <= `surprise`, of the whole row.
        order: names of the rules above in another order than this one; it names every rule that is given.
        max_k: keep at most so many, last of all.
        seed: None (fresh entropy), an integer of 64 bits, a numpy `Generator` or `RandomState`, a `torch.Generator`, or
            an integer array of one seed for each row.
        row: number of each row, 0 to 2^32 - 1; None counts 0, 1, ... Give the number of a request to make its draws
            independent of its place in the batch, and inside `torch.vmap`, which shows single rows.
        step: number of the step, 0 to 2^32 - 1: draws at different steps are independent.

    Returns:
        Token, int64; size, int64, how many tokens there were to choose from; log-probability of the token among them,
        float64; all of shape batch and the kind of `logits`.

    Raises:
        TypeError: as `truncate`, or a seed, row or step of another type.
        ValueError: as `truncate`, or a seed, row or step out of range. On a device a row that is refused gives the
            token -1, the size -1 and NaN, see `argrad.set_device_validation`.

    Gradient:
        None: the results are constants.

    Determinism:
        A function of logits, seed, row and step: the same token in any batch, on any number of threads, and on any
        instruction set. Inside `torch.compile` a seed must be given.

    Cost:
        As `truncate`, without sorting the kept tokens: the draw is one more prefix to find.

    References:
        As `truncate`. Draws are by inversion in float64, with 53 bits: the first token in decreasing order whose
        running sum exceeds u times the sum. A token of probability 0 is never drawn.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import truncated_decode
        >>> logits = np.log([[0.15, 0.5, 0.05, 0.3]] * 4)
        >>> token, size, log_probability = truncated_decode(logits, top_p=0.7, seed=0)
        >>> token, size
        (array([3, 1, 1, 1]), array([2, 2, 2, 2]))
        >>> np.exp(log_probability).round(3)
        array([0.375, 0.625, 0.625, 0.625])
    """
    less = None if p_less is False else p_less
    rules = (top_h, top_k, top_p, min_p, typical_p, epsilon, eta, top_n_sigma, less, surprise)
    if order is None and max_k is None and row is None and (array := _torch.lend(logits)) is not None:
        found = _native.plain_truncated_decode("truncated_decode", array, temperature, rules, (seed, step))
        if found is not None:
            token, size, logs = _torch.give(found)
            return token, size, logs
    request = enter("truncated_decode", logits, temperature, rules, order, max_k)
    place = _draws.place(request.rows, seed, row, step)
    direct = _torch.is_direct([*request.arrays(), *place.arrays()])
    if direct and not _array.is_device(host := _array.raw(logits)):
        found = _native.truncated_decode("truncated_decode", host, request.options(), place.plain())
        return _draws.leave(request.rows, found)
    numbers = (*request.spread()[1:], *_draws.spread(request.rows, place))
    if _array.is_tensor(logits):
        token, size, bits = _torch.truncated_decode(logits, *numbers)
    else:
        token, size, bits = _decode(host, *numbers)
    return token, size, _rows.wide(bits)


def _options(temperature: Any, *rest: Any) -> tuple[Any, list[tuple[str, Any]], int | None]:
    """Return what the kernels take, from the arguments of a declared operator."""
    *numbers, order, max_k = rest
    given = dict(zip([name for name in ORDER if name != "p_less"], numbers, strict=True))
    return temperature, [(name, given.get(name, 1.0)) for name in order.split(",") if name], max_k


def _forward(x: Any, *args: Any) -> tuple[Any, Any, Any]:
    *options, width = args
    if _array.is_device(x):
        indices, values, size = _device_truncate.truncate(x, *_options(*options), width)
        return values, indices, size
    indices, values, size = _native.truncate("truncate", x, _options(*options), width)
    return values, indices, size


def _backward(held: Mapping[str, Any], upstream: Sequence[Any], wanted: Sequence[str]) -> dict[str, Any]:
    logits, indices, temperature = held["logits"], held["indices"], held["temperature"][..., None]
    absent, places = indices < 0, indices.clamp(min=0)
    cold = temperature == 0
    warm = temperature.masked_fill(cold, 1.0)  # a division by 0 would make the second derivative NaN
    z = (logits.gather(-1, places).double() / warm).masked_fill(absent, -np.inf)
    q = z.softmax(-1)
    g = upstream[0].double()
    slope = (q * (g - (q * g).sum(-1, keepdim=True)) / warm).masked_fill(cold, 0.0)
    return {"logits": logits.new_zeros(logits.shape).scatter_add(-1, places, slope.to(logits.dtype))}


def _decode(x: Any, *args: Any) -> tuple[Any, Any, Any]:
    *options, seed, row, step = args
    if _array.is_device(x):
        return _device_truncate.decode(x, *_options(*options), _draws.Place(seed, row, step))
    place = (_rows.flat(seed), _rows.flat(row), _rows.flat(step))
    token, size, logs = _native.truncated_decode("truncated_decode", x, _options(*options), place)
    return token, size, logs.view(np.int64)


_RULES = ", ".join([f"Tensor? {name}" for name in ORDER if name != "p_less"])

_torch.declare(
    "truncate",
    f"(Tensor logits, Tensor temperature, {_RULES}, str order, int? max_k, SymInt? width)"
    " -> (Tensor values, Tensor indices, Tensor size)",
    forward=_forward,
    shapes=lambda x, *args: (
        ((*x.shape[:-1], args[-1]), None),
        ((*x.shape[:-1], args[-1]), "int64"),
        (x.shape[:-1], "int64"),
    ),
    backward=_backward,
    values=1,
    saved=("logits", "indices", "temperature"),
    folds=True,
    device=True,
    shown=3,
)
_torch.declare(
    "truncated_decode",
    f"(Tensor logits, Tensor temperature, {_RULES}, str order, int? max_k, Tensor seed, Tensor row, Tensor step)"
    " -> (Tensor token, Tensor size, Tensor bits)",
    forward=_decode,
    shapes=lambda x, *args: ((x.shape[:-1], "int64"), (x.shape[:-1], "int64"), (x.shape[:-1], "int64")),
    backward=lambda *_: {},
    values=3,
    saved=(),
    folds=True,
    device=True,
)

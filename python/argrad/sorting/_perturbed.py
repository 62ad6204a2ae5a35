"""Perturbed functions: the mean over noisy inputs, which has a gradient where the function has none."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _native
from argrad._array import Array
from argrad._torch._callback import call_back

NOISES = ("gaussian", "gumbel")
AT_ONCE = 1 << 20
"""Numbers handed to the function in one call, about."""


def perturbed(
    function: Callable[[Any], Any],
    x: Array,
    *,
    sigma: float = 1.0,
    samples: int = 100,
    noise: str = "gaussian",
    random_state: object = None,
    control_variate: bool = True,
) -> Any:
    """Return the mean of a function over noisy copies of its input, with a gradient where the function has none.

    With Z_1 ... Z_M independent noise of the shape of x,

        y = (1 / M) sum_m function(x + sigma Z_m),

    a smooth function of x in expectation, whatever `function` is: a rank, a top-k mask, a shortest path.

    Args:
        function: maps an array of shape (..., n), lists in the last dimension, to an array of shape (..., *rest); the
            leading dimensions are those of `x` after one more for the samples, and each list's result depends on that
            list alone. It gets arrays of the kind of `x` (half precision as float32), needs no gradient, is called
            several times, and again in the backward pass: it has to be deterministic.
        x: input, shape (..., n), float16, bfloat16 (torch), float32 or float64; numpy array or torch CPU tensor.
        sigma: scale of the noise, > 0.
        samples: M, the number of noisy copies, >= 1.
        noise: `"gaussian"` (mean 0, variance 1) or `"gumbel"` (distribution function exp(-exp(-z)), not centred: its
            mean of 0.577 matters to functions that change when a constant is added to a list).
        random_state: seed: None, an integer, a numpy `Generator` or `RandomState`, or a `torch.Generator`.
        control_variate: subtract function(x) from each function(x + sigma Z_m) in the gradient: far less variance for
            one more call.

    Returns:
        y, shape (..., *rest), of the dtype and kind of `x`, summed in float64.

    Raises:
        TypeError: `function` not callable or not returning an array of the kind of `x`, or `x` not a floating array.
        ValueError: `x` without a dimension, `sigma` or `samples` out of range, an unknown `noise`, or a result of
            `function` that lacks the leading dimensions.
        RuntimeError: an array on a device.

    Gradient:
        To `x`: an estimate, unbiased for the gradient of the expectation of y, from the same noise and no derivative of
        `function`: for an upstream gradient g, (1 / (M sigma)) sum_m <g, function(x + sigma Z_m) - function(x)> s(Z_m)
        with s(z) = z for Gaussian and 1 - exp(-z) for Gumbel noise, list by list. It is not the derivative of the
        returned mean, so comparisons with finite differences of one seed fail by design. There is no second derivative.
        `torch.func.grad` and `vmap` work; vmap gives each item its own noise. `torch.compile` leaves the call to the
        interpreter, so `fullgraph=True` is refused: what a Python callback does cannot be compiled.

    Determinism:
        One seed gives one result on any number of threads. A list's noise depends on the seed and on its number among
        the lists of `x`, not on how many others follow.

    Cost:
        M + 1 evaluations of `function` forward, as many backward, some 30 ns per random number. Memory: about 2**20
        numbers at a time; the noise and the function's values are made anew in the backward pass, never stored.

    References:
        Berthet et al., "Learning with Differentiable Perturbed Optimizers", NeurIPS 2020, arXiv:2002.08676,
        Proposition 3.1 (there without the control variate).

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import blackbox_rank, perturbed
        >>> x = np.array([0.0, 5.0, 0.1])
        >>> y = perturbed(blackbox_rank, x, sigma=0.5, samples=2000, random_state=0)
        >>> print(y.round(1))
        [1.4 3.  1.6]
    """
    name = "perturbed"
    _check.floating(name, "x", x)
    if x.ndim == 0:
        raise ValueError(f"{name}: x must have at least one dimension, got a 0-dimensional array")
    if not callable(function):
        raise TypeError(f"{name}: function must be callable, got {function!r}")
    _check.flag(name, "control_variate", control_variate)
    sampler = _Sampler(
        function,
        _check.real(name, "sigma", sigma, low=0.0, open_low=True),
        _check.integer(name, "samples", samples, low=1),
        _check.choice(name, "noise", noise, NOISES),
        bool(control_variate),
        _check.seed(name, random_state),
    )
    if _array.is_tensor(x):
        return call_back(name, x, sampler.mean, sampler.pull)
    return sampler.mean(x)


class _Sampler(NamedTuple):
    """What the two passes share."""

    function: Callable[[Any], Any]
    sigma: float
    samples: int
    noise: str
    control_variate: bool
    seed: int

    def mean(self, x: Array) -> Array:
        """Return y."""
        total: Any = None
        for _, values in self._values(x):
            # One at a time, so that the sum does not depend on how many come at once.
            for value in values:
                total = value if total is None else total + value
        return _array.cast(total / self.samples, str(x.dtype).removeprefix("torch."))

    def pull(self, x: Array, grad: Array) -> Array:
        """Return the gradient to `x` of <grad, y>."""
        n = x.shape[-1]
        total = np.zeros((int(np.prod(x.shape[:-1])), n))
        grad = _array.cast(grad, "float64")
        origin = self._call(_array.cast(x, _array.computed(x))[None])[0] if self.control_variate else 0.0
        for first, values in self._values(x):
            weighed = _array.raw((values - origin) * grad)
            coefficients = weighed.reshape(len(weighed), len(total), -1).sum(-1) if n else np.zeros((len(weighed), 0))
            total = _native.perturbed_pull(
                total, np.ascontiguousarray(coefficients), self.noise, self.seed, self.samples, first
            ).reshape(total.shape)
        total /= self.samples * self.sigma
        return _array.like(total.reshape(x.shape), x, x.dtype)

    def _values(self, x: Array) -> Iterator[tuple[int, Array]]:
        """Yield the first sample's number and the function's values, in float64, of group after group of samples."""
        items = _array.raw(x)
        step = max(1, AT_ONCE // max(1, items.size))
        for first in range(0, self.samples, step):
            count = min(step, self.samples - first)
            points = _native.perturbed_points(
                items, self.sigma, self.noise, self.seed, self.samples, first, count
            ).reshape(count, *items.shape)
            yield first, self._call(_array.like(points, x))

    def _call(self, points: Array) -> Array:
        values = self.function(points)
        kind = _array.kind_of(points)
        if _array.kind_of(values) != kind:
            found = _array.describe(values)
            raise TypeError(f"perturbed: function must be one that returns a {kind} array, got {found}")
        lead = tuple(points.shape[:-1])
        if tuple(values.shape[: len(lead)]) != lead:
            shape, wanted = tuple(values.shape), ", ".join(map(str, lead))
            raise ValueError(f"perturbed: function must be one that returns shape ({wanted}, ...), got {shape}")
        return _array.cast(values, "float64")

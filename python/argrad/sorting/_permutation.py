"""Soft permutation matrices that are never formed."""

from typing import Any

import numpy as np

from argrad import _array, _check, _torch
from argrad._array import Array
from argrad.sorting import _laplace, _lists, _network, _neuralsort, _ot, _places, _sinkhorn, _softsort

# The options of each method. All others must be left at their defaults.
METHODS: dict[str, tuple[str, ...]] = {
    "neuralsort": ("temperature",),
    "softsort": ("temperature",),
    "network": ("network", "distribution", "steepness"),
    "sinkhorn": ("temperature", "iterations", "tolerance"),
    "laplace": ("temperature",),
    "ot": ("k", "temperature", "iterations", "tolerance"),
}
DEFAULTS: dict[str, object] = {
    "temperature": 1.0,
    "network": "odd_even",
    "distribution": "cauchy",
    "steepness": 10.0,
    "iterations": None,
    "tolerance": None,
    "k": None,
}
_PLACES = {argument: place for place, argument in enumerate(DEFAULTS)}
_USED = {method: tuple((x, _PLACES[x]) for x in used) for method, used in METHODS.items()}
_UNUSED = {method: tuple((x, _PLACES[x]) for x in DEFAULTS if x not in used) for method, used in METHODS.items()}
_MODULES: dict[str, Any] = {
    "neuralsort": _neuralsort,
    "softsort": _softsort,
    "network": _network,
    "sinkhorn": _sinkhorn,
    "laplace": _laplace,
    "ot": _ot,
}


def product_only(cls: Any, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """Answer `torch.matmul(P, V)`, and `P @ V` under torch.compile, which takes it for a product of tensors."""
    if getattr(function, "__name__", None) == "matmul":
        if isinstance(args[0], cls):
            return args[0].__matmul__(args[1])
        # While tracing, torch turns the two operands around when the first is no tensor.
        if _torch.is_compiling():
            return args[1].__matmul__(args[0])
    return NotImplemented


class SoftPermutation:
    """A soft permutation matrix for each list, held as scores and options; made by `soft_permutation`.

    Row r of P belongs to rank r, column j to item j: `P @ x` is the softly sorted list. Rows beyond the number of items
    that count and columns of masked items are zero. With `offsets`, P is the block diagonal matrix of the lists of a
    row. P is not formed: `P @ V` and `P.mT @ U` are operators of their own, each with two derivatives.

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import soft_permutation
        >>> P = soft_permutation(np.array([3.0, 1.0, 2.0]), method="softsort", temperature=0.1)
        >>> P
        SoftPermutation(method='softsort', shape=(3, 3))
        >>> print((P @ np.array([30.0, 10.0, 20.0])).round(1))
        [10. 20. 30.]
    """

    # numpy would otherwise take `V @ P` apart into products of objects.
    __array_ufunc__ = None

    def __init__(self, method: str, held: Any, straight_through: bool) -> None:
        self._method = method
        self._held = held
        self._straight_through = straight_through

    # torch.compile looks for the product here.
    __torch_function__: Any = classmethod(product_only)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of P: the shape of x without the list dimension, then (n, n), or (k, n) with method "ot"."""
        x = self._held.lists.x
        return (*x.shape[:-1], self._rows, x.shape[-1])

    @property
    def mT(self) -> "TransposedPermutation":  # noqa: N802 (torch's name)
        """The transpose, as a view: `P.mT @ U`."""
        return TransposedPermutation(self)

    @property
    def _rows(self) -> int:
        return self._held.k if self._method == "ot" else self._held.lists.x.shape[-1]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"SoftPermutation(method={self._method!r}, shape={self.shape})"

    def __matmul__(self, V: Array) -> Array:  # noqa: N803 (the field's name)
        """Return P V: V of the shape of x, or with one more dimension for columns."""
        return self._apply("SoftPermutation @ V", "V", V, False)

    def top_mass(self, k: Any) -> Array:
        """Return how much of each item is among the k largest of its list: the sums of the columns over these rows.

        A smooth mask of the k largest, in which the sum over a list is k where the matrix's rows sum to 1.

        Args:
            k: 0 <= k <= n: an integer, or (without `offsets`) an integer array of the shape of x without the list
                dimension. Lists with fewer items that count give their whole columns.

        Returns:
            The masses, of the shape, kind and dtype of x.

        Raises:
            TypeError: k is neither an integer nor an array of integers of the kind of x.
            ValueError: k out of range, an array of another shape, or method "ot" with `descending=False`, whose rows
                belong to the smallest items.
        """
        lists, descending = self._held.lists, self._held.descending
        if self._method == "ot" and not descending:
            raise ValueError("top_mass: descending must be True with method 'ot', got False")
        limit = self._check_k(k)
        chosen = _places.row_numbers(lists, backwards=not descending)
        chosen = _array.cast((chosen > 0) & (chosen <= limit), _array.computed(lists.x))
        return self._from_rows(chosen)

    def expected_rank(self) -> Array:
        """Return the sum over the rows of each item's column, weighted by the rows' ranks 1, 2, ...

        For a doubly stochastic P this is the mean rank of the item. Where only rows sum to 1, columns may hold more or
        less than one item.

        Returns:
            The ranks, of the shape, kind and dtype of x; 0 at masked items.

        Raises:
            ValueError: with method "ot", which has k rows only.
        """
        if self._method == "ot":
            raise ValueError("expected_rank: method must be one of square matrices, got 'ot'")
        numbers = _places.row_numbers(self._held.lists, backwards=False)
        return self._from_rows(_array.cast(numbers, _array.computed(self._held.lists.x)))

    def sinkhorn(self, *, iterations: int | None = None, tolerance: float | None = None) -> "SoftPermutation":
        """Return P with rows and columns scaled in turn, towards a doubly stochastic matrix; method "neuralsort" only.

        Args:
            iterations: how many times both are scaled at most.
            tolerance: where to stop: the largest difference of a sum from 1.

        Returns:
            A soft permutation of the same kind, its matrix held as P and scaling factors.

        Raises:
            ValueError: another method, or an option out of its range.
        """
        scaled = getattr(self._held, "sinkhorn", None)
        if scaled is None:
            raise ValueError(f"sinkhorn: method must be 'neuralsort', got {self._method!r}")
        return SoftPermutation(self._method, scaled(iterations=iterations, tolerance=tolerance), self._straight_through)

    def to_dense(self) -> Array:
        """Return the matrices themselves, n x n: for looking at, and for small n.

        Returns:
            An array of shape `self.shape`, of the kind and dtype of x.
        """
        return self._product(_identity(self._held.lists.x), False)

    def _from_rows(self, u: Array) -> Array:
        """Return P^T u for a number per row (of which there may be too many), in the shape of x."""
        u = u[..., : self._rows]
        return self._held.lists.leave(self._product(u[..., None], True)[..., 0])

    def _check_k(self, k: Any) -> Any:
        """Return k as something that compares with the row numbers."""
        lists = self._held.lists
        if _array.kind_of(k) is None:
            return _check.integer("top_mass", "k", k, low=0, high=self._rows)
        _check.array("top_mass", "k", k, device=True)
        _check.same_kind("top_mass", {"x": lists.x, "k": k})
        if not _check.dtype_name(k).startswith(("int", "uint")):
            raise TypeError(f"top_mass: k must be an integer or an array of integers, got {_check.dtype_name(k)}")
        if lists.offsets is not None:
            raise ValueError("top_mass: k must be an integer for lists with offsets, got an array")
        if tuple(k.shape) != tuple(lists.x.shape[:-1]):
            shape = tuple(lists.x.shape[:-1])
            raise ValueError(f"top_mass: k must be an integer or of shape {shape}, got {tuple(k.shape)}")
        return k[..., None]

    def _apply(self, function: str, argument: str, v: Array, transposed: bool) -> Array:
        """Return a product of V as the caller has it: with the list dimension in its place, with or without columns."""
        lists = self._held.lists
        x, dim = lists.x, lists.dim
        _check.floating(function, argument, v, device=True)  # it is where x is
        if type(v) is not type(x) or v.dtype != x.dtype or getattr(v, "device", None) != getattr(x, "device", None):
            _check.same_kind(function, {"x": x, argument: v})
            _check.same_precision(function, {"x": x, argument: v})
        direct = getattr(self._held, "takes_vectors", False) and not self._straight_through
        if direct and dim == -1 and v.shape == x.shape:
            return self._held.product(v, transposed)
        at = x.ndim + dim
        length = self._rows if transposed else x.shape[-1]
        shape = (*x.shape[:at], length, *x.shape[at:-1])
        given = tuple(v.shape)
        if given == shape:
            v = v if dim == -1 else _lists.move(v, dim, -1)
            # Each view costs a node on the tape, forward and backward.
            y = self._held.product(v, transposed) if direct else self._product(v[..., None], transposed)[..., 0]
            return y if dim == -1 else _lists.move(y, -1, dim)
        if given[:-1] != shape or given[-1] == 0:
            expected = f"{shape} or {(*shape, 'm')}".replace("'m'", "m")
            raise ValueError(f"{function}: {argument} must be of shape {expected}, got {given}")
        v = v if dim == -1 else _lists.move(v, dim - 1, -2)
        y = self._product(v, transposed)
        return y if dim == -1 else _lists.move(y, -2, dim - 1)

    def _product(self, v: Array, transposed: bool) -> Array:
        soft = self._held.product(v, transposed)
        if not self._straight_through:
            return soft
        places = _places.places(self._held.lists, self._held.descending)
        tensor = _array.is_tensor(v)
        constant, value = (v.detach(), soft.detach()) if tensor else (v, soft)
        hard = _places.fetch(constant, places) if transposed else _places.send(constant, places, self._rows)
        # The difference is 0 exactly, or NaN where the soft product is.
        return hard + (soft - value)


class TransposedPermutation:
    """The transpose of a soft permutation, as a view; made by `SoftPermutation.mT`.

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import soft_permutation
        >>> P = soft_permutation(np.array([3.0, 1.0, 2.0]), method="softsort", temperature=0.01)
        >>> print((P.mT @ np.array([1.0, 2.0, 3.0])).round(1))
        [3. 1. 2.]
    """

    __array_ufunc__ = None

    __torch_function__: Any = classmethod(product_only)

    def __init__(self, permutation: SoftPermutation) -> None:
        self._permutation = permutation

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the transposed matrix."""
        *batch, rows, columns = self._permutation.shape
        return (*batch, columns, rows)

    @property
    def mT(self) -> SoftPermutation:  # noqa: N802 (torch's name)
        """The soft permutation itself."""
        return self._permutation

    def __repr__(self) -> str:
        return f"{self._permutation!r}.mT"

    def __matmul__(self, U: Array) -> Array:  # noqa: N803 (the field's name)
        """Return P^T U: U of the shape of x (k rows with method "ot"), or with one more dimension for columns."""
        return self._permutation._apply("SoftPermutation.mT @ U", "U", U, True)


def soft_permutation(
    x: Array,
    *,
    method: str = "neuralsort",
    dim: int = -1,
    descending: bool = False,
    temperature: Any = 1.0,
    network: str = "odd_even",
    distribution: str = "cauchy",
    steepness: Any = 10.0,
    iterations: int | None = None,
    tolerance: float | None = None,
    k: int | None = None,
    mask: Array | None = None,
    offsets: Array | None = None,
    straight_through: bool = False,
) -> SoftPermutation:
    """Return the soft permutation matrix that sorts each list, as an object with products instead of n x n numbers.

    P is a smooth stand-in for the matrix of the sorting permutation: `P @ x` is softly sorted, `P @ V` sorts the rows
    of V by x, `P.mT @ U` sends a vector over the ranks back to the items, `P.top_mass(k)` and `P.expected_rank()` are
    the vectors most often wanted. Write s for the sorted scores, t for the temperature.

        "softsort"    P_rj = exp(-|s_r - x_j| / t) / z_r                    rows sum to 1
        "neuralsort"  P_rj = softmax_j(((n + 1 - 2 r) x_j - b_j) / t),      rows sum to 1
                      b_j = sum_i |x_j - x_i|, r counted from the largest
        "network"     product of the soft comparators of a sorting network  doubly stochastic
        "sinkhorn"    n times the entropic transport plan between the       doubly stochastic (at convergence)
                      scores and (0, ..., n - 1) / (n - 1)
        "laplace"     P_rj = F((b_r - x_j) / t) - F((b_(r-1) - x_j) / t),   doubly stochastic
                      F the Laplace distribution, sum_j F((b_r - x_j) / t) = r
        "ot"          k x n: the sorted entropic transport of SOFT top-k    rows sum to 1

    Args:
        x: scores, shape (*batch, n), float16, bfloat16 (torch), float32 or float64; numpy array, torch
            tensor (CPU or CUDA) or cupy array.
        method: see above.
        dim: the dimension that holds the lists.
        descending: whether row 1 belongs to the largest item (False: to the smallest).
        temperature: > 0, a number or an array with one number per list (the shape of x without `dim`; with `offsets`,
            followed by the number of lists), with gradient. Towards 0 the permutation becomes the hard one.
        network: for "network": "odd_even" or "bitonic".
        distribution: for "network": "logistic", "logistic_art", "reciprocal", "cauchy", "gaussian" or "optimal".
        steepness: for "network": > 0, as `temperature`.
        iterations: for "sinkhorn" and "ot": how many at most.
        tolerance: for "sinkhorn" and "ot": where to stop.
        k: for "ot": the number of rows.
        mask: which items count, booleans of the shape of x; None for all. Masked items may hold anything.
        offsets: None, or int64 or int32 of shape (lists + 1,), from 0 to n, not decreasing: the list dimension holds
            the lists `offsets[i]:offsets[i + 1]`, each sorted by itself.
        straight_through: whether products use the hard permutation (ties by position); their gradients are those of the
            soft one.

    Returns:
        A `SoftPermutation`.

    Raises:
        TypeError: x not a floating array, arrays of two kinds, or a flag that is not a boolean.
        ValueError: an unknown method, an option out of range or given to a method without it, or shapes that do not
            fit. What only values tell (bad temperatures in an array, bad offsets) is raised by the products.

    Gradient:
        Of the products, exact: to x, to V or U, and to the temperature (steepness), twice. At ties see the methods. A
        list with a NaN among the items that count gives NaN, in values and gradients, and touches no other list. Masked
        items get zero. Where all gaps are many temperatures wide the gradient is zero: the permutation is hard there.

    Determinism:
        No randomness; the same bits for any number of threads, and for a list alone or in a batch. On a device
        what only values tell gives NaN instead of an error, see `argrad.set_device_validation`; sums are in another
        order than on the host, and as exact.

    Cost:
        Nothing but checks; the products, for n items and m columns, O(n) memory for each column and: "softsort" and
        "laplace" O(n log n + n m) time, "neuralsort" O(n band m), "network" O(n layers m),
        "sinkhorn" and "ot" O(n band m) and some fifty times O(n band) for the potentials.

    References:
        Prillo and Eisenschlos, "SoftSort: A Continuous Relaxation for the argsort Operator", ICML 2020,
        arXiv:2006.16038, Eq. 4. Grover et al., "Stochastic Optimization of Sorting Networks via Continuous
        Relaxations", ICLR 2019, arXiv:1903.08850, Eq. 5. Petersen et al., "Monotonic Differentiable Sorting Networks",
        ICLR 2022, arXiv:2203.09630. Cuturi et al., "Differentiable Ranking and Sorting using Optimal Transport",
        NeurIPS 2019, arXiv:1905.11885. Struski et al., "LapSum", ICML 2025, arXiv:2503.06242. Xie et al.,
        "Differentiable Top-k Operator with Optimal Transport", NeurIPS 2020, arXiv:2002.06504.

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import soft_permutation
        >>> x = np.array([0.3, 2.0, -1.0, 0.4])
        >>> P = soft_permutation(x, method="softsort", descending=True, temperature=0.05)
        >>> print((P @ x).round(2))
        [ 2.    0.39  0.31 -1.  ]
        >>> print(P.top_mass(2).round(2))
        [0.12 1.   0.   0.88]
    """
    name = "soft_permutation"
    _check.choice(name, "method", method, METHODS)
    descending = _check.flag(name, "descending", descending)
    straight_through = _check.flag(name, "straight_through", straight_through)
    given = (temperature, network, distribution, steepness, iterations, tolerance, k)
    for argument, place in _UNUSED[method]:
        value, default = given[place], DEFAULTS[argument]
        if value is not default and (_array.kind_of(value) or value != default):
            raise ValueError(f"{name}: {argument} must be left out with method {method!r}, got {value!r}")
    lists = _lists.enter(name, x, dim=dim, mask=mask, offsets=offsets, device=True)
    options = {argument: given[place] for argument, place in _USED[method]}
    held = _MODULES[method].enter(lists, descending=descending, **options)
    return SoftPermutation(method, held, straight_through)


def _identity(x: Array) -> Array:
    """Return the n x n identity for each row of x, in the dtype that is computed in."""
    n, ones = x.shape[-1], _array.full((x.shape[-1],), 1.0, x)
    eye = ones.diag() if _array.is_tensor(x) else np.diag(ones)
    return _array.spread(eye, (*x.shape[:-1], n, n))

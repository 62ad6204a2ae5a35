"""Soft ranks and soft sorts: projections onto the permutahedron."""

from typing import Any

from argrad import _array, _check
from argrad._array import Array
from argrad.sorting import _lists, _permutahedron
from argrad.sorting._permutahedron import NAN


def soft_rank(
    x: Array,
    *,
    dim: int = -1,
    descending: bool = False,
    strength: Any = 1.0,
    regularization: str = "l2",
    p: float = 4 / 3,
    mask: Array | None = None,
    offsets: Array | None = None,
    fill: float = NAN,
    straight_through: bool = False,
) -> Any:
    """Rank the items of each list, smoothly.

    With eps = `strength`, rho = (1, ..., m) for the m items of a list that count, and P(w) the permutahedron (the
    convex hull of all permutations of w), the ranks are

        "l2"     the point of P(rho) nearest to x / eps,
        "kl"     exp of the point of P(log rho) nearest to x / eps in the KL divergence of exponentials,
        "pnorm"  the maximiser of <x / eps, y> - |y|_p^p / p over P(rho),

    ("l2" is "pnorm" with p = 2). They rise with x and sum to m (m + 1) / 2; a larger strength makes them smoother and
    draws them to the mean rank.

    Args:
        x: scores, shape (*batch, n), float16, bfloat16 (torch), float32 or float64; numpy array, torch
            tensor (CPU or CUDA) or cupy array.
        dim: the dimension that holds the lists.
        descending: give rank 1 to the largest score instead of the smallest.
        strength: eps >= 0, in units of x: a number, or an array of the shape of `x` without `dim` (with `offsets`,
            followed by the number of lists) that gets a gradient. 0 gives the exact ranks, equal scores their mean.
            "auto" takes the standard deviation of the finite scores of each list over that of 1, ..., m (for "kl" of
            their logarithms, for "pnorm" of their powers p - 1): where evenly spaced scores just begin to pool. So
            the ranks of a x + b, a > 0, are those of x. No gradient flows through it.
        regularization: "l2", "kl", "pnorm", or "laplace": LapSum, half plus the sum of Laplace distribution functions
            of the differences to all scores, with `strength` as their scale.
        p: exponent of "pnorm", 1.1 <= p <= 2.
        mask: which items count, bool of the shape of `x`. The others have no rank and no influence.
        offsets: ragged lists: int64 or int32, shape (lists + 1,), rising from 0 to n. List i is the items
            `offsets[i]:offsets[i + 1]` of every row.
        fill: value at items that do not count.
        straight_through: return the exact ranks (of strength 0) with the gradient of the soft ones.

    Returns:
        The ranks, of the shape, dtype and kind of `x`. A list with a NaN among the items that count is NaN at all of
        these; other lists do not notice. Scores of one infinite sign share the mean of their exact ranks, and the
        finite ones are ranked among themselves between them.

    Raises:
        TypeError: not an array, a wrong dtype, or arrays of two kinds.
        ValueError: `dim`, `p` or an option out of range, `strength` negative, NaN or infinite, or `mask` or `offsets`
            of a wrong shape or `offsets` that do not rise from 0 to n. (On a device faults of the values are told
            only on request, see `argrad.set_device_validation`: a list with such a strength is NaN, and what no list
            bounds is.)

    Gradient:
        Exact to `x` and `strength`, first and second, wherever no two blocks are about to merge. It couples only items
        of one block, a run of close scores: **an item that shares its block with no other has gradient zero**, because
        its rank is constant. For "l2" that is every item once `strength` is below the smallest gap between scores, and
        for a `strength` above 2 (max - min) / m there is one block (`permutahedron_blocks` counts them). Masked items,
        infinite scores and `strength=0` have gradient zero; a list with a NaN has gradient NaN. Forward mode is not
        supported.

    Determinism:
        No randomness. The same bits for every number of threads, batch and instruction set.

    Cost:
        O(n log n) time at most, O(n) memory; "l2" does not sort a list of one block that it can tell from its range.
        Backward O(n). Kept for backward: an int32 for each item ("kl" and "pnorm": and a number of the precision of
        `x`). "pnorm" solves an equation for each block and costs many times as much.

    References:
        Blondel, Teboul, Berthet and Djolonga, "Fast Differentiable Sorting and Ranking", ICML 2020, arXiv:2002.08871,
        Prop. 3 and 4. Struski et al., "LapSum", ICML 2025, arXiv:2503.06242 ("laplace").

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import soft_rank
        >>> x = np.array([2.9, 0.1, 1.2])
        >>> print(soft_rank(x))
        [3. 1. 2.]
        >>> print(soft_rank(x, strength=2.0).round(2))
        [2.75 1.35 1.9 ]
        >>> print(soft_rank(x, descending=True, mask=np.array([True, False, True])))
        [ 1. nan  2.]
    """
    lists = _lists.enter("soft_rank", x, dim=dim, mask=mask, offsets=offsets, device=True)
    return _permutahedron.project("rank", lists, strength, (descending, regularization, p, straight_through, fill))


def soft_sort(
    x: Array,
    *,
    dim: int = -1,
    descending: bool = False,
    strength: Any = 1.0,
    regularization: str = "l2",
    p: float = 4 / 3,
    mask: Array | None = None,
    offsets: Array | None = None,
    fill: float = NAN,
    straight_through: bool = False,
) -> Any:
    """Sort each list, smoothly.

    With eps = `strength`, rho = (1, ..., m) for the m items of a list that count, and P(x) the permutahedron of the
    scores (the convex hull of all their permutations), the sorted scores are

        "l2"     the point of P(x) nearest to rho / eps,
        "kl"     the point of P(x) nearest to rho / eps in the KL divergence of exponentials (for the rising order, of
                 those of -x and -rho, negated),
        "pnorm"  the maximiser of <rho / eps, y> - |y|_p^p / p over P(x).

    They rise along the list and have the sum of x ("kl": of exponentials); a larger strength makes them smoother and
    draws them to the mean.

    Args:
        x: scores, shape (*batch, n), float16, bfloat16 (torch), float32 or float64; numpy array, torch
            tensor (CPU or CUDA) or cupy array.
        dim: the dimension that holds the lists.
        descending: begin with the largest score instead of the smallest.
        strength: eps >= 0, in units of 1 / x: a number, or an array of the shape of `x` without `dim` (with `offsets`,
            followed by the number of lists) that gets a gradient. 0 gives the exactly sorted scores. "auto" takes the
            standard deviation of 1, ..., m over that of the finite scores of each list (for "pnorm" of their signed
            powers p - 1): where evenly spaced scores just begin to pool. No gradient flows through it.
        regularization: "l2", "kl", "pnorm", or "laplace": the scores at which LapSum's sum of Laplace distribution
            functions is 1/2, 3/2, ..., with `strength` as their scale.
        p: exponent of "pnorm", 1.1 <= p <= 2.
        mask: which items count, bool of the shape of `x`. The others are left out, and places at the list's end remain.
        offsets: ragged lists: int64 or int32, shape (lists + 1,), rising from 0 to n. List i is the items
            `offsets[i]:offsets[i + 1]` of every row.
        fill: value at the places that remain.
        straight_through: return the exactly sorted scores (of strength 0) with the gradient of the soft ones.

    Returns:
        The sorted scores, of the shape, dtype and kind of `x`. A list with a NaN among the items that count is NaN at
        the places of all of these; other lists do not notice. Infinite scores keep their places at the ends, and the
        finite ones are sorted among themselves.

    Raises:
        TypeError: not an array, a wrong dtype, or arrays of two kinds.
        ValueError: `dim`, `p` or an option out of range, `strength` negative, NaN or infinite, or `mask` or `offsets`
            of a wrong shape or `offsets` that do not rise from 0 to n. (On a device faults of the values are told
            only on request, see `argrad.set_device_validation`: a list with such a strength is NaN, and what no list
            bounds is.)

    Gradient:
        Exact to `x` and `strength`, first and second, wherever no two blocks are about to merge. An item alone in its
        block, as all are once `strength` is below the inverse of the largest gap between scores ("l2") or is 0, gets
        the gradient of its place: that of an exact sort. The items of a longer block share theirs. Masked items and
        infinite scores have gradient zero; a list with a NaN has gradient NaN. Forward mode is not supported.

    Determinism:
        No randomness. The same bits for every number of threads, batch and instruction set.

    Cost:
        O(n log n) time, O(n) memory, backward O(n). Kept for backward: an int32 for each item ("kl" and "pnorm": and a
        number of the precision of `x`). "pnorm" solves an equation for each block and costs many times as much.

    References:
        Blondel, Teboul, Berthet and Djolonga, "Fast Differentiable Sorting and Ranking", ICML 2020, arXiv:2002.08871,
        Prop. 3 and 4. Struski et al., "LapSum", ICML 2025, arXiv:2503.06242 ("laplace").

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import soft_sort
        >>> x = np.array([2.9, 0.1, 1.2])
        >>> print(soft_sort(x, strength=0.1))
        [0.1 1.2 2.9]
        >>> print(soft_sort(x, strength=1.0, descending=True).round(2))
        [2.4 1.4 0.4]
    """
    lists = _lists.enter("soft_sort", x, dim=dim, mask=mask, offsets=offsets, device=True)
    return _permutahedron.project("sort", lists, strength, (descending, regularization, p, straight_through, fill))


def permutahedron_blocks(
    x: Array,
    *,
    operation: str = "rank",
    dim: int = -1,
    descending: bool = False,
    strength: Any = 1.0,
    regularization: str = "l2",
    p: float = 4 / 3,
    mask: Array | None = None,
    offsets: Array | None = None,
) -> Any:
    """Count the blocks of a soft rank or soft sort: what to look at when its gradient is zero.

    As many blocks as items: `strength` is too small, nothing is softened, and soft ranks have no gradient. One block:
    it is large, and ranks are an affine function of the scores ("l2").

    Args:
        x: as in `soft_rank`.
        operation: "rank" or "sort".
        dim: as in `soft_rank`.
        descending: as in `soft_rank`.
        strength: as in `soft_rank`.
        regularization: "l2", "kl" or "pnorm" ("laplace" has no blocks).
        p: as in `soft_rank`.
        mask: as in `soft_rank`.
        offsets: as in `soft_rank`.

    Returns:
        The number of blocks of finite scores of each list, int64 of the kind of `x`: its shape without `dim`, with
        `offsets` followed by the number of lists. 0 for a list with a NaN.

    Raises:
        TypeError: as `soft_rank`.
        ValueError: as `soft_rank`.

    Gradient:
        None.

    Determinism:
        No randomness. The same numbers for every number of threads, batch and instruction set.

    Cost:
        As `soft_rank`, forward.

    References:
        Best, Chakravarti and Ubhaya, "Minimizing separable convex functions subject to simple chain constraints", SIAM
        J. Optim. 10, 2000 (pool adjacent violators).

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import permutahedron_blocks
        >>> x = np.array([2.9, 0.1, 1.2])
        >>> [int(permutahedron_blocks(x, strength=strength)) for strength in (1.0, 1.2, 1.5)]
        [3, 2, 1]
    """
    name = "permutahedron_blocks"
    operation = _check.choice(name, "operation", operation, ("rank", "sort"))
    _check.choice(name, "regularization", regularization, ("l2", "kl", "pnorm"))
    lists = _lists.enter(name, x, dim=dim, mask=mask, offsets=offsets, device=True)
    counts = _permutahedron.count_blocks(operation, lists, strength, (descending, regularization, p, False, NAN))
    return _array.like(counts.reshape(lists.batch if offsets is not None else lists.batch[:-1]), x)

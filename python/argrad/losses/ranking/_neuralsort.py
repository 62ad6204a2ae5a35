"""Losses of NeuralSort's soft permutation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from argrad import sorting
from argrad._check import choice, integer, real
from argrad.losses import _check
from argrad.losses._reduce import item_mean, ratio, reduce

if TYPE_CHECKING:
    from torch import Tensor


def neural_ndcg_loss(
    scores: Tensor,
    relevance: Tensor,
    *,
    k: int | None = None,
    temperature: float | Tensor = 1.0,
    transposed: bool = False,
    max_iterations: int = 30,
    tolerance: float = 1e-6,
    gain: str = "exponential",
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Return minus the NDCG of a soft permutation: NeuralSort, made doubly stochastic.

    With P NeuralSort's n x n matrix of the scores (row r: where the item of rank r is), S(P) its Sinkhorn scaling
    (columns, then rows, until both sums are 1 up to the tolerance), G_i = 2^y_i - 1 the gain of relevance y_i, and
    d_r = 1 / log2(1 + r) for r <= k, 0 after,

        value = -1/idcg  SUM_r d_r (S(P) G)_r,        transposed:  -1/idcg  SUM_i G_i (S(P)^T d)_i,

    where idcg = SUM_r d_r (G sorted down)_r. Both are the one number d^T S(P) G, reached by a product from the right
    or from the left, and equal up to rounding.

    Args:
        scores: shape (*batch, n), floating.
        relevance: y >= 0, shape (*batch, n), integers, booleans or floating.
        k: rank at which gains stop to count; None: all count.
        temperature: of NeuralSort, > 0, or a tensor of one per list, shape (*batch,), with gradient.
        transposed: which of the two products.
        max_iterations: of the scaling, each of columns and rows; 0: the rows of P as they are (PiRank's form).
        tolerance: a list's scaling ends when no sum of its rows or columns is further from 1, >= 0.
        gain: "exponential" (2^y - 1) or "linear" (y).
        mask: booleans, shape (*batch, n): which items count; None: all.
        sample_weight: factor on each list's value, shape (*batch,).
        empty: "skip", or the value of a list without relevant items (of idcg 0): -1 counts it as perfect, as some
            papers' metrics do.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`, in [-1, 0] up to the tolerance: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: not tensors, or scores not floating.
        ValueError: shapes that do not fit, or an option out of range. A score or a relevance that is NaN makes its list
            NaN.

    Gradient:
        To `scores`, `temperature` and `sample_weight`, through every iteration that was made. It vanishes as the
        scores lie far apart in units of the temperature: P is a permutation then.

    Determinism:
        A list's value depends neither on its batch nor on the number of threads: each list stops by its own sums.

    Cost:
        O(n m t) for t iterations on a band of m columns, m about 12 sqrt(temperature / gap) for scores `gap` apart, and
        n at most; memory O(n t).

    References:
        Pobrotyn and Bialobrzeski, "NeuralNDCG: Direct Optimisation of a Ranking Metric via Differentiable Relaxation
        of Sorting", 2021, arXiv:2102.07831. The paper stops after 30 iterations or at a tolerance: the defaults.
        allRank's code makes 50 (`max_iterations=50`) and stops when the whole batch is within 1e-6, so that a list's
        loss may depend on its companions; it skips lists without relevant items, as `empty="skip"`, and adds 1e-10 to
        idcg, which we do not.

    Examples:
        >>> import torch
        >>> from argrad.losses.ranking import neural_ndcg_loss
        >>> scores, relevance = torch.tensor([[9.0, 0.0, 5.0]]), torch.tensor([[2, 0, 1]])
        >>> print(f"{neural_ndcg_loss(scores, relevance, temperature=0.1):.4f}")
        -1.0000
        >>> print(f"{neural_ndcg_loss(-scores, relevance, temperature=0.1):.4f}")
        -0.5869
    """
    name = "neural_ndcg_loss"
    lists = _check.lists(name, scores, mask)
    relevance = _check.constant(name, "relevance", relevance, tuple(scores.shape))
    temperature = _check.parameter(name, "temperature", temperature)
    iterations = integer(name, "max_iterations", max_iterations, low=0)
    tolerance = real(name, "tolerance", tolerance, low=0)
    k = None if k is None else integer(name, "k", k, low=1)
    choice(name, "gain", gain, ("exponential", "linear"))
    _check.reducing(name, reduction, sample_weight, tuple(scores.shape[:-1]), empty)
    x = lists.scores
    gains = relevance.to(x.dtype)
    gains = gains.exp2() - 1 if gain == "exponential" else gains
    gains = gains if mask is None else gains.where(mask, 0.0)
    discount = discounts(x, k)
    ideal = (gains.sort(-1, descending=True).values * discount).sum(-1)
    p = sorting.soft_permutation(x, method="neuralsort", descending=True, temperature=temperature, mask=mask)
    p = p.sinkhorn(iterations=iterations, tolerance=tolerance) if iterations else p
    terms = gains * (p.mT @ discount.expand(x.shape)) if transposed else discount * (p @ gains)
    values = -ratio(terms.sum(-1), ideal)
    return reduce(values, reduction, weights=sample_weight, counted=ideal != 0, empty=empty, dtype=lists.dtype)


def discounts(x: Tensor, k: int | None) -> Tensor:
    """Return 1 / log2(1 + r) for the ranks r = 1..n, 0 beyond k, in the dtype of x."""
    import torch

    ranks = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    discount = 1 / (1 + ranks).log2()
    return discount if k is None else discount.where(ranks <= k, 0.0)


def lcron_loss(
    scores: Tensor,
    target: Tensor,
    state: Tensor,
    *,
    quotas: Sequence[int],
    k: int = 10,
    temperature: float | Tensor = 50.0,
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Train the stages of a cascade as one: the cross-entropy of surviving all of them, and of surviving each.

    With P_m NeuralSort's matrix of the scores of stage m, q_m its quota (how many items it passes on), c_mi the sum of
    column i of P_m as a constant, and y_i = 1 for the k items of largest target, 0 for the others,

        a_mi = SUM_{r <= q_m} P_m[r, i] / c_mi        the soft probability that stage m keeps item i
        b_mi = SUM_{r > q_m} P_m[r, i] / c_mi         = 1 - a_mi in value, not in gradient

        joint    = -mean_i [ y_i log PROD_m a_mi + (1 - y_i) log(1 - PROD_m (1 - b_mi)) ]
        single_m = -mean_i [ y_i log a_mi + (1 - y_i) log b_mi ],   0 for lists of at most q_m items
        value    = joint + SUM_m ( single_m / (2 w_m^2) + log |w_m| )

    with 1e-6 added to each c and inside each logarithm.

    Args:
        scores: of each stage for each item, shape (*batch, stages, n), floating.
        target: what the cascade should find, shape (*batch, n): booleans y, or numbers, of which the k largest are
            found (the earlier of equal ones first).
        state: w, the stages' uncertainties, shape (stages,), floating, not 0: usually a `torch.nn.Parameter` that
            starts at 1. The loss changes nothing in it.
        quotas: q_m for each stage, >= 1.
        k: how many items are to be found in each list, >= 1; of no effect with a boolean target.
        temperature: of NeuralSort, > 0, or a tensor of one per stage of a list, shape (*batch, stages).
        mask: booleans, shape (*batch, n): which items count; None: all.
        sample_weight: factor on each list's value, shape (*batch,).
        empty: "skip", or the value of a list without an item to find.
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `scores`: a scalar, or for "none" shape (*batch,).

    Raises:
        TypeError: not tensors, or scores or state not floating.
        ValueError: shapes that do not fit, or an option out of range. A score that is NaN makes its list NaN.

    Gradient:
        To `scores`, `state`, `temperature` and `sample_weight`. That of a and b differs by more than the sign, because
        columns of P need not sum to 1 and c is a constant.

    Determinism:
        A list's value depends neither on its batch nor on the number of threads.

    Cost:
        One product of each stage's P^T with two vectors, O(n m) on NeuralSort's band of m columns; memory O(n).

    References:
        Wang et al., "Learning Cascade Ranking as One Network", ICML 2025, arXiv:2503.09492; constants and terms as in
        the authors' code, kwai/LCRON, which has quotas equal to k = 10 and temperature 50. There padding takes part in
        NeuralSort, and means are over the padded length; here padding is not seen.

    Examples:
        >>> import torch
        >>> from argrad.losses.ranking import lcron_loss
        >>> scores = torch.tensor([[[3.0, 1.0, 2.0, 0.0], [2.0, 3.0, 1.0, 0.0]]])
        >>> target, uncertainty = torch.tensor([[4, 1, 3, 2]]), torch.ones(2, requires_grad=True)
        >>> loss = lcron_loss(scores, target, uncertainty, quotas=(3, 2), k=2, temperature=1.0)
        >>> loss.backward()
        >>> uncertainty.grad.shape
        torch.Size([2])
    """
    name = "lcron_loss"
    stages, counts = _stages(name, scores, state, quotas, mask)
    x, n = stages.scores, scores.shape[-1]
    k = integer(name, "k", k, low=1)
    goal = _check.constant(name, "target", target, (*scores.shape[:-2], n))
    temperature = _check.parameter(name, "temperature", temperature)
    _check.reducing(name, reduction, sample_weight, tuple(scores.shape[:-2]), empty)
    found = _largest(goal, k, mask)
    kept, dropped = _survival(x, quotas, temperature, stages.mask)
    wanted, counted = found.unsqueeze(-2), found.any(-1)
    joint = _cross_entropy(found, kept.prod(-2), 1 - (1 - dropped).prod(-2), mask)
    single = _cross_entropy(wanted, kept, dropped, stages.mask)
    single = single.where(counts > x.new_tensor(quotas), 0.0)
    w = _check.wide(state).to(x.dtype)
    values = joint + (single / (2 * w.square()) + w.abs().log()).sum(-1)
    return reduce(values, reduction, weights=sample_weight, counted=counted, empty=empty, dtype=stages.dtype)


def _stages(
    name: str, scores: Tensor, state: Tensor, quotas: Sequence[int], mask: Tensor | None
) -> tuple[_check.Lists, Tensor | int]:
    """Check what `lcron_loss` takes; return the lists of all stages and how many items each has."""
    lists = _check.lists(name, scores, None)
    if scores.ndim < 2:
        raise ValueError(f"{name}: scores must be of shape (*batch, stages, n), got {tuple(scores.shape)}")
    if len(quotas) != scores.shape[-2]:
        raise ValueError(f"{name}: quotas must be one for each of {scores.shape[-2]} stages, got {len(quotas)}")
    for quota in quotas:
        integer(name, "quotas", quota, low=1)
    _check.tensor(name, "state", state)
    if not state.is_floating_point():
        raise TypeError(f"{name}: state must be of a floating dtype, got {state.dtype}")
    _check.shape(name, "state", state, (len(quotas),))
    if mask is None:
        return lists, scores.shape[-1]
    mask = _check.lists(name, scores[..., 0, :], mask).mask
    assert mask is not None
    return lists._replace(mask=mask.unsqueeze(-2).expand(scores.shape)), mask.sum(-1, keepdim=True)


def _largest(target: Tensor, k: int, mask: Tensor | None) -> Tensor:
    """Return booleans: the boolean target itself, or its k largest values, the earlier of equal ones first."""
    import torch

    if target.dtype != torch.bool:
        target = target if target.is_floating_point() else target.to(torch.int64)
        if mask is not None:
            lowest = -torch.inf if target.is_floating_point() else torch.iinfo(target.dtype).min
            target = target.where(mask, lowest)
        first = target.argsort(dim=-1, descending=True, stable=True)[..., :k]
        target = torch.zeros_like(target, dtype=torch.bool).scatter(-1, first, True)
    return target if mask is None else target & mask


def _survival(
    x: Tensor, quotas: Sequence[int], temperature: float | Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return a and b of `lcron_loss`."""
    import torch

    head = torch.arange(x.shape[-1], device=x.device) < torch.tensor(quotas, device=x.device).unsqueeze(-1)
    halves = torch.stack([head, ~head], -1).to(x.dtype).expand(*x.shape, 2)
    p = sorting.soft_permutation(x, method="neuralsort", descending=True, temperature=temperature, mask=mask)
    masses = p.mT @ halves
    kept, dropped = (masses / (masses.sum(-1, keepdim=True).detach() + 1e-6)).unbind(-1)
    return kept, dropped


def _cross_entropy(wanted: Tensor, kept: Tensor, dropped: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean over items of -log kept where wanted, -log dropped elsewhere."""
    return item_mean(-(kept.where(wanted, dropped) + 1e-6).log(), mask)

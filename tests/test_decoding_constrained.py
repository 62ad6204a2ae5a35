"""Softmax and sparsemax under caps against bisection in 40 digits and generic convex solvers; limits and errors."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import checks
import oracles_decoding_entmax as oracles
from argrad.decoding import constrained_softmax, constrained_sparsemax, entmax, sparsemax


def problems(rng, total=1.0):
    """Rows and bounds: some, all and none of which are reached, of large magnitude, with masks and without bounds."""
    for n in (2, 5, 12):
        upper = rng.random(n) * 3 * total / n
        upper += max(0, total * 1.01 - upper.sum()) / n
        for scale in (0.1, 1, 10):
            yield scale * rng.normal(size=n), upper
        yield rng.normal(size=n), np.full(n, 2 * total)
        yield 1e4 + rng.normal(size=n), upper
        yield np.zeros(n), upper
        yield rng.normal(size=n), np.where(np.arange(n) == 0, np.inf, upper)
        yield rng.normal(size=n), np.where(np.arange(n) == 0, 0, upper + 2 * total / n)
    masked = np.where(np.arange(12) % 3 == 0, -np.inf, rng.normal(size=12))
    yield masked, np.full(12, total / 6)


def test_softmax_is_that_of_bisection(rng):
    for x, upper in problems(rng):
        p = constrained_softmax(x, upper)
        assert_allclose(p, oracles.array(oracles.constrained(x, upper)), rtol=0, atol=1e-14, err_msg=f"{x} {upper}")
        single = [v.astype(np.float32) for v in (x, upper)]
        exact = oracles.array(oracles.constrained(*single))
        assert_allclose(constrained_softmax(*single), exact, rtol=2e-7, atol=1e-12)


@pytest.mark.parametrize("total", [1.0, 0.3, 2.5, 40.0])
def test_sparsemax_is_that_of_bisection(total, rng):
    for x, upper in problems(rng, total):
        p = constrained_sparsemax(x, upper, total=total)
        exact = oracles.array(oracles.constrained(x, upper, total))
        assert_allclose(
            p, exact, rtol=0, atol=1e-14 * (1 + np.abs(x[x > -np.inf]).max() + total), err_msg=f"{x} {upper}"
        )
        assert_allclose(p.sum(), total, rtol=1e-14)
        single = [v.astype(np.float32) for v in (x, upper)]
        exact = oracles.array(oracles.constrained(*single, total))
        assert_allclose(constrained_sparsemax(*single, total=total), exact, rtol=2e-7, atol=1e-6 * total)


@pytest.mark.parametrize("total", [None, 1.0, 2.0])
def test_a_generic_solver_finds_nothing_better(total, rng):
    goal = total or 1.0
    for _ in range(5):
        x, upper = rng.normal(size=6), goal * (0.2 + 0.3 * rng.random(6))
        p = constrained_softmax(x, upper) if total is None else constrained_sparsemax(x, upper, total=total)

        def cost(q, x=x):
            return q @ np.log(np.maximum(q, 1e-300)) - q @ x if total is None else ((q - x) ** 2).sum() / 2

        found = minimize(
            cost,
            upper * goal / upper.sum(),
            method="SLSQP",
            bounds=[(0, u) for u in upper],
            constraints={"type": "eq", "fun": lambda q: q.sum() - goal},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert_allclose(p, found.x, rtol=0, atol=2e-5)
        assert cost(p) <= cost(found.x) + 1e-9
        assert (p >= 0).all()
        assert (p <= upper).all()


def test_without_bounds_they_are_softmax_and_sparsemax(rng):
    x = rng.normal(size=(4, 30))
    for upper in (1.0, np.inf, np.ones(30), np.full((4, 1), 7.0)):
        assert_allclose(constrained_softmax(x, upper), entmax(x, 1.0), rtol=1e-13)
        assert_allclose(constrained_sparsemax(x, upper), sparsemax(x), rtol=0, atol=1e-15)


def test_budgets_choose_k_in_the_limit(rng):
    x = rng.permutation(20.0 * np.arange(30))
    p = constrained_sparsemax(x, 1.0, total=7)
    assert_allclose(p, (x >= 20 * 23).astype(float), rtol=0, atol=1e-12)
    soft = constrained_sparsemax(0.01 * x, 1.0, total=7)
    assert_allclose(soft.sum(), 7, rtol=1e-14)
    assert ((soft > 0) & (soft < 1)).any()


def test_mass_that_caps_leave_reaches_items_that_are_far_below():
    p = constrained_softmax(np.array([0.0, -800.0, -801.0]), np.array([0.5, 1.0, 1.0]))
    share = 1 / (1 + np.exp(-1))
    assert_allclose(p, [0.5, 0.5 * share, 0.5 * (1 - share)], rtol=1e-12)
    p = constrained_sparsemax(np.array([0.0, -800.0, -801.0]), np.array([0.5, 1.0, 1.0]))
    assert_allclose(p, [0.5, 0.5, 0.0], rtol=1e-12)


def test_sums_are_exact_for_scores_of_any_magnitude(rng):
    """The threshold is then so large that its own digits are coarser than the probabilities."""
    for _ in range(300):
        n = int(rng.integers(2, 40))
        x = rng.normal(size=n) * 10 ** rng.uniform(-8, 10, size=n)
        upper = 0.01 + rng.random(n)
        total = upper.sum() * rng.uniform(0.01, 0.99)
        assert_allclose(constrained_sparsemax(x, upper, total=total).sum(), total, rtol=1e-13)
        assert_allclose(constrained_softmax(x, upper / total).sum(), 1, rtol=1e-13)


@pytest.mark.parametrize("call", [constrained_softmax, constrained_sparsemax])
def test_bounds_that_just_suffice_are_all_reached(call, dtype, rng):
    for n in (1, 3, 7, 1000):
        upper = rng.random(n).astype(dtype)
        upper /= upper.sum()
        found = call(rng.normal(size=n).astype(dtype), upper)
        assert_allclose(found, upper, rtol=0, atol=2e-7 if dtype == np.float32 else 1e-12)  # the bounds sum to about 1
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    upper = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    to_x, to_upper = torch.autograd.grad(call(x, upper), (x, upper), g)
    assert torch.equal(to_x, torch.zeros_like(x))
    assert torch.equal(to_upper, g)


@pytest.mark.parametrize("call", [constrained_softmax, constrained_sparsemax])
def test_gradients_reach_bounds_that_are_broadcast(call):
    x = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    upper = torch.tensor([[0.3], [0.4], [0.25], [0.3], [0.35]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, upper: call(x, upper, dim=1), (x, upper))
    assert torch.autograd.gradcheck(lambda x, upper: call(x, upper[0]), (x, upper))


@pytest.mark.parametrize("call", [constrained_softmax, constrained_sparsemax])
@pytest.mark.parametrize("dim", [0, 1, -2, -1])
def test_any_dimension(call, dim, rng):
    x, upper = rng.normal(size=(5, 6)), 0.2 + 0.2 * rng.random((5, 6))
    expected = np.moveaxis(call(np.moveaxis(x, dim, -1), np.moveaxis(upper, dim, -1)), -1, dim)
    checks.assert_same(np.ascontiguousarray(call(x, upper, dim=dim)), np.ascontiguousarray(expected))


@pytest.mark.parametrize("call", [constrained_softmax, constrained_sparsemax])
def test_house_rules(call, rng):
    x = rng.normal(size=(6, 333)).astype(np.float32)

    def bound(x):
        return call(x, 0.0078125)

    checks.keeps_dtype(bound, x)
    checks.keeps_kind(bound, x)
    checks.accepts_any_layout(bound, x)
    checks.leaves_input_alone(bound, x)
    checks.accepts_empty(bound, x, [(0, 333)])
    checks.treats_rows_alone(bound, x)
    checks.same_for_all_threads_and_levels(lambda: bound(x))
    t, g = torch.from_numpy(x).requires_grad_(), torch.from_numpy(x)
    checks.same_for_all_threads_and_levels(lambda: torch.autograd.grad(bound(t), t, g))


@pytest.mark.parametrize("call", [constrained_softmax, constrained_sparsemax])
def test_refusals(call):
    name, x, upper = call.__name__, np.zeros((3, 4)), np.full((3, 4), 0.5)
    for value in (np.nan, np.inf):
        bad = x.copy()
        bad[2, 1] = value
        checks.raises_sentence(ValueError, lambda b=bad: call(b, upper), name, "x", contains="at row 2, column 1")
    for value in (np.nan, -0.1):
        bad = upper.copy()
        bad[1, 3] = value
        checks.raises_sentence(ValueError, lambda b=bad: call(x, b), name, "upper", contains="at row 1, column 3")
    checks.raises_sentence(ValueError, lambda: call(np.full((1, 4), -np.inf), 1.0), name, contains="only -inf in row 0")
    short = upper.copy()
    short[2] = 0.2
    checks.raises_sentence(ValueError, lambda: call(x, short), name, contains=["got 0.8", "in row 2"])
    masked = np.where(np.arange(4) < 3, -np.inf, np.zeros((3, 4)))
    checks.raises_sentence(ValueError, lambda: call(masked, upper), name, contains=["got 0.5", "in row 0"])
    checks.raises_sentence(ValueError, lambda: call(x, -1.0), name, "upper")
    checks.raises_sentence(ValueError, lambda: call(x, np.nan), name, "upper")
    checks.raises_sentence(ValueError, lambda: call(x, np.ones(3)), name, "upper")
    checks.raises_sentence(TypeError, lambda: call(x, np.ones(4, np.float32)), name, "upper")
    checks.raises_sentence(TypeError, lambda: call(x, torch.ones(4)), name, "upper")
    checks.raises_sentence(TypeError, lambda: call(x, np.ones(4, int)), name, "upper")
    checks.raises_sentence(ValueError, lambda: call(x, upper, dim=3), name, "dim")
    for total in (0, -1.0, np.inf, np.nan):
        checks.raises_sentence(
            ValueError, lambda t=total: constrained_sparsemax(x, 1.0, total=t), "constrained_sparsemax", "total"
        )

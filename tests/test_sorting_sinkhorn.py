"""Sinkhorn sort and sorted SOFT top-k: values, marginals, optimality, special values and bad input."""

import itertools
import warnings

import numpy as np
import pytest
import torch

import checks
import oracles_sorting_sinkhorn as oracles
from argrad.sorting import soft_permutation

TEMPERATURES = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e8)


def square(x, temperature=0.1, tolerance=1e-13, **options):
    return soft_permutation(x, method="sinkhorn", temperature=temperature, tolerance=tolerance, **options)


def top(x, k, temperature=1.0, tolerance=1e-13, descending=True, **options):
    return soft_permutation(
        x, method="ot", k=k, temperature=temperature, tolerance=tolerance, descending=descending, **options
    )


def draw(name, n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.standard_normal(n),
        "uniform": lambda: rng.random(n),
        "cauchy": lambda: rng.standard_cauchy(n),
        "clusters": lambda: rng.integers(0, 4, n) + 1e-3 * rng.random(n),
        "ties": lambda: rng.integers(0, 4, n).astype(float),
        "exponential": lambda: np.exp(4 * rng.standard_normal(n)),
    }[name]()


SHAPES = ("normal", "uniform", "cauchy", "clusters", "ties", "exponential")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("n", "temperature"), [(1, 1.0), (2, 0.3), (5, 0.05), (9, 0.2), (9, 5.0)])
def test_products_are_those_of_the_dense_loops(n, temperature, descending):
    x = draw("normal", n)
    v, u = np.random.default_rng(1).standard_normal((2, n, 2))
    expected = oracles.square(x, temperature, descending)
    P = square(x, temperature, descending=descending)
    np.testing.assert_allclose(P.to_dense(), expected, atol=1e-12)
    np.testing.assert_allclose(P @ v, oracles.product(expected, v), atol=1e-12)
    np.testing.assert_allclose(P.mT @ u, oracles.product(expected.T, u), atol=1e-12)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("n", "k", "temperature"), [(1, 1, 1.0), (2, 1, 0.5), (7, 3, 1.0), (7, 7, 4.0), (9, 1, 0.3), (9, 8, 9.0)]
)
def test_top_products_are_those_of_the_dense_loops(n, k, temperature, descending):
    x = draw("normal", n)
    rng = np.random.default_rng(1)
    v, u = rng.standard_normal((n, 2)), rng.standard_normal((k, 2))
    expected = oracles.top(x, k, temperature, descending)
    P = top(x, k, temperature, descending=descending)
    np.testing.assert_allclose(P @ v, oracles.product(expected, v), atol=1e-12)
    np.testing.assert_allclose(P.mT @ u, oracles.product(expected.T, u), atol=1e-12)


def test_the_plans_are_those_of_pot():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its docstrings hold invalid escapes
        import ot

    n, k = 25, 4
    x = draw("normal", n)
    weights = np.full(n, 1 / n)
    # POT warns where its marginals stop short of the threshold; ours are compared to a few digits more than that.
    options = {"method": "sinkhorn_log", "numItermax": 5000, "stopThr": 1e-13, "warn": False}
    cost = (x[:, None] - np.linspace(0, 1, n)) ** 2
    plan = ot.sinkhorn(weights, weights, cost, 0.3, **options)
    np.testing.assert_allclose(square(x, 0.3).to_dense(), n * plan.T, atol=1e-10)
    cost = (x[:, None] - np.arange(k, -1.0, -1.0)) ** 2
    plan = ot.sinkhorn(weights, np.array([1.0] * k + [n - k]) / n, cost, 1.5, **options)
    np.testing.assert_allclose(top(x, k, 1.5) @ np.eye(n), n * plan.T[:k], atol=1e-10)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_spacing_of_scores_gives_the_optimal_plan(shape, temperature):
    n = 90
    x = draw(shape, n, seed=2)
    dense = np.asarray(square(x, temperature, tolerance=1e-10).to_dense())
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(dense.sum(0), 1, atol=2e-10)
    assert oracles.surplus(dense, x, 1 / (n - 1), temperature) < 1e-7
    k = 20
    dense = np.asarray(top(-x, k, temperature, tolerance=1e-10) @ np.eye(n))
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-12)
    assert dense.sum(0).max() <= 1 + 1e-9
    assert oracles.surplus(dense, x, 1.0, temperature) < 1e-7


@pytest.mark.parametrize(("shape", "temperature"), [("normal", 0.02), ("uniform", 0.1), ("clusters", 1.0)])
def test_long_lists_in_panels_give_the_optimal_plan(shape, temperature):
    n = 700
    x = draw(shape, n, seed=3)
    dense = np.asarray(square(x, temperature, tolerance=1e-11).to_dense())
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(dense.sum(0), 1, atol=2e-11)
    rows, columns = np.random.default_rng(4).integers(0, n - 1, (2, 400))
    order = np.argsort(x)
    with np.errstate(divide="ignore"):
        found = np.log(dense[:, order])
    for r, i in zip(rows, columns, strict=True):
        if found[r : r + 2, i : i + 2].min() > -20:
            four = found[r, i] + found[r + 1, i + 1] - found[r, i + 1] - found[r + 1, i]
            assert abs(four - 2 * (x[order[i + 1]] - x[order[i]]) / (n - 1) / temperature) < 1e-7


def test_long_smooth_lists_need_no_matrix():
    n = 20_000
    x = draw("normal", n, seed=5)
    P = square(x, 1.0, tolerance=1e-8)
    ones = np.ones(n)
    np.testing.assert_allclose(P @ ones, 1, atol=1e-11)
    np.testing.assert_allclose(P.mT @ ones, 1, atol=2e-8)


def test_cold_plans_sort_exactly_and_hot_ones_average():
    x = draw("normal", 50)
    assert np.array_equal(square(x, 1e-9) @ x, np.sort(x))
    assert np.array_equal(square(x, 1e-9, descending=True) @ x, np.sort(x)[::-1])
    assert np.array_equal(top(x, 7, 1e-9) @ x, np.sort(x)[::-1][:7])
    assert np.array_equal(top(x, 7, 1e-9, descending=False) @ x, np.sort(x)[:7])
    np.testing.assert_allclose(square(x, 1e8).to_dense(), 1 / 50, rtol=1e-6)
    assert np.array_equal(top(x, 50, 3.0) @ x, square(x, 3.0 / 49, descending=True) @ x)


@pytest.mark.parametrize("make", [square, lambda x, *args, **options: top(x, 2, *args, **options)])
def test_extreme_scores(make):
    for x in (np.array([1e30, -1e30, 0.0, 1e-30]), np.array([1e300, -1e300, 1e308, -1e308])):
        assert np.isfinite(np.asarray(make(x) @ np.arange(4.0))).all()
    infinite = make(np.array([np.inf, 0.2, -np.inf, 0.1, np.inf, -np.inf]), 0.5, descending=True).to_dense()
    np.testing.assert_allclose(infinite[0], [0.5, 0, 0, 0, 0.5, 0])
    np.testing.assert_allclose(infinite.sum(1), 1)
    # Items of one score share alike.
    ties = make(np.zeros(5), 0.3).to_dense()
    np.testing.assert_allclose(ties, 0.2)
    x = torch.tensor([np.inf, 0.2, -np.inf, 0.1, np.inf], dtype=torch.float64, requires_grad=True)
    weights = torch.arange(5, dtype=torch.float64)
    (grad,) = torch.autograd.grad(((make(x, 0.5) @ weights) ** 2).sum(), x)
    assert torch.isfinite(grad).all()
    assert (grad[[0, 2, 4]] == 0).all()


def test_nan_spoils_its_list_alone():
    x = np.random.default_rng(0).standard_normal((3, 5))
    checks.keeps_nan_in_its_row(lambda x: square(x) @ np.ones_like(x), x)
    checks.keeps_nan_in_its_row(lambda x: top(x, 2) @ x, x)
    bad = torch.tensor(x)
    bad[1, 2] = np.nan
    bad.requires_grad_()
    (grad,) = torch.autograd.grad((square(bad) @ torch.ones(3, 5, dtype=torch.float64).cumsum(-1)).sum(), bad)
    assert grad[1].isnan().all()
    assert torch.isfinite(grad[[0, 2]]).all()


def test_masked_items_are_not_there():
    rng = np.random.default_rng(6)
    x, v = rng.standard_normal((2, 4, 8))
    mask = rng.random((4, 8)) < 0.6
    mask[2] = False
    mask[3] = np.arange(8) == 5
    x[~mask] = np.nan
    found, back = square(x, mask=mask) @ v, square(x, mask=mask).mT @ v
    for row in range(4):
        keep, count = mask[row], mask[row].sum()
        expected = square(x[row, keep]) @ v[row, keep]
        assert np.array_equal(found[row], np.append(expected, np.zeros(8 - count)))
        assert np.array_equal(back[row, keep], square(x[row, keep]).mT @ v[row, :count])
        assert (back[row, ~keep] == 0).all()
    chosen = top(x[:2], 2, mask=mask[:2]) @ v[:2]
    assert np.array_equal(chosen[1], top(x[1, mask[1]], 2) @ v[1, mask[1]])
    tensor = torch.tensor(x[:2], requires_grad=True)
    P = square(tensor, mask=torch.tensor(mask[:2]))
    (grad,) = torch.autograd.grad((P @ torch.tensor(v[:2])).square().sum(), tensor)
    assert (grad[~torch.tensor(mask[:2])] == 0).all()


def test_ragged_lists_are_rows_of_their_own():
    x, v = np.random.default_rng(7).standard_normal((2, 2, 11))
    offsets = np.array([0, 0, 4, 5, 11])
    temperature = np.array([[1.0, 0.1, 0.2, 0.3], [1.0, 0.4, 0.5, 0.6]])
    found = square(x, temperature, offsets=offsets) @ v
    for row in range(2):
        for part, (start, end) in enumerate(itertools.pairwise(offsets)):
            alone = square(x[row, start:end], temperature[row, part]) @ v[row, start:end]
            assert np.array_equal(found[row, start:end], alone)


def test_each_list_stops_for_itself():
    easy, hard = np.zeros((1, 40)), draw("normal", 40)[None]
    v = np.arange(40.0)[None]
    both = np.concatenate([easy, hard])
    for tolerance in (0.1, 1e-3, 1e-12):
        found = square(both, 0.01, tolerance) @ np.repeat(v, 2, 0)
        assert np.array_equal(found, np.concatenate([square(x, 0.01, tolerance) @ v for x in (easy, hard)]))


def test_rows_hold_whatever_the_number_of_steps():
    x = draw("cauchy", 60)
    before = np.inf
    for iterations in range(5):
        dense = square(x, 0.01, iterations=iterations).to_dense()
        np.testing.assert_allclose(dense.sum(1), 1, atol=1e-12)
        error = abs(dense.sum(0) - 1).max()
        assert error < before or error < 1e-9
        before = error
    assert abs(square(x, 0.01, tolerance=None).to_dense().sum(0) - 1).max() < 1e-10
    single = x.astype(np.float32)
    assert abs(square(single, 0.01, tolerance=None).to_dense().sum(0) - 1).max() < 2e-6


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 0, 4)])
def test_empty(shape):
    x = np.zeros(shape)
    assert (square(x) @ x).shape == shape
    if shape[-1]:
        assert (top(x, 2) @ x).shape == (*shape[:-1], 2)


def test_generic():
    x = np.random.default_rng(8).standard_normal((5, 40))
    for call in (
        lambda x: square(x, 0.05, tolerance=None) @ x,
        lambda x: square(x, 1.0, tolerance=None).mT @ x,
        lambda x: top(x, 3, tolerance=None) @ x,
    ):
        checks.keeps_dtype(call, x)
        checks.keeps_kind(call, x)
        checks.accepts_any_layout(call, x)
        checks.leaves_input_alone(call, x)
        checks.treats_rows_alone(call, x)
        checks.treats_rows_alone(call, x.astype(np.float32))


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 1.0])
def test_same_bits_for_all_threads_and_levels(temperature):
    x = np.random.default_rng(9).standard_normal((40, 30))
    long = np.random.default_rng(9).standard_normal(400)

    def run():
        tensor = torch.tensor(x, requires_grad=True)
        value = square(tensor, temperature) @ tensor
        (grad,) = torch.autograd.grad(value.square().sum(), tensor)
        return value, grad, square(long, temperature) @ long

    checks.same_for_all_threads_and_levels(run, threads=(1, 3))


def test_bad_input_is_one_sentence():
    x, name = np.arange(4.0), "soft_permutation"
    for bad in (0.0, -1.0, np.nan, np.inf):
        checks.raises_sentence(ValueError, lambda bad=bad: square(x, bad), name, "temperature")
        checks.raises_sentence(ValueError, lambda bad=bad: square(x, np.array(bad)) @ x, name, "temperature")
    checks.raises_sentence(ValueError, lambda: square(x, tolerance=-1.0), name, "tolerance")
    checks.raises_sentence(ValueError, lambda: square(x, iterations=-1), name, "iterations")
    checks.raises_sentence(TypeError, lambda: square(x, iterations=2.5), name, "iterations")
    checks.raises_sentence(ValueError, lambda: top(x, 0), name, "k")
    checks.raises_sentence(ValueError, lambda: top(x, 5), name, "k")
    checks.raises_sentence(TypeError, lambda: top(x, 1.5), name, "k")
    checks.raises_sentence(ValueError, lambda: top(x, 3, mask=x > 1) @ x, name, "k")
    checks.raises_sentence(ValueError, lambda: top(x, 1, offsets=np.array([0, 4])), name, "offsets")

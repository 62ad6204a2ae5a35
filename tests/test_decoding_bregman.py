"""bregman_project: values, sizes, limits, errors, invariance."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch

import argrad
import oracles_decoding_bregman as oracle
from argrad import _native
from argrad.decoding import bregman_project

PRIMAL = (0.3, 0.7, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0)
DUAL = (1.2, 1.5, 2.0, 3.0, 4.0)
RULES = [(alpha, False) for alpha in PRIMAL] + [(alpha, True) for alpha in DUAL]


def random_logits(rng, v):
    return rng.normal(size=v) * rng.choice([0.2, 1.0, 3.0, 8.0])


def kept(logits, **options):
    """Values without padding."""
    indices, values, size = bregman_project(logits, **options)
    assert (indices[size:] == -1).all()
    assert (values[size:] == 0).all()
    return indices[:size], values[:size]


@pytest.mark.parametrize(("alpha", "dual"), RULES)
def test_no_subset_of_tokens_is_better(alpha, dual, rng):
    for _ in range(4):
        logits, penalty = random_logits(rng, 5), float(10 ** rng.uniform(-3, -0.5))
        p = oracle.softmax(logits)
        best, subset = oracle.best_subset(p, alpha, dual, penalty)
        indices, values = kept(logits, alpha=alpha, dual=dual, penalty=penalty)
        q = np.zeros(5)
        q[indices] = values
        assert oracle.objective(q, p, alpha, dual, penalty) <= best + 1e-13
        assert set(subset) == set(indices)


@pytest.mark.parametrize(("alpha", "dual"), RULES)
def test_size_is_the_best_of_all(alpha, dual, rng):
    for _ in range(6):
        v = int(rng.integers(2, 24))
        logits, penalty = random_logits(rng, v), float(10 ** rng.uniform(-4, -0.3))
        costs = oracle.costs(logits, alpha, dual, penalty)
        size = len(kept(logits, alpha=alpha, dual=dual, penalty=penalty)[0])
        assert costs[size - 1] <= costs.min() + 1e-12
        assert (np.diff(costs, 2) >= -1e-12).all()  # discretely convex
        assert size <= oracle.bound(alpha, dual, penalty)
        limited = int(rng.integers(1, v + 1))
        assert len(kept(logits, alpha=alpha, dual=dual, penalty=penalty, max_k=limited)[0]) == min(size, limited)


@pytest.mark.parametrize(("alpha", "dual"), RULES)
def test_sizes_turn_at_the_gains(alpha, dual, rng):
    """A penalty a millionth below a token's gain keeps it, one a millionth above does not."""
    logits = rng.normal(size=10)
    gains = -np.diff(oracle.costs(logits, alpha, dual, 0.0))
    for k in range(1, 8):
        assert len(kept(logits, alpha=alpha, dual=dual, penalty=gains[k - 1] * (1 - 1e-6))[0]) == k + 1
        assert len(kept(logits, alpha=alpha, dual=dual, penalty=gains[k - 1] * (1 + 1e-6))[0]) == k


@pytest.mark.parametrize(("alpha", "dual"), RULES)
def test_sizes_of_long_rows_agree_with_enumeration(alpha, dual, rng):
    """Beyond the first tokens that are asked for: the costs of all sizes, by the library's values at fixed k."""
    for scale, penalty in ((1.0, 3e-4), (0.1, 3e-3)):
        logits = rng.normal(size=300) * scale
        p = oracle.softmax(logits)
        costs = []
        for k in range(1, 301):
            indices, values = kept(logits, alpha=alpha, dual=dual, k=k)
            a, chosen = alpha, p[indices]
            if a == 1.0:
                cost = -math.log(chosen.sum())
            elif dual:
                cost = (values**a / a - chosen * values ** (a - 1) / (a - 1)).sum()
            else:
                cost = (values**a / a - values * chosen ** (a - 1)).sum() / (a - 1)
            costs.append(cost + penalty * k)
        size = len(kept(logits, alpha=alpha, dual=dual, penalty=penalty)[0])
        assert costs[size - 1] <= min(costs) + 1e-12


@pytest.mark.parametrize(("alpha", "dual"), [(a, False) for a in (0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 10.0)] + [(1.3, True)])
def test_gains_lie_between_their_bounds(alpha, dual, rng):
    """psi(smallest of k+1 at k+1) <= gain <= psi(what token k+1 gets at the multiplier of k)."""
    for _ in range(20):
        logits = random_logits(rng, 30)
        p = np.sort(oracle.softmax(logits))[::-1]
        for k in range(1, 12):
            q, more = (kept(np.log(p), alpha=alpha, dual=dual, k=n)[1] for n in (k, k + 1))
            h = [
                oracle.objective(np.append(x, np.zeros(30 - len(x))), p, alpha, dual, 0.0) if dual or alpha > 0 else 0.0
                for x in (q, more)
            ]
            gain = h[0] - h[1]
            if dual:
                m = (q[0] - p[0]) * q[0] ** (alpha - 2)
                next_value = oracle._dual([p[k]], m, alpha, np, 80)[0]
                psi = [
                    x**alpha * (alpha - 1) / alpha - p[k] * x ** (alpha - 1) * (alpha - 2) / (alpha - 1)
                    for x in (more[-1], next_value)
                ]
            else:
                most = -1 if alpha > 2 else 0  # who gains most shows the multiplier best
                mu = oracle.slope(q[most], alpha) - oracle.slope(p[:k][most], alpha)
                next_value = oracle._primal([p[k]], mu, alpha, np)[0]
                psi = [x**alpha / alpha for x in (more[-1], next_value)]
            assert psi[0] - 1e-12 <= gain <= psi[1] + 1e-12


@pytest.mark.parametrize(("alpha", "dual"), RULES)
def test_values_are_optimal_on_their_support(alpha, dual, rng):
    for _ in range(3):
        logits, k = random_logits(rng, 9), 4
        p = oracle.softmax(logits)
        indices, q = kept(logits, alpha=alpha, dual=dual, k=k)
        rest = [i for i in range(9) if i not in indices]
        order = [*indices, *rest]

        def cost(x, p=p[order]):
            return oracle.objective(np.append(x, np.zeros(len(p) - len(x))), p, alpha, dual, 0.0)

        ours = cost(q)
        for x in rng.dirichlet(np.ones(k), 300):
            assert ours <= cost(x) + 1e-12
        for shift in rng.normal(size=(30, k)) * 1e-4:
            near = q + shift - shift.mean()
            if near.min() > 0:
                assert ours <= cost(near) + 1e-12
        found = scipy.optimize.minimize(
            cost,
            np.full(k, 1 / k),
            method="SLSQP",
            bounds=[(1e-9, 1)] * k,
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert ours <= found.fun + 1e-9
        assert abs(ours - found.fun) < 1e-5
        chosen = p[indices]
        residual = (q - chosen) * q ** (alpha - 2) if dual else [oracle.slope(x, alpha) for x in q]
        if not dual:
            residual = np.array(residual) - [oracle.slope(x, alpha) for x in chosen]
        scale = max(1.0, np.abs(residual).max(), *(abs(oracle.slope(x, alpha)) for x in chosen))
        assert np.ptp(residual) <= 1e-11 * scale


EXACT = [
    (a, False) for a in (-8.0, 0.05, 0.5, 0.5001, 0.9, 1 - 1e-7, 1 + 1e-7, 1.01, 1.2499, 1.25, 1.5, 1.75, 2 - 1e-6)
]
EXACT += [(a, False) for a in (2.0, 2 + 1e-6, 2.5, 3.9999, 4.0, 4.001, 6.0, 30.0, 60.0)]
EXACT += [(a, True) for a in (1.05, 1.3, 1.5, 1.9, 2.0, 2.1, 3.0, 6.0)]


@pytest.mark.parametrize(("alpha", "dual"), EXACT)
def test_values_agree_with_bisection_to_fifty_digits(alpha, dual, rng):
    for k, size in ((3, 6),) if dual else ((2, 3),) if alpha > 50 else ((2, 3), (4, 6), (6, 30)):
        logits = random_logits(rng, size)
        p = oracle.softmax(logits)
        if np.sort(p)[:-k].sum() <= 1e-9:
            continue
        indices, q = kept(logits, alpha=alpha, dual=dual, k=k)
        expected = oracle.renormalize(p[indices], alpha, dual, exact=True)
        assert max(abs(float(x - y)) for x, y in zip(expected, q, strict=True)) <= 1e-13


def test_values_have_the_properties_of_a_distribution(rng):
    alphas = (-60.0, -8.0, -1.0, 0.05, 0.5, 0.99, 1.0, 1.01, 1.25, 1.5, 2.0, 3.0, 4.0, 10.0, 300.0, np.inf, -np.inf)
    for alpha, dual in [(a, False) for a in alphas] + [(a, True) for a in (1.05, 1.5, 2.0, 2.5, 5.0, 20.0)]:
        for _ in range(10):
            logits, k = random_logits(rng, 400), int(rng.integers(1, 300))
            p = oracle.softmax(logits)
            indices, q = kept(logits, alpha=alpha, dual=dual, k=k)
            assert abs(q.sum() - 1) <= 2e-14
            assert (q >= p[indices] * (1 - 1e-12)).all()
            assert (np.diff(q) <= 1e-15).all()
            assert list(indices) == oracle.largest(logits, k)


def test_limits_in_alpha(rng):
    p = np.array([0.5, 0.2, 0.1, 0.05, *[0.01] * 15])
    logits = np.log(p)

    def values(alpha):
        return kept(logits, alpha=alpha, k=4)[1]

    np.testing.assert_allclose(values(20.0), [0.5, 0.2, 0.15, 0.15], atol=1e-4)
    np.testing.assert_allclose(values(-8.0), [0.65, 0.2, 0.1, 0.05], atol=1e-4)
    np.testing.assert_allclose(values(np.inf), [0.5, 0.2, 0.15, 0.15], atol=1e-15)
    np.testing.assert_allclose(values(-np.inf), [0.65, 0.2, 0.1, 0.05], atol=1e-15)
    np.testing.assert_allclose(values(3000.0), values(np.inf), atol=1e-4)
    np.testing.assert_allclose(values(-3000.0), values(-np.inf), atol=1e-12)
    np.testing.assert_allclose(values(2.0), p[:4] + 0.15 / 4, atol=1e-15)
    np.testing.assert_allclose(values(1.0), p[:4] / 0.85, atol=1e-15)
    for edge in (0.5, 1.0, 1.25, 1.5, 2.0, 4.0):  # where the solver changes its unknown, or a closed form begins
        for step in (1e-9, 1e-3):
            np.testing.assert_allclose(values(edge - step), values(edge + step), atol=step)
        np.testing.assert_allclose(values(edge), values(edge + 1e-9), atol=1e-9)


def test_largest_share_the_rest_equally_where_they_are_tied():
    logits = np.log([0.3, 0.1, 0.3, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(kept(logits, alpha=-np.inf, k=3)[1], [0.45, 0.45, 0.1], atol=1e-15)
    np.testing.assert_allclose(kept(logits, alpha=-300.0, k=3)[1], [0.45, 0.45, 0.1], atol=1e-12)


def test_nothing_left_to_hand_out(rng):
    """k = v, a rest that rounding makes negative, and one below 1e-9: values are the probabilities."""
    for alpha in (-np.inf, -3.0, 0.5, 1.0, 1.1, 1.5, 2.0, 3.0, 30.0, np.inf):
        logits = rng.normal(size=50)
        p = np.sort(oracle.softmax(logits))[::-1]
        np.testing.assert_allclose(kept(logits, alpha=alpha, k=50)[1], p, rtol=1e-14)
        np.testing.assert_allclose(kept(logits, alpha=alpha, k=1000)[1], p, rtol=1e-14)
        far = np.append(logits, logits.max() - 30.0)
        np.testing.assert_allclose(kept(far, alpha=alpha, k=50)[1], p, atol=1e-9)
        # In float32 the normaliser is good to 1e-7, so the rest of 1 - 1e-12 comes out as anything near 0.
        narrow = np.append(logits, logits.max() - 28.0).astype(np.float32)
        q = kept(narrow, alpha=alpha, k=50)[1]
        assert (q > 0).all()
        assert abs(float(q.sum(dtype=float)) - 1) < 1e-6
        np.testing.assert_allclose(q, p, atol=3e-7)


def test_penalties_at_their_ends(rng):
    logits = rng.normal(size=(3, 40))
    for alpha in (0.5, 1.0, 1.3, 1.5, 2.0, 3.0):
        indices, values, size = bregman_project(logits, alpha=alpha, penalty=0)
        assert (size == 40).all()
        assert values.shape == (3, 40)
        np.testing.assert_allclose(np.take_along_axis(oracle_rows(logits), indices, -1), values, rtol=1e-13)
        for penalty in (5.0, 1e6, np.inf):
            indices, values, size = bregman_project(logits, alpha=alpha, penalty=penalty)
            assert (size == 1).all()
            assert values.shape == (3, 1)
            assert (values == 1).all()
            assert (indices[:, 0] == logits.argmax(-1)).all()
        assert (bregman_project(logits, alpha=alpha, penalty=1e-12)[2] == 40).all()
    assert bregman_project(logits, penalty=0, max_k=7)[0].shape == (3, 7)


def oracle_rows(logits):
    return np.stack([oracle.softmax(row) for row in logits])


def test_temperatures_at_their_ends(rng):
    logits = rng.normal(size=30)
    logits[[4, 9]] = 7.0
    for options in ({"penalty": 0.01}, {"k": 5}, {"penalty": 0.0}):
        for alpha in (1.0, 1.5, 2.0, 3.0):
            indices, values = kept(logits, alpha=alpha, temperature=0, **options)
            assert list(indices) == [4]
            assert list(values) == [1.0]
            indices, values = kept(logits, alpha=alpha, temperature=1e-3, **options)
            np.testing.assert_allclose(values, [0.5, 0.5], atol=1e-12)
            indices, values = kept(logits, alpha=alpha, temperature=1e4, **options)
            assert np.ptp(values) < 2e-3


def test_masks_and_probabilities_of_zero():
    logits = np.array([-np.inf, 1.0, -np.inf, 0.5, -740.0, -2000.0, -np.inf])
    for alpha in (0.3, 1.0, 1.5, 2.0, 3.0, 8.0, np.inf):
        indices, values = kept(logits, alpha=alpha, k=6)
        assert list(indices) == [1, 3, 4]
        assert abs(values.sum() - 1) < 1e-14
    for dual in (1.05, 1.5, 2.0, 3.0):
        assert len(kept(logits, alpha=dual, dual=True, k=6)[0]) == 3
    single = np.full(9, -np.inf)
    single[5] = -3e38
    for options in ({"k": 4}, {"penalty": 0.1}, {"penalty": 0}):
        indices, values = kept(single, **options)
        assert list(indices) == [5]
        assert list(values) == [1.0]
    tiny = np.array([0.0, -690.0, -691.0, -700.0, -1.0])
    for alpha in (-3.0, 0.3, 0.9, 1.1, 1.5, 2.0, 3.0, 8.0, 50.0):
        indices, values = kept(tiny, alpha=alpha, k=4)
        assert list(indices) == [0, 4, 1, 2]
        assert np.isfinite(values).all()
        assert abs(values.sum() - 1) < 1e-14


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.3, 1.5, 2.0, 3.0])
def test_ties(alpha):
    flat = np.zeros(200)
    for k in (1, 3, 64, 65, 200):
        indices, values = kept(flat, alpha=alpha, k=k)
        assert list(indices) == list(range(k))
        np.testing.assert_allclose(values, 1 / k, rtol=1e-13)
    indices, values = kept(np.array([0.0, -0.0, 0.0, -1.0]), alpha=alpha, k=2)
    assert list(indices) == [0, 1]
    assert values[0] == values[1]
    half = torch.zeros(500, dtype=torch.bfloat16)
    half[300:] = 1.0
    indices, values, size = bregman_project(half, alpha=alpha, k=100)
    assert indices.tolist() == list(range(300, 400))
    assert int(size) == 100
    assert values.dtype == torch.bfloat16
    subnormal = np.array([1e-310, 0.0, 2e-310, -1e-310])
    assert list(kept(subnormal, alpha=alpha, k=2)[0]) == [2, 0]


def test_parameters_per_row(rng):
    logits = rng.normal(size=(4, 2, 60))
    temperature = rng.uniform(0.2, 2.0, size=(4, 2))
    temperature[1, 1] = 0.0
    k = rng.integers(1, 20, size=(4, 2))
    penalty = 10 ** rng.uniform(-3, -1, size=(4, 2))
    penalty[2, 0], penalty[2, 1] = np.inf, 0.0
    for amount in ({"k": k}, {"penalty": penalty}):
        for alpha in (1.0, 1.5, 1.7, 2.0):
            indices, values, size = bregman_project(logits, alpha=alpha, temperature=temperature, **amount)
            for place in np.ndindex(4, 2):
                single = {name: x[place].item() for name, x in amount.items()}
                expected = kept(logits[place], alpha=alpha, temperature=temperature[place].item(), **single)
                count = size[place]
                assert list(expected[0]) == list(indices[place][:count])
                assert (expected[1] == values[place][:count]).all()
                assert (indices[place][count:] == -1).all()
                assert (values[place][count:] == 0).all()


def every(logits, **options):
    return [x.tobytes() for x in bregman_project(logits, **options)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_do_not_depend_on_anything_else(dtype, rng):
    logits = (rng.normal(size=(64, 3001)) * 3).astype(dtype)
    for options in (
        {"penalty": 1e-3},
        {"alpha": 1.3, "penalty": 1e-3},
        {"alpha": 2.5, "k": 40},
        {"alpha": 0.7, "k": 9},
    ):
        argrad.set_num_threads(1)
        reference = bregman_project(logits, **options)
        raw = [x.tobytes() for x in reference]
        for threads in (2, 3):
            argrad.set_num_threads(threads)
            assert every(logits, **options) == raw
        for level in _native.simd_levels():
            _native.force_simd(level)
            assert every(logits, **options) == raw
        _native.force_simd("auto")
        for number in (0, 17, 63):
            alone = bregman_project(logits[number], **options)
            assert all((x == y[number]).all() for x, y in zip(alone, reference, strict=True))
        swapped = bregman_project(logits[::-1], **options)
        assert all((x == y[::-1]).all() for x, y in zip(swapped, reference, strict=True))
        columns = np.asfortranarray(logits)
        assert every(columns, **options) == raw
        assert every(np.repeat(logits, 2, -1)[:, ::2], **options) == raw

"""Relaxed sorting networks against loops over comparators."""

import math

import numpy as np
import pytest
import torch

import checks
import oracles_sorting_network as oracle
from argrad.sorting import _lists, _network

FUNCTION = "soft_permutation"


def enter(x, *, mask=None, offsets=None, descending=False, network="odd_even", distribution="cauchy", steepness=10.0):
    lists = _lists.enter(FUNCTION, x, mask=mask, offsets=offsets)
    options = {"network": network, "distribution": distribution, "steepness": steepness}
    return _network.enter(lists, descending=descending, **options)


def product(x, v, transposed=False, **options):
    return enter(x, **options).product(v, transposed)


def draw(shape, columns, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=shape), generator.normal(size=(*shape, columns))


def dense(x, **options):
    """P of each row of x."""
    n = x.shape[-1]
    return product(x, np.broadcast_to(np.eye(n, dtype=x.dtype), (*x.shape, n)).copy(), **options)


@pytest.mark.parametrize("name", oracle.DISTRIBUTIONS)
@pytest.mark.parametrize("network", oracle.NETWORKS)
def test_products_are_those_of_the_dense_matrices(network, name):
    for n in (0, 1, 2, 3, 5, 8, 11, 16, 21):
        for descending in (False, True):
            x, v = draw((3, n), 2, seed=n)
            steepness = np.random.default_rng(n).uniform(0.3, 30.0, 3)
            for transposed in (False, True):
                found = product(
                    x,
                    v,
                    transposed,
                    network=network,
                    distribution=name,
                    steepness=steepness,
                    descending=descending,
                )
                expected = oracle.product(
                    x, v, steepness[:, None], transposed, network=network, name=name, descending=descending
                )
                np.testing.assert_allclose(found, expected, rtol=0, atol=2e-13)


@pytest.mark.parametrize("network", oracle.NETWORKS)
def test_many_lists_columns_and_both_precisions(network):
    for rows, n, columns in ((40, 11, 1), (19, 37, 3), (5, 40, 17)):
        x, v = draw((rows, n), columns, seed=rows)
        steepness = np.full((rows, 1), 6.0)
        for transposed in (False, True):
            expected = oracle.product(x, v, steepness, transposed, network=network)
            found = product(x, v, transposed, network=network, steepness=6.0)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
            single = product(x.astype(np.float32), v.astype(np.float32), transposed, network=network, steepness=6.0)
            wide = oracle.product(x.astype(np.float32), v.astype(np.float32), steepness, transposed, network=network)
            np.testing.assert_allclose(single, wide, rtol=0, atol=5e-6)


@pytest.mark.parametrize("network", oracle.NETWORKS)
def test_masked_and_ragged_lists(network):
    x, v = draw((4, 23), 2, seed=3)
    generator = np.random.default_rng(4)
    mask = generator.random(x.shape) < 0.7
    mask[1] = False
    offsets = np.array([0, 5, 5, 6, 17, 23])
    steepness = generator.uniform(1.0, 20.0, (4, 5))
    for transposed in (False, True):
        found = product(x, v, transposed, mask=mask, offsets=offsets, steepness=steepness, network=network)
        expected = oracle.product(x, v, steepness, transposed, mask, offsets, network=network)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
        # What does not count has no influence, not even as NaN.
        spoiled = np.where(mask, x, np.nan)
        checks.assert_same(
            found, product(spoiled, v, transposed, mask=mask, offsets=offsets, steepness=steepness, network=network)
        )


@pytest.mark.parametrize("name", oracle.DISTRIBUTIONS)
def test_matrices_are_doubly_stochastic_and_sort(name):
    for network in oracle.NETWORKS:
        x, _ = draw((2, 29), 1, seed=5)
        matrices = dense(x, network=network, distribution=name)
        assert matrices.min() >= 0.0
        np.testing.assert_allclose(matrices.sum(-1), 1.0, atol=1e-13)
        np.testing.assert_allclose(matrices.sum(-2), 1.0, atol=1e-13)
        hard = product(x, x[..., None], network=network, distribution=name, steepness=1e8)[..., 0]
        np.testing.assert_allclose(hard, np.sort(x, -1), atol=1e-6)
        turned = dense(x, network=network, distribution=name, descending=True)
        np.testing.assert_allclose(turned, dense(-x, network=network, distribution=name), atol=1e-13)


def test_two_scores_are_mixed_by_the_distribution():
    for name in oracle.DISTRIBUTIONS:
        for d in (-3.0, -0.02, 0.0, 0.01, 0.5, 40.0):
            found = dense(np.array([0.5, 0.5 + d]), distribution=name, steepness=4.0)
            f = oracle.distribution(name, d, 4.0)
            np.testing.assert_allclose(found, [[f, 1 - f], [1 - f, f]], atol=1e-15)


def test_ties_share_evenly():
    for network in oracle.NETWORKS:
        for name in oracle.DISTRIBUTIONS:
            found = dense(np.full((1, 2), 1.5), network=network, distribution=name)
            np.testing.assert_array_equal(found, np.full((1, 2, 2), 0.5))
            x = torch.full((1, 8), 0.25, dtype=torch.float64, requires_grad=True)
            y = product(x, torch.arange(8.0, dtype=torch.float64).reshape(1, 8, 1), network=network, distribution=name)
            y[0, 0].backward()
            assert torch.isfinite(x.grad).all()
            assert x.grad.abs().max() > 0
            assert abs(x.grad.sum()) < 1e-9 * x.grad.abs().max()


LIMITS = {"logistic": 0, "logistic_art": 0, "reciprocal": 1, "cauchy": 1 / math.pi, "gaussian": 0, "optimal": 1 / 16}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", oracle.DISTRIBUTIONS)
def test_infinite_scores_are_the_limit_of_large_ones(name, dtype):
    x = np.array([[np.inf, 0.1, -np.inf, 0.3, np.inf]], dtype)
    huge = np.nan_to_num(x, posinf=1e30, neginf=-1e30)
    for network in oracle.NETWORKS:
        found = dense(x, network=network, distribution=name, steepness=2.0)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, dense(huge, network=network, distribution=name, steepness=2.0), atol=1e-6)
        np.testing.assert_array_equal(found[0, 0], [0, 0, 1, 0, 0])
    # A comparator moves a finite score by limit / steepness, beside a huge one as well as beside an infinite one.
    for large in (1e30, np.inf):
        scores = torch.tensor([[0.0, 1.0, large]], dtype=getattr(torch, np.dtype(dtype).name), requires_grad=True)
        y = product(scores, torch.eye(3, dtype=scores.dtype)[None], distribution=name, steepness=2.0)
        first = oracle.distribution(name, 1.0, 2.0)
        second = oracle.distribution(name, 2 * first - 1 + LIMITS[name] / 2.0, 2.0)
        expected = first * second + (1 - first) * (1 - second)
        assert abs(y[0, 0, 0].item() - expected) < 1e-6
        y[0, 0, 0].backward()
        assert torch.isfinite(scores.grad).all()
        assert scores.grad[0, 2].abs() <= (1e-30 if large < np.inf else 0.0)


@pytest.mark.parametrize("name", oracle.DISTRIBUTIONS)
def test_extreme_steepness_and_scores_stay_finite(name):
    for dtype in (torch.float32, torch.float64):
        for steepness in (1e-8, 1e8):
            for scale in (1e-30, 1.0, 1e30):
                x = (
                    torch.randn(3, 9, generator=torch.Generator().manual_seed(1), dtype=dtype) * scale
                ).requires_grad_()
                s = torch.full((3,), steepness, dtype=dtype, requires_grad=True)
                y = product(x, x.detach()[..., None].sign(), distribution=name, steepness=s)
                assert torch.isfinite(y).all()
                assert y.abs().max() <= 1 + 1e-5
                for gradient in torch.autograd.grad(y.square().sum(), (x, s)):
                    assert torch.isfinite(gradient).all()


def test_nan_spoils_its_list_alone():
    x, v = draw((20, 6), 2, seed=6)
    bad = x.copy()
    bad[3, 2] = np.nan
    for transposed in (False, True):
        good, found = product(x, v, transposed), product(bad, v, transposed)
        assert np.isnan(found[3]).all()
        checks.assert_same(np.delete(good, 3, 0), np.delete(found, 3, 0))
    tensors = [torch.from_numpy(a).requires_grad_() for a in (bad, v)]
    steepness = torch.full((20,), 5.0, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(20, 6, dtype=torch.bool)
    mask[3, 0] = False
    y = product(*tensors, mask=mask, steepness=steepness)
    assert torch.isnan(y[3, :5]).all()
    assert (y[3, 5] == 0).all()
    first = torch.autograd.grad(y.sum(), [*tensors, steepness], create_graph=True)
    second = torch.autograd.grad(sum(gradient[gradient.isfinite()].sum() for gradient in first), [*tensors, steepness])
    for gradient in (*first, *second):
        assert torch.isnan(gradient[3]).any()
        assert torch.isfinite(gradient[torch.arange(20) != 3]).all()
        assert gradient.ndim == 1 or (gradient[3, 0] == 0).all()


def test_a_list_does_not_depend_on_its_company():
    """One list alone, in a full tile, in a part of one, and among lists of other lengths: the same bits."""
    for network in oracle.NETWORKS:
        for dtype in (np.float32, np.float64):
            x, v = (a.astype(dtype) for a in draw((21, 43), 2, seed=7))
            for transposed in (False, True):
                checks.treats_rows_alone(lambda a: product(a, v[: len(a)] * 0 + a[..., None], transposed), x)  # noqa: B023
            checks.assert_same(_all(x, v, network)[3:4], _all(x[3:4], v[3:4], network))
            mask = np.ones(x.shape, bool)
            mask[::3, :2] = False
            parts = [_all(x, v, network, mask)[i : i + 1] for i in range(4)]
            alone = [_all(x[i : i + 1], v[i : i + 1], network, mask[i : i + 1]) for i in range(4)]
            checks.assert_same(parts, alone)


def _all(x, v, network, mask=None):
    """Value and gradients, side by side, a row per list."""
    arrays = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, v, np.full(len(x), 4.0, x.dtype))]
    y = product(
        arrays[0],
        arrays[1],
        network=network,
        mask=mask if mask is None else torch.from_numpy(mask),
        steepness=arrays[2],
    )
    found = torch.autograd.grad((y * y.detach().cos()).sum(), arrays)
    return np.concatenate([a.detach().numpy().reshape(len(x), -1) for a in (y, *found)], 1)


def test_threads_and_instruction_sets_give_the_same_bits():
    for dtype in (np.float32, np.float64):
        x, v = (a.astype(dtype) for a in draw((70, 33), 2, seed=8))
        for network, name in zip(oracle.NETWORKS * 3, oracle.DISTRIBUTIONS, strict=True):

            def call():
                return product(x, v, network=network, distribution=name), product(x[:3], v[:3], distribution=name)  # noqa: B023

            checks.same_for_all_threads_and_levels(call, threads=(1, 3))
        checks.same_for_all_threads_and_levels(lambda: _all(x, v, "bitonic"), threads=(1, 2))  # noqa: B023


def test_layouts_kinds_and_dtypes():
    x, _ = draw((5, 9), 1, seed=9)

    def call(a):
        v = a[..., None] * 1 if isinstance(a, np.ndarray) else a.unsqueeze(-1)
        return product(a, v)

    checks.keeps_dtype(call, x)
    checks.keeps_kind(call, x.astype(np.float32))
    checks.accepts_any_layout(call, x)
    checks.leaves_input_alone(call, x)
    checks.keeps_nan_in_its_row(call, x)


@pytest.mark.parametrize("name", oracle.DISTRIBUTIONS)
def test_long_networks_are_run_in_segments(name):
    """So deep that the way back runs in several segments: as exact as the gradient that a central difference gives."""
    x, v = draw((1, 1200), 2, seed=10)
    arrays = [torch.from_numpy(a).requires_grad_() for a in (x, v, np.array([3.0]))]
    weights = torch.from_numpy(np.random.default_rng(11).normal(size=v.shape))
    y = product(arrays[0], arrays[1], distribution=name, steepness=arrays[2])
    gradients = torch.autograd.grad((y * weights).sum(), arrays)
    back = product(arrays[0].detach(), weights, True, distribution=name, steepness=3.0)
    np.testing.assert_allclose(gradients[1].numpy(), back.numpy(), atol=1e-12)
    step = [np.random.default_rng(12).normal(size=a.shape) * 1e-5 for a in (x, v, np.zeros(1))]
    ends = [
        float(
            (
                product(x + s * step[0], v + s * step[1], distribution=name, steepness=3.0 + s * step[2])
                * weights.numpy()
            ).sum()
        )
        for s in (-1.0, 1.0)
    ]
    along = sum(float((g.numpy() * s).sum()) for g, s in zip(gradients, step, strict=True))
    assert abs((ends[1] - ends[0]) / 2 - along) < 1e-3 * abs(along)


def test_bad_options_are_one_sentence():
    x = np.zeros((2, 3))
    for options, argument in (
        ({"network": "bubble"}, "network"),
        ({"distribution": "uniform"}, "distribution"),
        ({"steepness": 0.0}, "steepness"),
        ({"steepness": float("nan")}, "steepness"),
        ({"steepness": np.ones(3)}, "steepness"),
    ):
        checks.raises_sentence(ValueError, lambda options=options: enter(x, **options), FUNCTION, argument)
    for wrong in (0.0, -1.0, np.inf, np.nan):
        bad = enter(x, steepness=np.array([1.0, wrong]))
        checks.raises_sentence(ValueError, lambda bad=bad: bad.product(x[..., None], False), FUNCTION, "steepness")
    checks.raises_sentence(TypeError, lambda: enter(x, steepness="hot"), FUNCTION, "steepness")
    mask = np.ones((2, 3), bool)
    offsets = np.array([0, 2, 1, 3])
    bad = enter(x, mask=mask, offsets=offsets)
    checks.raises_sentence(ValueError, lambda: bad.product(x[..., None], False), FUNCTION)


def test_the_table_of_distributions():
    """The numbers of the module's docstring: largest v W(v), and whether 0 <= (v W(v))' <= 1."""
    v = np.concatenate([np.linspace(0, 30, 30001), np.logspace(1.5, 8, 2000)])
    expected = {"logistic": 0.2785, "reciprocal": 1.0, "cauchy": 1 / math.pi, "gaussian": 0.17, "optimal": 0.0625}
    monotone = {"logistic": False, "reciprocal": True, "cauchy": True, "gaussian": False, "optimal": True}
    for name, largest in expected.items():
        error = np.array([a * oracle.distribution(name, -a, 1.0) for a in v])
        assert abs(error.max() - largest) < 1e-4
        assert bool((np.diff(error) >= -1e-7).all()) == monotone[name]
    art = np.array([a * oracle.distribution("logistic_art", -a, 1.0) for a in v])
    assert (np.diff(art) < 0).any()
    for name in oracle.DISTRIBUTIONS:
        # And the values themselves: two scores, the larger raised.
        high = np.linspace(1, 5, 500)
        pairs = np.stack([np.ones_like(high), high], 1)
        soft = product(pairs, pairs[..., None], distribution=name, steepness=5.0)[:, 0, 0]
        assert (np.diff(soft) >= -1e-12).all() == monotone.get(name, False)

"""LapSum: soft ranks and soft sort against bisection, and its permutation where it differs from SoftSort's."""

import numpy as np
import pytest
import torch

import checks
import oracles_sorting_scans as oracles
import torch_checks
from argrad.sorting import _laplace, _lists, soft_permutation

TASKS = {"rank": (_laplace.soft_rank, oracles.laplace_rank), "sort": (_laplace.soft_sort, oracles.laplace_sort)}


def call(task, x, strength=0.5, descending=False, **options):
    lists = _lists.enter(f"soft_{task}", x, **options)
    return TASKS[task][0](lists, _lists.per_list(lists, "strength", strength), descending)


def gradients(task, x, strength=0.5, descending=False, **options):
    """Value, then gradients to x and the strengths, of numpy arrays."""
    x = torch.tensor(x, requires_grad=True)
    t = torch.full(x.shape[:-1], strength, dtype=x.dtype, requires_grad=True)
    y = call(task, x, t, descending, **options)
    weights = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    return [a.detach().numpy() for a in (y, *torch.autograd.grad(y, [x, t], weights))]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("strength", [1e-3, 0.3, 5.0, 1e4])
def test_values_are_those_of_the_formula(task, descending, strength):
    x = draw(4, 7)
    x[1, [2, 4]] = x[1, 0]
    x[2] = 1.0
    exact = [TASKS[task][1](row, strength, descending) for row in x]
    np.testing.assert_allclose(call(task, x, strength, descending), exact, rtol=1e-12, atol=1e-11 * max(strength, 1))


@pytest.mark.parametrize("task", TASKS)
def test_masks_and_ragged_lists(task):
    x, mask, offsets = draw(3, 9), draw(3, 9, seed=1) > -0.7, np.array([0, 4, 4, 9])
    mask[1, 4:] = False
    found, expected = call(task, x, 0.5, mask=mask, offsets=offsets), np.zeros_like(x)
    for row, first, items in oracles.lists_of(x, mask, offsets):
        at = items if task == "rank" else range(first, first + len(items))
        if items:
            expected[row, list(at)] = TASKS[task][1](x[row, items], 0.5)
    np.testing.assert_allclose(found, expected, atol=1e-11)
    junk = gradients(task, np.where(mask, x, np.nan), mask=torch.from_numpy(mask))
    for a, b in zip(gradients(task, x, mask=torch.from_numpy(mask)), junk, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not junk[1][~mask].any()


@pytest.mark.parametrize("task", TASKS)
def test_extremes(task):
    x = draw(3, 8)
    hard = np.sort(x, -1) if task == "sort" else np.argsort(np.argsort(x, -1), -1) + 1.0
    for strength in (0.0, 1e-8):
        y, gx, gt = gradients(task, x, strength)
        np.testing.assert_allclose(y, hard, rtol=0, atol=0 if task == "rank" else 1e-13)
        assert np.isfinite(gx).all()
        assert np.isfinite(gt).all()
        assert gx.any() == (task == "sort")
    assert all(np.isfinite(a).all() for a in gradients(task, x, 1e8))
    wide = np.array([[np.inf, 1.0, -np.inf, 2.0, np.inf, -1e300, 1e300]])
    y, gx, gt = gradients(task, wide)
    assert not np.isnan(y).any()
    assert np.isfinite(gx).all()
    assert np.isfinite(gt).all()
    assert not gx[0, [0, 2, 4]].any()
    if task == "rank":
        near = oracles.laplace_rank([1.0, 2.0], 0.5)
        np.testing.assert_allclose(y[0], [6.5, near[0] + 2, 1.0, near[1] + 2, 6.5, 2.0, 5.0])
    tied = gradients(task, np.full((1, 5), 7.0))
    np.testing.assert_allclose(tied[0], call(task, np.zeros((1, 5))) + (7.0 if task == "sort" else 0.0), rtol=1e-14)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (3, 0), (0, 3), (1, 2, 3, 4, 5)])
def test_small_and_empty_shapes(task, shape):
    y, gx, _ = gradients(task, draw(*shape))
    assert y.shape == gx.shape == shape


@pytest.mark.parametrize("task", TASKS)
def test_the_generic_checks(task):
    x = draw(6, 40).astype(np.float32)
    checks.treats_rows_alone(lambda x: call(task, x), x)
    checks.accepts_any_layout(lambda x: call(task, x), x)
    checks.leaves_input_alone(lambda x: call(task, x), x)
    checks.keeps_dtype(lambda x: call(task, x), x)
    checks.keeps_kind(lambda x: call(task, x), x)
    checks.keeps_nan_in_its_row(lambda x: call(task, x), x)
    y = draw(40, 600).astype(np.float32)
    checks.same_for_all_threads_and_levels(lambda: gradients(task, y), threads=(1, 3))
    exact = call(task, x.astype(float))
    assert (np.abs(call(task, x) - exact) <= np.spacing(np.abs(exact).astype(np.float32))).all()


def test_bad_strengths_are_refused():
    for bad in (-1.0, np.nan, np.inf):
        for task in TASKS:
            strength = np.array([1.0, bad, 1.0])
            checks.raises_sentence(
                ValueError, lambda s=strength, task=task: call(task, draw(3, 4), s), f"soft_{task}", "strength"
            )


def test_ranks_have_a_fixed_sum():
    ranks = call("rank", draw(5, 101), np.array([1e-3, 0.1, 1.0, 10.0, 1e6]))
    np.testing.assert_allclose(ranks.sum(-1), 101 * 102 / 2, rtol=1e-14)


@pytest.mark.parametrize("temperature", [1e-8, 1e-3, 0.3, 1e3, 1e8])
def test_the_permutation_of_ties_and_infinities(temperature):
    x = torch.tensor([[1.0, 0.3, 1.0, -2.0, 1.0], [3.0] * 5, [np.inf, 0.0, -np.inf, np.inf, 1.0]], requires_grad=True)
    x = x.detach().double().requires_grad_()
    t = torch.full((3,), temperature, dtype=torch.float64, requires_grad=True)
    P = soft_permutation(x, method="laplace", temperature=t).to_dense()
    np.testing.assert_allclose(P.detach().sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(P.detach().sum(-2), 1, rtol=1e-12)
    np.testing.assert_allclose(P[0, :, 0].detach(), P[0, :, 4].detach(), rtol=0, atol=1e-15)
    weights = torch.cos(torch.arange(75.0, dtype=torch.float64)).reshape(3, 5, 5)
    gx, gt = torch.autograd.grad((P * weights).sum(), [x, t])
    assert gx.isfinite().all()
    assert gt.isfinite().all()
    assert not gx[2, [0, 2, 3]].any()


def inputs(size, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((2, size), generator=generator, dtype=torch.float64)
    return x, torch.rand(2, generator=generator, dtype=torch.float64) + 0.5


def row(task):
    return torch_checks.Row(
        name=f"laplace {task}",
        call=lambda x, strength: call(task, x, strength, True),
        inputs=inputs,
        differentiable=(0, 1),
        raw=lambda: torch.ops.argrad.laplace_values.default,
        arguments=lambda tensors: (tensors[0], tensors[1][:, None], None, None, "f", True, task == "sort"),
    )


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("task", TASKS)
def test_torch(task, check):
    check(row(task))

"""Sinkhorn sort and sorted SOFT top-k: derivatives and torch."""

import numpy as np
import pytest
import torch

import oracles_sorting_sinkhorn as oracles
import torch_checks
from argrad.sorting import soft_permutation

CASES = {
    "P @ V": (None, False),
    "P.mT @ U": (None, True),
    "top, P @ V": (3, False),
    "top, P.mT @ U": (3, True),
}


def row(case):
    k, transposed = CASES[case]
    method = {"method": "sinkhorn"} if k is None else {"method": "ot", "k": k}

    def call(x, V, temperature):
        P = soft_permutation(x, temperature=temperature, descending=transposed, tolerance=1e-13, **method)
        return (P.mT if transposed else P) @ V

    def inputs(size, seed):
        generator = torch.Generator().manual_seed(seed)
        rows = k if k and transposed else size
        x, V = (torch.randn(shape, generator=generator).double() for shape in ((2, size), (2, rows, 2)))
        return x, V, torch.rand(2, generator=generator).double() + 0.3

    def arguments(tensors):
        x, V, temperature = tensors
        options = (None, None, "soft_permutation", k or 0, transposed, transposed, 100, 1e-13)
        return (x, V, temperature[:, None], *options)

    return torch_checks.Row(
        name=case,
        call=call,
        inputs=inputs,
        differentiable=(0, 1, 2),
        raw=lambda: torch.ops.argrad.sinkhorn_product.default,
        arguments=arguments,
    )


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES)
def test_torch(case, check):
    check(row(case))


def unrolled(x, temperature, k, steps):
    """The plan by Sinkhorn's own steps, differentiated through all of them; `descending=True`."""
    n = x.shape[-1]
    targets = torch.linspace(1, 0, n, dtype=x.dtype) if k is None else torch.arange(k, -1.0, -1.0, dtype=x.dtype)
    mass = torch.ones_like(targets)
    if k is not None:
        mass[-1] = n - k
    level = -((x - targets[:, None]) ** 2) / temperature
    b = torch.zeros_like(targets)
    for _ in range(steps):
        a = -(level + b[:, None]).logsumexp(0)
        b = mass.log() - (level + a).logsumexp(1)
    return (level + a + b[:, None]).exp()[:k]


@pytest.mark.parametrize(("k", "temperature"), [(None, 0.1), (None, 2.0), (1, 0.7), (4, 1.5)])
def test_both_derivatives_are_those_of_the_unrolled_steps(k, temperature):
    generator = torch.Generator().manual_seed(0)
    x, V = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((10,), (10, 2)))
    weights = torch.randn((k or 10, 2), generator=generator, dtype=torch.float64)
    inputs = [x.requires_grad_(), V.requires_grad_(), torch.tensor(temperature).double().requires_grad_()]
    method = {"method": "sinkhorn"} if k is None else {"method": "ot", "k": k}
    P = soft_permutation(inputs[0], temperature=inputs[2], descending=True, tolerance=1e-13, **method)
    found = torch.autograd.grad((P @ V * weights).sum(), inputs, create_graph=True)
    dense = unrolled(inputs[0], inputs[2], k, 600)
    expected = torch.autograd.grad((dense @ V * weights).sum(), inputs, create_graph=True)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    along = [torch.randn(g.shape, generator=generator, dtype=torch.float64) for g in expected]
    second = [
        torch.autograd.grad(sum((g * t).sum() for g, t in zip(grads, along, strict=True)), inputs)
        for grads in (found, expected)
    ]
    torch.testing.assert_close(*second, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("temperature", "faster"), [(0.01, 0.0), (0.01, 0.3), (0.1, 0.3)])
def test_weak_couplings_keep_the_digits_of_both_derivatives(temperature, faster):
    # At 0.01 the gaps leave couplings from 1e-16 up beside diagonal entries of 1, and the derivatives come from such
    # couplings alone: none of their digits may be rounded off beside a diagonal entry.
    n, k, rng = 50, 12, np.random.default_rng(2)
    x, v, way, weights = (rng.standard_normal(size) for size in (n, n, n, k))
    if faster:
        way *= temperature
    expected = oracles.derivatives(x, v, weights, temperature, k, way, faster * temperature)
    at = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, temperature)]
    P = soft_permutation(at[0], method="ot", k=k, temperature=at[1], tolerance=1e-13)

    def along(y):
        by_x, by_temperature = torch.autograd.grad(y, at, create_graph=True)
        return (by_x * torch.tensor(way)).sum() + by_temperature * (faster * temperature)

    first = along((P @ torch.tensor(v) * torch.tensor(weights)).sum())
    found = [first.item(), along(first).item()]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("temperature", [1e-5, 1e-3, 0.05, 1.0])
@pytest.mark.parametrize("k", [None, 30])
def test_the_gradient_of_long_lists_agrees_with_differences(k, temperature):
    n = 300
    generator = torch.Generator().manual_seed(1)
    x, v, way = torch.randn((3, n), generator=generator, dtype=torch.float64)
    method = {"method": "sinkhorn"} if k is None else {"method": "ot", "k": k}
    weights = torch.randn(k or n, generator=generator, dtype=torch.float64)

    def value(x):
        return (soft_permutation(x, temperature=temperature, tolerance=1e-13, **method) @ v * weights).sum()

    (grad,) = torch.autograd.grad(value(x.requires_grad_()), x)
    largest = float(grad.abs().max())
    # A step of a small part of what a plan of this temperature resolves.
    step = 1e-4 * min(1.0, temperature * (n if k is None else 1))
    with torch.no_grad():
        differences = [(value(x + h * way) - value(x - h * way)) / (2 * h) for h in (step, 2 * step)]
    expected = (4 * differences[0] - differences[1]) / 3
    torch.testing.assert_close((grad * way).sum(), expected, rtol=1e-5, atol=1e-6 * largest + 1e-14 / step)


def test_gradients_stay_finite_at_any_temperature_and_scale():
    for temperature in (1e-8, 1e-4, 1.0, 1e8):
        for scale in (1e-30, 1.0, 1e30):
            x = (torch.tensor([3.0, 1.0, 2.0, 2.0, -1.0], dtype=torch.float64) * scale).requires_grad_()
            P = soft_permutation(x, method="sinkhorn", temperature=temperature)
            (grad,) = torch.autograd.grad((P @ torch.arange(5.0).double()).square().sum(), x, create_graph=True)
            (again,) = torch.autograd.grad(grad.sum() + (grad * x.detach().sign()).sum(), x)
            assert torch.isfinite(grad).all()
            assert torch.isfinite(again).all()


def test_ties_share_their_gradient():
    x = torch.tensor([0.5, 0.1, 0.5, -0.3], dtype=torch.float64, requires_grad=True)
    P = soft_permutation(x, method="sinkhorn", temperature=0.1, tolerance=1e-13)
    (grad,) = torch.autograd.grad((P.mT @ torch.arange(4.0).double()).sum() + P.expected_rank().square().sum(), x)
    torch.testing.assert_close(grad[0], grad[2])

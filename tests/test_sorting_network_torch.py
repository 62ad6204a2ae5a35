"""Relaxed sorting networks as torch operators."""

import pytest
import torch

import torch_checks
from argrad.sorting import _lists, _network, soft_permutation


def row(name, transposed, **options):
    options = {"network": "odd_even", "distribution": "cauchy", **options}

    def call(x, v, steepness):
        lists = _lists.enter("soft_permutation", x)
        return _network.enter(lists, descending=transposed, steepness=steepness, **options).product(v, transposed)

    def draw(size, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(2, size, dtype=torch.float64, generator=generator)
        v = torch.randn(2, size, 2, dtype=torch.float64, generator=generator)
        return x, v, torch.rand(2, dtype=torch.float64, generator=generator) + 0.7

    return torch_checks.Row(
        name=name,
        call=call,
        inputs=draw,
        differentiable=(0, 1, 2),
        raw=lambda: torch.ops.argrad.network_product.default,
        arguments=lambda inputs: (
            inputs[0],
            inputs[1],
            inputs[2].reshape(2, 1),
            None,
            None,
            "soft_permutation",
            transposed,
            *options.values(),
            transposed,
        ),
    )


ROWS = [
    row("P @ v, odd-even", False),
    row("P.mT @ u, bitonic, logistic", True, network="bitonic", distribution="logistic"),
]


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("operator", ROWS, ids=lambda operator: operator.name)
def test_torch(operator, check):
    check(operator)


@pytest.mark.parametrize("distribution", _network.DISTRIBUTIONS)
@pytest.mark.parametrize("transposed", [False, True])
def test_both_derivatives_of_every_distribution(distribution, transposed):
    operator = row(distribution, transposed, network="bitonic", distribution=distribution)
    torch_checks.gradients_are_right(operator)
    torch_checks.second_derivatives_are_right(operator)


def test_derivatives_of_masked_and_ragged_lists():
    x = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    v = torch.randn(2, 9, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    mask = torch.tensor([[1, 1, 0, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0, 1, 0, 1]], dtype=torch.bool)
    offsets = torch.tensor([0, 4, 4, 9])
    steepness = torch.rand(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) + 1

    def call(x, v, steepness):
        lists = _lists.enter("soft_permutation", x, mask=mask, offsets=offsets)
        return _network.enter(lists, descending=True, steepness=steepness).product(v, True)

    inputs = [a.requires_grad_() for a in (x, v, steepness)]
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)
    (gradient,) = torch.autograd.grad(call(*inputs).square().sum(), x)
    assert (gradient[~mask] == 0).all()
    assert gradient[mask].abs().min() > 0


@pytest.mark.parametrize("scores", [[0.3, 0.3, 1.0, -0.5], [0.3, 0.3, float("inf"), 1.0]], ids=["finite", "infinite"])
def test_second_derivatives_at_a_tie_are_those_of_a_smooth_function(scores):
    x = torch.tensor(scores, dtype=torch.float64)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)

    def slope(x):
        x = x.clone().requires_grad_()
        y = soft_permutation(x, method="network", steepness=2.0) @ torch.arange(4.0, dtype=torch.float64)
        return torch.autograd.grad((weights * y).sum(), x, create_graph=True)[0], x

    first, at = slope(x)
    for i in range(4):
        if not x[i].isfinite():
            continue
        step = torch.zeros(4, dtype=torch.float64)
        step[i] = 1e-5
        expected = (slope(x + step)[0] - slope(x - step)[0]) / 2e-5
        found = torch.autograd.grad(first[i], at, retain_graph=True)[0]
        torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)

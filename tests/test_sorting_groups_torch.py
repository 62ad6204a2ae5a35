"""group_order as a torch operator."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import torch_checks
from argrad.sorting import _groups, _network, group_order


def draw(size, seed):
    generator = torch.Generator().manual_seed(seed + 3)
    x = torch.randn((3, size), dtype=torch.float64, generator=generator)
    return x, 0.7 + torch.rand(3, dtype=torch.float64, generator=generator)


def labels(x):
    """Every third item is a positive."""
    return (torch.arange(x.shape[-1]) % 3 == 1).expand(x.shape)


def row(name, masked, options):
    negatives, network, distribution, log, mean = options

    def mask(x):
        # Of positions: which items take part must not change with the scores of a batch.
        return (torch.arange(x.shape[-1]) % 5 != 3).expand(x.shape) if masked else None

    def call(x, steepness):
        return group_order(
            x,
            labels(x),
            negatives=negatives,
            network=network,
            distribution=distribution,
            steepness=steepness,
            log=log,
            reduction=mean,
            mask=mask(x),
        ).probability

    def arguments(inputs):
        x, steepness = inputs
        return (x, labels(x), steepness.unsqueeze(-1), mask(x), *options, mean != "none")

    return torch_checks.Row(
        name=name,
        call=call,
        inputs=draw,
        differentiable=(0, 1),
        raw=lambda: torch.ops.argrad.group_order.default,
        arguments=arguments,
    )


ROWS = [
    row("probabilities", False, (None, "odd_even", "cauchy", False, "none")),
    row("mean logarithms, masked, limited", True, (3, "bitonic", "logistic", True, "mean")),
    row("mean logarithm of the batch", False, (3, "odd_even", "cauchy", True, "batch_mean")),
]


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("operator", ROWS, ids=lambda operator: operator.name)
def test_torch(operator, check):
    check(operator)


@pytest.mark.parametrize("distribution", _network.DISTRIBUTIONS)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("mean", _groups.REDUCTIONS)
def test_both_derivatives_of_every_distribution(distribution, log, mean):
    operator = row(distribution, True, (2, "odd_even", distribution, log, mean))
    torch_checks.gradients_are_right(operator)
    torch_checks.second_derivatives_are_right(operator)


@pytest.mark.parametrize("distribution", ["logistic", "cauchy"])
@pytest.mark.parametrize("log", [False, True])
def test_derivatives_where_a_negative_has_a_product_of_its_own(distribution, log):
    x = torch.tensor([[0.0, 1.5, 1.1, 0.2, -0.3], [0.4, 0.1, -0.2, 0.3, 0.7]], dtype=torch.float64)
    positive = torch.tensor([True, False, False, True, False]).expand(2, 5)
    steepness = torch.tensor([20.0 if distribution == "cauchy" else 9.0, 5.0], dtype=torch.float64)

    def call(x, steepness):
        return group_order(x, positive, steepness=steepness, distribution=distribution, log=log).probability

    least = call(x, steepness)
    least = least.exp() if log else least
    assert least[0].min() < 1 / 32 < least[1].min()
    inputs = x.requires_grad_(), steepness.requires_grad_()
    assert gradcheck(call, inputs)
    assert gradgradcheck(call, inputs)


def test_the_count_has_no_gradient_and_survives_transforms():
    x, _ = draw(9, 0)
    x.requires_grad_()
    assert not group_order(x, labels(x)).count.requires_grad
    found = torch.func.vmap(lambda x: group_order(x, labels(x), negatives=2).count)(x)
    assert found.tolist() == [5, 5, 5]

    def loss(x):
        found = group_order(x, labels(x), log=True)
        return -(found.probability.sum(-1) / found.count).mean()

    (expected,) = torch.autograd.grad(loss(x), x)
    torch.testing.assert_close(torch.func.grad(loss)(x.detach()), expected)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (found,) = torch.autograd.grad(compiled(x), x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("empty", [False, True])
def test_kept_slopes_of_the_mean_of_a_batch_are_the_gradient(log, empty):
    x, steepness = draw(9, 2)
    positive = labels(x).clone()
    positive[1] = False
    positive[2] &= not empty

    def value_and_gradient(x, steepness):
        options = {"negatives": 4, "steepness": steepness, "log": log}
        found, count = group_order(x, positive, reduction="batch_mean", **options)
        assert found.shape == ()
        means = group_order(x, positive, reduction="mean", **options).probability
        torch.testing.assert_close(found, means[count > 0].mean(), rtol=1e-14, atol=0)
        (expected,) = torch.autograd.grad(means[count > 0].mean(), x)
        (gradient,) = torch.autograd.grad(found, x, torch.tensor(2.0, dtype=torch.float64))
        torch.testing.assert_close(gradient, 2 * expected, rtol=1e-12, atol=1e-14)
        assert gradient[1].abs().max() == 0 < gradient[0].abs().max()

    value_and_gradient(x.requires_grad_(), steepness)
    value_and_gradient(x, steepness.requires_grad_())


@pytest.mark.parametrize("log", [False, True])
def test_slopes_that_are_kept_are_the_gradient(log):
    x, steepness = draw(9, 1)
    mask = torch.ones_like(x, dtype=torch.bool)
    mask[0, 0] = mask[1, 3] = mask[2] = False
    upstream = torch.tensor([0.5, torch.inf, -2.0], dtype=torch.float64)

    def gradient(x, steepness):
        found = group_order(x, labels(x), negatives=4, steepness=steepness, log=log, reduction="mean", mask=mask)
        return torch.autograd.grad(found.probability, x, upstream)[0]

    kept = gradient(x.requires_grad_(), steepness)
    made = gradient(x, steepness.requires_grad_())
    torch.testing.assert_close(kept[[0, 2]], made[[0, 2]], rtol=1e-12, atol=1e-14)
    assert bool((kept[~mask] == 0).all())
    assert kept[0].abs().max() > 0

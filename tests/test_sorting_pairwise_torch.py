"""pairwise_sum as a torch operator: the shared checks, and gradients of long lists against dense torch."""

import pytest
import torch

import torch_checks
from argrad.sorting import pairwise_sum


def dense(x, y, weights, temperature, kernel):
    z = (x[..., :, None] - y[..., None, :]) / temperature[..., None, None]
    value = torch.sigmoid(z) if kernel == "sigmoid" else torch.nn.functional.softplus(z, threshold=700)
    return (weights[..., None, :] * value).sum(-1)


def draw(size, seed, batch=(3,), m=None):
    generator = torch.Generator().manual_seed(seed)
    m = size + 2 if m is None else m
    x, y, weights = (torch.randn((*batch, n), dtype=torch.float64, generator=generator) for n in (size, m, m))
    return x, y, weights, torch.rand(batch, dtype=torch.float64, generator=generator) + 0.5


def row(kernel):
    # The raw operator takes the number for each list as a column.
    return torch_checks.Row(
        name=f"pairwise_sum {kernel}",
        call=lambda x, y, weights, t: pairwise_sum(x, y, weights=weights, temperature=t, kernel=kernel),
        inputs=draw,
        differentiable=(0, 1, 2, 3),
        raw=lambda: torch.ops.argrad.pairwise_sum.default,
        arguments=lambda inputs: (*inputs[:3], inputs[3].unsqueeze(-1), None, None, None, None, kernel),
    )


ROWS = {kernel: row(kernel) for kernel in ("sigmoid", "softplus")}


@pytest.mark.parametrize("kernel", ROWS)
@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
def test_torch(check, kernel):
    check(ROWS[kernel])


@pytest.mark.parametrize("kernel", ROWS)
@pytest.mark.parametrize("scale", [1.0, 30.0, 2000.0])
def test_two_derivatives_of_long_lists_agree_with_dense_torch(kernel, scale):
    inputs = draw(150, 1, (2,), 110)
    inputs = tuple(x * s for x, s in zip(inputs, (scale, scale, 1, 1), strict=True))
    results = []
    for call in (ROWS[kernel].call, lambda *a: dense(*a, kernel)):
        tensors = [x.clone().requires_grad_() for x in inputs]
        weigh = torch.linspace(-1, 2, 150, dtype=torch.float64)
        value = call(*tensors)
        first = torch.autograd.grad((value * weigh).sin().sum(), tensors, create_graph=True)
        directions = [torch.linspace(0.5, -1, x.numel(), dtype=torch.float64).reshape(x.shape) for x in first]
        second = torch.autograd.grad(sum((a * b).sum() for a, b in zip(first, directions, strict=True)), tensors)
        results.append((value, *first, *second))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())


def test_a_number_for_each_ragged_list_has_a_gradient():
    x = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    offsets = torch.tensor([0, 4, 9])
    temperature = torch.rand(2, 2, dtype=torch.float64).add(0.5).requires_grad_()

    def call(x, temperature):
        return pairwise_sum(x, x.cos(), offsets=offsets, y_offsets=offsets, temperature=temperature)

    assert torch.autograd.gradcheck(call, (x, temperature))
    assert torch.autograd.gradgradcheck(call, (x, temperature))


def test_the_soft_rank_of_approx_ndcg():
    scores = torch.tensor([[0.3, 2.0, -1.0], [1.0, 1.0, 1.0]], requires_grad=True)
    ranks = 0.5 + pairwise_sum(scores, scores, temperature=0.01)
    torch.testing.assert_close(ranks, torch.tensor([[2.0, 3.0, 1.0], [2.0, 2.0, 2.0]]))
    ranks.sum().backward()  # the sum of all ranks is constant
    assert scores.grad.abs().max() < 1e-5

"""bregman_project and bregman_decode as torch operators."""

import pytest
import torch

import torch_checks
from argrad import decoding

RULES = (
    {"alpha": 1.0, "k": 3},
    {"alpha": 1.5, "k": 4, "temperature": 0.7},
    {"alpha": 2.0, "penalty": 0.02},
    {"alpha": 0.6, "k": 3},
    {"alpha": 3.0, "k": 4},
    {"alpha": -2.0, "k": 3},
    {"alpha": 1.5, "k": 4, "dual": True},
    {"alpha": 3.0, "penalty": 0.02, "dual": True, "temperature": 1.3},
)


def logits(size, seed):
    generator = torch.Generator().manual_seed(seed)
    # Distances of at least a third of the unit: far from where tokens are equal, hence from where the support changes.
    x = torch.stack([torch.randperm(size, generator=generator).double() for _ in range(2)]) / 2
    return (x + torch.rand(x.shape, generator=generator, dtype=torch.float64) / 6,)


def row(rule):
    def values(x):
        return decoding.bregman_project(x, **rule)[1]

    def arguments(inputs):
        (x,) = inputs
        batch = x.shape[:-1]
        penalty, k = rule.get("penalty"), rule.get("k")
        return (
            x,
            torch.full(batch, rule.get("temperature", 1.0), dtype=torch.float64),
            None if penalty is None else torch.full(batch, penalty, dtype=torch.float64),
            None if k is None else torch.full(batch, k),
            rule["alpha"],
            rule.get("dual", False),
            k or 5,
        )

    return torch_checks.Row(
        "bregman_project", values, logits, (0,), lambda: torch.ops.argrad.bregman_project.default, arguments
    )


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_torch(rule, check):
    decoding.bregman_project(logits(6, 0)[0], **rule)
    check(row(rule))


def dense(x, alpha, k, temperature=1.0):
    """The primal at fixed k in torch operations: the multiplier by bisection, then one differentiable Newton step."""
    p = torch.softmax(x / temperature, -1)
    kept, indices = p.topk(k, -1)
    b = alpha - 1.0
    low, high = torch.zeros_like(kept[..., :1]), (1 - kept[..., :1].detach() ** b) / b
    for _ in range(200):
        middle = (low + high) / 2
        over = ((kept.detach() ** b + b * middle) ** (1 / b)).sum(-1, keepdim=True) > 1
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    mu = low
    q = (kept**b + b * mu) ** (1 / b)
    # From the root one step of Newton's method leaves the value and has the derivatives of the root.
    for _ in range(2):
        mu = mu - (q.sum(-1, keepdim=True) - 1) / (q ** (2 - alpha)).sum(-1, keepdim=True).detach()
        q = (kept**b + b * mu) ** (1 / b)
    return q, indices


@pytest.mark.parametrize("alpha", [-1.0, 0.05, 0.5, 0.9, 1.1, 1.5, 1.9, 2.0, 2.5, 4.0, 6.0])
def test_gradients_agree_with_those_of_the_dense_formula(alpha):
    x = torch.randn(5, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    g = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    q, _ = dense(theirs, alpha, 6, 1.5)
    indices, values, _ = decoding.bregman_project(ours, alpha=alpha, k=6, temperature=1.5)
    torch.testing.assert_close(values, q, rtol=1e-9, atol=1e-12)
    (found,) = torch.autograd.grad((values * g).sum(), ours)
    (expected,) = torch.autograd.grad((q * g).sum(), theirs)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    dropped = found.clone().scatter_(-1, indices, 0.0)
    assert dropped.abs().max() > 1e-4
    torch.testing.assert_close(found.sum(-1), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("alpha", [-300.0, -60.0, -8.0, 20.0, 100.0])
def test_gradients_of_large_exponents(alpha):
    """Values follow the largest or the smallest token: weights span hundreds of orders of magnitude."""
    x = torch.linspace(0, 0.4, 7, dtype=torch.float64).repeat(2, 1).requires_grad_()

    def values(x):
        return decoding.bregman_project(x, alpha=alpha, k=4)[1]

    assert torch.autograd.gradcheck(values, x, eps=1e-7, rtol=1e-4)
    assert torch.autograd.gradgradcheck(values, x, eps=1e-7, rtol=1e-3)


def test_dropped_tokens_have_no_gradient_at_one():
    x = torch.randn(5, 40, dtype=torch.float64, requires_grad=True)
    for options in ({"k": 6}, {"penalty": 0.03}, {"k": 6, "dual": True}):
        indices, values, size = decoding.bregman_project(x, **options)
        assert (size > 1).all()
        (found,) = torch.autograd.grad((values * torch.arange(values.shape[-1])).sum(), x)
        inside = torch.zeros(5, 41).scatter_(-1, indices % 41, 1.0)[:, :40].bool()
        assert (found[~inside] == 0).all()
        assert (found[inside] != 0).all()


@pytest.mark.parametrize("alpha", [float("inf"), float("-inf")])
def test_gradients_of_the_limits(alpha):
    for rule in ({"k": 4}, {"k": 3, "temperature": 0.8}):
        x = logits(9, 5)[0].requires_grad_()

        def values(x, rule=rule):
            return decoding.bregman_project(x, alpha=alpha, **rule)[1]

        assert torch.autograd.gradcheck(values, x)
        assert torch.autograd.gradgradcheck(values, x)


def test_rows_that_are_certain_have_no_gradient():
    x = torch.randn(3, 20, dtype=torch.float64, requires_grad=True)
    for options in ({"k": 1}, {"penalty": 9.0, "alpha": 1.5}, {"k": 5, "temperature": 0}, {"k": 5, "alpha": 3.0}):
        masked = torch.where(torch.arange(20) == 7, x, -torch.inf) if "alpha" in options else x
        values = decoding.bregman_project(masked, **options)[1]
        (found,) = torch.autograd.grad(values.sum() * 3 + (values**2).sum(), x, create_graph=True)
        assert (found == 0).all()
        (again,) = torch.autograd.grad(found.sum(), x, allow_unused=True)
        assert again is None or (again == 0).all()


def test_whole_rows_have_the_gradient_of_the_softmax():
    x = torch.randn(3, 20, dtype=torch.float64, requires_grad=True)
    for alpha in (0.5, 1.0, 1.5, 2.0, 3.0):
        indices, values, _ = decoding.bregman_project(x, alpha=alpha, penalty=0.0, temperature=0.7)
        expected = torch.softmax(x / 0.7, -1).gather(-1, indices)
        g = torch.randn_like(values)
        found = [torch.autograd.grad((y * g).sum(), x)[0] for y in (values, expected)]
        torch.testing.assert_close(*found)


def test_float32_gradients_are_those_of_float64():
    wide = torch.randn(4, 5000, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    narrow = wide.float().requires_grad_()
    wide = narrow.detach().double().requires_grad_()
    for rule in ({"alpha": 1.5, "k": 50}, {"alpha": 0.7, "k": 50}, {"alpha": 3.0, "k": 20, "dual": True}):
        found = []
        for x in (narrow, wide):
            values = decoding.bregman_project(x, **rule)[1]
            weights = torch.arange(values.shape[-1], dtype=x.dtype).cos()
            found.append(torch.autograd.grad((values * weights).sum(), x)[0].double())
        torch.testing.assert_close(*found, rtol=1e-5, atol=1e-9)


def test_backward_keeps_little():
    """Indices, values and two numbers for each row are kept beside the logits themselves."""
    x = torch.randn(8, 50_000, requires_grad=True)
    sizes = []

    def pack(tensor):
        if tensor.data_ptr() != x.data_ptr():
            sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        decoding.bregman_project(x, alpha=1.5, k=10)[1].sum().backward()
    assert 0 < sum(sizes) <= 8 * 40

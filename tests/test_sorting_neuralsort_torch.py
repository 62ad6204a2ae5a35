"""NeuralSort and its scaling as torch operators: the shared checks, and gradients against dense torch code."""

import pytest
import torch

import torch_checks
from argrad.sorting import _lists, _neuralsort


def matrix(x, temperature=1.0, *, descending=False, mask=None, offsets=None, scaling=None):
    lists = _lists.enter("soft_permutation", x, mask=mask, offsets=offsets)
    found = _neuralsort.enter(lists, descending=descending, temperature=temperature)
    return found if scaling is None else found.sinkhorn(iterations=scaling[0], tolerance=scaling[1])


def draw(size, seed, width=2):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((3, size), dtype=torch.float64, generator=generator)
    v = torch.randn((3, size, width), dtype=torch.float64, generator=generator)
    return x, v, torch.rand(3, dtype=torch.float64, generator=generator) + 0.5


def row(name, transposed, scaling):
    def call(x, v, temperature):
        return matrix(x, temperature, descending=transposed, scaling=scaling).product(v, transposed)

    steps = 0 if scaling is None else scaling[0]
    return torch_checks.Row(
        name=name,
        call=call,
        inputs=draw,
        differentiable=(0, 1, 2),
        raw=lambda: torch.ops.argrad.neuralsort.default,
        arguments=lambda inputs: (
            *inputs[:2],
            # The operator takes one temperature per list, computed in the dtype of x.
            inputs[2].reshape(-1, 1),
            None,
            None,
            transposed,
            transposed,
            steps,
            0.0,
        ),
    )


ROWS = [row("neuralsort", False, None), row("scaled", True, (3, None))]


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_torch(row, check):
    check(row)


def dense(x, temperature, descending, scaling):
    n = x.shape[-1]
    b = (x.unsqueeze(-1) - x.unsqueeze(-2)).abs().sum(-1)
    c = (n + 1 - 2 * torch.arange(1, n + 1, dtype=x.dtype)) * (1 if descending else -1)
    p = torch.softmax((c[:, None] * x.unsqueeze(-2) - b.unsqueeze(-2)) / temperature.reshape(-1, 1, 1), -1)
    for _ in range(scaling):
        p = p / p.sum(-2, keepdim=True)
        p = p / p.sum(-1, keepdim=True)
    return p


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("scaling", [0, 1, 6])
@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_are_those_of_dense_code(dtype, scaling, transposed):
    # With ties: the slope of |x_i - x_j| is 0 there on both sides.
    x, v, t = draw(70, 1)
    x[0, [3, 17, 40]] = x[0, 5].clone()
    x[1] = (x[1] * 4).round()
    wanted = [a.to(dtype).double().requires_grad_() for a in (x, v, t)]
    p = dense(wanted[0], wanted[2], transposed, scaling)
    y = (p.mT if transposed else p) @ wanted[1]
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    expected = torch.autograd.grad(y, wanted, g.double())
    inputs = [a.detach().to(dtype).requires_grad_() for a in wanted]
    found = matrix(
        inputs[0], inputs[2], descending=transposed, scaling=None if scaling == 0 else (scaling, None)
    ).product(inputs[1], transposed)
    gradients = torch.autograd.grad(found, inputs, g)
    limit = 2e-6 if dtype == torch.float32 else 2e-12
    for a, b in zip((found, *gradients), (y, *expected), strict=True):
        assert (a - b).abs().max() < limit * b.abs().max()


@pytest.mark.parametrize("scaling", [None, (2, None)])
def test_gradients_with_masks_and_ragged_lists(scaling):
    x, v, _ = draw(20, 4)
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(5)) < 0.7
    offsets = torch.tensor([0, 8, 8, 20])
    t = torch.full((3, 3), 0.7, dtype=torch.float64, requires_grad=True)
    x.requires_grad_()
    v.requires_grad_()
    for transposed in (False, True):
        y = matrix(x, t, mask=mask, offsets=offsets, scaling=scaling).product(v, transposed)
        g = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
        dx, dv, dt = torch.autograd.grad(y, (x, v, t), g)
        assert (dx[~mask] == 0).all()
        assert (dt[:, 1] == 0).all()
        assert (dt[:, 2] != 0).all()
        if not transposed:
            assert (dv[~mask] == 0).all()
        for a, b in ((0, 8), (8, 20)):
            part, rows = x[1, a:b].detach()[mask[1, a:b]].requires_grad_(), v.detach()[1, a:b]
            rows = rows[: len(part)] if transposed else rows[mask[1, a:b]]
            alone = matrix(part, 0.7, scaling=scaling).product(rows, transposed)
            g_part = g[1, a:b][mask[1, a:b]] if transposed else g[1, a:b][: len(part)]
            (expected,) = torch.autograd.grad(alone, part, g_part)
            torch.testing.assert_close(dx[1, a:b][mask[1, a:b]], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scaling", [None, (2, None)])
def test_nan_stays_in_its_list_backward(scaling):
    x, v, t = draw(9, 6)
    x[1, 4] = torch.nan
    inputs = [a.requires_grad_() for a in (x, v, t)]
    y = matrix(x, t, scaling=scaling).product(v, False)
    gradients = torch.autograd.grad(y[[0, 2]].sum() + y[1].sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(a[[0, 2]].square().sum() for a in gradients), inputs)
    for a in (y, *gradients, *second):
        assert a[1].isnan().all()
        assert a[[0, 2]].isfinite().all()


@pytest.mark.parametrize("scaling", [None, (3, None)])
def test_extreme_inputs_have_finite_gradients(scaling):
    scores = [torch.tensor([3.0, -torch.inf, 1e30, torch.inf, torch.inf]), torch.zeros(5), torch.full((5,), 1e30)]
    for score in scores:
        for temperature in (1e-8, 1.0, 1e8):
            x, v = score.clone().requires_grad_(), torch.arange(10.0).reshape(5, 2).requires_grad_()
            t = torch.tensor(temperature, requires_grad=True)
            y = matrix(x, t, scaling=scaling).product(v, False)
            gradients = torch.autograd.grad(y.square().sum(), (x, v, t), create_graph=True)
            second = torch.autograd.grad(gradients[1].sum(), (x, v, t))
            assert all(a.isfinite().all() for a in (y, *gradients, *second))


def test_equal_scores_have_equal_gradients():
    x = torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    v = x.detach().square()[:, None]
    (gradient,) = torch.autograd.grad(matrix(x).product(v, False), x, torch.arange(5.0)[:, None].double())
    assert gradient[0] == pytest.approx(gradient[2].item(), rel=1e-12)
    assert gradient[0] == pytest.approx(gradient[4].item(), rel=1e-12)
    assert gradient.abs().max() > 0.01

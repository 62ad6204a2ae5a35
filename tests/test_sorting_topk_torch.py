"""soft_topk as a torch operator."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import torch_checks
from argrad.sorting import soft_topk


def draw(size, seed):
    generator = torch.Generator().manual_seed(seed + 1)
    x = torch.randn((3, size), dtype=torch.float64, generator=generator)
    k = 1.2 + 2 * torch.rand(3, dtype=torch.float64, generator=generator)
    return x, k, 0.5 + torch.rand(3, dtype=torch.float64, generator=generator)


def plain(x, k, temperature):
    return soft_topk(x, k, temperature=temperature)


def masked(x, k, temperature):
    return soft_topk(x, k, temperature=temperature, kind="laplace", largest=False, mask=x > -2.5)


def row(name, call, options):
    def arguments(inputs):
        x, k, temperature = inputs
        mask = x > -2.5 if name == "masked" else None
        return (x, k.unsqueeze(-1), temperature.unsqueeze(-1), mask, None, *options)

    return torch_checks.Row(
        name=name,
        call=call,
        inputs=draw,
        differentiable=(0, 1, 2),
        raw=lambda: torch.ops.argrad.soft_topk.default,
        arguments=arguments,
    )


ROWS = [
    row("plain", plain, ("logistic", 4 / 3, True, False, False)),
    row("masked", masked, ("laplace", 4 / 3, False, False, False)),
]


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_torch(row, check):
    check(row)


@pytest.mark.parametrize("kind", ["logistic", "laplace", "l2", "pnorm", "gaussian", "threshold"])
@pytest.mark.parametrize("log", [False, True])
def test_two_derivatives(kind, log):
    x, k, temperature = draw(7, 3)
    if kind == "threshold":
        k = k.round()
    if log and kind in ("l2", "pnorm"):  # values of 0 have infinite logarithms
        k, temperature = k + 3, temperature * 4
    x, temperature = x.requires_grad_(), temperature.requires_grad_()
    k = k.requires_grad_(kind != "threshold")

    def call(x, k, temperature):
        return soft_topk(x, k, kind=kind, temperature=temperature, log=log, p=1.4)

    assert torch.isfinite(call(x, k, temperature)).all() or not log
    assert gradcheck(call, (x, k, temperature))
    assert gradgradcheck(call, (x, k, temperature))


@pytest.mark.parametrize("log", [False, True])
def test_float32_gradients_are_those_of_float64(log):
    x, k, temperature = draw(300, 0)
    g = torch.randn(3, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    for kind in ("logistic", "laplace", "l2", "pnorm", "gaussian"):
        for scale in (1.0, 0.03, 1e-3):
            found = {}
            for dtype in (torch.float32, torch.float64):
                inputs = [v.float().to(dtype).requires_grad_() for v in (x, k, temperature * scale)]
                y = soft_topk(inputs[0], inputs[1], temperature=inputs[2], kind=kind, log=log)
                wide = torch.where(torch.isfinite(y), g.to(dtype), 0.0)
                found[dtype] = torch.autograd.grad(y, inputs, wide)
            for a, b in zip(found[torch.float32], found[torch.float64], strict=True):
                assert (a - b).abs().max() <= 1e-3 * b.abs().max() + 1e-6, (kind, scale)


def test_integer_k_of_any_python_kind():
    x = torch.arange(4.0)
    assert torch.equal(soft_topk(x, 2), soft_topk(x, torch.tensor(2.0)))

"""The entmax family as torch operators."""

import pytest
import torch

import torch_checks
from argrad.decoding import entmax, entmax_conjugate, sparsemax


def scores(size, seed, *shape):
    """Scores without ties, and whose supports do not change nearby."""
    return torch.randn((*shape, size), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scored(size, seed):
    """Scores, and one alpha for each row."""
    generator = torch.Generator().manual_seed(seed + 7)
    return scores(size, seed, 3), 1.1 + 1.2 * torch.rand(3, dtype=torch.float64, generator=generator)


def shared(size, seed):
    return torch.softmax(scores(size, seed + 5, 3), -1)


def row(name, call, inputs, differentiable, raw, arguments):
    return torch_checks.Row(
        name, call, inputs, differentiable, lambda: getattr(torch.ops.argrad, raw).default, arguments
    )


ROWS = [
    row(
        "sparsemax",
        sparsemax,
        lambda size, seed: (scores(size, seed, 3),),
        (0,),
        "entmax",
        lambda inputs: (inputs[0], torch.full((3,), 2.0, dtype=torch.float64), "sparsemax"),
    ),
    row("entmax", entmax, scored, (0, 1), "entmax", lambda inputs: (inputs[0], inputs[1].double(), "entmax")),
    row(
        "entmax_conjugate",
        entmax_conjugate,
        scored,
        (0, 1),
        "entmax_conjugate",
        lambda inputs: (inputs[0], inputs[1].double(), None, "entmax_conjugate"),
    ),
    row(
        "entmax_conjugate of a target",
        lambda x, alpha, y: entmax_conjugate(x, alpha, target=y),
        lambda size, seed: (*scored(size, seed), shared(size, seed)),
        (0, 1),
        "entmax_conjugate",
        lambda inputs: (inputs[0], inputs[1].double(), inputs[2], "entmax_conjugate"),
    ),
    row(
        "entmax_conjugate of a class",
        lambda x, alpha: entmax_conjugate(x, alpha, target=torch.zeros(x.shape[:-1], dtype=torch.int64)),
        scored,
        (0, 1),
        "entmax_conjugate",
        lambda inputs: (inputs[0], inputs[1].double(), torch.tensor([1, 0, 2]), "entmax_conjugate"),
    ),
]


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_torch(row, check):
    if row.name == "sparsemax" and check is torch_checks.second_derivatives_are_right:
        second_derivative_of_sparsemax_is_zero()
        return
    check(row)


def second_derivative_of_sparsemax_is_zero():
    x = scores(6, 0, 3).requires_grad_()
    g = scores(6, 1, 3).requires_grad_()
    (first,) = torch.autograd.grad(sparsemax(x), x, g, create_graph=True)
    dx, dg = torch.autograd.grad(first, (x, g), scores(6, 2, 3))
    assert (dx == 0).all()
    assert dg.abs().max() > 0.1

"""The entmax family as torch operators."""

import pytest
import torch

import torch_checks
from argrad.decoding import (
    constrained_softmax,
    constrained_sparsemax,
    entmax,
    entmax_conjugate,
    sparsemax,
    topk_softmax,
)


def scores(size, seed, *shape):
    """Scores without ties, and whose supports do not change nearby."""
    return torch.randn((*shape, size), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scored(size, seed):
    """Scores, and one alpha for each row."""
    generator = torch.Generator().manual_seed(seed + 7)
    return scores(size, seed, 3), 1.1 + 1.2 * torch.rand(3, dtype=torch.float64, generator=generator)


def shared(size, seed):
    return torch.softmax(scores(size, seed + 5, 3), -1)


def bounded(size, seed):
    """Scores, and bounds of which some are reached."""
    generator = torch.Generator().manual_seed(seed + 3)
    return scores(size, seed, 3), 0.15 + 0.5 * torch.rand((3, size), dtype=torch.float64, generator=generator)


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
    row(
        "constrained_softmax",
        constrained_softmax,
        bounded,
        (0, 1),
        "constrained",
        lambda inputs: (*inputs, "constrained_softmax", None),
    ),
    row(
        "constrained_sparsemax",
        lambda x, upper: constrained_sparsemax(x, upper, total=1.3),
        bounded,
        (0, 1),
        "constrained",
        lambda inputs: (*inputs, "constrained_sparsemax", 1.3),
    ),
    row(
        "topk_softmax",
        lambda x: topk_softmax(x, 3, temperature=0.7),
        lambda size, seed: (scores(size, seed, 3),),
        (0,),
        "topk_softmax",
        lambda inputs: (inputs[0], torch.tensor([3, 3, 3]), torch.full((3,), 0.7, dtype=torch.float64), None),
    ),
    row(
        "topk_softmax with a bias",
        lambda x, bias: topk_softmax(x, 3, selection_bias=bias),
        lambda size, seed: (scores(size, seed, 3), scores(size, seed + 1, 3)),
        (0,),
        "topk_softmax",
        lambda inputs: (
            inputs[0],
            torch.tensor([3, 3, 3]),
            torch.full((3,), 0.7, dtype=torch.float64),
            inputs[1],
        ),
    ),
]


FLAT = ("sparsemax", "constrained_sparsemax")


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_torch(row, check):
    if row.name in FLAT and check is torch_checks.second_derivatives_are_right:
        second_derivative_is_that_of_a_linear_function(row)
        return
    check(row)


def second_derivative_is_that_of_a_linear_function(row):
    """Zero to the inputs, where gradgradcheck finds no path, and a difference of values to the upstream gradient."""
    inputs = torch_checks.fresh(row, grad=True)
    g = scores(6, 1, 3).requires_grad_()
    first = torch.autograd.grad(row.call(*inputs), inputs, g, create_graph=True)
    tangents = [scores(6, 2 + i, 3) for i in range(len(inputs))]
    *rest, dg = torch.autograd.grad(first, (*inputs, g), tangents)
    assert all((x == 0).all() for x in rest)
    step = 1e-6
    moved = [row.call(*[x + sign * step * t for x, t in zip(inputs, tangents, strict=True)]) for sign in (1, -1)]
    torch.testing.assert_close(dg, (moved[0] - moved[1]) / (2 * step), rtol=1e-6, atol=1e-8)

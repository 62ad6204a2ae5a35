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

"""Each check of the losses accepts a right loss and rejects wrong ones: a check not seen to fail is no check."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from torch.autograd.gradcheck import GradcheckError

import loss_checks
from argrad import nn
from argrad.losses import _check
from argrad.losses._reduce import ratio, reduce
from loss_rows import Row, each

if TYPE_CHECKING:
    from torch import Tensor


def power_loss(
    scores: Tensor,
    target: Tensor,
    scale: Tensor,
    *,
    power: float = 2.0,
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    empty: str | float = "skip",
    reduction: str = "mean",
) -> Tensor:
    """Return scale times the mean of |score|^power over the items whose target is positive: a right loss."""
    name = "power_loss"
    lists = _check.lists(name, scores, mask)
    positive = _check.labels(name, "target", target, lists)
    _check.tensor(name, "scale", scale)
    _check.shape(name, "scale", scale, (1,))
    _check.reducing(name, reduction, sample_weight, tuple(scores.shape[:-1]), empty)
    x = lists.scores.where(positive, 0.0)
    count = positive.sum(-1).to(x.dtype)
    values = scale.to(x.dtype).squeeze(0) * ratio((x.abs() ** power).sum(-1), count)
    return reduce(values, reduction, weights=sample_weight, counted=count > 0, empty=empty, dtype=lists.dtype)


def oracle(scores, target, scale, power=2.0):
    terms = [abs(s) ** power for s, t in zip(scores, target, strict=True) if t > 0]
    return scale[0] * sum(terms) / len(terms) if terms else None


def inputs(batch, size, generator):
    scores, target = torch.randn(2, batch, size, dtype=torch.float64, generator=generator)
    target[:, -2] = 1
    return scores, target, torch.tensor([0.7], dtype=torch.float64)


RIGHT = Row(
    function=power_loss,
    inputs=inputs,
    oracle=each(oracle, shared=(2,)),
    options=({}, {"power": 3.0}),
    empty=lambda scores, target, scale: (scores, -target.abs(), scale),
    differentiable=(0, 2),
    shared=(2,),
)


def pull(loss, scores, *rest, **options):
    """A value that is right with a gradient that is not."""
    return loss(0.9 * scores + 0.1 * scores.detach(), *rest, **options)


def weighted_mean(loss, *tensors, sample_weight=None, **options):
    """The mean divides by the sum of the weights."""
    value = loss(*tensors, sample_weight=sample_weight, **options)
    return value / sample_weight.mean() if sample_weight is not None and value.ndim == 0 else value


def any_reduction(loss, *tensors, reduction="mean", **options):
    return loss(*tensors, reduction=reduction if reduction in _check.REDUCTIONS else "mean", **options)


def any_empty(loss, *tensors, empty="skip", **options):
    return loss(*tensors, empty=0.0 if empty == "zero" or empty != empty else empty, **options)


def infinite_slope(loss, scores, target, *rest, **options):
    """The derivative of a root at 0, multiplied with 0."""
    missing = (target > 0).sum() == 0
    return loss(scores, target, *rest, **options) + (scores * ~missing).square().sum().sqrt() * 0


def no_batch(loss, scores, *rest, reduction="mean", **options):
    value = loss(scores, *rest, reduction=reduction, **options)
    return value.reshape(-1) if reduction == "none" else value


def loud(loss, scores, *rest, **options):
    """A branch on a value breaks the graph."""
    return loss(scores, *rest, **options) * (2 if scores.sum() > 1e9 else 1)


FAULTS = {
    "agrees_with_oracle": {
        "formula": lambda loss, *x, **o: loss(*x, **o) * 1.00001,
        "mask": lambda loss, *x, mask=None, **o: loss(*x, **o),
        "option": lambda loss, *x, power=2.0, **o: loss(*x, **o),
    },
    "gradients_are_right": {
        "slope": pull,
        "zero": lambda loss, *x, **o: loss(*[y.detach() for y in x], **o) + 0 * (x[0].sum() + x[2].sum()),
        "one of two": lambda loss, x, y, z, **o: loss(x, y, z.detach(), **o) + 0 * z.sum(),
    },
    "reductions_agree": {
        "sum": lambda loss, *x, reduction="mean", **o: (1 + (reduction == "sum")) * loss(*x, reduction=reduction, **o),
        "mean": lambda loss, *x, reduction="mean", **o: (
            (1 + (reduction == "mean")) * loss(*x, reduction=reduction, **o)
        ),
        "default": lambda loss, *x, reduction="sum", **o: loss(*x, reduction=reduction, **o),
        "empty examples count": lambda loss, *x, empty=0.0, **o: loss(*x, empty=empty, **o),
        "weights": lambda loss, *x, sample_weight=None, **o: loss(*x, **o),
        "weighted mean": weighted_mean,
        "any name": any_reduction,
    },
    "passes_over_empty_examples": {
        "value": lambda loss, *x, **o: loss(*x, **o) + 1,
        "empty": lambda loss, *x, empty="skip", **o: loss(*x, **o),
        "any empty": any_empty,
        "slope": lambda loss, *x, **o: loss(*x, **o) + x[0].sum() - x[0].sum().detach(),
        "slope without end": infinite_slope,
    },
    "keeps_dtype": {"double": lambda loss, *x, **o: loss(*x, **o).double()},
    "halves_are_computed_in_float32": {
        "in halves": lambda loss, x, *rest, **o: loss(x + 1 - 1, *rest, **o),
        "infinite": lambda loss, x, *rest, **o: loss(x * 1e5 / 1e5, *rest, **o),
    },
    "stays_finite": {
        "overflow": lambda loss, x, *rest, **o: loss(x.exp().log(), *rest, **o),
        "slope at 0": lambda loss, x, *rest, **o: loss(x.square().sqrt(), *rest, **o),
    },
    "ignores_the_order_of_the_batch": {
        "cumulative": lambda loss, x, *rest, **o: loss(x.cumsum(0), *rest, **o),
    },
    "ignores_companions": {
        "centred": lambda loss, x, *rest, **o: loss(x - x.mean(), *rest, **o),
        "size": lambda loss, x, *rest, **o: loss(x * (1 + 1e-14 * len(x)), *rest, **o),
    },
    "accepts_any_batch": {
        "flat": no_batch,
        "first dimension": lambda loss, x, *rest, **o: loss(x + torch.arange(len(x)).sum(), *rest, **o),
    },
    "keeps_nan_in_its_example": {
        "replaced": lambda loss, x, *rest, **o: loss(x.nan_to_num(), *rest, **o),
        "spread": lambda loss, x, *rest, **o: loss(x, *rest, **o) + 0 * x.sum(),
    },
    "refuses_wrong_shapes": {
        "broadcast": lambda loss, x, y, z, **o: loss(*torch.broadcast_tensors(x, y), z, **o),
        "numpy": lambda loss, x, y, z, **o: loss(x, torch.as_tensor(y), z, **o),
        "integers": lambda loss, x, *rest, **o: loss(x + 0.5 if hasattr(x, "dtype") else x, *rest, **o),
        "weights": lambda loss, *x, sample_weight=None, **o: loss(*x, **o),
        "mask": lambda loss, *x, mask=None, **o: loss(*x, **o),
    },
    "hides_masked_items": {
        "NaN": lambda loss, *x, **o: loss(*x, **o) + 0 * x[0].sum(),
        "slope": lambda loss, *x, **o: loss(*x, **o) + x[0].where(x[0].isfinite(), 0.0).mean(),
    },
    "targets_are_constants": {"target": lambda loss, x, y, z, **o: loss(x, y, z, **o) * y.abs().mean()},
    "compiles": {"graph": loud},
}


REJECTIONS = (
    AssertionError,
    AttributeError,  # a module that cannot be pickled
    pytest.fail.Exception,
    GradcheckError,
    torch._dynamo.exc.Unsupported,
)


def planted(fault):
    """The row of a loss with a fault."""

    # With the names of the right one's options, which checks read.
    def function(*tensors, power=2.0, mask=None, sample_weight=None, empty=None, reduction=None):
        options = {"power": power, "mask": mask, "sample_weight": sample_weight, "empty": empty, "reduction": reduction}
        return fault(power_loss, *tensors, **{name: x for name, x in options.items() if x is not None})

    function.__name__ = "power_loss"
    return dataclasses.replace(RIGHT, function=function)


@pytest.mark.parametrize("check", loss_checks.CHECKS[:-1], ids=lambda check: check.__name__)
def test_a_right_loss_passes(check):
    check(RIGHT)


@pytest.mark.parametrize(("check", "fault"), [(check, fault) for check, faults in FAULTS.items() for fault in faults])
def test_a_wrong_loss_is_rejected(check, fault):
    with pytest.raises(REJECTIONS):
        getattr(loss_checks, check)(planted(FAULTS[check][fault]))


def test_every_check_is_sabotaged():
    assert set(FAULTS) | {"twin_agrees"} == {check.__name__ for check in loss_checks.CHECKS}


def test_a_stop_gradient_is_checked_against_an_oracle_that_holds_still():
    def expected(scores, target, scale, power=2.0, at=None):
        value = oracle(scores, target, scale, power)
        return value if value is None else value * (scale if at is None else at[2])[0]

    held = planted(lambda loss, x, y, z, **o: loss(x, y, z, **o) * z.detach().squeeze(0))
    held = dataclasses.replace(held, oracle=each(expected, shared=(2,)), frozen=True)
    loss_checks.agrees_with_oracle(held)
    loss_checks.gradients_are_right(held)
    with pytest.raises(REJECTIONS):
        loss_checks.gradients_are_right(dataclasses.replace(held, frozen=False))
    moving = planted(lambda loss, x, y, z, **o: loss(x, y, z, **o) * z.squeeze(0))
    with pytest.raises(REJECTIONS):
        loss_checks.gradients_are_right(dataclasses.replace(held, function=moving.function))


# --- modules ---------------------------------------------------------------------------------------------------------


class PowerLoss(nn._twin("PowerLoss", power_loss)):
    """The module of the right loss, at a place where pickle finds it."""

    __qualname__ = "PowerLoss"


PowerLoss.__module__ = __name__


class Buffered(PowerLoss):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.register_buffer("steps", torch.zeros(1))


class Forgetful(PowerLoss):
    def __setattr__(self, name, value):
        super().__setattr__(name, 2.0 if name == "power" else value)


class Silent(PowerLoss):
    def extra_repr(self):
        return ""


class Broken(PowerLoss):
    def forward(self, *tensors, **options):
        torch._dynamo.graph_break()
        return super().forward(*tensors, **options)


class Lenient(PowerLoss):
    def __init__(self, no_such_setting=None, **settings):
        super().__init__(**settings)


class Unpicklable(PowerLoss):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.function = lambda x: x


def test_the_right_module_passes():
    loss_checks.twin_agrees(RIGHT, PowerLoss)


@pytest.mark.parametrize("twin", [Buffered, Forgetful, Silent, Broken, Lenient, Unpicklable])
def test_a_wrong_module_is_rejected(twin):
    with pytest.raises(REJECTIONS):
        loss_checks.twin_agrees(RIGHT, twin)

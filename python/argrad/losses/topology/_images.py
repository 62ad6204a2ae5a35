"""What the losses of topology share: checked images, and the way from bars to one value per image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from argrad import _check as checks
from argrad.losses import _check

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from argrad.topology import Barcode

FILTRATIONS = ("superlevel", "sublevel", "both")


class Images(NamedTuple):
    """Checked predictions.

    Attributes:
        prediction: shape (*lead, *S), in the dtype that is computed in: float32 for halves.
        lead: shape of the examples: (), (n,) or (n, c).
        spatial: how many dimensions S has.
        dtype: dtype of the loss.
    """

    prediction: Tensor
    lead: tuple[int, ...]
    spatial: int
    dtype: torch.dtype

    def zeros(self) -> Tensor:
        """Return a zero for each example, in one dimension; in float64, because many terms are added one by one."""
        import torch

        return self.prediction.new_zeros(math.prod(self.lead), dtype=torch.float64)

    def example(self, bars: Barcode) -> Tensor:
        """Return the number of the example that each bar belongs to."""
        several = len(self.lead) == 2 and self.lead[1] != 1
        example: Tensor = bars.batch * self.lead[1] + bars.channel if several else bars.batch
        return example

    def target(self, function: str, target: Tensor) -> Tensor:
        """Require a target of the prediction's shape; return it as a constant of its dtype."""
        constant = _check.constant(function, "target", target, tuple(self.prediction.shape))
        return constant.to(self.prediction.dtype)


def images(
    function: str, prediction: Tensor, spatial_dims: int | None, sample_weight: Tensor | None, reduction: str
) -> Images:
    """Require a floating tensor of images, and the options that all losses have."""
    _check.tensor(function, "prediction", prediction)
    checks.floating(function, "prediction", prediction, device=True)
    most = 3 if spatial_dims is None else checks.integer(function, "spatial_dims", spatial_dims, low=1, high=3)
    spatial = prediction.ndim if spatial_dims is None else most
    if not 1 <= spatial <= most or not spatial <= prediction.ndim <= spatial + 2:
        axes = ", ".join([f"s{i + 1}" for i in range(spatial)])
        expected = f"of shape ({axes}), (n, {axes}) or (n, c, {axes})"
        if spatial_dims is None:
            expected = "one image of 1 to 3 dimensions, or spatial_dims say how many are space"
        raise ValueError(f"{function}: prediction must be {expected}, got shape {tuple(prediction.shape)}")
    lead = tuple(prediction.shape[: prediction.ndim - spatial])
    if 0 in prediction.shape[len(lead) :]:
        raise ValueError(
            f"{function}: prediction must be images of at least one voxel, got shape {tuple(prediction.shape)}"
        )
    _check.reducing(function, reduction, sample_weight, lead)
    return Images(_check.wide(prediction), lead, spatial, prediction.dtype)


def degrees(function: str, dims: int | Sequence[int] | None, spatial: int) -> tuple[int, ...]:
    """Require degrees of images of so many dimensions; return them."""
    if dims is None:
        return tuple(range(spatial))
    return checks.integers(function, "dims", dims, low=0, high=spatial - 1)


def levels(function: str, filtration: str) -> tuple[str, ...]:
    """Require a filtration of a loss; return the filtrations whose losses are added."""
    checks.choice(function, "filtration", filtration, FILTRATIONS)
    return ("superlevel", "sublevel") if filtration == "both" else (filtration,)


def finite(x: Tensor) -> Tensor:
    """Return x with 0, without a slope, where it is not finite: essential bars have an end at infinity."""
    import torch

    # One pass sees that there is nothing to do, which is so without infinite values and essential bars. A device would
    # have to be waited for.
    if not torch.compiler.is_compiling() and x.is_cpu and math.isfinite(x.detach().sum().item()):
        return x
    return x.where(x.isfinite(), 0.0)


def added(values: Tensor, index: Tensor, terms: Tensor, factor: float = 1.0) -> Tensor:
    """Return the values with each term, times the factor, added at its index; in a fixed order on every device."""
    if values.is_cpu:
        return values.index_add(0, index, terms, alpha=factor)
    return values.index_put((index,), terms * factor, accumulate=True)

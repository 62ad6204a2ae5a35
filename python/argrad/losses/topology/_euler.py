"""The loss of the expected Euler characteristic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argrad.losses._reduce import reduce
from argrad.losses.topology._images import images

if TYPE_CHECKING:
    from torch import Tensor


def euler_characteristic_loss(
    prediction: Tensor,
    target: Tensor,
    *,
    spatial_dims: int | None = None,
    sample_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Give a prediction the Euler characteristic of the target, on average over masks drawn from it.

    With voxels drawn independently, a cell of the grid (voxel, edge, square, cube) is there if all its vertices are:

        value = (E chi(p) - chi(g))^2,    E chi(p) = SUM over cells of (-1)^dim  PROD over the cell's vertices of p,

    where chi is components minus loops in 2-D, and components minus tunnels plus cavities in 3-D (neighbours share a
    face).

    Args:
        prediction: probabilities, shape (*S), (n, *S) or (n, c, *S), floating.
        target: labels 0 and 1, or probabilities, of the same shape, numbers or booleans.
        spatial_dims: how many of the last dimensions are space, 1 to 3; None: all.
        sample_weight: factor on each example's value, shape (), (n,) or (n, c).
        reduction: "mean", "sum" or "none".

    Returns:
        The loss, of the dtype of `prediction`: a scalar, or for "none" one value per example, shape (), (n,) or (n, c).

    Raises:
        TypeError: not tensors, prediction not floating, or target complex.
        ValueError: shapes that do not fit, or an option out of range. An example with a NaN or an infinity has no
            finite value.

    Gradient:
        To `prediction`, at every voxel, and to `sample_weight`; exact everywhere, to any order.

    Determinism:
        A plain sum, in float64 over the cells; no randomness.

    Cost:
        One product per cell, 2^d for each voxel, forward and about twice that backward.

    References:
        Li, Ma, Ouyang, Paetzold, Rueckert, Kainz, "Topology Optimization in Medical Image Segmentation with Fast Euler
        Characteristic", IEEE TMI 2025, arXiv:2507.23763, where the characteristic of a segmentation is compared.

    Examples:
        >>> import torch
        >>> from argrad.losses.topology import euler_characteristic_loss
        >>> target = torch.tensor([[1.0, 1, 1], [1, 0, 1], [1, 1, 1]])  # one component, one loop
        >>> euler_characteristic_loss(torch.ones(3, 3), target)
        tensor(1.)
    """
    name = "euler_characteristic_loss"
    checked = images(name, prediction, spatial_dims, sample_weight, reduction)
    goal = checked.target(name, target)
    gap = _expected(checked.prediction, checked.spatial) - _expected(goal, checked.spatial)
    return reduce(gap * gap, reduction, weights=sample_weight, dtype=checked.dtype)


def _expected(p: Tensor, spatial: int) -> Tensor:
    """Return E chi of each image, in float64."""
    import torch

    # The cells of one more direction: those there were, and pairs of neighbours among them, of the other sign.
    cells = [(1, p)]
    for axis in range(-spatial, 0):
        size = p.shape[axis]
        pairs = [(-sign, cell.narrow(axis, 0, size - 1) * cell.narrow(axis, 1, size - 1)) for sign, cell in cells]
        cells += pairs
    axes = tuple(range(-spatial, 0))
    sums = [sign * cell.sum(axes, dtype=torch.float64) for sign, cell in cells]
    return torch.stack(sums).sum(0)

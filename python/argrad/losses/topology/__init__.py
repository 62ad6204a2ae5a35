"""Losses on the topology of segmentations, on the operators of `argrad.topology`: exact, with a gradient at few voxels.

Predictions are maps of probabilities, shape (*S), (n, *S) or (n, c, *S) with one to three spatial dimensions S;
`spatial_dims` says how many there are (None: all, one image). Every image of every channel is an example of its own,
whose value is summed over the degrees (components, loops, cavities). Every loss takes

- `sample_weight`, shape () or (n,) or (n, c): a factor on each example's value, constant or with gradient;
- `reduction`: "mean" over the examples (0 over none), "sum", or "none": one value for each.

Targets are constants: no gradient flows to them. float16 and bfloat16 predictions are computed in float32 and the loss
comes back in their dtype. Ends of bars that are infinite contribute nothing, so that a loss is finite wherever the
images are. Add a term for the overlap (Dice, cross-entropy): topology alone does not say where things are.
"""

from argrad.losses.topology._diagrams import betti_prior_loss, wasserstein_topology_loss
from argrad.losses.topology._euler import euler_characteristic_loss
from argrad.losses.topology._matching import betti_matching_loss

__all__ = ["betti_matching_loss", "betti_prior_loss", "euler_characteristic_loss", "wasserstein_topology_loss"]

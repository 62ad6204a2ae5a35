"""Ranking losses on the operators of `argrad.sorting`: their cost is that of a sort, and nothing is ever n x n.

Lists are rows: scores have shape (*batch, n) and `mask` says which items a padded list has. Every loss takes

- `sample_weight`, shape (*batch,): a factor on each list's value, constant or with gradient;
- `empty`: what becomes of a list with nothing to rank. "skip": value 0, and not counted by the mean, so that the other
  lists get the loss they would have without it. A number: the list counts with that value;
- `reduction`: "mean" over the lists that count (0 over none), "sum", or "none": one value for each list.

Targets are constants: no gradient flows to them. float16 and bfloat16 scores are computed in float32 and the loss comes
back in their dtype. Everything is finite for finite scores, whatever lies under the mask.
"""

from argrad.losses.ranking._networks import groco_loss, topk_cross_entropy_loss
from argrad.losses.ranking._neuralsort import lcron_loss, neural_ndcg_loss
from argrad.losses.ranking._pairs import mann_whitney_loss
from argrad.losses.ranking._ranks import spearman_loss

__all__ = [
    "groco_loss",
    "lcron_loss",
    "mann_whitney_loss",
    "neural_ndcg_loss",
    "spearman_loss",
    "topk_cross_entropy_loss",
]

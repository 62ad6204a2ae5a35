"""Sorting: differentiable sort, rank, top-k and permutations, in O(n log n) and without n x n arrays."""

from argrad.sorting._blackbox import blackbox_rank
from argrad.sorting._groups import GroupOrder, group_order
from argrad.sorting._pairwise import pairwise_sum
from argrad.sorting._permutation import SoftPermutation, soft_permutation
from argrad.sorting._perturbed import perturbed
from argrad.sorting._soft import permutahedron_blocks, soft_rank, soft_sort
from argrad.sorting._topk import soft_topk

__all__ = [
    "GroupOrder",
    "SoftPermutation",
    "blackbox_rank",
    "group_order",
    "pairwise_sum",
    "permutahedron_blocks",
    "perturbed",
    "soft_permutation",
    "soft_rank",
    "soft_sort",
    "soft_topk",
]

"""Sorting: differentiable sort, rank, top-k and permutations, in O(n log n) and without n x n arrays."""

from argrad.sorting._pairwise import pairwise_sum
from argrad.sorting._permutation import SoftPermutation, soft_permutation
from argrad.sorting._soft import permutahedron_blocks, soft_rank, soft_sort
from argrad.sorting._topk import soft_topk

__all__ = [
    "SoftPermutation",
    "pairwise_sum",
    "permutahedron_blocks",
    "soft_permutation",
    "soft_rank",
    "soft_sort",
    "soft_topk",
]

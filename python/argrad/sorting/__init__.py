"""Sorting: differentiable sort, rank, top-k and permutations, in O(n log n) and without n x n arrays."""

from argrad.sorting._permutation import SoftPermutation, soft_permutation

__all__ = ["SoftPermutation", "soft_permutation"]

"""Sorting: differentiable sort, rank, top-k and permutations, in O(n log n) and without n x n arrays."""

__all__: list[str] = []

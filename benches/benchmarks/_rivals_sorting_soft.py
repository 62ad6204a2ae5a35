"""Rivals of soft ranks and soft sorts: torchsort 0.1.10 (C++, one thread), and torch's exact sort."""

from typing import Any


def torchsort_rank(x: Any, strength: float = 1.0, regularization: str = "l2") -> Any:
    """Rank rows by torchsort, https://github.com/teddykoker/torchsort: two dimensions, "l2" or "kl", a number."""
    import torchsort

    return torchsort.soft_rank(x, regularization=regularization, regularization_strength=strength)


def torchsort_sort(x: Any, strength: float = 1.0, regularization: str = "l2") -> Any:
    """Sort rows by torchsort."""
    import torchsort

    return torchsort.soft_sort(x, regularization=regularization, regularization_strength=strength)


def exact_sort(x: Any) -> Any:
    """Sort rows by `torch.sort`, forward alone: what a soft rank with its backward is to be faster than."""
    return x.sort(-1)

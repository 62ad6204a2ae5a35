"""Sorting networks by diffsort 0.2.0 (MIT), the library of Petersen et al., and GroCo's loss on it.

Install it with `pip install --no-deps diffsort==0.2.0`; it needs torch and numpy. Its matrix has a row per item and a
column per rank: the transpose of ours. Its "logistic_phi" is our "logistic_art". It builds the comparators' one-hot
matrices in `DiffSortNet`, which therefore belongs to the setup and not to the measured time.
"""

from __future__ import annotations

from typing import Any


def network(form: str, n: int, distribution: str = "cauchy", steepness: float = 10.0) -> Any:
    """The module, with its constants in place."""
    import diffsort

    name = {"logistic_art": "logistic_phi"}.get(distribution, distribution)
    return diffsort.DiffSortNet(form, n, steepness=steepness, distribution=name)


def product(net: Any, x: Any, v: Any, transposed: bool) -> Any:
    """P @ v or P.mT @ v for lists x (b, n) and v (b, n, m), ascending."""
    _, matrix = net(x)
    return (matrix if transposed else matrix.mT) @ v

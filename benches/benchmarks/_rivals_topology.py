"""The rivals of the topology stem: topolosses' C++ core, GUDHI, cripser, and soft clDice in torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


@cache
def core() -> Any:
    """The Betti-Matching-3D module inside topolosses 0.2.0, without the package, which loads OpenCV."""
    files = importlib.metadata.files("topolosses") or []
    path = next(file for file in files if file.name.startswith("betti_matching.") and file.suffix == ".so")
    spec = importlib.util.spec_from_file_location("betti_matching", path.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def matching(f: np.ndarray, g: np.ndarray) -> Any:
    """Betti matching of two float64 images by sublevel sets."""
    return core().compute_matching(f, g)


def matched_values(f: np.ndarray, g: np.ndarray, result: Any) -> list[np.ndarray]:
    """Per degree the sorted (birth, death, birth, death) of the matches of `matching`."""
    found = []
    for k in range(f.ndim):
        ends = [
            x[tuple(getattr(result, f"input{side}_matched_{end}_coordinates")[k].T)]
            for side, x in ((1, f), (2, g))
            for end in ("birth", "death")
        ]
        table = np.stack(ends, 1) if len(ends[0]) else np.empty((0, 4))
        found.append(table[np.lexsort(table.T[::-1])])
    return found


def betti_matching_loss(processes: int, filtration: str = "superlevel") -> Any:
    """topolosses' loss without its base term."""
    from topolosses.losses import BettiMatchingLoss
    from topolosses.losses.utils import FiltrationType

    return BettiMatchingLoss(
        filtration_type=FiltrationType(filtration),
        num_processes=processes,
        use_base_loss=False,
        include_background=True,
    )


def gudhi_top_cells(x: np.ndarray) -> list[np.ndarray]:
    """GUDHI's routine for planes, voxels as top cells, values only: what its scikit-learn class calls."""
    from gudhi import _pers_cub_low_dim_ext

    return _pers_cub_low_dim_ext._persistence_on_rectangle_from_top_cells(x, 0.0)


def gudhi_vertices(x: np.ndarray) -> list[np.ndarray]:
    """GUDHI's general routine: voxels as vertices, values only."""
    import gudhi

    complex = gudhi.CubicalComplex(vertices=x)
    complex.compute_persistence()
    return [complex.persistence_intervals_in_dimension(k) for k in range(x.ndim)]


def cripser(x: np.ndarray) -> np.ndarray:
    """Rows of degree, birth, death, and their voxels; voxels as vertices."""
    import cripser

    return cripser.computePH(x)


def soft_cldice(prediction: Tensor, target: Tensor, iterations: int = 5) -> Tensor:
    """1 - soft clDice of planes, shape (b, c, h, w), by minimum and maximum windows."""

    def erode(x: Tensor) -> Tensor:
        pool = torch.nn.functional.max_pool2d
        return torch.minimum(-pool(-x, (3, 1), 1, (1, 0)), -pool(-x, (1, 3), 1, (0, 1)))

    def opened(x: Tensor) -> Tensor:
        return torch.nn.functional.max_pool2d(erode(x), 3, 1, 1)

    def skeleton(x: Tensor) -> Tensor:
        found = torch.relu(x - opened(x))
        for _ in range(iterations):
            x = erode(x)
            delta = torch.relu(x - opened(x))
            found = found + torch.relu(delta - found * delta)
        return found

    of_prediction, of_target = skeleton(prediction), skeleton(target)
    precision = ((of_prediction * target).sum() + 1) / (of_prediction.sum() + 1)
    recall = ((of_target * prediction).sum() + 1) / (of_target.sum() + 1)
    return 1 - 2 * precision * recall / (precision + recall)

"""Images with topology: vessels of any size, noise, and the photograph of a retina that scikit-image carries.

A pair is a prediction in [0, 1] and a target of zeros and ones, both float32, foreground 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benches.benchmarks._data import CACHE

if TYPE_CHECKING:
    from collections.abc import Sequence


def vessels(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Random walks that keep their direction for a while, thickened: 10 to 20 % of the voxels."""
    from scipy.ndimage import binary_dilation

    rng = np.random.default_rng(seed)
    d, size = len(shape), min(shape)
    walks = max(3, int(np.prod(shape) / size / (30 if d == 2 else 12 * size**0.5)))
    at = rng.random((walks, d)) * shape
    direction = rng.standard_normal((walks, d))
    mask = np.zeros(shape, bool)
    for _ in range(2 * size):
        direction += 0.3 * rng.standard_normal((walks, d))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        at = (at + direction) % shape
        mask[tuple(np.minimum(at.astype(int), np.array(shape) - 1).T)] = True
    return binary_dilation(mask)


def pair(shape: Sequence[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vessels, and what a network that is not sure of them might predict."""
    return _predicted(vessels(shape, seed), seed)


def _predicted(target: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A blurred target with smooth errors and noise, through a sigmoid."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed + 1)
    smooth = gaussian_filter(rng.standard_normal(target.shape), 2.0)
    logit = 6 * gaussian_filter(target.astype(float), 0.8) - 2.5
    logit += smooth / smooth.std() + 0.6 * rng.standard_normal(target.shape)
    return (1 / (1 + np.exp(-logit))).astype(np.float32), target.astype(np.float32)


def noise(shape: Sequence[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two images of independent uniform numbers: the hardest, and no binary target."""
    return tuple(np.random.default_rng(seed + i).random(shape, np.float32) for i in range(2))


def retina() -> tuple[np.ndarray, np.ndarray]:
    """The vessels of a retina, 1411 x 1411, found by Sato's filter, and a disturbed map of them."""
    path = CACHE / "retina.npy"
    if not path.exists():
        from skimage import data, filters, morphology

        ridge = filters.sato(data.retina()[..., 1] / 255.0, sigmas=range(1, 6))
        mask = filters.apply_hysteresis_threshold(ridge, 0.012, 0.03)
        CACHE.mkdir(exist_ok=True)
        np.save(path, morphology.remove_small_objects(mask, max_size=63))
    return _predicted(np.load(path), 0)

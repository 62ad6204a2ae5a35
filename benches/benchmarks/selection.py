"""Selection: time, peak memory, and the error of the estimate that the selection gives."""

from __future__ import annotations

import numpy as np

from argrad.selection import sensitivity_sample, weighted_sample

from . import _data

SCALE = 50 if _data.SMOKE else 1
SEEDS = range(2 if _data.SMOKE else 10)


def smooth_loss(x: np.ndarray) -> np.ndarray:
    """Return positive losses: a smooth function of the embedding times moderate noise."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(x.shape[1])
    projected = x @ direction.astype(x.dtype)
    projected = (projected - projected.mean()) / projected.std()
    return np.log1p(np.exp(2 * projected)) * rng.lognormal(0, 0.3, len(x))


class WeightedSample:
    """A weighted draw of 10^6 out of 2 * 10^7."""

    params = ([False, True],)
    param_names = ("replace",)

    def setup(self, replace: bool) -> None:
        self.weights = np.random.default_rng(0).lognormal(size=20_000_000 // SCALE)

    def time_weighted_sample(self, replace: bool) -> None:
        weighted_sample(self.weights, 1_000_000 // SCALE, replace=replace, random_state=0)

    def peakmem_weighted_sample(self, replace: bool) -> None:
        weighted_sample(self.weights, 1_000_000 // SCALE, replace=replace, random_state=0)


class Sensitivity:
    """Embeddings and losses to a weighted selection, end to end."""

    params = (["lsa", "patches"],)
    param_names = ("data",)
    timeout = 300
    n_clusters = 1000 // SCALE
    n_select = 10_000 // SCALE

    def setup(self, data: str) -> None:
        self.x = _data.load(data)
        self.loss = smooth_loss(self.x)

    def time_sensitivity_sample(self, data: str) -> None:
        sensitivity_sample(self.x, self.loss, self.n_select, n_clusters=self.n_clusters, random_state=0)

    def peakmem_sensitivity_sample(self, data: str) -> None:
        sensitivity_sample(self.x, self.loss, self.n_select, n_clusters=self.n_clusters, random_state=0)

    def track_error_over_uniform(self, data: str) -> float:
        """Root mean squared error of the estimated total, relative to uniform rows at the same number of queries."""
        ours, uniform = [], []
        for seed in SEEDS:
            chosen = sensitivity_sample(self.x, self.loss, self.n_select, n_clusters=self.n_clusters, random_state=seed)
            ours.append(chosen.estimate(self.loss[chosen.indices]).value / self.loss.sum() - 1)
            size = min(len(self.x), self.n_select + chosen.n_queries)
            rows = np.random.default_rng(seed).choice(len(self.x), size, replace=False)
            uniform.append(self.loss[rows].mean() / self.loss.mean() - 1)
        return float(np.sqrt(np.square(ours).mean() / np.square(uniform).mean()))

    track_error_over_uniform.unit = "ratio"  # type: ignore[attr-defined]

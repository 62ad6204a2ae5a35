"""Seeding: time, peak memory, and the quality that the time buys. The rivals are timed by `python -m benches.table`."""

from __future__ import annotations

from argrad.seeding import D2Sampler, assign, kmeans_plusplus

from . import _data, _quality, _rivals

SCALE = 50 if _data.SMOKE else 1
SEEDS = range(1 if _data.SMOKE else 3)


class Exact:
    """The main job: `kmeans_plusplus(X, k)`."""

    params = (["lsa", "patches", "gmmhi"], [100 // min(SCALE, 10), 1000 // SCALE])
    param_names = ("data", "k")
    timeout = 300

    def setup(self, data: str, k: int) -> None:
        self.x = _data.load(data)

    def time_kmeans_plusplus(self, data: str, k: int) -> None:
        kmeans_plusplus(self.x, k, random_state=0)

    def peakmem_kmeans_plusplus(self, data: str, k: int) -> None:
        kmeans_plusplus(self.x, k, random_state=0)

    def track_proposals_per_center(self, data: str, k: int) -> float:
        return D2Sampler(self.x, envelope="first").seed(k, random_state=0).n_proposals / k

    track_proposals_per_center.unit = "proposals"  # type: ignore[attr-defined]


class Methods:
    """Every method at a moderate k."""

    params = (["lsa", "patches"], ["exact", "rejection", "pass", "greedy", "greedy_coreset", "uniform"])
    param_names = ("data", "method")
    timeout = 300
    k = 100 // min(SCALE, 10)

    def setup(self, data: str, method: str) -> None:
        self.x = _data.load(data)

    def time_method(self, data: str, method: str) -> None:
        kmeans_plusplus(self.x, self.k, method=method, random_state=0)

    def track_potential_over_faiss(self, data: str, method: str) -> float:
        ours = [
            _quality.potential(self.x, kmeans_plusplus(self.x, self.k, method=method, random_state=s)[0]) for s in SEEDS
        ]
        theirs = [_quality.potential(self.x, _rivals.faiss_plusplus(self.x, self.k, s)) for s in SEEDS]
        return _quality.ratio(ours, theirs)[0]

    track_potential_over_faiss.unit = "ratio"  # type: ignore[attr-defined]


class Prepared:
    """One more seeding, without another pass over the data."""

    params = (["lsa", "patches"],)
    param_names = ("data",)

    def setup(self, data: str) -> None:
        self.x = _data.load(data)
        self.sampler = D2Sampler(self.x)
        self.sampler.prepare()
        self.sampler.seed(10, random_state=0)

    def time_prepare(self, data: str) -> None:
        D2Sampler(self.x).prepare()

    def time_seed_again(self, data: str) -> None:
        self.sampler.seed(1000 // SCALE, random_state=1)


class Assign:
    """Nearest centres of all rows."""

    params = (["lsa", "patches"],)
    param_names = ("data",)
    timeout = 300

    def setup(self, data: str) -> None:
        self.x = _data.load(data)
        self.centers = self.x[:: len(self.x) // (1000 // SCALE)].copy()

    def time_assign(self, data: str) -> None:
        assign(self.x, self.centers)

    def peakmem_assign(self, data: str) -> None:
        assign(self.x, self.centers)


class Potential:
    """The k-means potential as a loss of its centres: forward and backward."""

    def setup(self) -> None:
        import torch

        self.x = torch.from_numpy(_data.load("gmm")[: 100_000 // SCALE])
        self.centers = self.x[:: len(self.x) // 100].clone().requires_grad_(True)

    def time_forward_backward(self) -> None:
        from argrad.seeding import kmeans_potential

        kmeans_potential(self.x, self.centers).backward()

"""The guard list: short measurements that no change may slow down unnoticed.

As a program it is the worker of `benches.compare`: it reads the name of a guard from each line of its standard input
and answers with the seconds of one sample, or with `null` when this build of argrad lacks what the guard needs.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING = (ImportError, AttributeError, TypeError, ValueError)  # what an older build says to a newer call


@functools.cache
def _points(n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, d)).astype(np.float32)[rng.integers(0, 200, n)] + rng.standard_normal(
        (n, d), np.float32
    )


def kmeans_plusplus_small() -> Callable[[], object]:
    from argrad.seeding import kmeans_plusplus

    x = _points(5_000, 32)
    return lambda: [kmeans_plusplus(x, 50, random_state=seed) for seed in range(50)]


def kmeans_plusplus_mid() -> Callable[[], object]:
    from argrad.seeding import kmeans_plusplus

    x = _points(300_000, 64)
    return lambda: kmeans_plusplus(x, 500, random_state=0)


def assign() -> Callable[[], object]:
    from argrad.seeding import assign

    x = _points(60_000, 64)
    return lambda: assign(x, x[:200])


def weighted_sample_keys() -> Callable[[], object]:
    from argrad.selection import weighted_sample

    weights = np.random.default_rng(0).lognormal(size=1_000_000)
    return lambda: weighted_sample(weights, 50_000, method="keys", random_state=0)


def sensitivity_sample() -> Callable[[], object]:
    from argrad.selection import sensitivity_sample

    x = _points(20_000, 32)
    loss = 1 + np.square(x).sum(axis=1, dtype=np.float64)
    return lambda: sensitivity_sample(x, loss, 1_000, n_clusters=100, random_state=0)


def kmeans_potential() -> Callable[[], object]:
    import torch

    from argrad.seeding import kmeans_potential

    x = torch.from_numpy(_points(20_000, 32))
    centers = x[:100].clone().requires_grad_(True)
    return lambda: kmeans_potential(x, centers).backward()


@functools.cache
def _scores(b: int, n: int) -> Any:
    import torch

    return torch.randn((b, n), generator=torch.Generator().manual_seed(0)).requires_grad_()


def _both(call: Callable[[Any], Any], b: int, n: int) -> Callable[[], object]:
    """Forward and backward of an operator on lists."""
    x = _scores(b, n)
    return lambda: call(x).sum().backward()


def soft_rank_short() -> Callable[[], object]:
    from argrad.sorting import soft_rank

    return _both(lambda x: soft_rank(x, strength=0.02), 4096, 100)


def soft_rank_kl() -> Callable[[], object]:
    from argrad.sorting import soft_rank

    return _both(lambda x: soft_rank(x, regularization="kl"), 64, 1000)


def soft_sort_long() -> Callable[[], object]:
    from argrad.sorting import soft_sort

    return _both(soft_sort, 1, 500_000)


def soft_topk() -> Callable[[], object]:
    from argrad.sorting import soft_topk

    return _both(lambda x: soft_topk(x, 10, temperature=0.1), 256, 1000)


def softsort_product() -> Callable[[], object]:
    from argrad.sorting import soft_permutation

    return _both(lambda x: soft_permutation(x, method="softsort") @ x, 64, 1000)


def network_product() -> Callable[[], object]:
    from argrad.sorting import soft_permutation

    return _both(lambda x: soft_permutation(x, method="network").mT @ x, 1024, 11)


def pairwise_sum() -> Callable[[], object]:
    from argrad.sorting import pairwise_sum

    return _both(lambda x: pairwise_sum(x, x, kernel="softplus"), 1, 100_000)


def neural_ndcg_loss() -> Callable[[], object]:
    from argrad.losses.ranking import neural_ndcg_loss

    x = _scores(16, 240)
    relevance = (x.detach() > 1).long()
    return lambda: neural_ndcg_loss(x, relevance).backward()


@functools.cache
def _images(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth mask with structures of some voxels' width, and a noisy map of it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    for axis in range(len(shape)):
        for step in (1, 2, 3):
            x = x + np.roll(x, step, axis)
    logits = 4 * x / x.std() + rng.standard_normal(shape)
    return (1 / (1 + np.exp(-logits))).astype(np.float32), (x > 0).astype(np.float32)


def barcode_plane() -> Callable[[], object]:
    from argrad.topology import barcode

    prediction, _ = _images(512, 512)
    return lambda: barcode(prediction, filtration="superlevel")


def barcode_volume() -> Callable[[], object]:
    from argrad.topology import barcode

    prediction, _ = _images(40, 40, 40)
    return lambda: barcode(prediction, filtration="superlevel")


def betti_matching_plane() -> Callable[[], object]:
    from argrad.topology import betti_matching

    pair = _images(512, 512)
    return lambda: betti_matching(*pair)


def betti_matching_volume() -> Callable[[], object]:
    from argrad.topology import betti_matching

    pair = _images(32, 32, 32)
    return lambda: betti_matching(*pair)


def betti_matching_loss() -> Callable[[], object]:
    import torch

    from argrad.losses.topology import betti_matching_loss

    prediction, target = (torch.from_numpy(x) for x in _images(8, 1, 128, 128))
    prediction.requires_grad_()
    return lambda: betti_matching_loss(prediction, target, spatial_dims=2).backward()


def wasserstein_distance() -> Callable[[], object]:
    from argrad.topology import barcode, wasserstein_distance

    first, second = (barcode(x, dims=0, essential=False) for x in np.random.default_rng(0).random((2, 48, 48)))
    return lambda: wasserstein_distance(first, second, dims=0)


@functools.cache
def _logits(b: int, v: int) -> Any:
    import torch

    return torch.randn((b, v), generator=torch.Generator().manual_seed(0)) * 2


def topk_wide() -> Callable[[], object]:
    from argrad.decoding import topk

    x = _logits(64, 32_000)
    return lambda: [topk(x, 50) for _ in range(4)]


def bregman_decode() -> Callable[[], object]:
    from argrad.decoding import bregman_decode

    x = _logits(64, 32_000)
    return lambda: [bregman_decode(x, alpha=alpha, penalty=1e-3, seed=0) for alpha in (1.0, 1.3, 1.5, 2.0)]


def bregman_project() -> Callable[[], object]:
    from argrad.decoding import bregman_project

    x = _logits(64, 32_000).clone().requires_grad_()
    return lambda: bregman_project(x, alpha=1.5, k=50)[1].square().sum().backward()


def truncated_decode() -> Callable[[], object]:
    from argrad.decoding import truncated_decode

    x = _logits(64, 32_000)
    return lambda: [truncated_decode(x, top_p=p, temperature=0.7, seed=0) for p in (0.5, 0.9, 0.99)]


def entmax() -> Callable[[], object]:
    from argrad.decoding import entmax

    x = _logits(64, 32_000).clone().requires_grad_()
    return lambda: entmax(x, 1.5).square().sum().backward()


def entmax_loss() -> Callable[[], object]:
    from argrad.losses.fenchel_young import entmax_loss

    x = _logits(64, 32_000).clone().requires_grad_()
    target = x.detach().argmin(-1)
    return lambda: entmax_loss(x, target).backward()


def import_argrad() -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", "import argrad"], check=True)


GUARDS: dict[str, Callable[[], Callable[[], object]]] = {
    guard.__name__: guard
    for guard in (
        kmeans_plusplus_small,
        kmeans_plusplus_mid,
        assign,
        weighted_sample_keys,
        sensitivity_sample,
        kmeans_potential,
        soft_rank_short,
        soft_rank_kl,
        soft_sort_long,
        soft_topk,
        softsort_product,
        network_product,
        pairwise_sum,
        neural_ndcg_loss,
        barcode_plane,
        barcode_volume,
        betti_matching_plane,
        betti_matching_volume,
        betti_matching_loss,
        wasserstein_distance,
        topk_wide,
        bregman_decode,
        bregman_project,
        truncated_decode,
        entmax,
        entmax_loss,
        import_argrad,
    )
}


@functools.cache
def prepared(name: str) -> Callable[[], object] | None:
    """Return guard `name`, set up and warmed up, or None when this build cannot run it."""
    try:
        run = GUARDS[name]()
        run()
    except MISSING as error:
        print(f"benches.guards: {name}: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    return run


def sample(name: str) -> float | None:
    """Return the seconds of one run of guard `name`."""
    run = prepared(name)
    if run is None:
        return None
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    import argrad

    folder = os.environ["PYTHONPATH"]
    if not Path(argrad.__file__).is_relative_to(folder):
        sys.exit(f"benches.guards: argrad must come from {folder}, got {argrad.__file__}")
    for line in sys.stdin:
        print(json.dumps(sample(line.strip())), flush=True)


if __name__ == "__main__":
    main()

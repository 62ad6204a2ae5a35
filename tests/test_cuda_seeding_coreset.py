"""Greedy seeding on a coreset draws the rows that the host draws on a device, run on the host by the emulator."""

import numpy as np
import pytest

from argrad.seeding import _plusplus
from argrad.seeding._device_plusplus import Seeder
from test_cuda_seeding_plusplus import both, clusters


def small(monkeypatch, size):
    """Draw coresets of so many rows."""
    options = _plusplus.check_options
    monkeypatch.setattr(_plusplus, "check_options", lambda *args, **named: {**options(*args, **named), "coreset": size})


# Tiles hold 64 rows and 16 coordinates, parts of the sums 1024 rows (512 in double precision), pools 64 candidates.
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (2, 1, 2), (70, 3, 30), (1100, 18, 12), (2050, 2, 3)])
def test_all_rows_in_the_coreset(device, rng, dtype, n, d, k):
    both(device, rng.normal(size=(n, d)).astype(dtype), k, random_state=7, method="greedy_coreset")


@pytest.mark.parametrize("weighted", [False, True])
def test_sampled_coresets(device, rng, dtype, monkeypatch, weighted):
    X = clusters(rng, 1500, 5).astype(dtype)
    weights = rng.integers(0, 3, 1500) * 1.7 if weighted else None
    found = []
    for size in (40, 600):
        small(monkeypatch, size)
        found.append(both(device, X, 15, random_state=2**64 - 5, method="greedy_coreset", sample_weight=weights))
    assert found[0].tolist() != found[1].tolist()


@pytest.mark.parametrize("trials", [1, 64, 70])
def test_candidates(device, rng, trials):
    X = clusters(rng, 90, 2)
    both(device, X, 5, random_state=4, method="greedy_coreset", n_local_trials=trials)


def test_extension_past_the_coreset(device, rng, dtype, monkeypatch):
    extended, extend = [], Seeder.extend
    monkeypatch.setattr(Seeder, "extend", lambda *args: extended.append(1) or extend(*args))
    small(monkeypatch, 20)
    X = np.repeat(rng.normal(size=(25, 2)), 40, axis=0).astype(dtype)
    both(device, X, 25, random_state=3, method="greedy_coreset")
    assert extended


def test_one_row_has_most_of_the_mass(device, rng, monkeypatch):
    X = rng.normal(size=(900, 2))
    weights = np.ones(900)
    weights[500] = 1e6
    small(monkeypatch, 64)
    both(device, X, 6, random_state=3, method="greedy_coreset", sample_weight=weights)

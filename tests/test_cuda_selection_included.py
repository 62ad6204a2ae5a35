"""Draws by inclusion probabilities on a device take the rows of the host, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad import _native
from argrad.selection import _device_included, weighted_sample
from device_checks import same_draws

METHODS = ["systematic", "pivotal", "poisson"]


# Blocks of rows are 1024, those of a task 4096.
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "size"), [(1, 1), (33, 7), (33, 33), (1100, 300), (4200, 1)])
def test_draws(device, rng, dtype, method, n, size):
    weights = rng.uniform(0.1, 3, n).astype(dtype)
    weights[n // 3 :: 7] *= 0 if n > size else 1
    same_draws(device, weights, size, method=method, random_state=n)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 20, 250, 399, 400])
def test_certain_rows(device, rng, dtype, method, size):
    weights = np.exp(rng.normal(size=1500) * 3).astype(dtype)
    weights[rng.permutation(1500)[:1100]] = 0
    rows = same_draws(device, weights, size, method=method, random_state=size)
    assert size < 399 or weights.argmax() in rows


@pytest.mark.parametrize("rounds", [1, _device_included.ROUNDS])
@pytest.mark.parametrize("method", METHODS)
def test_weights_over_many_orders_of_magnitude(device, rng, monkeypatch, method, rounds):
    monkeypatch.setattr(_device_included, "ROUNDS", rounds)
    weights = np.exp(rng.normal(size=1300) * 20)
    for size in (60, 700):
        same_draws(device, weights, size, method=method, random_state=1)
    same_draws(device, np.array([1.0, 1e16]), 1, method=method, random_state=2)
    for exponent in (-1000, -1074):
        rows = same_draws(
            device, np.ldexp(rng.integers(1, 9, 70).astype(float), exponent), 20, method=method, random_state=3
        )
        assert method == "poisson" or len(set(rows.tolist())) == 20


def test_many_steps_of_filling(device, monkeypatch):
    monkeypatch.setattr(_device_included, "ROUNDS", 1)
    # Each step makes one more row certain: it weighs as much as its share of those below it.
    weights = [1.0] * 60
    for size in range(2, 40):
        weights.append(sum(weights) / size * 1.0001)
    same_draws(device, np.array(weights), 40, method="pivotal", random_state=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scheme", ["systematic", "pivotal"])
def test_given_probabilities(device, rng, scheme, seed):
    given = np.minimum(1.0, rng.uniform(0.0, 1.2, 1300))
    given[rng.permutation(1300)[:300]] = 0
    size = int(given.sum())
    given = _native.inclusion_probabilities("test", given, size)
    rows = _native.draw_included("test", given, size, scheme, seed)
    with device():
        found = _device_included.Included.given(given).draw(scheme, size, seed)
        again = _device_included.Included.of(given, size).probabilities()
    assert np.array_equal(found, rows)
    assert np.array_equal(again, _native.inclusion_probabilities("test", given, size))


def test_heights_that_rounding_carried_to_the_total(device):
    """They fall to the last row that is not certain, and the certain rows after it stay behind it."""
    given, counts, prefix = np.array([0.5, 0.25, 1.0, 0.25, 1.0, 0.0]), np.zeros(2, np.int64), np.zeros(2)
    rows = np.full(3, -1)
    with device():
        drawn = _device_included.Included.given(given)
        drawn._launch("sum_below<S>", 1, drawn.sums, counts, drawn.state, 6)
        drawn._launch("add_sums", 1, drawn.sums, prefix, drawn.state, 1, 3)
        assert (counts[0], prefix[1]) == (2, 1.0)
        counts[:] = 0, 2
        drawn.state.view(np.float64)[3] = 1e6  # the height lies beyond all
        drawn._launch("walk_included<S>", 1, prefix, counts, drawn.state, rows, 6, 3, 0, 0)
    assert rows.tolist() == [2, 3, 4]


# Rows as the walk may leave them: a row twice, at the ends and in a run.
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([0, 0, 2], [0, 2, 3]),
        ([2, 3, 3], [0, 2, 3]),
        ([0, 0, 0], [0, 2, 3]),
        ([0, 2, 3], [0, 2, 3]),
        ([3, 3], [2, 3]),
        ([0, 0, 2, 2], [0, 2, 2, 3]),
    ],
)
def test_repeated_rows_are_separated(device, rows, expected):
    weights, rows = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array(rows)
    with device():
        drawn = _device_included.Included(weights)
        drawn.state[9] = 1
        drawn._launch("separate_rows<S>", 1, drawn.state, rows, 5, len(rows))
    assert np.array_equal(rows, expected)


@pytest.mark.parametrize("method", METHODS)
def test_kinds_of_weights(device, rng, method):
    same_draws(device, rng.integers(0, 5, 300), 50, method=method, random_state=1)
    same_draws(device, rng.uniform(size=600)[::2], 50, method=method, random_state=1)
    same_draws(device, torch.tensor(rng.uniform(size=300)).bfloat16(), 50, method=method, random_state=1)
    same_draws(device, rng.uniform(size=300).astype(np.float16), 50, method=method, random_state=1)


def test_a_poisson_draw_can_be_empty(device):
    sizes = {len(same_draws(device, np.ones(9), 1, method="poisson", random_state=seed)) for seed in range(9)}
    assert 0 in sizes
    assert len(sizes) > 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, "few", 1e308])
@pytest.mark.parametrize("method", METHODS)
def test_what_the_host_refuses(device, rng, method, bad):
    weights = rng.uniform(1, 2, 1100)
    if bad == "few":
        weights[5:] = 0
    else:
        weights[1050:1060] = bad
    sentence = r"weighted_sample: (weights must be (finite.*1050|of a finite sum)|size must be at most.*5, got 6)"
    with device():
        if method == "poisson":  # waits for the device in every case
            with pytest.raises(ValueError, match=sentence):
                weighted_sample(weights, 6, method=method, random_state=0)
            return
        rows, inverse = weighted_sample(weights, 6, method=method, random_state=0, return_weights=True)
        assert set(rows) == {-1}
        assert np.isnan(inverse).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=sentence):
                weighted_sample(weights, 6, method=method, random_state=0)
            weighted_sample(weights[:5], 5, method=method, random_state=0)
        finally:
            argrad.set_device_validation(False)
        with pytest.raises(ValueError, match="weighted_sample: "):
            weighted_sample(weights, 1101, method=method)

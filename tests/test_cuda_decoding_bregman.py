"""The kernels of Bregman decoding give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.decoding import bregman_decode

PRIMAL = [0.3, 0.7, 0.9, 1.0, 1.1, 1.5, 1.9, 2.0, 2.5, 3.0, 5.0]
DUAL = [1.05, 1.2, 1.5, 2.0, 2.5, 3.0, 6.0]
FIXED = [(-np.inf, False), (-2.0, False), (0.0, False), (np.inf, False), (1.0, True)]
MEMBERS = [*[(alpha, False) for alpha in PRIMAL], *[(alpha, True) for alpha in DUAL]]


def agree(found, expected):
    """Whether two draws are the same, and their log-probabilities up to rounding."""
    assert np.asarray(found[0]).tolist() == np.asarray(expected[0]).tolist()
    assert np.asarray(found[1]).tolist() == np.asarray(expected[1]).tolist()
    np.testing.assert_allclose(np.asarray(found[2]), np.asarray(expected[2]), rtol=1e-12, atol=1e-12)


def same(device, logits, **options):
    """Require that a draw on the device is that of the host."""
    options = {"seed": 5, **options}
    expected = bregman_decode(logits, **options)
    with device():
        agree(bregman_decode(logits, **options), expected)
    return expected


@pytest.mark.parametrize(("alpha", "dual"), MEMBERS)
def test_adaptive(device, rng, alpha, dual):
    logits = rng.normal(size=(3, 300)) * np.array([[1.0], [3.0], [0.1]])
    _, size, _ = same(device, logits, alpha=alpha, dual=dual, penalty=np.array([0.02, 1e-3, 0.05]))
    assert size.max() > 2


@pytest.mark.parametrize(("alpha", "dual"), [*MEMBERS, *FIXED])
def test_fixed(device, rng, alpha, dual):
    logits = 3 * rng.normal(size=(2, 90))
    logits[1, 4:] = -np.inf
    same(device, logits, alpha=alpha, dual=dual, k=40)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"k": 50},
        {"penalty": 0.01},
        {"penalty": 1e-4, "alpha": 1.5},
        {"penalty": 2e-5, "alpha": 2.5, "max_k": 70},
        {"k": 400, "alpha": 2.0},
        {"k": 700, "alpha": 1.5, "temperature": 0.7},
    ],
    ids=str,
)
def test_long_rows(device, rng, dtype, options):
    logits = torch.tensor(2 * rng.normal(size=(2, 9000))).to(dtype)
    same(device, logits, **options)


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.5, 2.0])
def test_searches_that_need_more_tokens_than_have_room(device, rng, alpha):
    logits = rng.normal(size=(4, 2500)) * 0.1
    _, size, _ = same(device, logits, alpha=alpha, penalty={0.9: 1.1e-3, 1.0: 1.5e-3, 1.5: 2e-5, 2.0: 1e-6}[alpha])
    assert size.min() > 512


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 33), (2, 4096), (1, 9000), (0, 5)])
@pytest.mark.parametrize("kind", ["normal", "masked", "far"])
def test_draws_from_all_tokens(device, rng, shape, kind):
    logits = rng.normal(size=shape).astype(np.float32)
    if kind == "masked":
        logits[..., 1::3] = -np.inf
    elif kind == "far":
        logits[..., 1::2] = -1e9
    for step in range(3):
        expected = bregman_decode(logits, penalty=0.0, seed=1, step=step)
        with device():
            found = bregman_decode(logits, penalty=0.0, seed=1, step=step)
            many = bregman_decode(logits, k=shape[1], seed=1, step=step)
        for draw in (found, many):
            assert draw[0].tolist() == expected[0].tolist()
            assert draw[1].tolist() == expected[1].tolist()
            np.testing.assert_allclose(draw[2], expected[2], atol=2e-7)


def test_parameters_for_each_row(device, rng):
    logits = torch.tensor(rng.normal(size=(2, 3, 40)))
    seed = torch.tensor(rng.integers(-(2**62), 2**62, size=(2, 3)))
    row = torch.arange(6).reshape(2, 3) + 2**31
    temperature = torch.tensor([[0.0, 1.0, 0.5], [2.0, 1e-3, 100.0]])
    k = torch.tensor([[1, 2, 39], [40, 41, 2**40]])
    penalty = torch.tensor([[0.0, np.inf, 1e-12], [1.0, 1e-3, 0.0]], dtype=torch.float64)
    for options in ({"k": k}, {"penalty": penalty}, {"penalty": penalty, "alpha": 1.5, "max_k": 5}):
        same(device, logits, **options, temperature=temperature, seed=seed.abs(), row=row, step=row - 7)
    same(device, logits.numpy(), k=k.numpy(), temperature=temperature.numpy(), seed=3, row=row.numpy(), step=4)


def test_ties_are_in_the_order_of_places(device):
    logits = np.zeros((2, 5000), np.float32)
    logits[1, ::7] = 1.0
    _, size, _ = same(device, logits, k=100)
    assert size.tolist() == [100, 100]
    same(device, logits, penalty=0.05, alpha=1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": (1, np.nan)}, "logits must be finite or -inf, got NaN at row 1, column 3"),
        ({"logits": (1, np.inf)}, "logits must be finite or -inf, got inf at row 1, column 3"),
        ({"temperature": np.array([1.0, -1.0, 1.0])}, "temperature must be finite and >= 0, got -1 in row 1"),
        ({"penalty": np.array([1.0, 1e-13, 1.0])}, "penalty must be 0 or >= 1e-12, got .* in row 1"),
        ({"penalty": None, "k": np.array([1, 0, 1])}, "k must be >= 1, got 0 in row 1"),
        ({"step": np.array([1, 2**32, 1])}, "row and step must be .* in row 1"),
    ],
    ids=str,
)
def test_rows_that_the_host_refuses(device, rng, change, message):
    logits = rng.normal(size=(3, 8))
    if "logits" in change:
        logits[1, 3] = change["logits"][1]
    options = {"penalty": 0.1, "seed": 2, **{name: x for name, x in change.items() if name != "logits"}}
    with device():
        token, size, log_probability = bregman_decode(logits, **options)
        assert (
            (token >= 0).tolist() == (size > 0).tolist() == np.isfinite(log_probability).tolist() == [True, False, True]
        )
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=message):
                bregman_decode(logits, **options)
        finally:
            argrad.set_device_validation(False)

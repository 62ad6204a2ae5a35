"""The kernels of truncation give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.decoding import sample, truncate, truncated_decode

RULES = [
    {},
    {"top_k": 50},
    {"top_k": 700},
    {"top_p": 0.6},
    {"top_p": 0.97},
    {"min_p": 0.05},
    {"min_p": 1e-4},
    {"top_h": 0.4},
    {"top_h": 0.9},
    {"typical_p": 0.3},
    {"typical_p": 0.95},
    {"epsilon": 3e-4},
    {"eta": 0.3},
    {"eta": 2e-4},
    {"top_n_sigma": 1.0},
    {"p_less": True},
    {"surprise": 9.5},
    {"top_k": 5, "typical_p": 0.9},
    {"top_k": 600, "top_p": 0.9, "min_p": 0.01},
    {"top_p": 0.9, "typical_p": 0.6, "top_k": 20, "order": ("top_p", "typical_p", "top_k")},
    {"typical_p": 0.5, "top_p": 0.5, "top_h": 0.8, "order": ("typical_p", "top_p", "top_h")},
    {"top_h": 0.99, "top_k": 2000, "epsilon": 1e-4, "eta": 1e-3, "max_k": 100},
]
names = pytest.mark.parametrize("rules", RULES, ids=str)


def same_draws(device, logits, tolerance, **options):
    """Require that a draw on the device is that of the host."""
    expected = truncated_decode(logits, **options)
    with device():
        found = truncated_decode(logits, **options)
    assert np.asarray(found[0]).tolist() == np.asarray(expected[0]).tolist()
    assert np.asarray(found[1]).tolist() == np.asarray(expected[1]).tolist()
    np.testing.assert_allclose(np.asarray(found[2]), np.asarray(expected[2]), rtol=tolerance, atol=tolerance)


def same_tokens(device, logits, tolerance, **options):
    """Require that the tokens that are kept are those of the host."""
    expected = truncate(logits, **options)
    with device():
        found = truncate(logits, **options)
    for y, x in zip(found, expected, strict=True):
        assert (y.dtype, y.shape) == (x.dtype, x.shape)
    assert np.asarray(found[0]).tolist() == np.asarray(expected[0]).tolist()
    assert np.asarray(found[2]).tolist() == np.asarray(expected[2]).tolist()
    values = [np.asarray(torch.as_tensor(x[1]).double()) for x in (found, expected)]
    np.testing.assert_allclose(*values, rtol=tolerance, atol=tolerance)


@names
def test_long_rows(device, rng, rules):
    # A peaked row, a flat one, one with far and absent tokens, and one that is almost uniform.
    logits = rng.normal(size=(4, 5000)) * np.array([[3.0], [0.7], [2.0], [1e-3]])
    logits[2, ::3] = -np.inf
    logits[2, 1::3] = -1e9
    same_tokens(device, logits, 1e-12, temperature=0.9, **rules)
    same_draws(device, logits, 1e-12, temperature=0.9, seed=3, **rules)


@pytest.mark.parametrize("rule", ["top_h", "top_p", "typical_p"])
def test_many_shares(device, rng, rule):
    # So many that a prefix ends at the first token of a bin, at the last, and between.
    logits = np.repeat(0.3 * rng.normal(size=(1, 400)), 8, axis=0)
    rules = {rule: np.linspace(0.7, 0.98, 8)}
    same_tokens(device, logits, 1e-12, **rules)
    same_draws(device, logits, 1e-12, seed=2, **rules)


@names
def test_ties(device, rng, rules):
    logits = np.round(rng.normal(size=(2, 4500)))
    logits[1] = 0.25
    same_draws(device, logits, 1e-12, seed=9, **rules)
    if "typical_p" not in rules:  # the host sorts all the tied tokens
        same_tokens(device, logits, 1e-12, **rules)


@names
def test_short_rows(device, rng, rules):
    for v in (1, 33, 257):
        logits = 2 * rng.normal(size=(1, 2, v))
        logits[..., 1::4] = -np.inf
        same_tokens(device, logits, 1e-12, **rules)
        same_draws(device, logits, 1e-12, seed=4, step=7, row=2**31, **rules)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("rules", [{"top_p": 0.9}, {"min_p": 0.01}, {"typical_p": 0.7}], ids=str)
def test_storage(device, rng, dtype, rules):
    logits = torch.tensor(1.5 * rng.normal(size=(2, 4200))).to(dtype)
    same_tokens(device, logits, 2e-3 if dtype != torch.float32 else 1e-6, **rules)
    same_draws(device, logits, 3e-7, seed=11, **rules)


def test_numbers_for_each_row(device, rng):
    logits = torch.tensor(rng.normal(size=(2, 3, 300)))
    top_k = torch.tensor([[1, 2, 290], [300, 10**12, 5]])
    top_p = torch.tensor([[0.0, 1.0, 0.5], [0.9, 1e-3, 1.0]], dtype=torch.float64)
    temperature = torch.tensor([[0.0, 1.0, 0.5], [2.0, 1e-3, 100.0]], dtype=torch.float64)
    same_tokens(device, logits, 1e-12, top_k=top_k, top_p=top_p, temperature=temperature)
    for step in range(4):
        same_draws(device, logits, 1e-12, top_k=top_k, top_p=top_p, temperature=temperature, seed=step, step=step)


def test_extreme_numbers(device, rng):
    logits = rng.normal(size=(2, 4200))
    for rules in (
        {"top_p": 0.0},
        {"top_p": 1.0},
        {"min_p": 1.0},
        {"min_p": 0.0},
        {"top_h": 0.0},
        {"top_h": 1.0},
        {"typical_p": 0.0},
        {"typical_p": 1.0},
        {"top_n_sigma": 0.0},
        {"surprise": -5.0},
        {"surprise": 1e6},
        {"eta": 0.0},
        {"max_k": 1},
    ):
        same_draws(device, logits, 1e-12, seed=1, **rules)


def test_empty_batches(device):
    with device():
        assert [x.shape for x in truncate(np.empty((0, 5)), top_p=0.5)] == [(0, 0), (0, 0), (0,)]
        assert [x.shape for x in truncated_decode(np.empty((0, 5)), seed=0)] == [(0,)] * 3
        assert sample(np.empty((0, 2), np.int64), np.empty((0, 2)), np.empty(0, np.int64), seed=0)[0].shape == (0,)


@pytest.mark.parametrize("rules", [{"top_p": 0.9}, {"top_k": 4, "temperature": 0.7}, {"temperature": 0.0}], ids=str)
def test_derivatives(device, rng, rules):
    x = torch.tensor(rng.normal(size=(3, 40)), requires_grad=True)
    upstream = torch.tensor(rng.normal(size=(3, 40)))
    outcomes = []
    for place in (torch.no_grad, device):
        with place(), torch.enable_grad():
            indices, values, _ = truncate(x, **rules)
            (first,) = torch.autograd.grad((values * upstream[:, : values.shape[1]]).sum(), x, create_graph=True)
            (second,) = torch.autograd.grad((first**2).sum(), x)
        outcomes.append((indices, values.detach(), first.detach(), second))
    for y, z in zip(*outcomes, strict=True):
        torch.testing.assert_close(y, z, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("k", [1, 31, 33, 300])
def test_sample(device, rng, dtype, k):
    values = torch.tensor(rng.uniform(size=(4, 2, k))).to(dtype)
    values[..., 1::2] = 0
    indices = torch.tensor(rng.integers(0, 1000, size=(4, 2, k)))
    size = torch.tensor(rng.integers(1, k + 1, size=(4, 2)))
    row = torch.arange(8).reshape(4, 2) * 2**29
    for step in range(3):
        for options in ({"seed": 5}, {"seed": row + 1, "row": row}):
            expected = sample(indices, values, size, step=step, **options)
            with device():
                found = sample(indices, values, size, step=step, **options)
            assert torch.equal(found[0], expected[0])
            torch.testing.assert_close(found[1], expected[1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("part", "place", "number", "message"),
    [
        ("size", 1, 0, "size must be from 1 to 3, got 0 in row 1"),
        ("size", 1, 4, "size must be from 1 to 3, got 4 in row 1"),
        ("values", (1, 0), -1.0, "values must be finite and >= 0, got -1 in row 1"),
        ("values", (1, 1), np.nan, "values must be finite and >= 0, got NaN in row 1"),
        ("values", 1, 0.0, "values must have a positive, finite sum"),
        ("indices", 1, -1, "indices must be >= 0 in the first 2 places, got -1 in row 1"),
    ],
)
def test_sample_refuses_rows_as_the_host(device, part, place, number, message):
    given = {"indices": np.arange(6).reshape(2, 3), "values": np.ones((2, 3)), "size": np.array([3, 2])}
    given[part][place] = number
    with device():
        token, log_probability = sample(**given, seed=0)
        assert (token >= 0).tolist() == np.isfinite(log_probability).tolist() == [True, False]
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=message):
                sample(**given, seed=0)
        finally:
            argrad.set_device_validation(False)


@pytest.mark.parametrize(
    ("number", "rules", "message"),
    [
        (np.nan, {"top_p": 0.5}, "logits must be finite or -inf, got NaN at row 1, column 3"),
        (np.inf, {}, "logits must be finite or -inf, got inf at row 1, column 3"),
        (0.0, {"top_p": np.array([0.5, 1.5])}, "top_p must be >= 0 and <= 1, got 1.5 in row 1"),
        (0.0, {"top_k": np.array([1, 0])}, "top_k must be >= 1, got 0 in row 1"),
        (0.0, {"eta": np.array([0.5, 1.0])}, "eta must be >= 0 and < 1, got 1 in row 1"),
        (0.0, {"top_n_sigma": np.array([0.5, -1.0])}, "top_n_sigma must be >= 0 and finite, got -1 in row 1"),
        (0.0, {"surprise": np.array([0.5, np.nan])}, "surprise must be finite, got NaN in row 1"),
        (0.0, {"temperature": np.array([0.5, np.inf])}, "temperature must be a finite number >= 0, got inf in row 1"),
    ],
)
def test_rows_that_the_host_refuses(device, rng, number, rules, message):
    logits = rng.normal(size=(2, 6))
    logits[1, 3] = number
    with device():
        token, size, log_probability = truncated_decode(logits, seed=0, **rules)
        assert (token >= 0).tolist() == (size > 0).tolist() == np.isfinite(log_probability).tolist() == [True, False]
        indices, values, size = truncate(logits, **rules)
        assert np.isnan(values[1]).all()
        assert (indices[1] == -1).all()
        assert size[1] == -1
        argrad.set_device_validation(True)
        try:
            for call in (truncate, truncated_decode):
                with pytest.raises(ValueError, match=message):
                    call(logits, **rules)
        finally:
            argrad.set_device_validation(False)

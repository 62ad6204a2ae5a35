"""Softmax on the k largest logits against loops; ties, biases, limits and errors."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import checks
import decoding_rows
from argrad.decoding import topk_softmax


def loop(x, k, temperature=1.0, bias=None):
    """One row, from the definition."""
    keys = x if bias is None else x + bias
    live = [i for i in range(len(x)) if keys[i] > -np.inf]
    chosen = sorted(live, key=lambda i: (-keys[i], i))[:k]
    p = np.zeros(len(x))
    top = max(x[i] for i in chosen)
    if temperature == 0:
        p[next(i for i in chosen if x[i] == top)] = 1
        return p
    for i in chosen:
        p[i] = np.exp((x[i] - top) / temperature)
    return p / p.sum()


@pytest.mark.parametrize("kind", decoding_rows.KINDS)
@pytest.mark.parametrize("k", [1, 2, 7, 60, 300, 1000])
def test_values_are_those_of_the_loop(kind, k, rng):
    x = decoding_rows.draw(kind, (3, 300)).astype(np.float64)
    bias = rng.normal(size=300)
    for temperature in (1.0, 0.3, 0.0):
        expected = np.stack([loop(row, k, temperature) for row in x])
        assert_allclose(topk_softmax(x, k, temperature=temperature), expected, rtol=1e-12, atol=0)
        expected = np.stack([loop(row, k, temperature, bias) for row in x])
        found = topk_softmax(x, k, temperature=temperature, selection_bias=bias)
        assert_allclose(found, expected, rtol=1e-12, atol=0)


def test_parameters_may_differ_between_rows(rng):
    x = rng.normal(size=(2, 3, 20))
    k = np.array([[1, 2, 3], [20, 25, 6]])
    temperature = np.array([[1.0, 0.0, 2.0], [0.5, 1e-3, 1e4]])
    bias = rng.normal(size=(3, 1)) * rng.normal(size=20)
    found = topk_softmax(x, k, temperature=temperature, selection_bias=bias)
    for i in np.ndindex(2, 3):
        assert_allclose(found[i], loop(x[i], k[i], temperature[i], bias[i[1]]), rtol=1e-11, atol=1e-300)


def test_a_bias_chooses_and_weighs_nothing():
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    bias = np.array([100.0, 0.0, 0.0, 0.0])
    found = topk_softmax(x, 2, selection_bias=bias)
    assert_allclose(found, [[np.exp(-3) / (1 + np.exp(-3)), 0, 0, 1 / (1 + np.exp(-3))]], rtol=1e-14)
    masked = np.array([-np.inf, 2.0, 1.0])
    assert_allclose(topk_softmax(masked, 3, selection_bias=np.array([9.0, 0, 0])), loop(masked, 3), rtol=1e-14)


def test_gradients_stay_on_the_support(rng):
    x = torch.from_numpy(rng.normal(size=(3, 200))).requires_grad_()
    bias = torch.from_numpy(rng.normal(size=200)).requires_grad_()
    g = torch.from_numpy(rng.normal(size=(3, 200)))
    for k in (5, 150):  # the second is not kept
        p = topk_softmax(x, k, temperature=0.7, selection_bias=bias)
        to_x, to_bias = torch.autograd.grad(p, (x, bias), g, allow_unused=True)
        assert to_bias is None
        q = p.detach()
        expected = q * (g - (q * g).sum(-1, keepdim=True)) / 0.7
        torch.testing.assert_close(to_x, expected, rtol=1e-12, atol=1e-14)
        assert (to_x[q == 0] == 0).all()
    (cold,) = torch.autograd.grad(topk_softmax(x, 5, temperature=0.0), x, g)
    assert (cold == 0).all()


def test_house_rules(rng):
    x = rng.normal(size=(6, 333)).astype(np.float32)

    def call(x):
        return topk_softmax(x, 9, temperature=0.8)

    checks.keeps_dtype(call, x)
    checks.keeps_kind(call, x)
    checks.accepts_any_layout(call, x)
    checks.leaves_input_alone(call, x)
    checks.accepts_empty(call, x, [(0, 333)])
    checks.treats_rows_alone(call, x)
    checks.same_for_all_threads_and_levels(lambda: call(x))


def test_refusals():
    name, x = "topk_softmax", np.zeros((3, 4))
    for value in (np.nan, np.inf):
        bad = x.copy()
        bad[2, 1] = value
        for bias in (None, np.zeros(4)):
            found = checks.raises_sentence(
                ValueError, lambda b=bad, bias=bias: topk_softmax(b, 2, selection_bias=bias), name, "logits"
            )
            assert "at row 2, column 1" in found
    checks.raises_sentence(ValueError, lambda: topk_softmax(x - np.inf, 2), name, contains="only -inf in row 0")
    for value in (np.nan, np.inf, -np.inf):
        bias = np.array([0.0, 0.0, value, 0.0])
        checks.raises_sentence(
            ValueError, lambda b=bias: topk_softmax(x, 2, selection_bias=b), name, "selection_bias", contains="row 0"
        )
    for k in (0, -3):
        checks.raises_sentence(ValueError, lambda k=k: topk_softmax(x, k), name, "k")
        each = np.array([1, 2, k])
        checks.raises_sentence(ValueError, lambda k=each: topk_softmax(x, k), name, "k", contains="for row 2")
    for temperature in (-1.0, np.nan, np.inf):
        checks.raises_sentence(ValueError, lambda t=temperature: topk_softmax(x, 1, temperature=t), name, "temperature")
        each = np.array([1.0, 2.0, temperature])
        found = checks.raises_sentence(
            ValueError, lambda t=each: topk_softmax(x, 1, temperature=t), name, "temperature"
        )
        assert "for row 2" in found
    checks.raises_sentence(TypeError, lambda: topk_softmax(x, 1.5), name, "k")
    checks.raises_sentence(ValueError, lambda: topk_softmax(x, 1, selection_bias=np.zeros(3)), name, "selection_bias")
    checks.raises_sentence(
        TypeError, lambda: topk_softmax(x, 1, selection_bias=np.zeros(4, np.float32)), name, "selection_bias"
    )
    checks.raises_sentence(TypeError, lambda: topk_softmax(x.astype(int), 1), name, "logits")

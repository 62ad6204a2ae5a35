"""topk and logit_statistics."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

import checks
import oracles_decoding
import torch_checks
from argrad.decoding import logit_statistics, topk
from decoding_rows import KINDS, draw


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("v", "k"), [(1, 1), (15, 15), (300, 7), (5000, 50), (5000, 2000), (32000, 256), (40001, 1)])
def test_topk_is_a_stable_sort(kind, v, k):
    x = draw(kind, (2, v))
    for largest in (True, False):
        order = np.argsort(-x if largest else x, kind="stable")[:, :k]
        for y in (x, x.astype(np.float64)):
            values, places = topk(y, k, largest=largest)
            assert (values.dtype, places.dtype) == (y.dtype, np.int64)
            np.testing.assert_array_equal(places, order)
            checks.assert_same(values, np.take_along_axis(y, order, -1))


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=60), st.data())
def test_topk_is_the_loop(row, data):
    k = data.draw(st.integers(0, len(row)))
    for largest in (True, False):
        _, places = topk(np.array(row), k, largest=largest)
        assert places.tolist() == oracles_decoding.topk(row, k, largest)


def test_topk_agrees_with_torch_and_keeps_halves():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.randn((3, 4, 700), generator=torch.Generator().manual_seed(2)).to(dtype)
        values, _ = topk(x, 20)
        assert values.dtype == dtype
        assert torch.equal(values, torch.topk(x, 20).values)


def test_topk_names_the_nan_and_its_arguments():
    x = np.zeros((3, 5000), np.float32)
    x[2, 4500] = np.nan
    checks.raises_sentence(ValueError, lambda: topk(x, 3), "topk", "x", contains=["NaN at row 2, column 4500"])
    checks.raises_sentence(ValueError, lambda: topk(x, 5001), "topk", "k", contains=["5001"])
    checks.raises_sentence(ValueError, lambda: topk(x, -1), "topk", "k", contains=["-1"])
    checks.raises_sentence(TypeError, lambda: topk(x, 2.0), "topk", "k")
    checks.raises_sentence(TypeError, lambda: topk(x, 2, largest=1), "topk", "largest")
    checks.raises_sentence(TypeError, lambda: topk([1.0], 1), "topk", "x")
    checks.raises_sentence(TypeError, lambda: topk(np.zeros(3, int), 1), "topk", "x", contains=["int64"])
    for empty in (np.zeros((2, 0)), np.zeros(())):
        with pytest.raises(ValueError, match=r"^topk: x must have rows of at least one number, got shape "):
            topk(empty, 0)


def test_topk_of_nothing():
    for shape in ((0, 5), (2, 0, 5)):
        values, places = topk(np.zeros(shape), 2)
        assert values.shape == places.shape == (*shape[:-1], 2)
    values, places = topk(np.zeros((3, 5)), 0)
    assert values.shape == places.shape == (3, 0)


def test_layouts_and_inputs():
    x = draw("ties", (6, 900))
    for call in (lambda y: topk(y, 9), lambda y: tuple(logit_statistics(y))):
        checks.accepts_any_layout(call, x)
        checks.leaves_input_alone(call, x)
        checks.treats_rows_alone(call, x)


@pytest.mark.parametrize("kind", KINDS)
def test_every_thread_and_instruction_set(kind):
    x = draw(kind, (5, 9000))
    for y in (x, x.astype(np.float64)):
        checks.same_for_all_threads_and_levels(lambda y=y: (*topk(y, 60), *logit_statistics(y, temperature=0.7)))


TOPK = torch_checks.Row(
    name="topk",
    call=lambda x: topk(x, 3)[0],
    inputs=lambda size, seed: (
        torch.randn((2, size), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)),
    ),
    differentiable=(0,),
    raw=lambda: torch.ops.argrad.topk.default,
    arguments=lambda inputs: (*inputs, 3, True),
)


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
def test_torch(check):
    check(TOPK)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
def test_statistics_are_the_loops(kind, temperature):
    x = draw(kind, (2, 3000))
    for y, tolerance in ((x, 1e-6), (x.astype(np.float64), 1e-12)):
        found = logit_statistics(y, temperature=temperature)
        for i, row in enumerate(y.astype(np.float64).tolist()):
            expected = oracles_decoding.statistics(row, temperature)
            np.testing.assert_allclose([column[i] for column in found], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "masked"])
@pytest.mark.parametrize("v", [32000, 128256, 262144])
def test_the_normalizer_is_exact_to_1e_7(kind, v):
    x = draw(kind, (v,)) + np.float32(3)
    for temperature in (0.1, 0.7, 1.0, 1.5, 1e4):
        wide = x.astype(np.float64) / temperature
        exact = wide.max() + np.log(np.sort(np.exp(wide - wide.max())).sum())
        # A relative error of the normaliser is an absolute one of its logarithm.
        assert abs(logit_statistics(x, temperature=temperature).lse - exact) <= 1e-7 + 1e-15 * abs(exact)


def test_temperatures_per_row_and_bad_ones():
    x = draw("gaussian", (3, 100))
    tau = np.array([0.5, 1.0, 2.0])
    found = logit_statistics(x, temperature=tau)
    for i in range(3):
        checks.assert_same(found.lse[i], logit_statistics(x[i], temperature=float(tau[i])).lse[()])
    for bad, text in ((0.0, "0"), (-1.0, "-1"), (float("nan"), "nan"), (float("inf"), "inf")):
        checks.raises_sentence(
            ValueError,
            lambda bad=bad: logit_statistics(x, temperature=bad),
            "logit_statistics",
            "temperature",
            contains=[text],
        )
        tau = np.array([1.0, 1.0, bad])
        with pytest.raises(ValueError, match=r"^logit_statistics: temperature must be .* row 2$"):
            logit_statistics(x, temperature=tau)
    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\)"):
        logit_statistics(x, temperature=np.ones(2))
    with pytest.raises(TypeError, match="temperature"):
        logit_statistics(x, temperature=torch.ones(3))


def test_bad_rows_are_named():
    x = draw("gaussian", (3, 100))
    for bad, text in ((np.nan, "NaN"), (np.inf, "inf")):
        y = x.copy()
        y[1, 77] = bad
        with pytest.raises(ValueError, match=rf"logits must be finite or -inf, got {text} at row 1, column 77$"):
            logit_statistics(y)
    x[2] = -np.inf
    with pytest.raises(ValueError, match=r"finite number in every row, got only -inf in row 2$"):
        logit_statistics(x)


def test_extreme_temperatures_and_masks():
    x = np.array([-np.inf, 3.0, 2.0, -np.inf], np.float32)
    cold, hot = logit_statistics(x, temperature=1e-300), logit_statistics(x, temperature=1e300)
    assert (cold.entropy, cold.collision, cold.count) == (0, 1, 2)
    np.testing.assert_allclose([hot.entropy, hot.collision], [np.log(2), 0.5], rtol=1e-7)
    assert cold.mean == 2.5
    np.testing.assert_allclose(cold.deviation, np.sqrt(0.5))
    one = logit_statistics(np.array([-np.inf, 5.0]))
    assert (one.count, one.deviation, one.entropy, one.lse) == (1, 0, 0, 5)

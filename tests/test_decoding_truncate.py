"""truncate and truncated_decode: every rule and chains of rules against loops, limits and bad input."""

import functools

import numpy as np
import pytest
import torch

import checks
import oracles_decoding_truncate as oracles
from argrad.decoding import logit_statistics, to_dense, truncate, truncated_decode

NUMBERS = {
    "top_h": lambda rng: rng.random(),
    "top_k": lambda rng: int(rng.integers(1, 400)),
    "top_p": lambda rng: rng.random(),
    "min_p": lambda rng: rng.random() ** 4,
    "typical_p": lambda rng: rng.random(),
    "epsilon": lambda rng: rng.random() ** 3 * 0.1,
    "eta": lambda rng: rng.random() ** 3 * 0.1,
    "top_n_sigma": lambda rng: 3 * rng.random(),
    "p_less": lambda rng: True,
    "surprise": lambda rng: 10 * rng.random(),
}
OFF = {"top_h": 1.0, "top_k": 10**6, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "epsilon": 0.0, "eta": 0.0,
       "top_n_sigma": 1e9, "surprise": 1e9}  # fmt: skip
SIZES = (1, 2, 5, 40, 200, 1000, 3000)


def rows_of(rng, dtype, v, count=2):
    """Rows from nearly flat to peaked, some with masked tokens."""
    x = rng.standard_normal((count, v)) * rng.choice([0.01, 0.5, 2.0, 6.0])
    if v > 2 and rng.random() < 0.3:
        x[rng.random((count, v)) < 0.4] = -np.inf
        x[:, int(rng.integers(v))] = 0.5
    return x.astype(dtype)


def assert_equal_to_loops(x, rules, temperature=1.0, order=None, max_k=None):
    found = truncate(x, temperature=temperature, order=order, max_k=max_k, **rules)
    names = oracles.ORDER if order is None else order
    steps = [(name, rules[name]) for name in names if name in rules]
    tolerance = 3e-7 if x.dtype == np.float32 else 1e-12
    for row, *parts in zip(np.atleast_2d(x), *(np.atleast_1d(part) for part in found), strict=True):
        indices, values, size = (np.atleast_1d(part) for part in parts)
        expected = oracles.truncate(row, steps, temperature, max_k)
        assert indices[: size[0]].tolist() == [index for index, _ in expected], (rules, temperature, order, len(row))
        np.testing.assert_allclose(values[: size[0]], [p for _, p in expected], rtol=tolerance, atol=tolerance)
        assert (indices[size[0] :] == -1).all()
        assert (values[size[0] :] == 0).all()


@pytest.mark.parametrize("name", NUMBERS)
def test_rules_are_their_definitions(name, dtype, rng):
    for v in SIZES:
        for _ in range(4):
            temperature = float(rng.choice([0.3, 1.0, 2.5]))
            assert_equal_to_loops(rows_of(rng, dtype, v), {name: NUMBERS[name](rng)}, temperature)


def test_chains_are_their_rules_one_after_the_other(dtype, rng):
    for _ in range(150):
        names = rng.permutation(list(NUMBERS))
        rules = {name: NUMBERS[name](rng) for name in names[: rng.integers(0, 5)]}
        order = None if rng.random() < 0.5 else tuple(str(name) for name in names)
        x = rows_of(rng, dtype, int(rng.choice(SIZES)), 1)
        max_k = None if rng.random() < 0.7 else int(rng.integers(1, 50))
        assert_equal_to_loops(x, rules, float(rng.choice([0.3, 1.0, 2.5])), order, max_k)


def large_rows(v, rng):
    """Rows of the kinds that selection finds easy and hard."""
    normal = rng.standard_normal(v) * 2
    raised = normal.copy()
    raised[rng.integers(0, v, 40)] += 8
    peaked = normal.copy()
    peaked[v // 3] += 30
    clustered = normal.copy()
    clustered[v // 2 : v // 2 + 500] += 6
    return {
        "normal": normal,
        "raised": raised,
        "peaked": peaked,
        "flat": rng.random(v) * 1e-3,
        "clustered": clustered,
        "increasing": np.sort(normal),
        "decreasing": np.sort(normal)[::-1],
        "periodic": np.tile(np.sort(rng.standard_normal(v // 256 + 1)), 256)[:v],
        "coarse": np.round(normal * 4) / 4,
        "equal": np.zeros(v),
        "masked": np.where(rng.random(v) < 0.9, -np.inf, normal),
    }


def sorted_row(x, temperature):
    """Indices in order and probabilities of the tokens that are not masked, in float64."""
    order = np.lexsort((np.arange(len(x)), -x))[: int((x > -np.inf).sum())]
    e = np.exp((x[order].astype(np.longdouble) - x.max()) / temperature)
    return order, e / e.sum()


@pytest.mark.parametrize("v", [20_001, 130_000])
def test_long_prefixes_are_found_without_sorting(v, dtype, rng):
    """Where many thousands are kept, against a full sort."""
    for name, row in large_rows(v, rng).items():
        x = row.astype(dtype)
        order, p = sorted_row(x, 1.3)
        c = np.cumsum(p)
        for share in (0.3, 0.9, 0.999):
            indices, values, size = truncate(x, temperature=1.3, top_p=share)
            count = int(np.searchsorted(c, share)) + 1
            # Masses may be off by their rounding: so may the place where they reach the share.
            slack = int((np.abs(c - share) < (1e-12 if dtype == np.float64 else 2e-7)).sum())
            assert abs(int(size) - count) <= slack, (name, share)
            np.testing.assert_array_equal(indices, order[: int(size)], err_msg=f"{name} {share}")
            np.testing.assert_allclose(values, p[: int(size)] / c[int(size) - 1], rtol=2e-6, err_msg=name)
        k = v // 3
        live = min(k, len(order))
        np.testing.assert_array_equal(truncate(x, top_k=k)[0], order[:live], err_msg=name)
        kept = truncate(x, temperature=1.3, min_p=1e-3, top_p=0.7)[0]
        inside = order[: int(np.searchsorted(c, 0.7)) + 1]
        expected = inside[p[: len(inside)] >= 1e-3 * p[0]]
        slack = int((np.abs(c - 0.7) < (1e-12 if dtype == np.float64 else 2e-7)).sum())
        assert abs(len(kept) - len(expected)) <= slack, name
        np.testing.assert_array_equal(kept[: len(expected)], expected[: len(kept)], err_msg=name)


@pytest.mark.parametrize(
    "rules", [{"typical_p": 0.6}, {"top_h": 0.9}, {"eta": 1e-4}, {"epsilon": 1e-5}, {"p_less": True}]
)
def test_long_rows_of_other_rules(rules, rng):
    for x in large_rows(3001 if "top_h" in rules else 20_001, rng).values():
        found = truncate(x, **rules)[0]
        expected = oracles.truncate(x, list(rules.items()))
        assert found.tolist() == [index for index, _ in expected]


def test_draws_of_long_prefixes_are_those_of_the_sorted_list(dtype, rng):
    """A draw is the token at which the running sum of the sorted list passes u times the sum."""
    from argrad.decoding import sample

    for name, row in large_rows(20_001, rng).items():
        x = np.broadcast_to(row.astype(dtype), (16, 20_001))
        for rules in ({}, {"top_p": 0.9}, {"min_p": 1e-4}, {"top_k": 9000}, {"typical_p": 0.8}):
            token, size, logs = truncated_decode(x, seed=5, **rules)
            kept = truncate(x.astype(float), **rules)
            drawn, expected = sample(*kept, seed=5)
            assert (np.abs(size - kept[2]) <= (0 if dtype == np.float64 else 50)).all(), (name, rules)
            # In float32 a draw may be the neighbour.
            assert (token == drawn).mean() >= (1.0 if dtype == np.float64 else 0.85), (name, rules)
            np.testing.assert_allclose(logs[token == drawn], expected[token == drawn], atol=1e-6)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_ties_are_kept_by_index_or_together(dtype):
    x = np.array([0.0, 1.0, -0.0, 1.0, 0.0], dtype)
    assert truncate(x, top_k=3)[0].tolist() == [1, 3, 0]
    assert truncate(x, max_k=4)[0].tolist() == [1, 3, 0, 2]
    assert truncate(np.zeros(5, dtype), top_p=0.5)[0].tolist() == [0, 1, 2]
    for rules in ({"min_p": 1.0}, {"epsilon": 0.2}, {"top_n_sigma": 0.0}, {"p_less": True}, {"typical_p": 0.3}):
        assert truncate(np.zeros(5, dtype), **rules)[0].tolist() == [0, 1, 2, 3, 4], rules
    assert truncate(np.zeros(4, dtype), surprise=2.0)[2] == 4
    assert truncate(np.zeros(4, dtype), top_h=0.5)[2] == 2
    many = np.repeat(np.float32([3.0, 2.0, 1.0]), 30_000).astype(dtype)
    assert truncate(many, top_k=40_000)[0].tolist() == list(range(40_000))
    assert truncate(many, min_p=np.exp(-1.5))[2] == 60_000


def test_rules_that_are_off_keep_everything(dtype, rng):
    x = rows_of(rng, dtype, 700)
    live = (x > -np.inf).sum(-1)
    for rules in ({}, OFF, *[{name: number} for name, number in OFF.items()]):
        _, values, size = truncate(x, **rules)
        np.testing.assert_array_equal(size, live)
        np.testing.assert_allclose(values.sum(-1), 1, rtol=1e-5)
        np.testing.assert_array_equal(truncated_decode(x, seed=1, **rules)[1], live)


def test_rules_keep_one_token_at_least(dtype):
    x = np.array([0.3, 0.3, 0.1], dtype)
    for rules in ({"top_p": 0.0}, {"top_h": 0.0}, {"epsilon": 0.9}, {"surprise": -3.0}, {"top_k": 1}):
        assert truncate(x, **rules)[0].tolist() == [0], rules
        assert truncated_decode(x, seed=3, **rules)[0] == 0
    # The nearest to the mean, or those that are equally near.
    assert truncate(x, typical_p=0.0)[0].tolist() == [0, 1]
    assert truncated_decode(x, seed=3, typical_p=0.0)[1] == 2
    assert truncate(np.array([1.0, 2.0, 0.0, 0.5], dtype), typical_p=0.0)[2] == 1
    assert_equal_to_loops(np.array([[1.0, 2.0, 0.0, 0.5], [3.0, 3.1, 2.0, 2.9]], dtype), {"typical_p": 0.0})
    # Also where a rule that looks at the whole row would take all that another one has left.
    y = np.log(np.array([0.3, 0.14, 0.14, 0.14, 0.14, 0.14], dtype))
    assert truncate(y, typical_p=0.05)[0].tolist() == [1, 2, 3, 4, 5]
    assert truncate(y, typical_p=0.05, surprise=1.9)[0].tolist() == [1]


def test_temperature_zero_is_argmax(dtype, rng):
    x = rows_of(rng, dtype, 300, 5)
    x[:, 7] = x[:, 9] = 20
    for rules in ({}, {"top_p": 0.9}, {"typical_p": 0.5, "top_k": 30}):
        indices, values, size = truncate(x, temperature=0, **rules)
        assert (indices.ravel().tolist(), values.ravel().tolist(), size.tolist()) == ([7] * 5, [1.0] * 5, [1] * 5)
        token, size, logs = truncated_decode(x, temperature=0, seed=3, **rules)
        assert (token.tolist(), size.tolist(), logs.tolist()) == ([7] * 5, [1] * 5, [0.0] * 5)
    temperature = np.array([0.0, 1.0, 0.0, 2.0, 0.5])
    mixed, alone = truncate(x, temperature=temperature), truncate(x[3], temperature=2.0)
    np.testing.assert_array_equal(mixed[2], [1, *[(x[i] > -np.inf).sum() if i != 2 else 1 for i in range(1, 5)]])
    checks.assert_same(mixed[0][3, : len(alone[0])], alone[0])


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e4, 1e30])
def test_extreme_temperatures(temperature, dtype, rng):
    x = np.arange(100, dtype=dtype) / 10
    indices, values, size = truncate(x, temperature=temperature, top_p=0.5)
    assert indices[0] == 99
    np.testing.assert_allclose(values.sum(), 1, rtol=1e-6)
    if temperature < 1:
        assert size == 1
        assert truncated_decode(x, temperature=temperature, seed=1)[0] == 99
    else:
        assert 49 <= size <= 50


def test_masked_and_short_rows(dtype):
    inf = np.inf
    for rules in ({}, {"top_p": 0.9}, {"top_k": 3}, {"typical_p": 0.5}, {"top_n_sigma": 1.0}):
        for row in ([-inf, 2.0, -inf], [5.0]):
            token = row.index(max(row))
            indices, values, size = truncate(np.array(row, dtype), **rules)
            assert (indices[0], values[0], size) == (token, 1.0, 1)
            assert truncated_decode(np.array(row, dtype), seed=2, **rules) == (token, 1, 0.0)
    x = np.array([[1.0, -inf, 0.0, -inf]], dtype)
    assert truncate(x, top_k=4)[0].tolist() == [[0, 2, -1, -1]] or truncate(x, top_k=4)[0].tolist() == [[0, 2]]
    same = truncate(np.array([1.0, 0.0], dtype), top_n_sigma=1.0)[2]
    assert truncate(x, top_n_sigma=1.0)[2].tolist() == [same]


def test_shapes(dtype, rng):
    x = rng.standard_normal((2, 3, 50)).astype(dtype)
    found = truncate(x, top_k=4, top_p=0.5)
    assert [part.shape for part in found][2] == (2, 3)
    checks.assert_same(truncate(x[1, 2], top_k=4)[0], truncate(x, top_k=4)[0][1, 2])
    for shape in ((0, 5), (3, 0, 5)):
        indices, values, size = truncate(np.zeros(shape, dtype), top_k=2)
        assert (indices.shape[:-1], values.shape[:-1], size.shape) == (shape[:-1],) * 3
        assert truncated_decode(np.zeros(shape, dtype))[0].shape == shape[:-1]


def test_generic_checks(rng):
    x = rng.standard_normal((6, 300)).astype(np.float32) * 3
    for rules in ({"top_k": 5}, {"top_p": 0.8}, {"typical_p": 0.7, "min_p": 0.01}):
        call = lambda x, rules=rules: truncate(x, **rules)  # noqa: E731
        draw = lambda x, rules=rules: truncated_decode(x, seed=9, **rules)  # noqa: E731
        checks.keeps_dtype(lambda x, call=call: call(x)[1], x)
        checks.keeps_kind(call, x)
        for either in (call, draw):
            checks.accepts_any_layout(either, x)
            checks.leaves_input_alone(either, x)
        checks.treats_rows_alone(lambda x, rules=rules: to_dense(*truncate(x, **rules), 300), x)
    checks.treats_rows_alone(
        lambda x: truncated_decode(x, seed=9, row=x[:, 0].astype(np.int64) % 7, top_p=0.8), x.astype(float) + 50
    )
    checks.follows_seed(lambda seed: truncated_decode(x, seed=seed, top_p=0.8)[0])


def test_the_same_bits_on_any_thread_and_instruction_set(dtype, rng):
    rows = np.stack(list(large_rows(20_001, rng).values())).astype(dtype)
    for rules in ({"top_k": 50}, {"top_p": 0.9}, {"typical_p": 0.5}, {"eta": 1e-4}):
        checks.same_for_all_threads_and_levels(lambda rules=rules: truncate(rows, **rules), (1, 3))
        checks.same_for_all_threads_and_levels(lambda rules=rules: truncated_decode(rows, seed=1, **rules), (1, 3))


def test_numbers_for_each_row(dtype, rng):
    x, b = rng.standard_normal((8, 400)).astype(dtype) * 2, 8
    numbers = {
        "temperature": rng.random(b) + 0.3, "top_h": rng.random(b), "top_k": rng.integers(1, 300, b),
        "top_p": rng.random(b), "min_p": rng.random(b) * 0.1, "typical_p": rng.random(b),
        "epsilon": rng.random(b) * 0.01, "eta": rng.random(b) * 0.01, "top_n_sigma": rng.random(b) * 4,
        "surprise": rng.random(b) * 12,
    }  # fmt: skip
    for names in (
        ("top_p",),
        ("temperature", "top_k"),
        ("epsilon", "eta"),
        ("top_n_sigma", "surprise"),
        tuple(numbers),
    ):
        given = {name: numbers[name] for name in names}
        together, drawn = truncate(x, **given), truncated_decode(x, seed=np.arange(8), step=np.arange(8) * 3, **given)
        for i in range(b):
            alone = {name: number[i].item() for name, number in given.items()}
            single = truncate(x[i], **alone)
            checks.assert_same(together[0][i, : len(single[0])], single[0])
            checks.assert_same(together[1][i, : len(single[0])], single[1])
            one = truncated_decode(x[i], seed=i, row=i, step=3 * i, **alone)
            checks.assert_same([part[i] for part in drawn], list(one))
    tensors = {name: torch.from_numpy(number) for name, number in numbers.items()}
    checks.assert_same(truncate(x, **numbers), truncate(torch.from_numpy(x), **tensors))


def test_invariances(rng):
    x = rng.standard_normal((4, 2000)) * 2
    for temperature in (0.2, 1.0, 7.0):
        np.testing.assert_array_equal(
            truncate(x, top_n_sigma=2.0, temperature=temperature)[0], truncate(x, top_n_sigma=2.0)[0]
        )
        least = temperature * np.log(0.05)
        kept = truncate(x, min_p=0.05, temperature=temperature)[2]
        np.testing.assert_array_equal(kept, (x - x.max(-1, keepdims=True) >= least).sum(-1))
        shifted = truncate(x + 64, temperature=temperature, typical_p=0.7)[0]
        np.testing.assert_array_equal(shifted, truncate(x, temperature=temperature, typical_p=0.7)[0])
    entropies = [logit_statistics(np.log(truncate(x[0], top_k=k)[1])).entropy for k in range(1, 200, 7)]
    assert (np.diff(entropies) > 0).all()
    assert (truncate(x, p_less=True)[2] >= 1).all()


# --- bad input -------------------------------------------------------------------------------------------------------


BOTH = pytest.mark.parametrize("function", [truncate, truncated_decode], ids=lambda function: function.__name__)


@BOTH
def test_bad_logits(function, dtype):
    name = function.__name__
    for value in (np.nan, np.inf):
        bad = np.zeros((3, 70), dtype)
        bad[1, 65] = value
        text = checks.raises_sentence(ValueError, functools.partial(function, bad, top_p=0.5), name, "logits")
        assert "row 1, column 65" in text
    bad = np.zeros((3, 70), dtype)
    bad[2] = -np.inf
    checks.raises_sentence(ValueError, lambda: function(bad, top_k=2), name, contains="only -inf in row 2")
    checks.raises_sentence(ValueError, lambda: function(np.zeros((2, 0))), name, contains="logits")
    checks.raises_sentence(TypeError, lambda: function([1.0, 2.0]), name, "logits")
    checks.raises_sentence(TypeError, lambda: function(np.arange(3)), name, "logits")


@BOTH
@pytest.mark.parametrize(
    ("argument", "value"),
    [("temperature", -1.0), ("temperature", np.nan), ("temperature", np.inf), ("top_h", 1.5), ("top_k", 0),
     ("top_p", -0.1), ("top_p", np.nan), ("min_p", 2.0), ("typical_p", -1.0), ("epsilon", 1.0), ("eta", -0.5),
     ("top_n_sigma", -1.0), ("surprise", np.inf), ("max_k", 0)],
)  # fmt: skip
def test_numbers_out_of_range(function, argument, value):
    x, name = np.zeros((3, 5)), function.__name__
    checks.raises_sentence(ValueError, lambda: function(x, **{argument: value}), name, argument)
    if argument != "max_k":
        each = np.array([1, value, 1]) if argument == "top_k" else np.array([0.5, value, 0.5])
        text = checks.raises_sentence(ValueError, lambda: function(x, **{argument: each}), name, argument)
        assert "row 1" in text


@pytest.mark.parametrize(
    ("argument", "value"),
    [("temperature", "1"), ("top_k", 2.5), ("top_k", True), ("top_p", "a"), ("p_less", 1), ("max_k", 1.0),
     ("order", "top_k"), ("order", 3), ("top_p", [0.5, 0.5, 0.5]), ("top_k", np.array([1.0, 2.0, 3.0]))],
)  # fmt: skip
def test_wrong_types(argument, value):
    x = np.zeros((3, 5))
    checks.raises_sentence(TypeError, lambda: truncate(x, **{argument: value}), "truncate", argument)


def test_wrong_shapes_and_orders():
    x = np.zeros((3, 5))
    checks.raises_sentence(ValueError, lambda: truncate(x, top_p=np.full(2, 0.5)), "truncate", "top_p")
    checks.raises_sentence(ValueError, lambda: truncate(x, order=["top_q"]), "truncate", "order")
    checks.raises_sentence(ValueError, lambda: truncate(x, top_p=0.5, order=["top_k"]), "truncate", "order")
    checks.raises_sentence(ValueError, lambda: truncate(x, top_k=2, order=["top_k", "top_k"]), "truncate", "order")
    checks.raises_sentence(TypeError, lambda: truncate(x, top_p=torch.full((3,), 0.5)), "truncate", "top_p")
    with pytest.raises(ValueError, match="seed"):
        truncated_decode(x, seed=-1)
    checks.raises_sentence(ValueError, lambda: truncated_decode(x, seed=1, row=-1), "truncated_decode", "row")
    checks.raises_sentence(ValueError, lambda: truncated_decode(x, seed=1, step=2**32), "truncated_decode", "step")
    checks.raises_sentence(
        ValueError, lambda: truncated_decode(x, seed=1, row=np.zeros(2, int)), "truncated_decode", "row"
    )

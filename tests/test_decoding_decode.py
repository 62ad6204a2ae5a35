"""bregman_decode: its tokens are those of the projection at the uniform number of seed, row and step."""

import math

import numpy as np
import pytest
import torch

import argrad
import oracles
import oracles_decoding_bregman as oracle
from argrad import _native
from argrad.decoding import bregman_decode, bregman_project

STREAM = 0x400
CASES = (
    {"k": 7},
    {"penalty": 0.02},
    {"alpha": 1.5, "penalty": 2e-3},
    {"alpha": 2.0, "k": 5, "temperature": 0.6},
    {"alpha": 2.0, "penalty": 1e-3, "max_k": 4},
    {"alpha": 1.3, "penalty": 3e-3},
    {"alpha": 0.5, "k": 11},
    {"alpha": -3.0, "k": 4},
    {"alpha": np.inf, "k": 6},
    {"alpha": 1.5, "penalty": 2e-3, "dual": True, "temperature": 1.4},
)


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_are_those_of_the_projection(options, dtype, rng):
    logits = (rng.normal(size=(200, 100)) * 2).astype(dtype)
    seed, step = 2**63 + 12345, 77
    token, size, log_probability = bregman_decode(logits, seed=seed, step=step, **options)
    indices, values, sizes = bregman_project(logits.astype(np.float64), **options)
    if dtype == np.float64:
        assert (size == sizes).all()
    near = 0
    for number in range(200):
        u = oracles.uniform(seed, STREAM, number << 32 | step)
        q = values[number][: sizes[number]]
        edges = np.cumsum(q) / q.sum()
        if dtype == np.float32 and (size[number] != sizes[number] or np.abs(edges - u).min() < 1e-6):
            near += 1
            continue
        place = oracle.draw(q, u)
        assert token[number] == indices[number][place]
        assert abs(log_probability[number] - math.log(q[place])) < (1e-5 if dtype == np.float32 else 1e-12)
    assert near < 10


@pytest.mark.parametrize("v", [1, 2, 100, 4096, 4097, 30_000])
@pytest.mark.parametrize("options", [{"penalty": 0}, {"k": 10**9}, {"k": 10**9, "alpha": 3.0}], ids=str)
def test_draws_from_the_whole_softmax(v, options, rng):
    """In the order of the indices, without a sort."""
    logits = rng.normal(size=(20, v)) * 3
    logits[0, : v // 2] = -np.inf
    token, size, log_probability = bregman_decode(logits, seed=5, temperature=0.8, **options)
    for number in range(20):
        q = oracle.softmax(logits[number], 0.8)
        u = oracles.uniform(5, STREAM, number << 32)
        assert size[number] == np.count_nonzero(q)
        assert q[token[number]] > 0
        assert token[number] == oracle.draw(q, u) or np.abs(np.cumsum(q) - u).min() < 1e-14
        assert abs(log_probability[number] - math.log(q[token[number]])) < 1e-12


def test_sizes_and_logarithms_have_their_limits(rng):
    logits = rng.normal(size=(5, 1000)).astype(np.float32)
    logits[:, [7, 3]] = 9.0
    for options in ({"k": 1}, {"k": 50, "temperature": 0}, {"penalty": np.inf}, {"penalty": 0, "temperature": 0}):
        token, size, log_probability = bregman_decode(logits, seed=1, **options)
        assert (token == 3).all()
        assert (size == 1).all()
        assert (log_probability == 0).all()
    masked = np.full((3, 50), -np.inf)
    masked[:, 11] = -5.0
    for options in ({"k": 9}, {"penalty": 0}, {"penalty": 0.1, "alpha": 1.7}):
        token, size, log_probability = bregman_decode(masked, seed=1, **options)
        assert (token == 11).all()
        assert (size == 1).all()
        assert (log_probability == 0).all()


def test_greedy_rows_stand_beside_rows_that_sample(rng):
    logits = rng.normal(size=(6, 500))
    temperature = np.array([0.0, 1.0, 0.0, 0.5, 2.0, 0.0])
    k = np.array([5, 5, 500, 500, 1, 3])
    seed = np.array([1, 2, 3, 4, 5, 6])
    found = bregman_decode(logits, k=k, temperature=temperature, seed=seed, step=9)
    for number in range(6):
        alone = bregman_decode(
            logits[number],
            k=int(k[number]),
            temperature=float(temperature[number]),
            seed=int(seed[number]),
            row=number,
            step=9,
        )
        assert all(x == y[number] for x, y in zip(alone, found, strict=True))
        if temperature[number] == 0:
            assert found[0][number] == logits[number].argmax()
            assert found[2][number] == 0


def every(logits, **options):
    return [x.tobytes() for x in bregman_decode(logits, seed=3, **options)]


@pytest.mark.parametrize("options", [*CASES, {"penalty": 0.0}], ids=str)
def test_rows_do_not_depend_on_anything_else(options, rng):
    logits = (rng.normal(size=(64, 5003)) * 2).astype(np.float32)
    argrad.set_num_threads(1)
    token, size, log = bregman_decode(logits, seed=3, **options)
    raw = [x.tobytes() for x in (token, size, log)]
    for threads in (2, 3):
        argrad.set_num_threads(threads)
        assert every(logits, **options) == raw
    for level in _native.simd_levels():
        _native.force_simd(level)
        assert every(logits, **options) == raw
    _native.force_simd("auto")
    order = rng.permutation(64)
    moved = bregman_decode(logits[order], seed=3, row=order, **options)
    assert all((x == y[order]).all() for x, y in zip(moved, (token, size, log), strict=True))
    alone = bregman_decode(logits[17], seed=3, row=17, **options)
    assert all(x == y[17] for x, y in zip(alone, (token, size, log), strict=True))
    assert every(np.asfortranarray(logits), **options) == raw


def test_kinds_and_dtypes(rng):
    for shape in ((7,), (0, 7), (3, 7), (2, 3, 7), (1,)):
        logits = rng.normal(size=shape)
        for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            tensor = torch.from_numpy(logits).to(kind)
            found = bregman_decode(tensor, alpha=1.5, penalty=0.05, seed=2)
            assert [x.dtype for x in found] == [torch.int64, torch.int64, torch.float64]
            assert all(x.shape == shape[:-1] for x in found)
            wide = tensor.double().numpy() if kind == torch.float64 else tensor.float().numpy()
            expected = bregman_decode(wide, alpha=1.5, penalty=0.05, seed=2)
            assert [x.dtype for x in expected] == [np.int64, np.int64, np.float64]
            assert all((x.numpy() == y).all() for x, y in zip(found, expected, strict=True))


def test_seeds(rng):
    logits = rng.normal(size=(50, 300))

    def tokens(**options):
        return bregman_decode(logits, k=100, **options)[0].tolist()

    assert tokens(seed=1) == tokens(seed=1) != tokens(seed=2)
    assert tokens(seed=1) != tokens(seed=1, step=1)
    assert tokens() != tokens()
    assert tokens(seed=np.random.default_rng(4)) == tokens(seed=np.random.default_rng(4))
    assert tokens(seed=torch.Generator().manual_seed(4)) == tokens(seed=torch.Generator().manual_seed(4))
    assert tokens(seed=np.arange(50)) == tokens(seed=np.arange(50)) != tokens(seed=0)
    assert tokens(seed=1, row=np.arange(50)) == tokens(seed=1)
    assert len(set(bregman_decode(np.zeros((50, 300)), k=300, seed=1, row=5)[0].tolist())) == 1


def test_transforms():
    logits = torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(0))
    seed, row = torch.arange(12).reshape(4, 3), torch.arange(12).reshape(4, 3)
    expected = bregman_decode(logits, penalty=0.01, seed=seed, row=row)

    def decode(x, seed, row):
        return bregman_decode(x, penalty=0.01, seed=seed, row=row)

    assert all(torch.equal(x, y) for x, y in zip(torch.vmap(decode)(logits, seed, row), expected, strict=True))
    compiled = torch.compile(decode, fullgraph=True, backend="aot_eager")
    assert all(torch.equal(x, y) for x, y in zip(compiled(logits, seed, row), expected, strict=True))
    recorded = decode(logits.clone().requires_grad_(), seed, row)
    assert all(torch.equal(x, y) and not x.requires_grad for x, y in zip(recorded, expected, strict=True))
    arguments = (logits, seed, row, torch.zeros(4, 3, dtype=torch.int64), torch.ones(4, 3).double())
    rest = (torch.full((4, 3), 0.01, dtype=torch.float64), None, 1.0, False, 50)
    torch.library.opcheck(torch.ops.argrad.bregman_decode.default, (*arguments, *rest))


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({}, ValueError, "penalty or k must be given, and not the other, got neither"),
        ({"k": 2, "penalty": 1}, ValueError, "penalty or k must be given, and not the other, got both"),
        (
            {"penalty": 1, "alpha": -0.5},
            ValueError,
            r"alpha must be finite and > 0 for adaptive k \(primal\), got -0.5",
        ),
        ({"penalty": -1}, ValueError, "penalty must be 0 or >= 1e-12, got -1"),
        ({"k": 0}, ValueError, "k must be an integer >= 1"),
        ({"k": np.array([1, -4])}, ValueError, "k must be >= 1, got -4 in row 1"),
        ({"k": 1, "temperature": -0.1}, ValueError, "temperature must be a finite number >= 0, got -0.1"),
        ({"k": 1, "temperature": np.array([1.0, np.nan])}, ValueError, "temperature must be .*, got NaN in row 1"),
        ({"k": 1, "row": -1}, ValueError, "row must be an integer >= 0 and <= 4294967295, got -1"),
        (
            {"k": 1, "row": np.array([0, 2**32])},
            ValueError,
            r"row and step must be >= 0 and < 2\*\*32, got 4294967296 and 0 in row 1",
        ),
        ({"k": 1, "step": 2**32}, ValueError, "step must be an integer >= 0 and <= 4294967295"),
        ({"k": 1, "step": np.array([-1, 0])}, ValueError, r"row and step must be .*, got 0 and -1 in row 0"),
        ({"k": 1, "seed": -1}, ValueError, "seed must be an integer in"),
        ({"k": 1, "seed": "x"}, TypeError, "seed must be None, an integer"),
        ({"k": 1, "seed": np.array([1.0, 2.0])}, TypeError, "seed must be of an integer dtype"),
    ],
)
def test_what_is_refused(options, error, sentence):
    with pytest.raises(error, match=f"^bregman_decode: {sentence}"):
        bregman_decode(np.zeros((2, 4)), **options)


@pytest.mark.parametrize("options", [{"k": 2}, {"penalty": 0.1}, {"penalty": 0}, {"k": 4, "alpha": 3.0}], ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_rows_that_are_refused(options, bad):
    for dtype in (np.float32, np.float64):
        logits = np.zeros((3, 4), dtype)
        logits[1, 2] = bad
        shown = "NaN" if bad != bad else "inf"
        with pytest.raises(ValueError, match=f"logits must be finite or -inf, got {shown} at row 1, column 2"):
            bregman_decode(logits, **options)
        logits[1] = -np.inf
        with pytest.raises(ValueError, match="logits must have a finite number in every row, got only -inf in row 1"):
            bregman_decode(logits, **options)

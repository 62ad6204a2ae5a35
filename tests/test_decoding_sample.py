"""Draws: their law with 10^6 draws for every rule, wrong samplers that must be rejected, and tests of every bit."""

import numpy as np
import pytest
import torch
from scipy import stats

import checks
import law
import oracles
import oracles_decoding_truncate as loops
from argrad.decoding import bregman_decode, bregman_project, sample, to_dense, to_logits, truncate, truncated_decode

LEVEL = 1e-6
ROWS, STEPS, V = 20_000, 50, 32
SAMPLE = 0x401
LOGITS = np.random.default_rng(8).standard_normal(V) * 2
TRUNCATED = {
    "everything": {},
    "hot": {"temperature": 1.7},
    "top_k": {"top_k": 20},
    "top_p": {"top_p": 0.9},
    "min_p": {"min_p": 0.02, "temperature": 1.5},
    "typical_p": {"typical_p": 0.8},
    "epsilon": {"epsilon": 0.004},
    "eta": {"eta": 0.01},
    "top_h": {"top_h": 0.8},
    "top_n_sigma": {"top_n_sigma": 1.5},
    "p_less": {"p_less": True, "temperature": 2.0},
    "surprise": {"surprise": 6.0},
    "chain": {"top_k": 30, "top_p": 0.95, "epsilon": 0.003, "temperature": 0.8},
}
BREGMAN = {
    "primal 1, k": {"alpha": 1.0, "k": 12},
    "primal 2, penalty": {"alpha": 2.0, "penalty": 2e-4},
    "primal 1.5, penalty": {"alpha": 1.5, "penalty": 1e-3, "temperature": 1.4},
    "dual 1.5, k": {"alpha": 1.5, "k": 10, "dual": True},
}


def in_range(kept):
    """A sparse distribution as a dense law."""
    indices, values, size = (np.asarray(part) for part in kept)
    q = np.zeros(V)
    q[indices[:size]] = values[:size]
    return q / q.sum()


def counts_of(function, options):
    """Counts of 10^6 draws: rows 0, 1, ... at steps 0, 1, ..."""
    x, counts = np.broadcast_to(LOGITS, (ROWS, V)).copy(), np.zeros(V, int)
    for step in range(STEPS):
        counts += np.bincount(function(x, seed=77, step=step, **options)[0], minlength=V)
    return counts


def p_values(counts, q):
    """The chi-square and the G-test, small cells merged until 10 are expected; 0 where the law excludes an outcome."""
    found = law.chi_square(counts, q, least=10)
    observed, expected = law.pool(counts[q > 0].astype(float), q[q > 0] * counts.sum(), 10)
    filled = observed > 0
    g = 2 * (observed[filled] * np.log(observed[filled] / expected[filled])).sum()
    return [0.0, 0.0] if found.impossible else [found.p, float(stats.chi2.sf(g, len(observed) - 1))]


def rejected(family):
    """The names that Holm's procedure rejects at the family's level."""
    names, count = [], len(family)
    for place, (name, p) in enumerate(sorted(family.items(), key=lambda item: item[1])):
        if p > LEVEL / (count - place):
            break
        names.append(name)
    return names


def law_of(name):
    if name in TRUNCATED:
        options = dict(TRUNCATED[name])
        temperature = options.pop("temperature", 1.0)
        kept = loops.truncate(LOGITS, [(rule, options[rule]) for rule in loops.ORDER if rule in options], temperature)
        return in_range(([index for index, _ in kept], [p for _, p in kept], len(kept)))
    return in_range(bregman_project(LOGITS, **BREGMAN[name]))


@pytest.fixture(scope="module")
def family():
    """Both p-values of every case, by name."""
    found = {}
    for function, cases in ((truncated_decode, TRUNCATED), (bregman_decode, BREGMAN)):
        for name, options in cases.items():
            counts, q = counts_of(function, options), law_of(name)
            assert counts[q == 0].sum() == 0, f"{name}: a token was drawn that is not in the support"
            found |= {f"{name}, {test}": p for test, p in zip(("chi-square", "G"), p_values(counts, q), strict=True)}
    indices, values, size = truncate(LOGITS, top_k=20)
    lists = [np.broadcast_to(part, (ROWS, *np.shape(part))) for part in (indices, values, size)]
    counts = sum(np.bincount(sample(*lists, seed=5, step=step)[0], minlength=V) for step in range(STEPS))
    found |= {
        f"sample, {test}": p for test, p in zip(("chi-square", "G"), p_values(counts, law_of("top_k")), strict=True)
    }
    return found


def test_draws_follow_their_law(family):
    assert rejected(family) == []


def draws(q, u):
    return np.bincount(np.searchsorted(np.cumsum(q), u, side="right").clip(max=V - 1), minlength=V)


def softmax(temperature, count):
    order = np.argsort(-LOGITS, kind="stable")[:count]
    q = np.zeros(V)
    q[order] = np.exp((LOGITS[order] - LOGITS.max()) / temperature)
    return q / q.sum()


WRONG = {
    "p instead of q": ("primal 2, penalty", lambda q: softmax(1.0, int((q > 0).sum()))),
    "one token more": ("top_k", lambda q: softmax(1.0, 21)),
    "one token less": ("top_k", lambda q: softmax(1.0, 19)),
    "a temperature 2 % too high": ("top_k", lambda q: softmax(1.02, 20)),
    "a temperature 2 % too low": ("everything", lambda q: softmax(0.98, V)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_samplers_are_rejected(name, family):
    case, wrong = WRONG[name]
    q, u = law_of(case), np.random.default_rng(4).random(10**6)
    right = p_values(draws(q, u), q)
    assert rejected({**family, "planted": min(right)}) == []
    assert rejected({**family, "planted": max(p_values(draws(wrong(q), u), q))}) == ["planted"]


def test_uniforms_of_few_bits_are_rejected(family):
    q, u = law_of("everything"), np.random.default_rng(4).integers(0, 256, 10**6) / 256
    assert rejected({**family, "planted": max(p_values(draws(q, u), q))}) == ["planted"]


def test_neighbors_are_independent():
    """Rows, steps and seeds side by side: the pairs of draws from eight equal weights."""
    n = 200_000
    lists = np.tile(np.arange(8), (n, 1)), np.ones((n, 8)), np.full(n, 8)
    numbers = np.arange(n)

    def drawn(**place):
        return np.concatenate([sample(*lists, **{"seed": 3, "row": numbers, "step": 0, **place})[0]])

    first = drawn()
    pairs = {
        "rows": (first[::2], first[1::2]),
        "rows across calls": (first, drawn(row=numbers + n)),
        "steps": (first, drawn(step=1)),
        "seeds": (first, drawn(seed=4)),
        "seeds of rows": (drawn(seed=numbers, row=0), drawn(seed=numbers + 1, row=0)),
        "steps of rows": (drawn(step=numbers, row=0), drawn(step=numbers + 1, row=0)),
        "operators": (first, truncated_decode(np.zeros((n, 8)), seed=4)[0]),
        "rules of decoding": (first, bregman_decode(np.zeros((n, 8)), k=8, seed=3)[0]),
    }
    table = np.full(64, 1 / 64)
    found = {name: law.chi_square(np.bincount(8 * a + b, minlength=64), table).p for name, (a, b) in pairs.items()}
    assert rejected(found) == [], found


# --- exactly ---------------------------------------------------------------------------------------------------------


def uniforms(seed, count, step=0):
    """The u of draws, found bit by bit from what `sample` returns for two weights."""
    low, bit = np.zeros(count), 0.5
    indices, size = np.tile([0, 1], (count, 1)), np.full(count, 2)
    while bit >= 2.0**-53:
        middle = low + bit
        token = sample(indices, np.stack([middle, 1 - middle], 1), size, seed=seed, step=step)[0]
        low, bit = np.where(token == 1, middle, low), bit / 2
    return low


def test_uniforms_have_53_bits_of_the_published_generator():
    count = 100_000
    u = uniforms(12345, count)
    for row in range(300):
        assert u[row] == oracles.uniform(12345, SAMPLE, row << 32)
    assert uniforms(2**63 + 5, 3, step=7)[2] == oracles.uniform(2**63 + 5, SAMPLE, (2 << 32) + 7)
    bits = (u * 2.0**53).astype(np.uint64)[:, None] >> np.arange(53, dtype=np.uint64) & np.uint64(1)
    ones = bits.sum(0)
    assert stats.binomtest(int(ones.min()), count).pvalue > LEVEL
    assert stats.binomtest(int(ones.max()), count).pvalue > LEVEL
    assert stats.kstest(u, "uniform").pvalue > LEVEL


def test_boundaries_belong_to_the_next_token():
    """With weights u and 1 - u the running sum is u: not above it. One ulp more is."""
    count = 2000
    u = uniforms(9, count)
    indices, size = np.tile([0, 1], (count, 1)), np.full(count, 2)
    assert (sample(indices, np.stack([u, 1 - u], 1), size, seed=9)[0] == 1).all()
    more = u + 2.0**-53
    assert (sample(indices, np.stack([more, 1 - more], 1), size, seed=9)[0] == 0).all()


def test_draws_are_those_of_the_loop(dtype, rng):
    """Weights of all sizes and zeros among them, at the front and at the end."""
    count, k = 3000, 40
    weights = (10.0 ** rng.uniform(-15, 0, (count, k)) * (rng.random((count, k)) < 0.7)).astype(dtype)
    size = rng.integers(1, k + 1, count)
    weights[np.arange(count), rng.integers(0, size)] = 0.5
    indices = rng.permuted(np.tile(np.arange(1000, 1000 + k), (count, 1)), axis=1)
    token, log = sample(indices, weights, size, seed=2, step=9)
    for row in range(count):
        kept = weights[row, : size[row]].astype(float)
        place = loops.draw(kept, oracles.uniform(2, SAMPLE, (row << 32) + 9))
        assert kept[place] > 0
        assert token[row] == indices[row, place]
        assert abs(log[row] - np.log(kept[place] / kept.sum())) < 1e-12


def test_every_token_of_a_support_is_reached():
    """u in the middle of each token's piece: found by shifting the weights, down to 1e-15."""
    weights = np.array([0.0, 0.5, 0.0, 0.3, 1e-15, 0.2, 0.0])
    u = uniforms(4, 1)[0]
    for place in np.flatnonzero(weights):
        # Weights before and after are scaled so that the middle of the piece lies at u.
        before, after = weights[:place].sum(), weights[place + 1 :].sum()
        scaled = weights.copy()
        scaled[:place] *= u / before if before else 0
        scaled[place + 1 :] *= (1 - u) / after if after else 0
        scaled[place] = 1e-15 if before and after else 1.0
        token = sample(np.arange(7)[None], scaled[None], np.array([7]), seed=4)[0]
        expected = loops.draw(scaled, u)
        assert token[0] == expected
        assert abs(expected - place) <= 2


def test_rare_tokens_are_all_reached():
    """262,143 tokens of probability 1e-6: draws of 16 bits would meet at most 17,180 of them, and here some 5,560."""
    v, rows, steps = 2**18, 64, 400
    rng = np.random.default_rng(0)
    x = np.log(1e-6) + 1e-3 * rng.standard_normal(v)
    x[77] = np.log(1 - 1e-6 * (v - 1))
    x = np.broadcast_to(x.astype(np.float32), (rows, v)).copy()
    found = np.concatenate([truncated_decode(x, seed=6, step=step)[0] for step in range(steps)])
    tail = found[found != 77]
    n, count = rows * steps, v - 1
    assert stats.binomtest(len(tail), n, 1e-6 * count).pvalue > LEVEL
    absent, both = (1 - 1e-6) ** n, (1 - 2e-6) ** n
    mean, variance = count * (1 - absent), count * absent + count * (count - 1) * both - (count * absent) ** 2
    assert abs(len(np.unique(tail)) - mean) < 5 * variance**0.5
    # Its place in the row says nothing about a token: the tail is uniform.
    assert stats.kstest(tail / v, "uniform").pvalue > LEVEL


# --- lists and dense arrays ------------------------------------------------------------------------------------------


def test_sample_in_torch_and_numpy(dtype, rng):
    x = rng.standard_normal((5, 90)).astype(dtype) * 2
    kept = truncate(x, top_p=0.9)
    expected = sample(*kept, seed=11, step=3)
    tensors = [torch.from_numpy(part) for part in kept]
    found = sample(*tensors, seed=11, step=torch.full((5,), 3))
    checks.assert_same(expected, found)
    seeds = torch.full((5,), 11)
    mapped = torch.vmap(lambda i, q, n, s, r: sample(i, q, n, seed=s, row=r, step=3), (0, 0, 0, 0, 0))
    checks.assert_same(expected, mapped(*tensors, seeds, torch.arange(5)))
    compiled = torch.compile(lambda *parts: sample(*parts, seed=11, step=3), fullgraph=True, backend="aot_eager")
    checks.assert_same(expected, compiled(*tensors))
    large = 2**64 - 3  # all bits of a seed count, whatever the way
    numbered = torch.vmap(lambda i, q, n, r: sample(i, q, n, seed=large, row=r), (0, 0, 0, 0))
    checks.assert_same(sample(*kept, seed=large), numbered(*tensors, torch.arange(5)))
    one = sample(*[part[2] for part in kept], seed=11, row=2, step=3)
    assert (one[0], one[1]) == (expected[0][2], expected[1][2])
    torch.library.opcheck(
        torch.ops.argrad.sample.default,
        (tensors[1], tensors[0], tensors[2], seeds, torch.arange(5), torch.full((5,), 3)),
    )


def test_dense_arrays(dtype, rng):
    x = rng.standard_normal((2, 3, 30)).astype(dtype) * 2
    x[0, 0, 3:] = -np.inf
    indices, values, size = kept = truncate(x, top_p=0.7)
    dense, logs = to_dense(*kept, 30), to_logits(*kept, 30)
    assert dense.dtype == logs.dtype == dtype
    np.testing.assert_allclose(np.exp(logs), dense, rtol=1e-6)
    expected = np.zeros((2, 3, 30))
    for place in np.ndindex(2, 3):
        for j in range(size[place]):
            expected[(*place, indices[(*place, j)])] = values[(*place, j)]
    np.testing.assert_array_equal(dense, expected.astype(dtype))
    tensors = [torch.from_numpy(part) for part in kept]
    checks.assert_same(dense, to_dense(*tensors, 30))
    np.testing.assert_allclose(to_logits(*tensors, 30).numpy(), logs, rtol=1e-6)
    assert to_dense(indices[:, :0], values[:, :0], size[:, :0], 30).shape == (2, 0, 30)


def test_dense_arrays_have_gradients():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 9)))
    indices, values, size = truncate(x, top_p=0.8)
    values = values.clamp(min=0.1).requires_grad_()
    for function in (to_dense, to_logits):
        call = lambda q, function=function: function(indices, q, size, 9).masked_fill(  # noqa: E731
            function(indices, q.detach(), size, 9).isinf(), 0.0
        )
        assert torch.autograd.gradcheck(call, values)
        assert torch.autograd.gradgradcheck(call, values)
        (g,) = torch.autograd.grad(call(values).sum(), values)
        assert (g[indices < 0] == 0).all()
        found = torch.vmap(function, (0, 0, 0, None))(indices, values, size, 9)
        assert torch.equal(found, function(indices, values, size, 9))
        compiled = torch.compile(lambda i, q, n, f=function: f(i, q, n, 9), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(indices, values, size), function(indices, values, size, 9))


def test_bad_lists():
    indices, values, size = np.array([[3, 1, -1]]), np.array([[0.5, 0.5, 0.0]]), np.array([2])
    bad = checks.raises_sentence
    for number in (0, 4, -1):
        bad(
            ValueError,
            lambda n=number: sample(indices, values, np.array([n]), seed=1),
            "sample",
            "size",
            contains="row 0",
        )
    for number in (-0.5, np.nan, np.inf):
        wrong = np.array([[0.5, number, 0.0]])
        bad(ValueError, lambda wrong=wrong: sample(indices, wrong, size, seed=1), "sample", "values", contains="row 0")
    bad(ValueError, lambda: sample(indices, values * 0, size, seed=1), "sample", contains="row 0")
    bad(ValueError, lambda: sample(-indices, values, size, seed=1), "sample", "indices", contains="row 0")
    bad(TypeError, lambda: sample(indices.astype(np.int32), values, size, seed=1), "sample", "indices")
    bad(TypeError, lambda: sample(indices, indices, size, seed=1), "sample", "values")
    bad(ValueError, lambda: sample(indices[:, :2], values, size, seed=1), "sample", "indices")
    bad(ValueError, lambda: sample(indices, values, size[:0], seed=1), "sample", "size")
    bad(TypeError, lambda: sample(torch.from_numpy(indices), values, size, seed=1), "sample", "indices")
    bad(TypeError, lambda: sample(indices, values, size, seed="a"), "sample", "seed")
    for function in (to_dense, to_logits):
        bad(ValueError, lambda f=function: f(indices, values, size, 0), function.__name__, "v")
        bad(ValueError, lambda f=function: f(indices, values, size, 3), function.__name__, "indices")

"""Distances between barcodes: against every matching, scipy, GUDHI, the axioms of a metric, and finite differences."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

import oracles_topology_distances as oracle
from argrad import get_num_threads, set_num_threads
from argrad.topology import Barcode, bottleneck_distance, sliced_wasserstein_distance, wasserstein_distance
from checks import raises_sentence

DISTANCES = (wasserstein_distance, bottleneck_distance, sliced_wasserstein_distance)
NORMS = (1.0, 1.5, 2.0, math.inf)


def barcode_of(bars, dimension=0, batch=0, channel=0, dtype=np.float64):
    """A barcode of (birth, death), in one degree of one image or with arrays of numbers."""
    ends = np.asarray(bars, dtype).reshape(-1, 2)
    count, nowhere = len(ends), np.full(len(ends), -1)
    numbers = [np.broadcast_to(np.asarray(x, np.int64), count).copy() for x in (batch, channel)]
    degree = np.broadcast_to(np.asarray(dimension, np.uint8), count).copy()
    return Barcode(degree, ends[:, 0].copy(), ends[:, 1].copy(), nowhere, nowhere, *numbers)


def as_tensors(bars, grad=False):
    found = Barcode(*[torch.from_numpy(x) for x in bars])
    return found._replace(birth=found.birth.requires_grad_(grad), death=found.death.requires_grad_(grad))


def some_bars(rng, count, ties=False):
    """Bars of any length in both directions; with ties, on a coarse grid, some of length 0."""
    return rng.integers(0, 5, (count, 2)) / 4 if ties else rng.random((count, 2))


def ends(bars):
    return list(zip(bars.birth.tolist(), bars.death.tolist(), strict=True))


def assert_is_matching(first, second, partners):
    """The partners of both sides are one matching."""
    for own, other in ((partners.first, partners.second), (partners.second, partners.first)):
        for i, j in enumerate(np.asarray(own).tolist()):
            assert j < 0 or other[j] == i
    assert len(partners.first) == len(first.birth)
    assert len(partners.second) == len(second.birth)


def cost(first, second, partners, p):
    pairs = [(i, j) for i, j in enumerate(np.asarray(partners.first).tolist()) if j >= 0]
    return oracle.lengths(ends(first), ends(second), pairs, p)


# --- against every matching ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("order", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("ties", [False, True])
def test_wasserstein_distance_is_that_of_the_best_matching(rng, order, p, ties):
    for m, n in [(0, 0), (0, 3), (1, 1), (3, 3), (4, 3), (2, 4), (4, 4)] * 3:
        first, second = barcode_of(some_bars(rng, m, ties)), barcode_of(some_bars(rng, n, ties))
        expected, best = oracle.wasserstein(ends(first), ends(second), order, p)
        found, partners = wasserstein_distance(
            first, second, order=order, internal_p=p, dims=0, batch_shape=(), return_matching=True
        )
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
        assert_is_matching(first, second, partners)
        assert sum(move**order for move in cost(first, second, partners, p)) ** (1 / order) == pytest.approx(expected)
        if len(best) == 1 and not ties:
            assert best[0] == [(i, j) for i, j in enumerate(partners.first.tolist()) if j >= 0]


@pytest.mark.parametrize("ties", [False, True])
def test_bottleneck_distance_is_that_of_the_best_matching(rng, ties):
    for m, n in [(0, 0), (0, 3), (1, 1), (3, 3), (4, 3), (2, 4), (4, 4)] * 8:
        first, second = barcode_of(some_bars(rng, m, ties)), barcode_of(some_bars(rng, n, ties))
        found, partners = bottleneck_distance(first, second, dims=0, batch_shape=(), return_matching=True)
        assert found == oracle.bottleneck(ends(first), ends(second))
        assert_is_matching(first, second, partners)
        assert max([0.0, *cost(first, second, partners, math.inf)]) == found


@pytest.mark.parametrize("directions", [1, 2, 7, 50])
def test_sliced_wasserstein_distance_is_its_definition(rng, directions):
    for m, n in [(0, 0), (0, 3), (4, 0), (5, 3), (1, 8)]:
        x, y = some_bars(rng, m), some_bars(rng, n)
        found = sliced_wasserstein_distance(barcode_of(x), barcode_of(y), directions=directions, dims=0, batch_shape=())
        expected = oracle.sliced_wasserstein([tuple(bar) for bar in x], [tuple(bar) for bar in y], directions)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


# --- at scale --------------------------------------------------------------------------------------------------------


def diagrams(rng, kind, m, n):
    """Two diagrams of m and n bars: anywhere, short ones beside few long ones, and two that are much alike."""
    if kind == "short":
        birth = rng.random((2, max(m, n)))
        death = birth + rng.exponential(0.02, birth.shape) * np.where(rng.random(birth.shape) < 0.05, 20, 1)
    else:
        birth, death = np.sort(rng.random((2, max(m, n), 2)), -1).transpose(2, 0, 1)
    x, y = np.stack([birth, death], -1)
    return x[:m], (x + rng.normal(0, 0.01, x.shape) if kind == "alike" else y)[:n]


@pytest.mark.parametrize("kind", ["anywhere", "short", "alike"])
@pytest.mark.parametrize(("order", "p"), [(1.0, math.inf), (2.0, 2.0), (1.0, 1.0)])
def test_wasserstein_distance_of_hundreds_of_bars(rng, kind, order, p):
    for m, n in [(200, 150), (150, 200)]:
        x, y = diagrams(rng, kind, m, n)
        found = wasserstein_distance(barcode_of(x), barcode_of(y), order=order, internal_p=p, dims=0)
        assert found == pytest.approx(oracle.assignment(x, y, order, p), rel=1e-9)


@pytest.mark.parametrize("kind", ["anywhere", "short", "alike"])
def test_bottleneck_distance_of_hundreds_of_bars(rng, kind):
    import gudhi

    for m, n in [(300, 250), (80, 300)]:
        x, y = diagrams(rng, kind, m, n)
        found, partners = bottleneck_distance(barcode_of(x), barcode_of(y), dims=0, return_matching=True)
        assert found == pytest.approx(gudhi.bottleneck_distance(x, y, 0.0), rel=1e-12)
        assert_is_matching(barcode_of(x), barcode_of(y), partners)
        assert max(cost(barcode_of(x), barcode_of(y), partners, math.inf)) == found


@pytest.mark.parametrize("kind", ["anywhere", "short"])
def test_sliced_wasserstein_distance_equals_that_of_gudhi(rng, kind):
    """GUDHI leaves out the last of its directions."""
    from gudhi import representations

    x, y = diagrams(rng, kind, 100, 80)
    rest = representations.SlicedWassersteinDistance(num_directions=30).fit([x]).transform([y])[0, 0]
    last = oracle.on_a_line([tuple(bar) for bar in x], [tuple(bar) for bar in y], math.pi * (29 / 30 - 0.5))
    found = sliced_wasserstein_distance(barcode_of(x), barcode_of(y), directions=30, dims=0)
    assert found == pytest.approx((29 * rest + last) / 30)


@pytest.mark.parametrize("factor", [1e-280, 1e-30, 1.0, 1e30, 1e280])
@pytest.mark.parametrize("offset", [0.0, 2.0**40])
def test_huge_and_tiny_coordinates(rng, factor, offset):
    """A scale comes out as a factor, exactly for powers of two, and so does a shift along the diagonal."""
    power = 2.0 ** round(math.log2(factor))
    bars = [np.round(some_bars(rng, n) * 2**10) / 2**10 for n in (4, 3)]
    small, large = ([barcode_of(f(x)) for x in bars] for f in (lambda x: x, lambda x: (x + offset) * power))
    for distance, options in ((wasserstein_distance, {}), (wasserstein_distance, {"order": 3.0, "internal_p": 2.0})):
        assert distance(*large, dims=0, **options) == pytest.approx(distance(*small, dims=0, **options) * power)
    assert bottleneck_distance(*large, dims=0) == bottleneck_distance(*small, dims=0) * power
    found = sliced_wasserstein_distance(*large, dims=0)
    assert found == pytest.approx(sliced_wasserstein_distance(*small, dims=0) * power, rel=1e-3 if offset else 1e-12)
    tensors = [as_tensors(bars, grad=True) for bars in large]
    for order in (1.0, 2.0):
        value = wasserstein_distance(*tensors, dims=0, order=order, internal_p=2.0)
        expected = wasserstein_distance(*small, dims=0, order=order, internal_p=2.0) * power
        assert value.item() == pytest.approx(expected)
        assert torch.autograd.grad(value, tensors[0].birth)[0].isfinite().all()


def test_long_bars_do_not_hide_short_ways():
    """Bars of length 1e15 whose partners are 1 away: sums of costs must not be rounded to the lengths."""
    x = np.array([[0.0, 1e15], [3.0, 1e15], [7.0, 1e15]])
    y = np.array([[8.0, 1e15], [1.0, 1e15], [4.0, 1e15]])
    found, partners = wasserstein_distance(barcode_of(x), barcode_of(y), dims=0, return_matching=True)
    assert found == 3
    assert partners.first.tolist() == [1, 2, 0]


# --- essential bars, batches, degrees --------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
def test_essential_bars_are_matched_by_birth(distance):
    x = [(3.0, math.inf), (0.0, 1.0), (1.0, math.inf), (2.0, -math.inf)]
    y = [(1.5, math.inf), (-1.0, -math.inf), (3.25, math.inf)]
    expected = {bottleneck_distance: 3.0, wasserstein_distance: 3 + 0.25 + 0.5 + 0.5}.get(distance)
    for pair in ((barcode_of(x), barcode_of(y)), [as_tensors(barcode_of(bars), True) for bars in (x, y)]):
        found = distance(*pair, dims=0)
        if expected:
            assert found == expected
        if isinstance(found, torch.Tensor):
            assert all(g.isfinite().all() for g in torch.autograd.grad(found, [pair[0].birth, pair[1].birth]))
        assert distance(pair[0], pair[0], dims=0) == 0
    fewer = [barcode_of(y), barcode_of(y[:2])]
    assert distance(*fewer, dims=0) == math.inf
    assert distance(*[as_tensors(bars) for bars in fewer], dims=0) == math.inf


def batched(rng, dtype=np.float64, count=40):
    bars = []
    for _ in range(2):
        numbers = rng.integers(0, (3, 2, 2), (count, 3)).T
        bars.append(barcode_of(some_bars(rng, count), *numbers, dtype=dtype))
    return bars


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_image_and_degree_is_compared_by_itself(rng, distance):
    """Numbers count (degree, batch, channel): 3, 2, 2."""
    first, second = batched(rng)
    found = distance(first, second)
    assert found.shape == (2, 2, 3)
    for n, c, k in np.ndindex(2, 2, 3):
        alone = []
        for bars in (first, second):
            chosen = (bars.dimension == k) & (bars.batch == n) & (bars.channel == c)
            alone.append(barcode_of(np.stack([bars.birth, bars.death], -1)[chosen]))
        assert found[n, c, k] == distance(*alone, dims=0, batch_shape=())
    assert np.array_equal(distance(first, second, dims=(2, 0)), found[..., [2, 0]])
    assert np.array_equal(distance(first, second, dims=1), found[..., 1])
    more = distance(first, second, dims=1, batch_shape=(4, 2))
    assert np.array_equal(more[:2], found[..., 1])
    assert not more[2:].any()
    tensors = distance(as_tensors(first), as_tensors(second))
    assert_close(tensors, torch.from_numpy(found), rtol=1e-12, atol=1e-14)


def test_partners_of_a_batch(rng):
    first, second = batched(rng)
    for distance in (wasserstein_distance, bottleneck_distance):
        found, partners = distance(first, second, dims=(0, 2), return_matching=True)
        again, same = distance(as_tensors(first), as_tensors(second), dims=(0, 2), return_matching=True)
        assert_close(again, torch.from_numpy(found), rtol=1e-12, atol=1e-14)
        for own, other, theirs in ((partners.first, same.first, first), (partners.second, same.second, second)):
            assert np.array_equal(own, other.numpy())
            assert own.dtype == np.int64
            assert np.array_equal(own == -2, theirs.dimension == 1)
        for i in np.flatnonzero(partners.first >= 0):
            j = partners.first[i]
            assert all(first[field][i] == second[field][j] for field in (0, 5, 6))


@pytest.mark.parametrize("distance", DISTANCES)
def test_empty_barcodes(distance):
    nothing, one = barcode_of([]), barcode_of([(0.0, 2.0)])
    assert distance(nothing, nothing, dims=0) == 0
    assert distance(nothing, nothing).shape == (0,)
    assert distance(nothing, one, dims=0, batch_shape=(2,)).tolist() == pytest.approx(
        [distance(one, nothing, dims=0), 0], rel=1e-14
    )
    tensors = as_tensors(nothing, True), as_tensors(one, True)
    value = distance(*tensors, dims=0)
    assert value == distance(nothing, one, dims=0)
    assert_close(torch.autograd.grad(value, tensors[1].birth, allow_unused=True)[0].sign(), -torch.ones(1).double())


@pytest.mark.parametrize("distance", DISTANCES)
def test_bars_of_length_zero_are_nothing(rng, distance):
    flat, bars = [(x, x) for x in (0.0, 3.0, -2.0)], some_bars(rng, 4).tolist()
    assert distance(barcode_of(flat), barcode_of(flat[1:]), dims=0, batch_shape=()) == 0
    both = barcode_of(flat + bars), barcode_of(flat[:1])
    assert distance(*both, dims=0) == pytest.approx(distance(barcode_of(bars), barcode_of([]), dims=0))


@pytest.mark.parametrize("distance", DISTANCES)
def test_degrees_that_are_not_compared_may_hold_anything(rng, distance):
    first, second = batched(rng)
    expected = distance(first, second, dims=0)
    first.birth[first.dimension == 1] = math.nan
    assert np.array_equal(distance(first, second, dims=0), expected)


@pytest.mark.parametrize("distance", DISTANCES)
def test_threads_change_nothing(rng, distance):
    pair, before = batched(rng, count=300), get_num_threads()
    set_num_threads(1)
    alone = distance(*pair)
    set_num_threads(4)
    assert np.array_equal(distance(*pair), alone)
    set_num_threads(before)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_come_back(rng, distance, dtype):
    first, second = [as_tensors(bars)._replace() for bars in batched(rng)]
    narrow = [bars._replace(birth=bars.birth.to(dtype), death=bars.death.to(dtype)) for bars in (first, second)]
    wide = [bars._replace(birth=bars.birth.double(), death=bars.death.double()) for bars in narrow]
    found = distance(*narrow)
    assert found.dtype == dtype
    assert torch.equal(found, distance(*wide).to(dtype))


# --- the axioms of a metric ------------------------------------------------------------------------------------------

BARS = st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), max_size=6)


@pytest.mark.parametrize("distance", DISTANCES)
@given(x=BARS, y=BARS, z=BARS)
def test_metric(distance, x, y, z):
    x, y, z = (barcode_of(bars) for bars in (x, y, z))
    xy, yz, xz = (distance(a, b, dims=0, batch_shape=()) for a, b in ((x, y), (y, z), (x, z)))
    assert distance(x, x, dims=0, batch_shape=()) == 0
    assert distance(y, x, dims=0, batch_shape=()) == pytest.approx(xy, abs=1e-12)
    assert xz <= xy + yz + 1e-9


@given(x=BARS, y=BARS)
def test_distances_in_their_order(x, y):
    """The bottleneck is below every Wasserstein distance in the same norm, and those fall with their order."""
    pair = [barcode_of(bars) for bars in (x, y)]
    found = [wasserstein_distance(*pair, order=order, dims=0, batch_shape=()) for order in (1.0, 2.0, 4.0)]
    found.append(bottleneck_distance(*pair, dims=0, batch_shape=()))
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(found))


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("options", [{}, {"order": 2.0, "internal_p": 2.0}, {"order": 1.0, "internal_p": 1.5}])
def test_gradients(rng, distance, options):
    if options and distance is not wasserstein_distance:
        options = {}
    pair = [as_tensors(bars, grad=True) for bars in batched(rng, count=20)]
    inputs = [x for bars in pair for x in (bars.birth, bars.death)]

    def call(*given):
        bars = [pair[i]._replace(birth=given[2 * i], death=given[2 * i + 1]) for i in (0, 1)]
        return distance(*bars, batch_shape=(2, 2), dims=(0, 1, 2), **options)

    assert all((g != 0).any() for g in torch.autograd.grad(call(*inputs).sum(), inputs))
    assert torch.autograd.gradcheck(call, inputs, eps=1e-7, atol=1e-5)
    if options.get("internal_p") == 2.0:
        assert torch.autograd.gradgradcheck(call, inputs, eps=1e-7, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_barcodes_have_no_slope(distance):
    for p in ({}, {"internal_p": 2.0}) if distance is wasserstein_distance else ({},):
        pair = [as_tensors(barcode_of([(0.0, 1.0), (2.0, 5.0)]), grad=True) for _ in range(2)]
        value = distance(*pair, dims=0, **p)
        assert value == 0
        assert torch.autograd.grad(value, pair[0].birth)[0].tolist() == [0, 0]


@pytest.mark.parametrize("distance", DISTANCES)
def test_compiles(rng, distance):
    torch.compiler.reset()
    compiled = torch.compile(
        lambda *bars: distance(*bars, dims=(0, 1), batch_shape=(2, 2)), fullgraph=True, backend="aot_eager"
    )
    for count in (40, 23):
        pair = [as_tensors(bars, grad=True) for bars in batched(rng, count=count)]
        value, expected = compiled(*pair), distance(*pair, dims=(0, 1), batch_shape=(2, 2))
        assert_close(value, expected)
        inputs = [pair[0].birth, pair[1].death]
        found, eager = (torch.autograd.grad(x.sum(), inputs) for x in (value, expected))
        assert_close(found, eager)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
def test_bad_input_is_refused(rng, distance):
    first, second = batched(rng)
    name = distance.__name__
    raises_sentence(TypeError, lambda: distance(first.birth, second), name, "first")
    raises_sentence(TypeError, lambda: distance(first, as_tensors(second)), name, "second")
    narrow = second._replace(birth=second.birth.astype(np.float32))
    raises_sentence(TypeError, lambda: distance(first, narrow), name, "second")
    for dims in (3, -1, (0, 5)):
        raises_sentence(ValueError, lambda dims=dims: distance(first, second, dims=dims), name, "dims")
    raises_sentence(ValueError, lambda: distance(first, second, batch_shape=(2, 2, 2)), name, "batch_shape")
    bad = first._replace(death=first.death.copy())
    bad.death[7] = math.nan
    raises_sentence(ValueError, lambda: distance(bad, second), name, "first")


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(
    ("error", "field", "change"),
    [
        (ValueError, "birth", lambda x: x[:, None]),
        (ValueError, "death", lambda x: x[:3]),
        (TypeError, "death", lambda x: x.astype(int)),
        (ValueError, "dimension", lambda x: x[:1]),
        (TypeError, "dimension", lambda x: x.astype(float)),
        (ValueError, "batch", lambda x: x[:1]),
        (ValueError, "batch", lambda x: x - 1),
        (TypeError, "channel", lambda x: x.tolist()),
        (TypeError, "channel", torch.from_numpy),
    ],
)
def test_barcodes_made_by_hand_are_checked(rng, distance, error, field, change):
    first, second = batched(rng)
    bad = first._replace(**{field: change(getattr(first, field))})
    raises_sentence(error, lambda: distance(bad, second), distance.__name__, f"first.{field}")
    raises_sentence(error, lambda: distance(second, bad), distance.__name__, f"second.{field}")


@pytest.mark.parametrize("distance", DISTANCES)
def test_barcodes_of_lists_are_no_barcodes(rng, distance):
    first, second = batched(rng)
    text = raises_sentence(TypeError, lambda: distance([first], [second]), distance.__name__, "first")
    assert text.endswith("got a list")


@pytest.mark.parametrize("distance", DISTANCES)
def test_one_degree_is_one_number(rng, distance):
    first, second = batched(rng)
    expected = distance(first, second, dims=[0, 1])
    assert np.array_equal(distance(first, second, dims=np.int64(1)), expected[..., 1])
    assert np.array_equal(distance(first, second, dims={1}), expected[..., 1:])
    # Twice the same degree would be counted as a third one.
    raises_sentence(ValueError, lambda: distance(first, second, dims=[0, 0]), distance.__name__, "dims")


@pytest.mark.parametrize("distance", DISTANCES)
def test_bars_beyond_the_batch_are_refused(rng, distance):
    first, second = batched(rng)
    for shape in ((), (2,), (1, 2), (2, 1)):
        call = lambda shape=shape: distance(first, second, batch_shape=shape)  # noqa: E731
        raises_sentence(ValueError, call, distance.__name__, "batch_shape")
    for shape in (5, "55", (-5,)):
        call = lambda shape=shape: distance(first, second, batch_shape=shape)  # noqa: E731
        raises_sentence(ValueError, call, distance.__name__, "batch_shape")
    raises_sentence(TypeError, lambda: distance(first, second, batch_shape=(5.0,)), distance.__name__, "batch_shape")


@pytest.mark.parametrize(
    ("distance", "option", "bad"),
    [
        (wasserstein_distance, "order", 0.5),
        (wasserstein_distance, "order", math.inf),
        (wasserstein_distance, "internal_p", 0.9),
        (wasserstein_distance, "internal_p", math.nan),
        (wasserstein_distance, "internal_p", np.array([1.0, 2.0])),
        (wasserstein_distance, "return_matching", 1),
        (bottleneck_distance, "return_matching", "no"),
        (sliced_wasserstein_distance, "directions", 0),
        (sliced_wasserstein_distance, "directions", 2**70),
    ],
)
def test_bad_options_are_refused(rng, distance, option, bad):
    first, second = batched(rng)
    error = ValueError if isinstance(bad, float) or option == "directions" else TypeError
    raises_sentence(error, lambda: distance(first, second, **{option: bad}), distance.__name__, option)

"""NeuralSort in bands and its scaling: values against loops, and what every operator on lists must keep."""

import itertools

import numpy as np
import pytest

import checks
import oracles_sorting_neuralsort as oracles
from argrad import _native
from argrad.sorting import _lists, _neuralsort

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}


def matrix(x, *, descending=False, temperature=1.0, mask=None, offsets=None, scaling=None):
    lists = _lists.enter("soft_permutation", x, mask=mask, offsets=offsets)
    found = _neuralsort.enter(lists, descending=descending, temperature=temperature)
    return found if scaling is None else found.sinkhorn(iterations=scaling[0], tolerance=scaling[1])


def draw(shape, width=2, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(dtype), rng.normal(size=(*shape, width)).astype(dtype)


def close(found, expected, v, dtype):
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * max(1.0, np.abs(v).max()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scaling", [None, (7, None)])
def test_products_are_those_of_the_matrix(dtype, scaling):
    for n, descending, transposed, t in itertools.product(
        (1, 2, 3, 17, 60), (False, True), (False, True), (0.03, 1.0, 40.0)
    ):
        x, v = draw((2, n), dtype=dtype, seed=n)
        found = matrix(x, descending=descending, temperature=t, scaling=scaling).product(v, transposed)
        expected = oracles.product(
            x, v, [t, t], descending=descending, transposed=transposed, scaling=scaling and (scaling[0],)
        )
        close(found, expected, v, dtype)


@pytest.mark.parametrize("scaling", [None, (5, None)])
def test_masks_and_ragged_lists(scaling):
    x, v = draw((2, 40), seed=3)
    mask = np.random.default_rng(4).random(x.shape) < 0.7
    offsets = np.array([0, 0, 1, 13, 13, 40])
    mask[0, 1:13] = False
    t = np.linspace(0.3, 2, 10).reshape(2, 5)
    for transposed in (False, True):
        found = matrix(x, temperature=t, mask=mask, offsets=offsets, scaling=scaling).product(v, transposed)
        options = {"mask": mask, "offsets": offsets, "transposed": transposed, "scaling": scaling and (scaling[0],)}
        close(found, oracles.product(x, v, t, **options), v, np.float64)
        if transposed:
            assert not found[~mask].any()


def test_long_lists_are_walked_and_not_kept():
    # Flat scores fill the band; at n = 1100 it exceeds what is kept.
    x, v = draw((1, 1100), width=1, seed=5)
    x *= 1e-3
    b = np.abs(x[0][:, None] - x[0]).sum(1)
    logits = (1101 - 2 * np.arange(1, 1101))[:, None] * -x[0] - b
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    close(matrix(x).product(v, False)[0], p @ v[0], v, np.float64)
    for _ in range(2):
        p /= p.sum(0)
        p /= p.sum(1, keepdims=True)
    for transposed in (False, True):
        found = matrix(x, scaling=(2, None)).product(v, transposed)[0]
        close(found, (p.T if transposed else p) @ v[0], v, np.float64)


def test_single_precision_is_as_good_as_double():
    x, v = draw((1, 3000), width=1, dtype=np.float32, seed=6)
    exact = matrix(x.astype(np.float64)).product(v.astype(np.float64), False)
    assert np.abs(matrix(x).product(v, False) - exact).max() < 1e-6


@pytest.mark.parametrize("scaling", [None, (4, 1e-3)])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_list_by_itself(scaling, transposed):
    x, v = draw((6, 33), width=1, dtype=np.float32, seed=7)

    def call(x):
        return matrix(x, scaling=scaling).product(v[: len(x)] * 0 + 1 + np.abs(x)[..., None], transposed)

    checks.treats_rows_alone(call, x)
    checks.keeps_nan_in_its_row(call, x)
    checks.accepts_any_layout(call, x)
    checks.leaves_input_alone(call, x)
    checks.same_for_all_threads_and_levels(lambda: call(x))
    checks.keeps_kind(lambda x: matrix(x, scaling=scaling).product(x[..., None], transposed), x)
    checks.keeps_dtype(lambda x: matrix(x, scaling=scaling).product(x[..., None], transposed), x)


def test_many_lists_on_many_threads():
    x, v = draw((700, 33), width=1, dtype=np.float32, seed=8)
    checks.same_for_all_threads_and_levels(lambda: matrix(x).product(v, False), threads=(1, 3))


def test_scaling_stops_for_each_list():
    x = np.stack([np.linspace(-1, 1, 30) * spread for spread in (1e-6, 0.5, 3, 30)])
    identity = np.broadcast_to(np.eye(30), (4, 30, 30)).copy()
    found = matrix(x, scaling=(500, 1e-4)).product(identity, False)
    taken = []
    for row, p in zip(x, found, strict=True):
        expected, steps = oracles.scale(oracles.matrix(row), 500, 1e-4)
        np.testing.assert_allclose(p, expected, atol=1e-11)
        assert oracles.off(p) < 1e-4
        taken.append(steps)
    assert len(set(taken)) > 2, taken
    _, _, steps = _native.neuralsort("f", x, identity, np.ones((4, 1)), None, None, (False, False, 500, 1e-4))
    assert steps.tolist() == taken
    # Both given: the first that is met. Alone: 1000 steps, or no tolerance.
    assert matrix(x).sinkhorn()[3:] == (30, 1e-6)
    assert matrix(x).sinkhorn(tolerance=0.1)[3:] == (1000, 0.1)
    assert matrix(x).sinkhorn(iterations=9)[3:] == (9, 0.0)
    none = matrix(x).sinkhorn(iterations=0).product(identity, False)
    np.testing.assert_array_equal(none, matrix(x).product(identity, False))


@pytest.mark.parametrize("scaling", [None, (3, None)])
def test_few_items(scaling):
    for shape in ((0,), (2, 0), (0, 3)):
        for transposed in (False, True):
            v = np.zeros((*shape, 2), np.float32)
            assert matrix(np.zeros(shape, np.float32), scaling=scaling).product(v, transposed).shape == v.shape
    x, v = draw((2, 1))
    np.testing.assert_array_equal(matrix(x, scaling=scaling).product(v, False), v)
    x, v = draw((2, 4))
    none = np.zeros((2, 4), bool)
    np.testing.assert_array_equal(matrix(x, mask=none, scaling=scaling).product(v, False), np.zeros_like(v))
    none[0, 2] = True
    found = matrix(x, mask=none, scaling=scaling).product(v, False)
    np.testing.assert_array_equal(found[0, 0], v[0, 2])
    assert not found[0, 1:].any()
    assert not found[1].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scaling", [None, (3, None)])
def test_extreme_scores_and_temperatures(dtype, scaling):
    eye = np.eye(5, dtype=dtype)
    x = np.array([3.0, -np.inf, 1e30, np.inf, -1e30], dtype)
    hard = eye[[1, 4, 0, 2, 3]]
    np.testing.assert_array_equal(matrix(x, scaling=scaling).product(eye, False), hard)
    np.testing.assert_array_equal(matrix(x, scaling=scaling, descending=True).product(eye, True), hard[::-1].T)
    # Equal scores share, infinite ones as well.
    x = np.array([np.inf, 0.0, np.inf, 7.0, 0.0], dtype)
    for t in (1e-8, 1e-2):
        p = matrix(x, temperature=t, scaling=scaling).product(eye, False)
        np.testing.assert_allclose(p[:, [0, 2]].sum(1), [0, 0, 0, 1, 1], atol=1e-6)
        np.testing.assert_array_equal(p[:, 0], p[:, 2])
        np.testing.assert_array_equal(p[0], p[1])
    x, _ = draw((5,), dtype=dtype)
    np.testing.assert_array_equal(matrix(x, temperature=1e-8).product(eye, False), eye[np.argsort(x)])
    np.testing.assert_allclose(matrix(x, temperature=1e8, scaling=scaling).product(eye, False), 0.2, atol=1e-6)
    for x in (np.zeros(5, dtype), np.full(5, 1e30, dtype), np.full(5, -0.0, dtype)):
        np.testing.assert_allclose(matrix(x, scaling=scaling).product(eye, False), 0.2, rtol=1e-6)


def test_float16_at_three_thousand():
    x, v = draw((1, 3000), width=1, seed=9)
    found = matrix(x.astype(np.float16)).product(v.astype(np.float16), False)
    assert found.dtype == np.float16
    assert np.isfinite(found).all()


def test_bad_arguments():
    x = np.zeros((2, 3))
    for bad in (0, -1.0, np.nan, np.inf):
        checks.raises_sentence(
            ValueError, lambda bad=bad: matrix(x, temperature=bad), "soft_permutation", "temperature"
        )
        wrong = np.array([1.0, bad])
        checks.raises_sentence(
            ValueError,
            lambda wrong=wrong: matrix(x, temperature=wrong).product(x[..., None], False),
            "soft_permutation",
            "temperature",
            contains=f"got {float(bad)}",
        )
    checks.raises_sentence(TypeError, lambda: matrix(x, temperature="a"), "soft_permutation", "temperature")
    checks.raises_sentence(ValueError, lambda: matrix(x).sinkhorn(iterations=-1), "sinkhorn", "iterations")
    checks.raises_sentence(TypeError, lambda: matrix(x).sinkhorn(iterations=1.5), "sinkhorn", "iterations")
    checks.raises_sentence(ValueError, lambda: matrix(x).sinkhorn(tolerance=np.nan), "sinkhorn", "tolerance")

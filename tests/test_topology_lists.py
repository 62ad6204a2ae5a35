"""Lists of images: one call for all of them, each as if it were alone, in any number of threads."""

import numpy as np
import pytest
import torch

import argrad
from argrad import _native
from argrad.topology import barcode, betti_matching
from matchings import equal, flat

SHAPES = ((30,), (9, 11), (1, 7), (6, 5, 7), (2, 5, 6, 4), (3, 2, 8, 9), (300, 400), (1,))
SPATIAL = (1, 2, 2, 3, 3, 2, 2, 1)


def images(rng, number):
    """Arrays of many shapes, dtypes and kinds; some count images."""
    found = []
    for i, shape in enumerate(SHAPES):
        x = (rng.random(shape) * 9).round(number % 3)
        dtype = (np.float32, np.float64, np.uint8, np.float16, np.int64)[(i + number) % 5]
        found.append(x.astype(dtype) if (i + number) % 3 else torch.from_numpy(x.astype(dtype)))
    return found


def same(found, alone):
    """Whether barcodes have the same kind, dtypes and content."""
    return all(
        type(x) is type(y) and x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(found, alone, strict=True)
    )


@pytest.fixture
def calls(monkeypatch):
    """The number of items of each native call."""
    counts = []
    for name in ("barcodes", "betti_matchings"):
        native = getattr(_native, name)

        def counted(function, x, *args, native=native):
            counts.append(len(x))
            return native(function, x, *args)

        monkeypatch.setattr(_native, name, counted)
    return counts


@pytest.mark.parametrize(
    "options",
    [{}, {"connectivity": "full", "filtration": "superlevel", "min_persistence": 0.3, "dims": 0}, {"threshold": 5.0}],
)
def test_barcodes_of_a_list_are_one_call(options, rng, calls):
    # Without `spatial_dims` an array is one image; so those of more than three axes are left out here.
    x = [image for image in images(rng, 0) if image.ndim <= 3]
    alone = [barcode(image, **options) for image in x]
    calls.clear()
    for threads in (1, 2, 5):
        argrad.set_num_threads(threads)
        found = barcode(x, **options)
        assert all(same(a, b) for a, b in zip(found, alone, strict=True))
    assert calls == [len(x)] * 3
    assert barcode(tuple(x[:1]), **options)[0].birth.shape == alone[0].birth.shape


def test_barcodes_of_lists_of_batches(rng):
    x = [rng.random((n, 2, 8, 9)) for n in (1, 0, 3)] + [rng.random((5, 7)), rng.random((2, 5, 6))]
    for threads in (1, 3):
        argrad.set_num_threads(threads)
        assert all(same(a, barcode(b, spatial_dims=2)) for a, b in zip(barcode(x, spatial_dims=2), x, strict=True))


@pytest.mark.parametrize("options", [{}, {"connectivity": "full", "rule": "strict", "comparison": "intersection"}])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_matchings_of_lists_are_one_call(number, options, rng, calls):
    f = [x for x, d in zip(images(rng, number), SPATIAL, strict=True) if d == x.ndim]
    g = [torch.flip(x, (0,)) if isinstance(x, torch.Tensor) else x[::-1] > 4 for x in f]
    alone = [betti_matching(a, b, **options) for a, b in zip(f, g, strict=True)]
    calls.clear()
    for threads in (1, 2, 5):
        argrad.set_num_threads(threads)
        found = betti_matching(f, g, **options)
        for a, b in zip(found, alone, strict=True):
            assert equal(a, b)
            assert same(a.prediction, b.prediction)
            assert same(a.target, b.target)
            assert same(a[2:], b[2:])
    assert calls == [len(f)] * 3
    assert sum(len(x) for x in flat(found[-2])) > 100


def test_gradients_reach_every_item(rng):
    x = [torch.from_numpy(rng.random(shape)).requires_grad_() for shape in ((9,), (5, 6), (3, 4, 3))]
    y = [torch.from_numpy(rng.random(tuple(image.shape))) for image in x]
    for found, alone in (
        (barcode(x, essential=False), [barcode(image, essential=False) for image in x]),
        (
            [m.prediction for m in betti_matching(x, y)],
            [betti_matching(a, b).prediction for a, b in zip(x, y, strict=True)],
        ),
    ):
        for image, a, b in zip(x, found, alone, strict=True):
            grads = [torch.autograd.grad((bars.birth - bars.death).square().sum(), image)[0] for bars in (a, b)]
            assert grads[0].any()
            assert torch.equal(*grads)


def test_lists_are_compiled(rng):
    def loss(*x):
        total = sum((bars.birth - bars.death).square().sum() for bars in barcode(list(x), essential=False))
        return total + sum(m.prediction.birth.sum() for m in betti_matching(list(x), list(x)))

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    x = [torch.from_numpy(rng.random(shape)) for shape in ((9,), (5, 6))]
    torch.testing.assert_close(compiled(*x), loss(*x))


def test_empty_lists(calls):
    assert barcode([]) == []
    assert betti_matching([], ()) == []
    assert calls == []


def test_of_several_bad_items_the_first_is_named(rng):
    x = [rng.random((40, 41)) for _ in range(12)]
    for i in (10, 7, 4):
        x[i][3, i] = np.nan
    for threads in (1, 2, 5):
        argrad.set_num_threads(threads)
        with pytest.raises(
            ValueError, match=r"^barcode: x must not contain NaN, got one at index \(3, 4\) \(item 4 of"
        ):
            barcode(x)
        for lists in ((x, x), (x, x[:3] + x[:3] * 3), (x[:3] * 4, x)):
            argument = "prediction" if lists[0] is x else "target"
            sentence = (
                rf"^betti_matching: {argument} must not contain NaN, got one at index \(3, 4\) \(item 4 of the list\)$"
            )
            with pytest.raises(ValueError, match=sentence):
                betti_matching(*lists)
        with pytest.raises(ValueError, match=r"got one at index \(4, 3, 4\)$"):
            barcode(np.stack(x), spatial_dims=2)


def test_bad_items_are_named_before_work(calls):
    good = np.zeros((3, 4))
    for bad, sentence in (
        (np.zeros((3, 0)), r"x must be images of at least one voxel, got shape \(3, 0\) \(item 1 of the list\)"),
        (
            np.full((2, 2), 2**60),
            r"x must be of integers of at most 2\^53, got \d+ at index \(0, 0\) \(item 1 of the list\)",
        ),
    ):
        with pytest.raises(ValueError, match=f"^barcode: {sentence}$"):
            barcode([good, bad])
    with pytest.raises(TypeError, match=r"^barcode: x must be .* got None \(item 1 of the list\)$"):
        barcode([good, None])
    with pytest.raises(ValueError, match=r"dims must be an integer >= 0 and <= 0, got 1 \(item 1 of the list\)$"):
        barcode([good, np.zeros(3)], dims=1)
    with pytest.raises(ValueError, match=r"represents, got 2051 at index \(0,\) \(item 1 of the list\)$"):
        betti_matching([good, np.zeros(2, np.float16)], [good, np.full(2, 2051)])
    assert calls == []

"""Barcodes and matchings on a device are those of the host, bar by bar, run on the host by the emulator."""

import numpy as np
import pytest
import torch

from argrad import _cuda
from argrad.losses.topology import betti_matching_loss, betti_prior_loss
from argrad.topology import barcode, betti_matching

SHAPES = [(1,), (33,), (1, 1), (2, 2), (1, 7), (6, 1, 9), (23, 31)]
IMAGES = {
    "white noise": lambda rng, *shape: rng.random(shape).astype(np.float32),
    "ties": lambda rng, *shape: rng.integers(-1, 2, shape).astype(np.float64) / 3,
    "doubles": lambda rng, *shape: 1 + rng.integers(0, 40, shape) * 1e-15,
    "infinities": lambda rng, *shape: rng.choice(np.array([-np.inf, -0.0, 0.0, 1.0, np.inf], np.float32), shape),
    "mask": lambda rng, *shape: rng.random(shape) < 0.6,
    "integers": lambda rng, *shape: rng.integers(0, 9, shape),
    "bytes": lambda rng, *shape: rng.integers(0, 9, shape).astype(np.uint8),
}
OPTIONS = [
    {},
    {"filtration": "superlevel", "connectivity": "full"},
    {"connectivity": "full", "threshold": 0.4, "min_persistence": 0.2},
    {"filtration": "superlevel", "threshold": 0.3, "min_persistence": 0.1},
    {"dims": 0, "essential": False},
]


def arrays(found):
    """All arrays of a barcode or matching."""
    return [x for part in found for x in (arrays(part) if isinstance(part, tuple) else [part])]


def same(found, expected):
    pairs = list(zip(arrays(found), arrays(expected), strict=True))
    assert [x.dtype for x, _ in pairs] == [y.dtype for _, y in pairs]
    return all(np.array_equal(x, y) for x, y in pairs)


class TestBarcode:
    @pytest.mark.parametrize("name", IMAGES)
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_every_bar_and_its_place(self, device, rng, shape, name):
        d = len(shape)
        x = IMAGES[name](rng, 2, *shape)
        start = len(name) + len(shape)
        for i in range(start, start + 2):  # all of them somewhere
            options, given = OPTIONS[i % len(OPTIONS)], x if i % 3 else x[0]
            expected = barcode(given, spatial_dims=d, **options)
            with device():
                found = barcode(given, spatial_dims=d, **options)
            assert same(found, expected)

    @pytest.mark.parametrize("shape", [(1, 5000), (70, 130)])
    def test_lists_longer_than_a_block_takes(self, device, rng, shape):
        x = rng.random((3, 1, *shape))
        expected = barcode(x, spatial_dims=2)
        with device():
            assert same(barcode(x, spatial_dims=2), expected)

    def test_long_paths_and_nested_bars(self, device):
        column = np.arange(40)
        snake = np.where(np.arange(41)[:, None] % 2 == 0, 0.0, 1.0) * np.ones((1, 40))
        snake[1::4, -1] = snake[3::4, 0] = 0.0  # one long valley
        waves = np.where(column % 2 == 0, 1.0, -1.0) * (column + 1) * np.ones((1, 1))  # growing: each bar in the next
        for x in (snake, waves, -waves, np.zeros((9, 9)), column * np.ones((9, 1))):
            expected = barcode(x)
            with device():
                assert same(barcode(x), expected)

    def test_no_images(self, device):
        for spatial in (1, 2):
            x = np.empty((0, 4, 5)[: spatial + 1])
            expected = barcode(x, spatial_dims=spatial)
            with device():
                assert same(barcode(x, spatial_dims=spatial), expected)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
    def test_gradients(self, device, rng, dtype):
        x = torch.tensor(rng.random((2, 9, 8))).to(dtype).requires_grad_()
        results = []
        for where in (None, device):
            if where is None:
                bars = barcode(x, spatial_dims=2, essential=False)
            else:
                with where():
                    bars = barcode(x, spatial_dims=2, essential=False)
            length = (bars.death - bars.birth).square().sum()
            (slope,) = torch.autograd.grad(length, x, create_graph=True)
            (second,) = torch.autograd.grad(slope.square().sum(), x)
            results.append((bars, slope, second))
        for found, expected in zip(arrays(results[1]), arrays(results[0]), strict=True):
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected)

    def test_nan_is_refused_as_on_the_host(self, device):
        x = np.ones((2, 3, 4), np.float32)
        x[1, 2, 1] = np.nan
        with (
            device(),
            pytest.raises(ValueError, match=r"barcode: x must not contain NaN, got one at index \(1, 2, 1\)"),
        ):
            barcode(x, spatial_dims=2)

    def test_large_integers_are_refused_where_one_looks(self, device):
        x = np.array([0, 2**53 + 1])
        with device():
            barcode(x)
            _cuda.set_device_validation(True)
            try:
                with pytest.raises(ValueError, match=r"got 9007199254740993 at index \(1,\)"):
                    barcode(x)
            finally:
                _cuda.set_device_validation(False)


def every(*pairs):
    found = [{}]
    for name, choices in pairs:
        found = [{**one, name: choice} for one in found for choice in choices]
    return found


RULES = every(
    ("comparison", ("union", "intersection")), ("rule", ("refined", "strict")), ("connectivity", ("face", "full"))
)
MORE = [
    {},
    {"relative": True, "essential": True},
    {"sphere": True, "filtration": "sublevel"},
    {"threshold": 0.5, "essential": True, "sphere": True},
    {"dims": 1, "threshold": 0.2},
]
PAIRS = {
    "noise": lambda rng, *shape: rng.random((2, *shape)).astype(np.float32),
    "ties": lambda rng, *shape: rng.integers(0, 4, (2, *shape)) / 3,
    "doubles": lambda rng, *shape: rng.random((2, *shape)),
    "masks": lambda rng, *shape: rng.random((2, *shape)) < 0.5,
    "grey and mask": lambda rng, *shape: (rng.random(shape).astype(np.float32), rng.random(shape) < 0.6),
    "bytes and integers": lambda rng, *shape: (
        rng.integers(0, 3, shape).astype(np.uint8),
        rng.integers(0, 3, shape).astype(np.int64),
    ),
}


class TestMatching:
    @pytest.mark.parametrize("number", range(len(RULES)), ids=lambda number: "-".join(RULES[number].values()))
    def test_every_bar_and_every_pair(self, device, rng, number):
        shapes = [(9, 11), (2, 1, 7, 6), (40,), (2, 30), (8, 8), (1, 4)]
        for i in (number % 6, (number + 3) % 6):
            f, g = list(PAIRS.values())[i](rng, *shapes[i])
            d = min(len(shapes[i]), 2) if i != 3 else 1
            chosen = {**RULES[number], **MORE[(i + number) % 4], "spatial_dims": d}
            expected = betti_matching(f, g, **chosen)
            with device():
                assert same(betti_matching(f, g, **chosen), expected)

    @pytest.mark.parametrize("more", MORE, ids=str)
    def test_options(self, device, rng, more):
        f, g = rng.random((2, 1, 17, 15)).round(1)
        for options in RULES[1::3]:
            expected = betti_matching(f, g, spatial_dims=2, **options, **more)
            with device():
                assert same(betti_matching(f, g, spatial_dims=2, **options, **more), expected)

    def test_no_images_and_one_voxel(self, device):
        for shape, spatial in (((0, 3, 4), 2), ((1,), 1), ((2, 1, 1), 2)):
            x = np.zeros(shape)
            expected = betti_matching(x, x, essential=True, spatial_dims=spatial)
            with device():
                assert same(betti_matching(x, x, essential=True, spatial_dims=spatial), expected)

    def test_halves_beside_single_precision(self, device, rng):
        f, g = torch.tensor(rng.random((2, 9, 9))).float()
        expected = betti_matching(f.half(), g)
        with device():
            assert same(betti_matching(f.half(), g), expected)

    def test_nan_is_refused_as_on_the_host(self, device):
        x = np.ones((3, 4))
        y = x.copy()
        y[0, 2] = np.nan
        with device(), pytest.raises(ValueError, match=r"target must not contain NaN, got one at index \(0, 2\)"):
            betti_matching(x, y)


class TestLosses:
    @pytest.mark.parametrize("options", [{}, {"filtration": "both", "essential": True, "push_unmatched": "target"}])
    def test_betti_matching_loss(self, device, rng, options):
        f = torch.tensor(rng.random((2, 1, 12, 13))).requires_grad_()
        g = torch.tensor(rng.random((2, 1, 12, 13)) < 0.6)
        expected = betti_matching_loss(f, g, spatial_dims=2, **options)
        (slope,) = torch.autograd.grad(expected, f)
        with device():
            found = betti_matching_loss(f, g, spatial_dims=2, **options)
        assert torch.equal(found, expected)
        assert torch.equal(torch.autograd.grad(found, f)[0], slope)

    def test_betti_prior_loss(self, device, rng):
        f = torch.tensor(rng.random((2, 12, 13)))
        expected = betti_prior_loss(f, (2, 1), spatial_dims=2)
        with device():
            assert torch.equal(betti_prior_loss(f, (2, 1), spatial_dims=2), expected)

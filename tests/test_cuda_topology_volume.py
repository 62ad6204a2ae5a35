"""Barcodes and matchings of volumes in degrees 0 and 2 on a device are those of the host, run there by the emulator."""

import numpy as np
import pytest

from argrad.topology import barcode, betti_matching
from test_cuda_topology import MORE, OPTIONS, RULES, same

VOLUMES = {
    "noise": lambda rng, *shape: rng.random(shape).astype(np.float32),
    "ties": lambda rng, *shape: rng.integers(0, 4, shape) / 3,
    "mask": lambda rng, *shape: rng.random(shape) < 0.6,
}


@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 4, 5), (2, 9, 3)], ids=str)
@pytest.mark.parametrize("name", VOLUMES)
def test_every_bar_and_its_place(device, rng, name, shape):
    start = len(name) + sum(shape)
    for i in range(start, start + 3):  # all of them somewhere
        x = VOLUMES[name](rng, 2, *shape)
        options = {"dims": (0, 2), **OPTIONS[i % len(OPTIONS)], "spatial_dims": 3}
        expected = barcode(x, **options)
        with device():
            assert same(barcode(x, **options), expected)


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda number: "-".join(RULES[number].values()))
def test_every_bar_and_every_pair(device, rng, number):
    name = list(VOLUMES)[number % 3]
    f, g = VOLUMES[name](rng, 2, 4, 3, 5)
    options = {**RULES[number], **MORE[number % 4], "dims": (2, 0)}
    expected = betti_matching(f, g, **options)
    with device():
        assert same(betti_matching(f, g, **options), expected)


def test_one_degree_of_volumes(device, rng):
    x = rng.random((5, 4, 4))
    for degree in (0, 2):
        expected = barcode(x, dims=degree)
        with device():
            assert same(barcode(x, dims=degree), expected)


def test_degree_1_is_sent_to_the_host(device):
    x = np.zeros((2, 2, 2))
    sentence = r"must be in host memory for degree 1 of volumes, got \(2, 2, 2\) on a device; .* leave it out with dims"
    with device():
        with pytest.raises(RuntimeError, match=f"barcode: x {sentence}"):
            barcode(x)
        with pytest.raises(RuntimeError, match=f"betti_matching: prediction {sentence}"):
            betti_matching(x, x, dims=1)


def test_cavities_of_both_images(device, rng):
    f, g = 1 - rng.random((2, 5, 5, 7)).round(1) / 2
    for x in (f, g):
        x[1::2, 1::2, 1::2] = rng.random((2, 2, 3)).round(1) * 0.7  # holes, some of which open into others
    for rule in ("refined", "strict"):
        expected = betti_matching(f, g, dims=2, rule=rule)
        assert len(expected.pairs) > 3
        with device():
            assert same(betti_matching(f, g, dims=2, rule=rule), expected)

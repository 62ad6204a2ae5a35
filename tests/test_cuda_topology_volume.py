"""Barcodes and matchings of volumes on a device are those of the host, run there by the emulator."""

import contextlib

import numpy as np
import pytest
import torch

from argrad.losses.topology import betti_matching_loss, betti_prior_loss
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
        options = {**OPTIONS[i % len(OPTIONS)], "spatial_dims": 3}
        expected = barcode(x, **options)
        with device():
            assert same(barcode(x, **options), expected)


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda number: "-".join(RULES[number].values()))
def test_every_bar_and_every_pair(device, rng, number):
    name = list(VOLUMES)[number % 3]
    f, g = VOLUMES[name](rng, 2, 4, 3, 5)
    options = {**RULES[number], **MORE[number % 4], "dims": (None, (2, 0), (1, 2))[number % 3]}
    expected = betti_matching(f, g, **options)
    with device():
        assert same(betti_matching(f, g, **options), expected)


def test_one_degree_of_volumes(device, rng):
    x = rng.random((5, 4, 4))
    for degree in (0, 2):
        expected = barcode(x, dims=degree)
        with device():
            assert same(barcode(x, dims=degree), expected)


def test_degree_1_alone(device, rng):
    x, y = rng.random((2, 3, 4, 4, 5))
    for options in ({}, {"filtration": "superlevel", "connectivity": "full", "threshold": 0.3}):
        expected = (
            barcode(x, dims=1, spatial_dims=3, **options),
            betti_matching(x, y, dims=1, spatial_dims=3, **options),
        )
        assert len(expected[0].birth) > 3
        assert len(expected[1].pairs) > 3
        with device():
            found = (
                barcode(x, dims=1, spatial_dims=3, **options),
                betti_matching(x, y, dims=1, spatial_dims=3, **options),
            )
        assert same(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_gradients_in_all_degrees(device, rng, dtype):
    f = torch.tensor(rng.random((2, 1, 4, 5, 4))).to(dtype).requires_grad_()
    g = torch.tensor(rng.random((2, 1, 4, 5, 4)) < 0.6)
    results = []
    for where in (contextlib.nullcontext, device):
        with where():
            bars = barcode(f.transpose(-1, -2), spatial_dims=3, essential=False)
            loss = betti_matching_loss(f, g, spatial_dims=3, reduction="none")
            prior = betti_prior_loss(f, (1, 4, 1), spatial_dims=3)
        length = (bars.death - bars.birth).float().square().sum()
        slopes = [torch.autograd.grad(x.sum(), f)[0] for x in (length, loss, prior)]
        assert all(slope.any() for slope in slopes)
        results.append([*bars, loss, prior, *slopes])
    for found, expected in zip(results[1], results[0], strict=True):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


def test_what_the_host_refuses(device):
    x = np.ones((2, 3, 2, 2))
    y = x.copy()
    y[1, 2, 1, 0] = np.nan
    with device():
        for dims in (None, 1, (0, 2)):
            with pytest.raises(ValueError, match=r"barcode: x must not contain NaN, got one at index \(1, 2, 1, 0\)"):
                barcode(y, spatial_dims=3, dims=dims)
            with pytest.raises(ValueError, match=r"target must not contain NaN, got one at index \(1, 2, 1, 0\)"):
                betti_matching(x, y, spatial_dims=3, dims=dims)


def test_no_volumes_flat_ones_and_lists(device, rng):
    flat, empty = np.zeros((3, 3, 3)), np.empty((0, 2, 2, 2))
    list_of = [rng.random((3, 3, 2)), rng.random((3, 3)), rng.random((1, 4, 3))]
    expected = barcode(flat), barcode(empty, spatial_dims=3), tuple(barcode(list_of))
    matched = betti_matching(flat, flat), betti_matching(empty, empty, spatial_dims=3)
    with device():
        assert same((barcode(flat), barcode(empty, spatial_dims=3), tuple(barcode(list_of))), expected)
        assert same((betti_matching(flat, flat), betti_matching(empty, empty, spatial_dims=3)), matched)


def test_cavities_of_both_images(device, rng):
    f, g = 1 - rng.random((2, 5, 5, 7)).round(1) / 2
    for x in (f, g):
        x[1::2, 1::2, 1::2] = rng.random((2, 2, 3)).round(1) * 0.7  # holes, some of which open into others
    for rule in ("refined", "strict"):
        expected = betti_matching(f, g, dims=2, rule=rule)
        assert len(expected.pairs) > 3
        with device():
            assert same(betti_matching(f, g, dims=2, rule=rule), expected)

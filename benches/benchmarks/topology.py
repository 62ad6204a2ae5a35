"""Topology: time and peak memory of barcodes, matchings, counts and distances of images, one thread."""

from __future__ import annotations

from typing import Any

import argrad
from argrad.topology import (
    barcode,
    betti_matching,
    betti_numbers,
    bottleneck_distance,
    euler_characteristic,
    sliced_wasserstein_distance,
    wasserstein_distance,
)

from . import _data, _images

SHAPES = [(24, 24), (10, 10, 10)] if _data.SMOKE else [(512, 512), (64, 64, 64)]
KINDS = {"vessels": _images.pair, "noise": _images.noise}
DISTANCES = {
    function.__name__: function for function in (bottleneck_distance, sliced_wasserstein_distance, wasserstein_distance)
}


class _Images:
    """A prediction and a target: vessels (0 and 1), or two images of noise."""

    params = (list(KINDS), SHAPES)
    param_names = ("kind", "shape")

    def setup(self, kind: str, shape: tuple[int, ...]) -> None:
        argrad.set_num_threads(1)
        self.prediction, self.target = KINDS[kind](shape)
        self.run()

    def run(self) -> None:
        raise NotImplementedError

    def time_it(self, *_: Any) -> None:
        self.run()

    def peakmem_it(self, *_: Any) -> None:
        self.run()


class Barcode(_Images):
    """Bars with their voxels."""

    def run(self) -> None:
        barcode(self.prediction, filtration="superlevel")


class BarcodeFull(_Images):
    """Bars of the T-construction."""

    def run(self) -> None:
        barcode(self.prediction, filtration="superlevel", connectivity="full")


class Matching(_Images):
    """Matched and other bars."""

    def run(self) -> None:
        betti_matching(self.prediction, self.target)


class MatchingStrict(_Images):
    """The same by the definition, through the intersection."""

    def run(self) -> None:
        betti_matching(self.prediction, self.target, rule="strict", comparison="intersection")


class Counts(_Images):
    """Betti numbers and the Euler characteristic of a mask, and its curve at ten thresholds."""

    def run(self) -> None:
        mask = self.prediction > 0.5
        betti_numbers(mask)
        euler_characteristic(mask)
        euler_characteristic(self.prediction, thresholds=[i / 10 for i in range(10)])


class Distance:
    """Two barcodes of some hundred bars."""

    params = (list(DISTANCES),)
    param_names = ("distance",)

    def setup(self, _: str) -> None:
        argrad.set_num_threads(1)
        shape = (16, 16) if _data.SMOKE else (64, 64)
        self.bars = [barcode(x, dims=0, essential=False) for x in _images.noise(shape)]

    def time_it(self, distance: str) -> None:
        DISTANCES[distance](*self.bars, dims=0)

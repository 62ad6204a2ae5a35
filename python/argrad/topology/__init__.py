"""Topology: persistence barcodes of images, Betti matching, and what is counted and measured on them."""

from argrad.topology._barcode import Barcode, barcode
from argrad.topology._betti import betti_numbers, euler_characteristic
from argrad.topology._distances import (
    Partners,
    bottleneck_distance,
    sliced_wasserstein_distance,
    wasserstein_distance,
)
from argrad.topology._matching import Matching, betti_matching

__all__ = [
    "Barcode",
    "Matching",
    "Partners",
    "barcode",
    "betti_matching",
    "betti_numbers",
    "bottleneck_distance",
    "euler_characteristic",
    "sliced_wasserstein_distance",
    "wasserstein_distance",
]

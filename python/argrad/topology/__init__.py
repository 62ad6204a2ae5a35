"""Topology: persistence barcodes of images, Betti matching, and what is counted and measured on them."""

from argrad.topology._barcode import Barcode, barcode
from argrad.topology._betti import betti_numbers, euler_characteristic
from argrad.topology._matching import Matching, betti_matching

__all__ = [
    "Barcode",
    "Matching",
    "barcode",
    "betti_matching",
    "betti_numbers",
    "euler_characteristic",
]

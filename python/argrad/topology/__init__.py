"""Topology: persistence barcodes of images, Betti matching, and what is counted and measured on them."""

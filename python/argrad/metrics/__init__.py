"""Exact metrics, one module per family: numbers of arrays or tensors, without a gradient."""

from argrad.metrics import topology

__all__ = ["topology"]

"""Losses as plain functions of torch tensors, one module per family. `argrad.nn` has each as a `torch.nn.Module`."""

from argrad.losses import ranking, topology

__all__ = ["ranking", "topology"]

"""Losses as plain functions of torch tensors, one module per family. `argrad.nn` has each as a `torch.nn.Module`."""

from argrad.losses import fenchel_young, ranking, topology

__all__ = ["fenchel_young", "ranking", "topology"]

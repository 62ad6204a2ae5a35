"""Losses: time forward and backward, peak memory, and bytes kept for the backward pass. Every public loss has a row."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from argrad import losses

from . import _data

BATCH, SIZE = (4, 24) if _data.SMOKE else (64, 240)
IMAGES = (2, 1, 16, 16) if _data.SMOKE else (8, 1, 128, 128)
NAMES = [
    f"{family}.{name}"
    for family in losses.__all__
    for name in getattr(losses, family).__all__
    if name.endswith("_loss")
]


def _mask() -> Tensor:
    return (torch.rand(IMAGES) < 0.3).float()


ON_MASKS = ("betti_matching", "euler_characteristic", "wasserstein_topology")
# What the arguments of a loss are, by their names; then the losses with arguments of another kind, and their settings.
OF_CLASSES = ("topk_cross_entropy_loss", "entmax_loss", "fenchel_young_loss", "sparsemax_loss")
INPUTS: dict[str, Callable[[], Tensor]] = {
    "betti": lambda: torch.tensor([1, 2]),
    "positive": lambda: torch.rand(BATCH, SIZE) < 0.1,
    "prediction": lambda: torch.rand(IMAGES),
    "relevance": lambda: torch.randint(0, 5, (BATCH, SIZE)),
    "scores": lambda: torch.randn(BATCH, SIZE),
    "target": lambda: torch.randn(BATCH, SIZE),
}
SPECIAL: dict[str, dict[str, Callable[[], Tensor]]] = {
    "lcron_loss": {"scores": lambda: torch.randn(BATCH, 2, SIZE), "state": lambda: torch.ones(2)},
    **{name: {"target": lambda: torch.randint(0, SIZE, (BATCH,))} for name in OF_CLASSES},
    **{f"{name}_loss": {"target": _mask} for name in ON_MASKS},
}
SETTINGS: dict[str, dict[str, object]] = {
    "lcron_loss": {"quotas": (20, 10)},
    "topk_cross_entropy_loss": {"weights": (0.5, 0.0, 0.0, 0.0, 0.5)},
    **{f"{name}_loss": {"spatial_dims": 2} for name in (*ON_MASKS, "betti_prior")},
}


def saved_bytes(function: Callable[[], Tensor]) -> int:
    """Return the bytes of all tensors that autograd keeps between `function()` and its backward pass."""
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(kept.values())


class Loss:
    """One loss of 64 lists of 240 items, or of 8 images of 128 x 128, forward and backward, float32."""

    params = (NAMES,)
    param_names = ("loss",)

    def setup(self, loss: str) -> None:
        family, name = loss.split(".")
        self.function = getattr(getattr(losses, family), name)
        torch.manual_seed(0)
        kinds = INPUTS | SPECIAL.get(name, {})
        parameters = inspect.signature(self.function).parameters.values()
        self.inputs = [kinds[p.name]() for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.inputs[0].requires_grad_()
        self.settings = SETTINGS.get(name, {})

    def value(self) -> Tensor:
        value: Tensor = self.function(*self.inputs, **self.settings)
        return value

    def time_forward_backward(self, loss: str) -> None:
        self.value().backward()

    def peakmem_forward_backward(self, loss: str) -> None:
        self.value().backward()

    def track_saved_bytes(self, loss: str) -> int:
        return saved_bytes(self.value)

    track_saved_bytes.unit = "bytes"  # type: ignore[attr-defined]

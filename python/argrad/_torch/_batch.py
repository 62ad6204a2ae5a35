"""Rules for vmap: one call for a whole batch, or one for each item."""

from collections.abc import Callable, Sequence
from typing import Any

from argrad._torch import Tensor


def fold(
    apply: Callable[..., tuple[Tensor, ...]], size: int, dims: Sequence[int | None], args: Sequence[Any]
) -> tuple[Tensor, ...]:
    """Apply an operator once to a batch, its dimension moved to the front of every tensor."""
    import torch

    return apply(
        *[
            x if not isinstance(x, torch.Tensor) else x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(args, dims, strict=True)
        ]
    )


def loop(
    apply: Callable[..., tuple[Tensor, ...]], size: int, dims: Sequence[int | None], args: Sequence[Any]
) -> tuple[Tensor, ...]:
    """Apply an operator to each item of a batch and stack the outputs."""
    import torch

    # An option that is a list has a list of dimensions.
    items = [
        apply(*[x.select(dim, i) if isinstance(dim, int) else x for x, dim in zip(args, dims, strict=True)])
        for i in range(size)
    ]
    return tuple(torch.stack(outputs) for outputs in zip(*items, strict=True))

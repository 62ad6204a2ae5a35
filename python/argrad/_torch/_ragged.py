"""Operators whose outputs are as long as the data makes them: indices, with nothing differentiable among them.

There is no `torch.autograd.Function`: values are gathered by the caller with the indices that come out, in plain torch,
which differentiates that as often as it is asked.
"""

from collections.abc import Callable
from typing import Any

from argrad._torch import Ragged
from argrad._torch._build import as_single, build_kernel, keep, read, special_route


def build(name: str, operator: Ragged) -> Callable[..., Any]:
    """Return the function that calls the operator on tensors and options, and gives back its output or outputs."""
    import torch

    schema = read(name, operator.schema)
    kernel = build_kernel(operator.forward, 0, schema)
    raw = _define(name, operator, kernel)
    special, is_compiling, tensors = special_route(), torch.compiler.is_compiling, schema.tensors
    plain = (torch.Tensor, torch.nn.Parameter)

    def call(*args: Any) -> Any:
        if is_compiling() or special() or not all([type(args[place]) in plain for place in tensors]):  # noqa: C419
            return raw(*args)
        return as_single(kernel(*args))

    return call


def _define(name: str, operator: Ragged, kernel: Callable[..., Any]) -> Any:
    """Register the raw operator with its kernel, its shape function and its refusal of vmap."""
    import torch

    toolbox: Any = torch.library

    def fake(*args: Any) -> Any:
        unknown, device = toolbox.get_ctx().new_dynamic_size, args[0].device
        shapes = operator.shapes(unknown, *args)
        return as_single(tuple(torch.empty(shape, dtype=torch.int64, device=device) for shape in shapes))

    def refuse(*args: Any) -> Any:
        raise RuntimeError(operator.refusal)

    library = toolbox.Library("argrad", "FRAGMENT")
    library.define(name + operator.schema, tags=(torch.Tag.pt2_compliant_tag,))
    for key in ("CPU", "CUDA") if operator.device else ("CPU",):
        library.impl(name, lambda *args: as_single(kernel(*args)), key)
    toolbox.register_fake(f"argrad::{name}", fake, lib=library)
    toolbox.register_vmap(f"argrad::{name}", refuse, lib=library)
    keep(library)
    return getattr(torch.ops.argrad, name).default

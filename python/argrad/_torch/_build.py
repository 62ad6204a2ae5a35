"""From what a stem declares to what it calls: the raw operator, its gradient, and the way of an eager call.

An eager call of a small operator is all overhead, so what a schema tells is looked up when the operator is built, and
per call only the tensors are touched.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from argrad import _array, _native
from argrad._torch import Operator, Tensor
from argrad._torch._batch import fold, loop

_libraries: list[object] = []


class Schema(NamedTuple):
    """What the schema of an operator tells.

    Attributes:
        names: names of the arguments.
        tensors: positions of the arguments that are tensors or None.
        returns: names of the outputs.
    """

    names: tuple[str, ...]
    tensors: tuple[int, ...]
    returns: tuple[str, ...]


def build(name: str, operator: Operator) -> Callable[..., Any]:
    """Return the function that calls the operator on tensors and options, and gives back its value or values."""
    import torch

    schema = read(name, operator.schema)
    kernel = build_kernel(operator.forward, operator.values, schema)
    raw = _define(name, operator, kernel)
    special, is_compiling, is_grad_enabled = special_route(), torch.compiler.is_compiling, torch.is_grad_enabled
    tensor, parameter, tensors = torch.Tensor, torch.nn.Parameter, schema.tensors

    def apply(*args: Any) -> Any:
        if is_compiling():
            return traced.apply(*_distinct(args))
        if special():
            return traced.apply(*args)
        recorded = False
        for place in tensors:
            x = args[place]
            if x is None:
                continue
            kind = type(x)
            if kind is not tensor and kind is not parameter:  # a subclass
                return traced.apply(*args)
            recorded = recorded or x.requires_grad
        return eager.apply(*args) if recorded and is_grad_enabled() else kernel(*args)

    traced, eager = _functions(operator, schema, raw, kernel, apply)

    # A plain number: torch.compile cannot carry an object of a foreign class into its trace.
    count = operator.shown or operator.values

    def front(*args: Any) -> Any:
        outputs = apply(*args)
        return outputs[0] if count == 1 else outputs[:count]

    return front


def connect() -> None:
    """Tell the kernels how to look into tensors."""
    import torch

    _native.connect(torch.Tensor, getattr(torch.Tensor, "__dlpack_c_exchange_api__", None))  # torch >= 2.10


@functools.cache
def special_route() -> Callable[[], bool]:
    """Return a function that tells whether a call needs the full route through the dispatcher."""
    import torch

    functorch_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
    modes_active = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
    forward_ad: Any = torch.autograd.forward_ad

    def special() -> bool:
        """Tell whether a transform, a dispatch mode (a tracer) or forward mode is on."""
        return bool(functorch_active() or modes_active() > 0 or forward_ad._current_level >= 0)

    return special


def read(name: str, text: str) -> Schema:
    """Return what the schema of an operator tells."""
    import torch

    schema = torch._C.parse_schema(name + text)
    tensors = tuple([i for i, x in enumerate(schema.arguments) if str(x.type) in ("Tensor", "Optional[Tensor]")])
    return Schema(tuple([x.name for x in schema.arguments]), tensors, tuple([x.name for x in schema.returns]))


def _distinct(args: Sequence[Any]) -> list[Any]:
    """Replace a tensor that came before by a view: torch.compile takes no tensor twice (`P @ x` with P of x)."""
    import torch

    found: list[Any] = []
    for x in args:
        repeated = isinstance(x, torch.Tensor) and any([x is y for y in found])  # noqa: C419 (torch.compile traces it)
        found.append(x.view_as(x) if repeated else x)
    return found


def build_kernel(
    forward: Callable[..., tuple[Any, ...]], values: int, schema: Schema
) -> Callable[..., tuple[Tensor, ...]]:
    """Return `forward` as a function of tensors; `values` as in `declare`."""
    compute = _compute(forward, values, schema)

    def kernel(*args: Any) -> tuple[Tensor, ...]:
        return compute(*args)[0]

    return kernel


def _compute(
    forward: Callable[..., tuple[Any, ...]], values: int, schema: Schema
) -> Callable[..., tuple[tuple[Tensor, ...], tuple[Any, ...]]]:
    """Return a function that gives the outputs as tensors, and what `forward` returns beyond them."""
    import torch

    places, count, single = schema.tensors, len(schema.returns), torch.float32
    tensor, memory, borrow = _array.tensor, _array.memory, _native.borrow
    wide = (torch.float32, torch.float64)

    def compute(*args: Any) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        dtype, host = single, True
        for place in places:
            x = args[place]
            if x is not None:
                host = x.is_cpu
                if x.is_floating_point():
                    dtype = x.dtype
                    break
        found = forward(*(borrow(args, places, memory) if host else on_device(args)))
        if dtype in wide:
            return tuple([tensor(y, dtype) for y in found[:count]]), found[count:]
        outputs = [tensor(y, dtype if i < values else single) for i, y in enumerate(found[:count])]
        return tuple(outputs), found[count:]

    return compute


def on_device(args: Sequence[Any]) -> list[Any]:
    """Return the arguments with tensors as kernels on their device take them."""
    return [_array.raw(x) if _array.is_tensor(x) else x for x in args]


def _define(name: str, operator: Operator, kernel: Callable[..., tuple[Tensor, ...]]) -> Any:
    """Register the raw operator with its kernel and its shape function."""
    import torch

    def fake(*args: Any) -> Any:
        outputs = operator.shapes(*args)
        given = [x for x in args if isinstance(x, torch.Tensor)]
        first = next((x for x in given if x.is_floating_point()), given[0])
        computed = torch.float64 if first.dtype == torch.float64 else torch.float32
        # Always contiguous, as the kernel's outputs are; empty_like would keep the strides of a transposed input.
        return as_single(
            tuple(
                torch.empty(
                    shape,
                    dtype=getattr(torch, name) if name else first.dtype if i < operator.values else computed,
                    device=first.device,
                )
                for i, (shape, name) in enumerate(outputs)
            )
        )

    toolbox: Any = torch.library
    library = toolbox.Library("argrad", "FRAGMENT")
    library.define(name + operator.schema, tags=(torch.Tag.pt2_compliant_tag,))
    for key in ("CPU", "CUDA") if operator.device else ("CPU",):
        library.impl(name, lambda *args: as_single(kernel(*args)), key)
    toolbox.register_fake(f"argrad::{name}", fake, lib=library)
    keep(library)
    raw = getattr(torch.ops.argrad, name).default
    batch = fold if operator.folds else loop

    def rule(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        outputs = batch(lambda *x: as_tuple(raw(*x)), info.batch_size, in_dims, args)
        return as_single(outputs), as_single((0,) * len(outputs))

    # torch.compile looks inside the autograd.Function and so passes by its rule for vmap.
    toolbox.register_vmap(f"argrad::{name}", rule, lib=library)
    return raw


def _hooked() -> Callable[[], bool]:
    """Return a function that tells whether hooks for saved tensors are on (checkpoints, offloading)."""
    import torch

    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return (lambda: True) if top is None else (lambda: top(False) is not None)


def _functions(
    operator: Operator, schema: Schema, raw: Any, kernel: Callable[..., Any], apply: Callable[..., Any]
) -> tuple[Any, Any]:
    """Return two `torch.autograd.Function`: one for transforms and tracers, a faster one for eager calls."""
    import torch

    remember, gradients = _tape(operator, schema)
    direct = _direct(operator, schema)
    batch, several, nothing = fold if operator.folds else loop, operator.values > 1, (None,) * len(schema.names)
    forward = partial(operator.forward, memo=True) if operator.memo else operator.forward
    compute, hooked = _compute(forward, operator.values, schema), _hooked()
    special, differentiated, tensor = special_route(), torch.is_grad_enabled, torch.Tensor

    class Traced(torch.autograd.Function):
        @staticmethod
        def forward(*args: Any) -> Any:
            return as_tuple(raw(*args))

        @staticmethod
        def setup_context(ctx: Any, inputs: Sequence[Any], output: Sequence[Tensor]) -> None:
            remember(ctx, inputs, output)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            return gradients(ctx, grads)

        @staticmethod
        def vmap(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
            outputs = batch(apply, info.batch_size, in_dims, args)
            return outputs, (0,) * len(outputs)

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            outputs, memo = compute(*args)
            remember(ctx, args, outputs)
            # Hooks are there to keep saved tensors out of memory.
            ctx.memo = () if memo and hooked() else memo
            # Otherwise torch makes zeros for the residuals, which have no gradient.
            if not several:
                ctx.set_materialize_grads(False)
            return outputs

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            if grads[0] is None:
                return nothing
            if direct is None or differentiated() or special() or type(grads[0]) is not tensor:
                return gradients(ctx, grads)
            return direct(ctx, grads)

    # torch asks inspect for the signature at each call, which is a third of the time of a small call.
    kinds = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in schema.names]
    Traced.forward.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
    return Traced, Eager


def _saved(operator: Operator, schema: Schema) -> tuple[list[int], list[int]]:
    """Return where among inputs and outputs the saved tensors and the saved options are."""
    everything = [*schema.names, *schema.returns]
    places = [everything.index(name) for name in operator.saved]
    held = [place for place in places if place in schema.tensors or place >= len(schema.names)]
    return held, [place for place in places if place not in held]


def _tape(operator: Operator, schema: Schema) -> tuple[Any, Any]:
    """Return the functions that fill and read the context of a `torch.autograd.Function`."""
    import torch

    # Closures over plain values: torch.compile cannot carry an object of a foreign class into its trace.
    names, inputs_of = schema.names, schema.tensors
    values, backward, residuals = operator.values, operator.backward, len(schema.returns) > operator.values
    everything = [*names, *schema.returns]
    held, kept = _saved(operator, schema)
    held_names, kept_names = [everything[place] for place in held], [everything[place] for place in kept]
    halves, autocasting = (torch.float16, torch.bfloat16), torch.is_autocast_enabled

    def remember(ctx: Any, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        known = [*inputs, *outputs]
        ctx.save_for_backward(*[known[place] for place in held])
        ctx.options = [known[place] for place in kept]
        ctx.dtypes = [None if (x := inputs[place]) is None else x.dtype for place in inputs_of]
        if residuals:
            ctx.mark_non_differentiable(*outputs[values:])

    def widen(x: Tensor | None) -> Tensor | None:
        return x.float() if x is not None and x.dtype in halves else x

    def gradients(ctx: Any, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        known = dict(zip(kept_names, ctx.options, strict=True))
        for name, x in zip(held_names, ctx.saved_tensors, strict=True):
            known[name] = widen(x)
        needed = ctx.needs_input_grad
        wanted = [names[place] for place in inputs_of if needed[place]]
        upstream = [widen(g) for g in grads[:values]]
        kind = grads[0].device.type
        # Inside an autocast region the matrix products of a backward pass would lose the widened precision again.
        if autocasting(kind):
            with torch.autocast(kind, enabled=False):
                found = backward(known, upstream, wanted)
        else:
            found = backward(known, upstream, wanted)
        results: list[Tensor | None] = [None] * len(names)
        for place, dtype in zip(inputs_of, ctx.dtypes, strict=True):
            x = found.get(names[place])
            results[place] = x if x is None or x.dtype == dtype else x.to(dtype)
        return tuple(results)

    return remember, gradients


def _direct(operator: Operator, schema: Schema) -> Any:
    """Return an eager backward pass that calls the kernel of the first derivative itself; None where there is none."""
    if operator.vjp is None:
        return None
    (kernel, differentiable), values = operator.vjp, operator.values
    tensor, memory, borrow = _array.tensor, _array.memory, _native.borrow
    everything = [*schema.names, *schema.returns]
    held, kept = _saved(operator, schema)
    tensors = tuple(range(len(held) + values))
    # The kernel takes what is saved in order, and the upstream gradients; at hand are tensors, gradients, options.
    order = {everything[place]: at for at, place in enumerate(held)}
    order |= {everything[place]: len(tensors) + at for at, place in enumerate(kept)}
    arrange = itemgetter(*[order[name] for name in operator.saved], *tensors[len(held) :])
    inputs = tuple([schema.names.index(name) for name in differentiable])
    dtype_at, blank = [schema.tensors.index(place) for place in inputs], [None] * len(schema.names)

    def direct(ctx: Any, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        held = (*ctx.saved_tensors, *grads[:values])
        arrays = borrow(held, tensors, memory) if grads[0].is_cpu else on_device(held)
        memo, needed, dtypes = ctx.memo, ctx.needs_input_grad, ctx.dtypes
        ctx.memo = ()  # forgotten, as torch forgets what it saved: the node may outlive its use
        wanted = 0
        for i, place in enumerate(inputs):
            wanted |= needed[place] << i
        found = kernel(*arrange([*arrays, *ctx.options]), wanted, *memo)
        results: list[Tensor | None] = blank.copy()
        for place, at, array in zip(inputs, dtype_at, found, strict=True):
            if needed[place]:
                results[place] = tensor(array, dtypes[at])
        return tuple(results)

    return direct


def keep(library: object) -> None:
    """Keep a library alive: its registrations end with its life."""
    _libraries.append(library)


def as_single(outputs: tuple[Any, ...]) -> Any:
    """Return the outputs of a raw operator as torch.library wants them: to it a tuple of one is not a single output."""
    return outputs[0] if len(outputs) == 1 else outputs


def as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    """Return the outputs of a raw operator as a tuple."""
    return outputs if isinstance(outputs, tuple) else (outputs,)

"""The one way an operator of argrad becomes a torch operator.

A stem declares an operator by a schema and pure functions and calls it as an attribute of this module:

    _torch.declare(
        "soft_rank",
        "(Tensor x, float strength) -> (Tensor rank, Tensor order)",
        forward=_forward,       # numpy arrays and options in, a tuple of numpy arrays out: values, then residuals
        shapes=_shapes,         # the same arguments, (shape, dtype) of every output: what compilers need
        backward=_backward,     # gradients, in differentiable torch operations or by another declared operator
        values=1,               # outputs before this position are values, the others residuals
        saved=("order", "strength"),
    )
    ...
    return _torch.soft_rank(x, strength)

Values are what the caller sees. Residuals are kept for the backward pass and must be locally constant in the inputs
(indices, block boundaries): no gradient flows through them, which is what makes the second derivative right when
`backward` is differentiable in the inputs it saved. Where the derivatives are kernels as well, `declare_smooth`
declares all three at once.

The raw operator `torch.ops.argrad.<name>` has a kernel and a shape function and knows nothing of gradients. Around it
stands a `torch.autograd.Function` with a rule for vmap. Gradients registered on the raw operator instead would fail
under `torch.func.grad` and cost twice as much. Ordinary eager calls skip the dispatcher. An exported program holds the
raw operator alone, so it has no gradient; neither has forward mode (torch refuses it).
"""

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from argrad import _array

Tensor: TypeAlias = Any
"""A torch tensor (an alias for readers: torch is optional and imported when the first operator is used)."""

Shapes: TypeAlias = Sequence[tuple[tuple[int, ...], str | None]]


@dataclass(frozen=True, slots=True)
class Operator:
    """What a stem says about one operator; see `declare`."""

    schema: str
    forward: Callable[..., tuple[np.ndarray[Any, Any], ...]]
    shapes: Callable[..., Shapes]
    backward: Callable[[Mapping[str, Any], Sequence[Tensor], Sequence[str]], Mapping[str, Tensor]]
    values: int
    saved: tuple[str, ...]
    folds: bool = False


_declared: dict[str, Operator] = {}
_building = threading.Lock()
_libraries: list[object] = []


def declare(
    name: str,
    schema: str,
    *,
    forward: Callable[..., tuple[np.ndarray[Any, Any], ...]],
    shapes: Callable[..., Shapes],
    backward: Callable[[Mapping[str, Any], Sequence[Tensor], Sequence[str]], Mapping[str, Tensor]],
    values: int,
    saved: tuple[str, ...],
    folds: bool = False,
) -> None:
    """Declare the operator `name`, built when it is first used as an attribute of this module.

    Args:
        name: name of the operator, here and below `torch.ops.argrad`.
        schema: arguments and outputs in torch's schema language, all of them named.
        forward: takes each tensor as `_array.raw` gives it and options as they are; returns one numpy array per
            output, none of them sharing memory with an input. Half precision arrives as float32; floating values go
            back to the dtype of the first floating tensor, floating residuals to the dtype that is computed in.
        shapes: takes the same arguments (tensors without values) and returns shape and dtype name of each output, None
            for the dtype of floating outputs.
        backward: takes the saved arguments and outputs by name, the gradients of the values, and the names of the
            arguments whose gradient is wanted; returns those it has by name. Half precision arrives as float32;
            gradients go back to the dtype of their argument.
        values: number of outputs that are values.
        saved: names of the arguments and outputs `backward` needs.
        folds: whether `forward`, `shapes` and `backward` accept leading batch dimensions in all tensors; vmap then
            makes one call, otherwise one for each item.
    """
    _declared[name] = Operator(schema, forward, shapes, backward, values, saved, folds)


def declare_smooth(
    name: str,
    schema: str,
    *,
    forward: Callable[..., tuple[np.ndarray[Any, Any], ...]],
    vjp: Callable[..., tuple[np.ndarray[Any, Any], ...]],
    second: Callable[..., tuple[np.ndarray[Any, Any], ...]],
    shapes: Callable[..., Shapes],
    differentiable: tuple[str, ...],
    saved: tuple[str, ...],
    values: int,
) -> None:
    """Declare an operator whose derivatives are kernels too: `name`, `name_vjp` and `name_second`.

    All three functions fold leading batch dimensions. The first derivative is a function of the inputs and the
    upstream gradients; what it takes from `saved` only spares it work. So `saved` may hold outputs that are not locally
    constant, and `second` must derive the inputs' whole influence (run `vjp` on dual numbers, for example).

    Args:
        name: name of the operator.
        schema: as in `declare`.
        forward: as in `declare`.
        vjp: takes the inputs, the saved outputs, the gradients of the values, and `wanted`, an integer whose bit i says
            whether the gradient to `differentiable[i]` is wanted; returns one array for each of `differentiable`, of
            its shape (of any content where not wanted).
        second: takes the inputs, the saved outputs, the gradients of the values, and one tangent for each of
            `differentiable`, of its shape; with phi the sum over them of <tangent, vjp>, returns the gradients of phi
            to each of `differentiable`, then to each gradient of the values.
        shapes: as in `declare`.
        differentiable: names of the inputs that gradients go to; tensors that are never None.
        saved: names of the outputs that `vjp` and `second` take.
        values: number of outputs that are values.
    """
    arguments, returns = schema.split("->")
    inputs = [argument.split()[-1] for argument in arguments.strip(" ()").split(",")]
    outputs = [output.split()[-1] for output in returns.strip(" ()").split(",")]
    grads = [f"{output}_grad" for output in outputs[:values]]
    tangents = [f"{argument}_tangent" for argument in differentiable]
    known = [*inputs, *saved, *grads]
    given, vjp_name, second_name = [*inputs, *saved], f"{name}_vjp", f"{name}_second"
    bit_of = {argument: 1 << i for i, argument in enumerate(differentiable)}
    extended = ", ".join([arguments.strip(" ()"), *[f"Tensor {x}" for x in (*saved, *grads)]])

    def gradients(held: Mapping[str, Any], upstream: Sequence[Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        from argrad import _torch  # torch.compile has to see where what it calls comes from

        bits = sum([bit_of[x] for x in wanted])
        found = _as_tuple(getattr(_torch, vjp_name)(*[held[x] for x in given], *upstream, bits))
        return {x: gradient for x, gradient in zip(differentiable, found, strict=True) if x in wanted}

    def gradients_of_gradients(
        held: Mapping[str, Any], upstream: Sequence[Tensor], wanted: Sequence[str]
    ) -> dict[str, Tensor]:
        from argrad import _torch  # as above

        found = getattr(_torch, second_name)(*[held[x] for x in known], *upstream)
        return {x: gradient for x, gradient in zip((*differentiable, *grads), found, strict=True) if x in wanted}

    def no_more(held: Mapping[str, Any], upstream: Sequence[Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        raise RuntimeError(f"{name}: there are two derivatives, a third was asked for")

    def shape_of(args: Sequence[Any], names: Sequence[str]) -> Shapes:
        held = dict(zip(known, args, strict=False))
        return [(held[x].shape, None) for x in names]

    declare(
        name,
        schema,
        forward=forward,
        shapes=shapes,
        backward=gradients,
        values=values,
        saved=(*inputs, *saved),
        folds=True,
    )
    declare(
        vjp_name,
        f"({extended}, int wanted) -> ({', '.join(f'Tensor {x}_out' for x in differentiable)})",
        forward=vjp,
        shapes=lambda *args: shape_of(args, differentiable),
        backward=gradients_of_gradients,
        values=len(differentiable),
        saved=tuple(known),
        folds=True,
    )
    declare(
        second_name,
        f"({extended}, {', '.join(f'Tensor {x}' for x in tangents)}) -> "
        f"({', '.join(f'Tensor {x}_out' for x in (*differentiable, *grads))})",
        forward=second,
        shapes=lambda *args: shape_of(args, (*differentiable, *grads)),
        backward=no_more,
        values=len(differentiable) + len(grads),
        saved=(),
        folds=True,
    )


def is_compiling() -> bool:
    """Tell whether torch.compile or torch.export is tracing this call."""
    import torch

    return torch.compiler.is_compiling()


def __getattr__(name: str) -> Any:
    # Not a cached function: torch.compile runs a module's __getattr__ as it is, but would trace into a function, and
    # registering an operator cannot be traced. So the first use of an operator may lie inside compiled code.
    if name not in _declared:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    with _building:
        if name not in globals():
            globals()[name] = _build(name, _declared[name])
        return globals()[name]


def _build(name: str, operator: Operator) -> Callable[..., Any]:
    """Return the function that calls the operator on tensors and options, and gives back its value or values."""
    import torch

    kernel = _kernel(operator)
    raw = _define(name, operator, kernel)
    functorch_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
    modes_active = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
    ordinary, options = {torch.Tensor, torch.nn.Parameter}, {type(None), bool, int, float, str}

    def apply(*args: Any) -> Any:
        # Transforms, tracers, forward mode and tensor subclasses need the full route through the dispatcher.
        if torch.compiler.is_compiling():
            return traced.apply(*_distinct(args))
        if functorch_active() or modes_active() > 0 or torch.autograd.forward_ad._current_level >= 0:
            return traced.apply(*args)
        recorded = False
        for x in args:
            kind = type(x)  # looked up, because isinstance asks torch's metaclass
            if kind in ordinary:
                recorded = recorded or x.requires_grad
            elif kind not in options and isinstance(x, torch.Tensor):
                return traced.apply(*args)
        return eager.apply(*args) if recorded and torch.is_grad_enabled() else kernel(*args)

    traced, eager = _functions(operator, [x.name for x in raw._schema.arguments], raw, kernel, apply)

    count = operator.values  # a plain number: torch.compile cannot carry an object of a foreign class into its trace

    def front(*args: Any) -> Any:
        values = apply(*args)[:count]
        return values[0] if count == 1 else values

    return front


def _distinct(args: Sequence[Any]) -> list[Any]:
    """Replace a tensor that came before by a view: torch.compile takes no tensor twice (`P @ x` with P of x)."""
    import torch

    found: list[Any] = []
    for x in args:
        repeated = isinstance(x, torch.Tensor) and any([x is y for y in found])  # noqa: C419 (torch.compile traces it)
        found.append(x.view_as(x) if repeated else x)
    return found


def _kernel(operator: Operator) -> Callable[..., tuple[Tensor, ...]]:
    """Return `forward` as a function of CPU tensors."""
    import torch

    forward, values, tensor = operator.forward, operator.values, _array.tensor

    def kernel(*args: Any) -> tuple[Tensor, ...]:
        arrays, dtype = list(args), None
        for i, x in enumerate(args):
            if isinstance(x, torch.Tensor):
                arrays[i] = _array.raw(x)
                if dtype is None and x.is_floating_point():
                    dtype = x.dtype
        outputs = forward(*arrays)
        computed = torch.float64 if dtype == torch.float64 else torch.float32
        return tuple([tensor(y, dtype if i < values else computed) for i, y in enumerate(outputs)])

    return kernel


def _floating(operator: Operator, args: Sequence[Any], count: int) -> tuple[Tensor, list[Any]]:
    """Return the first floating tensor and, for each output, the dtype it has if it is floating."""
    import torch

    first = next(x for x in args if isinstance(x, torch.Tensor) and x.is_floating_point())
    computed = torch.float64 if first.dtype == torch.float64 else torch.float32
    return first, [first.dtype if position < operator.values else computed for position in range(count)]


def _define(name: str, operator: Operator, kernel: Callable[..., tuple[Tensor, ...]]) -> Any:
    """Register the raw operator with its kernel and its shape function."""
    import torch

    def fake(*args: Any) -> Any:
        outputs = operator.shapes(*args)
        first, dtypes = _floating(operator, args, len(outputs))
        # Always contiguous, as the kernel's outputs are; empty_like would keep the strides of a transposed input.
        return as_torch(
            tuple(
                torch.empty(shape, dtype=getattr(torch, name) if name else dtype, device=first.device)
                for (shape, name), dtype in zip(outputs, dtypes, strict=True)
            )
        )

    def as_torch(outputs: tuple[Any, ...]) -> Any:
        # To torch.library a tuple of one is not a single output.
        return outputs[0] if len(outputs) == 1 else outputs

    toolbox: Any = torch.library
    library = toolbox.Library("argrad", "FRAGMENT")
    library.define(name + operator.schema, tags=(torch.Tag.pt2_compliant_tag,))
    library.impl(name, lambda *args: as_torch(kernel(*args)), "CPU")
    toolbox.register_fake(f"argrad::{name}", fake, lib=library)
    # A library's registrations end with its life.
    _libraries.append(library)
    raw = getattr(torch.ops.argrad, name).default
    batch = _fold if operator.folds else _loop

    def rule(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        outputs = batch(lambda *x: _as_tuple(raw(*x)), info.batch_size, in_dims, args)
        return as_torch(outputs), as_torch((0,) * len(outputs))

    # torch.compile looks inside the autograd.Function and so passes by its rule for vmap.
    toolbox.register_vmap(f"argrad::{name}", rule, lib=library)
    return raw


def _functions(
    operator: Operator, names: Sequence[str], raw: Any, kernel: Callable[..., Any], apply: Callable[..., Any]
) -> tuple[Any, Any]:
    """Return two `torch.autograd.Function`: one for transforms and tracers, a faster one for eager calls."""
    import torch

    remember, gradients = _tape(operator, names, [x.name for x in raw._schema.returns])
    batch, several = _fold if operator.folds else _loop, operator.values > 1

    class Traced(torch.autograd.Function):
        @staticmethod
        def forward(*args: Any) -> Any:
            return _as_tuple(raw(*args))

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
            outputs = kernel(*args)
            remember(ctx, args, outputs)
            # Otherwise torch makes zeros for the residuals, which have no gradient.
            ctx.set_materialize_grads(several)
            return outputs

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            return gradients(ctx, grads) if grads[0] is not None else (None,) * len(names)

    # torch asks inspect for the signature at each call, which is a third of the time of a small call.
    kinds = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    Traced.forward.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
    return Traced, Eager


def _tape(operator: Operator, names: Sequence[str], returns: Sequence[str]) -> tuple[Any, Any]:
    """Return the functions that fill and read the context of a `torch.autograd.Function`."""
    import torch

    # Closures over plain values: torch.compile cannot carry an object of a foreign class into its trace.
    saved, values, backward = operator.saved, operator.values, operator.backward
    places = [[*names, *returns].index(name) for name in saved]
    halves = (torch.float16, torch.bfloat16)

    def remember(ctx: Any, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        known = [*inputs, *outputs]
        held = [known[place] for place in places]
        tensors = [isinstance(x, torch.Tensor) for x in held]
        ctx.mark_non_differentiable(*outputs[values:])
        ctx.options = [None if tensor else x for x, tensor in zip(held, tensors, strict=True)]
        ctx.dtypes = [x.dtype if isinstance(x, torch.Tensor) else None for x in inputs]
        ctx.save_for_backward(*[x if tensor else None for x, tensor in zip(held, tensors, strict=True)])

    def widen(x: Tensor) -> Tensor:
        return x.float() if x.dtype in halves else x

    def narrow(x: Tensor, dtype: Any) -> Tensor:
        return x if x.dtype == dtype else x.to(dtype)

    def gradients(ctx: Any, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        known = {
            name: option if x is None else widen(x)
            for name, x, option in zip(saved, ctx.saved_tensors, ctx.options, strict=True)
        }
        wanted = [name for name, needed in zip(names, ctx.needs_input_grad, strict=True) if needed]
        upstream = [widen(g) for g in grads[:values]]
        # Inside an autocast region the matrix products of a backward pass would lose the widened precision again.
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                found = backward(known, upstream, wanted)
        else:
            found = backward(known, upstream, wanted)
        return tuple(
            [
                narrow(found[name], dtype) if name in found else None
                for name, dtype in zip(names, ctx.dtypes, strict=True)
            ]
        )

    return remember, gradients


def _as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _fold(
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


def _loop(
    apply: Callable[..., tuple[Tensor, ...]], size: int, dims: Sequence[int | None], args: Sequence[Any]
) -> tuple[Tensor, ...]:
    """Apply an operator to each item of a batch and stack the outputs."""
    import torch

    items = [
        apply(*[x if dim is None else x.select(dim, i) for x, dim in zip(args, dims, strict=True)]) for i in range(size)
    ]
    return tuple(torch.stack(outputs) for outputs in zip(*items, strict=True))

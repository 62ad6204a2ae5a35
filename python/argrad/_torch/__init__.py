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

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from argrad import _array, _native

Tensor: TypeAlias = Any
"""A torch tensor (an alias for readers: torch is optional and imported when the first operator is used)."""

Shapes: TypeAlias = Sequence[tuple[tuple[int, ...], str | None]]


class Smooth(NamedTuple):
    """The first derivative of an operator as a kernel; see `declare_smooth`."""

    kernel: Callable[..., tuple[np.ndarray[Any, Any], ...]]
    differentiable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """What a stem says about one operator; see `declare` and `declare_smooth`."""

    schema: str
    forward: Callable[..., tuple[np.ndarray[Any, Any], ...]]
    shapes: Callable[..., Shapes]
    backward: Callable[[Mapping[str, Any], Sequence[Tensor], Sequence[str]], Mapping[str, Tensor]]
    values: int
    saved: tuple[str, ...]
    folds: bool = False
    device: bool = False
    vjp: Smooth | None = None
    memo: bool = False
    shown: int | None = None


class Ragged(NamedTuple):
    """What a stem says about an operator with outputs of lengths that the data decides; see `declare_ragged`."""

    schema: str
    forward: Callable[..., tuple[np.ndarray[Any, Any], ...]]
    shapes: Callable[..., Sequence[tuple[Any, ...]]]
    refusal: str
    device: bool = False


_declared: dict[str, Operator | Ragged] = {}
_is_ready = False
_building = threading.Lock()


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
    device: bool = False,
    shown: int | None = None,
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
        device: whether `forward` also takes tensors on a GPU, contiguous and of their own dtype, and then returns such.
        shown: number of outputs that the caller sees: the values, and residuals that are results as well (counts,
            indices); None: the values.
    """
    _declared[name] = Operator(schema, forward, shapes, backward, values, saved, folds, device, shown=shown)


def declare_ragged(
    name: str,
    schema: str,
    *,
    forward: Callable[..., tuple[np.ndarray[Any, Any], ...]],
    shapes: Callable[..., Sequence[tuple[Any, ...]]],
    refusal: str,
    device: bool = False,
) -> None:
    """Declare an operator that returns indices, as many as the data decides; it has no gradient and no vmap.

    Args:
        name: as in `declare`.
        schema: as in `declare`; the first argument is a tensor.
        forward: as in `declare`; all outputs are int64.
        shapes: takes a function that makes a new unknown length and the arguments; returns the shape of each output.
        refusal: the sentence that `torch.vmap` is refused with.
        device: as in `declare`. A device is waited for, once, because the host has to know the lengths.
    """
    _declared[name] = Ragged(schema, forward, shapes, refusal, device)


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
    device: bool = False,
    shown: int | None = None,
    memo: bool = False,
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
        device: as in `declare`, for all three functions.
        shown: as in `declare`.
        memo: whether `forward` takes `memo=True` and then returns one object more, of any kind, that spares `vjp` work:
            its last argument in an eager backward pass, and missing in all others.
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
        found = getattr(_torch, vjp_name)(*[held[x] for x in given], *upstream, bits)
        if len(differentiable) == 1:
            return {differentiable[0]: found}
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

    _declared[name] = Operator(
        schema,
        forward,
        shapes,
        gradients,
        values,
        saved=(*inputs, *saved),
        folds=True,
        device=device,
        vjp=Smooth(vjp, differentiable),
        memo=memo,
        shown=shown,
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
        device=device,
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
        device=device,
    )


def is_compiling() -> bool:
    """Tell whether torch.compile or torch.export is tracing this call."""
    import torch

    return torch.compiler.is_compiling()


def is_recorded(x: Tensor) -> bool:
    """Tell whether gradients may be asked for to what is made of this tensor; transforms may do so all the same."""
    import torch

    return bool(x.requires_grad) and torch.is_grad_enabled()


def lend(x: Any) -> Any:
    """Return an array on the memory of `x` if that is an ordinary contiguous CPU tensor and no one else has to know.

    None for everything else: other kinds, dtypes other than float32 and float64, subclasses, tensors without numbers or
    that require a gradient, inside tracers and transforms. For calls so short that an operator's way in and out would
    be half of them; the first call of all goes the long way.
    """
    if _is_compiling() or _special():
        return None
    return _native.lend(x)


def give(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """Return fresh arrays as tensors on their memory; the way back from `lend`."""
    share = sys.modules["torch"].from_numpy
    return tuple([share(x) for x in arrays])


def _is_compiling() -> bool:
    return True


def _special() -> bool:
    return True


def _ready() -> None:
    """Put torch's functions in the places of the two above, once torch is there."""
    import torch

    from argrad._torch import _build

    _build.connect()
    globals().update(_is_compiling=torch.compiler.is_compiling, _special=_build.special_route(), _is_ready=True)


def is_direct(arrays: Sequence[Any]) -> bool:
    """Tell whether kernels may read these arrays: no tracer, no transform and no subclass has to see the operator."""
    tensors = [x for x in arrays if _array.is_tensor(x)]
    if not tensors:
        return True
    torch = sys.modules["torch"]
    plain = (torch.Tensor, torch.nn.Parameter)
    if torch.compiler.is_compiling():
        return False
    if not _is_ready:  # no operator was used yet
        _ready()
    return not _special() and all([type(x) in plain for x in tensors])  # noqa: C419


def __getattr__(name: str) -> Any:
    # Not a cached function: torch.compile runs a module's __getattr__ as it is, but would trace into a function, and
    # registering an operator cannot be traced. So the first use of an operator may lie inside compiled code.
    if name not in _declared:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    with _building:
        if name not in globals():
            from argrad._torch import _build, _ragged

            _ready()
            operator = _declared[name]
            build = _ragged.build(name, operator) if isinstance(operator, Ragged) else _build.build(name, operator)
            globals()[name] = build
        return globals()[name]

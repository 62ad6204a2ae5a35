"""Functions that call back into Python, as one node on the tape. Nothing can trace them: they are no raw operators."""

from collections.abc import Callable, Sequence
from typing import Any

from argrad._torch import Tensor
from argrad._torch._batch import fold


def call_back(
    name: str, x: Tensor, forward: Callable[[Tensor], Tensor], pull: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Apply a function that calls back into Python, with a gradient of its own.

    Args:
        name: name of the public function, for the error at a second derivative.
        x: tensor; leading batch dimensions may be added by vmap.
        forward: takes `x` without a gradient and returns the value.
        pull: takes `x` and the value's gradient and returns the gradient to `x`.
    """
    if name not in _called:
        _called[name] = _build_call(name)
    return _called[name](x, forward, pull)


_called: dict[str, Callable[..., Tensor]] = {}


def _build_call(name: str) -> Callable[..., Tensor]:
    import torch

    class Pulled(torch.autograd.Function):
        @staticmethod
        def forward(x: Tensor, grad: Tensor, pull: Callable[..., Tensor]) -> Tensor:
            return pull(x.detach(), grad.detach())

        @staticmethod
        def setup_context(ctx: Any, inputs: Sequence[Any], output: Tensor) -> None: ...

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            raise RuntimeError(f"{name}: there is one derivative, a second was asked for")

        @staticmethod
        def vmap(info: Any, dims: Sequence[int | None], x: Tensor, grad: Tensor, pull: Callable[..., Tensor]) -> Any:
            return fold(lambda *args: (Pulled.apply(*args),), info.batch_size, dims, (x, grad, pull))[0], 0

    class Called(torch.autograd.Function):
        @staticmethod
        def forward(x: Tensor, forward: Callable[..., Tensor], pull: Callable[..., Tensor]) -> Tensor:
            with torch.no_grad():
                return forward(x.detach())

        @staticmethod
        def setup_context(ctx: Any, inputs: Sequence[Any], output: Tensor) -> None:
            ctx.save_for_backward(inputs[0])
            ctx.pull = inputs[2]

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            return Pulled.apply(*ctx.saved_tensors, grads[0], ctx.pull), None, None

        @staticmethod
        def vmap(info: Any, dims: Sequence[int | None], *args: Any) -> Any:
            return fold(lambda *x: (Called.apply(*x),), info.batch_size, dims, args)[0], 0

    def call(*args: Any) -> Tensor:
        return Called.apply(*args)

    # What a callback does cannot be traced.
    compiler: Any = torch.compiler
    disabled: Callable[..., Tensor] = compiler.disable(call)
    return disabled

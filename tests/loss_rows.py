"""What a test says of one loss, its `Row`, and the inputs that the checks of loss_checks.py make of it.

A loss costs one `Row` in the table of test_losses.py. What it takes beside its inputs (mask, sample_weight, empty) is
read from its signature.
"""

import dataclasses
import inspect
from collections.abc import Callable

import torch

BATCH, SIZE = 4, 6
HALVES = (torch.float16, torch.bfloat16)


@dataclasses.dataclass(frozen=True)
class Row:
    """One loss.

    Attributes:
        function: the public function.
        inputs: inputs(batch, size, generator) gives its tensors, floating ones in float64 and in general position (no
            ties, no kinks); the first dimension is the batch.
        oracle: oracle(*inputs, mask, **options) gives one number per example, None where there is nothing to compute
            (see `each`).
        options: settings to try; the first are those of checks that need only one.
        empty: empty(*inputs) gives inputs of one more batch of which no example counts; None: there is no such example.
        differentiable: positions of the inputs that gradients go to. All others are constants.
        shared: positions of inputs without a batch dimension.
        frozen: whether the loss holds part of itself constant (a stop-gradient), so that its gradient is not that of
            its value. The oracle then takes `at`: inputs at which the constant parts are evaluated.
        alone: whether an example's value does not depend on its batch.
        scale: factor of the scores in `stays_finite`; None: the formula itself grows beyond all bounds.
        refuses_nan: whether NaN is refused, where there is no value for it; otherwise NaN makes its example NaN.
    """

    function: Callable
    inputs: Callable
    oracle: Callable
    options: tuple[dict, ...] = ({},)
    empty: Callable | None = None
    differentiable: tuple[int, ...] = (0,)
    shared: tuple[int, ...] = ()
    frozen: bool = False
    alone: bool = True
    scale: float | None = 1e4
    refuses_nan: bool = False

    @property
    def name(self):
        return self.function.__name__

    def takes(self, argument):
        return argument in inspect.signature(self.function).parameters

    def call(self, *inputs, **options):
        return self.function(*inputs, **(self.options[0] | options))


def each(oracle, items=(0, 1), shared=()):
    """Make an oracle of one example, which takes lists and numbers without masked items, an oracle of a batch.

    `items`: positions of inputs whose last dimension holds the items; `shared`: of those without a batch dimension.
    """

    def example(inputs, mask, i):
        parts = [x if position in shared else x[i] for position, x in enumerate(inputs)]
        if mask is not None:
            parts = [part[..., mask[i]] if position in items else part for position, part in enumerate(parts)]
        return [part.tolist() for part in parts]

    def batch(*inputs, mask=None, at=None, **options):
        found = []
        for i in range(inputs[0].shape[0]):
            constants = {} if at is None else {"at": example(at, mask, i)}
            found.append(oracle(*example(inputs, mask, i), **constants, **options))
        return found

    return batch


def fresh(row, dtype=torch.float64, grad=False, batch=BATCH, seed=0):
    """Inputs that share nothing with those of other calls."""
    inputs = row.inputs(batch, SIZE, torch.Generator().manual_seed(seed))
    return cast(row, inputs, dtype, grad)


def cast(row, inputs, dtype=torch.float64, grad=False):
    return tuple(
        (x.detach().clone().to(dtype) if x.is_floating_point() else x.clone()).requires_grad_(
            grad and position in row.differentiable
        )
        for position, x in enumerate(inputs)
    )


def some_mask(row, inputs):
    """A mask that leaves at least half of the items, or None for a loss that takes none."""
    if not row.takes("mask"):
        return None
    mask = torch.ones(len(inputs[0]), SIZE, dtype=torch.bool)
    for i in range(len(mask)):
        mask[i, [i % SIZE, (2 * i + 3) % SIZE][: i % 3]] = False
    return mask


def maskings(row, inputs):
    """Options without a mask, then, for a loss that takes one, with."""
    mask = some_mask(row, inputs)
    return [{}] if mask is None else [{}, {"mask": mask}]


def joined(row, first, second):
    """Two batches as one."""
    return tuple(
        x if position in row.shared else torch.cat([x.detach(), y.detach().to(x.dtype)])
        for position, (x, y) in enumerate(zip(first, second, strict=True))
    )


def gradients(row, inputs, value):
    """The gradients of a loss to its differentiable inputs."""
    return torch.autograd.grad(value, [inputs[position] for position in row.differentiable])

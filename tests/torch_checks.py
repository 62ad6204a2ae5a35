"""The checks of every differentiable torch operator. test_torch_checks.py shows that each rejects a wrong one.

A stem writes one `Row` per operator and parametrises one test with `CHECKS`:

    @pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
    def test_torch(check):
        check(ROW)
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence

import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

SIZES = (6, 9, 13)


@dataclasses.dataclass(frozen=True)
class Row:
    """One operator.

    Attributes:
        name: for messages.
        call: the public function, of tensors alone; returns a tensor or a tuple of tensors.
        inputs: inputs(size, seed) gives float64 tensors for `call`, in general position (no ties, no kinks), with
            shapes that grow with `size`; the same shapes for every seed.
        differentiable: positions of the inputs that gradients go to.
        raw: raw() gives the raw operator of torch.ops.
        arguments: arguments(inputs) gives what `call` passes to it.
    """

    name: str
    call: Callable
    inputs: Callable[[int, int], tuple]
    differentiable: tuple[int, ...]
    raw: Callable
    arguments: Callable[[Sequence], tuple] = tuple


def fresh(row, size=SIZES[0], seed=0, dtype=torch.float64, grad=False):
    """Inputs that share nothing with those of other calls."""
    return tuple(
        x.detach().clone().to(dtype).requires_grad_(grad and position in row.differentiable)
        for position, x in enumerate(row.inputs(size, seed))
    )


def scalar(row):
    """The operator followed by a fixed linear function that weighs each element of its value differently."""

    def total(*inputs):
        outputs = row.call(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum((x * (1 + torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape).cos() / 2)).sum() for x in outputs)

    return total


def gradients(row, inputs, call=None):
    """The gradients of `scalar(row)` by ordinary backward, one for each differentiable input."""
    total = (call or scalar(row))(*inputs)
    return torch.autograd.grad(total, [inputs[position] for position in row.differentiable])


def compiles(row):
    """torch.compile: one graph, one compilation for all sizes, the values and gradients of eager calls."""
    torch.compiler.reset()
    compiled = torch.compile(scalar(row), fullgraph=True, dynamic=True, backend="aot_eager")
    for count, size in enumerate(SIZES):
        with torch._dynamo.config.patch(error_on_recompile=count > 0):
            assert_close(compiled(*fresh(row, size)), scalar(row)(*fresh(row, size)))
    for count, size in enumerate(SIZES):
        with torch._dynamo.config.patch(error_on_recompile=count > 0):
            found = gradients(row, fresh(row, size, grad=True), compiled)
        assert_close(found, gradients(row, fresh(row, size, grad=True)))


def _batches(row, size=SIZES[0], count=3):
    """Stacked inputs with in_dims: all in front, one at the end, one without a batch."""
    items = [fresh(row, size, seed) for seed in range(count)]
    columns = list(zip(*items, strict=True))
    yield tuple(torch.stack(x) for x in columns), (0,) * len(columns)
    for position in range(len(columns)):
        stacked = [torch.stack(x) for x in columns]
        dims = [0] * len(columns)
        stacked[position] = stacked[position].movedim(0, -1)
        dims[position] = -1
        yield tuple(stacked), tuple(dims)
        if len(columns) > 1:
            yield (
                tuple(columns[i][0] if i == position else torch.stack(x) for i, x in enumerate(columns)),
                tuple(None if i == position else 0 for i in range(len(columns))),
            )


def _looped(function, inputs, dims):
    size = next(x.shape[d] for x, d in zip(inputs, dims, strict=True) if d is not None)
    items = [
        function(*[x if d is None else x.select(d, i) for x, d in zip(inputs, dims, strict=True)]) for i in range(size)
    ]
    return tuple(map(torch.stack, zip(*items, strict=True))) if isinstance(items[0], tuple) else torch.stack(items)


def vmaps(row):
    """torch.vmap gives the values of a loop, wherever the batch dimension lies, nested as well, without a fallback."""
    for inputs, dims in _batches(row):
        assert_close(torch.vmap(row.call, dims)(*inputs), _looped(row.call, inputs, dims))
    inputs, dims = next(_batches(row))
    twice = [torch.stack([x, x]) for x in inputs]
    expected = _looped(lambda *x: _looped(row.call, x, dims), twice, dims)
    assert_close(torch.vmap(torch.vmap(row.call, dims), dims)(*twice), expected)


def func_grads(row):
    """torch.func.grad gives the gradients of ordinary backward."""
    found = torch.func.grad(scalar(row), argnums=row.differentiable)(*fresh(row))
    assert_close(found, gradients(row, fresh(row, grad=True)))


def vmaps_gradients(row):
    """vmap(grad) and grad through vmap give the gradients of a loop."""
    grad = torch.func.grad(scalar(row), argnums=row.differentiable)
    for inputs, dims in _batches(row):
        assert_close(torch.vmap(grad, dims)(*inputs), _looped(grad, inputs, dims))
        outside = torch.func.grad(
            lambda *x, dims=dims: torch.vmap(scalar(row), dims)(*x).sum(), argnums=row.differentiable
        )(*inputs)
        looped = torch.func.grad(lambda *x, dims=dims: _looped(scalar(row), x, dims).sum(), argnums=row.differentiable)(
            *inputs
        )
        assert_close(outside, looped)


def jacobians(row):
    """torch.func.jacrev gives the rows that ordinary backward gives one at a time."""

    def first(*inputs):
        outputs = row.call(*inputs)
        return outputs[0] if isinstance(outputs, tuple) else outputs

    found = torch.func.jacrev(first, argnums=row.differentiable)(*fresh(row))
    inputs = fresh(row, grad=True)
    wanted = [inputs[position] for position in row.differentiable]
    output = first(*inputs)
    rows = [torch.autograd.grad(x, wanted, retain_graph=True) for x in output.reshape(-1)]
    for jacobian, parts in zip(found, zip(*rows, strict=True), strict=True):
        assert_close(jacobian, torch.stack(parts).reshape(jacobian.shape))


def gradients_are_right(row):
    """Gradients agree with finite differences, and none of them is zero everywhere."""
    assert gradcheck(row.call, fresh(row, grad=True))
    for position, gradient in zip(row.differentiable, gradients(row, fresh(row, grad=True)), strict=True):
        assert gradient.abs().max() > 1e-6, f"{row.name}: the gradient to input {position} is zero"


def second_derivatives_are_right(row):
    """Gradients of gradients agree with finite differences."""
    assert gradgradcheck(row.call, fresh(row, grad=True))


def raw_operator_is_sound(row):
    """torch.library.opcheck on the raw operator: schema, shape function with strides, and dynamic shapes."""
    for dtype in (torch.float64, torch.float32):
        for inputs in (fresh(row, dtype=dtype), _transposed(fresh(row, dtype=dtype))):
            torch.library.opcheck(row.raw(), row.arguments(inputs))


def autocasts(row):
    """Under autocast: float32 stays float32, values and gradients are those without; bfloat16 inputs mix in."""
    value = scalar(row)(*fresh(row, dtype=torch.float32))
    grads = gradients(row, fresh(row, dtype=torch.float32, grad=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(scalar(row)(*fresh(row, dtype=torch.float32)), value)
        assert_close(gradients(row, fresh(row, dtype=torch.float32, grad=True)), grads)
        first = row.differentiable[0]
        mixed = [x.detach() for x in fresh(row, dtype=torch.float32)]
        mixed[first] = mixed[first].bfloat16()
        mixed = [x.requires_grad_(position in row.differentiable) for position, x in enumerate(mixed)]
        for position, gradient in zip(row.differentiable, gradients(row, mixed), strict=True):
            assert gradient.dtype == mixed[position].dtype, f"{row.name}: {mixed[position].dtype} to {gradient.dtype}"


class _Module(torch.nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, *inputs):
        return self.call(*inputs)


def exports(row):
    """torch.export with every size dynamic, run at other sizes, holds the raw operator and gives the eager values."""
    inputs = fresh(row, SIZES[0])
    moving = [
        {i: torch.export.Dim.AUTO for i in range(a.ndim) if a.shape[i] != b.shape[i]}
        for a, b in zip(inputs, fresh(row, SIZES[1]), strict=True)
    ]
    program = torch.export.export(_Module(row.call), inputs, dynamic_shapes=(tuple(moving),))
    targets = {node.target for node in program.graph.nodes}
    assert row.raw() in targets, f"{row.name}: the exported program does not call the raw operator"
    for size in SIZES:
        assert_close(program.module()(*fresh(row, size)), row.call(*fresh(row, size)))


def _transposed(inputs):
    return [x.mT.contiguous().mT if x.ndim > 1 else torch.stack([x, x], 1)[:, 0] for x in inputs]


def any_strides(row):
    """Strided and column-major inputs give the values and gradients of contiguous ones."""
    inputs = [x.requires_grad_(p in row.differentiable) for p, x in enumerate(_transposed(fresh(row)))]
    assert not all(x.is_contiguous() for x in inputs)
    assert_close(row.call(*[x.detach() for x in inputs]), row.call(*fresh(row)), rtol=1e-12, atol=1e-12)
    assert_close(gradients(row, inputs), gradients(row, fresh(row, grad=True)), rtol=1e-12, atol=1e-12)


def half_precision(row):
    """float16 and bfloat16 give the float32 results, values and gradients, rounded once."""
    for dtype in (torch.float16, torch.bfloat16):
        narrow = fresh(row, SIZES[-1], dtype=dtype, grad=True)
        wide = [x.detach().float().requires_grad_(x.requires_grad) for x in narrow]
        outputs, expected = row.call(*narrow), row.call(*wide)
        pairs = zip(outputs, expected, strict=True) if isinstance(outputs, tuple) else [(outputs, expected)]
        pairs = list(pairs)
        for x, y in pairs:
            assert x.dtype == dtype, f"{row.name}: {dtype} gave {x.dtype}"
            assert torch.equal(x, y.to(dtype)), f"{row.name}: {dtype} was not computed in float32"
        # The same gradient of the value on both sides, so that any difference is made by the operator.
        seeds = [torch.ones_like(x) for x, _ in pairs]
        wanted = [narrow[p] for p in row.differentiable], [wide[p] for p in row.differentiable]
        found = torch.autograd.grad([x for x, _ in pairs], wanted[0], seeds)
        exact = torch.autograd.grad([y for _, y in pairs], wanted[1], [s.float() for s in seeds])
        for x, y in zip(found, exact, strict=True):
            assert x.dtype == dtype, f"{row.name}: {dtype} gave a gradient of {x.dtype}"
            assert torch.equal(x, y.to(dtype)), f"{row.name}: a gradient in {dtype} was not computed in float32"


class _Examples(torch.utils.data.Dataset):
    """Values of a row, computed by whoever asks. (No gradients: torch itself refuses them in a forked process.)"""

    def __init__(self, row):
        self.row = row

    def __len__(self):
        return 1

    def __getitem__(self, index):
        outputs = self.row.call(*fresh(self.row, SIZES[1]))
        return outputs if isinstance(outputs, tuple) else (outputs,)


def works_in_a_forked_worker(row):
    """A forked DataLoader worker gets the values of this process, after this process used the operator's threads."""
    expected = _Examples(row)[0]
    with warnings.catch_warnings():
        # Python 3.12 and later warn of every fork in a process with threads; that it works is what is checked.
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        # Without the limit a pool that did not survive the fork would wait for ever.
        loader = torch.utils.data.DataLoader(
            _Examples(row), batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=60
        )
        (found,) = loader
    assert_close(tuple(found), expected, rtol=0, atol=0)


CHECKS = (
    compiles,
    vmaps,
    func_grads,
    vmaps_gradients,
    jacobians,
    gradients_are_right,
    second_derivatives_are_right,
    raw_operator_is_sound,
    autocasts,
    exports,
    any_strides,
    half_precision,
    works_in_a_forked_worker,
)

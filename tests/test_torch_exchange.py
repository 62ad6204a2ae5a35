"""How tensors reach the kernels: views of every kind, with and without the table of functions of their class."""

import subprocess
import sys

import pytest
import torch

from argrad.sorting import soft_permutation, soft_rank

FORMS = {
    "contiguous": lambda x: x.clone(),
    "a parameter": lambda x: torch.nn.Parameter(x.clone()),
    "the result of something": lambda x: x.clone().requires_grad_() * 1,
    "transposed": lambda x: x.T.contiguous().T,
    "a part": lambda x: torch.nn.functional.pad(x, (3, 2))[:, 3:-2],
    "rows apart": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "every second": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "behind the start of its memory": lambda x: torch.cat([torch.zeros(1, x.shape[1]), x])[1:],
    "stored with the other sign": lambda x: torch._neg_view(-x),
    "the imaginary part of a conjugate": lambda x: torch.complex(x, -x).conj().imag,
    "expanded": lambda x: x,
    "half": lambda x: x.bfloat16(),
    "inference": lambda x: x,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 7), (1, 1), (2, 0), (0, 4), (5, 1), (1, 2)])
def test_every_form_of_a_tensor_gives_the_same(form, shape):
    x = torch.linspace(-1.0, 1.0, shape[0] * shape[1]).square().reshape(shape)
    if form == "half":
        x = x.bfloat16().float()
    if form == "expanded":
        x = x[:1].expand(shape) if shape[0] else x
    expected = soft_rank(x.numpy().copy(), strength=0.3)
    with torch.inference_mode(form == "inference"):
        given = FORMS[form](x)
        found = soft_rank(given, strength=0.3)
    assert found.shape == given.shape
    expected = torch.from_numpy(expected)
    assert torch.equal(found.detach().float(), expected.bfloat16().float() if form == "half" else expected)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("half", "inference")])
def test_upstream_gradients_of_every_form_give_the_same(form):
    x = torch.linspace(-1.0, 1.0, 21).square().reshape(3, 7).requires_grad_()
    g = torch.linspace(2.0, -1.0, 21).reshape(3, 7)
    g = g[:1].expand(3, 7) if form == "expanded" else g
    for y in (soft_rank(x, strength=0.3), soft_permutation(x, method="softsort") @ x.detach()):
        (expected,) = torch.autograd.grad(y, x, g.clone(), retain_graph=True)
        for _ in range(2):  # what the first pass used up is made again
            (found,) = torch.autograd.grad(y, x, FORMS[form](g).detach(), retain_graph=True)
            assert torch.equal(found, expected)


WITHOUT = """
import torch
table = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")
if table:
    del torch.Tensor.__dlpack_c_exchange_api__
from argrad.sorting import soft_permutation, soft_rank
x = torch.linspace(-1.0, 1.0, 21).square().reshape(3, 7).requires_grad_()
y = soft_rank(x, strength=0.3) + soft_permutation(x, method="softsort") @ x
(gradient,) = torch.autograd.grad(y.square().sum(), x)
print(table, torch.cat([y, gradient]).flatten().tolist())
"""


def test_classes_without_a_table_are_read_all_the_same():
    x = torch.linspace(-1.0, 1.0, 21).square().reshape(3, 7).requires_grad_()
    y = soft_rank(x, strength=0.3) + soft_permutation(x, method="softsort") @ x
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    done = subprocess.run([sys.executable, "-P", "-c", WITHOUT], capture_output=True, text=True, check=True)
    table, numbers = done.stdout.split(maxsplit=1)
    assert table == "True"  # else this tests nothing
    assert numbers.strip() == str(torch.cat([y, gradient]).flatten().tolist())


LENT = """
import torch
from argrad import _torch
from argrad.decoding import truncated_decode
x = torch.linspace(-1.0, 1.0, 900).reshape(1, 3, 300)
truncated_decode(x, top_p=0.9, seed=0)
array = _torch.lend(x[:, -1])
print(array is not None and (array == x[:, -1].numpy()).all() and array.strides == (1200, 4))
"""


def test_rows_are_lent_after_the_first_call_of_any_function():
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        pytest.skip("torch has no table of functions")
    done = subprocess.run([sys.executable, "-P", "-c", LENT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_tensor_lives_no_longer_for_having_been_read():
    import gc
    import weakref

    x = torch.randn(4, 9, requires_grad=True)
    y = soft_permutation(x, method="softsort") @ x.detach().clone()
    seen = weakref.ref(x)
    del x, y
    gc.collect()
    assert seen() is None

"""The short way of calls on ordinary CPU tensors gives what the long way gives, and refuses what that refuses."""

import subprocess
import sys

import pytest
import torch

from argrad import _torch, decoding

CALLS = {
    "topk": lambda x: decoding.topk(x, 4),
    "sparsemax": decoding.sparsemax,
    "entmax": lambda x: decoding.entmax(x, 1.3),
    "entmax at 1": lambda x: decoding.entmax(x, 1.0),
    "project k": lambda x: decoding.bregman_project(x, alpha=2, k=4, temperature=2),
    "project more than there are": lambda x: decoding.bregman_project(x, alpha=-float("inf"), k=4000),
    "project dual": lambda x: decoding.bregman_project(x, alpha=1.7, k=3, dual=True, temperature=0.0),
    "project penalty": lambda x: decoding.bregman_project(x, alpha=1.5, penalty=1e-3),
    "project all": lambda x: decoding.bregman_project(x, penalty=0.0),
    "decode": lambda x: decoding.bregman_decode(x, alpha=1.7, penalty=1e-3, dual=True, seed=3, step=2),
    "decode k": lambda x: decoding.bregman_decode(x, alpha=2.0, k=4, seed=3, temperature=0.5),
}
REFUSED = {
    "topk k": lambda x: decoding.topk(x, 3000),
    "entmax below 1": lambda x: decoding.entmax(x, 0.5),
    "entmax not finite": lambda x: decoding.entmax(x, float("inf")),
    "no k": lambda x: decoding.bregman_project(x, alpha=2.0),
    "k and penalty": lambda x: decoding.bregman_project(x, alpha=2.0, k=3, penalty=0.1),
    "k of 0": lambda x: decoding.bregman_project(x, alpha=2.0, k=0),
    "k that is true": lambda x: decoding.bregman_project(x, alpha=2.0, k=True),
    "small penalty": lambda x: decoding.bregman_project(x, alpha=2.0, penalty=1e-13),
    "alpha of the dual": lambda x: decoding.bregman_project(x, alpha=1.01, k=3, dual=True),
    "alpha with a penalty": lambda x: decoding.bregman_decode(x, alpha=-1.0, penalty=0.1, seed=0),
    "alpha that is NaN": lambda x: decoding.bregman_decode(x, alpha=float("nan"), k=3, seed=0),
    "temperature": lambda x: decoding.bregman_decode(x, k=3, seed=0, temperature=-1.0),
    "seed": lambda x: decoding.bregman_decode(x, k=3, seed=-1),
}
SHAPES = [(700,), (3, 700), (2, 2, 50), (1, 1)]


def outputs(found):
    return found if isinstance(found, tuple) else (found,)


@pytest.fixture
def long_way(monkeypatch):
    """Return a function that calls another one with the short way closed."""

    def call(work, x):
        with monkeypatch.context() as patch:
            patch.setattr("argrad._torch.lend", lambda x: None)
            return work(x)

    return call


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_the_short_way_gives_the_same(name, shape, dtype, long_way):
    x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=dtype)
    work = CALLS[name] if name != "topk" or shape[-1] >= 4 else lambda x: decoding.topk(x, 1)
    expected = outputs(long_way(work, x))
    assert _torch.lend(x) is not None
    for found, exact in zip(outputs(work(x)), expected, strict=True):
        assert found.dtype == exact.dtype
        assert found.shape == exact.shape
        assert torch.equal(found, exact)
        assert not found.requires_grad
        assert found.is_contiguous()


@pytest.mark.parametrize("name", [*REFUSED, "a NaN", "an integer tensor"])
def test_the_short_way_refuses_the_same(name, long_way):
    x = torch.linspace(-1.0, 1.0, 20).reshape(2, 10)
    works = [REFUSED[name]] if name in REFUSED else CALLS.values()
    if name == "a NaN":
        x[1, 3] = float("nan")
    elif name not in REFUSED:
        x = torch.arange(20).reshape(2, 10)
    for work in works:
        with pytest.raises((TypeError, ValueError)) as expected:
            long_way(work, x)
        with pytest.raises((TypeError, ValueError)) as found:
            work(x)
        assert type(found.value) is type(expected.value)
        assert str(found.value) == str(expected.value)


def test_what_is_lent():
    x = torch.randn(3, 8)
    decoding.sparsemax(x)
    assert _torch.lend(x).ctypes.data == x.data_ptr()
    others = [
        x.T,
        x[:, ::2],
        x[:0],
        x.bfloat16(),
        x.int(),
        x.clone().requires_grad_(),
        torch.nn.Parameter(x),
        torch._neg_view(x),
        x.numpy(),
        3,
    ]
    assert all(_torch.lend(y) is None for y in others)
    with torch.inference_mode():
        assert _torch.lend(x) is not None
    assert torch.func.vmap(decoding.sparsemax)(x).equal(decoding.sparsemax(x))


ALONE = """
import torch
from argrad import _torch, decoding
x = torch.randn(2, 9)
assert _torch.lend(x) is None
decoding.bregman_project(x, alpha=2.0, k=3)
assert _torch.lend(x) is not None or not hasattr(torch.Tensor, "__dlpack_c_exchange_api__")
"""


def test_one_call_of_any_kind_opens_the_short_way():
    subprocess.run([sys.executable, "-P", "-c", ALONE], check=True)

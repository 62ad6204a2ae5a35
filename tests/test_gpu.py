"""Host and device agree: the only tests that need a GPU, and the only ones that may be skipped.

`make test-gpu` also runs the tests of every kernel (`test_cuda_*.py`) on the GPU.
"""

import warnings

import numpy as np
import pytest
import torch

import argrad
import device_calls
import kernels
import oracles
from argrad.decoding import topk

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

N = 1000


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", argrad.selection.SelectionWarning)
        yield


@pytest.mark.parametrize(("seed", "stream", "first"), [(0, 0, 0), (7, 0x100, 13), (2**64 - 1, 2**64 - 1, 2**40 + 1)])
def test_device_draws_the_host_numbers(seed, stream, first):
    from cuda.core import Device, LaunchConfig, launch

    device = Device(0)
    device.set_current()
    queue = device.create_stream()
    capability = "".join(map(str, torch.cuda.get_device_capability(0)))
    kernel = kernels.compiled(kernels.draw_source(), f"sm_{capability}")[0].get_kernel("draw")
    words = torch.zeros(N, dtype=torch.int64, device="cuda")
    uniforms = torch.zeros(N, dtype=torch.float64, device="cuda")
    torch.cuda.synchronize()
    numbers = [np.uint64(value) for value in (seed, stream, first, N)]
    launch(
        queue, LaunchConfig(grid=(N + 127) // 128, block=128), kernel, *numbers, words.data_ptr(), uniforms.data_ptr()
    )
    queue.sync()
    indices = range(first, first + N)
    assert words.cpu().numpy().view(np.uint64).tolist() == [oracles.word(seed, stream, index) for index in indices]
    assert uniforms.tolist() == [oracles.uniform(seed, stream, index) for index in indices]


def on_gpu(array, index=0):
    return torch.tensor(array, device=f"cuda:{index}")


def assert_same(found, want):
    assert len(found) == len(want)
    for x, y in zip(found, want, strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        torch.testing.assert_close(x.cpu(), y, rtol=2e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", sorted(device_calls.CALLS))
class TestEveryOperator:
    def test_gives_what_the_host_gives(self, name):
        found = device_calls.outcome(name, on_gpu)
        assert all(x.device == torch.device("cuda:0") for x in found)
        assert_same(found, device_calls.outcome(name, torch.tensor))

    def test_gives_the_same_bits_again(self, name):
        first, second = (device_calls.outcome(name, on_gpu) for _ in range(2))
        assert all(torch.equal(x, y) or x.isnan().any() for x, y in zip(first, second, strict=True))

    def test_works_on_the_current_stream(self, name):
        want = device_calls.outcome(name, torch.tensor)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            # Work before the call that a kernel on another stream would not wait for.
            busy = torch.randn(4000, 4000, device="cuda")
            for _ in range(10):
                busy = busy @ busy / 4000
            found = device_calls.outcome(name, lambda array: on_gpu(array) + (busy.sum() * 0).to(on_gpu(array).dtype))
        stream.synchronize()
        assert_same(found, want)

    @pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
    def test_works_on_any_device(self, name):
        found = device_calls.outcome(name, lambda array: on_gpu(array, 1))
        assert all(x.device == torch.device("cuda:1") for x in found)
        assert_same(found, device_calls.outcome(name, torch.tensor))

    def test_takes_cupy_arrays(self, name):
        cupy = pytest.importorskip("cupy")
        want = device_calls.flat(device_calls.CALLS[name](np.asarray))
        result = device_calls.CALLS[name](cupy.asarray)
        found = flat_cupy(result, cupy.ndarray)
        assert len(found) == len(want)
        for x, y in zip(found, want, strict=True):
            np.testing.assert_allclose(cupy.asnumpy(x), y, rtol=2e-5, atol=1e-6)


def flat_cupy(result, kind):
    """The cupy arrays in a result, in order."""
    if isinstance(result, kind):
        return [result]
    return [x for part in result for x in flat_cupy(part, kind)] if isinstance(result, tuple) else []


@pytest.mark.parametrize("name", ["decoding.topk", "decoding.bregman_decode", "sorting.soft_topk"])
def test_can_be_captured_in_a_graph(name):
    held = []

    def put(array):
        held.append(on_gpu(array))
        return held[-1]

    device_calls.CALLS[name](put)  # compiles
    torch.cuda.synchronize()
    kept, held = held, []
    graph = torch.cuda.CUDAGraph()
    places = iter(kept)
    with torch.cuda.graph(graph):
        result = device_calls.flat(device_calls.CALLS[name](lambda array: next(places)))
    numbers = np.random.default_rng(9).normal(size=kept[0].shape).astype(np.float32)
    kept[0].copy_(on_gpu(numbers))
    graph.replay()
    torch.cuda.synchronize()
    want = device_calls.flat(device_calls.CALLS[name](lambda array: torch.tensor(numbers)))
    assert_same(result, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays(dtype):
    x = torch.randn(4, 500).to(dtype)
    values, places = topk(x.cuda(), 20)
    want, expected = topk(x, 20)
    assert values.dtype == dtype
    assert torch.equal(values.cpu(), want)
    assert torch.equal(places.cpu(), expected)


def test_no_call_waits_for_the_device():
    x = torch.randn(8, 5000, device="cuda")
    topk(x, 50)
    torch.cuda.set_sync_debug_mode("error")
    try:
        topk(x, 50)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_rows_beyond_two_to_the_31_numbers():
    rows, v = 2, 2**30 + 7
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.fail("needs 12 GiB of device memory")
    x = torch.zeros(rows, v, device="cuda")
    x[1, -3] = 1.0
    values, places = topk(x, 2)
    assert values.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert places.tolist() == [[0, 1], [v - 3, 0]]

"""Host and device agree: the only tests that need a GPU, and the only ones that may be skipped."""

import numpy as np
import pytest
import torch

import kernels
import oracles

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

N = 1000


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

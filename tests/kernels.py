"""Kernel sources for tests: the packaged files, with their local includes resolved as text."""

import re

from argrad import _native

# One thread an item: words[i], uniforms[i] = the numbers at index first + i of (seed, stream).
DRAW = r"""
#include "common.cuh"
extern "C" __global__ void draw(u64 seed, u64 stream, u64 first, u64 n, u64* words, double* uniforms) {
    u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x;
    if (i >= n) return;
    words[i] = random_word(seed, stream, first + i);
    uniforms[i] = random_uniform(seed, stream, first + i);
}
"""


def resolve(source):
    """The source with every `#include "file"` replaced by the packaged file."""

    def text(match):
        found = _native.cuda_source(match[1])
        assert found is not None, f"no packaged kernel source {match[1]!r}"
        return found.replace("#pragma once\n", "")

    return re.sub(r'^#include "([^"]+)"$', text, source, flags=re.MULTILINE)


def compiled(source, arch):
    """The kernels in `source` as a cubin for `arch`, built by NVRTC; needs no GPU."""
    from cuda.core import Program, ProgramOptions

    return Program(resolve(source), "c++", ProgramOptions(std="c++17", arch=arch)).compile("cubin")

"""Kernels for tests: compiled without a GPU, and a small one that draws random numbers."""

import functools
import io
import re

from argrad import _cuda

# One thread an item: words[i], uniforms[i] = the numbers at index first + i of (seed, stream).
DRAW = r"""
extern "C" __global__ void draw(u64 seed, u64 stream, u64 first, u64 n, u64* words, double* uniforms) {
    u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x;
    if (i >= n) return;
    words[i] = random_word(seed, stream, first + i);
    uniforms[i] = random_uniform(seed, stream, first + i);
}
"""


def draw_source():
    """The source of the kernel `draw`."""
    return _cuda.source("common.cuh") + DRAW


def compiled(text, arch, names=()):
    """The kernels in `text` as a cubin for `arch`, built by NVRTC, and the assembler's log; needs no GPU."""
    from cuda.core import Program, ProgramOptions

    assert set(_cuda.OPTIONS) == {"-std=c++17", "-fmad=false"}
    options = ProgramOptions(std="c++17", fma=False, arch=arch, ptxas_options=["-v"])
    log = io.StringIO()
    return Program(text, "c++", options).compile("cubin", name_expressions=tuple(names), logs=log), log.getvalue()


@functools.cache
def resources(file, arch):
    """What the assembler says of each kernel of a file: mangled name -> (registers, bytes spilled, shared bytes)."""
    _, log = compiled(_cuda.source(f"{file}.cu"), arch, _cuda.instances(file))
    found = {}
    for part in log.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part)[1]
        spilled = int(re.search(r"(\d+) bytes spill stores", part)[1])
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        shared = re.search(r"(\d+) bytes smem", part)
        found[name] = (registers, spilled, int(shared[1]) if shared else 0)
    return found

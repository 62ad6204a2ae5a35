"""Kernels for tests: compiled without a GPU, and a small one that draws random numbers."""

import csv
import functools
import io
import re
import sys
from pathlib import Path
from typing import NamedTuple

from argrad import _cuda, _kernels

ARCHITECTURES = ["sm_75", "sm_90", "sm_120"]

RECORD = Path(__file__).with_name("kernel_resources.csv")
"""Registers and local memory of a thread and static shared memory of a block, as the pinned compiler gives them.
`python tests/kernels.py [FILE ...]` writes them anew."""
COLUMNS = ("registers", "local", "shared")

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


class Resources(NamedTuple):
    """What a kernel takes: registers and bytes of local memory of a thread, static shared memory of a block."""

    registers: int
    spilled: int
    local: int
    shared: int


@functools.cache
def resources(file, arch):
    """What the assembler says of each kernel of a file."""
    code, log = compiled(_cuda.source(f"{file}.cu"), arch, _kernels.instances(file))
    names = {mangled.decode(): name for name, mangled in code.symbol_mapping.items()}
    found = {}
    for part in log.split("Compiling entry function")[1:]:

        def number(pattern, part=part):
            match = re.search(pattern, part)
            return int(match[1]) if match else 0

        found[names[re.search(r"'(\w+)'", part)[1]]] = Resources(
            registers=number(r"Used (\d+) registers"),
            spilled=number(r"(\d+) bytes spill stores"),
            local=number(r"(\d+) bytes stack frame"),
            shared=number(r"(\d+) bytes smem"),
        )
    return found


def recorded():
    """The rows of the record: (file, kernel) -> {column: text}."""
    with RECORD.open(newline="") as lines:
        return {(row["file"], row["kernel"]): row for row in csv.DictReader(lines)}


def measured(file, arch):
    """The columns of the record for one architecture, of each kernel of a file."""
    return {
        (file, name): {f"{what} {arch}": str(getattr(taken, what)) for what in COLUMNS}
        for name, taken in resources(file, arch).items()
    }


def write_record(files):
    """Compile these files and bring their rows of the record up to date."""
    known = recorded() if RECORD.exists() else {}
    rows = {}
    for file in _kernels.KERNELS:
        for name in _kernels.instances(file):
            rows[file, name] = {"file": file, "kernel": name, **known.get((file, name), {})}
        for arch in ARCHITECTURES if file in files else ():
            for key, columns in measured(file, arch).items():
                rows[key].update(columns)
    columns = ["file", "kernel", *[f"{what} {arch}" for arch in ARCHITECTURES for what in COLUMNS]]
    with RECORD.open("w", newline="") as lines:
        table = csv.DictWriter(lines, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows.values())


if __name__ == "__main__":
    write_record(sys.argv[1:] or list(_kernels.KERNELS))

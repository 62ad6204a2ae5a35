"""Kernels for tests: compiled without a GPU, and a small one that draws random numbers."""

import csv
import functools
import io
import re
import sys
from pathlib import Path

from argrad import _cuda, _kernels

ARCHITECTURES = ["sm_75", "sm_90", "sm_120"]

RECORD = Path(__file__).with_name("kernel_resources.csv")
"""Registers of a thread and static shared memory of a block, as the pinned compiler gives them. `python
tests/kernels.py [FILE ...]` writes them anew."""

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
    """What the assembler says of each kernel of a file: name -> (registers, bytes spilled, shared bytes)."""
    code, log = compiled(_cuda.source(f"{file}.cu"), arch, _kernels.instances(file))
    names = {mangled.decode(): name for name, mangled in code.symbol_mapping.items()}
    found = {}
    for part in log.split("Compiling entry function")[1:]:
        spilled = int(re.search(r"(\d+) bytes spill stores", part)[1])
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        shared = re.search(r"(\d+) bytes smem", part)
        found[names[re.search(r"'(\w+)'", part)[1]]] = (registers, spilled, int(shared[1]) if shared else 0)
    return found


def recorded():
    """The rows of the record: (file, kernel) -> {column: text}."""
    with RECORD.open(newline="") as lines:
        return {(row["file"], row["kernel"]): row for row in csv.DictReader(lines)}


def measured(file, arch):
    """The columns of the record for one architecture, of each kernel of a file."""
    return {
        (file, name): {f"registers {arch}": str(registers), f"shared bytes {arch}": str(shared)}
        for name, (registers, _, shared) in resources(file, arch).items()
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
    columns = [
        "file",
        "kernel",
        *[f"{what} {arch}" for arch in ARCHITECTURES for what in ("registers", "shared bytes")],
    ]
    with RECORD.open("w", newline="") as lines:
        table = csv.DictWriter(lines, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows.values())


if __name__ == "__main__":
    write_record(sys.argv[1:] or list(_kernels.KERNELS))

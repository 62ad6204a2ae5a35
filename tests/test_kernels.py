"""Every CUDA kernel compiles for every architecture, GPU or not."""

from pathlib import Path

import pytest

import kernels
from argrad import _cuda, _kernels, _native
from kernels import ARCHITECTURES

ROOT = Path(__file__).parents[1]


def elf_machine(cubin):
    """The architecture in a cubin's ELF header, as the compiler wrote it."""
    assert cubin[:4] == b"\x7fELF"
    return cubin[48:52]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("file", _kernels.KERNELS)
def test_compiles_without_spills(file, arch):
    found = kernels.resources(file, arch)
    assert len(found) == len(_kernels.instances(file))
    assert {name: taken.spilled for name, taken in found.items() if taken.spilled} == {}
    record = kernels.recorded()
    for key, columns in kernels.measured(file, arch).items():
        assert columns.items() <= record[key].items(), f"{key} has changed: run python tests/kernels.py {file}"


def test_spills_are_seen():
    # More numbers alive at once than a thread has registers.
    source = 'extern "C" __global__ void f(double* x) { double a[200];' + "".join(
        f"a[{i}] = x[{i}] * x[{i + 1}];" for i in range(200)
    )
    source += "__syncthreads();" + "".join(f"x[{i}] = a[{(i * 7) % 200}] + a[{i}];" for i in range(200)) + "}"
    _, log = kernels.compiled(source, "sm_90")
    assert "0 bytes spill stores" not in log


def test_architectures_differ():
    headers = {elf_machine(kernels.compiled(kernels.draw_source(), arch)[0].code) for arch in ARCHITECTURES}
    assert len(headers) == len(ARCHITECTURES)


def test_an_error_is_seen():
    with pytest.raises(Exception, match="random_wrod"):
        kernels.compiled(kernels.draw_source().replace("random_word(seed", "random_wrod(seed"), "sm_90")


@pytest.mark.parametrize("path", sorted((ROOT / "cuda").iterdir()), ids=lambda path: path.name)
def test_packaged_sources_are_the_files(path):
    assert _native.cuda_source(path.name) == path.read_text()


def test_unknown_sources_are_refused():
    assert _native.cuda_source("none.cu") is None
    with pytest.raises(ValueError, match=r"must be the name of a file of kernels, got 'none\.cu'"):
        _cuda.source("none.cu")


def test_every_kernel_file_is_compiled_here():
    assert {path.stem for path in (ROOT / "cuda").glob("*.cu")} == set(_kernels.KERNELS)


def test_the_record_is_of_these_kernels():
    assert set(kernels.recorded()) == {(file, name) for file in _kernels.KERNELS for name in _kernels.instances(file)}


def test_every_kernel_is_listed():
    for file in _kernels.KERNELS:
        text = (ROOT / "cuda" / f"{file}.cu").read_text()
        defined = text.count("__global__")
        assert defined == len({name.split("<")[0] for name in _kernels.KERNELS[file]}), file

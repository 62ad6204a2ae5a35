"""Every CUDA kernel compiles for every architecture, GPU or not."""

from pathlib import Path

import pytest

import kernels
from argrad import _native

ROOT = Path(__file__).parents[1]
ARCHITECTURES = ["sm_75", "sm_90", "sm_120"]
# name: (source, its kernels)
SOURCES = {"draw": (kernels.DRAW, ["draw"])}


def elf_machine(cubin):
    """The architecture in a cubin's ELF header, as the compiler wrote it."""
    assert cubin[:4] == b"\x7fELF"
    return cubin[48:52]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", SOURCES)
def test_compiles(name, arch):
    source, entries = SOURCES[name]
    cubin = kernels.compiled(source, arch).code
    assert elf_machine(cubin)
    for entry in entries:
        assert f".text.{entry}".encode() in cubin


def test_architectures_differ():
    headers = {elf_machine(kernels.compiled(kernels.DRAW, arch).code) for arch in ARCHITECTURES}
    assert len(headers) == len(ARCHITECTURES)


def test_an_error_is_seen():
    with pytest.raises(Exception, match="random_wrod"):
        kernels.compiled(kernels.DRAW.replace("random_word", "random_wrod"), "sm_90")


@pytest.mark.parametrize("path", sorted((ROOT / "cuda").iterdir()), ids=lambda path: path.name)
def test_packaged_sources_are_the_files(path):
    assert _native.cuda_source(path.name) == path.read_text()


def test_unknown_sources_are_none():
    assert _native.cuda_source("none.cu") is None


def test_every_kernel_file_is_compiled_here():
    assert {path.stem for path in (ROOT / "cuda").glob("*.cu")} <= set(SOURCES)

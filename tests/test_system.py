"""The process around the operators: import, threads, fork, Ctrl-C, stub."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import argrad
import checks
from argrad import _native
from argrad._config import MAX_THREADS, config
from processes import HANG, interrupt, python

ROOT = Path(__file__).parents[1]
# The goal is 10 ms; an import that drags in a library costs hundreds. The bound lies far from both.
IMPORT_BOUND = 0.05


# --- import ---


def test_import_costs_little_beside_numpy(tmp_path):
    source = "import time, numpy; t = time.process_time(); import argrad; print(time.process_time() - t)"
    # Installed packages are compiled to bytecode: the first run does that here.
    env = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    assert min(float(python(source, env=env)) for _ in range(5)) < IMPORT_BOUND


def test_stems_are_loaded_when_they_are_used():
    seen = "import sys, argrad; before = 'argrad.sorting' in sys.modules; "
    assert python(f"{seen}argrad.sorting.soft_rank; print(before, 'argrad.topology' in sys.modules)").split() == [
        "False",
        "False",
    ]
    assert python(
        f"{seen}print([name for name in argrad.__all__ if not hasattr(argrad, name)], argrad.losses.__name__)"
    ).split() == [
        "[]",
        "argrad.losses",
    ]
    with pytest.raises(AttributeError, match=r"module 'argrad' has no attribute 'sort'"):
        _ = argrad.sort


def test_a_stem_may_be_used_first_in_compiled_code():
    source = (
        "import argrad, torch; rank = lambda x: argrad.sorting.soft_rank(x); "
        "ranks = torch.compile(rank, fullgraph=True, backend='eager')(torch.tensor([3.0, 1.0])); print(ranks.tolist())"
    )
    assert python(source).strip() == "[2.0, 1.0]"


def test_import_starts_no_thread():
    count = "len(os.listdir('/proc/self/task'))"  # numpy's linear algebra has threads of its own
    assert python(f"import os, numpy; n = {count}; import argrad; print({count} - n)").strip() == "0"


# --- packaging ---


def test_the_version_stands_in_one_place():
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert argrad.__version__ == manifest["workspace"]["package"]["version"] == metadata.version("argrad")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]


def test_numpy_is_the_only_hard_dependency():
    required = [text for text in metadata.requires("argrad") if "extra ==" not in text]
    assert [text[:5] for text in required] == ["numpy"]


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").iterdir()), ids=lambda path: path.name)
def test_requirements_are_plain_pins(path):
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), line


# --- configuration ---


def test_show_config_says_what_it_runs_on(capsys):
    argrad.show_config()
    out = capsys.readouterr().out
    for text in (argrad.__version__, "numpy", "threads", _native.simd_level(), "cuda"):
        assert text in out


def test_show_config_imports_nothing():
    source = "import sys, argrad; argrad.show_config(); print('torch' in sys.modules, 'sklearn' in sys.modules)"
    assert python(source).splitlines()[-1] == "False False"


def test_show_config_names_missing_packages(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert config()["torch"] == "not installed"


def test_show_config_reads_the_driver(monkeypatch, tmp_path):
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 2025\nGCC\n")
    monkeypatch.setattr("argrad._config.DRIVER", str(driver))
    assert "driver 580.65.06" in config()["cuda"]


def test_show_config_says_what_kernels_on_a_gpu_need(monkeypatch):
    def version(name):
        if "cupy" in name and not installed:
            raise metadata.PackageNotFoundError(name)
        return "14.2.0"

    monkeypatch.setattr(metadata, "version", version)
    installed = False
    assert 'kernels need cupy: pip install "argrad[cuda13]"' in config()["cuda"]
    installed = True
    monkeypatch.setenv("CUPY_CACHE_DIR", "somewhere")
    assert "compiled kernels are kept in somewhere" in config()["cuda"]


# --- threads ---


@pytest.mark.parametrize("threads", [1, 3, MAX_THREADS])
def test_set_num_threads(threads):
    argrad.set_num_threads(threads)
    assert argrad.get_num_threads() == threads


@pytest.mark.parametrize("threads", [0, -1, MAX_THREADS + 1])
def test_set_num_threads_refuses_a_count_out_of_range(threads):
    def call():
        argrad.set_num_threads(threads)

    checks.raises_sentence(ValueError, call, "set_num_threads", "threads", contains=str(threads))


@pytest.mark.parametrize("threads", [2.0, "2", None, True])
def test_set_num_threads_refuses_another_type(threads):
    checks.raises_sentence(TypeError, lambda: argrad.set_num_threads(threads), "set_num_threads", "threads")


def test_force_simd_refuses_an_unknown_level():
    checks.raises_sentence(ValueError, lambda: _native.force_simd("sse9"), "force_simd", "name", contains="portable")


def test_environment_sets_the_threads():
    source = "import argrad; print(argrad.get_num_threads())"
    assert python(source, env={"ARGRAD_NUM_THREADS": "3"}).strip() == "3"


def test_no_more_threads_than_cores_by_default():
    source = "import argrad, os; assert 1 <= argrad.get_num_threads() <= len(os.sched_getaffinity(0))"
    python(source, env={"ARGRAD_NUM_THREADS": ""})


# --- fork ---

PARALLEL = """
    import argrad, numpy as np
    argrad.set_num_threads(2)
    X = np.random.default_rng(0).normal(size=(20000, 16)).astype(np.float32)
    def labels():
        return argrad.seeding.assign(X, X[:50])
    expected = labels()                                  # the pool has threads before the fork
"""


def test_a_forked_child_can_work():
    python(
        PARALLEL
        + """
    import multiprocessing
    def child(queue):
        queue.put((labels() == expected).all() and argrad.get_num_threads() == 2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=child, args=(queue,), daemon=True) for _ in range(3)]
    for process in children:
        process.start()
    assert [queue.get(timeout=60) for _ in children] == [True] * 3
    for process in children:
        process.join()
        assert process.exitcode == 0
    assert (labels() == expected).all()                  # and the parent goes on
    """
    )


LOADER = """
    from torch.utils.data import DataLoader, Dataset
    class Rows(Dataset):
        def __len__(self):
            return 4
        def __getitem__(self, index):
            return int((labels() == expected).all()), argrad.get_num_threads()
    loader = DataLoader(Rows(), num_workers=2, multiprocessing_context="fork")
    found = [(int(same), int(threads)) for same, threads in loader]
"""


def test_a_forked_data_loader_can_work():
    python(PARALLEL + LOADER + "    assert found == [(1, 2)] * 4, found")


def test_a_data_loader_worker_has_one_thread_by_default():
    script = PARALLEL.replace("argrad.set_num_threads(2)", "") + LOADER
    python(script + "    assert found == [(1, 1)] * 4, found", env={"ARGRAD_NUM_THREADS": ""})


# --- Ctrl-C ---

LONG = """
    import argrad, numpy as np
    X = np.random.default_rng(0).normal(size=(200_000, 32)).astype(np.float32)
    def long():
        argrad.seeding.kmeans_plusplus(X, 50_000, method="pass", random_state=0)
    def short():
        argrad.seeding.assign(X, X[:2])
"""


def test_ctrl_c_stops_a_long_call():
    interrupt(LONG, after=0.5)


# --- stub ---


def test_the_stub_describes_the_binary():
    command = [sys.executable, "-P", "-m", "mypy.stubtest", "argrad._native"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""Who may depend on whom: the six rules of the house, and the graph they come from."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "argrad"
STEMS = {"seeding", "selection", "sorting", "topology", "decoding"}
TOP = {"nn", "integrations", "cli", "plots", "_demo"}
MAY_IMPORT_TORCH = {"_torch", "losses", "nn", "integrations"}
MAY_IMPORT_CUPY = {"_array", "_cuda"}


def modules():
    """Every module of the package as (name of its part, path); the part of `losses/ranking.py` is `losses`."""
    paths = sorted(PACKAGE.rglob("*.py"))
    assert paths, f"no package at {PACKAGE}"
    return [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in paths]


def imports(source, package=""):
    """Yield (dotted name, whether it is imported when the module is) for each import in `source`.

    `from a import b` yields `a.b`; imports under `if TYPE_CHECKING` never run and are left out.
    """

    def walk(node, late):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from walk(child, late)
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, not late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", not late) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "import_module",
            "importlib.import_module",
            "__import__",
        }:
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else "<computed>"
            yield (name, not late)
        inner = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inner)

    yield from walk(ast.parse(source), False)


def package_of(path):
    relative = path.relative_to(PACKAGE.parent)
    return ".".join(relative.parent.parts)


def imports_of(path):
    return list(imports(path.read_text(), package_of(path)))


def library(name):
    return name.split(".")[0]


def part(name):
    """The part of argrad that an import reaches, or None."""
    pieces = name.split(".")
    return pieces[1] if pieces[0] == "argrad" and len(pieces) > 1 else None


def early_torch(source):
    return [name for name, early in imports(source) if library(name) == "torch" and early]


def allowed(owner):
    """The parts of argrad that the part `owner` may import."""
    tools = {"_array", "_check", "_config", "_files", "_progress", "__version__"}
    public = STEMS | {"losses", "metrics"} | tools
    if owner == "__init__":
        return public | {"_native", "_cuda"}
    if owner in TOP:
        return public | TOP
    if owner in {"losses", "metrics"}:
        return public
    if owner in STEMS:
        return STEMS | tools | {"_torch", "_cuda", "_radix", "_native"}
    if owner == "_radix":
        return {"_array", "_cuda"}
    return {"_array", "_check", "_native"} | {"_config": {"_cuda"}, "_cuda": {"_kernels"}}.get(owner, set())


def forbidden_edges(owner, source, package="argrad"):
    reached = {part(name) for name, _ in imports(source, package)} - {None, owner}
    return reached - allowed(owner)


@pytest.mark.parametrize(("owner", "path"), modules(), ids=lambda value: str(value).split("/argrad/")[-1])
class TestEveryModule:
    def test_torch_is_imported_late_and_by_few(self, owner, path):
        assert early_torch(path.read_text()) == []
        if owner not in MAY_IMPORT_TORCH:
            assert "torch" not in {library(name) for name, _ in imports_of(path)}

    def test_cupy_is_known_to_two_modules(self, owner, path):
        if owner not in MAY_IMPORT_CUPY:
            assert "cupy" not in {library(name) for name, _ in imports_of(path)}

    def test_dependencies_point_downwards(self, owner, path):
        assert forbidden_edges(owner, path.read_text(), package_of(path)) == set()


def dependencies(manifest):
    """The names of all dependencies in a Cargo manifest, in every kind of table."""
    found = set()
    for table in [manifest, *manifest.get("target", {}).values()]:
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, entry in table.get(kind, {}).items():
                found.add(entry.get("package", name) if isinstance(entry, dict) else name)
    return found


def test_the_core_knows_no_python():
    core = dependencies(tomllib.loads((ROOT / "rust/core/Cargo.toml").read_text()))
    assert "rayon" in core
    assert not {name for name in core if "py" in name or "numpy" in name or "ndarray" in name}


def test_import_is_light():
    source = "import sys; import argrad; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", source], capture_output=True, text=True, timeout=60, check=True)
    loaded = {library(name) for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & {"torch", "cupy", "sklearn", "scipy", "pyarrow", "matplotlib", "tqdm", "rich", "cyclopts"}
    assert "importlib.resources" not in done.stdout.split()


def test_oracles_are_independent():
    for path in sorted(ROOT.glob("tests/oracles*.py")):
        names = {library(name) for name, _ in imports(path.read_text())}
        assert names, path
        assert "argrad" not in names, path


def test_cuda_sources_include_little():
    for path in sorted((ROOT / "cuda").iterdir()):
        for line in path.read_text().splitlines():
            if line.startswith("#include"):
                target = line.split(None, 1)[1]
                assert (ROOT / "cuda" / target.strip('"')).exists(), f"{path.name}: {line}"


# The rules themselves, seen to fail.


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import torch.nn as nn",
        "from torch import nn",
        "try:\n    import torch\nexcept ImportError:\n    torch = None",
        "class A:\n    import torch",
        "import importlib\ntorch = importlib.import_module('torch')",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import torch",
    ],
)
def test_an_early_torch_is_seen(source):
    assert early_torch(source)


@pytest.mark.parametrize(
    "source", ["def f():\n    import torch", "if TYPE_CHECKING:\n    import torch", "import torchlike"]
)
def test_a_late_torch_is_fine(source):
    assert not early_torch(source)


@pytest.mark.parametrize(
    ("owner", "package", "source"),
    [
        ("losses", "argrad.losses", "from argrad import _native"),
        ("losses", "argrad.losses", "from .._torch import call"),
        ("metrics", "argrad.metrics", "def f():\n    import argrad._cuda"),
        ("seeding", "argrad.seeding", "from argrad.losses import ranking"),
        ("selection", "argrad.selection", "from ..integrations import sklearn"),
        ("_array", "argrad", "from . import seeding"),
        ("cli", "argrad", "from argrad import _native"),
    ],
)
def test_an_upward_edge_is_seen(owner, package, source):
    assert forbidden_edges(owner, source, package)


def test_python_in_the_core_is_seen():
    text = '[target."cfg(unix)".dependencies]\nbinding = { package = "pyo3", version = "1" }'
    assert "pyo3" in dependencies(tomllib.loads(text))

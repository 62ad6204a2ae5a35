"""Run every benchmark of the asv suite once, on small inputs: `python -m benches.smoke`.

It finds classes and methods by asv's own naming rules but runs them in this process, so that neither a repository nor a
build is needed. It shows that the suite works; the times mean nothing.
"""

from __future__ import annotations

import importlib
import itertools
import os
import pkgutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIXES = ("time_", "timeraw_", "peakmem_", "track_")


def benchmarks() -> Iterator[tuple[str, type, str]]:
    """Yield (full name, class, method name) of each benchmark."""
    package = importlib.import_module("benches.benchmarks")
    for module_info in pkgutil.iter_modules(package.__path__):
        if module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == module.__name__ and not cls.__name__.startswith("_"):
                for method in dir(cls):
                    if method.startswith(PREFIXES):
                        yield f"{module_info.name}.{cls.__name__}.{method}", cls, method


def run(cls: type, method: str, arguments: tuple[Any, ...]) -> str:
    """Run one benchmark with one combination of parameters; return what it tracks."""
    instance = cls()
    if hasattr(instance, "setup"):
        instance.setup(*arguments)
    value = getattr(instance, method)(*arguments)
    if method.startswith("timeraw_"):
        subprocess.run([sys.executable, "-c", value], check=True)
    return f"  -> {value:.4g}" if method.startswith("track_") else ""


def main() -> None:
    os.environ["ARGRAD_BENCH_SMOKE"] = "1"
    failed = count = 0
    started = time.perf_counter()
    for name, cls, method in benchmarks():
        for arguments in itertools.product(*getattr(cls, "params", ())):
            count += 1
            try:
                note = run(cls, method, arguments)
            except Exception as error:
                failed += 1
                print(f"{name}{arguments}  FAILED: {type(error).__name__}: {error}")
            else:
                print(f"{name}{arguments}{note}")
    print(f"benches.smoke: {count - failed} of {count} benchmarks ran, {time.perf_counter() - started:.1f} s")
    sys.exit(1 if failed or not count else 0)


if __name__ == "__main__":
    main()

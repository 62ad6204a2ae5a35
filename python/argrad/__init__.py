"""The arg-operators of machine learning: seed, select, sort, match, decode."""

import importlib
from typing import TYPE_CHECKING, Any

from argrad._config import get_num_threads, set_num_threads, show_config
from argrad._cuda import set_device_validation, warmup
from argrad._native import __version__

if TYPE_CHECKING:
    from argrad import decoding, losses, metrics, seeding, selection, sorting, topology

__all__ = [
    "__version__",
    "decoding",
    "get_num_threads",
    "losses",
    "metrics",
    "seeding",
    "selection",
    "set_device_validation",
    "set_num_threads",
    "show_config",
    "sorting",
    "topology",
    "warmup",
]


def __getattr__(name: str) -> Any:
    # A stem is loaded when it is first used, so that a script pays for what it needs and no more.
    if name in __all__:
        return importlib.import_module(f"argrad.{name}")
    raise AttributeError(f"module 'argrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

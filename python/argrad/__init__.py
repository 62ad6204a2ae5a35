"""The arg-operators of machine learning: seed, select, sort, match, decode."""

from argrad import losses, metrics, seeding, selection, sorting, topology
from argrad._config import get_num_threads, set_num_threads, show_config
from argrad._native import __version__

__all__ = [
    "__version__",
    "get_num_threads",
    "losses",
    "metrics",
    "seeding",
    "selection",
    "set_num_threads",
    "show_config",
    "sorting",
    "topology",
]

"""The arg-operators of machine learning: seed, select, sort, match, decode."""

from argrad._native import __version__, get_num_threads, set_num_threads

__all__ = ["__version__", "get_num_threads", "set_num_threads"]

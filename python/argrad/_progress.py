"""Progress of long calls: a bar, or any callable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = None | bool | Callable[[int, int], object]
"""None or False for silence, True for a tqdm bar on standard error, or a callable given (done, total)."""


@contextmanager
def reporting(function: str, progress: Progress, label: str) -> Iterator[Callable[[int, int], object] | None]:
    """Yield the callable that native functions report to; a bar is closed whatever happens.

    Raises:
        ImportError: `progress=True` without tqdm.
        TypeError: `progress` is neither None, a boolean nor callable.
    """
    if progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    elif progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError(f"{function}: progress=True needs tqdm; pip install argrad[cli]") from None
        with tqdm(desc=label, leave=False, disable=None) as bar:

            def report(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield report
    else:
        raise TypeError(f"{function}: progress must be None, a boolean or a callable, got {progress!r}")

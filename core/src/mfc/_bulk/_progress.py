"""Progress of long operations, reported to a function or shown as a bar."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from mfc.errors import BadArgument

#: Called with the amount done, and the total, if that is known.
Told = Callable[[int, int | None], object]
#: Argument of users: None shows a bar on a terminal if tqdm is installed, True requires it.
Progress = bool | Told | None


def reporter(
    progress: Progress, unit: Literal["values", "bytes"]
) -> Callable[[], contextlib.AbstractContextManager[Told]]:
    """Return a factory of context managers that yield the function to report progress to.

    Args:
        progress: the user's argument.
        unit: unit of the count.

    Raises:
        BadArgument: the argument is invalid, or tqdm is missing.
    """
    if progress is None:
        terminal = sys.stderr is not None and sys.stderr.isatty()
        bar = _bar() if terminal else None
        return lambda: _silent() if bar is None else _shown(bar, unit)
    if progress is True:
        bar = _bar()
        if bar is None:
            raise BadArgument(
                "progress=True shows a bar with tqdm, which is not installed: "
                "pip install mfc-core[progress], or give a function progress(done, total)"
            )
        return lambda: _shown(bar, unit)
    if progress is False:
        return _silent
    if not callable(progress):
        raise BadArgument.of("progress", progress, "True, False, None or a function (done, total)")
    return lambda: contextlib.nullcontext(progress)


def _bar() -> Any:
    try:
        from tqdm.auto import tqdm  # an optional package, and slow to import
    except ImportError:
        return None
    return tqdm


def _silent() -> contextlib.AbstractContextManager[Told]:
    return contextlib.nullcontext(lambda _done, _total: None)


@contextlib.contextmanager
def _shown(tqdm: Any, unit: str) -> Iterator[Told]:
    bytes_ = unit == "bytes"
    with tqdm(unit="B" if bytes_ else " values", unit_scale=bytes_, unit_divisor=1024) as bar:

        def tell(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell

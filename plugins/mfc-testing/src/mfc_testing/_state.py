"""The state of a process that a plugin must leave alone: files, directories, threads, settings."""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from mfc_testing._contract import equal

#: Seconds that a thread may take to end.
_PATIENCE = 5.0


def settings() -> dict[str, object]:
    """Return settings of the whole process, which a plugin must not change."""
    return {
        "the working directory": os.getcwd(),
        "environment variables": sorted(
            item for item in os.environ.items() if item[0] != "PYTEST_CURRENT_TEST"
        ),
        "socket.getdefaulttimeout()": socket.getdefaulttimeout(),
        "locale": locale.setlocale(locale.LC_ALL),
        "time zone": time.tzname,
        "sys.getrecursionlimit()": sys.getrecursionlimit(),
        "sys.path": list(sys.path),
        "warnings.filters": len(warnings.filters),
        "handler of SIGINT": signal.getsignal(signal.SIGINT),
        "handler of SIGTERM": signal.getsignal(signal.SIGTERM),
        "umask": _umask(),
        "sys.stdout": sys.stdout,
        "sys.excepthook": sys.excepthook,
    }


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def leaves_the_process(given: str) -> Iterator[None]:
    """Check that the block leaves the process's settings, temporary files and threads unchanged.

    Raises:
        ClauseBroken: one of them changed.
    """
    __tracebackhide__ = True
    before, threads = settings(), set(threading.enumerate())
    with _own_temporary_directory() as directory:
        yield
        gc.collect()
        left = sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
    equal(f"temporary files left by {given}", [], left)
    after = settings()
    for name, value in before.items():
        equal(f"{name}, after {given}", value, after[name])
    deadline = time.monotonic() + _PATIENCE
    while (more := _of_it(threads)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    equal(f"threads left by {given}", [], more)


def _of_it(before: set[threading.Thread]) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread not in before]


@contextlib.contextmanager
def _own_temporary_directory() -> Iterator[Path]:
    kept = tempfile.tempdir
    with tempfile.TemporaryDirectory() as directory:
        tempfile.tempdir = directory
        try:
            yield Path(directory)
        finally:
            tempfile.tempdir = kept

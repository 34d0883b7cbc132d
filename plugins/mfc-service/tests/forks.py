"""Forked children that check something."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
#: Python's warning about forks in a process with threads, which these tests need.
with_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def forked(check: Callable[[], Any]) -> int:
    """Return the exit status of a child that checks something: 0 if it holds."""
    child = os.fork()
    if child == 0:
        threading.Timer(30, os._exit, (9,)).start()
        try:
            os._exit(0 if check() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

"""Worker threads: daemons, so that a blocked one cannot keep the interpreter from exiting."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

#: Maximum number of idle threads that are kept.
_IDLE = 64


class Crew:
    """A pool of daemon threads that grows to the largest number needed at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = 0

    def start(self, act: Callable[[], None]) -> None:
        with self._lock:
            fresh = self._idle == 0
            self._idle -= not fresh
        if fresh:
            threading.Thread(target=self._serve, name="mfc", daemon=True).start()
        self._work.put(act)  # last, so that work is queued only if a thread can take it

    def _serve(self) -> None:
        while True:
            self._work.get()()
            with self._lock:
                if self._idle >= _IDLE:
                    return
                self._idle += 1


_crew = Crew()


def start(act: Callable[[], None]) -> None:
    """Run a function that never raises in another thread.

    Raises:
        RuntimeError: a thread cannot be started; the interpreter may be shutting down.
    """
    _crew.start(act)


def _renew_crew() -> None:
    global _crew  # noqa: PLW0603 - a child lacks its threads, and its lock may be held
    _crew = Crew()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_crew)

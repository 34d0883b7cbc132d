"""SQLite with durability, patterns and deadlines, as PostgreSQL has them."""

from __future__ import annotations

import time
from typing import Any

from mfc_server import _patterns

#: Seconds that a write waits for another process's; within one process, writes queue.
BUSY = 20
#: Steps of SQLite's virtual machine between two checks of the clock.
STEPS = 20_000
# FULL: an acknowledged write survives a power failure, as with PostgreSQL's default. WAL: readers
# and the writer do not wait for each other.
_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"busy_timeout = {BUSY * 1000}",
    "cache_size = -4096",
)


class Clock:
    """The deadline of one connection's statements."""

    def __init__(self) -> None:
        self._until: float | None = None

    def set(self, seconds: float | None) -> None:
        """End statements after this many seconds; None: never."""
        self._until = None if seconds is None else time.monotonic() + seconds

    def is_over(self) -> bool:
        """Tell whether the deadline is over; True interrupts SQLite."""
        return self._until is not None and time.monotonic() > self._until


def prepare(connection: Any, record: Any) -> None:
    """Set up a new connection: durability, the server's functions, explicit transactions only."""
    clock = record.info["clock"] = Clock()

    def search(pattern: str, text: str) -> bool:
        # Each call is bounded; SQLite does not count its time.
        if clock.is_over():
            raise TimeoutError
        return _patterns.search(pattern, text)

    def like(text: Any, pattern: str, fold: int) -> bool | None:
        if clock.is_over():
            raise TimeoutError
        return _patterns.like(text, pattern, fold)

    connection.isolation_level = None
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    connection.create_function("mfc_like", 3, like, deterministic=True)
    connection.create_function("mfc_search", 2, search, deterministic=True)
    connection.set_progress_handler(clock.is_over, STEPS)

"""SQLite with durability, patterns and deadlines, as PostgreSQL has them."""

from __future__ import annotations

import time
from typing import Any

from mfc_server import _patterns

#: Seconds that a write waits for another process's; within one, they queue.
BUSY = 20
#: Steps of SQLite's machine between two looks at the clock.
STEPS = 20_000
# FULL: an acknowledged write survives the power too, as with PostgreSQL's default. WAL: readers
# and the writer do not wait for each other.
_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"busy_timeout = {BUSY * 1000}",
    "cache_size = -4096",
)


class Clock:
    """The time until which the statements of one connection may run."""

    def __init__(self) -> None:
        self._until: float | None = None

    def set(self, seconds: float | None) -> None:
        """Let statements end after so many seconds; None: never."""
        self._until = None if seconds is None else time.monotonic() + seconds

    def is_over(self) -> bool:
        """Tell whether the time is over; true interrupts SQLite."""
        return self._until is not None and time.monotonic() > self._until


def prepare(connection: Any, record: Any) -> None:
    """Set up a new connection: durable, with our functions, transactions begun by us alone."""
    clock = record.info["clock"] = Clock()

    def search(pattern: str, text: str) -> bool:
        # One call is bounded; SQLite counts none of its time.
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

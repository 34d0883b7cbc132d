"""The entries in the cache's directory, and eviction beyond its limit."""

from __future__ import annotations

import threading
import time
import weakref
from functools import partial
from typing import BinaryIO

from mfc._cache._files import FileEntries, NewEntry
from mfc._cache._small import SMALL, SmallEntries
from mfc._cache._total import length, note_count, note_nothing, noted
from mfc._concurrency._forks import fork_safe

#: Share of the limit that remains after eviction.
_KEPT = 0.9
#: Share of the limit that a process writes before it updates the shared total.
_UNTOLD = 0.001
#: Multiple of the limit from which writers wait for an eviction in progress; timeout in seconds.
_TOO_MUCH, _PATIENCE = 1.01, 5.0
#: Interval between full recounts, in seconds.
_RECOUNT = 86_400


class Holdings:
    """The entries in a directory, shared by all caches of this process that use it.

    Args:
        directory: a private directory of the user.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.files, self.small = FileEntries(directory), SmallEntries(directory)
        # Reentrant: garbage collection may call `leave` in a thread that holds the lock.
        self._lock = fork_safe(threading.RLock())
        self._untold, self._told = 0, False

    def get(self, key: str) -> bytes | BinaryIO | None:
        """Return the content of an entry, or an open file if it is large; None on a miss."""
        found = self.files.get(key)
        return self.small.find((key,)).get(key) if found is None else found

    def put(self, key: str, content: bytes, limit: int) -> None:
        """Store content that hashes to `key`, if possible.

        Args:
            key: its SHA-1.
            content: the bytes.
            limit: limit of disk space for all entries, in bytes.
        """
        written = self.small.put(key, content) if len(content) <= SMALL else None
        if written is None:
            written = self.files.put(key, content)
        if written:
            self._grow(limit, written)

    def new(self, key: str, limit: int, largest: float) -> NewEntry | None:
        """Return a file to write the content of `key` to; None if it cannot be made.

        Args:
            key: the SHA-1 of the content.
            limit: as for `put`.
            largest: limit of its size, in bytes.
        """
        return self.files.new(key, largest, partial(self._grow, limit))

    def count(self) -> tuple[int, int]:
        """Return the number of entries, and the size of their content in bytes."""
        (files, bytes_of_files), (rows, bytes_of_rows) = self.files.count(), self.small.count()
        return files + rows, bytes_of_files + bytes_of_rows

    def clear(self) -> None:
        """Remove all entries."""
        self.files.clear()
        self.small.clear()
        note_nothing(self.directory)

    def settle(self, limit: int) -> None:
        """Write pending entries, and update the shared total; `limit` is as for `put`."""
        written = self.small.write() or 0
        with self._lock:
            self._untold += written
            untold = self._untold
        if untold:
            self._tell(limit)

    def leave(self, limit: int) -> None:
        """Settle and close the database; the next use opens it again.

        Does nothing if garbage collection calls it inside a database call.
        """
        if self.small.is_amid:
            return
        self.settle(limit)
        self.small.close()

    # Size

    def _grow(self, limit: int, size: int) -> None:
        """Count an addition: the first is reported at once, later ones in batches."""
        with self._lock:
            self._untold += size
            if self._told and self._untold <= limit * _UNTOLD:
                return
            self._told = True
        self._tell(limit)

    def _tell(self, limit: int) -> None:
        """Add the bytes written here to the shared total; evict entries beyond the limit."""
        with self._lock:
            untold, self._untold = self._untold, 0
        try:
            total, counted = noted(self.directory, untold)
        except OSError:  # the directory is gone
            return
        if _is_much(total, counted, limit):
            self._sweep(limit, _PATIENCE if total > limit * _TOO_MUCH else 0)

    def _sweep(self, limit: int, patience: float) -> None:
        """Recount all entries, and evict the least recently used beyond the limit.

        Waiting for an eviction in progress keeps the writes of all processes within bounds.
        """
        from filelock import FileLock, Timeout  # 10 ms, and few processes reach the limit

        try:
            with FileLock(f"{self.directory}/lock", timeout=patience, mode=0o600):
                if not _is_much(*noted(self.directory, 0), limit):
                    return  # another process has done it
                before = length(self.directory)
                note_count(self.directory, self._swept(limit), before)
        except (OSError, Timeout):  # another process is evicting, or the directory is gone
            return

    def _swept(self, limit: int) -> int:
        """Evict the least recently used entries beyond the limit; return the remaining size."""
        used = self.files.used() + self.small.used()
        left = used.total()
        if left <= limit:
            return left
        excess = left - limit * _KEPT
        oldest, older = 0, 0
        for minute in sorted(used):
            oldest = minute
            older += used[minute]
            if older >= excess:
                break
        gone = 0
        for entries in (self.files, self.small):
            gone += entries.forget(oldest, excess - gone)
        return left - gone


def _is_much(total: int, counted: int, limit: int) -> bool:
    return total > limit or counted < time.time() - _RECOUNT


_shared: weakref.WeakValueDictionary[str, Holdings] = weakref.WeakValueDictionary()


def holdings_in(directory: str) -> Holdings:
    """Return the holdings of a directory; one object is shared as long as it is in use."""
    return _shared.setdefault(directory, Holdings(directory))

"""What is in the directory of the cache, and that it does not become too much."""

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

#: Part of the limit that a sweep leaves.
_KEPT = 0.9
#: Part of it that a process writes before it tells the others.
_UNTOLD = 0.001
#: Times the limit from which a writer waits for another that sweeps; seconds that it does.
_TOO_MUCH, _PATIENCE = 1.01, 5.0
#: Seconds after which the whole is counted again.
_RECOUNT = 86_400


class Holdings:
    """The entries in a directory, for all caches of this process that are there.

    Args:
        directory: a directory of the user's own.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.files, self.small = FileEntries(directory), SmallEntries(directory)
        # A cache may be collected, and leave, where its own thread has it.
        self._lock = fork_safe(threading.RLock())
        self._untold, self._told = 0, False

    def get(self, key: str) -> bytes | BinaryIO | None:
        """Return the content of an entry, or an open file if it is large; None if there is none."""
        found = self.files.get(key)
        return self.small.find((key,)).get(key) if found is None else found

    def put(self, key: str, content: bytes, limit: int) -> None:
        """Keep content that hashes to `key`, if that is possible.

        Args:
            key: its SHA-1.
            content: the bytes.
            limit: bytes of disk that all entries may take.
        """
        written = self.small.put(key, content) if len(content) <= SMALL else None
        if written is None:
            written = self.files.put(key, content)
        if written:
            self._grow(limit, written)

    def new(self, key: str, limit: int, largest: float) -> NewEntry | None:
        """Return a file to write the content of `key` to; None if there can be none.

        Args:
            key: the SHA-1 that it will have.
            limit: as for `put`.
            largest: bytes that it may have to be kept.
        """
        return self.files.new(key, largest, partial(self._grow, limit))

    def count(self) -> tuple[int, int]:
        """Return how many entries there are, and the bytes of their content."""
        (files, bytes_of_files), (rows, bytes_of_rows) = self.files.count(), self.small.count()
        return files + rows, bytes_of_files + bytes_of_rows

    def clear(self) -> None:
        """Remove all entries."""
        self.files.clear()
        self.small.clear()
        note_nothing(self.directory)

    def settle(self, limit: int) -> None:
        """Write what waits to be written, and tell others of it; `limit` is as for `put`."""
        written = self.small.write() or 0
        with self._lock:
            self._untold += written
            untold = self._untold
        if untold:
            self._tell(limit)

    def leave(self, limit: int) -> None:
        """Settle all; it may go on later, and does if it is collected amid a question."""
        if self.small.is_amid:
            return
        self.settle(limit)
        self.small.close()

    # How large it is

    def _grow(self, limit: int, size: int) -> None:
        """Note that something was added: the first at once, then as it comes to something."""
        with self._lock:
            self._untold += size
            if self._told and self._untold <= limit * _UNTOLD:
                return
            self._told = True
        self._tell(limit)

    def _tell(self, limit: int) -> None:
        """Add what was written to what all processes wrote; see to it if that is too much."""
        with self._lock:
            untold, self._untold = self._untold, 0
        try:
            total, counted = noted(self.directory, untold)
        except OSError:  # the directory is gone
            return
        if _is_much(total, counted, limit):
            self._sweep(limit, _PATIENCE if total > limit * _TOO_MUCH else 0)

    def _sweep(self, limit: int, patience: float) -> None:
        """Count anew what there is, and remove the oldest if that is too much.

        Who waits for another that does so keeps what all write within bounds.
        """
        from filelock import FileLock, Timeout  # 10 ms, and few processes find too much

        try:
            with FileLock(f"{self.directory}/lock", timeout=patience, mode=0o600):
                if not _is_much(*noted(self.directory, 0), limit):
                    return  # another has done it
                before = length(self.directory)
                note_count(self.directory, self._swept(limit), before)
        except (OSError, Timeout):  # another process is at it, or the directory is gone
            return

    def _swept(self, limit: int) -> int:
        """Remove what was not used for longest if there is too much; return what is left."""
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
    """Return what is in a directory; who asks again gets the same, as long as anybody has it."""
    return _shared.setdefault(directory, Holdings(directory))

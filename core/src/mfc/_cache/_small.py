"""Small cache entries: rows of one SQLite database.

Where thousands are read in bulk, a file for each takes longer than reading it from the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mfc._cache._files import NOTED, remove
from mfc._concurrency._forks import fork_waits

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

#: Maximum size of an entry in the database, in bytes.
SMALL = 16 << 10
#: Limits of a batch of writes: entries, their bytes, and seconds of delay.
_ENTRIES, _BYTES, _SECONDS = 256, 1 << 20, 0.5
#: Entries per lookup.
_LOOKED_FOR = 64
#: Overhead of an entry beside its content, in bytes, where pages are full.
_ROW = 96
#: How long to wait for another process that writes, in seconds.
_PATIENCE = 1.0
#: Consecutive failures after which the database is not used: its disk may not support locks.
_FAILURES = 3
# A power failure may lose the database; a killed process does not.
_SETTINGS = """
PRAGMA synchronous = OFF;
PRAGMA trusted_schema = OFF;
PRAGMA auto_vacuum = INCREMENTAL;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS small (key BLOB PRIMARY KEY, used INTEGER, content BLOB);
CREATE INDEX IF NOT EXISTS uses ON small (used, length(content));
"""
_PUT = "INSERT OR REPLACE INTO small VALUES (?, ?, ?)"
_SOME = """
SELECT key, used, content FROM small WHERE key IN ({})
AND typeof(used) = 'integer' AND typeof(content) = 'blob' AND length(content) <= ?
"""
_USED = "SELECT used, count(*), sum(length(content)) FROM small GROUP BY used"
_TAKEN = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size
"""
_NUMBER = "SELECT count(*) FROM small WHERE used = ?"
_FORGET = "DELETE FROM small WHERE used < ?"
_FORGET_SOME = "DELETE FROM small WHERE rowid IN (SELECT rowid FROM small WHERE used = ? LIMIT ?)"


class _Unusable(Exception):
    """The file is not a database, or has another schema."""


class SmallEntries:
    """The entries that are rows; safe for threads and forked children.

    Args:
        directory: directory of the cache.
    """

    def __init__(self, directory: str) -> None:
        self._path = f"{directory}/small"
        # A forked child could not use the database if another thread was using it at the fork.
        self._lock = fork_waits(threading.RLock())
        self._is_asking = False
        self._pending: dict[str, bytes] = {}
        self._pending_bytes = 0
        #: Times of the last `put` and of the oldest pending entry, by the monotonic clock.
        self._put = self._waiting = -_SECONDS
        self._failures = 0
        #: By process: a child must neither use nor close an inherited connection.
        self._connections: dict[int, tuple[sqlite3.Connection, tuple[int, int]]] = {}
        self._process = os.getpid()

    def find(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the content of existing entries; invalid ones are removed."""
        with self._lock:
            self._see_fork()
            wanted = list(keys)
            found = {key: self._pending[key] for key in wanted if key in self._pending}
            left = [key for key in wanted if key not in found]
            for start in range(0, len(left), _LOOKED_FOR):
                rows = self._ask(_select, left[start:][:_LOOKED_FOR])
                found.update(self._verified(rows or ()))
            return found

    def put(self, key: str, content: bytes) -> int | None:
        """Queue content that hashes to `key` for the next batch.

        An isolated entry goes to a file: opening a database takes longer.

        Returns:
            The disk space written now in bytes, for this and others; None if it was not accepted.
        """
        with self._lock:
            self._see_fork()
            now, before, self._put = time.monotonic(), self._put, time.monotonic()
            is_alone = not self._pending and now - before >= _SECONDS
            if is_alone or self._failures >= _FAILURES:
                return None
            if not self._pending:
                self._waiting = now
            self._pending[key] = content
            self._pending_bytes += len(content)
            many = len(self._pending) >= _ENTRIES or self._pending_bytes >= _BYTES
            return self.write() if many or now - self._waiting >= _SECONDS else 0

    def write(self) -> int | None:
        """Write pending entries; return their disk space in bytes, or None if they are lost."""
        with self._lock:
            self._see_fork()
            pending, self._pending, self._pending_bytes = self._pending, {}, 0
            if not pending:
                return 0
            now = _minute()
            rows = [(bytes.fromhex(key), now, content) for key, content in pending.items()]
            return self._ask(_grown, rows, made=True)

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._lock:
            self._see_fork()
            connection = self._connections.pop(self._process, None)
            if connection is not None:
                connection[0].close()

    @property
    def is_amid(self) -> bool:
        """Whether this thread is inside a database call that garbage collection interrupted."""
        with self._lock:
            return self._is_asking

    # All of them

    def count(self) -> tuple[int, int]:
        """Return the number of entries, and the size of their content in bytes."""
        rows = self._ask(_all, _USED) or []
        return sum(number for _, number, _ in rows), sum(size for _, _, size in rows)

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._pending, self._pending_bytes = {}, 0
            self._ask(_change, "DELETE FROM small")

    def used(self) -> Counter[int]:
        """Return the disk space in bytes by time of last use, in minutes since 1970."""
        rows = self._ask(_all, _USED) or []
        used = Counter({minute: size + number * _ROW for minute, number, size in rows})
        # A row that does not fit leaves part of a page empty, up to a half.
        taken, full = self._ask(_taken) or 0, max(used.total(), 1)
        return Counter({minute: size * taken // full for minute, size in used.items()})

    def forget(self, minute: int, excess: float) -> int:
        """Evict entries last used before `minute`, and of that minute until `excess` is gone.

        Returns:
            The disk space that was freed, in bytes.
        """
        used = self.used()
        gone = sum(size for at, size in used.items() if at < minute)
        if self._ask(_change, _FORGET, (minute,)) is None:
            return 0
        late = used[minute]
        if gone < excess and late:
            part = min((excess - gone) / late, 1)
            self._ask(_forget_part, minute, part)
            gone += int(late * part)
        return gone

    # The database

    def _verified(self, rows: Iterable[tuple[bytes, int, bytes]]) -> dict[str, bytes]:
        found, wrong, noted = {}, [], []
        now = _minute()
        for key, used, content in rows:
            if hashlib.sha1(content, usedforsecurity=False).digest() != key:
                wrong.append((key,))
                continue
            found[key.hex()] = content
            if used < now - NOTED // 60:
                noted.append((now, key))
        if wrong:
            self._ask(_write, "DELETE FROM small WHERE key = ?", wrong)
        if noted:
            self._ask(_write, "UPDATE small SET used = ? WHERE key = ?", noted)
        return found

    def _ask(self, question: Callable[..., T], *given: object, made: bool = False) -> T | None:
        """Return the answer of the database; None if that fails.

        Args:
            question: called with the connection and `given`.
            given: further arguments.
            made: whether to make a missing database.
        """
        with self._lock:
            self._see_fork()
            if self._failures >= _FAILURES:
                return None
            try:
                found = self._answer(question, *given, made=made)
            except Exception as error:  # noqa: BLE001 - the classes are those of a late import
                again = self._begun_anew(error)
                return self._ask(question, *given, made=made) if again else None
            self._failures = 0
            return found

    def _answer(self, question: Callable[..., T], *given: object, made: bool) -> T | None:
        self._is_asking = True
        try:
            connection = self._opened(made=made)
            return None if connection is None else question(connection, *given)
        finally:
            self._is_asking = False

    def _begun_anew(self, error: Exception) -> bool:
        """Record a failure; remove an unusable file, and tell whether to try again."""
        self._failures += 1
        self.close()
        if isinstance(error, (OSError, ImportError)):
            return False
        import sqlite3  # it was imported when this failed

        if type(error) is sqlite3.DatabaseError or isinstance(error, _Unusable):
            remove(f"{self._path}-journal")
            remove(self._path)
            return True
        if isinstance(error, sqlite3.Error):
            return False
        raise error

    def _opened(self, *, made: bool) -> sqlite3.Connection | None:
        """Return the connection; None if the database is missing and not to be made.

        Raises:
            OSError, sqlite3.Error: the database cannot be opened.
        """
        found = self._connections.get(self._process)
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            if not made:
                return None
            with contextlib.suppress(FileExistsError):  # another process makes it
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            status = os.lstat(self._path)
        if not stat.S_ISREG(status.st_mode):
            raise _Unusable
        here = (status.st_dev, status.st_ino)
        if found is not None and found[1] == here:
            return found[0]
        self.close()
        import sqlite3  # 2 ms, and only small remote blobs need it

        connection = sqlite3.connect(
            self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        self._connections[self._process] = connection, here
        connection.executescript(_SETTINGS + _SCHEMA if made else _SETTINGS)
        try:
            connection.execute("SELECT key, used, content FROM small LIMIT 0")
        except sqlite3.OperationalError as error:
            if "no such column" in str(error):
                raise _Unusable from error
            if "no such table" in str(error):  # its maker is at work, or was killed
                self.close()
                return None
            raise
        return connection

    def _see_fork(self) -> None:
        """Leave the parent's connection and pending entries to it, in a forked child."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._pending, self._pending_bytes = {}, 0


def _select(connection: sqlite3.Connection, keys: list[str]) -> list[tuple[bytes, int, bytes]]:
    marks = ",".join("?" * len(keys))
    values = (*map(bytes.fromhex, keys), SMALL)
    return connection.execute(_SOME.format(marks), values).fetchall()


def _all(connection: sqlite3.Connection, statement: str) -> list[tuple[int, int, int]]:
    found = connection.execute(statement).fetchall()
    if not all(type(value) is int for row in found for value in row):
        raise _Unusable
    return found


def _write(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> bool:
    with _transaction(connection):
        connection.executemany(statement, rows)
    return True


def _taken(connection: sqlite3.Connection) -> int:
    (taken,) = connection.execute(_TAKEN).fetchone()
    return int(taken)


def _grown(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Write rows; return the growth of the database in bytes."""
    with _transaction(connection):
        before = _taken(connection)
        connection.executemany(_PUT, rows)
        return max(_taken(connection) - before, 0)


def _change(connection: sqlite3.Connection, statement: str, values: tuple[Any, ...] = ()) -> bool:
    with _transaction(connection):
        connection.execute(statement, values)
    connection.executescript("PRAGMA incremental_vacuum")  # `execute` frees one page of many
    return True


def _forget_part(connection: sqlite3.Connection, minute: int, part: float) -> bool:
    (number,) = connection.execute(_NUMBER, (minute,)).fetchone()
    return _change(connection, _FORGET_SOME, (minute, math.ceil(number * part)))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _minute() -> int:
    return int(time.time() // 60)

"""Size of the cache: the bytes that all processes wrote, added up in a file."""

from __future__ import annotations

import contextlib
import os
import time

#: Log size that forces a recount, in bytes.
_NOTE = 1 << 16


def note_nothing(directory: str) -> None:
    """Reset the total to zero, if possible."""
    path = os.path.join(directory, "size")
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii", opener=_own) as file:
        file.write(f"0 {time.time():.0f}\n")


def noted(directory: str, more: int) -> tuple[int, int]:
    """Add a number of bytes to the total; return the total.

    Each writer appends a line, without a lock: the system puts it at the end.

    Args:
        directory: directory of the cache.
        more: the bytes to add.

    Returns:
        The total in bytes, and the time of the last recount, in seconds since 1970; both are 0 if
        unclear.

    Raises:
        OSError: the file cannot be written.
    """
    with open(_note(directory), "ab+", buffering=0, opener=_own) as file:
        file.write(b"%d\n" % more)
        file.seek(0)
        first, *others = file.read(_NOTE).split(b"\n")
    try:
        total, counted = map(int, first.split())
        if others.pop():  # the log is longer than the part that was read
            return 0, 0
        return total + sum(map(int, others)), counted
    except ValueError:
        return 0, 0


def length(directory: str) -> int:
    """Return the length of the log, for `note_count`."""
    return os.path.getsize(_note(directory))


def note_count(directory: str, total: int, before: int) -> None:
    """Write the result of a recount; the caller holds the lock for recounts.

    Args:
        directory: directory of the cache.
        total: the total in bytes.
        before: length of the log when the recount began: later additions may be counted twice,
            but are never left out.

    Raises:
        OSError: the file cannot be written.
    """
    with open(_note(directory), "rb+") as file:
        file.seek(before)
        meanwhile = file.read()
        file.seek(0)
        file.truncate()
        file.write(b"%d %d\n%b" % (total, time.time(), meanwhile))


def _note(directory: str) -> str:
    return f"{directory}/size"


def _own(path: str, flags: int) -> int:
    """Open a file with permissions for the user only."""
    return os.open(path, flags, 0o600)

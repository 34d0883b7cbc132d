"""How large the cache is: what all processes wrote to it, added up in a file."""

from __future__ import annotations

import contextlib
import os
import time

#: Bytes of what they tell each other before all is counted anew.
_NOTE = 1 << 16


def note_nothing(directory: str) -> None:
    """Note that there are no entries, if that can be noted."""
    path = os.path.join(directory, "size")
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii", opener=_own) as file:
        file.write(f"0 {time.time():.0f}\n")


def noted(directory: str, more: int) -> tuple[int, int]:
    """Add a number of bytes to those that were noted; return all of them.

    Each writer adds a line, and needs no lock: the system puts it at the end.

    Args:
        directory: of the cache.
        more: the bytes to add.

    Returns:
        The bytes, and when all were last counted, in seconds since 1970: never, if that is unclear.

    Raises:
        OSError: it cannot be noted.
    """
    with open(_note(directory), "ab+", buffering=0, opener=_own) as file:
        file.write(b"%d\n" % more)
        file.seek(0)
        first, *others = file.read(_NOTE).split(b"\n")
    try:
        total, counted = map(int, first.split())
        if others.pop():  # it is longer than what was read
            return 0, 0
        return total + sum(map(int, others)), counted
    except ValueError:
        return 0, 0


def length(directory: str) -> int:
    """Return how long the note is, for `note_count`."""
    return os.path.getsize(_note(directory))


def note_count(directory: str, total: int, before: int) -> None:
    """Note what a count gave, under the lock of those who count.

    Args:
        directory: of the cache.
        total: the bytes.
        before: length of the note when the count began: what came later is counted twice, perhaps,
            but never left out.

    Raises:
        OSError: it cannot be noted.
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
    """Open a file that is the user's alone."""
    return os.open(path, flags, 0o600)

"""Paths longer than the system accepts, walked part by part."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

#: Characters of a path that every system accepts; some accept four times as many.
_AT_ONCE = 1000
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
#: The folder where Linux shows the open files of this process.
_OWN = "/proc/self/fd"


def opened(path: str, flags: int) -> int:
    """Open a file or directory, as `os.open` does, however long its path is.

    Raises:
        OSError: the path cannot be opened; ENAMETOOLONG where one name is too long.
    """
    try:
        return os.open(path, flags, 0o644)
    except OSError as cause:
        if cause.errno != errno.ENAMETOOLONG or os.open not in os.supports_dir_fd:
            raise
    *folders, last = _parts(path)
    at: int | None = None
    try:
        for folder in folders:
            inner = os.open(folder, _DIRECTORY, dir_fd=at)
            if at is not None:
                os.close(at)
            at = inner
        return os.open(last, flags, 0o644, dir_fd=at)
    finally:
        if at is not None:
            os.close(at)


def _parts(path: str) -> list[str]:
    """Split a path into parts that are short enough; the first is absolute if the path is."""
    names = path.split("/")
    parts = [names[0] or "/"]
    for name in filter(None, names[1:]):
        longer = os.path.join(parts[-1], name)
        if len(os.fsencode(longer)) < _AT_ONCE:
            parts[-1] = longer
        else:
            parts.append(name)
    return parts


def exists(path: str) -> bool:
    """Tell whether a reachable path exists."""
    if os.access(path, os.F_OK):
        return True
    return len(path) >= _AT_ONCE and _opens(path, os.O_RDONLY)


def is_directory(path: str) -> bool:
    """Tell whether a reachable path is a directory."""
    return os.path.isdir(path) or (len(path) >= _AT_ONCE and _opens(path, _DIRECTORY))


def _opens(path: str, flags: int) -> bool:
    try:
        os.close(opened(path, flags))
    except OSError:
        return False
    return True


def names(directory: str) -> list[str]:
    """Return the names in a directory, as `os.listdir` does, however long its path is."""
    try:
        return os.listdir(directory)
    except OSError as cause:
        if cause.errno != errno.ENAMETOOLONG:
            raise
    descriptor = opened(directory, _DIRECTORY)
    try:
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def is_long(path: str) -> bool:
    """Tell whether a path may be longer than the system accepts."""
    return len(path) >= _AT_ONCE


@contextlib.contextmanager
def long_lock(file: str) -> Iterator[None]:
    """Hold the lock that `filelock` takes at the same file; `filelock` itself rejects long paths.

    Raises:
        Timeout: another process holds the lock.
        OSError: the system cannot create the file.
    """
    import fcntl  # Windows lacks it

    from filelock import Timeout

    descriptor = opened(file, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise Timeout(file) from cause
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reachable(directory: str) -> Iterator[str]:
    """Return a path of a directory that leaves room for names, where the system offers one."""
    if len(directory) < _AT_ONCE or not os.path.isdir(_OWN):
        yield directory
        return
    descriptor = opened(directory, _DIRECTORY)
    try:
        yield f"{_OWN}/{descriptor}"
    finally:
        os.close(descriptor)

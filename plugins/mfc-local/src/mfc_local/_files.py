"""Plain files as a filesystem, without fsspec's 70 ms of import."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from mfc_local._paths import opened

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # Windows keeps FIFOs out of directories


class LocalFiles:
    """fsspec's methods that mfc uses, on the local disk.

    Args:
        usual_root: the directory with results that the settings name.
    """

    #: As in fsspec: these files need neither threads nor a cache.
    local_file = True

    def __init__(self, usual_root: str | None = None) -> None:
        self.usual_root = usual_root

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes [start, end) of a file, all by default."""
        with open(path, "rb", buffering=0, opener=_opened) as file:
            if start:
                file.seek(start)
            if end is None:
                return file.readall()
            return file.read(max(end - (start or 0), 0)) or b""

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""
        try:
            status = os.stat(path)
        except OSError as cause:
            if cause.errno != errno.ENAMETOOLONG:
                raise
            with self.open(path) as file:
                return os.fstat(file.fileno()).st_size
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a file", path)
        return status.st_size

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Return the file, opened for reading."""
        if mode != "rb":
            raise ValueError(f"mode is {mode!r}; files of a datastore are only read, with 'rb'")
        return open(path, "rb", opener=_opened)


def _opened(path: str, flags: int) -> int:
    """Open a regular file only: a FIFO would block, and a device may never end.

    Raises:
        OSError: the path is not a regular file.
    """
    descriptor = opened(path, flags | _NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file", path)
    return descriptor

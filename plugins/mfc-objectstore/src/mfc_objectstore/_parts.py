"""An object as a file, read part by part."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfc_objectstore.files import ObjectFiles


class Parts(io.RawIOBase):
    """An object of known size, read in ranges.

    Args:
        files: where it is.
        path: its bucket and key.
        size: its size in bytes.
    """

    def __init__(self, files: ObjectFiles, path: str, size: int) -> None:
        self._files, self._path, self._size, self._at = files, path, size, 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any part of it can be read."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the object has bytes left."""
        end = min(self._at + len(buffer), self._size)
        part = self._files.cat_file(self._path, self._at, end)
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

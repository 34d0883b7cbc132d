"""Content read from a store: verified before use, on disk if it is large."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from queue import Queue
from types import TracebackType
from typing import Any, BinaryIO, cast

from mfc._cache import PIECE, NewEntry
from mfc._concurrency._threads import start

GZIP = b"\x1f\x8b"
#: Start of a gzip header without optional fields, as Metaflow writes it; and the header's length.
_PLAIN, _HEADER = b"\x1f\x8b\x08\x00", 10
#: Limit of parts that wait to be hashed.
_WAITING = 8


class Held:
    """Verified content, in memory or in an open file, which the caller closes.

    Args:
        content: the bytes, or a file at its start.
    """

    def __init__(self, content: bytes | BinaryIO) -> None:
        self._content = content

    @property
    def file(self) -> BinaryIO | None:
        """The file at its start; None if the content is in memory."""
        if isinstance(self._content, bytes):
            return None
        self._content.seek(0)
        return self._content

    def read(self) -> bytes:
        """Return the whole content."""
        if isinstance(self._content, bytes):
            return self._content
        self._content.seek(0)
        return self._content.read()

    def open(self) -> BinaryIO:
        """Return the content as a file; the caller closes that file instead."""
        if isinstance(self._content, bytes):
            return io.BytesIO(self._content)
        self._content.seek(0)
        return self._content

    def copy(self, spool: Spool, progress: Callable[[int, int], object] | None = None) -> None:
        """Write the content to another file.

        Args:
            spool: the file.
            progress: called with the number of bytes written, and the total.
        """
        if isinstance(self._content, bytes):
            size, file = len(self._content), cast("BinaryIO", io.BytesIO(self._content))
        else:
            size, file = self._content.seek(0, io.SEEK_END), self._content
            file.seek(0)
        while piece := file.read(PIECE):
            spool.write(piece)
            if progress is not None:
                progress(file.tell(), size)

    def lent(self) -> Held:
        """Return the same content for another reader, which does not close it."""
        return _Lent(self._content)

    def close(self) -> None:
        """Close the file, if any."""
        if not isinstance(self._content, bytes):
            self._content.close()

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Lent(Held):
    """Content whose file another owner closes."""

    def close(self) -> None:
        """Leave the file open."""


class Spool:
    """A file for content whose hash is not known yet.

    Args:
        targets: unbuffered files to write to: when a disk is full, the next file takes over.

    Raises:
        OSError: by `write`, when all targets are full.
    """

    def __init__(self, targets: Iterable[BinaryIO]) -> None:
        self._targets = iter(targets)
        self.file = next(self._targets)
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Append a piece."""
        left = memoryview(piece)
        while left:
            try:
                written = self.file.write(left)
            except OSError as error:
                self._move(error)
                continue
            self._size += written
            left = left[written:]

    def _move(self, error: OSError) -> None:
        """Copy the content so far to the next target, and continue there."""
        full, size = self.file, self._size
        target = next(self._targets, None)
        if target is None:
            raise error
        self.file, self._size = target, 0
        full.seek(0)
        while self._size < size:
            self.write(full.read(min(PIECE, size - self._size)))
        full.close()

    def again(self) -> None:
        """Discard the content, to start again."""
        self.file.seek(0)
        self.file.truncate()
        self._size = 0


def roomy(entry: NewEntry | None) -> Iterator[BinaryIO]:
    """Yield files for content of any size: in the cache, a temporary file, or memory."""
    if entry is not None:
        yield cast("BinaryIO", entry.file)
    with contextlib.suppress(OSError):
        import tempfile  # few values are large

        yield cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - handed on
    yield io.BytesIO()


def buffered(file: BinaryIO) -> BinaryIO:
    """Return a buffered file for reading an unbuffered one from its start."""
    file.seek(0)
    if isinstance(file, io.FileIO):
        return io.BufferedReader(file)
    return file


def pour(stored: Iterable[bytes], write: Callable[[bytes], None], *, packed: bool) -> str:
    """Write the content of pieces of stored bytes.

    Args:
        stored: the pieces, in order.
        write: receives the content.
        packed: uncompress the pieces.

    Returns:
        SHA-1 of the content; empty if the data is not gzip, or truncated.
    """
    content = hashlib.sha1(usedforsecurity=False)
    try:
        with _Beside(content.update) as beside:
            for part in _gunzipped(stored) if packed else stored:
                beside.give(part)
                write(part)
    except zlib.error:
        return ""
    return content.hexdigest()


class _Beside:
    """A second thread that processes parts in order: hashing is half the work.

    Args:
        take: called with each part; the end of the block waits for all of them.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._parts: Queue[bytes | None] = Queue(_WAITING)
        self._ended = threading.Event()
        self._is_alone = False

    def __enter__(self) -> _Beside:
        try:
            start(self._serve)
        except RuntimeError:
            self._is_alone = True
        return self

    def _serve(self) -> None:
        while (part := self._parts.get()) is not None:
            self._take(part)
        self._ended.set()

    def give(self, part: bytes) -> None:
        """Queue a part; wait if the queue is full."""
        if self._is_alone:
            self._take(part)
        else:
            self._parts.put(part)

    def __exit__(self, *_: object) -> None:
        if not self._is_alone:
            self._parts.put(None)
            self._ended.wait()


def deflated(packed: bytes) -> tuple[int, int]:
    """Return the `wbits` of zlib for gzip data, and the offset to start from.

    Raw deflate is faster, as it skips the CRC: SHA-1 covers the content.
    """
    return (-15, _HEADER) if packed.startswith(_PLAIN) else (31, 0)


def _gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the uncompressed content of gzip data of one member, in bounded parts.

    Raises:
        zlib.error: the data is not gzip, or truncated.
    """
    unpacker: Any = None
    for piece in pieces:
        left, full = piece, True
        if unpacker is None:
            window, begin = deflated(piece)
            unpacker, left = zlib.decompressobj(window), piece[begin:]
        while not unpacker.eof and (left or full):
            part = unpacker.decompress(left, PIECE)
            left, full = unpacker.unconsumed_tail, len(part) == PIECE
            if part:
                yield part
    if unpacker is None or not unpacker.eof:
        raise zlib.error("cut short")

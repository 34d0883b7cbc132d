"""Content on its way from a store: verified before anybody gets it, on disk if it is large."""

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
#: The same for a file without a name or anything else, as Metaflow writes it; and its length.
_PLAIN, _HEADER = b"\x1f\x8b\x08\x00", 10
#: Parts of content that wait to be hashed.
_WAITING = 8


class Held:
    """Verified content, in memory or in an open file; to be closed.

    Args:
        content: the bytes, or a file that stands at its start.
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
        """Return all of it."""
        if isinstance(self._content, bytes):
            return self._content
        self._content.seek(0)
        return self._content.read()

    def open(self) -> BinaryIO:
        """Return a file to read it from, which takes its place: close that instead."""
        if isinstance(self._content, bytes):
            return io.BytesIO(self._content)
        self._content.seek(0)
        return self._content

    def copy(self, spool: Spool, progress: Callable[[int, int], object] | None = None) -> None:
        """Write all of it to another file.

        Args:
            spool: the file.
            progress: told of the bytes that are written, and of how many there are.
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
        """Return the same content for one more reader, who does not close it."""
        return _Lent(self._content)

    def close(self) -> None:
        """Close the file, if there is one."""
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
    """Content that somebody else closes."""

    def close(self) -> None:
        """Leave the file open."""


class Spool:
    """A file for content whose hash is not known yet.

    Args:
        targets: files to write to, unbuffered: when a disk is full, the next one takes over.

    Raises:
        OSError: by `write`, when no target can take more.
    """

    def __init__(self, targets: Iterable[BinaryIO]) -> None:
        self._targets = iter(targets)
        self.file = next(self._targets)
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Append to what was written."""
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
        """Go on in the next target, with what was written so far."""
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
        """Forget what was written."""
        self.file.seek(0)
        self.file.truncate()
        self._size = 0


def roomy(entry: NewEntry | None) -> Iterator[BinaryIO]:
    """Yield files for content of any size: in the cache, among temporary files, in memory."""
    if entry is not None:
        yield cast("BinaryIO", entry.file)
    with contextlib.suppress(OSError):
        import tempfile  # few values are large

        yield cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - handed on
    yield io.BytesIO()


def buffered(file: BinaryIO) -> BinaryIO:
    """Return a file to read from its start what was written to an unbuffered one."""
    file.seek(0)
    if isinstance(file, io.FileIO):
        return io.BufferedReader(file)
    return file


def pour(stored: Iterable[bytes], write: Callable[[bytes], None], *, packed: bool) -> str:
    """Write what pieces of stored bytes hold.

    Args:
        stored: the pieces, in order.
        write: takes the content.
        packed: the content is what they uncompress to.

    Returns:
        SHA-1 of the content; empty if it is no gzip data, or cut short.
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
    """Another thread that takes parts, in order, while this one goes on: hashing is half the work.

    Args:
        take: is called with each part; all are taken when the block ends.
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
        """Let a part be taken; wait if many are not yet."""
        if self._is_alone:
            self._take(part)
        else:
            self._parts.put(part)

    def __exit__(self, *_: object) -> None:
        if not self._is_alone:
            self._parts.put(None)
            self._ended.wait()


def deflated(packed: bytes) -> tuple[int, int]:
    """Return how zlib reads gzip data, its `wbits`, and from where.

    Without the frame of gzip it is faster, as it adds up no sum: whoever reads blobs looks at a
    better one, their SHA-1.
    """
    return (-15, _HEADER) if packed.startswith(_PLAIN) else (31, 0)


def _gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what gzip data of one member uncompresses to, in parts that are never large.

    Raises:
        zlib.error: it is no gzip data, or it is cut short.
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

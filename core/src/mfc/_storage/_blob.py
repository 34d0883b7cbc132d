"""Blobs: their location, the first part that is fetched, and verification."""

from __future__ import annotations

import hashlib
import reprlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mfc._cache import LARGE
from mfc._storage._files import Part
from mfc._storage._place import Place
from mfc._storage._spool import GZIP, deflated
from mfc.errors import CorruptBlob, MetaflowDataMissing, UnreadableBlob


class Wanted(NamedTuple):
    """A blob to read."""

    #: The flow's part of the datastore.
    where: Place
    #: SHA-1 of the uncompressed content, 40 hex digits.
    key: str
    #: Description, for errors.
    subject: str
    #: Whether the store compressed the content; False for archives.
    packed: bool = True

    @property
    def path(self) -> str:
        """Its path below a root.

        Raises:
            CorruptBlob: the key is not a SHA-1.
        """
        # The key becomes part of a path: other characters could lead out of the datastore.
        if len(self.key) != 40 or not self.key.isalnum():  # noqa: PLR2004 - hex digits of a SHA-1
            reason = f"its key {reprlib.repr(self.key)} is not a SHA-1"
            raise CorruptBlob(self.subject, "", reason)
        return f"{self.where.flow}/data/{self.key[:2]}/{self.key}"

    @property
    def location(self) -> str:
        """Its expected location, for errors."""
        return f"{self.where.roots[0]}/{self.path}"


class Small:
    """A small blob as stored; verifying it costs less than handing it to another thread."""

    __slots__ = ("is_kept", "path", "stored")

    def __init__(self, stored: bytes, path: str) -> None:
        self.stored, self.path = stored, path
        #: Whether it is in the cache.
        self.is_kept = False


#: Result of a fetch: verified content, unless the blob is small or large.
Fetched = bytes | Part | Small


class Planned(NamedTuple):
    """The prefetch plan of a blob."""

    wanted: Wanted
    #: The content, if it is already in memory or cached.
    content: bytes | None = None
    #: A key, equal for blobs with the same call, and the call; None if prefetch does not pay. The
    #: call returns the argument of `Datastore.received`, may be slow, and raises DatastoreError.
    call: tuple[Any, Callable[[], Fetched | None]] | None = None


def size_of(fetched: Fetched | None) -> int:
    """Return the size of the result of a fetch, in bytes."""
    if isinstance(fetched, Small):
        return len(fetched.stored)
    return len(fetched.first if isinstance(fetched, Part) else fetched or b"")


def expands(stored: bytes, *, packed: bool) -> bool:
    """Tell whether stored bytes declare a large content."""
    return packed and stored.startswith(GZIP) and int.from_bytes(stored[-4:], "little") >= LARGE


def verified(stored: bytes, wanted: Wanted, path: str) -> bytes:
    """Return the content of stored bytes, compressed or not, verified by its hash.

    Args:
        stored: the bytes.
        wanted: the blob that they should be.
        path: path of the file that they were read from, for errors.

    Raises:
        MetaflowDataMissing: the file is empty.
        CorruptBlob: neither the bytes nor their decompressed content hash to the key.
        UnreadableBlob: memory is short.
    """
    if not stored:
        raise MetaflowDataMissing(wanted.subject, path, "its blob is empty")
    try:
        for content in _readings(stored, packed=wanted.packed):
            if hashlib.sha1(content, usedforsecurity=False).hexdigest() == wanted.key:
                return content
    except MemoryError as cause:
        reason = "not enough memory to decompress it"
        raise UnreadableBlob(wanted.subject, path, reason) from cause
    raise CorruptBlob(wanted.subject, path, "its bytes do not match their SHA-1")


def _readings(stored: bytes, *, packed: bool) -> Iterator[bytes]:
    """Yield the possible contents, likeliest first: the store does not record compression."""
    if not packed:
        yield stored
    if stored.startswith(GZIP):
        try:
            yield gunzip(stored)
        except zlib.error:
            return  # truncated, or not gzip: its hash could not match either
    if packed:
        yield stored


def gunzip(packed: bytes) -> bytes:
    """Return the decompressed content of gzip data of one member.

    Raises:
        zlib.error: the data is not gzip, or truncated.
    """
    # The last four bytes are the size. zlib returns a buffer of exactly this size without a copy.
    # The size is capped at 1032 times the packed size, the limit of deflate.
    size = min(int.from_bytes(packed[-4:], "little"), 1032 * len(packed))
    window, start = deflated(packed)
    return zlib.decompress(memoryview(packed)[start:], window, bufsize=max(size, 1))

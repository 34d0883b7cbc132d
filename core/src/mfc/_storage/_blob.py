"""A blob: where it is, what is fetched of it at first, and whether that is what was stored."""

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
    """A blob that somebody wants."""

    #: The flow's part of the datastore.
    where: Place
    #: SHA-1 of the uncompressed content, 40 hex digits.
    key: str
    #: What it is, for errors.
    subject: str
    #: Content was compressed by the store; False when it is itself an archive.
    packed: bool = True

    @property
    def path(self) -> str:
        """Where it is below a root.

        Raises:
            CorruptBlob: the key is no SHA-1.
        """
        # Only names: what else stands there could lead out of the datastore.
        if len(self.key) != 40 or not self.key.isalnum():  # noqa: PLR2004 - hex digits of a SHA-1
            reason = f"its key {reprlib.repr(self.key)} is no SHA-1"
            raise CorruptBlob(self.subject, "", reason)
        return f"{self.where.flow}/data/{self.key[:2]}/{self.key}"

    @property
    def location(self) -> str:
        """Where it should be, for errors."""
        return f"{self.where.roots[0]}/{self.path}"


class Small:
    """A small blob as it is stored: to verify it takes less than to let another thread do so."""

    __slots__ = ("is_kept", "path", "stored")

    def __init__(self, stored: bytes, path: str) -> None:
        self.stored, self.path = stored, path
        #: Whether it was cached.
        self.is_kept = False


#: What is fetched of a blob: verified content, if it is neither small nor large.
Fetched = bytes | Part | Small


class Planned(NamedTuple):
    """What is known of a blob before it is wanted, and what can be done."""

    wanted: Wanted
    #: The content, if it was at hand.
    content: bytes | None = None
    #: What is equal for blobs that need the same, and a call; None if nothing pays. It gives what
    #: `Datastore.received` takes, may take long, and raises DatastoreError.
    call: tuple[Any, Callable[[], Fetched | None]] | None = None


def size_of(fetched: Fetched | None) -> int:
    """Return the bytes that what was fetched takes."""
    if isinstance(fetched, Small):
        return len(fetched.stored)
    return len(fetched.first if isinstance(fetched, Part) else fetched or b"")


def expands(stored: bytes, *, packed: bool) -> bool:
    """Tell whether stored bytes say that there is much in them."""
    return packed and stored.startswith(GZIP) and int.from_bytes(stored[-4:], "little") >= LARGE


def verified(stored: bytes, wanted: Wanted, path: str) -> bytes:
    """Return the content that stored bytes are, or decompress to, by its hash.

    Args:
        stored: the bytes.
        wanted: the blob that they should be.
        path: of the file that they were read from, for errors.

    Raises:
        MetaflowDataMissing: there are no bytes.
        CorruptBlob: neither they nor what they decompress to hash to the key.
        UnreadableBlob: there is not enough memory.
    """
    if not stored:
        raise MetaflowDataMissing(wanted.subject, path, "its blob is empty")
    try:
        for content in _readings(stored, packed=wanted.packed):
            if hashlib.sha1(content, usedforsecurity=False).hexdigest() == wanted.key:
                return content
    except MemoryError as cause:
        reason = "there is not enough memory to decompress it"
        raise UnreadableBlob(wanted.subject, path, reason) from cause
    raise CorruptBlob(wanted.subject, path, "its bytes do not match their SHA-1")


def _readings(stored: bytes, *, packed: bool) -> Iterator[bytes]:
    """Yield what the content may be, likeliest first: the store does not say how it wrote it."""
    if not packed:
        yield stored
    if stored.startswith(GZIP):
        try:
            yield gunzip(stored)
        except zlib.error:
            return  # cut short or not gzip at all: its hash could not match either
    if packed:
        yield stored


def gunzip(packed: bytes) -> bytes:
    """Return what gzip data of one member decompresses to.

    Raises:
        zlib.error: it is no gzip data, or it is cut short.
    """
    # The last four bytes are the size. A buffer of just this size is handed out as it is, one
    # of any other is copied. They cannot be trusted further than deflate can expand, 1032 times.
    size = min(int.from_bytes(packed[-4:], "little"), 1032 * len(packed))
    window, start = deflated(packed)
    return zlib.decompress(memoryview(packed)[start:], window, bufsize=max(size, 1))

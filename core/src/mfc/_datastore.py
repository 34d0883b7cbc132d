"""Metaflow's datastore layout on a filesystem: verified blobs, and the files beside a task."""

from __future__ import annotations

import hashlib
import json
import reprlib
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from mfc._place import Place
from mfc.errors import CorruptBlob, MetaflowDataMissing, UnreadableBlob
from mfc.model import Pathspec

if TYPE_CHECKING:
    from mfc.hookspecs import Filesystem, Meter

T = TypeVar("T")

_GZIP = b"\x1f\x8b"


class Datastore:
    """Reads what Metaflow stored, from any filesystem.

    Args:
        filesystem: gives the filesystem of a datastore type.
        meter: where reads are counted.
    """

    def __init__(self, filesystem: Callable[[str], Filesystem], meter: Meter) -> None:
        self._filesystem = filesystem
        self._meter = meter

    def blob(self, where: Place, key: str, subject: str, *, packed: bool = True) -> bytes:
        """Return the content stored under `key`, its hash checked.

        Args:
            where: the flow's part of the datastore.
            key: SHA-1 of the uncompressed content, 40 hex digits.
            subject: what it is, for errors.
            packed: content was compressed by the store; False when it is itself an archive.

        Raises:
            MetaflowDataMissing: no such blob, or an empty one.
            CorruptBlob: neither the bytes nor what they decompress to hash to `key`.
            UnreadableBlob: no permission, or the store failed.

        Source:
            Metaflow 2.19, content-addressed store versions 0 and 1.
        """
        # Only names: what else stands there could lead out of the datastore.
        if len(key) != 40 or not key.isalnum():  # noqa: PLR2004 - hex digits of a SHA-1
            raise CorruptBlob(subject, "", f"its key {reprlib.repr(key)} is no SHA-1")
        path = f"{where.flow}/data/{key[:2]}/{key}"
        stored = self._first(where, path, subject)
        if not stored:
            raise MetaflowDataMissing(subject, f"{where.roots[0]}/{path}", "its blob is empty")
        try:
            for content in _readings(stored, packed=packed):
                if hashlib.sha1(content, usedforsecurity=False).hexdigest() == key:
                    return content
        except MemoryError as cause:
            reason = "there is not enough memory to decompress it"
            raise UnreadableBlob(subject, f"{where.roots[0]}/{path}", reason) from cause
        raise CorruptBlob(subject, f"{where.roots[0]}/{path}", "its bytes do not match their SHA-1")

    def task_file(self, where: Place, task: Pathspec, name: str) -> bytes | None:
        """Return a file that stands beside a task, such as `0.data.json`; None if there is none.

        Raises:
            UnreadableBlob: no permission, or the store failed.
        """
        path = f"{task}/{name}"
        try:
            return self._first(where, path, f"file {name} of {task}")
        except MetaflowDataMissing:
            return None

    def task_file_size(self, where: Place, task: Pathspec, name: str) -> int:
        """Return the size in bytes of a file beside a task, 0 if there is none.

        Raises:
            UnreadableBlob: the store failed.
        """
        try:
            return self._try(where, f"{task}/{name}", f"file {name} of {task}", self._size)
        except MetaflowDataMissing:
            return 0

    def attempt_info(self, where: Place, task: Pathspec, attempt: int) -> dict[str, Any]:
        """Return what the writer noted of each artifact of an attempt, by name.

        Each value has `size` (bytes of the encoded value), `type` (as `str(type(value))`) and
        `encoding`, perhaps `serializer_info`. No note: `{}`.

        Raises:
            CorruptBlob: the note is not JSON.
        """
        name = f"{attempt}.data.json"
        found = self.task_file(where, task, name)
        if found is None:
            return {}
        try:
            info = json.loads(found)["info"]
        except (ValueError, KeyError, TypeError, RecursionError) as cause:
            raise CorruptBlob(f"Task {task}", name, "it is not the JSON of an attempt") from cause
        return info if isinstance(info, dict) else {}

    def file(self, ds_type: str, paths: tuple[str, ...], subject: str) -> bytes:
        """Return a file by its full path, the first of `paths` that exists.

        Raises:
            MetaflowDataMissing: none exists.
            UnreadableBlob: no permission, or the store failed.
        """
        return self._try(Place(ds_type, paths, ""), "", subject, self._content)

    def _first(self, where: Place, path: str, subject: str) -> bytes:
        return self._try(where, path, subject, self._content)

    def _content(self, filesystem: Filesystem, path: str) -> bytes:
        content = filesystem.cat_file(path)
        self._meter.add(reads=1, size=len(content))
        return content

    def _size(self, filesystem: Filesystem, path: str) -> int:
        self._meter.add(reads=1)
        return filesystem.size(path) or 0

    def _try(
        self, where: Place, path: str, subject: str, read: Callable[[Filesystem, str], T]
    ) -> T:
        filesystem = self._filesystem(where.ds_type)
        missing: OSError | None = None
        for root in where.roots:
            full = _full_path(where.ds_type, root, path)
            try:
                return read(filesystem, full)
            except (FileNotFoundError, NotADirectoryError) as cause:
                missing = missing or cause
            except Exception as cause:
                # Filesystems are plugins over any library; none of its exceptions may escape.
                raise UnreadableBlob(subject, full, _why(cause)) from cause
        looked = ", ".join(_full_path(where.ds_type, root, path) for root in where.roots)
        reason = "its bytes are not where they were recorded"
        raise MetaflowDataMissing(subject, looked, reason) from missing


def _why(cause: Exception) -> str:
    """Return why a file cannot be read: what its store says, or what the system's error means."""
    if isinstance(cause, OSError) and cause.errno is None:
        return str(cause)
    if isinstance(cause, PermissionError):
        return "it may not be read: Metaflow writes files for their owner alone (mode 0600)"
    return f"the store failed: {cause!r}"


def _full_path(ds_type: str, root: str, path: str) -> str:
    bare = root.removeprefix(f"{ds_type}://").rstrip("/")
    return f"{bare}/{path}" if path else bare


def _readings(stored: bytes, *, packed: bool) -> Iterator[bytes]:
    """Yield what the content may be, likeliest first: the store does not say how it wrote it."""
    if not packed:
        yield stored
    if stored.startswith(_GZIP):
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
    return zlib.decompress(packed, 31, bufsize=max(size, 1))

"""Metaflow's datastore layout on a filesystem: verified blobs, and the files beside a task.

Files of this machine are read where they are, by the thread that asks. What is elsewhere is read by
threads that can be left behind, large files in ranges side by side, and blobs go into the cache.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import attrs

from mfc._cache import LARGE, Cache
from mfc._place import Place
from mfc._spool import GZIP, Held, Spool, buffered, pour, roomy
from mfc._transfer import Limits, Outcome, Overdue, SideBySide, in_order
from mfc.errors import (
    BadSetting,
    CorruptBlob,
    DatastoreError,
    MetaflowDataMissing,
    UnreadableBlob,
)
from mfc.model import Pathspec

if TYPE_CHECKING:
    from mfc.config import Config
    from mfc.hookspecs import Filesystem, Meter

T = TypeVar("T")
#: Takes how many bytes have come, and of how many.
Progress = Callable[[int, int | None], None]

#: Bytes that are asked for first of every file: most have no more, and are one request.
BEGINNING = 4 << 20
#: Bytes of each further range, and of all ranges of a file that are under way.
_RANGE, _RANGES = 4 << 20, 32 << 20


def limits_of(config: Config) -> Limits:
    """Return how much may be read at once, as the settings say.

    Raises:
        BadSetting: a setting is no positive number.
    """
    return Limits(
        width=max(int(_positive(config, "MFC_READS", 32)), 1),
        memory=_positive(config, "MFC_READS_MEMORY", 128) * 2**20,
        patience=_positive(config, "MFC_READ_TIMEOUT", 60),
    )


def _positive(config: Config, name: str, default: float) -> float:
    number = config.number(name, default)
    if not number > 0:
        value, source = config.find(name) or (number, "")
        raise BadSetting(name, value, source, "a number above 0")
    return number


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


@attrs.frozen
class Part:
    """The beginning of a file that is large, or whose content is."""

    filesystem: Filesystem
    path: str
    first: bytes

    @property
    def is_whole(self) -> bool:
        """Whether there is no more."""
        return len(self.first) != BEGINNING


class Datastore:
    """Reads what Metaflow stored, from any filesystem.

    Args:
        filesystem: gives the filesystem of a datastore type.
        meter: where reads are counted.
        cache: keeps blobs of filesystems that are elsewhere.
        limits: how much may be read at once, and how long a read may take.
    """

    def __init__(
        self,
        filesystem: Callable[[str], Filesystem],
        meter: Meter,
        cache: Cache,
        limits: Limits | None = None,
    ) -> None:
        self._filesystem = filesystem
        self._meter = meter
        self._cache = cache
        self.limits = limits or Limits()

    def is_local(self, ds_type: str) -> bool:
        """Tell whether files of a datastore type are on this machine."""
        return bool(getattr(self._filesystem(ds_type), "local_file", False))

    # Blobs

    def blob(self, where: Place, key: str, subject: str, *, packed: bool = True) -> bytes:
        """Return the content stored under `key`, its hash checked; `Wanted` says what these are.

        Raises:
            MetaflowDataMissing: no such blob, or an empty one.
            CorruptBlob: neither the bytes nor what they decompress to hash to `key`.
            UnreadableBlob: no permission, or the store failed.

        Source:
            Metaflow 2.19, content-addressed store versions 0 and 1.
        """
        with self.held(Wanted(where, key, subject, packed)) as held:
            return held.read()

    def held(
        self, wanted: Wanted, *, in_file: bool = False, progress: Progress | None = None
    ) -> Held:
        """Return verified content, in a file if it is large; raises as `blob` does.

        Args:
            wanted: what to read.
            in_file: of large files of this machine, too.
            progress: told of the stored bytes as they come.
        """
        if self.is_local(wanted.where.ds_type):
            if not in_file:
                stored = self._find(wanted.where, wanted.path, wanted.subject, self._content)
                return Held(_verified(stored, wanted))
            return self.received(wanted, Outcome(self.fetch(wanted)), progress)
        if (found := self._cache.get(wanted.key)) is not None:
            self._meter.add(cache_hits=1)
            return Held(found)
        return self.received(wanted, self._in_time(partial(self.fetch, wanted)), progress)

    def needs_fetching(self, wanted: Wanted) -> bool:
        """Tell whether it pays to `fetch` before the content is wanted."""
        return not (self.is_local(wanted.where.ds_type) or self._cache.has(wanted.key))

    def fetch(self, wanted: Wanted) -> bytes | Part:
        """Read a blob, or the beginning of a large one, for as long as that takes.

        Raises:
            DatastoreError: as `blob`.
        """
        part = self._find(wanted.where, wanted.path, wanted.subject, self._beginning)
        if not part.is_whole or _expands(part.first, packed=wanted.packed):
            return part
        content = _verified(part.first, wanted)
        if not self.is_local(wanted.where.ds_type):
            self._cache.put(wanted.key, content)
        return content

    def received(
        self, wanted: Wanted, outcome: Outcome[bytes | Part], progress: Progress | None = None
    ) -> Held:
        """Return the content that `fetch` gave, the rest of a large one read now.

        Raises:
            DatastoreError: as `blob`.
        """
        fetched = self._given(outcome, wanted.subject, lambda: wanted.location)
        if isinstance(fetched, bytes):
            return Held(fetched)
        remote = not self.is_local(wanted.where.ds_type)
        entry = self._cache.new(wanted.key) if remote else None
        spool = Spool(roomy(entry))
        try:
            self._pour(wanted, fetched, spool, progress)
            file = spool.file
            if entry is not None and entry.file is file:
                entry.keep()
                file = entry.file
            return Held(buffered(file))
        except BaseException:
            spool.file.close()
            raise
        finally:
            if entry is not None:
                entry.leave()

    def pour(self, wanted: Wanted, spool: Spool, progress: Progress | None = None) -> None:
        """Write verified content to a file of the caller's; raises as `blob` does, and OSError."""
        if not self.is_local(wanted.where.ds_type) and self._cache.has(wanted.key):
            with self.held(wanted) as held, held.open() as file:
                while piece := file.read(_RANGE):
                    spool.write(piece)
            return
        outcome = self._in_time(
            partial(self._find, wanted.where, wanted.path, wanted.subject, self._beginning)
        )
        part = self._given(outcome, wanted.subject, lambda: wanted.location)
        self._pour(wanted, part, spool, progress)

    def _pour(self, wanted: Wanted, part: Part, spool: Spool, progress: Progress | None) -> None:
        if not part.first:
            raise MetaflowDataMissing(wanted.subject, wanted.location, "its blob is empty")
        packed = part.first.startswith(GZIP)
        for unpack in (packed, not packed) if wanted.packed else (False, packed):
            pieces = self._pieces(part, wanted.subject, progress)
            content, plain = pour(pieces, spool.write, packed=unpack)
            if content == wanted.key:
                return
            if unpack and plain != wanted.key:
                break
            spool.again()
        reason = "its bytes do not match their SHA-1"
        raise CorruptBlob(wanted.subject, wanted.location, reason)

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
        return self._first(Place(ds_type, paths, ""), "", subject)

    # Files

    def _first(self, where: Place, path: str, subject: str) -> bytes:
        if self.is_local(where.ds_type):
            return self._find(where, path, subject, self._content)
        part = self._try(where, path, subject, self._beginning)
        return b"".join(self._pieces(part, subject))

    def _content(self, filesystem: Filesystem, path: str) -> bytes:
        content = filesystem.cat_file(path)
        self._meter.add(reads=1, size=len(content))
        return content

    def _beginning(self, filesystem: Filesystem, path: str) -> Part:
        first = filesystem.cat_file(path, 0, BEGINNING)
        self._meter.add(reads=1, size=len(first))
        return Part(filesystem, path, first)

    def _size(self, filesystem: Filesystem, path: str) -> int:
        self._meter.add(reads=1)
        return filesystem.size(path) or 0

    def _pieces(
        self, part: Part, subject: str, progress: Progress | None = None
    ) -> Iterator[bytes]:
        """Yield a file in pieces, in order, some read ahead side by side."""
        done = len(part.first)
        size = done
        if not part.is_whole:
            size = self._asked(part, subject, self._size)
        if progress is not None:
            progress(done, size)
        yield part.first
        for piece in self._ranges(part, subject, size):
            done += len(piece)
            if progress is not None:
                progress(done, size)
            yield piece

    def _ranges(self, part: Part, subject: str, size: int) -> Iterator[bytes]:
        starts = range(len(part.first), size, _RANGE)

        def read(start: int, filesystem: Filesystem, path: str) -> bytes:
            end = min(start + _RANGE, size)
            piece = filesystem.cat_file(path, start, end)
            self._meter.add(reads=1, size=len(piece))
            if len(piece) != end - start:
                raise OSError(f"{len(piece)} bytes came of the range from {start} to {end}")
            return piece

        if getattr(part.filesystem, "local_file", False):
            for start in starts:
                yield self._asked(part, subject, partial(read, start))
            return
        limits = attrs.evolve(self.limits, memory=min(self.limits.memory, _RANGES))
        calls: SideBySide[int, bytes] = SideBySide(limits, _RANGE, len)
        ask = partial(_told, part.filesystem, part.path, subject)
        for _, outcome in in_order(starts, lambda s: (s, partial(ask, partial(read, s))), calls):
            if outcome is not None:
                yield self._given(outcome, subject, lambda: part.path)

    def _asked(self, part: Part, subject: str, read: Callable[[Filesystem, str], T]) -> T:
        """Return what a filesystem says of a file that is there."""
        ask = partial(_told, part.filesystem, part.path, subject, read)
        if getattr(part.filesystem, "local_file", False):
            return ask()
        return self._given(self._in_time(ask), subject, lambda: part.path)

    def _try(
        self, where: Place, path: str, subject: str, read: Callable[[Filesystem, str], T]
    ) -> T:
        """Return what `read` gives for a file at the first root where it is, or raise in time."""
        find = partial(self._find, where, path, subject, read)
        if self.is_local(where.ds_type):
            return find()
        location = _full_path(where.ds_type, where.roots[0], path)
        return self._given(self._in_time(find), subject, lambda: location)

    def _find(
        self, where: Place, path: str, subject: str, read: Callable[[Filesystem, str], T]
    ) -> T:
        """Return what `read` gives for a file at the first root where it is."""
        filesystem = self._filesystem(where.ds_type)
        for root in where.roots:
            full = _full_path(where.ds_type, root, path)
            try:
                return _told(filesystem, full, subject, read)
            except MetaflowDataMissing:
                continue
        looked = ", ".join(_full_path(where.ds_type, root, path) for root in where.roots)
        raise MetaflowDataMissing(subject, looked, "its bytes are not where they were recorded")

    # Waiting

    def _in_time(self, act: Callable[[], T]) -> Outcome[T]:
        calls: SideBySide[str, T] = SideBySide(self.limits)
        calls.want("", act)
        return calls.take("")

    def _given(self, outcome: Outcome[T], subject: str, location: Callable[[], str]) -> T:
        """Return what a call gave; its errors say for what it was made here.

        Raises:
            DatastoreError: what it raised, or it is overdue.
        """
        try:
            return outcome.get()
        except Overdue:
            reason = (
                f"the store has not answered within {self.limits.patience:g} s "
                "(MFC_READ_TIMEOUT says how long to wait)"
            )
            raise UnreadableBlob(subject, location(), reason) from None
        except DatastoreError as error:
            if error.subject == subject:
                raise
            raise type(error)(subject, error.location, error.reason) from error.__cause__


def _told(
    filesystem: Filesystem, path: str, subject: str, read: Callable[[Filesystem, str], T]
) -> T:
    """Return what `read` gives.

    Raises:
        MetaflowDataMissing: there is no such file.
        UnreadableBlob: no permission, or the store failed.
    """
    try:
        return read(filesystem, path)
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise MetaflowDataMissing(subject, path, "it is gone") from cause
    except PermissionError as cause:
        reason = "it may not be read: Metaflow writes files for their owner alone (mode 0600)"
        raise UnreadableBlob(subject, path, reason) from cause
    except Exception as cause:
        # Filesystems are plugins over any library; none of its exceptions may escape.
        raise UnreadableBlob(subject, path, f"the store failed: {cause!r}") from cause


def _full_path(ds_type: str, root: str, path: str) -> str:
    bare = root.removeprefix(f"{ds_type}://").rstrip("/")
    return f"{bare}/{path}" if path else bare


def _expands(stored: bytes, *, packed: bool) -> bool:
    """Tell whether stored bytes say that there is much in them."""
    return packed and stored.startswith(GZIP) and int.from_bytes(stored[-4:], "little") >= LARGE


def _verified(stored: bytes, wanted: Wanted) -> bytes:
    """Return the content that stored bytes are, or decompress to, by its hash."""
    if not stored:
        raise MetaflowDataMissing(wanted.subject, wanted.location, "its blob is empty")
    try:
        for content in _readings(stored, packed=wanted.packed):
            if hashlib.sha1(content, usedforsecurity=False).hexdigest() == wanted.key:
                return content
    except MemoryError as cause:
        reason = "there is not enough memory to decompress it"
        raise UnreadableBlob(wanted.subject, wanted.location, reason) from cause
    raise CorruptBlob(wanted.subject, wanted.location, "its bytes do not match their SHA-1")


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
    return zlib.decompress(packed, 31, bufsize=max(size, 1))

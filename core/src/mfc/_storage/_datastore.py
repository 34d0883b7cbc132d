"""Metaflow's datastore layout on a filesystem: verified blobs, and the files beside a task.

Remote blobs go through the cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mfc._cache import SMALL, Cache
from mfc._concurrency._calls import Limits, Outcome
from mfc._concurrency._flights import Flights
from mfc._storage._blob import Fetched, Small, Wanted, expands, verified
from mfc._storage._files import Files, Part, Progress, bytes_of
from mfc._storage._place import Place
from mfc._storage._spool import GZIP, Held, Spool, buffered, pour, roomy
from mfc.errors import CorruptBlob, MetaflowDataMissing
from mfc.model import Pathspec

if TYPE_CHECKING:
    from mfc.hookspecs import Filesystem, Meter


#: In the note of an attempt: the keys of its artifacts by name.
_OBJECTS = re.compile(rb'"objects": (\{(?:"[^"\\]*": "[0-9a-f]{40}"(?:, )?)*\}), "info": ')
_KEY = re.compile("[0-9a-f]{40}")
#: Consecutive cache misses after which the next blob is unlikely to be cached.
_MISSED = 8


class Datastore:
    """Reads Metaflow's files and blobs from any filesystem.

    Args:
        filesystem: returns the filesystem of a datastore type.
        meter: counts reads.
        cache: keeps blobs of remote filesystems.
        limits: bounds of concurrent reads, and the timeout of a read.
    """

    def __init__(
        self,
        filesystem: Callable[[str], Filesystem],
        meter: Meter,
        cache: Cache,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._files = Files(filesystem, meter, self.limits)
        self._meter = meter
        self._cache = cache
        self._flights: Flights[Fetched] = Flights(lambda fetched: isinstance(fetched, Small))
        #: Number of cache lookups, and of consecutive misses.
        self._asked = self._missed = 0

    def is_local(self, ds_type: str) -> bool:
        """Tell whether files of a datastore type are local."""
        return self._files.is_local(ds_type)

    # Blobs

    def blob(self, where: Place, key: str, subject: str, *, packed: bool = True) -> bytes:
        """Return the verified content stored under `key`; see `Wanted` for the arguments.

        Raises:
            MetaflowDataMissing: the blob is missing or empty.
            CorruptBlob: neither the bytes nor their decompressed content hash to `key`.
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
            wanted: the blob to read.
            in_file: use a file also for large local blobs.
            progress: called with the stored bytes as they arrive.
        """
        if self.is_local(wanted.where.ds_type):
            if not in_file:
                part = self._files.whole(wanted.where, wanted.path, wanted.subject)
                return Held(verified(part.first, wanted, part.path))
            return self.received(wanted, Outcome(self.fetch(wanted)), progress)
        if (found := self._cached(wanted.key)) is not None:
            return Held(found)
        return self.received(wanted, self._files.in_time(partial(self.fetch, wanted)), progress)

    def _cached(self, key: str) -> bytes | BinaryIO | None:
        found = self._cache.get(key)
        if found is not None:
            self._meter.add(cache_hits=1)
        return found

    def find(self, wanted: Iterable[Wanted]) -> dict[str, bytes]:
        """Return the content of cached small blobs by key; other keys are absent."""
        found = self._cache.find([one.key for one in wanted])
        if found:
            self._meter.add(cache_hits=len(found))
        return found

    def needs_fetching(self, wanted: Wanted) -> bool:
        """Tell whether prefetching a blob that `find` did not return pays."""
        # The caller dispatches the work of many threads, and a look at the disk makes it wait for
        # its turn among them. So after some misses it looks only now and then.
        self._asked += 1
        if self._missed >= _MISSED and self._asked % _MISSED:
            return True
        found = self._cache.has(wanted.key)
        self._missed = 0 if found else self._missed + 1
        return not found

    def fetch(self, wanted: Wanted) -> Fetched:
        """Read a blob, or the beginning of a large one, without a timeout.

        Raises:
            DatastoreError: as `blob`.
        """
        key = (wanted.where, wanted.key, wanted.packed)
        if self._flights.was_taken(key) and (found := self._cache.get(wanted.key)) is not None:
            if isinstance(found, bytes):
                self._meter.add(cache_hits=1)
                return found
            found.close()
        return self._flights.get(key, partial(self._fetched, wanted))

    def _fetched(self, wanted: Wanted) -> Fetched:
        try:
            return self._fetched_once(wanted)
        except CorruptBlob:
            if self.is_local(wanted.where.ds_type):
                raise
            return self._fetched_once(wanted)  # a transfer may have damaged it

    def _fetched_once(self, wanted: Wanted) -> Fetched:
        part = self._files.beginning(wanted.where, wanted.path, wanted.subject)
        if not part.is_whole or expands(part.first, packed=wanted.packed):
            return part
        if len(part.first) <= SMALL:
            return Small(part.first, part.path)
        content = verified(part.first, wanted, part.path)
        if not self.is_local(wanted.where.ds_type):
            self._cache.put(wanted.key, content)
        return content

    def received(
        self,
        wanted: Wanted,
        outcome: Outcome[Fetched | None],
        progress: Progress | None = None,
        *,
        is_last: bool = False,
    ) -> Held:
        """Return the content of a fetched blob, after reading the rest of a large one.

        A result of None means that the content is cached, or was at the time of the lookup. A
        corrupt remote blob is fetched once more.

        Args:
            wanted: the fetched blob.
            outcome: the outcome of `fetch`.
            progress: called with the stored bytes as they arrive.
            is_last: do not fetch a corrupt blob again.

        Raises:
            DatastoreError: as `blob`.
        """
        fetched = self._files.given(outcome, wanted.subject, wanted.location)
        if fetched is None:
            return self.held(wanted)
        if isinstance(fetched, bytes):
            return Held(fetched)
        remote = not self.is_local(wanted.where.ds_type)
        if isinstance(fetched, Small):
            try:
                content = verified(fetched.stored, wanted, fetched.path)
            except CorruptBlob:
                self._flights.take((wanted.where, wanted.key, wanted.packed))
                if is_last or not remote:
                    raise
            else:
                if remote and not fetched.is_kept:
                    fetched.is_kept = True
                    self._cache.put(wanted.key, content)
                self._flights.take((wanted.where, wanted.key, wanted.packed))
                return Held(content)
            again: Outcome[Fetched | None] = self._files.in_time(partial(self.fetch, wanted))
            return self.received(wanted, again, progress, is_last=True)
        # Another thread or process may have read the same blob meanwhile.
        if remote and (found := self._cached(wanted.key)) is not None:
            return Held(found)
        fill = partial(self._pour, wanted, fetched, progress=progress)
        return self._spooled(wanted.key if remote else "", fill)

    def _spooled(self, key: str, fill: Callable[[Spool], bool]) -> Held:
        """Return the content that `fill` writes; valid content is cached under `key` if set."""
        entry = self._cache.new(key) if key else None
        spool = Spool(roomy(entry))
        try:
            right, file = fill(spool), spool.file
            if right and entry is not None and entry.file is file:
                entry.keep()
                file = cast("BinaryIO", entry.file)
            return Held(buffered(file))
        except BaseException:
            spool.file.close()
            raise
        finally:
            if entry is not None:
                entry.leave()

    def pour(self, wanted: Wanted, spool: Spool, progress: Progress | None = None) -> None:
        """Write verified content to the caller's file; raises as `blob` does, and OSError."""
        remote = not self.is_local(wanted.where.ds_type)
        if remote and (found := self._cached(wanted.key)) is not None:
            with Held(found) as held:
                held.copy(spool, progress)
            return
        part = self._files.part(wanted.where, wanted.path, wanted.subject)
        self._pour(wanted, part, spool, progress)

    def _pour(
        self,
        wanted: Wanted,
        part: Part,
        spool: Spool,
        progress: Progress | None = None,
        *,
        is_last: bool = False,
    ) -> bool:
        if not part.first:
            raise MetaflowDataMissing(wanted.subject, part.path, "its blob is empty")
        readings = (True, False) if wanted.packed else (False, True)
        for unpack in readings if part.first.startswith(GZIP) else (False,):
            pieces = self._files.pieces(part, wanted.subject, progress)
            if pour(pieces, spool.write, packed=unpack) == wanted.key:
                return True
            spool.again()
        if not is_last and not self.is_local(wanted.where.ds_type):
            again = self._files.part(wanted.where, wanted.path, wanted.subject)
            return self._pour(wanted, again, spool, progress, is_last=True)
        reason = "its bytes do not match their SHA-1"
        raise CorruptBlob(wanted.subject, part.path, reason)

    # Other files

    def task_file(self, where: Place, task: Pathspec, name: str) -> bytes | None:
        """Return a file beside a task, such as `0.data.json`; None if it does not exist.

        Raises:
            UnreadableBlob: no permission, or the store failed.
        """
        path = f"{task}/{name}"
        try:
            return self._files.content(where, path, f"file {name} of {task}")
        except MetaflowDataMissing:
            return None

    def task_file_size(self, where: Place, task: Pathspec, name: str) -> int:
        """Return the size of a file beside a task in bytes; 0 if it does not exist.

        Raises:
            UnreadableBlob: the store failed.
        """
        try:
            return self._files.size(where, f"{task}/{name}", f"file {name} of {task}")
        except MetaflowDataMissing:
            return 0

    def task_file_range(
        self, where: Place, task: Pathspec, name: str, start: int, end: int
    ) -> bytes:
        """Return the bytes [start, end) of a file beside a task; empty if it does not exist.

        Raises:
            UnreadableBlob: no permission, or the store failed.
        """

        def part(filesystem: Filesystem, path: str) -> bytes:
            content = bytes_of(filesystem.cat_file(path, start=start, end=end))
            self._meter.add(reads=1, size=len(content))
            return content

        try:
            return self._files.ask(where, f"{task}/{name}", f"file {name} of {task}", part)
        except MetaflowDataMissing:
            return b""

    def attempt_info(self, where: Place, task: Pathspec, attempt: int) -> dict[str, Any]:
        """Return the writer's notes on the artifacts of an attempt by name.

        Each value has `size` (bytes of the encoded value), `type` (as `str(type(value))`) and
        `encoding`, perhaps `serializer_info`. Without a note the result is `{}`.

        Raises:
            CorruptBlob: the note is not JSON.
        """
        found = self.task_file(where, task, f"{attempt}.data.json")
        return self._attempt_note(found, task, attempt, "info")

    def attempt_keys(self, where: Place, task: Pathspec, attempt: int) -> dict[str, str]:
        """Return the keys of the blobs of an attempt's artifacts, by name.

        Without a note the result is `{}`.

        Raises:
            CorruptBlob: the note is not JSON.
        """
        found = self.task_file(where, task, f"{attempt}.data.json")
        noted = self._attempt_note(found, task, attempt, "objects")
        return {n: k for n, k in noted.items() if isinstance(k, str) and _KEY.fullmatch(k)}

    def attempt_names(self, where: Place, task: Pathspec, attempt: int) -> list[str]:
        """Return the names of an attempt's artifacts, in the order of their registration.

        Without a note the result is `[]`.

        Raises:
            CorruptBlob: the note is not JSON.
        """
        found = self.task_file(where, task, f"{attempt}.data.json")
        # The names are in the first, small part of the note; the rest is not parsed.
        listed = None if found is None else _OBJECTS.search(found)
        if listed is not None:
            return list(json.loads(listed[1]))
        return list(self._attempt_note(found, task, attempt, "objects"))

    def _attempt_note(
        self, found: bytes | None, task: Pathspec, attempt: int, part: str
    ) -> dict[str, Any]:
        if found is None:
            return {}
        try:
            noted = json.loads(found)[part]
        except (ValueError, KeyError, TypeError, RecursionError) as cause:
            name = f"{attempt}.data.json"
            raise CorruptBlob(f"Task {task}", name, "it is not the JSON of an attempt") from cause
        return noted if isinstance(noted, dict) else {}

    def file(self, where: Place, subject: str) -> bytes:
        """Return a file by its full path, the first of the roots that exists.

        Raises:
            MetaflowDataMissing: the file does not exist.
            UnreadableBlob: no permission, or the store failed.
        """
        return self._files.content(where, "", subject)

    def held_file(
        self,
        where: Place,
        subject: str,
        *,
        packed: bool,
        key: str = "",
        progress: Progress | None = None,
    ) -> tuple[Held, str]:
        """Return the content of a file outside the blob store, and its SHA-1; raises as `file`.

        Args:
            where: its full paths as roots; the first that exists counts.
            subject: description, for errors.
            packed: expect gzip data; the SHA-1 is empty for any other data.
            key: the expected SHA-1, to find the content in the cache.
            progress: called with the stored bytes as they arrive.
        """
        remote = not self.is_local(where.ds_type)
        if remote and key and (found := self._cached(key)) is not None:
            return Held(found), key
        part = self._files.part(where, "", subject)
        content = [""]

        def fill(spool: Spool) -> bool:
            pieces = self._files.pieces(part, subject, progress)
            content[0] = pour(pieces, spool.write, packed=packed)
            return content[0] == key

        held = self._spooled(key if remote else "", fill)
        return held, content[0]

"""Metadata in a `.metaflow` directory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from typing import TypeVar

from mfc.errors import MetaflowNotFound, MfcWarning, UnreadableRecord
from mfc.hookspecs import Capabilities, Meter, TagChange
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_local._json import parsed, read_bytes
from mfc_local._root import Place
from mfc_local._runs import runs
from mfc_local._tags import retag

META = "_meta"
SELF = "_self.json"
_FIELD = "sysmeta_"
_DONE = "sysmeta_attempt-done_"
_ARTIFACT = "_artifact_"
_created = attrgetter("created")
_Child = TypeVar("_Child", bound="Record | MetadataRecord")


class LocalProvider:
    """The records in one directory of results, which may be written to all the while.

    Args:
        place: the directory.
        meter: where reads are counted.

    Source:
        Metaflow 2.19, `plugins.metadata_providers.local`.
    """

    capabilities = Capabilities(
        query=frozenset({"tags", "since", "until", "user", "limit"}), retag=True
    )

    def __init__(self, place: Place, meter: Meter) -> None:
        self._place, self._meter = place, meter
        self.address = place.address
        self._runs: dict[Pathspec, tuple[tuple[int, int, int], Record]] = {}

    def root(self, ds_type: str) -> str | None:
        """Return the directory itself: metadata and datastore share it."""
        return self._place.root if ds_type in ("local", self._place.kind) else None

    # Records

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path`; see the contract."""
        if self._place.root is None:
            return None
        if path.level is Level.ARTIFACT:
            found = self._artifacts_of(path.parent, (path.name,), attempt)
            return found[0] if found else None
        if path.level is Level.RUN:
            return self._run(path)
        run = self._run(path.up(Level.RUN)) if path.level > Level.RUN else None
        return self._self(path, run)

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records below `path`, newest first; see the contract."""
        if self._place.root is None:
            return iter(())
        if path.level is Level.FLOW:
            return _first(runs(self._directory(path), path, query, self._meter), query.limit)
        return _first(iter(self._below(path, query)), query.limit)

    def _below(self, path: Pathspec, query: Query) -> list[Record]:
        """Return flows, steps or tasks; their times are in their files, so all are read."""
        run = self._run(path.up(Level.RUN)) if path.level >= Level.RUN else None
        directory, child = self._directory(path), path.child
        found: list[Record] = []
        size = 0
        names = _names_in(directory)
        for name in names:
            file = f"{directory}/{name}/{META}/{SELF}"
            try:
                content = read_bytes(file)
                if content is not None:
                    size += len(content)
                    found.append(Record.of_json(child(name), parsed(content, file), run))
            except UnreadableRecord as unreadable:
                left_out(unreadable)
        self._meter.add(reads=1 + len(names), size=size)
        for test in query.tests():
            found = [record for record in found if test(record)]
        found.sort(key=_created, reverse=True)
        return found

    def _self(self, path: Pathspec, run: Record | None) -> Record | None:
        file = f"{self._directory(path)}/{META}/{SELF}"
        content = read_bytes(file)
        self._meter.add(reads=1, size=len(content or b""))
        return None if content is None else Record.of_json(path, parsed(content, file), run)

    def _run(self, path: Pathspec) -> Record | None:
        """Return a run's record, read again only if its file is another one by now."""
        file = f"{self._directory(path)}/{META}/{SELF}"
        try:
            status = os.stat(file)
        except OSError:
            return self._self(path, None)
        # Files are replaced, never changed in place, so a change shows in the inode or the time.
        state = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._runs.get(path)
        if known is not None and known[0] == state:
            return known[1]
        content = read_bytes(file)
        self._meter.add(reads=1, size=len(content or b""))
        if content is None:
            return None
        record = Record.of_json(path, parsed(content, file))
        if len(self._runs) > 1000:  # noqa: PLR2004 - a bound for processes that read for months
            self._runs.clear()
        self._runs[path] = state, record
        return record

    def _directory(self, path: Pathspec) -> str:
        return "/".join((str(self._place.root), *path.components))

    # Metadata and artifacts of tasks

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of the tasks at `path`, oldest first in each; see the contract."""
        for task in self._tasks(path):
            yield from self._metadata_of(task, names)

    def _metadata_of(self, task: Pathspec, names: Collection[str] | None) -> list[MetadataRecord]:
        directory = f"{self._directory(task)}/{META}"
        wanted = [entry for entry in _names_in(directory) if entry.startswith(_FIELD)]
        if names is not None:
            # The field's name is followed by a time, so this may let through too many, never too few.
            starts = tuple(f"{_FIELD}{name}_" for name in names)
            wanted = [entry for entry in wanted if entry.startswith(starts)]
        found = self._read(directory, wanted, lambda fields: MetadataRecord.of_json(task, fields))
        if names is not None:
            found = [record for record in found if record.name in names]
        found.sort(key=_created)
        return found

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of the tasks at `path`, newest first in each; see the contract."""
        for task in self._tasks(path):
            yield from self._artifacts_of(task, names, attempt)

    def _artifacts_of(
        self, task: Pathspec, names: Collection[str] | None, attempt: int | None
    ) -> list[ArtifactRecord]:
        directory = f"{self._directory(task)}/{META}"
        if attempt is None or names is None:
            entries = _names_in(directory)
            self._meter.add(reads=1)
            if attempt is None and (attempt := self._done(directory, entries)) is None:
                return []
        start = f"{attempt}{_ARTIFACT}"
        if names is None:
            files = [
                entry for entry in entries if entry.startswith(start) and entry.endswith(".json")
            ]
        else:
            files = [f"{start}{name}.json" for name in names]
        run, skip = self._run(task.up(Level.RUN)), len(start)

        def record(fields: dict[str, object], file: str) -> ArtifactRecord:
            return ArtifactRecord.of_json(task.child(file[skip:-5]), fields, run)

        found = []
        for file in files:
            found += self._read(directory, (file,), lambda fields, file=file: record(fields, file))
        found.sort(key=_created, reverse=True)
        return found

    def _done(self, directory: str, entries: list[str]) -> int | None:
        """Return the attempt whose artifacts count: the one that was done last, None if none is."""
        done = [entry for entry in entries if entry.startswith(_DONE)]
        if len(done) == 1:
            # An attempt is marked done before its artifacts appear: with one mark, and artifacts
            # of one attempt, they belong together, and the mark need not be read.
            attempts = {entry[0] for entry in entries if entry.startswith(_ARTIFACT, 1)}
            if len(attempts) == 1:
                return int(attempts.pop())
        for last in sorted(done, reverse=True)[:1]:
            file = f"{directory}/{last}"
            content = read_bytes(file)
            self._meter.add(reads=1, size=len(content or b""))
            value = str(parsed(content, file).get("value")) if content is not None else ""
            if value.isdigit():
                return int(value)
        return None

    def _read(
        self, directory: str, files: Collection[str], make: Callable[..., _Child]
    ) -> list[_Child]:
        """Return the records in some files of a task; what is unreadable is left out, with a warning."""
        found, size = [], 0
        for name in files:
            file = f"{directory}/{name}"
            try:
                content = read_bytes(file)
                if content is not None:
                    size += len(content)
                    found.append(make(parsed(content, file)))
            except UnreadableRecord as unreadable:
                left_out(unreadable)
        self._meter.add(reads=len(files), size=size)
        return found

    def _tasks(self, path: Pathspec) -> Iterator[Pathspec]:
        """Yield the tasks at or below a task, step or run."""
        if self._place.root is None:
            return
        if path.level is Level.TASK:
            yield path
            return
        for name in _names_in(self._directory(path)):
            if name != META:
                yield from self._tasks(path.child(name))

    # Tags

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of a run; see the contract."""
        if self._place.root is None or self._run(run) is None:
            raise MetaflowNotFound(f"Run('{run}') does not exist")
        return retag(f"{self._directory(run)}/{META}/{SELF}", run, change)


def _names_in(directory: str) -> list[str]:
    """Return what is in a directory, in its own order; nothing if there is no such directory.

    Raises:
        UnreadableRecord: no permission, or the disk failed.
    """
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as cause:
        raise UnreadableRecord(directory, str(cause)) from cause


def _first(records: Iterator[Record], limit: int | None) -> Iterator[Record]:
    if limit is None:
        return records
    return (record for record, _ in zip(records, range(limit), strict=False))


def left_out(unreadable: UnreadableRecord) -> None:
    """Warn that a listing goes on without something that cannot be read."""
    warnings.warn(f"Left out of a listing: {unreadable}", MfcWarning, stacklevel=3)

"""Metadata in a `.metaflow` directory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator
from operator import attrgetter

from mfc.errors import MetaflowNotFound, UnreadableRecord
from mfc.hookspecs import Meter, TagChange
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_local import MFC_CAPABILITIES
from mfc_local._json import left_out, names_in, parsed, read_bytes
from mfc_local._root import Place
from mfc_local._runs import run_record, runs
from mfc_local._tasks import META, TaskFiles

SELF = "_self.json"
_created = attrgetter("created")
#: Most runs whose records are kept, for processes that read for months.
_KEPT = 1000


class LocalProvider:
    """The records in one directory of results, to which writers may add all the while.

    Args:
        place: the directory.
        meter: where reads are counted.

    Source:
        Metaflow 2.19, `plugins.metadata_providers.local`.
    """

    capabilities = MFC_CAPABILITIES

    def __init__(self, place: Place, meter: Meter) -> None:
        self._place, self._meter = place, meter
        self._own_location = f":root:{place.root}"
        self.address = place.address
        self._runs: dict[Pathspec, tuple[tuple[int, int, int], Record]] = {}

    def root(self, ds_type: str) -> str | None:
        """Return the directory, which metadata and datastore share."""
        return self._place.root if ds_type in ("local", self._place.kind) else None

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path`; see the contract."""
        if self._place.root is None:
            return None
        level = path.level
        if level is Level.ARTIFACT:
            run = self._run(path.up(Level.RUN))
            return self._task(path.parent).one(path.name, attempt, run)
        if level is Level.RUN:
            return self._run(path)
        run = self._run(path.up(Level.RUN)) if level > Level.RUN else None
        file = f"{self._directory(path)}/{META}/{SELF}"
        content = read_bytes(file)
        self._meter.add(reads=1, size=len(content or b""))
        return None if content is None else Record.of_json(path, parsed(content, file), run)

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records below `path`, newest first; see the contract."""
        if self._place.root is None:
            return iter(())
        if path.level is Level.FLOW:
            return itertools.islice(
                runs(self._directory(path), path, query, self._meter), query.limit
            )
        return itertools.islice(self._below(path, query), query.limit)

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of the tasks at `path`, oldest first in each; see the contract."""
        for task in self._tasks(path, path):
            files = self._task(task)
            try:
                found = files.metadata(names)
            except UnreadableRecord as unreadable:
                _only(task, path, unreadable)
            else:
                yield from found

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of the tasks at `path`, newest first in each; see the contract."""
        run = self._run(path.up(Level.RUN))
        for task in self._tasks(path, path):
            files = self._task(task)
            try:
                if names is None:
                    found = files.artifacts(attempt, run)
                else:
                    found = files.named(set(names), attempt, run)
            except UnreadableRecord as unreadable:
                _only(task, path, unreadable)
            else:
                yield from found

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of a run; see the contract."""
        from mfc_local._tags import retag  # 10 ms, and few clients change tags

        if self._place.root is None or self._run(run) is None:
            raise MetaflowNotFound(f"Run('{run}') does not exist")
        return retag(f"{self._directory(run)}/{META}/{SELF}", run, change)

    def _below(self, path: Pathspec, query: Query) -> list[Record]:
        """Return flows, steps or tasks. Their times are in their files, so all files are read."""
        run = self._run(path.up(Level.RUN)) if path.level >= Level.RUN else None
        directory, child = self._directory(path), path.child
        found: list[Record] = []
        size = 0
        names = names_in(directory)
        if query.names is not None:
            names = [name for name in names if name in query.names]
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

    def _run(self, path: Pathspec) -> Record | None:
        """Return a run's record, reading it again only if its file was replaced."""
        file = f"{self._directory(path)}/{META}/{SELF}"
        try:
            status = os.stat(file)
        except (OSError, UnicodeEncodeError):
            state = None
        else:
            # Files are replaced, never changed in place: a change shows in inode, time or size.
            state = (status.st_ino, status.st_mtime_ns, status.st_size)
            known = self._runs.get(path)
            if known is not None and known[0] == state:
                self._meter.add(cache_hits=1)
                return known[1]
        content = read_bytes(file)
        self._meter.add(reads=1, size=len(content or b""))
        if content is None:
            return None
        record = run_record(path, content, file)
        if state is not None:
            if len(self._runs) >= _KEPT:
                self._runs.clear()
            self._runs[path] = state, record
        return record

    def _directory(self, path: Pathspec) -> str:
        return "/".join((str(self._place.root), *path.components))

    def _task(self, path: Pathspec) -> TaskFiles:
        return TaskFiles(path, self._directory(path), self._own_location, self._meter)

    def _tasks(self, path: Pathspec, wanted: Pathspec) -> Iterator[Pathspec]:
        """Yield the tasks at or below a task, step or run, for a query for `wanted`."""
        if self._place.root is None:
            return
        if path.level is Level.TASK:
            yield path
            return
        try:
            names = names_in(self._directory(path))
        except UnreadableRecord as unreadable:
            _only(path, wanted, unreadable)
            return
        for name in names:
            if name != META:
                yield from self._tasks(path.child(name), wanted)


def _only(path: Pathspec, wanted: Pathspec, unreadable: UnreadableRecord) -> None:
    """Raise if the unreadable record itself is `wanted`; otherwise report it."""
    if path == wanted:
        raise unreadable
    left_out(unreadable)

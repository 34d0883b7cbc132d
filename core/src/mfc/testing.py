"""For tests: a metadata provider in memory, simple enough to be right."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

import attrs

from mfc.errors import MetaflowNotFound
from mfc.hookspecs import Capabilities, Support, TagChange
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query

_AnyRecord = TypeVar("_AnyRecord", bound=Record)


#: What `MemoryProvider` does unless told otherwise: the least that a provider can.
IN_MEMORY = Capabilities(bulk=Support.FULL, retag=Support.FULL)


class MemoryProvider:
    """A complete metadata provider over lists of records.

    It answers no part of a `Query` itself unless told so: the client completes the rest. Of all
    parts, it has no answer to status.

    Args:
        records: flows, runs, steps and tasks; the tags of a run hold for what is below it.
        artifacts: artifact records, of any attempt.
        metadata: metadata records; an attempt counts as finished when `attempt-done` names it.
        capabilities: what it does itself; parts of a query that are not full are ignored.
        address: how it is told from others.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        artifacts: Iterable[ArtifactRecord] = (),
        metadata: Iterable[MetadataRecord] = (),
        *,
        capabilities: Capabilities = IN_MEMORY,
        address: str = "memory@",
    ) -> None:
        self._records = {record.path: record for record in records}
        self._artifacts = list(artifacts)
        self._metadata = list(metadata)
        self.capabilities = capabilities
        self.address = address

    def root(self, ds_type: str) -> str | None:  # noqa: ARG002 - it stores no values
        """Return None: there is no datastore here."""
        return None

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path`; see the contract."""
        if path.level is Level.ARTIFACT:
            return next(self.artifacts(path.parent, (path.name,), attempt), None)
        record = self._records.get(path)
        return None if record is None else self._tagged(record)

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records below `path`, newest first; see the contract."""
        found = [self._tagged(record) for at, record in self._records.items() if _below(at, path)]
        answered = query.only([part for part in query.parts() if self.capabilities.full(part)])
        for test in answered.tests():
            found = [record for record in found if test(record)]
        if answered.metadata is not None:
            found = [record for record in found if self._matches(record.path, *answered.metadata)]
        found.sort(key=lambda record: record.created, reverse=True)
        return iter(found[: answered.limit])

    def _matches(self, task: Pathspec, field: str, pattern: str) -> bool:
        values = [record.value for record in self.metadata(task, (field,))]
        newest = values[-1] if values else None
        return isinstance(newest, str) and re.fullmatch(pattern, newest) is not None

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of the tasks at `path`, oldest first; see the contract."""
        found = [
            record
            for record in self._metadata
            if record.task.up(path.level) == path and (names is None or record.name in names)
        ]
        return iter(sorted(found, key=lambda record: record.created))

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of the tasks at `path`, newest first; see the contract."""
        done = {r.task: int(r.value) for r in self.metadata(path, ("attempt-done",))}
        found = [
            self._tagged(record)
            for record in self._artifacts
            if record.path.up(path.level) == path
            and (names is None or record.path.name in names)
            and record.attempt == (done.get(record.path.parent) if attempt is None else attempt)
        ]
        return iter(sorted(found, key=lambda record: record.created, reverse=True))

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of a run; see the contract."""
        record = self._records.get(run)
        if record is None:
            raise MetaflowNotFound(f"Run('{run}') does not exist")
        tags = change(record.tags, record.system_tags)
        self._records[run] = attrs.evolve(record, tags=tags)
        return tags

    def _tagged(self, record: _AnyRecord) -> _AnyRecord:
        run = self._records.get(record.path.up(Level.RUN))
        if run is None or record.path.level <= Level.RUN:
            return record
        return attrs.evolve(record, tags=run.tags, system_tags=run.system_tags)


def _below(path: Pathspec, parent: Pathspec) -> bool:
    return path.level == parent.level + 1 and path.parent == parent

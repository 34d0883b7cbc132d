"""A metadata provider in memory, simple enough to be the model for all others."""

from __future__ import annotations

import copy
import itertools
import re
import threading
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from typing import TypeVar

import attrs

from mfc.errors import MetaflowNotFound, MetaflowTaggingError
from mfc.hookspecs import Capabilities, Meter, Support, TagChange
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_testing.history import History

_AnyRecord = TypeVar("_AnyRecord", bound=Record)

#: Default capabilities of `MemoryProvider`: the least that a provider can have.
IN_MEMORY = Capabilities(bulk=Support.FULL, retag=Support.FULL)


class MemoryProvider:
    """A complete metadata provider over lists of records.

    It does exactly what its capabilities say: parts of a `Query` that are not full are ignored;
    without order, children come as they were put; without attempts, only the last one is known;
    without bulk, a step or run has no answer; without retag, tags cannot be changed. The client
    completes the rest. The status in a query is never answered here.

    Args:
        records: flows, runs, steps and tasks; the tags of a run hold for what is below it.
        artifacts: artifact records, of any attempt.
        metadata: metadata records; an attempt counts as finished when `attempt-done` names it.
        capabilities: the parts of the contract that it implements.
        address: identifies the provider.
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
        self._lock = threading.RLock()
        self.capabilities = capabilities
        self.address = address

    def put(self, history: History) -> None:
        """Add records; those of a path that is known already replace it."""
        with self._lock:
            self._records.update((record.path, record) for record in history.records)
            self._artifacts.extend(history.artifacts)
            self._metadata.extend(history.metadata)

    def known(self, below: Pathspec) -> list[Pathspec]:
        """Return the paths of all flows, runs, steps and tasks below a path, in no order."""
        with self._lock:
            return [at for at in self._records if at != below and at.up(below.level) == below]

    def root(self, ds_type: str) -> str | None:  # noqa: ARG002 - no values are stored
        """Return None: memory holds no datastore."""
        return None

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path`; see the contract."""
        if path.level is Level.ARTIFACT:
            return next(self.artifacts(path.parent, (path.name,), attempt), None)
        with self._lock:
            record = self._records.get(path)
            return None if record is None else self._tagged(record)

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records below `path`, newest first; see the contract."""
        full = self.capabilities.full
        with self._lock:
            records = list(self._records.items())
            found = [self._tagged(record) for at, record in records if _below(at, path)]
        answered = query.only([part for part in query.parts() if full(part)])
        for test in answered.tests():
            found = [record for record in found if test(record)]
        if answered.metadata is not None:
            found = [record for record in found if self._matches(record.path, *answered.metadata)]
        if full("order"):
            found.sort(key=attrgetter("created"), reverse=True)
        return iter(found[: answered.limit])

    def _matches(self, path: Pathspec, field: str, pattern: str) -> bool:
        if path.level is not Level.TASK:
            return False
        values = [record.value for record in self._metadata_of(path, (field,))]
        return any(isinstance(v, str) and re.fullmatch(pattern, v) for v in values)

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of the tasks at `path`, oldest first; see the contract."""
        return iter(self._metadata_of(path, names) if self._answers(path) else ())

    def _metadata_of(self, path: Pathspec, names: Collection[str] | None) -> list[MetadataRecord]:
        with self._lock:
            found = [
                record
                for record in self._metadata
                if record.task.up(path.level) == path and (names is None or record.name in names)
            ]
        return sorted(found, key=attrgetter("created"))

    def recent(self, run: Pathspec, since: int) -> Iterator[MetadataRecord]:
        """Yield the metadata of a run that was registered at `since` (ms) or later."""
        found = [record for record in self._metadata_of(run, None) if record.created >= since]
        return iter(sorted(found, key=lambda record: record.created, reverse=True))

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of the tasks at `path`, newest first; see the contract."""
        if not self._answers(path):
            return iter(())
        if not self.capabilities.full("attempts"):
            attempt = None
        done = {r.task: int(r.value) for r in self._metadata_of(path, ("attempt-done",))}
        with self._lock:
            found = [
                self._tagged(record)
                for record in self._artifacts
                if record.path.up(path.level) == path
                and (names is None or record.path.name in names)
                and record.attempt == (done.get(record.path.parent) if attempt is None else attempt)
            ]
        return iter(sorted(found, key=attrgetter("created"), reverse=True))

    def _answers(self, path: Pathspec) -> bool:
        return path.level is Level.TASK or self.capabilities.full("bulk")

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of a run; see the contract."""
        with self._lock:
            record = self._records.get(run)
            if record is None:
                raise MetaflowNotFound(f"Run('{run}') does not exist")
            if not self.capabilities.full("retag"):
                raise MetaflowTaggingError(f"Tags at {self.address} cannot be changed")
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


class MemoryBackend:
    """A place with records in this process; its providers are all of one kind.

    Args:
        made: the first provider; records are put into its lists, which all others share.
    """

    _numbers = itertools.count()

    def __init__(self, made: MemoryProvider | None = None) -> None:
        self._first = made if made is not None else MemoryProvider()
        self._first.address = f"memory@{next(self._numbers)}"

    def provider(self, meter: Meter) -> MemoryProvider:  # noqa: ARG002 - memory costs no reads
        """Return another provider over the same lists."""
        return copy.copy(self._first)

    def put(self, history: History) -> None:
        """Add records to the lists."""
        self._first.put(history)

"""A wrapper around a metadata provider that counts calls and adds missing capabilities."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mfc._concurrency._forks import fork_safe
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record, Stats, is_name
from mfc.query import Query

if TYPE_CHECKING:
    from mfc.hookspecs import Capabilities, MetadataProvider, TagChange

#: Query parts evaluated by the objects: they need more than a record and a provider.
_OF_OBJECTS = frozenset({"status"})


#: Default of `Patient.patience`, in seconds.
_PATIENCE = 60.0


#: Returns the metadata of a run that was registered at a time (ms) or later.
Lately = Callable[[Pathspec, int], Iterator[MetadataRecord]]


def recent_of(provider: MetadataProvider) -> Lately | None:
    """Return the function that finds recent metadata; None where that is not cheap."""
    return provider.recent if isinstance(provider, CompletedProvider) else None


def patience_of(provider: MetadataProvider) -> float:
    """Return how long a backend may be away before following a log gives up, in seconds."""
    found: float = getattr(provider, "patience", _PATIENCE)
    return found


class Counter:
    """A thread-safe `Meter`."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.Lock())
        self._calls = self._reads = self._bytes = self._hits = 0

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        """Count the cost of reading."""
        with self._lock:
            self._reads += reads
            self._bytes += size
            self._hits += cache_hits

    def call(self) -> None:
        """Count a call of the metadata provider."""
        with self._lock:
            self._calls += 1

    def snapshot(self) -> Stats:
        """Return the counts so far."""
        with self._lock:
            return Stats(self._calls, self._reads, self._bytes, self._hits)


class CompletedProvider:
    """A provider with every capability, around one that may lack some.

    Only status is left to the caller: it needs values.
    """

    def __init__(self, provider: MetadataProvider, counter: Counter) -> None:
        self._provider, self._counter = provider, counter
        self.address: str = provider.address
        self.capabilities: Capabilities = provider.capabilities
        self.root = provider.root
        self._newest_first = self.capabilities.full("order")
        self._bulk = self.capabilities.full("bulk")
        self._attempts = self.capabilities.full("attempts")

    @property
    def recent(self) -> Lately | None:
        """The function that finds recent metadata; None where that is not cheap."""
        ask: Lately | None = getattr(self._provider, "recent", None)
        if ask is None:
            return None

        def lately(run: Pathspec, since: int) -> Iterator[MetadataRecord]:
            self._counter.call()
            return (record for record in ask(run, since) if record.created >= since)

        return lately

    @property
    def patience(self) -> float:
        """How long the backend may be away, in seconds; see `Patient`."""
        return patience_of(self._provider)

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path`; see the contract."""
        self._counter.call()
        found = self._provider.get(path, attempt)
        if attempt is None or self._attempts or not isinstance(found, ArtifactRecord):
            return found
        return found if found.attempt == attempt else None

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records below `path` that match `query` except for status, newest first."""
        self._counter.call()
        left = {part for part in query.parts() if not self.capabilities.full(part)}
        if not left and self._newest_first:
            return self._provider.children(path, query)
        helpful = {part for part in query.parts() if self.capabilities.useful(part)}
        found = self._provider.children(path, query.only(helpful - {"limit"}))
        for test in query.only(left).tests():
            found = filter(test, found)
        if "metadata" in left and query.metadata is not None:
            found = self._with_metadata(path, found, *query.metadata)
        if not self._newest_first:
            found = iter(sorted(found, key=attrgetter("created"), reverse=True))
        if left & _OF_OBJECTS or query.limit is None:
            return found
        return itertools.islice(found, query.limit)

    def _with_metadata(
        self, path: Pathspec, found: Iterator[Record], field: str, pattern: str
    ) -> Iterator[Record]:
        """Yield the tasks of a step with a matching value of `field`."""
        if path.level is not Level.STEP:
            return
        matches = re.compile(pattern).fullmatch
        matching = {
            record.task
            for record in self.metadata(path, (field,))
            if isinstance(record.value, str) and matches(record.value)
        }
        yield from (task for task in found if task.path in matching)

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of a task, or of all tasks of a step or run; see the contract."""
        self._counter.call()
        if self._bulk or path.level is Level.TASK:
            return self._provider.metadata(path, names)
        return self._of_tasks(path, lambda task: self._provider.metadata(task, names))

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of a task, or of all tasks of a step or run; see the contract."""
        self._counter.call()
        if names is not None:
            names = [name for name in names if is_name(name)]
        if self._bulk or path.level is Level.TASK:
            found = self._provider.artifacts(path, names, attempt)
        else:
            found = self._of_tasks(path, lambda t: self._provider.artifacts(t, names, attempt))
        if attempt is None or self._attempts:
            return found
        return (record for record in found if record.attempt == attempt)

    def _of_tasks(self, path: Pathspec, ask: Callable[[Pathspec], Iterator[Any]]) -> Iterator[Any]:
        """Yield the answers of `ask` for every task below a step or run, one after the other."""
        for child in self._provider.children(path, Query()):
            if child.path.level is Level.TASK:
                yield from ask(child.path)
            else:
                yield from self._of_tasks(child.path, ask)

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of a run; see the contract."""
        self._counter.call()
        return self._provider.retag(run, change)

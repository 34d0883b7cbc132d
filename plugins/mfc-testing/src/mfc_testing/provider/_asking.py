"""The base of a provider's clauses: running queries, and the model for comparison."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar, cast

import attrs
import pytest

from mfc.hookspecs import Capabilities, MetadataProvider, Recent, Support, TagChange
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_testing._contract import ContractTests, ask, plain
from mfc_testing._example import example
from mfc_testing.history import Backend, History, recordable
from mfc_testing.memory import MemoryProvider

#: Most characters of a path that are shown.
_LONG = 120
NewBackend = Callable[[], Backend]
#: Capabilities of a provider that implements the whole contract except status.
EVERYTHING = Capabilities(
    **{field.name: Support.FULL for field in attrs.fields(Capabilities) if field.name != "status"}
)


class ReadMeter:
    """A `Meter` that adds up reads and bytes."""

    def __init__(self) -> None:
        self.reads = self.size = 0
        self._lock = threading.Lock()

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:  # noqa: ARG002
        """Count."""
        with self._lock:
            self.reads += reads
            self.size += size


class Asked:
    """A provider, wrapped so that failures show the call.

    Answers are lists; the iterators have a clause of their own.
    """

    def __init__(self, provider: MetadataProvider) -> None:
        self.provider = provider
        self.capabilities = provider.capabilities

    def children(self, path: Pathspec, query: Query | None = None) -> list[Record]:
        """Return all that `children` yields."""
        query = query or Query()
        return ask(shown_listing(path, query), lambda: _list(self.provider.children(path, query)))

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the result of `get`."""
        given = f"get({_cut(path)}, {attempt})"
        return ask(given, lambda: plain(self.provider.get(path, attempt)))

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> list[MetadataRecord]:
        """Return all that `metadata` yields."""
        given = f"metadata({str(path)!r}, {names})"
        return ask(given, lambda: _list(self.provider.metadata(path, names)))

    def recent(self, run: Pathspec, since: int) -> list[MetadataRecord]:
        """Return all that `recent` yields, for providers that have it."""
        given = f"recent({str(run)!r}, {since})"
        return ask(given, lambda: _list(cast("Recent", self.provider).recent(run, since)))

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> list[ArtifactRecord]:
        """Return all that `artifacts` yields."""
        given = f"artifacts({str(path)!r}, {names}, {attempt})"
        return ask(given, lambda: _list(self.provider.artifacts(path, names, attempt)))

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Return the result of `retag`."""
        return ask(f"retag({str(run)!r}, …)", lambda: self.provider.retag(run, change))

    def everything(self, path: Pathspec = Pathspec()) -> list[Record]:  # noqa: B008 - frozen
        """Return all records at and below `path`, down to tasks."""
        found = []
        for record in self.children(path):
            found.append(record)
            if record.path.level < Level.TASK:
                found += self.everything(record.path)
        return found


def _cut(path: Pathspec) -> str:
    text = repr(str(path))
    return text if len(text) < _LONG else f"{text[:_LONG]}…"


def _list(found: Iterable[object] | None) -> list:  # type: ignore[type-arg]
    return [plain(record) for record in found or ()]


def shown_listing(path: Pathspec, query: Query) -> str:
    """Return a call of `children` as text, without empty query parts."""
    parts = ", ".join(f"{part}={getattr(query, part)!r}" for part in sorted(query.parts()))
    return f"children({str(path)!r}, Query({parts}))"


def model_of(history: History) -> MemoryProvider:
    """Return the model provider of a history."""
    return MemoryProvider(
        history.records, history.artifacts, history.metadata, capabilities=EVERYTHING
    )


def paths(records: Iterable[Record]) -> list[str]:
    """Return the paths of records as text, in their order."""
    return [str(record.path) for record in records]


@contextmanager
def quietly() -> Iterator[None]:
    """Ignore warnings: a provider may report what it leaves out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class ProviderClauses(ContractTests):
    """Fixtures and helpers of a provider's clauses."""

    #: Name of the plugin's module; None if no plugin serves this provider.
    module: ClassVar[str | None] = None
    #: Most reads for the first of a thousand runs. Explain a larger number.
    reads_for_first: ClassVar[int] = 8
    #: Whether reads are counted; False for a provider in memory.
    metered: ClassVar[bool] = True
    #: Whether two processes see the same place; False for a provider in memory.
    shared_by_processes: ClassVar[bool] = True
    #: Modules of its own that importing the plugin's module may load.
    modules_on_import: ClassVar[int] = 5
    #: Seconds in which one change of tags is surely done without other writers.
    patience: ClassVar[float] = 0.2
    #: Number of random histories.
    examples: ClassVar[int] = 20

    @pytest.fixture
    def new_backend(self) -> NewBackend:
        """Return a function that makes an empty backend each time."""
        raise NotImplementedError("give the fixture `new_backend`: a function that makes a Backend")

    def given(
        self, new_backend: NewBackend, history: History | None = None
    ) -> tuple[Backend, Asked, MemoryProvider]:
        """Return a backend with a history in it, its provider, and the history's model."""
        backend = new_backend()
        wanted = example() if history is None else history
        history = ask("recordable, of the backend", lambda: recordable(backend, wanted))
        ask("put, of the backend", lambda: backend.put(history))
        return backend, self.asked(backend), model_of(history)

    def asked(self, backend: Backend, meter: ReadMeter | None = None) -> Asked:
        """Return another provider of a backend."""
        return Asked(
            ask("provider, of the backend", lambda: backend.provider(meter or ReadMeter()))
        )

    def can_retag(self, asked: Asked) -> None:
        """Skip where tags are declared unchangeable."""
        if not asked.capabilities.useful("retag"):
            pytest.skip("retag is declared unsupported")

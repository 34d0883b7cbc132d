"""Random histories on a provider and on `MemoryProvider`, compared as the client sees them.

from hypothesis.stateful import run_state_machine_as_test
run_state_machine_as_test(machine_of(new_backend))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mfc import Client
from mfc.hookspecs import MetadataProvider
from mfc.model import ArtifactRecord, Level, Pathspec, Record
from mfc.query import Query
from mfc_testing import strategies
from mfc_testing._contract import ask, equal, holds, plain
from mfc_testing._example import STEP, T, example, finished
from mfc_testing.history import Backend, History, recordable
from mfc_testing.memory import MemoryProvider
from mfc_testing.provider._asking import ReadMeter, paths, shown_listing

#: Queries of one listing between two events.
_QUESTIONS = 5


def machine_of(new_backend: Callable[[], Backend]) -> type[RuleBasedStateMachine]:
    """Return a state machine that runs on a new backend each time."""
    return type("Histories", (_Histories,), {"new_backend": staticmethod(new_backend)})


def completed(provider: MetadataProvider) -> MetadataProvider:
    """Return a provider as the client sees it, with missing capabilities completed."""
    return Client(provider, namespace=None).provider


class _Histories(RuleBasedStateMachine):
    """One place that is written and read, and its model."""

    new_backend: Callable[[], Backend]

    @initialize(history=strategies.histories())
    def begin(self, history: History) -> None:
        self.backend = type(self).new_backend()
        self.model = MemoryProvider()
        self.paths: dict[Level, list[Pathspec]] = {level: [] for level in Level}
        self.paths[Level.ROOT].append(Pathspec())
        self.seen: set[tuple[Any, ...]] = set()
        self.ends: Counter[Pathspec] = Counter()
        #: When the last attempt of each task ended, in milliseconds after T.
        self.ended: dict[Pathspec, int] = {}
        provider = self.backend.provider(ReadMeter())
        self.can_retag = provider.capabilities.useful("retag")
        self.subject, self.truth = completed(provider), completed(self.model)
        self._put(example())
        if not {*self.paths[Level.FLOW]} & {record.path for record in history.records}:
            self._put(history)

    def _put(self, history: History) -> None:
        history = recordable(self.backend, history)
        self.backend.put(history)
        self.model.put(history)
        for record in history.records:
            self.paths[record.path.level].append(record.path)
        self.seen.update((r.path, r.attempt) for r in history.artifacts)
        self.seen.update((r.task, r.name, r.created) for r in history.metadata)
        for noted in history.metadata:
            if noted.name == "attempt-done":
                self.ends[noted.task] += 1
                ended = max(noted.created - T, self.ended.get(noted.task, 0))
                self.ended[noted.task] = ended

    def _some(self, data: st.DataObject, *levels: Level) -> Pathspec:
        known = [path for level in levels for path in self.paths[level]]
        return data.draw(st.sampled_from(known) if known else strategies.pathspecs(levels[0]))

    @rule(data=st.data(), level=st.sampled_from([Level.RUN, Level.STEP, Level.TASK]))
    def record(self, data: st.DataObject, level: Level) -> None:
        """Add a run, step or task."""
        parents = self.paths[Level(level - 1)]
        if not parents:
            return
        path = data.draw(st.sampled_from(parents)).child(data.draw(strategies.names()))
        if path in self.paths[level]:
            return
        made = attrs.evolve(data.draw(strategies.records(level)), path=path)
        self._put(History([made]))

    @precondition(lambda self: self.paths[Level.TASK])
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """Record a task's artifacts and metadata, and perhaps the end of an attempt."""
        task = self._some(data, Level.TASK)
        made = data.draw(strategies.artifact_records(task))
        noted = data.draw(strategies.metadata_records(task))
        history = History()
        if (made.path, made.attempt) not in self.seen:
            history += History((), (made,))
        if (task, noted.name, noted.created) not in self.seen:
            history += History((), (), (noted,))
        if self.ends[task] < 6 and data.draw(st.booleans()):  # noqa: PLR2004 - attempts end at 5
            marks = self.finish(task)
            kept = [r for r in marks.artifacts if (r.path, r.attempt) not in self.seen]
            history += History((), kept, marks.metadata)
        self._put(history)

    def finish(self, task: Pathspec) -> History:
        """Return the end of a task's next attempt: attempts end in the order of their numbers."""
        return finished(task, max(1_000, self.ended.get(task, 0)) + 100, self.ends[task])

    @precondition(lambda self: self.can_retag and self.paths[Level.RUN])
    @rule(data=st.data(), tags=strategies.tags())
    def retag(self, data: st.DataObject, tags: frozenset[str]) -> None:
        """Change the tags of a run."""
        run = self._some(data, Level.RUN)
        given = f"retag({str(run)!r}, …)"

        def change(before: frozenset[str], system: frozenset[str]) -> frozenset[str]:
            # Users may not add or remove Metaflow's own tags.
            return before ^ (tags - system)

        expected = self.truth.retag(run, change)
        got = ask(given, lambda: self.subject.retag(run, change))
        equal(given, expected, got)

    @rule(data=st.data())
    def list(self, data: st.DataObject) -> None:
        """List children, with random queries."""
        level = data.draw(st.sampled_from(list(Level)[: Level.TASK]))
        path = data.draw(st.sampled_from([STEP, self._some(data, level)]))
        known = [*self.truth.children(path, Query())]
        queries = strategies.queries(known, tasks=path.level is Level.STEP)
        for query in data.draw(st.lists(queries, min_size=1, max_size=_QUESTIONS)):
            expected = [*self.truth.children(path, attrs.evolve(query, limit=None))]
            given = shown_listing(path, query)
            got = ask(given, partial(_listed, self.subject, path, query))
            same_listing(given, expected, got, query)

    @rule(data=st.data(), attempt=st.none() | st.integers(0, 2))
    def get(self, data: st.DataObject, attempt: int | None) -> None:
        """Get a record, including an artifact's."""
        path = self._some(data, Level.FLOW, Level.RUN, Level.STEP, Level.TASK)
        if path.level is Level.TASK and data.draw(st.booleans()):
            known = [str(seen[0].name) for seen in self.seen if _is_artifact(seen, path)]
            path = path.child(data.draw(st.sampled_from([*known, "absent", "_task_ok"])))
        elif data.draw(st.booleans()):
            path = path.parent.child(data.draw(strategies.names()))
        given = f"get({str(path)!r}, {attempt})"
        expected = self.truth.get(path, attempt)
        got = ask(given, lambda: self.subject.get(path, attempt))
        if self.subject.capabilities.full("attempts") or attempt is None:
            equal(given, expected, got)

    @rule(data=st.data(), named=st.booleans(), attempt=st.none() | st.integers(0, 2))
    def read(self, data: st.DataObject, named: bool, attempt: int | None) -> None:  # noqa: FBT001
        """Read artifacts and metadata of a task, a step or a run."""
        path = self._some(data, Level.TASK, Level.STEP, Level.RUN)
        names = ("x", "_task_ok", "kind", "attempt-done") if named else None
        given = f"metadata({str(path)!r}, {names})"
        expected = self.truth.metadata(path, names)
        got = ask(given, lambda: list(self.subject.metadata(path, names)))
        equal(given, sorted(expected, key=str), sorted(got, key=str))
        if not self.subject.capabilities.full("attempts"):
            attempt = None
        given = f"artifacts({str(path)!r}, {names}, {attempt})"
        made = self.truth.artifacts(path, names, attempt)
        found = ask(given, lambda: list(self.subject.artifacts(path, names, attempt)))
        equal(given, sorted(made, key=_placed), sorted(found, key=_placed))


def same_listing(
    given: str, expected: Sequence[Record], got: Sequence[Record], query: Query
) -> None:
    """Compare a listing with the model's, given without limit; ties may come in any order.

    Raises:
        ClauseBroken: they differ.
    """
    __tracebackhide__ = True
    right = expected[: query.limit]
    times = [record.created for record in right]
    equal(f"times of {given}", times, [record.created for record in got])
    strange = [record for record in got if record not in expected]
    holds(not strange, given, paths(right), strange)
    equal(f"{given}, each once", len(got), len({record.path for record in got}))


def _listed(provider: MetadataProvider, path: Pathspec, query: Query) -> list[Record]:
    return [plain(record) for record in provider.children(path, query)]


def _placed(record: ArtifactRecord) -> tuple[tuple[str, ...], int]:
    return record.path.components, record.attempt


def _is_artifact(seen: tuple[Any, ...], task: Pathspec) -> bool:
    return len(seen) == 2 and seen[0].parent == task  # noqa: PLR2004 - path and attempt

"""Bulk loading of values: of artifacts, or of the named artifacts of tasks, in order."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from mfc._concurrency._calls import Limits, Outcome, SideBySide, in_order
from mfc._concurrency._prefetch import caught, side_by_side
from mfc._recorded._values import value_of
from mfc._session._reader import Reader
from mfc._session._scope import Scope
from mfc._storage._blob import Fetched, Planned, size_of
from mfc._storage._files import BEGINNING
from mfc._storage._spool import Held
from mfc.errors import (
    ArtifactNotFound,
    MetaflowException,
    MetaflowNamespaceMismatch,
    visible,
)
from mfc.hookspecs import MetadataProvider
from mfc.model import ArtifactRecord, Pathspec

T = TypeVar("T")

#: Tasks of a step whose artifacts are read singly before those of the whole step are.
_ALONE = 2
#: Maximum size of a batch of items.
_MOST = 256


class ArtifactAt(NamedTuple):
    """An artifact to load."""

    scope: Scope
    record: ArtifactRecord


class TaskAt(NamedTuple):
    """A task whose artifacts are loaded by name."""

    scope: Scope
    path: Pathspec
    attempt: int | None

    @property
    def where(self) -> _Where:
        """The arguments of the provider for the artifacts of this task."""
        return _Where(self.scope.provider, self.path, self.attempt)

    def __str__(self) -> str:
        attempt = "" if self.attempt is None else f", attempt={self.attempt}"
        return f"Task('{visible(str(self.path))}'{attempt})"


class TasksBelow(NamedTuple):
    """A step or run whose tasks come next: one call may return all their artifacts."""

    scope: Scope
    path: Pathspec


#: An error stands for an item that cannot be loaded.
Item = ArtifactAt | TaskAt | TasksBelow | MetaflowException


def values(
    items: Iterator[Item],
    names: tuple[str, ...],
    limits: Callable[[], Limits],
    tell: Callable[[int], object],
    *,
    failed: Callable[[MetaflowException], Any] | None = None,
) -> Generator[Any, None, None]:
    """Yield the values of artifacts, or of the artifacts `names` of tasks.

    Args:
        items: artifacts, or tasks where there are names.
        names: names of the artifacts of each task; several give tuples.
        limits: returns the bounds on reading where items have no client.
        tell: called with the number of items done, after each.
        failed: returns what is yielded in place of a value, given its error; without it, errors
            are raised.
    """
    width = max(len(names), 1)
    with _Values(_slots(items, names), limits, failed) as found:
        for done in itertools.count(1):
            row = list(itertools.islice(found, width))
            if not row:
                return
            tell(done)
            yield row[0] if width == 1 else tuple(row)


class _Where(NamedTuple):
    """The arguments of a call for artifacts: of a task, or of all tasks of a step or run."""

    provider: MetadataProvider
    path: Pathspec
    attempt: int | None = None

    def up(self) -> _Where:
        return _Where(self.provider, self.path.parent, self.attempt)


class Slot(NamedTuple):
    """The place of a value in the result: an artifact, or its error."""

    artifact: ArtifactAt | None
    error: MetaflowException | None = None


def _slots(items: Iterator[Item], names: tuple[str, ...]) -> Iterator[list[Slot]]:
    """Yield slots in batches: one for each artifact, or one for each name of each task."""
    finder = _Finder(names)
    for some in _growing(finder.learned(items)):
        finder.find([item for item in some if isinstance(item, TaskAt)])
        slots: list[Slot] = []
        for item in some:
            if isinstance(item, TaskAt):
                slots += finder.slots(item)
            elif isinstance(item, ArtifactAt):
                slots.append(Slot(item))
            else:
                slots += [Slot(None, item)] * max(len(names), 1)
        yield slots


def _growing(items: Iterator[T]) -> Iterator[list[T]]:
    """Yield batches of 1, 2, 4 … items; an error of their source is raised after the last."""
    number = 1
    while True:
        some: list[T] = []
        try:
            for item in itertools.islice(items, number):
                some.append(item)  # noqa: PERF402 - those before a failure count
        except Exception:
            yield some
            raise
        if not some:
            return
        yield some
        number = min(number * 2, _MOST)


class _Finder:
    """Finds artifacts of tasks, with few calls where each waits for a network.

    Args:
        names: names of the artifacts.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._tasks: Counter[_Where] = Counter()
        #: Tasks, steps and runs whose artifacts were asked for, with the error of the call, if any.
        self._learned: dict[_Where, Exception | None] = {}
        self._found: dict[_Where, dict[str, ArtifactRecord]] = {}
        #: Tasks whose artifacts were used.
        self._given: set[_Where] = set()

    def learned(self, items: Iterator[Item]) -> Iterator[ArtifactAt | TaskAt | MetaflowException]:
        """Yield artifacts, tasks and errors; for steps and runs, read all artifacts in bulk."""
        for item in items:
            if not isinstance(item, TasksBelow):
                yield item
            elif _wide(item.scope):
                self._ask([(item.scope, _Where(item.scope.provider, item.path))])

    def find(self, tasks: list[TaskAt]) -> None:
        """Find the artifacts of some tasks, with one call for many tasks of a step."""
        questions: dict[_Where, Scope] = {}
        unknown = [t for t in tasks if t.scope.remote and not self._knows(t.where)]
        self._tasks.update(task.where.up() for task in unknown)
        for task in unknown:
            many = _wide(task.scope) and self._tasks[task.where.up()] > _ALONE
            questions[task.where.up() if many else task.where] = task.scope
        self._ask([(scope, where) for where, scope in questions.items()])

    def _knows(self, where: _Where) -> bool:
        if where in self._given:
            return False
        above = (where, where.up(), where.up().up())
        return where in self._found or any(one in self._learned for one in above)

    def _ask(self, questions: list[tuple[Scope, _Where]]) -> None:
        answers = side_by_side(caught(lambda q: self._answer(*q)), questions)
        for (_, where), (found, error) in zip(questions, answers, strict=True):
            self._learned[where] = error
            for path, artifacts in (found or {}).items():
                task = where._replace(path=path)
                self._found[task] = artifacts
                self._given.discard(task)

    def _answer(self, scope: Scope, where: _Where) -> dict[Pathspec, dict[str, ArtifactRecord]]:
        found: dict[Pathspec, dict[str, ArtifactRecord]] = {}
        for record in scope.provider.artifacts(where.path, self._names, where.attempt):
            found.setdefault(record.path.parent, {})[record.path.name] = record
        return found

    def slots(self, task: TaskAt) -> Iterator[Slot]:
        """Yield a slot for each name."""
        scope = task.scope
        found, problem = self._known(task) if scope.remote else self._alone(scope, task.where)
        if problem is not None and not isinstance(problem, MetaflowException):
            raise problem
        for name in self._names:
            record, trouble = found.get(name), problem
            if record is None and trouble is None and not scope.remote:
                record, trouble = _asked_alone(scope, task.where, name)
            if trouble is not None:
                yield Slot(None, trouble)
            elif record is None:
                yield Slot(None, ArtifactNotFound(str(task), name))
            elif not scope.sees(record):
                yield Slot(None, MetaflowNamespaceMismatch(scope.namespace, str(record.path)))
            else:
                yield Slot(ArtifactAt(scope, record))

    def _alone(
        self, scope: Scope, where: _Where
    ) -> tuple[dict[str, ArtifactRecord], Exception | None]:
        """Find the artifacts of one task at a local provider."""
        try:
            return self._answer(scope, where).get(where.path, {}), None
        except Exception as error:  # noqa: BLE001 - raised where it belongs
            return {}, error

    def _known(self, task: TaskAt) -> tuple[dict[str, ArtifactRecord], Exception | None]:
        """Return the artifacts found for a task, or the error of the call."""
        where = task.where
        if not self._knows(where):
            self._ask([(task.scope, where)])
        self._given.add(where)
        problems = (self._learned.get(at) for at in (where, where.up(), where.up().up()))
        return self._found.pop(where, {}), next(filter(None, problems), None)


def _asked_alone(
    scope: Scope, where: _Where, name: str
) -> tuple[ArtifactRecord | None, MetaflowException | None]:
    """Look up an artifact that its task's listing lacks: its record may be unreadable."""
    try:
        record = scope.provider.get(where.path.child(name), where.attempt)
    except MetaflowException as unreadable:
        return None, unreadable
    return record if isinstance(record, ArtifactRecord) else None, None


def _wide(scope: Scope) -> bool:
    """Tell whether one call for a step is better than one for each task."""
    return scope.remote and scope.provider.capabilities.full("bulk")


class _Values(Iterator[Any]):
    """The values of slots, with prefetch.

    Args:
        some: the slots, in batches.
        limits: returns the bounds on reading where items have no client.
        failed: returns what is yielded in place of a value, given its error; None raises it.
    """

    def __init__(
        self,
        some: Iterator[list[Slot]],
        limits: Callable[[], Limits],
        failed: Callable[[MetaflowException], Any] | None,
    ) -> None:
        first = next(some, [])
        reader = _reader_of(first[0]) if first else None
        bounds = limits() if reader is None else reader.datastore.limits
        calls: SideBySide[Fetched | None] = SideBySide(
            bounds, BEGINNING, size_of, keep=bounds.memory / 4
        )
        planned = (plan for slots in itertools.chain((first,), some) for plan in _planned(slots))
        self._read = in_order(planned, _call_of, calls)
        self._failed = failed
        #: The identity of the last large content, and the content: the next one may be the same.
        self._large: tuple[Any, Held] | None = None

    def __enter__(self) -> _Values:
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close()
        self._keep(None)

    def __next__(self) -> Any:
        (slot, planned), outcome = next(self._read)
        try:
            if slot.artifact is None:
                raise slot.error or MetaflowException()
            scope, record = slot.artifact
            return value_of(scope, record, partial(self._held, scope, record, planned, outcome))
        except MetaflowException as error:
            if self._failed is None:
                raise
            return self._failed(error)

    def _held(
        self,
        scope: Scope,
        record: ArtifactRecord,
        planned: Planned | None,
        outcome: Outcome[Fetched | None] | None,
    ) -> Held:
        if planned is not None and planned.content is not None:
            return Held(planned.content)
        datastore = scope.reader.datastore
        wanted = planned.wanted if planned else scope.reader.wanted(record, scope.provider)
        # A forked child shares the file's position with its parent.
        which = (os.getpid(), datastore, wanted.where, wanted.key)
        if self._large is not None and self._large[0] == which:
            return self._large[1].lent()
        held = datastore.held(wanted) if outcome is None else datastore.received(wanted, outcome)
        if held.file is None:
            return held
        self._keep((which, held))
        return held.lent()

    def _keep(self, large: tuple[Any, Held] | None) -> None:
        if self._large is not None:
            self._large[1].close()
        self._large = large


def _planned(slots: list[Slot]) -> Iterator[tuple[Slot, Planned | None]]:
    """Yield slots, each with its prefetch plan."""
    for reader, some in itertools.groupby(slots, _reader_of):
        these = list(some)
        if reader is None:
            yield from ((slot, None) for slot in these)
            continue
        artifacts = [slot.artifact for slot in these if slot.artifact is not None]
        asked = [(artifact.record, artifact.scope.provider) for artifact in artifacts]
        yield from zip(these, reader.ahead(asked), strict=True)


def _reader_of(slot: Slot) -> Reader | None:
    return None if slot.artifact is None else slot.artifact.scope.reader


def _call_of(
    item: tuple[Slot, Planned | None],
) -> tuple[Hashable, Callable[[], Fetched | None]] | None:
    return None if item[1] is None else item[1].call

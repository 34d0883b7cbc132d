"""Many values at once: of artifacts, or of tasks by name, in order, as they are consumed."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sized
from functools import partial
from typing import Any, NamedTuple

from mfc._arguments import members, one_of, texts
from mfc._bulk._progress import Progress, reporter
from mfc._concurrency._calls import Outcome, SideBySide, in_order
from mfc._concurrency._prefetch import _caught, side_by_side
from mfc._objects._artifact import DataArtifact
from mfc._objects._client import current_client
from mfc._objects._run import Run
from mfc._objects._step import Step
from mfc._objects._task import Task
from mfc._session._reader import Reader
from mfc._session._scope import Scope
from mfc._storage._blob import Fetched, Planned, size_of
from mfc._storage._files import BEGINNING
from mfc._storage._spool import Held
from mfc.errors import (
    ArtifactNotFound,
    BadArgument,
    MetaflowException,
    MetaflowNamespaceMismatch,
)
from mfc.hookspecs import MetadataProvider
from mfc.model import ArtifactRecord, Pathspec

#: Tasks of a step that are asked for their artifacts one by one before all of the step are.
_ALONE = 2
#: Tasks that are thought of at once, at most.
_MOST = 256
_EXPECTED = "tasks with names, load(step, 'x'), or artifacts, load(step.artifacts('x'))"


def load(
    items: Iterable[Any], names: tuple[str, ...], progress: Progress, errors: str
) -> Iterator[Any]:
    """Yield many values; `mfc.load` documents the arguments."""
    total = None
    if not isinstance(items, (Run, Step, Task, DataArtifact)):
        given, items = items, members("tasks_or_artifacts", items, _EXPECTED)
        total = len(given) if isinstance(given, Sized) else None
    texts("names", names, "the names of artifacts")
    returned = one_of("errors", errors, ("raise", "return")) == "return"
    reporting = reporter(progress, "values")
    return _loaded(_slots(items, names), len(names), total, reporting, returned=returned)


def _loaded(
    slots: Iterator[list[Slot]],
    names: int,
    total: int | None,
    reporting: Callable[[], Any],
    *,
    returned: bool,
) -> Iterator[Any]:
    width = max(names, 1)
    with _Values(slots, returned=returned) as values, reporting() as tell:
        for done in itertools.count(1):
            row = list(itertools.islice(values, width))
            if not row:
                return
            tell(done, total)
            yield row[0] if width == 1 else tuple(row)


# What is asked for


class _Where(NamedTuple):
    """What is asked for artifacts: a task, or a step or run for those of all its tasks."""

    provider: MetadataProvider
    path: Pathspec
    attempt: int | None = None

    def up(self) -> _Where:
        return _Where(self.provider, self.path.parent, self.attempt)


class Slot(NamedTuple):
    """Where a value will stand: an artifact, or what is wrong with it."""

    artifact: DataArtifact | None
    error: MetaflowException | None = None


def _slots(items: Iterable[Any], names: tuple[str, ...]) -> Iterator[list[Slot]]:
    """Yield slots, some together: one for each artifact, or one for each name of each task."""
    finder = _Finder(names)
    for some in _growing(_flat(items, names, finder)):
        if not names and all(isinstance(item, DataArtifact) for item in some):
            yield [Slot(item) for item in some]
            continue
        finder.find([item for item in some if isinstance(item, Task)] if names else [])
        slots: list[Slot] = []
        for item in some:
            if isinstance(item, Task) and names:
                slots += finder.slots(item)
            elif isinstance(item, DataArtifact) and not names:
                slots.append(Slot(item))
            else:
                wrong = BadArgument.of("an item", item, _EXPECTED)
                slots += [Slot(None, wrong)] * max(len(names), 1)
        yield slots


def _flat(items: Iterable[Any], names: tuple[str, ...], finder: _Finder) -> Iterator[Any]:
    """Yield artifacts and tasks; steps and runs are their tasks."""
    single = isinstance(items, (Run, Step, DataArtifact)) or (isinstance(items, Task) and names)
    for item in (items,) if single else items:
        if isinstance(item, (Run, Step)) and names:
            finder.learn(item)
            for step in item if isinstance(item, Run) else (item,):
                yield from step
        else:
            yield item


def _growing(items: Iterator[Any]) -> Iterator[list[Any]]:
    """Yield the items in lists of 1, 2, 4 and so on; what their source raises, after the last."""
    number = 1
    while True:
        some: list[Any] = []
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
    """Finds artifacts of tasks, with few questions where each waits for a network.

    Args:
        names: of the artifacts.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._tasks: Counter[_Where] = Counter()
        #: Steps and runs that were asked as a whole; why they could not be, if so.
        self._learned: dict[_Where, Exception | None] = {}
        self._found: dict[_Where, dict[str, ArtifactRecord]] = {}
        #: Tasks whose artifacts were given out.
        self._given: set[_Where] = set()

    def learn(self, above: Run | Step) -> None:
        """Ask for the artifacts of all tasks of a step or run."""
        if _wide(above._scope):
            self._ask([(above._scope, _Where(above._scope.provider, above._record.path))])

    def find(self, tasks: list[Task]) -> None:
        """Ask for the artifacts of some tasks; those of one step together if they are many."""
        questions: dict[_Where, Scope] = {}
        unknown = [t for t in tasks if t._scope.remote and not self._knows(_where(t))]
        self._tasks.update(_where(task).up() for task in unknown)
        for task in unknown:
            where = _where(task)
            many = _wide(task._scope) and self._tasks[where.up()] > _ALONE
            questions[where.up() if many else where] = task._scope
        self._ask([(scope, where) for where, scope in questions.items()])

    def _knows(self, where: _Where) -> bool:
        if where in self._given:
            return False
        above = (where, where.up(), where.up().up())
        return where in self._found or any(one in self._learned for one in above)

    def _ask(self, questions: list[tuple[Scope, _Where]]) -> None:
        answers = side_by_side(_caught(lambda q: self._answer(*q)), questions)
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

    def slots(self, task: Task) -> Iterator[Slot]:
        """Yield a slot for each name."""
        scope = task._scope
        found, problem = self._known(task) if scope.remote else self._alone(scope, _where(task))
        if problem is not None and not isinstance(problem, MetaflowException):
            raise problem
        for name in self._names:
            record, trouble = found.get(name), problem
            if record is None and trouble is None and not scope.remote:
                record, trouble = _asked_alone(scope, _where(task), name)
            if trouble is not None:
                yield Slot(None, trouble)
            elif record is None:
                yield Slot(None, ArtifactNotFound(str(task), name))
            elif not scope.sees(record):
                yield Slot(None, MetaflowNamespaceMismatch(scope.namespace, str(record.path)))
            else:
                yield Slot(DataArtifact._of(scope, record, task._attempt, task))

    def _alone(
        self, scope: Scope, where: _Where
    ) -> tuple[dict[str, ArtifactRecord], Exception | None]:
        """Ask for the artifacts of one task, where that waits for nothing."""
        try:
            return self._answer(scope, where).get(where.path, {}), None
        except Exception as error:  # noqa: BLE001 - raised where it belongs
            return {}, error

    def _known(self, task: Task) -> tuple[dict[str, ArtifactRecord], Exception | None]:
        """Return what was learned of a task."""
        where = _where(task)
        if not self._knows(where):
            self._ask([(task._scope, where)])
        self._given.add(where)
        problems = (self._learned.get(at) for at in (where, where.up(), where.up().up()))
        return self._found.pop(where, {}), next(filter(None, problems), None)


def _asked_alone(
    scope: Scope, where: _Where, name: str
) -> tuple[ArtifactRecord | None, MetaflowException | None]:
    """Ask for an artifact that is not among those of its task: it may be unreadable."""
    try:
        record = scope.provider.get(where.path.child(name), where.attempt)
    except MetaflowException as unreadable:
        return None, unreadable
    return record if isinstance(record, ArtifactRecord) else None, None


def _wide(scope: Scope) -> bool:
    """Tell whether a step is better asked as a whole than its tasks."""
    return scope.remote and scope.provider.capabilities.full("bulk")


def _where(task: Task) -> _Where:
    return _Where(task._scope.provider, task._record.path, task._attempt)


# The values


class _Values(Iterator[Any]):
    """The values of slots, those that follow read meanwhile.

    Args:
        some: where they stand, some together.
        returned: whether what is wrong with a value takes its place.
    """

    def __init__(self, some: Iterator[list[Slot]], *, returned: bool) -> None:
        first = next(some, [])
        artifact = first[0].artifact if first else None
        reader = current_client() if artifact is None else artifact._scope.reader
        limits = reader.datastore.limits
        calls: SideBySide[Fetched | None] = SideBySide(
            limits, BEGINNING, size_of, keep=limits.memory / 4
        )
        planned = (plan for slots in itertools.chain((first,), some) for plan in _planned(slots))
        self._read = in_order(planned, _call_of, calls)
        self._returned = returned
        #: The last large content, and what it is: the next one may be the same.
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
            return slot.artifact._value(partial(self._held, slot.artifact, planned, outcome))
        except MetaflowException as error:
            if self._returned:
                return error
            raise

    def _held(
        self,
        artifact: DataArtifact,
        planned: Planned | None,
        outcome: Outcome[Fetched | None] | None,
    ) -> Held:
        if planned is not None and planned.content is not None:
            return Held(planned.content)
        reader = artifact._scope.reader
        datastore = reader.datastore
        if planned is None:
            wanted = reader.wanted(artifact._record, artifact._scope.provider)
        else:
            wanted = planned.wanted
        # A forked child has the file's position in common with its parent.
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
    """Yield slots, each with what can be done ahead."""
    for reader, some in itertools.groupby(slots, _reader_of):
        these = list(some)
        if reader is None:
            yield from ((slot, None) for slot in these)
            continue
        artifacts = [slot.artifact for slot in these if slot.artifact is not None]
        asked = [(artifact._record, artifact._scope.provider) for artifact in artifacts]
        yield from zip(these, reader.ahead(asked), strict=True)


def _reader_of(slot: Slot) -> Reader | None:
    return None if slot.artifact is None else slot.artifact._scope.reader


def _call_of(
    item: tuple[Slot, Planned | None],
) -> tuple[Hashable, Callable[[], Fetched | None]] | None:
    return None if item[1] is None else item[1].call

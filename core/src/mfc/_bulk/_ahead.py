"""Prefetch of the values of one artifact, task after task.

`[task.data.x for task in step]` reads the same artifact of task after task. Where every read waits
for a network, the first value is read alone; then a growing number of the next tasks' blobs is
prefetched, for this artifact only.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from mfc._concurrency._calls import Call, SideBySide
from mfc._concurrency._forks import fork_safe
from mfc._session._scope import Scope
from mfc._storage._blob import Fetched, Planned, size_of
from mfc._storage._files import BEGINNING
from mfc._storage._spool import Held
from mfc.model import ArtifactRecord, Pathspec

Made = TypeVar("Made")

#: How long a prefetched record is considered current, in seconds.
_JUST_NOW = 1.0


class Row:
    """Artifacts of one name, task after task.

    Args:
        scope: their scope.
        following: returns the artifact at a position, or None if it does not exist; raises
            LookupError if it is not known (yet).
    """

    def __init__(self, scope: Scope, following: Callable[[int], ArtifactRecord | None]) -> None:
        self._scope, self._following = scope, following
        self._lock = fork_safe(threading.Lock())
        limits = scope.reader.datastore.limits
        self._reads: SideBySide[Fetched | None] = SideBySide(
            limits, BEGINNING, size_of, keep=limits.memory / 4
        )
        self._width = limits.width
        #: Prefetches not yet consumed, by position.
        self._begun: dict[int, _Begun] = {}
        self._turns = 0
        self._last: int | None = None
        #: The last position considered for prefetch.
        self._furthest = -1

    def held(self, position: int, record: ArtifactRecord) -> Held:
        """Return the content of the artifact at `position`, and prefetch others.

        Raises:
            DatastoreError: the content cannot be read.
        """
        datastore = self._scope.reader.datastore
        if not self._lock.acquire(blocking=False):  # another thread uses this row
            return datastore.held(self._scope.reader.wanted(record, self._scope.provider))
        try:
            self._take_turn(position)
            self._begin([(position, record)])
            begun = self._begun.pop(position, None)
            call = None if begun is None else begun.call
            self._read_ahead(position, call)
            outcome = None if call is None else self._reads.take(call)
        finally:
            self._lock.release()
        if begun is None or begun.planned.wanted.key != record.sha:
            return datastore.held(self._scope.reader.wanted(record, self._scope.provider))
        if begun.planned.content is not None:
            return Held(begun.planned.content)
        if outcome is None:
            return datastore.held(begun.planned.wanted)
        return datastore.received(begun.planned.wanted, outcome)

    def recent(self, position: int) -> ArtifactRecord | None:
        """Return the record of the artifact at `position`, if it was prefetched just now."""
        begun = self._begun.get(position)
        return begun.record if begun and time.monotonic() - begun.at < _JUST_NOW else None

    def _take_turn(self, position: int) -> None:
        """Record the position of a read; drop prefetches that were skipped."""
        in_turn = self._last is not None and position > self._last
        self._turns = self._turns + 1 if in_turn else 0
        self._furthest = max(self._furthest, position) if in_turn else position
        self._last = position
        # Prefetches far ahead belong to another loop, which may never return here.
        beyond = position + self._width
        for passed in [at for at in self._begun if not position <= at < beyond]:
            call = self._begun.pop(passed).call
            if call is not None:
                self._reads.drop(call)

    def _read_ahead(self, position: int, first: Call[Fetched | None] | None) -> None:
        """Start prefetching the next artifacts, in growing numbers: 1, 2, 4 and so on."""
        number = min(2**self._turns, self._width)
        if self._furthest - position > number // 2 or not self._reads.is_low(first):
            return
        some: list[tuple[int, ArtifactRecord]] = []
        while self._furthest < position + number - 1:
            try:
                record = self._following(self._furthest + 1)
            except LookupError:
                break
            self._furthest += 1
            if record is not None:
                some.append((self._furthest, record))
        self._begin(some)

    def _begin(self, some: list[tuple[int, ArtifactRecord]]) -> None:
        some = [one for one in some if one[0] not in self._begun]
        provider = self._scope.provider
        planned = self._scope.reader.ahead([(record, provider) for _, record in some])
        now = time.monotonic()
        for (position, record), plan in zip(some, planned, strict=True):
            if plan is not None:
                call = None if plan.call is None else self._reads.want(*plan.call)
                self._begun[position] = _Begun(record, now, plan, call)


class _Begun(NamedTuple):
    record: ArtifactRecord
    #: Time at which the record was read, by the monotonic clock.
    at: float
    planned: Planned
    call: Call[Fetched | None] | None


class TableTask(NamedTuple, Generic[Made]):
    """A task of a table."""

    scope: Scope
    path: Pathspec
    #: Makes the object of an artifact from its record, its row and the position there.
    make: Callable[[ArtifactRecord, tuple[Row, int] | None], Made]


class Table(Iterator[Made]):
    """The artifacts of tasks, task after task, with prefetch among those of one name.

    Args:
        tasks: the tasks.
        records: returns the selected artifacts of a task, in order.
    """

    def __init__(
        self,
        tasks: Iterator[TableTask[Made]],
        records: Callable[[TableTask[Made]], Iterable[ArtifactRecord]],
    ) -> None:
        self._tasks, self._wanted = tasks, records
        self._lock = fork_safe(threading.RLock())
        #: Objects read from the listing and not yet yielded.
        self._order: deque[Made] = deque()
        #: The exception that ended the listing; the source raises it once, perhaps in a prefetch.
        self._error: Exception | None = None
        self._records: dict[str, list[ArtifactRecord]] = {}
        self._rows: dict[str, Row] = {}

    def __next__(self) -> Made:
        with self._lock:
            while not self._order and self._reach():
                continue
            if not self._order:
                raise self._error or StopIteration
            return self._order.popleft()

    def _reach(self) -> bool:
        """Read one more task; tell whether one was left."""
        try:
            task = None if self._error else next(self._tasks, None)
            records = [] if task is None else self._wanted(task)
        except Exception as error:  # noqa: BLE001 - raised where the listing ends
            self._error = error
            return False
        if task is None:
            return False
        for record in records:
            row = self._in_row(task.scope, record) if pays(task.scope, record) else None
            self._order.append(task.make(record, row))
        return True

    def _in_row(self, scope: Scope, record: ArtifactRecord) -> tuple[Row, int]:
        name = record.path.name
        records = self._records.setdefault(name, [])
        records.append(record)
        if name not in self._rows:
            self._rows[name] = Row(scope, partial(self._known, name))
        return self._rows[name], len(records) - 1

    def _known(self, name: str, position: int) -> ArtifactRecord:
        with self._lock:
            records = self._records[name]
            while len(records) <= position and self._reach():
                continue
            return records[position]


def table(
    scope: Scope, path: Pathspec, tasks: Iterator[TableTask[Made]], names: Collection[str]
) -> Iterator[Made]:
    """Yield the artifacts of all tasks of a step or run.

    Args:
        scope: their scope.
        path: path of the step or run.
        tasks: its tasks, in the order of the result.
        names: names of the artifacts, in the order of the result; an empty list means all that do
            not begin with `_`.
    """
    wide: dict[Pathspec, list[ArtifactRecord]] | None = None
    asked = names or None
    if scope.remote and scope.provider.capabilities.full("bulk"):
        wide = {}
        for record in scope.provider.artifacts(path, asked):
            wide.setdefault(record.path.parent, []).append(record)

    def wanted(task: TableTask[Made]) -> Iterable[ArtifactRecord]:
        at = task.path
        found = scope.provider.artifacts(at, asked) if wide is None else wide.get(at, ())
        seen = [record for record in found if scope.sees(record)]
        if not names:
            return [record for record in seen if not record.path.name.startswith("_")]
        by_name = {record.path.name: record for record in seen}
        return [by_name[name] for name in names if name in by_name]

    yield from Table(tasks, wanted)


def pays(scope: Scope, record: ArtifactRecord) -> bool:
    """Tell whether prefetch saves time, which it does not for local files."""
    return not scope.reader.datastore.is_local(record.ds_type)

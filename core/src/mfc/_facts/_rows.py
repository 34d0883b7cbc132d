"""The rows of a table, read with few questions and side by side."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

import attrs

from mfc._arguments import plain
from mfc._bulk._load import ArtifactAt, Item, TaskAt, TasksBelow, values
from mfc._concurrency._calls import Limits
from mfc._concurrency._prefetch import side_by_side
from mfc._facts._attributes import Failed, RunFacts, facts_of, tried
from mfc._facts._columns import Column, Plan
from mfc._recorded._graph import parameters_of
from mfc._recorded._object import Recorded
from mfc._recorded._task import RecordedTask
from mfc.errors import ArtifactNotFound
from mfc.model import ArtifactRecord, Level, Pathspec

#: Rows whose questions are asked together.
_BATCH = 64
#: The parameters of a run by name, `Failed` where one cannot be had.
_Parameters = dict[str, Any]


@attrs.define
class _Row:
    """A row while it is read."""

    item: Recorded
    #: Cells of attributes and metadata.
    cells: dict[Column, Any]
    #: Artifacts of the end task of a run, or why they are unknown.
    end: dict[str, ArtifactRecord] | Failed
    parameters: _Parameters = attrs.Factory(dict)


def rows_of(
    items: Iterator[Recorded | TasksBelow], plan: Plan, limits: Callable[[], Limits]
) -> Generator[tuple[Any, ...], None, None]:
    """Yield the cells of each item; `Failed` stands for those that cannot be had.

    Args:
        items: runs, steps or tasks, all of the plan's level. The tasks below a step or run may be
            announced: their artifacts are asked for at once.
        plan: the columns.
        limits: gives the bounds on reading where no item has a client.
    """
    reading = _Reading(plan, limits)
    names = plan.of_kind("data")
    if not names:
        for batch in _batches(items):
            for row in reading.rows(batch):
                yield reading.cells(row, ())
        return
    pending: deque[_Row] = deque()

    def wanted() -> Iterator[Item]:
        for batch in _batches(items):
            yield from (item for item in batch if isinstance(item, TasksBelow))
            for row in reading.rows(batch):
                pending.append(row)
                yield from reading.artifacts(row)

    of_tasks = plan.level is Level.TASK
    found = values(wanted(), names if of_tasks else (), limits, _untold, failed=Failed)
    width = 1 if of_tasks else len(names)
    with contextlib.closing(found):
        while got := tuple(itertools.islice(found, width)):
            loaded = got[0] if of_tasks and len(names) > 1 else got
            yield reading.cells(pending.popleft(), loaded)


def _untold(_done: int) -> None:
    """Take the progress of a load, which a table does not show."""


def _batches(
    items: Iterator[Recorded | TasksBelow],
) -> Iterator[list[Recorded | TasksBelow]]:
    while batch := list(itertools.islice(items, _BATCH)):
        yield batch


class _Reading:
    """The questions for the rows of one table."""

    def __init__(self, plan: Plan, limits: Callable[[], Limits]) -> None:
        self._plan, self._limits = plan, limits
        self._asked = [c for c in plan.columns if c.kind in ("attribute", "meta")]
        self._data, self._names = plan.of_kind("data"), plan.of_kind("param")
        #: Parameters of the runs of the last batch.
        self._known: dict[tuple[int, Pathspec], _Parameters] = {}

    def rows(self, batch: list[Recorded | TasksBelow]) -> list[_Row]:
        """Return the rows of a batch, with all but the values of artifacts."""
        items = [item for item in batch if isinstance(item, Recorded)]
        # Tasks of one listing are asked in its order: they are answered together.
        lanes: dict[tuple[str, int], list[tuple[int, Recorded]]] = {}
        for number, item in enumerate(items):
            together = self._plan.level is Level.TASK and item.siblings is not None
            key = ("listing", id(item.siblings[0])) if together and item.siblings else ("", number)
            lanes.setdefault(key, []).append((number, item))

        def ask(lane: list[tuple[int, Recorded]]) -> list[tuple[int, _Row]]:
            return [(number, self._row(item)) for number, item in lane]

        given = list(lanes.values())
        answered = side_by_side(ask, given) if _far(items) else map(ask, given)
        by_number = dict(itertools.chain.from_iterable(answered))
        made = [by_number[number] for number in range(len(items))]
        if self._names:
            self._learn_parameters(items)
            for row in made:
                row.parameters = self._known[_run_of(row.item)]
        return made

    def _row(self, item: Recorded) -> _Row:
        facts = facts_of(item, self._plan)
        end: dict[str, ArtifactRecord] | Failed = {}
        if isinstance(facts, RunFacts) and self._data:
            end = tried(lambda: dict(facts.end))
        return _Row(item, {column: facts.cell(column) for column in self._asked}, end)

    def artifacts(self, row: _Row) -> Iterator[Item]:
        """Yield what to load for the cells of a row that are artifacts."""
        item = row.item
        if isinstance(item, RecordedTask):
            yield TaskAt(item.scope, item.path, item.attempt)
            return
        for name in self._data:
            if isinstance(row.end, Failed):
                yield row.end.error
            elif name in row.end:
                yield ArtifactAt(item.scope, row.end[name])
            else:
                yield ArtifactNotFound(str(item.path), name)

    def cells(self, row: _Row, loaded: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the cells of a row, given the values of its artifacts."""
        data = dict(zip(self._data, map(_value, loaded), strict=True))
        made = []
        for column in self._plan.columns:
            if column.kind == "data":
                made.append(data[column.name])
            elif column.kind == "param":
                made.append(_value(row.parameters.get(column.name)))
            else:
                made.append(row.cells[column])
        return tuple(made)

    # Parameters: artifacts of one task of each run

    def _learn_parameters(self, items: list[Recorded]) -> None:
        """Read the parameters of the runs of a batch, each run once."""
        runs = {_run_of(item): item for item in items}
        known = {key: self._known[key] for key in runs if key in self._known}
        new = {key: item for key, item in runs.items() if key not in known}
        asked = list(new.values())
        ask = self._parameter_records
        answers = side_by_side(ask, asked) if _far(asked) else map(ask, asked)
        wanted: list[Item] = []
        slots: list[tuple[_Parameters, str]] = []
        for (key, item), records in zip(new.items(), answers, strict=True):
            if isinstance(records, Failed):
                known[key] = dict.fromkeys(self._names, records)
                continue
            known[key] = {}
            for name, record in records.items():
                wanted.append(ArtifactAt(item.scope, record))
                slots.append((known[key], name))
        found = values(iter(wanted), (), self._limits, _untold, failed=Failed)
        for (of_run, name), value in zip(slots, found, strict=True):
            of_run[name] = value
        self._known = known

    def _parameter_records(self, item: Recorded) -> dict[str, ArtifactRecord] | Failed:
        path = parameters_of(item.path)
        found = tried(lambda: list(item.scope.provider.artifacts(path, self._names)))
        if isinstance(found, Failed):
            return found
        return {record.path.name: record for record in found}


def _far(items: list[Recorded]) -> bool:
    return any(item.scope.remote for item in items)


def _run_of(item: Recorded) -> tuple[int, Pathspec]:
    return id(item.scope.provider), item.path.up(Level.RUN)


def _value(found: Any) -> Any:
    """Return a value: of a scalar of numpy the builtin, None where there is no such artifact."""
    if isinstance(found, Failed):
        return None if isinstance(found.error, ArtifactNotFound) else found
    return cast("Any", plain(found))

"""The attributes and metadata of one row: a run, a step or a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Generic, TypeVar

import attrs

from mfc._arguments._times import EPOCH
from mfc._facts._columns import Column, Plan
from mfc._recorded._lineage import INDEX_FIELDS, index_of
from mfc._recorded._object import Recorded
from mfc._recorded._run import RecordedRun
from mfc._recorded._task import RecordedTask, duration_of, end_of_step
from mfc.errors import MetaflowException, NoTasks
from mfc.model import ArtifactRecord, Status, whole_number

Item = TypeVar("Item", bound=Recorded)
T = TypeVar("T")

_OK, _SUCCESS = "_task_ok", "_success"
#: Attributes of runs that the end task tells.
_AT_END = ("status", "status_reason", "finished_at", "duration", "finished", "successful")


@attrs.frozen
class Failed:
    """Stands in a cell for a value that cannot be had."""

    error: MetaflowException


def tried(ask: Callable[[], T]) -> T | Failed:
    """Return an answer, `Failed` where it cannot be had."""
    try:
        return ask()
    except MetaflowException as error:
        return Failed(error)


def _answer(found: T | Failed) -> T:
    if isinstance(found, Failed):
        raise found.error
    return found


class Facts(Generic[Item]):
    """The attributes of one row; each raises where it cannot be read.

    Args:
        item: the row.
        plan: the columns of the table: what they have in common is asked for once.
    """

    def __init__(self, item: Item, plan: Plan) -> None:
        self.item, self._plan = item, plan

    def cell(self, column: Column) -> Any:
        """Return the cell of an attribute or metadata field, `Failed` where it cannot be had."""
        if column.kind == "meta":
            return tried(lambda: self._fields.get(column.name))
        return tried(lambda: getattr(self, column.name))

    @property
    def _fields(self) -> Mapping[str, Any]:
        """The newest metadata that the table needs."""
        return {}

    @property
    def id(self) -> str:
        return self.item.path.name

    @property
    def pathspec(self) -> str:
        return str(self.item.path)

    @property
    def flow(self) -> str:
        return self.item.path.components[0]

    @property
    def run(self) -> str:
        return self.item.path.components[1]

    @property
    def step(self) -> str:
        return self.item.path.components[2]

    @property
    def user(self) -> str | None:
        return self.item.record.user

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(sorted(self.item.record.tags | self.item.record.system_tags))

    @property
    def user_tags(self) -> tuple[str, ...]:
        return tuple(sorted(self.item.record.tags))

    @property
    def system_tags(self) -> tuple[str, ...]:
        return tuple(sorted(self.item.record.system_tags))

    @property
    def created_at(self) -> datetime:
        return _moment(self.item.record.created)

    @property
    def finished_at(self) -> datetime | None:
        raise NotImplementedError

    @property
    def duration(self) -> timedelta | None:
        """From its creation to its end."""
        end = self.finished_at
        return None if end is None else end - self.created_at


class StepFacts(Facts[Recorded]):
    """The attributes of a step."""

    @property
    def finished_at(self) -> datetime | None:
        try:
            ended = end_of_step(self.item.scope, self.item.path)
        except NoTasks:
            return None
        return None if ended is None else _moment(ended)


class TaskFacts(Facts[RecordedTask]):
    """The attributes of a task, its listing asked along with it."""

    @cached_property
    def _status(self) -> Status:
        from mfc._recorded._status import task_status  # few ask for it

        return task_status(self.item)

    @property
    def status(self) -> str:
        return str.__str__(self._status)

    @property
    def status_reason(self) -> str:
        return self._status.reason

    @cached_property
    def _ended(self) -> datetime | Failed | None:
        record = tried(lambda: self.item.artifact(_OK))
        return record if record is None or isinstance(record, Failed) else _moment(record.created)

    @property
    def finished_at(self) -> datetime | None:
        return _answer(self._ended)

    @cached_property
    def _duration(self) -> timedelta | Failed | None:
        return tried(lambda: duration_of(self.item))

    @property
    def duration(self) -> timedelta | None:
        """From start to end of the attempt that ended last, as `Task.duration`."""
        return _answer(self._duration)

    @property
    def finished(self) -> bool:
        return self.item.truth(_OK)

    @property
    def successful(self) -> bool:
        return self.item.truth(_SUCCESS)

    @cached_property
    def _found_fields(self) -> dict[str, Any] | Failed:
        index = INDEX_FIELDS if self._plan.has("index") else ()
        attempt = ("attempt",) if self._plan.has("current_attempt") else ()
        wanted = {*self._plan.of_kind("meta"), *index, *attempt}
        return tried(lambda: self.item.fields(sorted(wanted)))

    @property
    def _fields(self) -> Mapping[str, Any]:
        return _answer(self._found_fields)

    @property
    def index(self) -> int | None:
        return index_of(self.item, self._fields)

    @property
    def current_attempt(self) -> int:
        if self.item.attempt is not None:
            return self.item.attempt
        return whole_number(self._fields.get("attempt")) or 0


class RunFacts(Facts[RecordedRun]):
    """The attributes of a run, those of its end found together with its artifacts."""

    @cached_property
    def _found_end(self) -> dict[str, ArtifactRecord] | Failed:
        ends = self._plan.has(*_AT_END) or self._plan.of_kind("meta")
        wanted = (*self._plan.of_kind("data"), *((_OK, _SUCCESS) if ends else ()))
        return tried(lambda: self.item.end_artifacts(wanted))

    @property
    def end(self) -> Mapping[str, ArtifactRecord]:
        """The artifacts of the end task that the table needs, by name."""
        return _answer(self._found_end)

    @cached_property
    def _status(self) -> Status:
        from mfc._recorded._status import run_status_by_end  # few ask for it

        return run_status_by_end(self.item, self.end)

    @property
    def status(self) -> str:
        return str.__str__(self._status)

    @property
    def status_reason(self) -> str:
        return self._status.reason

    @property
    def finished_at(self) -> datetime | None:
        return _moment(self.end[_OK].created) if _OK in self.end else None

    @property
    def finished(self) -> bool:
        return self._truth(_OK)

    @property
    def successful(self) -> bool:
        return self._truth(_SUCCESS)

    def _truth(self, name: str) -> bool:
        scope = self.item.scope
        return name in self.end and scope.reader.plain(self.end[name], scope.provider) is True

    @cached_property
    def _found_fields(self) -> dict[str, Any] | Failed:
        return tried(self._fields_at_end)

    def _fields_at_end(self) -> dict[str, Any]:
        run, task = self.item, None
        if _OK in self.end:
            record = attrs.evolve(run.record, path=self.end[_OK].path.parent)
            task = RecordedTask(run.scope, record)
        else:
            task = run.endpoint_task("end")
        return {} if task is None else task.fields(self._plan.of_kind("meta"))

    @property
    def _fields(self) -> Mapping[str, Any]:
        return _answer(self._found_fields)


def facts_of(item: Recorded, plan: Plan) -> Facts[Any]:
    """Return what a row of a table can tell."""
    if isinstance(item, RecordedTask):
        return TaskFacts(item, plan)
    return RunFacts(item, plan) if isinstance(item, RecordedRun) else StepFacts(item, plan)


def _moment(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)

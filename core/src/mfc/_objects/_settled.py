"""Which tasks of a step have completed, told for all of them by a few questions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from mfc._objects._graph import graph_noted
from mfc._objects._questions import cannot_catch, leaves_outcome, noted
from mfc._objects._siblings import Question, side_by_side
from mfc._provider import recent_of
from mfc._scope import Scope
from mfc.model import MetadataRecord, Pathspec, Record, Status

if TYPE_CHECKING:
    from mfc._objects._task import Task

_ENDED_WELL, _STARTED_AGAIN = ("attempt_ok", "True"), ("attempt", "[1-9][0-9]*")
#: Seconds after which all that an attempt leaves is registered, clocks that differ included.
_SETTLED = 60.0
#: Seconds after its last heartbeat in which a task may have ended: some services tell the time
#: of their own zone for that of UTC.
_SILENT = 24 * 3600
#: What the objects of a listing keep: the tasks that completed, and whether those that ended
#: lately were taken out.
_NOTE, _CHECKED = "settled", "settled long ago"


def completed(task: Task) -> Status | None:
    """Return the status of a task that has completed at its first attempt, as most have.

    None where a closer look is needed. It is asked of a listing alone, where questions wait for a
    network and the backend can match metadata.
    """
    scope, siblings, record = task._scope, task._siblings, task._record
    if siblings is None or task._attempt is not None or not _can_tell(task):
        return None
    step, notes = record.path.parent, siblings[0].notes
    if not task._ask(_question(scope, step, notes)):
        return None
    if not _is_silent(record):
        _check(scope, step, notes)
    if record.path not in notes[_NOTE]:
        return None
    well = cannot_catch(scope, step.name, notes) or task._truth("_success")
    return Status("completed", f"attempt 0 completed{'' if well else '; its exception was caught'}")


def asked_singly(task: Task) -> bool:
    """Tell whether a task is better asked alone, as most tasks of its listing need no questions."""
    return task._siblings is not None and _NOTE in task._siblings[0].notes


def own_fields(task: Task, names: Collection[str]) -> list[MetadataRecord] | None:
    """Return metadata of a task that is `asked_singly`; None of any other.

    Its siblings of which it is known that they have completed are not asked with it.
    """
    if task._siblings is None or not asked_singly(task):
        return None
    scope, notes = task._scope, task._siblings[0].notes
    _check(scope, task._record.path.parent, notes)

    def one(record: Record) -> list[MetadataRecord]:
        path = record.path
        return [] if path in notes[_NOTE] else list(scope.provider.metadata(path, names))

    return task._ask(Question((_NOTE, "marks"), one))


def _can_tell(task: Task) -> bool:
    capabilities = task._scope.provider.capabilities
    able = capabilities.full("metadata") and recent_of(task._scope.provider) is not None
    return able and leaves_outcome(task._record)


def _is_silent(record: Record) -> bool:
    """Tell whether a task gave its last sign of life so long ago that it ended long ago."""
    beat = record.heartbeat
    return beat is not None and time.time() - beat / 1000 > _SILENT


def _check(scope: Scope, step: Pathspec, notes: dict[str, Any]) -> None:
    """Take out tasks whose last attempt may still register something; once for all."""
    lately = recent_of(scope.provider)
    if notes[_CHECKED] or lately is None:
        return
    # Asked last: what ended meanwhile is not among those that ended well.
    since = int((time.time() - _SETTLED) * 1000)
    notes[_NOTE] = notes[_NOTE] - {record.task for record in lately(step.parent, since)}
    notes[_CHECKED] = True


def _question(scope: Scope, step: Pathspec, notes: dict[str, Any]) -> Question[bool]:
    def every() -> Mapping[Pathspec, bool]:
        # Asked of the first at once: that is two questions, and a closer look at one is two.
        asks: list[Callable[[], Any]] = [
            lambda: noted(scope, step, _ENDED_WELL),
            lambda: graph_noted(scope, step, notes),
        ]
        well, graph = side_by_side(lambda ask: ask(), asks)
        if graph is None or not graph.tries_once(step.name):
            well -= noted(scope, step, _STARTED_AGAIN)
        notes[_NOTE], notes[_CHECKED] = well, False
        return dict.fromkeys(well, True)

    return Question((_NOTE,), lambda _: False, every, missing=False, alone=0)

"""Which tasks of a step have completed, told for all of them by a few questions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mfc._concurrency._prefetch import Question
from mfc._recorded._graph import graph_noted
from mfc._recorded._questions import ENDED_WELL, cannot_catch, leaves_outcome, noted, unsettled
from mfc._session._provider import recent_of
from mfc._session._scope import Scope
from mfc.model import MetadataRecord, Pathspec, Record, Status

if TYPE_CHECKING:
    from mfc._objects._task import Task

_STARTED_AGAIN = ("attempt", "[1-9][0-9]*")
#: What the objects of a listing keep: the tasks that completed, and those that started again.
_NOTE, _AGAIN = "settled", "started again"


def completed(task: Task) -> Status | None:
    """Return the status of a task that has completed; None where a closer look is needed.

    It is asked of a listing alone, where questions wait for a network and the backend can match
    metadata.
    """
    if task._siblings is None or task._attempt is not None or not _can_tell(task):
        return None
    notes, step = task._siblings[0].notes, task._record.path.parent
    if not task._ask(_question(task._scope, step, notes)):
        return None
    return Status("completed", partial(_reason, task))


def asked_singly(task: Task) -> bool:
    """Tell whether a task is better asked alone, as most tasks of its listing need no questions."""
    return task._siblings is not None and _NOTE in task._siblings[0].notes


def own_fields(task: Task, names: Collection[str]) -> list[MetadataRecord] | None:
    """Return metadata of a task that is `asked_singly`; None of any other.

    Its siblings of which it is known that they have completed are not asked with it.
    """
    if task._siblings is None or not asked_singly(task):
        return None
    settled, provider = task._siblings[0].notes[_NOTE], task._scope.provider

    def one(record: Record) -> list[MetadataRecord]:
        return [] if record.path in settled else list(provider.metadata(record.path, names))

    return task._ask(Question((_NOTE, "marks"), one))


def _can_tell(task: Task) -> bool:
    capabilities = task._scope.provider.capabilities
    able = capabilities.full("metadata") and recent_of(task._scope.provider) is not None
    return able and leaves_outcome(task._record)


def _question(scope: Scope, step: Pathspec, notes: dict[str, Any]) -> Question[bool]:
    def every() -> Mapping[Pathspec, bool]:
        # In this order: what ends after the first question is not among those that ended well.
        well = noted(scope, step, ENDED_WELL)
        doubtful = unsettled(scope, step)
        if doubtful is not None:
            well = well - _again(scope, step, notes) - doubtful
        notes[_NOTE] = well
        return dict.fromkeys(well, True)

    # Asked of the first at once: that is two or three questions, and a look at one task is two.
    return Question((_NOTE,), lambda _: False, every, missing=False, alone=0)


def _again(scope: Scope, step: Pathspec, notes: dict[str, Any]) -> set[Pathspec]:
    """Return the tasks of a step that had more than one attempt."""
    if _AGAIN not in notes:
        graph = graph_noted(scope, step, notes)
        once = graph is not None and graph.tries_once(step.name)
        notes[_AGAIN] = set[Pathspec]() if once else noted(scope, step, _STARTED_AGAIN)
    found: set[Pathspec] = notes[_AGAIN]
    return found


def _reason(task: Task) -> str:
    """Return why a task counts as completed; it is worked out when `status.reason` is read."""
    from mfc._recorded._status import standing  # it asks here first

    assert task._siblings is not None  # noqa: S101 - see `completed`
    notes, step = task._siblings[0].notes, task._record.path.parent
    if task._record.path in _again(task._scope, step, notes):
        return standing(task).status.reason
    well = cannot_catch(task._scope, step.name, notes) or task._truth("_success")
    return f"attempt 0 completed{'' if well else '; its exception was caught'}"

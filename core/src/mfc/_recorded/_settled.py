"""Which tasks of a step have completed, told for all of them by a few questions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mfc._concurrency._prefetch import Question
from mfc._recorded._graph import graph_noted
from mfc._recorded._questions import ENDED_WELL, leaves_outcome, noted, unsettled
from mfc._recorded._task import RecordedTask
from mfc._session._provider import recent_of
from mfc._session._scope import Scope
from mfc.model import MetadataRecord, Pathspec, Record

_STARTED_AGAIN = ("attempt", "[1-9][0-9]*")
#: Keys in the notes of a listing: the tasks that completed, and those that started again.
_NOTE, _AGAIN = "settled", "started again"


def completed(task: RecordedTask) -> bool:
    """Tell whether a task is known to have completed; False where a closer look is needed.

    Only listings are asked, where questions wait for a network and the backend can match metadata.
    """
    if task.siblings is None or task.attempt is not None:
        return False
    scope, step, notes = task.scope, task.path.parent, task.notes
    able = scope.provider.capabilities.full("metadata") and recent_of(scope.provider) is not None
    if not able or not leaves_outcome(task.record):
        return False

    def every() -> Mapping[Pathspec, bool]:
        # In this order: what ends after the first question is not among those that ended well.
        well = noted(scope, step, ENDED_WELL)
        doubtful = unsettled(scope, step)
        if doubtful is not None:
            well = well - _again(scope, step, notes) - doubtful
        notes[_NOTE] = well
        return dict.fromkeys(well, True)

    # Asked of the first at once: that is two or three questions, and a look at one task is two.
    return task.ask(Question((_NOTE,), lambda _: False, every, missing=False, alone=0))


def started_again(task: RecordedTask) -> bool:
    """Tell whether a task that has completed had more than one attempt."""
    return task.path in _again(task.scope, task.path.parent, task.notes)


def asked_singly(task: RecordedTask) -> bool:
    """Tell whether a task is better asked alone, as most tasks of its listing need no questions."""
    return _NOTE in task.notes


def own_metadata(task: RecordedTask, names: Collection[str]) -> list[MetadataRecord]:
    """Return some fields of a task itself.

    The siblings of a task that is `asked_singly` are not asked with it once they have completed.
    """
    if not asked_singly(task):
        return task.own_metadata(names)
    settled, provider = task.notes[_NOTE], task.scope.provider
    if task.path in settled:  # its status is read again
        return list(provider.metadata(task.path, names))

    def one(record: Record) -> list[MetadataRecord]:
        return [] if record.path in settled else list(provider.metadata(record.path, names))

    return task.ask(Question((_NOTE, "marks"), one))


def _again(scope: Scope, step: Pathspec, notes: dict[str, Any]) -> set[Pathspec]:
    """Return the tasks of a step that had more than one attempt."""
    if _AGAIN not in notes:
        graph = graph_noted(scope, step, notes)
        once = graph is not None and graph.tries_once(step.name)
        notes[_AGAIN] = set[Pathspec]() if once else noted(scope, step, _STARTED_AGAIN)
    found: set[Pathspec] = notes[_AGAIN]
    return found

"""Which tasks of a step have completed, told for all of them by a few questions."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from mfc._objects._questions import cannot_catch, leaves_outcome, noted
from mfc._objects._siblings import Question, side_by_side
from mfc._provider import recent_of
from mfc._scope import Scope
from mfc.model import MetadataRecord, Pathspec, Status

if TYPE_CHECKING:
    from mfc._objects._task import Task

_ENDED_WELL, _STARTED_AGAIN = ("attempt_ok", "True"), ("attempt", "[1-9][0-9]*")
#: Seconds after which all that an attempt leaves is registered, clocks that differ included.
_SETTLED = 60.0
#: What the objects of a listing keep of it.
_NOTE = "settled"


def completed(task: Task) -> Status | None:
    """Return the status of a task that has completed at its first attempt, as most have.

    None where a closer look is needed. It is asked of a listing alone, where questions wait for a
    network and the backend can match metadata.
    """
    scope, siblings = task._scope, task._siblings
    if siblings is None or task._attempt is not None or not _can_tell(task):
        return None
    notes = siblings[0].notes
    if not task._ask(_question(scope, task._record.path.parent, notes)):
        return None
    well = cannot_catch(scope, task._record.path.parent.name, notes) or task._truth("_success")
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
    settled, provider = task._siblings[0].notes[_NOTE], task._scope.provider

    def one(path: Pathspec) -> list[MetadataRecord]:
        return [] if path in settled else list(provider.metadata(path, names))

    return task._ask(Question((_NOTE, "marks"), one))


def _can_tell(task: Task) -> bool:
    capabilities = task._scope.provider.capabilities
    return capabilities.full("metadata") and leaves_outcome(task._record)


def _question(scope: Scope, step: Pathspec, notes: dict[str, object]) -> Question[bool]:
    def every() -> Mapping[Pathspec, bool]:
        well, again = side_by_side(
            lambda mark: noted(scope, step, mark), [_ENDED_WELL, _STARTED_AGAIN]
        )
        # Asked last: what ended meanwhile is not among those that ended well.
        since = int((time.time() - _SETTLED) * 1000)
        lately = recent_of(scope.provider, step.parent, since)
        if lately is None:
            return {}
        notes[_NOTE] = settled = well - again - {record.task for record in lately}
        return dict.fromkeys(settled, True)

    return Question((_NOTE,), lambda _: False, every, missing=False, alone=1)

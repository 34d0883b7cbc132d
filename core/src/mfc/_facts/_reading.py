"""What a task that has not completed left behind: its exception, and its place in a foreach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mfc._facts._failure import Failure, Kind
from mfc._facts._unfinished import EXCEPTION, OUTCOME, STACK, Unfinished
from mfc._recorded._lineage import PATH_FIELD, position_of
from mfc._recorded._metadata import newest, of_attempt
from mfc.errors import MetaflowException, Unanswered
from mfc.model import ArtifactRecord, whole_number

#: The exception of Metaflow's `@timeout`.
_TIMEOUT = "TimeoutException"
_NOTED_OUTCOME = "attempt_ok"


class Told(NamedTuple):
    """A failure, and the position of its task in each foreach around it, `stepA:3,stepB:0`."""

    failure: Failure
    position: str


def told(unfinished: Unfinished) -> Told:
    """Return the failure of a task; of one that has not failed, its silence counts as its end."""
    task, attempt = unfinished.task, unfinished.standing.attempt
    artifacts = unfinished.artifacts
    if artifacts is None:
        artifacts = _artifacts(unfinished) if unfinished.failed else {}
    position = _stack(unfinished, artifacts)
    fields: Mapping[str, object] = {}
    if position is None or (unfinished.failed and OUTCOME not in artifacts):
        noted = task.scope.provider.metadata(task.path, (PATH_FIELD, _NOTED_OUTCOME))
        records = list(noted)
        fields = newest(of_attempt(records, attempt))
        # Of all attempts: they are at the same position.
        position = position or str(newest(records).get(PATH_FIELD) or "")
    raised = unfinished.failed and (OUTCOME in artifacts or fields.get(_NOTED_OUTCOME) == "False")
    kind: Kind = "exception" if raised else "killed"
    type_, message, traceback = None, unfinished.standing.status.reason, None
    if raised:
        type_, message, traceback = _raised(unfinished, artifacts)
        if type_ is not None and type_.startswith("metaflow.") and type_.endswith(_TIMEOUT):
            kind = "timed out"
    elif not unfinished.standing.started:
        kind, message = "never started", "it was created, no attempt has started"
    elif not unfinished.failed:
        message = f"attempt {attempt} has started and not ended"
    path = task.path
    failure = Failure(
        str(path),
        path.parent.name,
        path.name,
        attempt,
        index_in(position),
        kind,
        type_,
        message,
        traceback,
    )
    return Told(failure, position)


def index_in(position: str) -> int | None:
    """Return the index in the innermost foreach of a position.

    >>> index_in("stepA:3,stepB:0"), index_in("")
    (0, None)
    """
    return whole_number(position.rpartition(",")[2].rpartition(":")[2])


def _artifacts(unfinished: Unfinished) -> dict[str, ArtifactRecord]:
    """Return the artifacts that tell of an attempt, by name."""
    task, names = unfinished.task, (EXCEPTION, STACK, OUTCOME)
    found = task.scope.provider.artifacts(task.path, names, unfinished.standing.attempt)
    return {record.path.name: record for record in found}


def _value(unfinished: Unfinished, record: ArtifactRecord) -> object:
    scope = unfinished.task.scope
    return scope.reader.plain(record, scope.provider)


def _stack(unfinished: Unfinished, artifacts: Mapping[str, ArtifactRecord]) -> str | None:
    """Return the position by `_foreach_stack`; None where that is missing or unreadable."""
    if STACK not in artifacts:
        return None
    try:
        return position_of(_value(unfinished, artifacts[STACK]))
    except Unanswered:
        raise
    except MetaflowException:  # metadata may tell
        return None


def _raised(
    unfinished: Unfinished, artifacts: Mapping[str, ArtifactRecord]
) -> tuple[str | None, str, str | None]:
    """Return type, text and traceback of the exception of an attempt."""
    if EXCEPTION not in artifacts:
        return None, "it failed, and recorded no exception", None
    try:
        value = _value(unfinished, artifacts[EXCEPTION])
    except Unanswered:
        raise
    except MetaflowException as unreadable:
        return None, f"its exception cannot be read: {unreadable}", None
    if value is None:
        return None, "it failed, and recorded no exception", None
    kind, text = getattr(value, "type", None), getattr(value, "exception", None)
    trace = getattr(value, "stacktrace", None)
    return (
        kind if isinstance(kind, str) else type(value).__name__,
        text if isinstance(text, str) else "",
        trace if isinstance(trace, str) else None,
    )

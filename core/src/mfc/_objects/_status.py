"""Whether a task or run is running, completed or failed, and how one can tell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from mfc._objects._metadata import of_attempt, recorded_store
from mfc.errors import DatastoreError, MetaflowException, Unanswered
from mfc.model import MetadataRecord, Status, whole_number

if TYPE_CHECKING:
    from mfc._objects._run import Run
    from mfc._objects._task import Task

_FIELDS = ("attempt", "attempt-done", "ds-type", "ds-root")
#: Seconds without a sign of life after which nobody can say that something still runs.
STALE = 24 * 3600


def task_status(task: Task) -> Status:
    """Return where a task stands, from its marks of attempts; no value is unpickled blindly.

    Where what it recorded cannot be read, that is `unknown`.

    Raises:
        Unanswered: the metadata's backend does not answer.
    """
    try:
        return standing(task).status
    except Unanswered:
        raise
    except MetaflowException as unreadable:
        return Status("unknown", str(unreadable))


def run_status(run: Run) -> Status:
    """Return where a run stands: by its end task, else by the tasks that it has.

    Where what it recorded cannot be read, that is `unknown`.

    Raises:
        Unanswered: the metadata's backend does not answer.
    """
    try:
        return _run_status(run)
    except Unanswered:
        raise
    except MetaflowException as unreadable:
        return Status("unknown", str(unreadable))


@attrs.frozen
class Standing:
    """Where a task stands, and how one knows."""

    status: Status
    #: The attempt that started last, or was chosen; None if none has started.
    attempt: int | None
    #: When the newest mark of it was made, in seconds since 1970 UTC.
    newest: float


def standing(task: Task) -> Standing:
    """Return where a task stands.

    Raises:
        MetaflowException: what it recorded cannot be read.
    """
    everything = task._own_metadata(_FIELDS)
    records = of_attempt(everything, task._attempt)
    started, done = _numbers(records, "attempt"), _numbers(records, "attempt-done")
    newest = max((record.created for record in records), default=task._record.created)
    if not started | done:
        if task._attempt is not None:
            status = Status("unknown", f"attempt {task._attempt} recorded nothing")
        else:
            status = _quiet(task._record.created, "it was created, no attempt has started")
        return Standing(status, task._attempt, newest / 1000)
    latest = max(started | done)
    if latest in done:
        status = _ended(task, latest)
    elif (code := _return_code(task, latest, everything)) is not None:
        status = Status("failed", f"attempt {latest} ended with return code {code}, unfinished")
    else:
        status = _quiet(newest, f"attempt {latest} has started and not ended")
    return Standing(status, latest, newest / 1000)


def _run_status(run: Run) -> Status:
    end = run.end_task
    if end is not None:
        status = end.status
        return Status(status, f"end task {end.pathspec}: {status.reason}")
    newest, running = run._record.created, None
    for step in run:
        for task in step:
            newest = max(newest, task._record.created)
            status = task.status
            if status == "failed":
                return Status("failed", f"task {task.pathspec}: {status.reason}")
            if status == "running" and running is None:
                running = Status("running", f"task {task.pathspec}: {status.reason}")
    return running or _quiet(newest, "no task is running, the end step has not begun")


def _ended(task: Task, attempt: int) -> Status:
    if task._truth("_task_ok"):
        caught = "" if task._truth("_success") else "; its exception was caught"
        return Status("completed", f"attempt {attempt} completed{caught}")
    try:
        exception = task.exception
    except DatastoreError as unreadable:
        exception = unreadable
    if exception is None:
        return Status("failed", f"attempt {attempt}")
    return Status("failed", f"attempt {attempt} raised {_described(exception)}")


def _described(exception: object) -> str:
    """Return type and first line of an exception, or of whatever else stands in its place."""
    kind, text = getattr(exception, "type", None), getattr(exception, "exception", None)
    if isinstance(exception, MetaflowException):
        text = exception.message
    kind = kind if isinstance(kind, str) else type(exception).__name__
    lines = text.splitlines() if isinstance(text, str) else []
    return f"{kind}: {lines[0] if lines else ''}"


def _numbers(records: list[MetadataRecord], field: str) -> set[int]:
    found = (whole_number(record.value) for record in records if record.name == field)
    return {number for number in found if number is not None}


def _quiet(since: int, what: str) -> Status:
    """Return `running`, or `unknown` if that was so long ago that nobody can say."""
    silent = time.time() - since / 1000
    word = "running" if silent < STALE else "unknown"
    return Status(word, f"{what}; last sign of life {_duration(silent)} ago")


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _return_code(task: Task, attempt: int, records: list[MetadataRecord]) -> int | None:
    """Return the return code that the scheduler noted for an attempt, None if it noted none."""
    import json  # only unfinished attempts need it

    path, scope = task._record.path, task._scope
    where = recorded_store(scope, path, {record.name: record.value for record in records})
    if where is None:
        return None
    try:
        noted = scope.reader.datastore.task_file(where, path, f"{attempt}.runtime")
        return None if noted is None else int(json.loads(noted)["return_code"])
    except (DatastoreError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None

"""Whether a task or run is running, completed or failed, and how one can tell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mfc._objects._metadata import of_attempt
from mfc._place import place
from mfc.errors import DatastoreError
from mfc.model import MetadataRecord, Status

if TYPE_CHECKING:
    from mfc._objects._run import Run
    from mfc._objects._task import Task

_FIELDS = ("attempt", "attempt-done", "ds-type", "ds-root")
#: Seconds without a sign of life after which nobody can say that something still runs.
STALE = 24 * 3600


def task_status(task: Task) -> Status:
    """Return where a task stands, from its marks of attempts; no value is unpickled blindly."""
    everything = list(task._scope.provider.metadata(task._record.path, _FIELDS))
    records = of_attempt(everything, task._attempt)
    started, done = _numbers(records, "attempt"), _numbers(records, "attempt-done")
    if not started | done:
        if task._attempt is not None:
            return Status("unknown", f"attempt {task._attempt} recorded nothing")
        return _quiet(task._record.created, "it was created, no attempt has started")
    latest = max(started | done)
    if latest in done:
        return _ended(task, latest)
    if (code := _return_code(task, latest, everything)) is not None:
        return Status("failed", f"attempt {latest} ended with return code {code}, unfinished")
    last_sign = max(record.created for record in records)
    return _quiet(last_sign, f"attempt {latest} has started and not ended")


def run_status(run: Run) -> Status:
    """Return where a run stands: by its end task, else by the tasks that it has."""
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
    what = f"{getattr(exception, 'type', type(exception).__name__)}: {_first_line(exception)}"
    return Status(
        "failed", f"attempt {attempt} raised {what}" if exception else f"attempt {attempt}"
    )


def _first_line(exception: object) -> str:
    text = str(getattr(exception, "exception", exception))
    return text.splitlines()[0] if text else ""


def _numbers(records: list[MetadataRecord], field: str) -> set[int]:
    return {
        int(record.value)
        for record in records
        if record.name == field and str(record.value).isdigit()
    }


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

    fields: Mapping[str, Any] = {record.name: record.value for record in records}
    if not fields.get("ds-type") or not fields.get("ds-root"):
        return None
    path, scope = task._record.path, task._scope
    fallback = scope.provider.root(fields["ds-type"])
    where = place(fields["ds-type"], fields["ds-root"], path.components[0], fallback)
    try:
        noted = scope.reader.datastore.task_file(where, path, f"{attempt}.runtime")
        return None if noted is None else int(json.loads(noted)["return_code"])
    except (DatastoreError, ValueError, KeyError, TypeError):
        return None

"""Whether a task or run is running, completed or failed, and why.

A writer may be at work meanwhile. At the end of an attempt Metaflow registers `attempt_ok`, then
`attempt-done`, then each artifact, `_task_ok` somewhere in their midst; its scheduler notes the
return code last. So an attempt has completed once all of that is there, and facts that were read
at different moments are read again.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import attrs

from mfc._recorded._metadata import newest, of_attempt, recorded_store
from mfc._recorded._questions import cannot_catch
from mfc._recorded._run import RecordedRun
from mfc._recorded._settled import asked_singly, completed, own_metadata, started_again
from mfc._recorded._task import RecordedTask
from mfc.errors import (
    DatastoreError,
    MetaflowException,
    PluginError,
    Unanswered,
    UnreadableRecord,
)
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record, Status, whole_number

_DONE, _OK = "attempt-done", "attempt_ok"
_MARKS, _NOTED = ("attempt", _DONE), (_OK,)
_STORE = ("ds-type", "ds-root")
#: Seconds without a sign of life after which it is unknown whether a run or task still runs.
STALE = 24 * 3600
#: Seconds that the next attempt may take to start once it is due.
START = 60.0
#: Seconds after the end of an attempt in which its artifacts may still be on their way.
_SETTLING = 10.0
#: Characters of an exception's text in a reason.
_LONGEST = 200
#: Looks at a task that changes all the while.
_LOOKS = 4
#: Errors of a scheduler's note that is missing, or not as Metaflow writes it.
_NOT_NOTED = (
    DatastoreError,
    PluginError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
#: The return code after which Metaflow's scheduler does not try again.
_FINAL = 202


def task_status(task: RecordedTask) -> Status:
    """Return where a task stands, from its marks of attempts; unpickling runs no code.

    Unreadable records make it `unknown`.

    Raises:
        Unanswered: the metadata's backend does not answer.
    """
    return _readable(partial(_status_of, task))


def run_status(run: RecordedRun) -> Status:
    """Return where a run stands: by its end task, else by the tasks that it has.

    Unreadable records make it `unknown`.

    Raises:
        Unanswered: the metadata's backend does not answer.
    """
    return _readable(partial(run_standing, run))


def _readable(status: Callable[[], Status]) -> Status:
    """Return a status; `unknown` with the reason where its records cannot be read."""
    try:
        return status()
    except Unanswered:
        raise
    except MetaflowException as unreadable:
        return Status("unknown", str(unreadable))


def run_status_by_end(run: RecordedRun, end: Mapping[str, ArtifactRecord]) -> Status:
    """Return where a run stands, as `run_status` does, given artifacts of its end task.

    Where those show that it completed, that costs one question.

    Args:
        run: the run.
        end: artifacts of its end task by name, `_task_ok` and `_success` among them if they exist.
    """
    outcome = end.get("_task_ok")
    if outcome is not None:
        # Without a heartbeat: a task that has not completed is looked at again as recorded.
        record = Record(outcome.path.parent, outcome.created, outcome.user)
        try:
            found, _ = _look(RecordedTask(run.scope, record, known=end), None)
        except Unanswered:
            raise
        except MetaflowException:
            found = None  # told with its reason below
        if found is not None and found.status == "completed":
            return _of_end(record.path, found.status)
    return run_status(run)


def run_standing(run: RecordedRun) -> Status:
    """Return where a run stands.

    Raises:
        MetaflowException: what it recorded cannot be read.
    """
    end = run.endpoint_task("end")
    if end is not None:
        return _of_end(end.path, standing(end).status)
    latest, first = sign_of(run.record), dict[str, Status]()
    unreadable: MetaflowException | None = None
    for task in run.tasks():
        latest = max(latest, sign_of(task.record))
        try:
            status = _status_of(task)
        except Unanswered:
            raise
        except MetaflowException as error:
            unreadable = unreadable or error
            continue
        if status == "completed":
            continue
        of_task = Status(status, f"task {task.path}: {status.reason}")
        if status == "failed":
            return of_task
        first.setdefault(status, of_task)
    if "running" not in first and unreadable is not None:
        raise unreadable
    quiet = "no task is running, the end step has not begun"
    return first.get("running") or first.get("unknown") or _quiet(latest, quiet)


def _of_end(task: Pathspec, status: Status) -> Status:
    return Status(status, f"end task {task}: {status.reason}")


def _status_of(task: RecordedTask) -> Status:
    """Return the status of a task, told with others of its listing where it has completed.

    Raises:
        MetaflowException: what it recorded cannot be read.
    """
    if completed(task):
        return Status("completed", partial(_why_completed, task))
    return standing(task).status


def _why_completed(task: RecordedTask) -> str:
    """Return the reason for a status that was told with others, once it is read."""
    if started_again(task):
        return standing(task).status.reason
    well = cannot_catch(task.scope, task.path.parent.name, task.notes) or task.truth("_success")
    return _completed(0, well=well)


def _completed(attempt: int, *, well: bool) -> str:
    return f"attempt {attempt} completed{'' if well else '; its exception was caught'}"


@attrs.frozen
class Standing:
    """Where a task stands, and the marks that show it."""

    status: Status
    #: The attempt that started last, or was chosen; None if none has started.
    attempt: int | None
    #: When the newest mark of it was made, in seconds since 1970 UTC.
    newest: float
    #: Whether that attempt noted its start or its end.
    started: bool = True
    ended: bool = False


class _Marks(NamedTuple):
    """The attempts that a task recorded."""

    started: frozenset[int]
    #: When each attempt ended, in ms since 1970 UTC.
    done: dict[int, int]
    newest: int

    @property
    def latest(self) -> int | None:
        """The attempt that started last."""
        return max((*self.started, *self.done), default=None)


class _End(NamedTuple):
    """The scheduler's note of the end of an attempt."""

    return_code: int
    #: The scheduler ended it, and does not try it again.
    killed: bool


class _Seen(NamedTuple):
    """The findings of one look at a task."""

    marks: _Marks
    end: _End | None


def standing(task: RecordedTask) -> Standing:
    """Return where a task stands.

    Raises:
        MetaflowException: what it recorded cannot be read.
    """
    found, seen = _look(task, None)
    for _ in range(_LOOKS):
        if found is not None:
            return found
        found, seen = _look(task.alone(), seen)
    latest, newest_mark = seen.marks.latest, seen.marks.newest / 1000
    status = Status("running", f"attempt {latest} is ending")
    return Standing(status, latest, newest_mark, ended=True)


def _look(task: RecordedTask, before: _Seen | None) -> tuple[Standing | None, _Seen]:
    """Look once; None where an attempt may be ending, unless all was so `before`."""
    marks, records = _marks(task)
    latest = marks.latest
    if latest is None:
        if task.attempt is not None:
            status = Status("unknown", f"attempt {task.attempt} recorded nothing")
        else:
            status = _quiet(sign_of(task.record), "it was created, no attempt has started")
        stands = Standing(status, task.attempt, marks.newest / 1000, started=False)
        return stands, _Seen(marks, None)
    attempt = _Attempt(task, latest, marks, records)
    found, seen = attempt.status(), _Seen(marks, None)
    if found is None:
        # The scheduler's note comes last, so the second look at all else has to follow it.
        seen = _Seen(marks, attempt.noted_end)
        found = attempt.settled() if seen == before else None
    if found is None:
        return None, seen
    ended = latest in marks.done
    return Standing(found, latest, marks.newest / 1000, ended=ended), seen


def _marks(task: RecordedTask) -> tuple[_Marks, list[MetadataRecord]]:
    # Where each question waits for a network, one brings all.
    everything = own_metadata(task, (*_MARKS, *_NOTED, *_STORE) if task.scope.remote else _MARKS)
    records = of_attempt(everything, task.attempt)
    marks = _Marks(
        frozenset(number for number, _ in _numbered(records, "attempt")),
        {number: record.created for number, record in _numbered(records, _DONE)},
        max(
            max((record.created for record in records), default=task.record.created),
            task.record.heartbeat or 0,
        ),
    )
    return marks, everything


def _numbered(records: list[MetadataRecord], field: str) -> Iterator[tuple[int, MetadataRecord]]:
    for record in records:
        if record.name == field and (number := whole_number(record.value)) is not None:
            yield number, record


class _Attempt:
    """The attempt of a task that started last, or was chosen."""

    def __init__(
        self, task: RecordedTask, number: int, marks: _Marks, records: list[MetadataRecord]
    ) -> None:
        self._task, self._number, self._marks, self._records = task, number, marks, records
        self._scope, self._path = task.scope, task.path
        #: Artifacts of this attempt that were looked up together.
        self._found: dict[str, ArtifactRecord] = {}

    def status(self) -> Status | None:
        """Return where it stands; None where a second look has to tell, as it may be ending."""
        number, ended = self._number, self._marks.done.get(self._number)
        if ended is None:
            if self.noted_end is not None or self.noted_outcome is False:
                return None
            return _quiet(self._marks.newest, f"attempt {number} has started and not ended")
        outcome = self._artifact("_task_ok")
        if outcome is None:
            return None
        if self._scope.reader.plain(outcome, self._scope.provider) is not True:
            return self._failed(f"attempt {number}{self._raised()}")
        return self._completed() if self._all_there(outcome, ended) else None

    def settled(self) -> Status:
        """Return where an attempt stands of which nothing more came between two looks."""
        number, end = self._number, self.noted_end
        done = "unfinished" if number not in self._marks.done else "its artifacts are not all there"
        if end is not None and end.return_code:
            final = end.killed or end.return_code == _FINAL
            reason = f"attempt {number} ended with return code {end.return_code}, {done}"
            return self._failed(reason, final=final)
        if end is not None and number not in self._marks.done:
            return self._failed(f"attempt {number} ended with return code 0, {done}")
        if end is not None:
            return Status("unknown", f"attempt {number} ended with return code 0, {done}")
        if self.noted_outcome is False:
            return self._failed(f"attempt {number} failed, {done}")
        return _quiet(self._marks.newest, f"attempt {number} is done, {done} yet")

    def _artifact(self, name: str) -> ArtifactRecord | None:
        """Return an artifact of this attempt, not of another one that has ended meanwhile.

        Raises:
            UnreadableRecord: there is one, but it cannot be read.
        """
        if name in self._found:
            return self._found[name]
        together = self._task.siblings is not None and not asked_singly(self._task)
        if together or (self._scope.remote and self._task.attempt is None):
            found = self._task.artifact(name)
            if isinstance(found, ArtifactRecord) and found.attempt == self._number:
                return found
        found = self._scope.provider.get(self._path.child(name), self._number)
        return found if isinstance(found, ArtifactRecord) else None

    def _value(self, name: str) -> object:
        record = self._artifact(name)
        return None if record is None else self._scope.reader.plain(record, self._scope.provider)

    def _all_there(self, outcome: ArtifactRecord, ended: int) -> bool:
        """Tell whether all artifacts of the attempt are registered, as its datastore lists them.

        Far away that is asked for only while they may still be on their way.
        """
        reader = self._scope.reader
        settling = abs(time.time() - ended / 1000) <= _SETTLING
        try:
            if not settling and not reader.datastore.is_local(outcome.ds_type):
                return True
            where = reader.place(outcome, self._scope.provider)
            names = reader.datastore.attempt_names(where, self._path, self._number)
        except DatastoreError:
            return not settling  # on a network disk it may be seen before it can be read
        except PluginError:
            return True  # all that is known is the outcome
        # They are registered in this order, so the last one comes when all others are there.
        return not names or self._is_there(names[-1])

    def _is_there(self, name: str) -> bool:
        """Tell whether an artifact is registered; look up `_success` on the way, asked for next."""
        if self._scope.remote:
            return self._artifact(name) is not None
        wanted = (name, "_success")
        for record in self._scope.provider.artifacts(self._path, wanted, self._number):
            self._found[record.path.name] = record
        return name in self._found

    def _completed(self) -> Status:
        if self._task.siblings is not None and self.noted_outcome is not None:
            well = self._task.truth("_success")
        else:
            well = self._value("_success") is True
        return Status("completed", _completed(self._number, well=well))

    def _raised(self) -> str:
        try:
            exception = self._value("_exception")
        except (DatastoreError, UnreadableRecord) as unreadable:
            exception = unreadable
        return "" if exception is None else f" raised {_described(exception)}"

    def _failed(self, reason: str, *, final: bool = False) -> Status:
        """Return `failed`, or `running` while another attempt is due."""
        if self._task.attempt is None and not final:
            ended = self._marks.done.get(self._number)
            since = (self._marks.newest if ended is None else ended) / 1000
            # A scheduler that was killed starts no other attempt; how long ago is not recorded.
            if time.time() - since < STALE:
                due = due_after(self._task, self._number)
                if due is not None and (ended is None or time.time() - since < due.seconds):
                    return Status("running", due.reason)
        return Status("failed", reason)

    @functools.cached_property
    def noted_outcome(self) -> bool | None:
        """Whether the attempt noted that it went well; None if it did not (before 2.2.5)."""
        records = self._records
        if not self._scope.remote:
            records = self._task.own_metadata(_NOTED)
        for record in records:
            if record.name == _OK and record.attempt == self._number:
                return record.value == "True"  # type: ignore[no-any-return]
        return None

    @functools.cached_property
    def noted_end(self) -> _End | None:
        """The scheduler's note of the end of the attempt; None without one."""
        records = self._records
        if not self._scope.remote:
            records = self._task.own_metadata(_STORE)
        try:
            where = recorded_store(self._scope, self._path, newest(records))
            if where is None:
                return None
            store = self._scope.reader.datastore
            for name in (f"{self._number}.runtime", f"{self._number}.runtime.json"):  # before 2.4
                found = store.task_file(where, self._path, name)
                if found is not None:
                    noted = json.loads(found)
                    return _End(int(noted["return_code"]), noted.get("killed") is True)
        except _NOT_NOTED:
            pass
        return None


class Due(NamedTuple):
    """Another attempt that should start."""

    #: Seconds after the end of the one before within which it starts.
    seconds: float
    reason: str


def due_after(task: RecordedTask, failed: int) -> Due | None:
    """Return the attempt that follows a failed one, None if none does or the graph is unknown."""
    graph, step = task.graph(), task.path.parent.name
    if graph is None:
        return None
    times, minutes = graph.retry_of(step)
    number = failed + 1
    if failed < times:
        return Due(60.0 * minutes + START, f"attempt {number} of {times + 1} failed; retry due")
    if failed < times + graph.fallbacks_of(step):
        return Due(60.0 * minutes + START, f"attempt {number} failed; what catches it is due")
    return None


def sign_of(record: Record) -> int:
    """Return when a run or task gave its last sign of life, as its record says, in ms."""
    beat = record.heartbeat
    return record.created if beat is None else max(record.created, beat)


def _described(exception: object) -> str:
    """Return type and first line of an exception, or of whatever else stands in its place."""
    kind, text = getattr(exception, "type", None), getattr(exception, "exception", None)
    if isinstance(exception, MetaflowException):
        text = exception.message
    kind = kind if isinstance(kind, str) else type(exception).__name__
    lines = text.splitlines() if isinstance(text, str) else []
    first = lines[0] if lines else ""
    return f"{kind}: {first if len(first) <= _LONGEST else f'{first[:_LONGEST]}…'}"


def _quiet(since: int, what: str) -> Status:
    """Return `running`, or `unknown` if the last sign of life is too old to tell."""
    silent = time.time() - since / 1000
    word = "running" if silent < STALE else "unknown"
    return Status(word, f"{what}; last sign of life {_duration(silent)} ago")


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"

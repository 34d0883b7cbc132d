"""Task: one execution of a step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from mfc._arguments import flag, one_of
from mfc._objects._artifact import DataArtifact, MetaflowArtifacts, MetaflowData
from mfc._objects._code_package import MetaflowCode, environment_of
from mfc._objects._object import MetaflowObject
from mfc._recorded._lineage import INDEX_FIELDS, children_of, index_of, parents_of
from mfc._recorded._metadata import newest
from mfc._recorded._task import RecordedTask, duration_of
from mfc._recorded._times import local_time
from mfc.errors import BadArgument
from mfc.model import Level, Pathspec, Record, Status, whole_number
from mfc.query import Query

if TYPE_CHECKING:
    from mfc._facts._failure import Failure
    from mfc._logs._selection import Selection
    from mfc._logs._task_logs import TaskLogs
    from mfc._objects._step import Step


class Metadata(NamedTuple):
    """One metadata event of a task, with Metaflow's fields."""

    name: str
    value: Any
    #: Milliseconds since 1970-01-01 UTC: a number, as Metaflow has it.
    created_at: int
    type: str | None
    task: Task


class Task(MetaflowObject):
    """One execution of a step. `Task("Flow/7/train/12")`; iterating gives its artifacts.

    A task may have several attempts. Without `attempt=`, artifacts come from the attempt that
    ended last, logs from the one that started last, and metadata from all.
    """

    __slots__ = ()
    _level = Level.TASK
    _child_class = DataArtifact
    if TYPE_CHECKING:
        parent: Step

    @classmethod
    def _above(cls) -> type[Step]:
        from mfc._objects._step import Step  # it imports this module

        return Step

    @property
    def _recorded(self) -> RecordedTask:
        """The recorded task, made anew on each use."""
        walk = getattr(self, "_walk", None)
        return RecordedTask(self._scope, self._record, self._siblings, walk, self._attempt)

    def _child_records(self, query: Query) -> Iterator[Record]:
        scope, names = self._scope, query.names
        return scope.seen(scope.provider.artifacts(self._record.path, names, self._attempt))

    def _child_record(self, path: Pathspec) -> Record | None:
        return self._recorded.artifact(path.name)

    def __iter__(self) -> Iterator[DataArtifact]:
        """Yield the artifacts, newest first, except those whose names begin with `_`."""
        return self._children()

    def __getitem__(self, name: str) -> DataArtifact:
        """Return the artifact `name`.

        Raises:
            ChildNotFound: the artifact does not exist; a KeyError.
        """
        found: DataArtifact = super().__getitem__(name)
        return found

    @property
    def data(self) -> MetaflowData:
        """The values of the artifacts by name: `task.data.x`."""
        return MetaflowData(self)

    @property
    def artifacts(self) -> MetaflowArtifacts:
        """The artifacts by name, position or iteration: `task.artifacts.x`."""
        return MetaflowArtifacts(self)

    # Outcome

    @property
    def successful(self) -> bool:
        """Whether the attempt that ended last had no exception."""
        return self._recorded.truth("_success")

    @property
    def finished(self) -> bool:
        """Whether the attempt that ended last completed; False if it failed, as in Metaflow."""
        return self._recorded.truth("_task_ok")

    @property
    def exception(self) -> Any:
        """Exception of the attempt that ended last: `type`, `exception`, `stacktrace`; or None."""
        return self._recorded.internal("_exception")

    @property
    def finished_at(self) -> datetime | None:
        """Time when the last attempt ended, in any way: naive, local time; None before that."""
        record = self._recorded.artifact("_task_ok")
        return None if record is None else local_time(record.created)

    @property
    def duration(self) -> timedelta | None:
        """The time from start to end of the chosen attempt, else of the one that ended last.

        Both as the task noted them: neither the wait before its start nor earlier attempts count.
        None if no attempt has ended. Of a clone it is the time that cloning took, or None where its
        start was not noted. It costs one question; a loop over tasks asks for all of a step at once
        where questions wait for a network.
        """
        return duration_of(self._recorded)

    @property
    def status(self) -> Status:
        """`running`, `completed`, `failed` or `unknown`; `.reason` says why."""
        from mfc._recorded._status import task_status  # few programs need it

        return task_status(self._recorded)

    @property
    def failure(self) -> Failure | None:
        """How the chosen attempt failed, else the last one; None if it has not failed.

        It is the entry of `Run.failures`, but for `collateral`, which is False: the task is looked
        at by itself. So a task without an end is `killed` once it gave no sign of life for 24
        hours. It costs as much as `status`, and the artifacts of a task that failed.

        Raises:
            UnreadableRecord: what it recorded cannot be read.
            Unanswered: the metadata's backend does not answer.
        """
        from mfc._facts._failures import failure_of  # few ask for it

        return failure_of(self._recorded)

    @property
    def index(self) -> int | None:
        """Index in the innermost foreach around this task; None outside a foreach."""
        recorded = self._recorded
        return index_of(recorded, recorded.fields(INDEX_FIELDS))

    @property
    def runtime_name(self) -> str | None:
        """Name of the runtime from tag `runtime:…`, such as `dev`; None without such a tag."""
        for tag in sorted(self.tags):
            if tag.startswith("runtime:"):
                return tag.split(":")[1]
        return None

    # Metadata

    @property
    def metadata(self) -> list[Metadata]:
        """All metadata of the chosen attempt, or of all attempts, oldest first.

        For a task that `resume` cloned, fields that only its origin has follow its own.
        """
        return [
            Metadata(record.name, record.value, record.created, record.type, self)
            for record in self._recorded.metadata()
        ]

    @property
    def metadata_dict(self) -> dict[str, Any]:
        """The newest value of each metadata field."""
        return newest(self._recorded.metadata())

    @property
    def current_attempt(self) -> int:
        """The chosen attempt, else the one that started last; 0 before the first start."""
        if self._attempt is not None:
            return self._attempt
        return whole_number(self._recorded.fields(("attempt",)).get("attempt")) or 0

    @property
    def origin_pathspec(self) -> str | None:
        """The task that this one was cloned from; None if it ran itself."""
        origin = self._recorded.origin()
        return str(origin) if origin else None

    # Code and environment

    @property
    def code(self) -> MetaflowCode | None:
        """The code package of this task; None if it ran without one."""
        package = self._recorded.fields(("code-package",)).get("code-package")
        if not package:
            return None
        return MetaflowCode(self._record.path.components[0], package, scope=self._scope)

    @property
    def environment_info(self) -> Any:
        """The recorded environment; None without a code package.

        `"Local environment"`, or for conda and PyPI the mapping that Metaflow packed.
        """
        code = self.code
        return environment_of(code, self.metadata_dict) if code else None

    # Logs

    def _logs(self, stream: str, meta_dict: Mapping[str, Any] | None = None) -> TaskLogs:
        from mfc._logs._task_logs import TaskLogs  # listings need no logs

        return TaskLogs.of(self._recorded, stream, meta_dict)

    @property
    def stdout(self) -> str:
        """Standard output of the chosen attempt, else of the one that started last."""
        return self._logs("stdout").text()

    @property
    def stderr(self) -> str:
        """Standard error, for the same attempt as `stdout`."""
        return self._logs("stderr").text()

    @property
    def stdout_size(self) -> int:
        """Size of the recorded `stdout` in bytes, time stamps included."""
        return self._logs("stdout").size()

    @property
    def stderr_size(self) -> int:
        """Size of the recorded `stderr` in bytes, time stamps included."""
        return self._logs("stderr").size()

    @overload
    def loglines(
        self,
        stream: str,
        as_unicode: Literal[True] = True,  # noqa: FBT002 - Metaflow's signature
        meta_dict: Mapping[str, Any] | None = None,
        *,
        tail: int | None = None,
        since: datetime | date | timedelta | str | None = None,
        grep: str | bytes | re.Pattern[str] | re.Pattern[bytes] | None = None,
        follow: bool = False,
    ) -> Iterator[tuple[datetime | None, str]]: ...

    @overload
    def loglines(
        self,
        stream: str,
        as_unicode: Literal[False],
        meta_dict: Mapping[str, Any] | None = None,
        *,
        tail: int | None = None,
        since: datetime | date | timedelta | str | None = None,
        grep: str | bytes | re.Pattern[str] | re.Pattern[bytes] | None = None,
        follow: bool = False,
    ) -> Iterator[tuple[datetime | None, bytes]]: ...

    @overload
    def loglines(
        self,
        stream: str,
        as_unicode: bool = True,  # noqa: FBT001, FBT002 - Metaflow's signature
        meta_dict: Mapping[str, Any] | None = None,
        *,
        tail: int | None = None,
        since: datetime | date | timedelta | str | None = None,
        grep: str | bytes | re.Pattern[str] | re.Pattern[bytes] | None = None,
        follow: bool = False,
    ) -> Iterator[tuple[datetime | None, str | bytes]]: ...

    def loglines(  # noqa: PLR0913 - Metaflow's signature, and the selection
        self,
        stream: str,
        as_unicode: bool = True,  # noqa: FBT001, FBT002 - Metaflow's
        meta_dict: Mapping[str, Any] | None = None,
        *,
        tail: int | None = None,
        since: datetime | date | timedelta | str | None = None,
        grep: str | bytes | re.Pattern[str] | re.Pattern[bytes] | None = None,
        follow: bool = False,
    ) -> Iterator[tuple[datetime | None, str | bytes]]:
        """Yield the lines of a stream, each with the time it was printed: naive, UTC.

        `tail` and `since` read only the needed end of a log. `follow` yields the lines of a
        running task, and of its next attempts, as they are written, until the task has ended;
        Ctrl-C stops. A line that is being written comes when it is complete.

        Args:
            stream: `stdout` or `stderr`.
            as_unicode: True yields text, in which bytes that are not UTF-8 become U+FFFD; False
                yields the bytes as printed.
            meta_dict: the metadata of this task, if you have it already; not used by `follow`.
            tail: only this many last lines of those that the other keywords select, as
                `grep PATTERN | tail -n N`; with `follow`, of the lines so far.
            since: only lines after the last line printed before this time. It has the forms of
                `Flow.runs`: local unless it has a time zone. The time of a line is naive UTC, so
                pass it as `stamp.replace(tzinfo=timezone.utc)`. A line without a time belongs to
                the one before it.
            grep: only lines that this regular expression finds. A pattern of bytes searches the
                line as printed.
            follow: continue until the task has ended. After a failed attempt that `@retry`
                repeats, the next attempt follows.

        Raises:
            BadArgument: an argument is invalid, or `since` is used with a log without times
                (Metaflow before 2.2.10); a ValueError.
        """
        from mfc._logs._selection import Selection  # listings need no logs

        one_of("stream", stream, ("stdout", "stderr"))
        if not isinstance(meta_dict, (Mapping, type(None))):
            raise BadArgument.of("meta_dict", meta_dict, "what task.metadata_dict gives, or None")
        wanted = Selection(tail, since=since, grep=grep)
        lines = self._lines(stream, meta_dict, wanted, follow=flag("follow", follow))
        if flag("as_unicode", as_unicode):
            return ((stamp, line.decode(errors="replace")) for stamp, line in lines)
        return lines

    def _lines(
        self,
        stream: str,
        meta_dict: Mapping[str, Any] | None,
        wanted: Selection,
        *,
        follow: bool,
    ) -> Iterator[tuple[datetime | None, bytes]]:
        """Yield the selected lines; reading begins with the first one."""
        if follow:
            from mfc._logs._follow import FollowedTask  # few programs follow a log

            yield from FollowedTask(self._recorded, stream, wanted).lines()
        else:
            yield from self._logs(stream, meta_dict).selected(wanted)

    # Lineage

    @property
    def parent_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of `parent_tasks`."""
        return (str(record.path) for record in parents_of(self._recorded))

    @property
    def child_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of `child_tasks`."""
        return (str(record.path) for record in children_of(self._recorded))

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks whose results this one received, by step, newest first."""
        scope = self._scope.unchecked()
        return (Task._of(scope, record) for record in parents_of(self._recorded))

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that received the results of this one (so far), by step, newest first."""
        scope = self._scope.unchecked()
        return (Task._of(scope, record) for record in children_of(self._recorded))

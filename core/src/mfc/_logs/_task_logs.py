"""The logs of one stream of one attempt of a task."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from mfc._recorded._metadata import newest, of_attempt, origin_of, recorded_store, store_at
from mfc._recorded._task import RecordedTask
from mfc._session._scope import Scope
from mfc._storage._place import Place
from mfc.errors import BadArgument, DatastoreError
from mfc.model import Pathspec, whole_number

if TYPE_CHECKING:
    from mfc._logs._ends import LogEnd, LogFile
    from mfc._logs._selection import Selection

#: The writers of logs, in the order in which Metaflow reads them.
SOURCES = ("runtime", "task")
_FIELDS = ("attempt", "ds-type", "ds-root", "log_location_{}", "origin-run-id", "origin-task-id")


@attrs.frozen
class TaskLogs:
    """Where the logs of one stream of one attempt are, and what is in them."""

    _scope: Scope
    _task: Pathspec
    _where: Place | None
    #: The files' names; one if they are from before Metaflow had a log format of its own.
    _names: tuple[str, ...] = ()
    _legacy: bool = False
    #: They are those of the task that the one asked for was cloned from.
    _cloned: bool = False

    @classmethod
    def of(
        cls, task: RecordedTask, stream: str, meta_dict: Mapping[str, Any] | None = None
    ) -> TaskLogs:
        """Return the logs of `task`; of a clone, those of the task that it was cloned from.

        Args:
            task: the task.
            stream: `stdout` or `stderr`.
            meta_dict: its metadata, if known.

        Raises:
            DatastoreError: where they are was not recorded as Metaflow does.
        """
        scope, path, attempt = task.scope, task.path, task.attempt
        fields = dict(meta_dict) if meta_dict is not None else _fields(scope, path, stream, attempt)
        seen = {path}
        while (origin := origin_of(path, fields)) is not None and origin not in seen:
            seen.add(origin)
            path, attempt = origin, None
            fields = _fields(scope, path, stream, None)
        number = (whole_number(fields.get("attempt")) or 0) if attempt is None else attempt
        if location := fields.get(f"log_location_{stream}"):
            return cls._of_legacy(scope, path, location, stream)
        where = recorded_store(scope, path, fields)
        if where is None:
            return cls(scope, path, None)
        return cls(scope, path, where, _names(number, stream), cloned=path != task.path)

    @classmethod
    def _of_legacy(cls, scope: Scope, path: Pathspec, location: Any, stream: str) -> TaskLogs:
        """Return logs as Metaflow wrote them before 2.2.10: one plain file.

        Raises:
            DatastoreError: the location is not what Metaflow writes.
        """
        import json  # only the logs of before mflog need it

        try:
            noted = json.loads(location)
            ds_type, full, number = noted["ds_type"], noted["location"], noted["attempt"]
            root = full.rsplit("/", 5)[0]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
            reason = f"its location is not as Metaflow writes it: {reprlib.repr(location)}"
            raise DatastoreError(f"{stream} of {path}", "", reason) from cause
        if (attempt := whole_number(number)) is None:
            raise DatastoreError(
                f"{stream} of {path}", "", f"it has no attempt {reprlib.repr(number)}"
            )
        where = store_at(scope, path, ds_type, root)
        return cls(scope, path, where, (f"{attempt}.{stream}.log",), legacy=True)

    def text(self) -> str:
        """Return the whole log; bytes that are not UTF-8 become U+FFFD.

        Raises:
            UnreadableBlob: it may not be read, or the store failed.
        """
        from mfc._logs._merge import joined  # only logs need it, so not at start-up

        contents = self._contents()
        if self._legacy:
            return b"".join(contents).decode(errors="replace")
        return joined(contents)

    def lines(self) -> Iterator[tuple[datetime | None, bytes]]:
        """Yield each line with its time; legacy logs have no times."""
        from mfc._logs._merge import merged  # only logs need it, so not at start-up

        if not self._legacy:
            return iter(merged(self._contents()))
        return ((None, line) for line in b"".join(self._contents()).splitlines())

    def selected(self, selection: Selection) -> Iterator[tuple[datetime | None, bytes]]:
        """Yield the lines that are wanted, with their times; reads only the end where it can.

        Raises:
            BadArgument: lines of some time are wanted, and a legacy log has no times.
            UnreadableBlob: it may not be read, or the store failed.
        """
        if self._legacy and selection.since:
            raise BadArgument(
                f"since is of no use for {self._task}: its log has no times, as it is from before "
                "Metaflow 2.2.10; use tail= or grep="
            )
        if selection.at_end:
            return self._at_end(selection)
        return (line for line in self.lines() if selection.matches(line[1]))

    def _at_end(self, selection: Selection) -> Iterator[tuple[datetime | None, bytes]]:
        from mfc._logs._ends import legacy_lines, selected  # nor this
        from mfc._logs._merge import last_lines, moment  # only logs need it, so not at start-up

        if selection.tail == 0:
            return
        parse = legacy_lines if self._legacy else last_lines
        for stamp, line in selected(self.ends(), selection, parse):
            yield moment(stamp) if stamp else None, line

    @property
    def legacy(self) -> bool:
        """Whether it is from before Metaflow had a log format of its own, without times."""
        return self._legacy

    def at_attempt(self, attempt: int, stream: str) -> TaskLogs:
        """Return the logs of another attempt of the same task; legacy and cloned ones have none."""
        if self._legacy or self._cloned:
            return self
        return attrs.evolve(self, names=_names(attempt, stream))

    def files(self) -> list[LogFile]:
        """Return the files, whether or not they exist; none where no datastore is known."""
        from mfc._logs._ends import LogFile  # only parts of logs need it

        if self._where is None:
            return []
        datastore = self._scope.reader.datastore
        return [LogFile(datastore, self._where, self._task, name) for name in self._names]

    def ends(self) -> list[LogEnd]:
        """Return the ends of the files as they are now, of which nothing is read yet."""
        from mfc._logs._ends import LogEnd  # only parts of logs need it

        return [LogEnd(file) for file in self.files()]

    def size(self) -> int:
        """Return the size of the files in bytes."""
        if self._where is None:
            return 0
        size = self._scope.reader.datastore.task_file_size
        return sum(size(self._where, self._task, name) for name in self._names)

    def _contents(self) -> list[bytes]:
        if self._where is None:
            return []
        read = self._scope.reader.datastore.task_file
        return [read(self._where, self._task, name) or b"" for name in self._names]


def _names(attempt: int, stream: str) -> tuple[str, ...]:
    return tuple(f"{attempt}.{source}_{stream}.log" for source in SOURCES)


def _fields(scope: Scope, path: Pathspec, stream: str, attempt: int | None) -> dict[str, Any]:
    if attempt is not None:  # whole: attempts of old metadata are told apart by all of it
        return newest(of_attempt(scope.provider.metadata(path), attempt))
    return newest(scope.provider.metadata(path, tuple(f.format(stream) for f in _FIELDS)))

"""The logs of one stream of one attempt of a task."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from mfc._objects._metadata import newest, of_attempt, origin_of, recorded_store, store_at
from mfc._place import Place
from mfc._reader import Scope
from mfc.errors import BadArgument, DatastoreError
from mfc.model import Pathspec, whole_number

if TYPE_CHECKING:
    from mfc._objects._task import Task

#: Who writes logs, in the order in which Metaflow reads them.
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

    @classmethod
    def of(cls, task: Task, stream: str, meta_dict: Mapping[str, Any] | None = None) -> TaskLogs:
        """Return the logs of `task`; of a clone, those of the task that it was cloned from.

        Args:
            task: the task.
            stream: `stdout` or `stderr`.
            meta_dict: its metadata, if known.

        Raises:
            BadArgument: `stream` is neither; a ValueError.
            DatastoreError: where they are was not recorded as Metaflow does.
        """
        if stream not in ("stdout", "stderr"):
            raise BadArgument(f"stream is {stream!r}; expected 'stdout' or 'stderr'")
        scope, path, attempt = task._scope, task._record.path, task._attempt
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
        return cls(scope, path, where, tuple(f"{number}.{s}_{stream}.log" for s in SOURCES))

    @classmethod
    def _of_legacy(cls, scope: Scope, path: Pathspec, location: Any, stream: str) -> TaskLogs:
        """Return logs as Metaflow wrote them before 2.2.10: one plain file.

        Raises:
            DatastoreError: the location is not what Metaflow writes.
        """
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
        """Return the whole log; what is no UTF-8 becomes U+FFFD.

        Raises:
            UnreadableBlob: it may not be read, or the store failed.
        """
        from mfc._logs import joined  # only logs need it, so not at start-up

        contents = self._contents()
        if self._legacy:
            return b"".join(contents).decode(errors="replace")
        return joined(contents)

    def lines(self, *, as_unicode: bool) -> Iterator[tuple[datetime | None, str | bytes]]:
        """Yield each line with its time, as `Task.loglines` does; legacy logs have no times."""
        from mfc._logs import merged  # only logs need it, so not at start-up

        if self._legacy:
            lines: Iterator[tuple[datetime | None, bytes]] = (
                (None, line) for line in b"".join(self._contents()).splitlines()
            )
        else:
            lines = iter(merged(self._contents()))
        for stamp, line in lines:
            yield stamp, line.decode(errors="replace") if as_unicode else line

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


def _fields(scope: Scope, path: Pathspec, stream: str, attempt: int | None) -> dict[str, Any]:
    if attempt is not None:  # whole: attempts of old metadata are told apart by all of it
        return newest(of_attempt(scope.provider.metadata(path), attempt))
    return newest(scope.provider.metadata(path, tuple(f.format(stream) for f in _FIELDS)))

"""DataArtifact: one value, and the containers of values by name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mfc._arguments import path_of
from mfc._objects._object import MetaflowObject
from mfc._recorded._values import value_of
from mfc.errors import (
    ArtifactNotFound,
    ChildNotFound,
    CorruptBlob,
    MetaflowDataMissing,
    MetaflowException,
    visible,
)
from mfc.model import ArtifactRecord, Level, Record

if TYPE_CHECKING:
    from mfc._bulk._ahead import Row
    from mfc._bulk._progress import Progress
    from mfc._concurrency._prefetch import Siblings
    from mfc._objects._task import Task
    from mfc._session._scope import Scope

#: Key of the question for the artifacts of the end task of a run.
AT_END = "at end"
_INCLUDED = "metaflow.includefile.IncludedFile"


def _in_row(scope: Scope, listing: Siblings, name: str, position: int) -> ArtifactRecord | None:
    """Return the artifact `name` of the task, or of the run's end task, at `position`.

    Raises:
        LookupError: the position does not exist, or the record would need a remote call.
    """
    path = listing.path(position)
    if path is None:
        raise LookupError(position)
    of_run = path.level is Level.RUN
    if scope.remote:
        known = listing.known(position, AT_END if of_run else ("artifact", name))
        if known is None:
            raise LookupError(position)
        return cast("ArtifactRecord | None", known.get(name) if of_run else known)
    with contextlib.suppress(MetaflowException):  # raised when the caller gets to this position
        if of_run:
            from mfc._objects._run import Run  # it imports this module

            run = Run._of(scope, Record(path, 0))
            return run._recorded.end_artifacts((name,)).get(name)
        record = scope.provider.get(path.child(name))
        return record if isinstance(record, ArtifactRecord) else None
    return None


class DataArtifact(MetaflowObject):
    """One value that a task stored. `DataArtifact("Flow/7/train/12/model")`."""

    __slots__ = ("_row",)
    _level = Level.ARTIFACT
    _record: ArtifactRecord
    #: The prefetching row of values in a listing, and the position there; unset outside of one.
    _row: tuple[Row, int]
    if TYPE_CHECKING:
        parent: Task

    @classmethod
    def _above(cls) -> type[Task]:
        from mfc._objects._task import Task  # it imports this module

        return Task

    @property
    def data(self) -> Any:
        """The value; for an IncludeFile the file's content.

        Raises:
            MetaflowDataMissing: the record exists, but the value is missing.
            CorruptBlob: the bytes are not those that were written.
            UntrustedValue: the client's trust does not allow the value.
            UnknownEncoding: no decoder reads its encoding.
            UndecodableArtifact: the decoder failed.
        """
        row, position = self._place_in_row()
        read = None if row is None else partial(row.held, position, self._record)
        return value_of(self._scope, self._record, read)

    def _place_in_row(self) -> tuple[Row | None, int]:
        """Return the row of artifacts of this name in a listing, if any, and the position."""
        if hasattr(self, "_row"):
            return self._row
        walk = getattr(self._parent, "_walk", None)
        if walk is None or self._attempt is not None:
            return None, 0
        from mfc._bulk._ahead import Row, pays  # most values are read singly

        if not pays(self._scope, self._record):
            return None, 0
        listing, position = walk
        if self.id not in listing.rows:
            listing.rows[self.id] = Row(
                self._scope, partial(_in_row, self._scope, listing, self.id)
            )
        return listing.rows[self.id], position

    @property
    def raw(self) -> bytes:
        """The verified bytes of the encoded value, uncompressed but not decoded.

        Raises:
            MetaflowDataMissing, CorruptBlob: as for `data`.
        """
        return self._scope.reader.raw(self._record, self._scope.provider)

    def open(self) -> BinaryIO:
        """Return `raw` as a seekable file; for an IncludeFile the file's content.

        All bytes are verified before the file is returned. Large content stays on disk.

        Raises:
            MetaflowDataMissing, CorruptBlob: as for `data`.
        """
        from mfc._bulk._content import opened  # few read bytes

        return opened(self._scope, self._record)

    def download(self, path: str | os.PathLike[str], progress: Progress = None) -> None:
        """Write `raw` to a file; for an IncludeFile the file's content.

        The file appears once all bytes are verified, and replaces an existing one.

        Args:
            path: the file; its directory must exist.
            progress: as in `mfc.load`, in bytes as they are stored.

        Raises:
            MetaflowDataMissing, CorruptBlob: as for `data`.
            BadArgument: an argument is invalid.
            OSError: the file cannot be written.
        """
        target = path_of("path", path, "the path of a file")
        from mfc._bulk._content import downloaded  # few read bytes
        from mfc._bulk._progress import reporter

        with reporter(progress, "bytes")() as tell:
            downloaded(self._scope, self._record, target, tell)

    @property
    def location(self) -> str:
        """The recorded location: `:root:` and the datastore's root, or a full path.

        The blob is at `<root>/<flow>/data/<first two digits of sha>/<sha>`. Metaflow's client has
        this as `artifact._object["location"]`.
        """
        return self._record.location

    @property
    def sha(self) -> str:
        """SHA-1 of `raw`, 40 hex digits: equal values mostly have equal hashes."""
        return self._record.sha

    @property
    def size(self) -> int:
        """Size of the encoded value in bytes; for an IncludeFile that of the file.

        Raises:
            MetaflowDataMissing: the writer's note of the attempt is gone.
            CorruptBlob: the note is damaged.
        """
        noted = self._noted()
        if _INCLUDED in _type_in(noted):
            from mfc._recorded._included_file import included_size  # few artifacts are files

            scope = self._scope
            value = scope.reader.plain(self._record, scope.provider)
            return included_size(scope, value, self.pathspec)
        size = noted.get("size", 0)
        if not isinstance(size, int):
            location = f"{self._record.path.parent}/{self._record.attempt}.data.json"
            raise CorruptBlob(self.pathspec, location, "its noted size is not a number")
        return size

    @property
    def type(self) -> str | None:
        """The value's type as the writer noted it, `<class 'dict'>`; None without a note."""
        return _type_in(self._noted()) or None

    def _noted(self) -> dict[str, Any]:
        scope, record = self._scope, self._record
        where = scope.reader.place(record, scope.provider)
        task = record.path.parent
        info = scope.reader.datastore.attempt_info(where, task, record.attempt)
        noted = info.get(record.path.name)
        if not isinstance(noted, dict):
            location = f"{where.roots[0]}/{task}/{record.attempt}.data.json"
            raise MetaflowDataMissing(self.pathspec, location, "the writer's note of it is gone")
        return noted

    @property
    def finished_at(self) -> datetime:
        """Time of the record, about when the task ended: naive, local time."""
        return self.created_at

    @property
    def origin_pathspec(self) -> str | None:
        """The same artifact of the task that its task was cloned from; None without a clone."""
        origin = self.parent.origin_pathspec
        return f"{origin}/{self.id}" if origin else None

    def _child_path(self, name: object) -> Any:
        raise ChildNotFound(str(self), name)

    def __contains__(self, name: object) -> bool:
        return False

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def _type_in(noted: dict[str, Any]) -> str:
    found = noted.get("type")
    return found if isinstance(found, str) else ""


def artifacts_below(
    above: MetaflowObject, tasks: Iterable[Task], names: list[str]
) -> Iterator[DataArtifact]:
    """Yield the artifacts of tasks of a step or run; values of one name are prefetched."""
    from mfc._bulk._ahead import TableTask, table  # few programs iterate over artifacts

    rows = (TableTask(task._scope, task._record.path, partial(_made, task)) for task in tasks)
    return table(above._scope, above._record.path, rows, names)


def _made(task: Task, record: ArtifactRecord, row: tuple[Row, int] | None) -> DataArtifact:
    made = DataArtifact._of(task._scope, record, None, task)
    if row is not None:
        made._row = row
    return made


class MetaflowData:
    """The values of a task's artifacts: `task.data.x`, `"x" in task.data`, `dir(task.data)`."""

    #: The records of the artifacts by name; None where each is looked up on use.
    _known: Mapping[str, ArtifactRecord] | None = None

    def __init__(self, artifacts: Task, known: Mapping[str, ArtifactRecord] | None = None) -> None:
        self._task, self._known = artifacts, known

    @property
    def _artifacts(self) -> dict[str, DataArtifact]:
        """The artifacts by name; private in Metaflow, but used by its users' code."""
        if self._known is None:
            return {artifact.id: artifact for artifact in self._task}
        return {name: self._artifact(name) for name in self._known if not name.startswith("_")}

    def _artifact(self, name: str) -> DataArtifact:
        if self._known is None:
            return self._task[name]
        if name not in self._known:
            raise ChildNotFound(str(self._task), name)
        return DataArtifact._of(self._task._scope, self._known[name], None, self._task)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not artifacts, and pickle and IPython look up many
            raise AttributeError(name)
        try:
            return self._artifact(name).data
        except ChildNotFound as missing:
            raise ArtifactNotFound(str(self._task), name, missing.hint) from None

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or name.startswith("_"):
            return False
        return name in (self._task if self._known is None else self._known)

    def __dir__(self) -> list[str]:
        return [*self._artifacts, *object.__dir__(self)]

    def __repr__(self) -> str:
        return f"<MetaflowData: {visible(', '.join(self._artifacts))}>"

    def __getstate__(self) -> dict[str, Any]:
        return {"_task": self._task}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of `__getstate__`, or Metaflow's own: the artifacts by name."""
        artifacts = state.get("_artifacts")
        if artifacts is None:
            self._task = state["_task"]
            return
        self._known = {name: artifact._record for name, artifact in artifacts.items()}
        for artifact in artifacts.values():  # without artifacts the task is never used
            self._task = artifact.parent
            break


class MetaflowArtifacts(tuple["DataArtifact", ...]):
    """The artifacts of a task, as a tuple and by name; any name works."""

    __slots__ = ()

    def __new__(cls, artifacts: Task) -> MetaflowArtifacts:
        """Read the artifacts of a task."""
        return super().__new__(cls, tuple(artifacts))

    @property
    def _fields(self) -> tuple[str, ...]:
        return tuple(artifact.id for artifact in self)

    def _asdict(self) -> dict[str, DataArtifact]:
        return {artifact.id: artifact for artifact in self}

    def __getattribute__(self, name: str) -> Any:
        # As fields of Metaflow's namedtuple, artifacts hide the methods `count` and `index`.
        if not name.startswith("_"):
            for artifact in self:
                if artifact.id == name:
                    return artifact
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> DataArtifact:
        raise ArtifactNotFound("MetaflowArtifacts", name)

    def __dir__(self) -> list[str]:
        return [*self._fields, *object.__dir__(self)]

    def __reduce__(self) -> Any:
        task = next((artifact.parent for artifact in self), None)
        return (tuple, ()) if task is None else (getattr, (task, "artifacts"))

    def __repr__(self) -> str:
        return f"MetaflowArtifacts({', '.join(f'{visible(a.id)}={a!r}' for a in self)})"

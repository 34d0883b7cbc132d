"""A task as it was recorded, and the questions that it answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import attrs

from mfc._concurrency._prefetch import Siblings
from mfc._recorded._graph import Graph, graph_noted
from mfc._recorded._metadata import ORIGIN, newest, of_attempt, origin_of, with_origins
from mfc._recorded._object import Recorded
from mfc._recorded._questions import BY_METADATA, artifact_of, metadata_of, outcome_of
from mfc._recorded._times import ENDED, STARTED, Span, last_ended, spans_of
from mfc._session._scope import Scope
from mfc.errors import NoTasks, Unanswered, UnreadableRecord, visible, warn
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.query import Query

#: Artifacts of a task of which none is known.
_NONE: Mapping[str, ArtifactRecord] = MappingProxyType({})


@attrs.frozen(eq=False)
class RecordedTask(Recorded):
    """A task as it was recorded.

    Without an attempt, artifacts are those of the attempt that ended last, and metadata is that
    of all attempts.
    """

    #: The attempt that was chosen; None for no choice.
    attempt: int | None = None
    #: Artifacts that were found before, by name; others are asked for.
    known: Mapping[str, ArtifactRecord] = _NONE

    def __str__(self) -> str:
        name = visible(str(self.path))
        return f"Task('{name}'{'' if self.attempt is None else f', attempt={self.attempt}'})"

    def alone(self) -> RecordedTask:
        """Return this task outside of its listing, whose answers may be of the past."""
        return RecordedTask(self.scope, self.record, attempt=self.attempt)

    # Artifacts

    def artifact(self, name: str) -> Record | None:
        """Return the record of an artifact, in the namespace or not; None if it has none."""
        if name in self.known:
            return self.known[name]
        if self.siblings is not None:
            return self.ask(artifact_of(self.scope, self.path.parent, name))
        if self.walk is not None and self.attempt is None:
            listing, position = self.walk
            record = listing.recent(position, name)
            if record is not None and record.path.parent == self.path:
                return record
        return self.scope.provider.get(self.path.child(name), self.attempt)

    def internal(self, name: str) -> object:
        """Return the value of an artifact that Metaflow wrote for itself; None if it has none.

        Raises:
            DatastoreError: the value cannot be read.
        """
        record = self.artifact(name)
        if not isinstance(record, ArtifactRecord):
            return None
        return self.scope.reader.plain(record, self.scope.provider)

    def truth(self, name: str) -> bool:
        """Tell whether artifact `_task_ok` or `_success` is True.

        Unreadable records count as False, with a warning.
        """
        if self.siblings is not None:
            outcome = self.ask(outcome_of(self.scope, self.record, name, self.notes))
            if outcome is not None or BY_METADATA not in self.notes:
                return outcome is True
        try:
            return self.internal(name) is True  # another value may refuse to become a truth
        except Unanswered:
            raise
        except UnreadableRecord as unreadable:
            warn(f"{self}: {unreadable}; taken for False")
            return False

    def graph(self) -> Graph | None:
        """Return the graph of its run, which a listing asks for once: it does not change."""
        return graph_noted(self.scope, self.path, self.notes)

    # Metadata

    def own_metadata(self, names: Collection[str] | None = None) -> list[MetadataRecord]:
        """Return the metadata of this task itself, of all attempts."""
        return self.ask(metadata_of(self.scope, self.path.parent, names))

    def metadata(self) -> list[MetadataRecord]:
        """Return the metadata of the chosen attempt or of all, then that of origins."""
        own = of_attempt(self.own_metadata(), self.attempt)
        return with_origins(self.scope, self.path, own)

    def fields(self, names: Collection[str]) -> dict[str, Any]:
        """Return the newest value of some fields, reading as little as that takes."""
        if self.attempt is not None:
            return newest(self.metadata())
        found = self.own_metadata({*names, *ORIGIN})
        return newest(with_origins(self.scope, self.path, found, names))

    def origin(self) -> Pathspec | None:
        """Return the task that this one is a clone of; None if it ran itself."""
        return origin_of(self.path, newest(of_attempt(self.own_metadata(), self.attempt)))


def tasks_of(scope: Scope, step: Pathspec) -> Iterator[RecordedTask]:
    """Yield the tasks of a step, newest first, as one listing."""
    listing = Siblings(scope.below(step, Query()), whole=scope.remote)
    for position, record in listing:
        walk = listing, position
        yield RecordedTask(scope, record, walk if scope.remote else None, walk)


def end_of_step(scope: Scope, step: Pathspec) -> int | None:
    """Return when the last task of a step ended, in ms since 1970 UTC; None while one has not.

    Raises:
        NoTasks: the step has none.
    """
    provider = scope.provider
    known: dict[Pathspec, Record] | None = None
    if scope.remote:
        known = {r.path.parent: r for r in provider.artifacts(step, ("_task_ok",))}
    newest = None
    for task in scope.below(step, Query()):
        end = provider.get(task.path.child("_task_ok")) if known is None else known.get(task.path)
        if end is None:
            return None
        newest = max(newest or 0, end.created)
    if newest is None:
        raise NoTasks(f"Step('{visible(str(step))}') has no tasks, so none has ended")
    return newest


def duration_of(task: RecordedTask) -> timedelta | None:
    """Return the time from start to end of the chosen attempt, else of the one that ended last."""
    spans = spans_of(task.own_metadata((STARTED, ENDED)))
    if task.attempt is not None:
        return spans.get(task.attempt, Span()).duration
    return last_ended(spans).duration

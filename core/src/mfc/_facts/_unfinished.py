"""The tasks of a step that have not completed, told by few questions where those wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import attrs

from mfc._concurrency._prefetch import ahead
from mfc._recorded._graph import Graph
from mfc._recorded._questions import ENDED_WELL, leaves_outcome
from mfc._recorded._settled import completed
from mfc._recorded._status import Standing, standing
from mfc._recorded._task import RecordedTask, tasks_of
from mfc._session._scope import Scope
from mfc._storage._known import known
from mfc.errors import MetaflowException, Unanswered, warn
from mfc.model import ArtifactRecord, Pathspec, Record, Status
from mfc.query import Query

Item = TypeVar("Item")
T = TypeVar("T")

#: The artifacts that tell how an attempt failed, and where in a foreach.
EXCEPTION, STACK, OUTCOME = "_exception", "_foreach_stack", "_task_ok"
_STARTED = ("attempt", "[0-9]+")


@attrs.frozen
class Unfinished:
    """A task that has not completed, and where it stands."""

    task: RecordedTask
    standing: Standing
    #: Artifacts of the attempt by name, where they are known; None to look them up.
    artifacts: Mapping[str, ArtifactRecord] | None = None

    @property
    def failed(self) -> bool:
        """Whether its last attempt has failed, and no other one is due."""
        return self.standing.status == "failed"

    def silent(self, seconds: float) -> bool:
        """Tell whether it has not ended, and gave no sign of life for so long."""
        quiet = time.time() - self.standing.newest >= seconds
        return not self.failed and not self.standing.ended and quiet


@attrs.frozen
class Step:
    """A step whose unfinished tasks are looked for.

    Args:
        scope: where it is.
        record: of the step.
        graph: of its run; None if it did not record it.
        like: an artifact of its run, which tells where the datastore is.
    """

    scope: Scope
    record: Record
    graph: Graph | None
    like: ArtifactRecord | None

    @property
    def can_match(self) -> bool:
        """Whether questions wait, and the marks of attempts tell which tasks went well."""
        provider = self.scope.provider
        able = self.scope.remote and provider.capabilities.full("metadata")
        return able and leaves_outcome(self.record)

    def each(self) -> Iterator[Unfinished]:
        """Yield the tasks that have not completed, oldest first, looking at each of them."""
        for task in reversed(list(tasks_of(self.scope, self.record.path))):
            if (found := self._one(task)) is not None:
                yield found

    def matched(self) -> list[Unfinished]:
        """Return the tasks that started and did not note that they went well, oldest first.

        Two questions tell which these are. The datastore has the artifacts of those whose last
        attempt failed; others are looked at one by one.
        """
        # In this order: a task that ends after the first question is among those that went well.
        started = self._noting(_STARTED)
        well = set(self._noting(ENDED_WELL))
        left = [path for path in started if path not in well]
        failed = self._failed(left) if left else {}
        others = frozenset(path.name for path in left if path not in failed)
        records: dict[Pathspec, Record] = {}
        if others:
            asked = self.scope.provider.children(self.record.path, Query(names=others))
            records = {record.path: record for record in asked}
        looked_at = in_turn(self.scope, self._alone, iter(list(records.values())))
        found = {**dict(zip(records, looked_at, strict=True)), **failed}
        return [one for path in left if (one := found.get(path)) is not None]

    def _noting(self, mark: tuple[str, str]) -> list[Pathspec]:
        """Return the tasks with a value of a metadata field that matches, oldest first."""
        found = self.scope.provider.children(self.record.path, Query(metadata=mark))
        return [record.path for record in found][::-1]

    def _failed(self, left: list[Pathspec]) -> dict[Pathspec, Unfinished]:
        """Return those whose last attempt left `_task_ok` as False in the datastore."""
        graph, like = self.graph, self.like
        last = None if graph is None else graph.last_attempt(self.record.path.name)
        if last is None or like is None:
            return {}
        found = {}
        listed = in_turn(self.scope, partial(self._keys, like, last), iter(left))
        for path, keys in zip(left, listed, strict=True):
            if known(keys.get(OUTCOME, "")) is False:
                artifacts = {
                    name: attrs.evolve(like, path=path.child(name), attempt=last, sha=key)
                    for name, key in keys.items()
                }
                status = Status("failed", f"attempt {last} failed")
                task = RecordedTask(self.scope, attrs.evolve(self.record, path=path))
                found[path] = Unfinished(task, Standing(status, last, 0.0, ended=True), artifacts)
        return found

    def _keys(self, like: ArtifactRecord, attempt: int, task: Pathspec) -> dict[str, str]:
        """Return the artifacts that an attempt left in the datastore; none if it does not tell."""
        reader = self.scope.reader
        try:
            where = reader.place(like, self.scope.provider)
            return reader.datastore.attempt_keys(where, task, attempt)
        except MetaflowException:  # the records are asked instead
            return {}

    def _alone(self, record: Record) -> Unfinished | None:
        return self._one(RecordedTask(self.scope, record))

    def _one(self, task: RecordedTask) -> Unfinished | None:
        """Return a task that has not completed; one that cannot be read is left out."""
        try:
            if completed(task):
                return None
            stands = standing(task)
        except Unanswered:
            raise
        except MetaflowException as unreadable:
            warn(f"Left out of the failures: {task}: {unreadable}")
            return None
        return None if stands.status == "completed" else Unfinished(task, stands)


def in_turn(scope: Scope, ask: Callable[[Item], T], items: Iterator[Item]) -> Iterator[T]:
    """Yield `ask(item)` for each item, in order; several at a time where answers are waited for."""
    return ahead(ask, items) if scope.remote else map(ask, items)

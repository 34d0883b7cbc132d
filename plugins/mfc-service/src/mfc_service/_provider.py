"""Metadata from the service: the requests for each kind of query."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from http import HTTPStatus
from typing import Any

import attrs

from mfc.errors import Unanswered, UnreadableRecord
from mfc.hookspecs import TagChange
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, PendingRecord, Record
from mfc.query import Query
from mfc_service import MFC_CAPABILITIES, _patterns
from mfc_service._completed import Completed
from mfc_service._connection import Answer, Connection, NoRoute, excerpt
from mfc_service._filters import by_names, encodable, params_of, unsayable
from mfc_service._pages import listed
from mfc_service._rows import (
    PARTS,
    Row,
    artifact_of,
    left_out,
    location,
    metadata_of,
    path_of,
    record_of,
    records_of,
    respelt,
)
from mfc_service._tags import retag

#: Statuses for a pattern that the service cannot use.
_CANNOT_MATCH = (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)
#: Query parts of a lookup of a namespace's newest run.
_NEWEST = {"tags", "limit"}
#: Objects that are fetched one by one rather than from a listing.
_FEW = 2
#: Metadata fetched first where only the newest is needed; that of most runs is old.
_LATELY = 8
#: Objects fetched besides those needed, where some may not match.
_SPARE = 8


class ServiceProvider:
    """The records that a service has.

    Each answer shows whether the service understands pages and filters: an old one gives the whole
    listing, and the rest is done here. Where the service has pages, requests are for one page at a
    time.

    Args:
        connection: to the service.

    Source:
        Netflix/metaflow-service 2.0.4 to 91e44f0, as they answered.
    """

    capabilities = MFC_CAPABILITIES

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.address = f"service@{connection.settings.base.url}"
        #: Deadline of one query in seconds, and how long the service may be away while a log is
        #: followed.
        self.patience = connection.settings.timeout
        self._completed = Completed(self._listed, self._ends_at)

    def root(self, ds_type: str) -> str | None:  # noqa: ARG002, the contract's
        """Return None: the service knows datastores only from records."""
        return None

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path`; see the contract."""
        where = location(path)
        if where is None:
            return None
        if path.level is Level.ARTIFACT and attempt is not None:
            where += f"/attempt/{attempt}"
        answer = self._connection.get(where)
        if answer.lacks(path):
            return None
        if path.level is Level.ARTIFACT:
            return self._artifact(path, attempt, answer)
        row = _row_at(path, answer)
        return None if row is None else record_of(row, path.level)

    def _artifact(
        self, path: Pathspec, attempt: int | None, answer: Answer
    ) -> ArtifactRecord | None:
        if attempt is not None and answer.no_route:
            return next(self._of_attempt(path.parent, frozenset([path.name]), attempt), None)
        row = _row_at(path, answer)
        if row is not None and attempt is None and answer.older(2, 2, 0):
            return self._named_artifact(path)  # the artifact may be of an attempt that failed
        found = None if row is None else artifact_of(row)
        return found if found is None or attempt in (None, found.attempt) else None

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records below `path`, newest first; see the contract."""
        if query.limit == 0 or (query.names is not None and not query.names):
            return iter(())
        if query.status == "completed" and path.level is Level.FLOW:
            found = self._completed.runs(path, query)
        elif query.metadata is not None:
            found = self._matching(path, query) if path.level is Level.STEP else iter(())
        else:
            found = self._listed(path, query)
            if path.level is Level.FLOW and query.limit == 1 and query.parts() <= _NEWEST:
                found = self._completed.watched(path, query, found)
        return itertools.islice(found, query.limit)

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of the tasks at `path`; see the contract."""
        whole = path if path.level is Level.TASK else path.up(Level.RUN)
        rows = self._rows(whole, "metadata")
        if path.level is Level.STEP:
            rows = (row for row in rows if row.get("step_name") == path.name)
        wanted = None if names is None else frozenset(names)
        found = _made(metadata_of, (r for r in rows if _among(r.get("field_name"), wanted)))
        if path.level is not Level.TASK:
            return found
        return iter(list(found)[::-1])

    def recent(self, run: Pathspec, since: int) -> Iterator[MetadataRecord]:
        """Yield the metadata of a run that was registered at `since` (ms) or later; see `Recent`.

        Pages come newest first, so the first older row ends the listing.
        """
        rows = self._rows(run, "metadata", first=_LATELY)
        lately = itertools.takewhile(lambda row: _time(row) >= since, rows)
        return _made(metadata_of, lately)

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of the tasks at `path`, newest first; see the contract."""
        wanted = None if names is None else frozenset(names)
        if wanted is not None and not wanted:
            return iter(())
        if path.level is not Level.TASK:
            return self._of_many(path, wanted, attempt)
        if wanted is not None and len(wanted) == 1:
            (name,) = wanted
            one = self.get(path.child(name), attempt)
            return iter([one] if isinstance(one, ArtifactRecord) else [])
        if attempt is None:
            return self._of_many(path, wanted, None)
        return self._of_attempt(path, wanted, attempt)

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of a run; see the contract."""
        return retag(self._connection, run, change)

    # Listings

    def _listed(
        self, path: Pathspec, query: Query, more: dict[str, str] | None = None
    ) -> Iterator[Record]:
        """Yield the children that match the whole query except status and metadata."""
        level = Level(path.level + 1)
        tests = query.only(query.parts() - {"status", "metadata", "limit"}).tests()
        if query.names is not None and level in (Level.RUN, Level.TASK):
            found = self._named(path, query.names, query)
        else:
            # If the service may return other objects besides, the first page has some to spare.
            first = None if query.limit is None else query.limit + (_SPARE if tests else 0)
            params = {**params_of(query, level), **(more or {})}
            if query.limit is not None and len(params) >= len(tests):
                first = query.limit
            rows = self._rows(path, PARTS[path.level], params, first)
            found = records_of(rows, level)
        return (record for record in found if all(test(record) for test in tests))

    def _named(self, path: Pathspec, names: Collection[str], query: Query) -> Iterator[Record]:
        level = Level(path.level + 1)
        params = params_of(query, level)
        asked = [name for name in names if unsayable(name, level)]
        few = len(names) <= _FEW
        found: list[Record] = []
        for name in names if few else asked:
            record = self.get(path.child(name))
            if record is not None and record.path.name in names:
                found.append(record)
        for some in () if few else by_names(names, level):
            rows = self._rows(path, PARTS[path.level], {**params, **some})
            found += [record for record in records_of(rows, level) if record.path.name in names]
        unique = {record.path: record for record in found}
        yield from sorted(unique.values(), key=_age, reverse=True)

    def _rows(
        self,
        path: Pathspec,
        what: str,
        params: dict[str, str] | None = None,
        first: int | None = None,
    ) -> Iterator[Row]:
        """Yield the objects of a listing below `path`, newest first."""
        if respelt(path) and self.get(path) is None:
            return iter(())
        return listed(self._connection, path, what, params, first)

    # Tasks by their metadata

    def _matching(self, step: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the tasks with a value of a field that matches wholly."""
        field, pattern = query.metadata or ("", "")
        named = self._found(step, field, _patterns.matching(pattern))
        if named is None:
            yield from self._matching_here(step, query)
            return
        if query.parts() - {"metadata", "limit"}:
            wanted = frozenset(named)
            yield from (r for r in self._listed(step, _without(query)) if r.path.name in wanted)
            return
        # Serials grow with time; only the names are known so far, which often suffice.
        for name in reversed(named):
            path = step.child(name)
            yield PendingRecord(path, _finder(self, path))

    def _found(self, step: Pathspec, field: str, pattern: str | None) -> list[str] | None:
        """Return names of tasks, the oldest first; None if the service cannot match."""
        where = location(step)
        if pattern is None or where is None or not field or not encodable(field + pattern):
            return None
        # A search for any text needs no pattern.
        params = {"metadata_field_name": field, "pattern": pattern}
        answer = self._connection.get(f"{where}/filtered_tasks", params)
        if answer.no_route or answer.status in _CANNOT_MATCH:
            return None
        found = answer.document(list)
        if not all(isinstance(pathspec, str) for pathspec in found):
            reason = f"expected pathspecs of tasks, got {excerpt(answer.body)!r}"
            raise Unanswered(answer.question, reason)
        return [pathspec.rpartition("/")[2] for pathspec in found]

    def _matching_here(self, step: Pathspec, query: Query) -> Iterator[Record]:
        field, pattern = query.metadata or ("", "")
        matches = re.compile(pattern).fullmatch
        matching = {
            record.task
            for record in self.metadata(step, (field,))
            if isinstance(record.value, str) and matches(record.value)
        }
        tasks = self._listed(step, _without(query)) if matching else iter(())
        yield from (task for task in tasks if task.path in matching)

    def _ends_at(self, run: Pathspec) -> bool:
        """Tell whether the last step of a run is named `end`; False if that is unknown."""
        found = self._found(run.child("_parameters"), "end_step", "^end$")
        return bool(found)

    # Artifacts

    def _of_many(
        self, path: Pathspec, names: frozenset[str] | None, attempt: int | None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of all tasks at `path`, each task's from the attempt that counts."""
        if attempt is not None:
            for task in self._tasks(path):
                yield from self._of_attempt(task, names, attempt)
            return
        last: dict[tuple[str, str], int] = {}
        kept: list[Row] = []
        # Pages have the newest row of each name, of any attempt. Artifacts that the last attempt
        # did not write again have to go; the last attempt is known only at the end.
        for row in self._rows(path, "artifacts"):
            of_task = _task_of(row)
            last[of_task] = max(_attempt(row), last.get(of_task, 0))
            if _among(row.get("name"), names):
                kept.append(row)
        # All tasks seem to have one attempt, which is not the first: tasks with fewer may be
        # missing.
        alike = len({*last.values()}) == 1 and any(last.values())
        if alike and path.level is not Level.TASK and self._highest_only:
            for task in self._tasks(path):
                yield from self._of_many(task, names, None)
            return
        of_last = (r for r in kept if _attempt(r) == last[_task_of(r)])
        yield from _made(artifact_of, of_last)

    @functools.cached_property
    def _highest_only(self) -> bool:
        """Whether listings have only the highest attempt of all tasks, as before 2.0.5."""
        return self._connection.get("/ping").older(2, 0, 5)

    def _named_artifact(self, path: Pathspec) -> ArtifactRecord | None:
        return next(self._of_many(path.parent, frozenset([path.name]), None), None)

    def _of_attempt(
        self, task: Pathspec, names: frozenset[str] | None, attempt: int
    ) -> Iterator[ArtifactRecord]:
        try:
            rows = list(self._rows(task, f"attempt/{attempt}/artifacts", first=0))
        except NoRoute:
            rows = self._of_last_attempt(task, attempt)
        for record in _made(artifact_of, rows):
            if record.attempt == attempt and (names is None or record.path.name in names):
                yield record

    def _of_last_attempt(self, task: Pathspec, attempt: int) -> list[Row]:
        """Return the artifacts of an attempt from a service that lists the last one only."""
        rows = list(self._rows(task, "artifacts"))
        last = max(map(_attempt, rows), default=attempt)
        if attempt < last:
            reason = f"the service is older than 2.0.6: it tells only of attempt {last}, the last"
            raise UnreadableRecord(f"attempt {attempt} of {task} at {self.address}", reason)
        return rows

    def _tasks(self, path: Pathspec) -> Iterator[Pathspec]:
        for record in self._listed(path, Query()):
            if record.path.level is Level.TASK:
                yield record.path
            else:
                yield from self._tasks(record.path)


def _row_at(path: Pathspec, answer: Answer) -> Row | None:
    """Return the object in an answer; None if it has another name.

    Raises:
        Unanswered: the answer is about another object.
    """
    row: Row = answer.document(dict)
    if row.get("flow_id") != path.components[0]:
        raise Unanswered(answer.question, f"expected {path}, got {excerpt(answer.body)!r}")
    return None if respelt(path) and path_of(row, path.level) != path else row


def _made(make: Callable[[Row], Any], rows: Iterable[Row]) -> Iterator[Any]:
    """Yield the records of rows; invalid rows are left out and reported."""
    for row in rows:
        try:
            yield make(row)
        except UnreadableRecord as unreadable:  # noqa: PERF203, each may be wrong by itself
            left_out(unreadable)


def _among(name: object, names: frozenset[str] | None) -> bool:
    """Tell whether a row is wanted. Rows without a name are, to be reported as left out."""
    return names is None or not isinstance(name, str) or name in names


def _task_of(row: Row) -> tuple[str, str]:
    """Return a task's key within its run: tasks of several steps may share a name."""
    return str(row.get("step_name")), str(row.get("task_id"))


def _attempt(row: Row) -> int:
    number = row.get("attempt_id")
    return number if isinstance(number, int) else 0


def _time(row: Row) -> float:
    created = row.get("ts_epoch")
    return created if isinstance(created, int) else math.inf


def _without(query: Query) -> Query:
    return attrs.evolve(query, metadata=None, limit=None)


def _finder(provider: ServiceProvider, path: Pathspec) -> Callable[[], Record | None]:
    return lambda: provider.get(path)


def _age(record: Record) -> tuple[int, int, str]:
    """Return the sort key of records that gives the order of listings: time, then serial."""
    name = record.path.name
    return record.created, int(name) if name.isdecimal() else 0, name

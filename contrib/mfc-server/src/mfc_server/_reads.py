"""Answers to GET: single objects, listings, pages of listings.

A listing that is not a page is read part by part while it is sent: each part begins behind the last
row of the one before, and no connection is held in between. So a slow client does not block others.
Listings have the order of pages, newest first: clients sort by time only, and objects of one time
should come in the same order from both. Rows that are recorded meanwhile are newer, and not in the
listing. The listing of a parent that does not exist is empty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from mfc_server import _filters
from mfc_server._call import Answer, Call, Part, Refused, cursor
from mfc_server._find import find_run, find_task, serial, within
from mfc_server._limits import FETCHED, MAX_PATTERN, PAGE, PIECE, PIECE_ROWS
from mfc_server._patterns import CannotMatch, compiled
from mfc_server._rows import ARTIFACTS, FLOWS, METADATA, OF_TASKS, RUNS, STEPS, TASKS, Kind
from mfc_server._schema import MAX_ATTEMPT, artifacts, flows, metadata

#: The artifact whose newest attempt defines the attempt that counts: Metaflow always stores it.
ALWAYS_STORED = "name"
#: An attempt number without artifacts.
NO_ATTEMPT = -1

Conditions = Sequence[ColumnElement[bool]]
_encode = json.JSONEncoder().encode


@attrs.frozen
class Most:
    """Limits of one read: objects, their approximate characters, and rows per fetch."""

    count: int
    characters: int
    fetched: int = FETCHED


def all_flows(call: Call) -> Answer:
    """GET /flows."""
    return _listing(call, FLOWS)


def one_flow(call: Call) -> Answer:
    """GET /flows/F."""
    return _single(call, FLOWS, flows.c.flow_id == call.names["flow"])


def all_runs(call: Call) -> Answer:
    """GET /flows/F/runs."""
    filters = _filters.run_filters(call.database.dialect, call.params)
    kind = RUNS
    if any(key.partition(":")[0] == "status" for key, _ in call.params):
        kind = Kind(
            RUNS.table, [*RUNS.columns, _filters.status().label("status")], RUNS.keys, RUNS.shape
        )
    return _listing(call, kind, RUNS.table.c.flow_id == call.names["flow"], filters=filters)


def one_run(call: Call) -> Answer:
    """GET /flows/F/runs/R."""
    return _single(call, RUNS)


def all_steps(call: Call) -> Answer:
    """GET /flows/F/runs/R/steps: never paged."""
    return _everything(call, STEPS, lambda _: true())


def one_step(call: Call) -> Answer:
    """GET .../steps/S."""
    return _single(call, STEPS)


def all_tasks(call: Call) -> Answer:
    """GET .../steps/S/tasks."""
    return _listing(call, TASKS, filters=_filters.task_filters(call.database.dialect, call.params))


def one_task(call: Call) -> Answer:
    """GET .../tasks/T."""
    return _single(call, TASKS)


def all_metadata(call: Call) -> Answer:
    """GET .../tasks/T/metadata, or /flows/F/runs/R/metadata: of all attempts."""
    return _listing(call, METADATA)


def all_artifacts(call: Call) -> Answer:
    """GET artifacts of a task, a step or a run.

    As one listing: the artifacts of each task's last attempt. In pages: the newest row of each task
    and name, of any attempt.
    """
    other = artifacts.alias("other")
    task = ("flow_id", "run_number", "step_name", "task_id")
    of_task = [other.c[name] == artifacts.c[name] for name in task]
    if call.page(ARTIFACTS) is None:
        superseded = exists().where(*of_task, other.c.attempt_id > artifacts.c.attempt_id)

        def counting(after: Sequence[Any] | None) -> ColumnElement[bool]:
            if after is None:
                return ~superseded
            # A task whose artifacts were given in part keeps its attempt, whatever is written
            # meanwhile.
            task_id, attempt, _ = after
            begun = and_(artifacts.c.task_id == task_id, artifacts.c.attempt_id == attempt)
            return or_(~superseded, begun)

        return _everything(call, OF_TASKS, counting)
    # Not as a comparison of tuples, for which SQLite would scan all newer rows of the step.
    age, same = artifacts.c.ts_epoch, other.c.ts_epoch == artifacts.c.ts_epoch
    later = or_(other.c.ts_epoch > age, and_(same, other.c.attempt_id > artifacts.c.attempt_id))
    newer = exists().where(*of_task, other.c.name == artifacts.c.name, later)
    return _listing(call, ARTIFACTS, ~newer)


def attempt_artifacts(call: Call) -> Answer:
    """GET .../tasks/T/attempt/N/artifacts: never paged."""
    attempt = _attempt(call)
    answer = _everything(call, ARTIFACTS, lambda _: artifacts.c.attempt_id == attempt)
    return Answer(parts=answer.parts, versioned=False)


def one_artifact(call: Call) -> Answer:
    """GET .../artifacts/A, of the last attempt, or .../artifacts/A/attempt/N."""
    attempt: Any = literal(_attempt(call)) if "attempt" in call.names else None
    if attempt is None:
        always = artifacts.alias("always")
        names = ("flow_id", "run_number", "step_name", "task_id")
        of_task = [always.c[name] == artifacts.c[name] for name in names]
        last = select(func.max(always.c.attempt_id))
        last = last.where(*of_task, always.c.name == ALWAYS_STORED)
        attempt = func.coalesce(last.correlate(artifacts).scalar_subquery(), 0)
    named = artifacts.c.name == call.names["name"]
    return _single(call, ARTIFACTS, named, artifacts.c.attempt_id == attempt)


def filtered_tasks(call: Call) -> Answer:
    """GET .../steps/S/filtered_tasks: pathspecs of the tasks with a matching row of metadata."""
    name, pattern = call.param("metadata_field_name"), call.param("pattern")
    matches = [metadata.c.field_name == name] if name else []
    if pattern:
        if len(pattern) > MAX_PATTERN:
            raise Refused(400, f"pattern {pattern!r:.80} has more than {MAX_PATTERN} characters")
        matches.append(_found(call.database.dialect, pattern))
    with call.database.reading() as connection:
        run, own = _own(connection, call, METADATA)
        statement = select(metadata.c.task_id, metadata.c.task_name).where(*own, *matches)
        found = connection.execute(statement.distinct().order_by(metadata.c.task_id)).all()
    of_run = run["run_id"] or run["run_number"] if run else ""
    step = f"{call.names['flow']}/{of_run}/{call.names['step']}"
    return Answer([f"{step}/{task_name or number}" for number, task_name in found])


def _found(dialect: str, pattern: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return metadata.c.value.regexp_match(pattern)
    try:
        compiled(pattern)
    except CannotMatch as error:
        message = f"pattern {pattern!r:.80} cannot be used as a regular expression: {error}"
        raise Refused(400, message) from error
    return func.mfc_search(pattern, metadata.c.value)


def _attempt(call: Call) -> int:
    number = serial(call.names["attempt"])
    return number if number is not None and number <= MAX_ATTEMPT else NO_ATTEMPT


def _own(
    connection: Connection, call: Call, kind: Kind
) -> tuple[RowMapping | None, list[ColumnElement[bool]]]:
    """Return the run that the path names, and the conditions for the rows below the path.

    If the run or the task is missing, the conditions match no row.
    """
    if "run" not in call.names:
        return None, []
    run = find_run(connection, call.names)
    task = find_task(connection, run, call.names) if run and "task" in call.names else None
    if run is None or ("task" in call.names and task is None):
        return None, [kind.table.c.flow_id.is_(None)]
    own = within(kind.table, run, call.names)
    return run, own if task is None else [*own, kind.table.c.task_id == task["task_id"]]


def _single(call: Call, kind: Kind, *conditions: ColumnElement[bool]) -> Answer:
    with call.database.reading() as connection:
        run, own = _own(connection, call, kind)
        row = connection.execute(select(*kind.columns).where(*own, *conditions)).first()
    if row is None:
        raise Refused(404, {})
    return Answer(kind.object(row, run))


def _listing(
    call: Call,
    kind: Kind,
    *conditions: ColumnElement[bool],
    filters: Conditions = (),
) -> Answer:
    page = call.page(kind, filtered=bool(filters))
    if page is None:
        return _everything(call, kind, lambda _: and_(true(), *conditions))
    with call.database.reading() as connection:
        run, own = _own(connection, call, kind)
        statement = _behind(kind, [*own, *conditions, *filters], page.after)
        texts, last = _read(connection, statement, kind, run, Most(page.limit, PAGE))
    next_cursor = None if last is None else cursor(kind, last)
    parts = iter([Part(", ".join(texts), is_last=True)])
    return Answer(parts=parts, limit=page.limit, next_cursor=next_cursor)


def _everything(
    call: Call, kind: Kind, condition: Callable[[Sequence[Any] | None], ColumnElement[bool]]
) -> Answer:
    def parts() -> Iterator[Part]:
        with call.database.reading() as connection:
            run, own = _own(connection, call, kind)
            statement = _behind(kind, [*own, condition(None)], None)
            texts, after = _read(connection, statement, kind, run, Most(PIECE_ROWS, PIECE))
        yield Part(", ".join(texts), is_last=after is None)
        while after is not None:
            # Large rows are fetched one by one: most of a batch would be thrown away.
            fetched = min(PIECE * len(texts) // (sum(map(len, texts)) + 1) + 1, FETCHED)
            statement = _behind(kind, [*own, condition(after)], after)
            with call.database.reading() as connection:
                most = Most(PIECE_ROWS, PIECE, fetched)
                texts, after = _read(connection, statement, kind, run, most)
            yield Part(", ".join(texts), is_last=after is None)

    return Answer(parts=parts())


def _behind(kind: Kind, conditions: Conditions, after: Sequence[Any] | None) -> Select[Any]:
    """Return the statement for the rows behind the one with the keys `after`, newest first."""
    statement = select(*kind.columns, *kind.keys).where(*conditions)
    if after is not None:
        statement = statement.where(tuple_(*kind.keys) < tuple_(*after))
    return statement.order_by(*(key.desc() for key in kind.keys))


def _read(
    connection: Connection,
    statement: Select[Any],
    kind: Kind,
    run: RowMapping | None,
    most: Most,
) -> tuple[list[str], Sequence[Any] | None]:
    """Return objects as JSON, up to a number of objects and about a number of characters.

    Returns:
        The objects, and the keys of the last one if more follow.
    """
    texts: list[str] = []
    size, last = 0, None
    limited = statement.limit(most.count + 1).execution_options(yield_per=most.fetched)
    with connection.execute(limited) as rows:
        for row in rows:
            if len(texts) == most.count or size > most.characters:
                return texts, last
            texts.append(_encode(kind.object(row, run)))
            size += len(texts[-1])
            last = row[len(kind.columns) :]
    return texts, None

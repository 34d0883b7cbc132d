"""What the service answers to GET: single objects, listings, pages of listings.

A listing that is not a page is read row by row while it is sent, from one state of the database. It
has the order of pages, newest first: clients sort by time only, and what is of one time should
come in the same order from either. The listing of a parent that does not exist is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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
    tuple_,
)

from mfc_server import _filters, _sqlite
from mfc_server._call import Answer, Call, Page, Refused, cursor
from mfc_server._find import find_run, find_task, serial, within
from mfc_server._rows import ARTIFACTS, FLOWS, METADATA, RUNS, STEPS, TASKS, Kind, Object
from mfc_server._schema import MAX_ATTEMPT, artifacts, flows, metadata

#: Rows that are taken from the database at a time.
BATCH = 500
#: The artifact whose newest attempt is the attempt that counts: Metaflow always stores it.
ALWAYS_STORED = "name"
#: An attempt that no artifact has.
NO_ATTEMPT = -1

Conditions = Sequence[ColumnElement[bool]]


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
    """GET /flows/F/runs/R/steps: never in pages."""
    return _everything(call, STEPS)


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

    As one listing: those of the last attempt of each task. In pages: the newest row of each task
    and name, whatever its attempt.
    """
    other = artifacts.alias("other")
    task = ("flow_id", "run_number", "step_name", "task_id")
    of_task = [other.c[name] == artifacts.c[name] for name in task]
    if call.page(ARTIFACTS) is None:
        superseded = exists().where(*of_task, other.c.attempt_id > artifacts.c.attempt_id)
        return _everything(call, ARTIFACTS, ~superseded, first=[artifacts.c.attempt_id.desc()])
    # Not as a comparison of tuples: SQLite would then go through all newer rows of the step.
    age, same = artifacts.c.ts_epoch, other.c.ts_epoch == artifacts.c.ts_epoch
    later = or_(other.c.ts_epoch > age, and_(same, other.c.attempt_id > artifacts.c.attempt_id))
    newer = exists().where(*of_task, other.c.name == artifacts.c.name, later)
    return _listing(call, ARTIFACTS, ~newer)


def attempt_artifacts(call: Call) -> Answer:
    """GET .../tasks/T/attempt/N/artifacts: never in pages."""
    answer = _everything(call, ARTIFACTS, artifacts.c.attempt_id == _attempt(call))
    return Answer(rows=answer.rows, versioned=False)


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
    reason = _sqlite.invalid(pattern)
    if reason is not None:
        raise Refused(400, f"pattern {pattern!r:.80} is no regular expression: {reason}")
    return func.mfc_search(pattern, metadata.c.value)


def _attempt(call: Call) -> int:
    number = serial(call.names["attempt"])
    return number if number is not None and number <= MAX_ATTEMPT else NO_ATTEMPT


def _own(
    connection: Connection, call: Call, kind: Kind
) -> tuple[RowMapping | None, list[ColumnElement[bool]]]:
    """Return the run that the path names, and the conditions for the rows below the path.

    Where the run or the task does not exist, no row meets them.
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
        return _everything(call, kind, *conditions)
    with call.database.reading() as connection:
        run, own = _own(connection, call, kind)
        statement = select(*kind.columns, *kind.keys).where(*own, *conditions, *filters)
        rows = connection.execute(_behind(statement, kind, page)).all()
    next_cursor = None
    if len(rows) > page.limit > 0:
        next_cursor = cursor(kind, rows[page.limit - 1][len(kind.columns) :])
    objects = [kind.object(row, run) for row in rows[: page.limit]]
    return Answer(objects, limit=page.limit, next_cursor=next_cursor)


def _behind(statement: Select[Any], kind: Kind, page: Page) -> Select[Any]:
    """Return the statement for one page and a row more, newest first."""
    if page.after is not None:
        statement = statement.where(tuple_(*kind.keys) < tuple_(*page.after))
    return statement.order_by(*(key.desc() for key in kind.keys)).limit(page.limit + 1)


def _everything(
    call: Call, kind: Kind, *conditions: ColumnElement[bool], first: Sequence[Any] = ()
) -> Answer:
    order = [*first, *(key.desc() for key in kind.keys)]

    def rows() -> Iterator[Object]:
        with call.database.reading() as connection:
            run, own = _own(connection, call, kind)
            statement = select(*kind.columns).where(*own, *conditions).order_by(*order)
            statement = statement.execution_options(yield_per=BATCH)
            for row in connection.execute(statement):
                yield kind.object(row, run)

    return Answer(rows=rows())

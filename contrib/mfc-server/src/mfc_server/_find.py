"""The run and the task that the segments of a path name, by serial or string id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Table, case, or_, select

from mfc_server._schema import MAX_SERIAL, runs, tasks


def serial(segment: str) -> int | None:
    """Return the serial in a segment, or None if rows cannot have it.

    >>> serial("07"), serial("-7"), serial("²"), serial("9" * 20)
    (7, None, None, None)
    """
    if not (segment.isascii() and segment.isdigit()):
        return None
    # A text of digits may be too long to convert to a number.
    digits = segment.lstrip("0") or "0"
    fits = len(digits) <= len(str(MAX_SERIAL)) and int(digits) <= MAX_SERIAL
    return int(digits) if fits else None


def find_run(connection: Connection, names: Mapping[str, str]) -> RowMapping | None:
    """Return the row of the run that a path names, or None."""
    of_flow = [runs.c.flow_id == names["flow"]]
    return _named(connection, runs, of_flow, (runs.c.run_id, runs.c.run_number), names["run"])


def _named(
    connection: Connection,
    table: Table,
    own: Sequence[ColumnElement[bool]],
    columns: tuple[Column[Any], Column[Any]],
    segment: str,
) -> RowMapping | None:
    """Return the row that a segment names: by its string id, else by its serial."""
    text, number = columns
    named = [text == segment]
    value = serial(segment)
    if value is not None:
        named.append(number == value)
    # The service itself gives no string ids of digits; imported rows may have them.
    first = case((text == segment, 0), else_=1)
    statement = select(table).where(*own, or_(*named)).order_by(first).limit(1)
    row = connection.execute(statement).first()
    return row._mapping if row else None  # noqa: SLF001 - public in SQLAlchemy


def within(table: Any, run: RowMapping, names: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """Return the conditions for rows of a run, and of a step if the path names one."""
    conditions = [
        table.c.flow_id == run["flow_id"],
        table.c.run_number == run["run_number"],
    ]
    if "step" in names:
        conditions.append(table.c.step_name == names["step"])
    return conditions


def find_task(
    connection: Connection, run: RowMapping, names: Mapping[str, str]
) -> RowMapping | None:
    """Return the row of the task that a path names, or None.

    A number is the id of an imported task, or a serial. Imported tasks keep their number as string
    id, and have serials below zero, so that names stay unique.
    """
    own = within(tasks, run, names)
    return _named(connection, tasks, own, (tasks.c.task_name, tasks.c.task_id), names["task"])

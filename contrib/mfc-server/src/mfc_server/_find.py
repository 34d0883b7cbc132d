"""Which run and which task the segments of a path mean: a serial, or a string id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, select

from mfc_server._schema import MAX_SERIAL, runs, tasks


def serial(segment: str) -> int | None:
    """Return the number that a segment spells, or None if no row can have it.

    >>> serial("07"), serial("-7"), serial("²"), serial("9" * 20)
    (7, None, None, None)
    """
    if not (segment.isascii() and segment.isdigit()):
        return None
    # A text of digits may be too long to become a number at all.
    digits = segment.lstrip("0") or "0"
    fits = len(digits) <= len(str(MAX_SERIAL)) and int(digits) <= MAX_SERIAL
    return int(digits) if fits else None


def find_run(connection: Connection, names: Mapping[str, str]) -> RowMapping | None:
    """Return the row of the run that a path names, or None."""
    number = serial(names["run"])
    of_flow = select(runs).where(runs.c.flow_id == names["flow"])
    if number is not None:
        row = connection.execute(of_flow.where(runs.c.run_number == number)).first()
        if row:
            return row._mapping
    row = connection.execute(of_flow.where(runs.c.run_id == names["run"])).first()
    return row._mapping if row else None


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

    A number is a serial, or the id of an imported task: these keep theirs as their string id, and
    have serials below zero, so that nothing is named twice.
    """
    number = serial(names["task"])
    own = within(tasks, run, names)
    if number is not None:
        row = connection.execute(select(tasks).where(*own, tasks.c.task_id == number)).first()
        if row:
            return row._mapping
    named = tasks.c.task_name == names["task"]
    row = connection.execute(select(tasks).where(*own, named)).first()
    return row._mapping if row else None

"""Tables of runs, steps and tasks."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator
from typing import Any

from mfc._bulk._load import TasksBelow
from mfc._concurrency._calls import Limits
from mfc._facts._attributes import Failed
from mfc._facts._columns import ATTRIBUTES, Plan
from mfc._facts._rows import rows_of
from mfc._facts._table import Table
from mfc._recorded._object import Recorded
from mfc.errors import warn

_NOUNS = {"param": "parameter", "data": "artifact", "meta": "metadata field"}


def table_of(
    items: Iterator[Recorded | TasksBelow],
    plan: Plan,
    limits: Callable[[], Limits],
    *,
    returned: bool,
) -> Table:
    """Return the table of runs, steps or tasks.

    Args:
        items: as `rows_of` takes them.
        plan: the columns.
        limits: gives the bounds on reading where no item has a client.
        returned: whether the error of a cell takes its place; else the first one is raised.

    Raises:
        MetaflowException: a cell cannot be read.
    """
    rows: list[tuple[Any, ...]] = []
    with contextlib.closing(rows_of(items, plan, limits)) as read:
        for cells in read:
            failed = [cell for cell in cells if isinstance(cell, Failed)]
            if failed and not returned:
                raise failed[0].error
            rows.append(tuple(c.error if isinstance(c, Failed) else c for c in cells))
    table = Table(plan.names, rows)
    _warn_of_empty(table, plan)
    return table


def _warn_of_empty(table: Table, plan: Plan) -> None:
    """Warn of columns without a single value: their names may be misspelt."""
    for name, column in zip(plan.names, plan.columns, strict=True):
        if column.kind == "attribute" or not len(table) or table.types[name] != "empty":
            continue
        close = difflib.get_close_matches(name, ATTRIBUTES[plan.level], 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        warn(f"Column {name!r} is empty: no row has a value of such {_noun(column.kind)}{hint}")


def _noun(kind: str) -> str:
    noun = _NOUNS[kind]
    return f"an {noun}" if noun[0] == "a" else f"a {noun}"

"""The kinds of objects that the service answers, and their construction from rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from sqlalchemy import Column, RowMapping, Table
from sqlalchemy.sql.elements import NamedColumn

from mfc_server._schema import artifacts, flows, metadata, runs, steps, tasks

Object = dict[str, Any]
#: The row of an object's run; None for flows and runs themselves.
OfRun = RowMapping | None


@attrs.frozen
class Kind:
    """One kind of object: its table, its visible columns, its order."""

    table: Table
    columns: Sequence[NamedColumn[Any]]
    #: Columns that order a page, newest first; serials, even where objects show string ids.
    keys: Sequence[Column[Any]]
    shape: Callable[[Object, OfRun], Object]

    def object(self, values: Sequence[Any], run: OfRun) -> Object:
        """Return the object that the values of `columns` make."""
        found = {column.name: value for column, value in zip(self.columns, values, strict=False)}
        return self.shape(found, run)


def _flow(found: Object, _: OfRun) -> Object:
    return found


def created_run(found: Object, _: OfRun = None) -> Object:
    """Return a run as the answer to its creation shows it: without its verified owner."""
    run_id = found.pop("run_id")
    if run_id is not None:
        found["run_number"] = run_id
    return found


def _run(found: Object, _: OfRun) -> Object:
    owner, tags = found["user_name"], found["system_tags"]
    # Another service may have stored a value of any type as tags.
    if owner is not None and isinstance(tags, list) and f"user:{owner}" in tags:
        found["user"] = owner
    return created_run(found)


def _step(found: Object, run: OfRun) -> Object:
    found = _tagged(found, run)
    # Only in this answer, the number of a run is text.
    found["run_number"] = str(found["run_number"])
    return found


def _tagged(found: Object, run: OfRun) -> Object:
    """Give a step, a task or an artifact the tags of its run, whatever tags its row has."""
    found = _named(found, run)
    if run is not None:
        found["tags"], found["system_tags"] = run["tags"], run["system_tags"]
    return found


def _named(found: Object, run: OfRun) -> Object:
    """Replace serials by string ids."""
    if run is not None and run["run_id"] is not None:
        found["run_number"] = run["run_id"]
    task_name = found.pop("task_name", None)
    if task_name is not None:
        found["task_id"] = task_name
    return found


def _kind(table: Table, names: str, keys: str, shape: Callable[[Object, OfRun], Object]) -> Kind:
    columns, order = ([table.c[name] for name in part.split()] for part in (names, keys))
    return Kind(table, columns, order, shape)


_TASK = "flow_id run_number step_name task_id task_name"
FLOWS = _kind(flows, "flow_id user_name ts_epoch tags system_tags", "ts_epoch flow_id", _flow)
RUNS = _kind(
    runs,
    "flow_id run_number user_name ts_epoch tags system_tags last_heartbeat_ts run_id",
    "ts_epoch run_number",
    _run,
)
STEPS = _kind(steps, "flow_id run_number step_name user_name ts_epoch", "ts_epoch step_name", _step)
TASKS = _kind(tasks, f"{_TASK} user_name ts_epoch last_heartbeat_ts", "ts_epoch task_id", _tagged)
METADATA = _kind(
    metadata,
    f"id {_TASK} field_name value type user_name ts_epoch tags system_tags",
    "ts_epoch id",
    _named,
)
ARTIFACTS = _kind(
    artifacts,
    f"{_TASK} name location ds_type sha type content_type user_name attempt_id ts_epoch",
    "ts_epoch task_id name",
    _tagged,
)
#: The same, task by task: a listing read in several parts has each task of one attempt.
OF_TASKS = Kind(
    artifacts,
    ARTIFACTS.columns,
    [artifacts.c.task_id, artifacts.c.attempt_id, artifacts.c.name],
    ARTIFACTS.shape,
)

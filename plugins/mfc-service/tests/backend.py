"""A service for the kit: a history becomes rows, as Metaflow and the service would write them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import attrs
from sqlalchemy import Connection, Table, and_, delete, insert, select, update

from mfc.config import Config
from mfc.hookspecs import MetadataProvider, Meter
from mfc.model import Level, Pathspec, Record
from mfc_server._database import Database
from mfc_server._schema import artifacts, flows, metadata, runs, steps, tasks
from mfc_service import mfc_metadata_provider
from mfc_testing import History

#: Serials of runs with string ids, above the ids of local runs.
FIRST_SERIAL = 10**17
TABLES = {Level.FLOW: flows, Level.RUN: runs, Level.STEP: steps, Level.TASK: tasks}


class NoHooks:
    """Hooks that answer nothing."""

    def ask(self, hook: str, **arguments: Any) -> list[Any]:
        return []


class Service:
    """One service and its database."""

    def __init__(self, url: str, database: Database) -> None:
        self.url, self._database = url, database
        self._serials: Iterator[int] = itertools.count(FIRST_SERIAL)
        # Below zero, so that numeric names differ from serials, and growing.
        self._tasks: Iterator[int] = itertools.count()
        self._spoiled = itertools.cycle(["ts_epoch", "user_name", "tags"])

    def provider(self, meter: Meter) -> MetadataProvider:
        made = mfc_metadata_provider(f"service@{self.url}", Config(), meter, NoHooks())
        assert made is not None
        return made

    def recordable(self, history: History) -> History:
        """Values are text; an attempt's artifacts are registered when it is done."""
        done = {(r.task, r.attempt) for r in history.metadata if r.name == "attempt-done"}
        return attrs.evolve(
            history,
            artifacts=[r for r in history.artifacts if (r.path.parent, r.attempt) in done],
            metadata=[
                r if isinstance(r.value, str) else attrs.evolve(r, value=json.dumps(r.value))
                for r in history.metadata
            ],
        )

    def put(self, history: History) -> None:
        history = self.recordable(history)
        with self._database.writing() as connection:
            for record in sorted(history.records, key=lambda r: (r.path.level, r.created)):
                self._put(connection, record)
            for made in history.artifacts:
                ids = self._ids(connection, made.path.parent)
                row = {"name": made.path.name, "sha": made.sha, "ds_type": made.ds_type}
                row |= {"location": made.location, "content_type": made.encoding}
                row |= {"attempt_id": made.attempt, "type": "metaflow.artifact"}
                row |= {**ids, **_own(made), "tags": [], "system_tags": []}
                _replace(connection, artifacts, row, ("name", "attempt_id", "task_id"))
            for noted in history.metadata:
                ids = self._ids(connection, noted.task)
                tags = [] if noted.attempt is None else [f"attempt_id:{noted.attempt}"]
                row = {"field_name": noted.name, "value": noted.value, "type": noted.type}
                row |= {"ts_epoch": noted.created, "tags": tags, "user_name": None}
                row["id"] = self._database.serial(connection, metadata)
                row |= {"system_tags": None, **ids}
                _replace(connection, metadata, row, ("task_id", "field_name", "ts_epoch"))

    def damage(self, path: Pathspec) -> None:
        """Spoil the row of a run or a task."""
        spoiled: dict[str, Any] = {"ts_epoch": -5}
        if path.level is Level.RUN and next(self._spoiled) == "tags":
            spoiled = {"tags": [1]}
        table = TABLES[path.level]
        with self._database.writing() as connection:
            ids = self._ids(connection, path)
            at = [table.c[name] == ids[name] for name in _keys(table)]
            connection.execute(update(table).where(*at).values(**spoiled))

    def _put(self, connection: Connection, record: Record) -> None:
        path, level = record.path, record.path.level
        own = _own(record)
        if level is Level.FLOW:
            row = {"flow_id": path.name, **own, "tags": None, "system_tags": None}
            _replace(connection, flows, row, ("flow_id",))
        elif level is Level.RUN:
            ids = self._run(connection, path) or self._new_run(path)
            _replace(connection, runs, {**ids, **own}, ("flow_id", "run_number"))
        else:
            ids = self._ids(connection, path.up(Level.STEP), new=True)
            if level is Level.STEP:
                _replace(
                    connection, steps, {**ids, **own, "run_id": path.components[1]}, _keys(steps)
                )
                return
            ids["task_name"] = path.name
            found = self._task(connection, ids)
            # A service stamps tasks as they come, so serials grow with time.
            serial = record.created * 10**5 + next(self._tasks) - 9 * 10**18
            row = {**ids, **own, "task_id": serial if found is None else found}
            _replace(connection, tasks, row, ("task_id",))

    def _ids(self, connection: Connection, path: Pathspec, *, new: bool = False) -> dict[str, Any]:
        """Return the columns that identify the object of a row."""
        ids: dict[str, Any] = {"flow_id": path.components[0]}
        if path.level >= Level.RUN:
            ids = self._run(connection, path.up(Level.RUN)) or ids
        if path.level >= Level.STEP:
            ids["step_name"] = path.components[2]
        if path.level >= Level.TASK:
            ids["task_name"] = path.components[3]
            ids["task_id"] = self._task(connection, ids)
        return ids

    def _run(self, connection: Connection, path: Pathspec) -> dict[str, Any] | None:
        flow, name = path.components
        at = runs.c.run_number == int(name) if _numeric(name) else runs.c.run_id == name
        row = connection.execute(select(runs).where(runs.c.flow_id == flow, at)).first()
        if row is None:
            return None
        return {"flow_id": flow, "run_number": row.run_number, "run_id": row.run_id}

    def _new_run(self, path: Pathspec) -> dict[str, Any]:
        flow, name = path.components
        if _numeric(name):
            return {"flow_id": flow, "run_number": int(name), "run_id": None}
        return {"flow_id": flow, "run_number": next(self._serials), "run_id": name}

    def _task(self, connection: Connection, ids: dict[str, Any]) -> int | None:
        names = ("flow_id", "run_number", "step_name", "task_name")
        at = [tasks.c[name] == ids[name] for name in names]
        return connection.scalar(select(tasks.c.task_id).where(*at))


def _numeric(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name)) == name and int(name) < FIRST_SERIAL


def _own(record: Record) -> dict[str, Any]:
    own = {"user_name": record.user, "ts_epoch": record.created}
    return {**own, "tags": sorted(record.tags), "system_tags": sorted(record.system_tags)}


def _keys(table: Table) -> tuple[str, ...]:
    return {
        "runs_v3": ("flow_id", "run_number"),
        "steps_v3": ("flow_id", "run_number", "step_name"),
        "tasks_v3": ("task_id",),
    }[table.name]


def _replace(
    connection: Connection, table: Table, row: dict[str, Any], keys: tuple[str, ...]
) -> None:
    at = and_(*(table.c[key] == row[key] for key in keys))
    if table in (metadata, artifacts):
        connection.execute(delete(table).where(at))
        connection.execute(insert(table), [row])
    elif connection.execute(select(table).where(at)).first():
        connection.execute(update(table).where(at).values(**row))
    else:
        connection.execute(insert(table), [row])

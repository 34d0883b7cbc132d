"""Filling a database from a `.metaflow` directory, any address of mfc, or another database.

Runs and tasks keep their ids. Where Metaflow numbered tasks from 1 in each run, as it does in a
directory, the number becomes the task's string id, and its serial is below zero; new tasks are
numbered behind the largest one, so that both numbers stay unique.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import DBAPIError

from mfc import Client
from mfc.errors import MetaflowException
from mfc.hookspecs import MetadataProvider
from mfc.model import MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_server._database import Database, DatabaseUnusable
from mfc_server._find import serial
from mfc_server._redaction import reason, without_password
from mfc_server._schema import TABLES, artifacts, flows, metadata, runs, steps, tasks

Row = dict[str, Any]
#: Rows copied at a time.
BATCH = 5_000
_ALL = Query()


def import_results(source: str, db_url: str) -> str:
    """Put the runs of `source` into a database; runs that exist already stay as they are.

    Args:
        source: a directory (with or without `.metaflow`), or any address that mfc reads.
        db_url: the database, as for `--db`.

    Returns:
        A sentence about the result.

    Raises:
        DatabaseUnusable: the results are missing, or the database cannot hold them.
    """
    shown = without_password(source)
    try:
        # The global namespace: another one would leave out other users' runs.
        provider = Client(_results(source), namespace=None).provider
        # Without results, no database is created.
        next(provider.children(Pathspec(), Query(limit=1)), None)
        with contextlib.closing(Database(db_url)) as database:
            return _import(provider, database)
    except (MetaflowException, OSError) as error:
        raise DatabaseUnusable(f"{shown} cannot be imported: {reason(error, source)}") from error


def _results(source: str) -> str:
    """Return the directory that contains `.metaflow` if that itself is named; else the source."""
    if "://" in source or not source:
        return source
    path = os.path.abspath(os.path.expanduser(source))
    inner = os.path.isdir(os.path.join(path, ".metaflow"))
    if os.path.basename(path) == ".metaflow" and os.path.isdir(path) and not inner:
        return os.path.dirname(path)
    return path if os.path.isdir(path) else source


def _import(provider: MetadataProvider, database: Database) -> str:
    counts = {"imported": 0, "there already": 0}
    for flow in provider.children(Pathspec(), _ALL):
        for run in reversed(list(provider.children(flow.path, _ALL))):
            # Each run is one transaction: an interrupt leaves no partial run.
            load = _Run(provider, database, flow, run)
            with database.writing() as connection:
                try:
                    added = load.add(connection)
                except (DBAPIError, UnicodeError, OverflowError) as error:
                    raise DatabaseUnusable(
                        f"{run.path} cannot be stored in {database.name}: {reason(error)}"
                    ) from error
            counts["imported" if added else "there already"] += 1
    with database.writing() as connection:
        database.renumber(connection)
    return ", ".join(f"{count} runs {what}" for what, count in counts.items())


@attrs.define
class _Run:
    """The import of one run."""

    provider: MetadataProvider
    database: Database
    flow: Record
    run: Record
    ids: Row = attrs.field(factory=dict)

    def add(self, connection: Connection) -> bool:
        """Insert the run and everything below; return False if the run exists."""
        flow_id, run_id = self.run.path.components
        number = _number(run_id)
        at = runs.c.run_id == run_id if number is None else runs.c.run_number == number
        if connection.execute(select(runs).where(runs.c.flow_id == flow_id, at)).first():
            return False
        if not connection.execute(select(flows).where(flows.c.flow_id == flow_id)).first():
            flow = {"flow_id": flow_id, "ts_epoch": self.flow.created, "user_name": None}
            connection.execute(insert(flows), [{**flow, "tags": None, "system_tags": None}])
        number = self.database.serial(connection, runs) if number is None else number
        named = run_id if _number(run_id) is None else None
        self.ids = {"flow_id": flow_id, "run_number": number, "run_id": named}
        connection.execute(
            insert(runs), [{**self.ids, **_own(self.run), "last_heartbeat_ts": None}]
        )
        for step in self.provider.children(self.run.path, _ALL):
            row = {**self.ids, **_own(step), "step_name": step.path.components[-1]}
            connection.execute(insert(steps), [{**row, "run_id": run_id}])
            self._add_tasks(connection, step)
        return True

    def _add_tasks(self, connection: Connection, step: Record) -> None:
        records = list(reversed(list(self.provider.children(step.path, _ALL))))
        first = min(connection.scalar(select(func.min(tasks.c.task_id))) or 0, 0) - len(records)
        for number, task in enumerate(records, first):
            name = task.path.components[-1]
            ids = {**self.ids, "step_name": step.path.components[-1]}
            ids |= {"task_id": number, "task_name": name}
            row = {**ids, **_own(task), "last_heartbeat_ts": None}
            connection.execute(insert(tasks), [row])
            told = list(self.provider.metadata(task.path))
            self._add_metadata(connection, ids, told)
            found = [_artifact(ids, each) for each in self._artifacts(task.path, told)]
            if found:
                connection.execute(insert(artifacts), found)

    def _add_metadata(
        self, connection: Connection, ids: Row, told: Sequence[MetadataRecord]
    ) -> None:
        if not told:
            return
        first = self.database.serial(connection, metadata, len(told))
        rows = []
        for number, record in enumerate(told, first):
            value = record.value if isinstance(record.value, str) else json.dumps(record.value)
            tags = [] if record.attempt is None else [f"attempt_id:{record.attempt}"]
            row = {**ids, "id": number, "field_name": record.name, "value": value}
            row |= {"type": record.type or record.name, "ts_epoch": record.created, "tags": tags}
            rows.append({**row, "user_name": self.run.user, "system_tags": None})
        connection.execute(insert(metadata), rows)

    def _artifacts(self, task: Pathspec, told: Sequence[MetadataRecord]) -> Iterator[Any]:
        attempts = {0} | {each.attempt for each in told if each.attempt is not None}
        for attempt in sorted(attempts):
            yield from self.provider.artifacts(task, attempt=attempt)


def _number(run_id: str) -> int | None:
    """Return the serial in a run's name, or None.

    >>> _number("7"), _number("007"), _number("x")
    (7, None, None)
    """
    number = serial(run_id)
    return number if str(number) == run_id else None


def _own(record: Record) -> Row:
    own = {"user_name": record.user, "ts_epoch": record.created}
    return {**own, "tags": sorted(record.tags), "system_tags": sorted(record.system_tags)}


def _artifact(ids: Row, record: Any) -> Row:
    blob = {name: getattr(record, name) for name in ("location", "ds_type", "sha")}
    row = {**ids, **_own(record), **blob, "name": record.path.components[-1]}
    row |= {"type": "metaflow.artifact", "content_type": record.encoding}
    return {**row, "attempt_id": record.attempt}


def copy(source: str, target: str) -> str:
    """Copy the six tables with their serials; the target has to be empty.

    Returns:
        A sentence about the result.

    Raises:
        DatabaseUnusable: one of them cannot be opened, or the target is not empty.
    """
    old = Database(source, create=False)
    try:
        new = Database(target)
    except DatabaseUnusable:
        old.close()
        raise
    try:
        with old.reading() as reading, new.writing() as writing:
            for table in TABLES:
                if writing.execute(select(table).limit(1)).first():
                    raise DatabaseUnusable(
                        f"{new.name} holds rows already ({table.name}); copy to an empty database"
                    )
            counts = [_copied(reading, writing, table) for table in TABLES]
            new.renumber(writing)
    except DBAPIError as error:
        raise DatabaseUnusable(f"{new.name}: {reason(error, target)}") from error
    finally:
        old.close()
        new.close()
    return ", ".join(f"{count} {table.name}" for table, count in zip(TABLES, counts, strict=True))


def _copied(reading: Connection, writing: Connection, table: Any) -> int:
    count = 0
    with reading.execute(select(table).execution_options(yield_per=BATCH)) as everything:
        for rows in everything.partitions():
            writing.execute(insert(table), [dict(row._mapping) for row in rows])  # noqa: SLF001
            count += len(rows)
    return count

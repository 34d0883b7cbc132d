"""Answers to POST and PATCH: creations, tag changes, heartbeats.

Each request is one transaction: once it is answered, its changes are durable.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip
from sqlalchemy.dialects.sqlite import insert as insert_or_skip_sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError

from mfc_server._call import Answer, Call, Refused
from mfc_server._database import is_wrong_data, retrying
from mfc_server._find import find_run, find_task
from mfc_server._limits import MAX_TAG_TEXT, MAX_TAGS
from mfc_server._rows import FLOWS, RUNS, STEPS, TASKS, Kind, Object, created_run
from mfc_server._schema import (
    MAX_ATTEMPT,
    NAME_LENGTH,
    artifacts,
    metadata,
    runs,
    steps,
    tasks,
)

#: Least seconds between heartbeats; clients are told to wait this long.
HEARTBEAT = 10
#: The first Metaflow that sends heartbeats, by major version; runs of older ones start without.
HEARTBEATS_SINCE = {1: (1, 14, 0)}
HEARTBEATS_SINCE_2 = (2, 2, 12)
#: Fields of a client's rows that may not be NULL.
_REQUIRED = {
    metadata: {"field_name", "value", "type"},
    artifacts: {"name", "location", "ds_type"},
}
#: Rows inserted by one statement.
BATCH = 500
#: Default for missing fields of metadata and artifacts, as in the real service.
MISSING = " "


def create_flow(call: Call) -> Answer:
    """POST /flows/F."""
    row = {"flow_id": call.names["flow"], **_own(call.document())}
    return Answer(_created(call, FLOWS, row))


def create_run(call: Call) -> Answer:
    """POST /flows/F/run: always a serial, and a string id if the body has one as `run_number`."""
    body = call.document()
    run_id = _string_id(body, "run_number", "run_id")
    row = {"flow_id": call.names["flow"], "run_id": run_id, **_own(body)}
    row["last_heartbeat_ts"] = _first_heartbeat(body)
    kind = Kind(RUNS.table, RUNS.columns, RUNS.keys, created_run)
    return Answer(_created(call, kind, row))


def create_step(call: Call) -> Answer:
    """POST .../steps/S/step."""
    body = call.document()
    own = {**_own(body), "user_name": _text(body.get("user_name", ""), "user_name")}
    return Answer(_created(call, STEPS, {"step_name": call.names["step"], **own}))


def create_task(call: Call) -> Answer:
    """POST .../steps/S/task: always a serial, and a string id if the body has one as `task_id`."""
    body = call.document()
    name = _string_id(body, "task_id", "task_name")
    row = {"step_name": call.names["step"], "task_name": name, **_own(body)}
    row["last_heartbeat_ts"] = _first_heartbeat(body)
    return Answer(_created(call, TASKS, row))


def create_metadata(call: Call) -> Answer:
    """POST .../tasks/T/metadata: stores rows that fit the columns; the answer counts them."""

    def row(item: Mapping[str, Any]) -> Object:
        texts = {name: item.get(name, MISSING) for name in ("field_name", "value", "type")}
        return {**texts, "user_name": item.get("user_name"), **_tags(item)}

    return _add_rows(call, metadata, "metadata_created", row)


def create_artifacts(call: Call) -> Answer:
    """POST .../tasks/T/artifact: stores rows that are new and fit the columns."""
    texts = ("name", "location", "ds_type", "sha", "type", "content_type", "user_name")

    def row(item: Mapping[str, Any]) -> Object:
        found = {name: item.get(name, MISSING) for name in texts}
        return {**found, **_tags(item), "attempt_id": item.get("attempt_id", 0)}

    return _add_rows(call, artifacts, "artifacts_created", row)


def mutate_tags(call: Call) -> Answer:
    """PATCH /flows/F/runs/R/tag/mutate: remove, then add; atomic against every other writer."""
    body = call.document()
    add, remove = (_tag_list(body, name) for name in ("tags_to_add", "tags_to_remove"))
    return Answer({"tags": retrying(lambda: _mutate(call, add, remove))})


def _mutate(call: Call, add: set[str], remove: set[str]) -> list[str]:
    with call.database.writing() as connection:
        run = find_run(connection, call.names)
        if run is None:
            raise Refused(404, {})
        at = (runs.c.flow_id == run["flow_id"], runs.c.run_number == run["run_number"])
        # The lock makes every writer of this run wait, whichever service it uses.
        locked = select(runs.c.tags, runs.c.system_tags).where(*at).with_for_update()
        tags, system = map(_known_tags, connection.execute(locked).one())
        if remove & system:
            kept = sorted(remove & system)
            raise Refused(
                422, f"Cannot remove tags that are existing system tags {{{kept!r:.200}}}"
            )
        changed = (tags - remove) | (add - system)
        _check_size("the run's tags", changed)
        if changed != tags:
            connection.execute(update(runs).where(*at).values(tags=sorted(changed)))
    return sorted(changed)


def _known_tags(found: object) -> set[str]:
    """Return the tags of a stored list; another service may have stored null, or any type."""
    return {tag for tag in found if isinstance(tag, str)} if isinstance(found, list) else set()


def run_heartbeat(call: Call) -> Answer:
    """POST /flows/F/runs/R/heartbeat; see `_beat`."""
    with call.database.writing() as connection:
        run = find_run(connection, call.names)
        beaten = run is not None and _beat(connection, runs, run)
    return _heartbeat(beaten=beaten)


def task_heartbeat(call: Call) -> Answer:
    """POST .../tasks/T/heartbeat: its run counts as alive as well."""
    with call.database.writing() as connection:
        run = find_run(connection, call.names)
        task = find_task(connection, run, call.names) if run else None
        beaten = False
        if run is not None:
            _beat(connection, runs, run)
        if task is not None:
            beaten = _beat(connection, tasks, task)
    return _heartbeat(beaten=beaten)


def _heartbeat(*, beaten: bool) -> Answer:
    body = json.dumps({"wait_time_in_seconds": HEARTBEAT})
    return Answer(body, status=200 if beaten else 404)


def _beat(connection: Connection, table: Table, row: RowMapping) -> bool:
    """Note a heartbeat, unless one was noted a moment ago; return whether noted."""
    now = int(time.time())
    last = table.c.last_heartbeat_ts
    at = [table.c.flow_id == row["flow_id"], table.c.run_number == row["run_number"]]
    if table is tasks:
        at.append(tasks.c.task_id == row["task_id"])
    due = or_(last.is_(None), last <= now - HEARTBEAT)
    done = connection.execute(update(table).where(*at, due).values(last_heartbeat_ts=now))
    return done.rowcount > 0


def _created(call: Call, kind: Kind, row: Object) -> Object:
    """Insert a flow, run, step or task; return it in the service's form."""
    row["ts_epoch"] = _now()
    run: RowMapping | None = None
    try:
        with call.database.writing() as connection:
            if "run" in call.names:
                run = find_run(connection, call.names)
                if run is None:
                    raise _no_parent("run")
                row |= {name: run[name] for name in ("flow_id", "run_number", "run_id")}
                if kind.table is steps:
                    row["run_id"] = str(run["run_id"] or run["run_number"])
                if row.get("last_heartbeat_ts"):
                    _beat(connection, runs, run)
            row = call.database.add(connection, kind.table, row)
    except IntegrityError as error:
        raise _refusal(error, kind.table) from error
    return kind.object([row.get(column.name) for column in kind.columns], run)


def _refusal(error: IntegrityError, table: Table) -> Refused:
    """Return the refusal of a row that exists, or whose parent is missing."""
    code = getattr(error.orig, "sqlstate", None)
    if code == "23503" or "FOREIGN KEY" in str(error.orig):
        return _no_parent("flow" if table is runs else "step")
    return Refused(409, _database_error("23505", "duplicate key value violates unique constraint"))


def _no_parent(kind: str) -> Refused:
    return Refused(
        404, _database_error("23503", f"violates foreign key constraint: no such {kind}")
    )


def _database_error(code: str, message: str) -> str:
    """Return the service's answer to a violated constraint: JSON in a JSON string."""
    diag = {"message_primary": message, "severity": "ERROR"}
    return json.dumps({"err_msg": {"pgerror": f"ERROR:  {message}", "pgcode": code, "diag": diag}})


def _add_rows(
    call: Call, table: Table, counted: str, make: Callable[[Mapping[str, Any]], Object]
) -> Answer:
    rows = [make(item) for item in call.documents()]
    now = _now()
    with call.database.writing() as connection:
        run = find_run(connection, call.names)
        task = find_task(connection, run, call.names) if run else None
        if run is None or task is None:
            raise Refused(400, {"message": "need to register run_id and task_id first"})
        shared = {name: task[name] for name in ("step_name", "task_id", "task_name")}
        shared |= {name: run[name] for name in ("flow_id", "run_number", "run_id")}
        fitting = (_fitting(table, row) for row in rows)
        full = [{**row, **shared, "ts_epoch": now} for row in fitting if row]
        count = _insert(call, connection, table, full)
    return Answer({counted: count}, versioned=False)


def _insert(call: Call, connection: Connection, table: Table, rows: list[Object]) -> int:
    """Insert new rows; return how many."""
    if not rows:
        return 0
    if table is metadata:
        first = call.database.serial(connection, table, len(rows))
        for number, row in enumerate(rows, first):
            row["id"] = number
    count = 0
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        try:
            with connection.begin_nested():
                count += _insert_new(call, connection, table, some)
        except DBAPIError as error:
            if not is_wrong_data(error):
                raise
            # Rows that the database refuses are left out: triggers may allow less than columns.
            count += sum(_insert_if_fit(call, connection, table, row) for row in some)
    return count


def _insert_new(call: Call, connection: Connection, table: Table, rows: list[Object]) -> int:
    make = insert_or_skip if call.database.dialect == "postgresql" else insert_or_skip_sqlite
    statement = make(table).values(rows).on_conflict_do_nothing()
    return len(connection.execute(statement.returning(table.c.flow_id)).all())


def _insert_if_fit(call: Call, connection: Connection, table: Table, row: Object) -> int:
    try:
        with connection.begin_nested():
            return _insert_new(call, connection, table, [row])
    except DBAPIError as error:
        if not is_wrong_data(error):
            raise
        return 0


def _fitting(table: Table, row: Object) -> Object | None:
    """Return a row of metadata or artifacts in the columns' types, or None if it does not fit."""
    found: Object = {}
    for name, value in row.items():
        if name in ("tags", "system_tags"):
            found[name] = value
        elif name == "attempt_id":
            number = _attempt(value)
            if number is None:
                return None
            found[name] = number
        else:
            text = value if isinstance(value, str | None) else json.dumps(value)
            if (text is None and name in _REQUIRED[table]) or (text and "\0" in text):
                return None
            if text and name != "value" and len(text) > NAME_LENGTH:
                return None
            found[name] = text
    return found


def _attempt(value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if -MAX_ATTEMPT <= number <= MAX_ATTEMPT else None


def _own(body: Mapping[str, Any]) -> Object:
    """Return the common fields of a new object: its user and tags."""
    return {"user_name": _text(body.get("user_name"), "user_name"), **_tags(body)}


def _tags(body: Mapping[str, Any]) -> Object:
    """Return both lists of tags, with None for a missing one."""
    found: Object = {}
    for name in ("tags", "system_tags"):
        found[name] = tags = body.get(name)
        if tags is None:
            continue
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise Refused(400, f"{name} has to be a list of texts, not {tags!r:.80}")
        if any("\0" in tag for tag in tags):
            raise Refused(400, f"{name} has a NUL character, which no database stores")
        _check_size(name, tags)
    return found


def _check_size(name: str, tags: Collection[str]) -> None:
    characters = sum(map(len, tags))
    if len(tags) > MAX_TAGS or characters > MAX_TAG_TEXT:
        have = f"{len(tags)} and {characters} characters"
        most = f"at most {MAX_TAGS} and {MAX_TAG_TEXT} characters"
        raise Refused(400, f"{name} may be {most}, not {have}")


def _text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > NAME_LENGTH or "\0" in value:
        expected = f"a text of at most {NAME_LENGTH} characters, without NUL"
        raise Refused(400, f"{name} has to be {expected}, not {value!r:.80}")
    return value


def _string_id(body: Mapping[str, Any], key: str, name: str) -> str | None:
    found = body.get(key)
    if not found:
        return None
    if not isinstance(found, str) or found.isnumeric():
        raise Refused(400, f"provided {name} may not be a numeric")
    return _text(found, key)


def _first_heartbeat(body: Mapping[str, Any]) -> int | None:
    """Return the current time, or None for a client too old to send heartbeats later."""
    tags = body.get("system_tags")
    prefix = "metaflow_version:"
    told = [t for t in tags or () if isinstance(t, str) and t.startswith(prefix)]
    if not told:
        # A client that sends no tags may be new.
        return None if isinstance(tags, list) else int(time.time())
    found = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})*", told[0][len(prefix) :])
    version = tuple(map(int, found[0].split("."))) if found else HEARTBEATS_SINCE_2
    beats = version >= HEARTBEATS_SINCE.get(version[0], HEARTBEATS_SINCE_2)
    return int(time.time()) if beats else None


def _tag_list(body: Mapping[str, Any], name: str) -> set[str]:
    found = body.get(name, [])
    if not isinstance(found, list):
        raise Refused(400, f"{name} must be a list")
    if not all(isinstance(tag, str) for tag in found):
        raise Refused(400, "All tag values must be strings")
    if any("\0" in tag for tag in found):
        raise Refused(400, f"{name} has a NUL character, which no database stores")
    return set(found)


def _now() -> int:
    return int(time.time() * 1000)

"""Filters of listings: `field:operator=value`, and `_tags`, as conditions of SQL.

All parameters must hold, and of comma-separated values any one; the word `null` means NULL whatever
the operator. Unknown fields are ignored.

Source:
    Netflix/metaflow-service 91e44f0; its answers to some hundred filters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
    select,
    true,
    union,
)
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from mfc_server._call import Refused
from mfc_server._json import NotJson, parse
from mfc_server._limits import MAX_LIKE_VALUES, MAX_PATTERN, MAX_VALUES
from mfc_server._schema import MAX_SERIAL, metadata, runs, tasks

#: Seconds after its last heartbeat for which a run counts as running.
ALIVE = 360
STATUSES = ("running", "completed", "failed")
#: Texts that PostgreSQL accepts as true.
_TRUE = ("true", "t", "yes", "y", "on", "1")

Params = Sequence[tuple[str, str]]

_COMPARISONS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column != value,
    "lt": lambda column, value: column < value,
    "le": lambda column, value: column <= value,
    "gt": lambda column, value: column > value,
    "ge": lambda column, value: column >= value,
}
#: An odd number of backslashes.
_ENDS_IN_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")
_PATTERNS = {"co": "%{}%", "sw": "{}%", "ew": "%{}", "li": "{}"}
OPERATORS = (*_COMPARISONS, *_PATTERNS, "is")


@attrs.frozen
class Field:
    """A field of a filter: its expression, and how its values are parsed."""

    column: ColumnElement[Any]
    kind: str = "text"


def run_filters(dialect: str, params: Params) -> list[ColumnElement[bool]]:
    """Return the conditions in the parameters of a listing of runs.

    Raises:
        Refused: the operator is unknown, or the value is impossible for the field.
    """
    fields = {
        "flow_id": Field(runs.c.flow_id),
        "run_number": Field(runs.c.run_number, "number"),
        "run_id": Field(runs.c.run_id),
        "user_name": Field(runs.c.user_name),
        "ts_epoch": Field(runs.c.ts_epoch, "time"),
        "last_heartbeat_ts": Field(runs.c.last_heartbeat_ts, "time"),
        "tags": Field(runs.c.tags, "json"),
        "system_tags": Field(runs.c.system_tags, "json"),
        "user": Field(owner(dialect)),
        "status": Field(status(), "status"),
    }
    own = _conditions(dialect, params, fields)
    return [*(_tagged(dialect, key, value) for key, value in params if _is_tags(key)), *own]


def task_filters(dialect: str, params: Params) -> list[ColumnElement[bool]]:
    """Return the conditions in the parameters of a listing of tasks; see `run_filters`."""
    fields = {
        "task_id": Field(_shown_id(dialect), "number"),
        "task_name": Field(tasks.c.task_name),
        "user_name": Field(tasks.c.user_name),
        "ts_epoch": Field(tasks.c.ts_epoch, "time"),
        "last_heartbeat_ts": Field(tasks.c.last_heartbeat_ts, "time"),
    }
    return _conditions(dialect, params, fields)


def _shown_id(dialect: str) -> ColumnElement[Any]:
    """Return the number that a task shows: its serial, or its string id if it was imported."""
    name = tasks.c.task_name
    digits = name.op("~")("^[0-9]{1,18}$") if dialect == "postgresql" else name.op("GLOB")("[0-9]*")
    imported = and_(tasks.c.task_id < 0, digits)
    return case((imported, cast(name, BigInteger)), else_=tasks.c.task_id)


def owner(dialect: str) -> ColumnElement[Any]:
    """Return the verified owner of a run: its user if a system tag says so, else NULL."""
    tag = literal("user:") + runs.c.user_name
    return case((_has(dialect, runs.c.system_tags, tag), runs.c.user_name), else_=null())


def status() -> ColumnElement[str]:
    """Return the status of a run, from the attempts of a step named `end`."""
    ended = metadata.alias("ended")
    of_end = (
        ended.c.flow_id == runs.c.flow_id,
        ended.c.run_number == runs.c.run_number,
        ended.c.step_name == "end",
    )
    newest = ended.c.ts_epoch.desc()

    def last(column: ColumnElement[Any], name: str) -> Any:
        found = select(column).where(*of_end, ended.c.field_name == name)
        return found.order_by(newest).limit(1).correlate(runs).scalar_subquery()

    succeeded = func.lower(last(ended.c.value, "attempt_ok"))
    succeeded_at = last(ended.c.ts_epoch, "attempt_ok")
    began_at = last(ended.c.ts_epoch, "attempt")
    alive = func.abs(int(time.time()) - runs.c.last_heartbeat_ts) <= ALIVE
    return case(
        (succeeded.in_(_TRUE), "completed"),
        (and_(succeeded.is_not(None), succeeded_at < began_at), "running"),
        (succeeded.is_not(None), "failed"),
        (alive, "running"),
        else_="failed",
    )


def _conditions(
    dialect: str, params: Params, fields: Mapping[str, Field]
) -> list[ColumnElement[bool]]:
    conditions = []
    for key, text in params:
        name, _, operator = key.partition(":")
        if key.startswith("_") or name not in fields:
            continue
        operator = operator or "eq"
        if operator not in OPERATORS:
            raise Refused(400, f"unsupported operator '{operator:.80}' for field '{name}'")
        values = sorted({*text.split(",")})
        field = fields[name]
        if operator == "eq" and field.kind != "json":
            conditions.append(_among(name, field, values))
            continue
        _check_count(key, values, MAX_LIKE_VALUES)
        any_of = [_condition(dialect, name, field, operator, value) for value in values]
        conditions.append(or_(*any_of))
    return conditions


def _among(name: str, field: Field, values: Sequence[str]) -> ColumnElement[bool]:
    """Return whether a field is one of some values, with one look-up for all of them."""
    _check_count(name, values, MAX_VALUES)
    known = [_value(name, field.kind, value) for value in values if value != "null"]
    held = [value for value in known if not isinstance(value, int) or abs(value) <= MAX_SERIAL]
    found = [field.column.is_(None)] if "null" in values else []
    return or_(*found, field.column.in_(held))


def _check_count(key: str, values: Sequence[str], most: int) -> None:
    if len(values) > most:
        raise Refused(
            400, f"{key[:80]} has {len(values)} values, and may have {most}; ask several times"
        )


def _condition(
    dialect: str, name: str, field: Field, operator: str, value: str
) -> ColumnElement[bool]:
    if value == "null":
        return field.column.is_(None)
    known = _value(name, field.kind, value)
    if field.kind == "json":
        return _equals_json(dialect, name, field.column, operator, value)
    if operator in _COMPARISONS:
        return _comparison(field.column, operator, known)
    if operator in _PATTERNS and field.kind in ("text", "status"):
        return _like(dialect, field.column, _PATTERNS[operator].format(value), fold=True)
    raise Refused(400, f"operator '{operator}' does not go with field '{name}' and {value!r:.80}")


def _value(name: str, kind: str, value: str) -> str | int:
    if kind == "status" and value not in STATUSES:
        raise Refused(400, f"unsupported status filter: {value:.80}")
    if kind not in ("time", "number"):
        return value
    try:
        return int(value)
    except ValueError as error:
        expected = "integer epoch milliseconds" if kind == "time" else "an integer"
        message = f"invalid {name}: expected {expected}, got '{value:.80}'"
        raise Refused(400, message) from error


def _comparison(column: ColumnElement[Any], operator: str, value: str | int) -> ColumnElement[bool]:
    if isinstance(value, int) and abs(value) > MAX_SERIAL:
        # Beyond every column: all values are less, or all are greater.
        less = operator in ("ne", "lt", "le") if value > 0 else operator in ("ne", "gt", "ge")
        return and_(column.is_not(None), true() if less else false())
    return _COMPARISONS[operator](column, value)


def _equals_json(
    dialect: str, name: str, column: ColumnElement[Any], operator: str, value: str
) -> ColumnElement[bool]:
    try:
        wanted = parse(value)
    except NotJson as error:
        raise Refused(
            400, f"invalid {name}: expected JSON, got {value!r:.80}; use _tags"
        ) from error
    if operator not in ("eq", "ne"):
        raise Refused(400, f"operator '{operator}' does not go with field '{name}'; use _tags")
    if dialect == "postgresql":
        equal: Any = column == cast(literal(wanted, JSONB), JSONB)
    else:
        equal = func.json(cast(column, TextType)) == func.json(value)
    return ~equal if operator == "ne" else equal  # type: ignore[no-any-return]


def _is_tags(key: str) -> bool:
    return key.partition(":")[0] == "_tags"


def _tagged(dialect: str, key: str, value: str) -> ColumnElement[bool]:
    operator = key.partition(":")[2]
    wanted = sorted({*value.split(",")})
    if operator in ("likeany", "likeall"):
        _check_count(key, wanted, MAX_LIKE_VALUES)
        text = _tags_text(dialect)
        found = [_like(dialect, text, f"%{part}%", fold=False) for part in wanted]
        return or_(*found) if operator == "likeany" else and_(*found)
    _check_count(key, wanted, MAX_VALUES)
    if dialect == "postgresql":
        both = runs.c.tags.op("||")(runs.c.system_tags)
        return both.op("?|" if operator == "any" else "?&")(cast(wanted, ARRAY(TextType)))
    each = [
        func.json_each(cast(column, TextType)).table_valued("value")
        for column in (runs.c.tags, runs.c.system_tags)
    ]
    found_in = union(
        *(select(tag.c.value).where(tag.c.value.in_(wanted)) for tag in each)
    ).subquery()
    count = select(func.count()).select_from(found_in).scalar_subquery()
    return count > 0 if operator == "any" else count == len(wanted)


def _has(dialect: str, column: ColumnElement[Any], tag: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a list of tags has one."""
    if dialect == "postgresql":
        return column.op("?", is_comparison=True)(cast(tag, TextType))
    elements = func.json_each(cast(column, TextType)).table_valued("value")
    return select(1).select_from(elements).where(elements.c.value == tag).exists()


def _tags_text(dialect: str) -> ColumnElement[Any]:
    """Return all tags of a run as text, in PostgreSQL's form of a list."""
    if dialect == "postgresql":
        return cast(runs.c.tags.op("||")(runs.c.system_tags), TextType)
    both = [func.trim(cast(column, TextType), "[]") for column in (runs.c.tags, runs.c.system_tags)]
    return literal("[") + both[0] + literal(", ") + both[1] + literal("]")


def _like(
    dialect: str, column: ColumnElement[Any], pattern: str, *, fold: bool
) -> ColumnElement[bool]:
    if len(pattern) > MAX_PATTERN:
        raise Refused(400, f"{pattern!r:.80} has more than {MAX_PATTERN} characters")
    if _ENDS_IN_ESCAPE.search(pattern):
        raise Refused(400, f"{pattern!r:.80} ends in a backslash, which escapes nothing")
    if dialect == "postgresql":
        return column.ilike(pattern) if fold else column.like(pattern)
    return func.mfc_like(column, pattern, int(fold))

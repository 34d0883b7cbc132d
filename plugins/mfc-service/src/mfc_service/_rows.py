"""The service's JSON objects as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from mfc.errors import UnreadableRecord, warn
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record, is_name

Row = Mapping[str, Any]
#: Fields with the names of an object, by level. A string id takes precedence where present.
_NAMES = ("flow_id", "run_number", "step_name", "task_id", "name")
#: Words before the names in a URL.
PARTS = ("flows", "runs", "steps", "tasks", "artifacts")
#: Most characters of a name; longer ones are never requested.
LONGEST_NAME = 255
#: Largest number of a run and of other objects in the real service's columns.
RUN_NUMBERS, SERIALS = 2**31 - 1, 2**63 - 1
#: Digits of a number that exceeds both.
_DIGITS = 30


def path_of(row: Row, level: Level) -> Pathspec:
    """Return the path of an object in the service's JSON.

    Raises:
        UnreadableRecord: a name is missing or invalid.
    """
    try:
        names = tuple(map(_name, (row[name] for name in _NAMES[:level])))
    except (KeyError, TypeError, ValueError) as cause:
        raise UnreadableRecord(
            "an answer of the service", f"not one of its objects ({cause!r})"
        ) from cause
    for name in names:
        if not is_name(name):
            raise UnreadableRecord("/".join(names), f"{name!r} cannot be a name")
    return Pathspec(names)


def _name(value: object) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise TypeError(f"a name is {type(value).__name__}")
    return str(value)


def record_of(row: Row, level: Level) -> Record:
    """Return the record of a flow, run, step or task.

    Raises:
        UnreadableRecord: the row is invalid.
    """
    return Record.of_json(path_of(row, level), row)


def artifact_of(row: Row) -> ArtifactRecord:
    """Return the record of an artifact.

    Raises:
        UnreadableRecord: the row is invalid.
    """
    if isinstance(row, Mapping) and row.get("sha") is None:
        # Possible through the raw API; such an artifact has no value to read.
        row = {**row, "sha": ""}
    return ArtifactRecord.of_json(path_of(row, Level.ARTIFACT), row)


def metadata_of(row: Row) -> MetadataRecord:
    """Return a record of metadata.

    Raises:
        UnreadableRecord: the row is invalid.
    """
    return MetadataRecord.of_json(path_of(row, Level.TASK), row)


def records_of(rows: Iterable[Row], level: Level) -> Iterator[Record]:
    """Yield the records of flows, runs, steps or tasks; invalid rows are left out and reported."""
    for row in rows:
        try:
            yield record_of(row, level)
        except UnreadableRecord as unreadable:  # noqa: PERF203, each may be wrong by itself
            left_out(unreadable)


def left_out(unreadable: UnreadableRecord) -> None:
    """Warn that a row of an answer is left out."""
    warn(f"{unreadable}; left out")


def serial(row: Row) -> tuple[int, int, str]:
    """Return the sort key of a listing's objects, time first; the largest is the newest."""
    number = next((row[key] for key in ("id", "task_id", "run_number") if key in row), 0)
    created = row.get("ts_epoch")
    return (
        created if isinstance(created, int) else 0,
        number if isinstance(number, int) else 0,
        # String ids also need a stable order: the service has none.
        "/".join(str(row.get(name)) for name in reversed(_NAMES)),
    )


def location(path: Pathspec) -> str | None:
    """Return the URL path of an object below the service; None for an impossible name."""
    parts = []
    for part, name in zip(PARTS, path.components, strict=False):
        if len(name) > LONGEST_NAME:
            return None
        try:
            parts.append(f"/{part}/{quote(name, safe='')}")
        except UnicodeEncodeError:
            return None
    return "".join(parts)


def respelt(path: Pathspec) -> bool:
    """Tell whether a path has a number in a second spelling: for `07` the service finds run 7."""
    numbered = path.components[1:4:2]
    return any(name.isdecimal() and name != str(int(name)) for name in numbered)


def impossible(path: Pathspec) -> bool:
    """Tell whether the real service fails at a path instead of not finding it.

    The service reads all digits, of any script, as a number, and fails where the column cannot hold
    it; no such object exists.
    """
    names = path.components
    run = names[1] if len(names) >= Level.RUN else ""
    task = names[3] if len(names) >= Level.TASK else ""
    below = len(names) > Level.RUN
    return _overflows(run, SERIALS if below else RUN_NUMBERS) or _overflows(task, SERIALS)


def _overflows(name: str, most: int) -> bool:
    if not name.isnumeric():
        return False
    return not (name.isascii() and name.isdigit()) or len(name) > _DIGITS or int(name) > most

"""Objects as the service answers them, as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from mfc.errors import UnreadableRecord, warn
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record, is_name

Row = Mapping[str, Any]
#: Fields that are the names of an object, by its level. A string id stands where there is one.
_NAMES = ("flow_id", "run_number", "step_name", "task_id", "name")
#: What stands in front of the names in a URL.
PARTS = ("flows", "runs", "steps", "tasks", "artifacts")
#: Characters of a name that can be there; longer ones need no question.
LONGEST_NAME = 255
#: Largest number of a run and of everything else in the real service's columns.
RUN_NUMBERS, SERIALS = 2**31 - 1, 2**63 - 1
#: Digits of a number that is surely too large for both.
_DIGITS = 30


def path_of(row: Row, level: Level) -> Pathspec:
    """Return where an object is, in the service's own words.

    Raises:
        UnreadableRecord: it lacks a name, or has one that cannot be a name.
    """
    try:
        names = tuple(map(_name, (row[name] for name in _NAMES[:level])))
    except (KeyError, TypeError, ValueError) as cause:
        raise UnreadableRecord(
            "an answer of the service", f"no object of its ({cause!r})"
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
        UnreadableRecord: it is none.
    """
    return Record.of_json(path_of(row, level), row)


def artifact_of(row: Row) -> ArtifactRecord:
    """Return the record of an artifact.

    Raises:
        UnreadableRecord: it is none.
    """
    if isinstance(row, Mapping) and row.get("sha") is None:
        # Possible through the raw interface; there is no value to read then.
        row = {**row, "sha": ""}
    return ArtifactRecord.of_json(path_of(row, Level.ARTIFACT), row)


def metadata_of(row: Row) -> MetadataRecord:
    """Return a record of metadata.

    Raises:
        UnreadableRecord: it is none.
    """
    return MetadataRecord.of_json(path_of(row, Level.TASK), row)


def records_of(rows: Iterable[Row], level: Level) -> Iterator[Record]:
    """Yield the records of flows, runs, steps or tasks; what is none is left out, and told."""
    for row in rows:
        try:
            yield record_of(row, level)
        except UnreadableRecord as unreadable:  # noqa: PERF203, each may be wrong by itself
            left_out(unreadable)


def left_out(unreadable: UnreadableRecord) -> None:
    """Warn that something is missing in an answer."""
    warn(f"{unreadable}; left out")


def serial(row: Row) -> tuple[int, int, str]:
    """Return what orders the objects of a listing, time first; the largest is the newest."""
    number = next((row[key] for key in ("id", "task_id", "run_number") if key in row), 0)
    created = row.get("ts_epoch")
    return (
        created if isinstance(created, int) else 0,
        number if isinstance(number, int) else 0,
        # Among string ids, too, the same order at each call: the service has none.
        "/".join(str(row.get(name)) for name in reversed(_NAMES)),
    )


def location(path: Pathspec) -> str | None:
    """Return where an object is, below the service's URL; None for a name that nothing can have."""
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
    """Tell whether a path has a number spelt as no name is: for `07` the service finds run 7."""
    numbered = path.components[1:4:2]
    return any(name.isdecimal() and name != str(int(name)) for name in numbered)


def impossible(path: Pathspec) -> bool:
    """Tell whether the real service fails at a path instead of not finding it.

    It takes all digits, of any script, for a number, and fails where that has no place in the
    column: no such object is there.
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

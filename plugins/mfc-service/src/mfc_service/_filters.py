"""The parts of a query that the service's parameters express exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mfc.model import Level
from mfc.query import Query
from mfc_service._rows import LONGEST_NAME, RUN_NUMBERS, SERIALS

#: Bytes of parameters that fit into a request line safely.
_ROOM = 4_000


def params_of(query: Query, level: Level) -> dict[str, str]:
    """Return the parameters for a listing of runs or tasks; they exclude no match.

    Conditions that parameters cannot express exactly are left out: commas separate values, the word
    `null` means a missing value, times have 64 bits, and only runs can be selected by tags.

    Args:
        query: the query; its names and metadata are handled elsewhere.
        level: of the listed objects.
    """
    if level not in (Level.RUN, Level.TASK):
        return {}
    found: dict[str, str] = {}
    if query.since is not None and abs(query.since) <= SERIALS:
        found["ts_epoch:ge"] = str(query.since)
    if query.until is not None and abs(query.until) <= SERIALS:
        found["ts_epoch:lt"] = str(query.until)
    if query.user is not None and _sayable(query.user):
        found["user_name"] = query.user
    if level is Level.RUN and query.tags:
        tags = [tag for tag in sorted(query.tags) if tag and "," not in tag and encodable(tag)]
        if tags:
            found["_tags"] = ",".join(tags)
    return found if _fits(found) else {}


def by_names(names: Iterable[str], level: Level) -> Iterator[dict[str, str]]:
    """Yield parameters that together select the runs or tasks of these names.

    Names that parameters cannot express are left out: see `unsayable`.
    """
    number, text = {
        Level.RUN: ("run_number", "run_id"),
        Level.TASK: ("task_id", "task_name"),
    }[level]
    sayable = sorted(name for name in names if not unsayable(name, level))
    numbers = [name for name in sayable if name.isdigit()]
    texts = [name for name in sayable if not name.isdigit()]
    for field, values in ((number, numbers), (text, texts)):
        while values:
            some: list[str] = []
            while values and _fits({field: ",".join([*some, values[-1]])}):
                some.append(values.pop())
            yield {field: ",".join(some)}


def unsayable(name: str, level: Level) -> bool:
    """Tell whether parameters cannot express the name of a run or task exactly."""
    if name.isnumeric():
        most = RUN_NUMBERS if level is Level.RUN else SERIALS
        canonical = name.isascii() and name.isdigit() and (name == "0" or name[0] != "0")
        return not canonical or len(name) > len(str(most)) or int(name) > most
    return not _sayable(name) or len(name) > LONGEST_NAME


def _sayable(value: str) -> bool:
    return bool(value) and "," not in value and value != "null" and encodable(value)


def encodable(value: str) -> bool:
    """Tell whether a text can be put into a URL, and into a database."""
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def _fits(params: dict[str, str]) -> bool:
    # Each byte may become three.
    return sum(len(k) + 3 * len(v.encode("utf-8", "replace")) for k, v in params.items()) <= _ROOM

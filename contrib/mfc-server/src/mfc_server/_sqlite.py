"""What PostgreSQL has and SQLite has not: durability, LIKE of its kind, regular expressions."""

from __future__ import annotations

import functools
import re
from typing import Any

import regex

#: Seconds that a write waits for another process's; within one, they queue.
BUSY = 30
#: Seconds that one match of a regular expression may take.
MATCH = 2.0
# FULL: an acknowledged write survives the power too, as with PostgreSQL's default. WAL: readers
# and the writer do not wait for each other.
_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"busy_timeout = {BUSY * 1000}",
    "cache_size = -65536",
)


def prepare(connection: Any, _: object = None) -> None:
    """Set up a new connection: durable, with our functions, transactions begun by us alone."""
    connection.isolation_level = None
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    connection.create_function("mfc_like", 3, like, deterministic=True)
    connection.create_function("mfc_search", 2, search, deterministic=True)


def like(text: Any, pattern: str, fold: int) -> bool | None:
    r"""Tell whether `text` is LIKE `pattern` as PostgreSQL means it, without trying twice.

    Args:
        text: a column's value; NULL gives NULL.
        pattern: `%` for any characters, `_` for one, a backslash before either for itself.
        fold: 1 for ILIKE: case does not matter, in any script.

    >>> like("production:Ada", "%:ada", 1), like("ab", "a_b", 0), like("a%", r"a\%", 0)
    (True, False, True)
    """
    if text is None:
        return None
    head, *rest = _pieces(pattern, fold)
    text = str(text)
    if not rest:
        return head.fullmatch(text) is not None
    found = head.match(text)
    # The leftmost place for each piece leaves most to the next.
    for piece in rest[:-1]:
        found = found and piece.search(text, found.end())
    return bool(found and _ends(rest[-1]).search(text, found.end()))


@functools.lru_cache(maxsize=256)
def _pieces(pattern: str, fold: int) -> list[re.Pattern[str]]:
    """Return what stands between the `%` of a pattern: each matches texts of one length."""
    flags = re.DOTALL | (re.IGNORECASE if fold else 0)
    pieces = [""]
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        if part == "%":
            pieces.append("")
        else:
            pieces[-1] += "." if part == "_" else re.escape(part[-1])
    return [re.compile(piece, flags) for piece in pieces]


@functools.lru_cache(maxsize=256)
def _ends(piece: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"{piece.pattern}\Z", piece.flags)


def search(pattern: str, text: str) -> bool:
    """Tell whether a regular expression is found anywhere in `text`.

    Raises:
        TimeoutError: it took longer than `MATCH`; SQLite makes an error of the statement of it.
    """
    return _compiled(pattern).search(text, timeout=MATCH) is not None


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return regex.compile(pattern)


def invalid(pattern: str) -> str | None:
    """Return why a regular expression cannot be understood, or None."""
    try:
        _compiled(pattern)
    except regex.error as error:
        return str(error)
    return None

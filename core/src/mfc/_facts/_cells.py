"""Cells of tables: the type of a column, and values as text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Any, Protocol

from mfc.errors import MetaflowException, shown, visible

#: Whole numbers that a column of 64 bits can hold, and that a float can.
_WHOLE, _EXACT = range(-(2**63), 2**63), range(-(2**53), 2**53 + 1)
#: Characters and columns of a terminal that a shown cell takes at most.
_LONGEST, _WIDEST = 400, 40
#: Types of cells; of a type and its base the base comes last.
_KINDS = (bool, int, float, str, bytes, datetime, date, timedelta)
#: Characters with which a spreadsheet begins a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Cells(Protocol):
    """The content of a table."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def rows(self) -> tuple[tuple[Any, ...], ...]:
        """The cells of each row."""

    @property
    def types(self) -> dict[str, str]:
        """The type of each column."""

    def __len__(self) -> int:
        """Return the number of rows."""


def kind_of(value: object) -> str | None:
    """Return the type of a cell in a column; None for a missing value.

    >>> kind_of(3), kind_of("a"), kind_of({}), kind_of(None)
    ('int', 'str', 'object', None)
    """
    if value is None or is_no_time(value):
        return None
    kind = next((kind for kind in _KINDS if isinstance(value, kind)), None)
    if isinstance(value, datetime) and value.utcoffset() is None:
        return "naive datetime"
    if kind is int and value not in _WHOLE:
        return "object"
    if type(value) in (list, tuple) and all(isinstance(each, str) for each in _members(value)):
        return "list[str]"
    return kind.__name__ if kind else "object"


def _members(value: Any) -> Iterable[object]:
    members: Iterable[object] = value
    return members


def type_of(cells: Iterable[object]) -> str:
    """Return the type of a column.

    >>> type_of([1, None, 3]), type_of([1, 2.5]), type_of([1, "a"]), type_of([None])
    ('int', 'float', 'object', 'empty')
    """
    numbers_fit = True
    kinds: set[str] = set()
    for cell in cells:
        kind = kind_of(cell)
        if kind is not None:
            kinds.add(kind)
        if kind == "int" and cell not in _EXACT:
            numbers_fit = False
    if not kinds:
        return "empty"
    if kinds == {"int", "float"} and numbers_fit:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "object"


def is_no_time(value: object) -> bool:
    """Tell whether a value is the missing time or duration of pandas."""
    return type(value).__name__ == "NaTType" and isinstance(value, datetime)


def same(one: object, other: object) -> bool:
    """Tell whether two cells are equal; arrays and frames are if all of their elements are."""
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, (MetaflowException, float)):
        return str(one) == str(other)  # also of what is not a number
    if hasattr(one, "equals"):  # frames and series
        return bool(one.equals(other))
    if hasattr(one, "shape") and one.shape != getattr(other, "shape", None):
        return False
    found: Any = one == other
    return found if isinstance(found, bool) else bool(found.all())


def text_of(value: object) -> str:
    """Return a cell as text for files: whole, and the same on every machine.

    Lists and mappings are JSON where that can say them; other objects are as errors show them.

    >>> text_of(True), text_of(0.5), text_of(["a"]), text_of(None)
    ('True', '0.5', '["a"]', '')
    """
    if value is None or is_no_time(value):
        return ""
    if isinstance(value, str):
        text = str.__str__(value)
    elif isinstance(value, (datetime, date)):
        text = value.isoformat()
    elif isinstance(value, timedelta):
        text = repr(value.total_seconds())
    elif isinstance(value, (bool, int, float)):
        text = repr(value)
    elif isinstance(value, MetaflowException):
        text = f"{type(value).__name__}: {value}"
    else:
        text = _json(value) or shown(value)
    return encodable(text)


def encodable(text: str) -> str:
    r"""Return text that every file can hold: lone surrogates are spelled.

    >>> encodable("a\ud800")
    'a\\ud800'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _json(value: object) -> str | None:
    if type(value) not in (list, tuple, dict):
        return None
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


def guarded(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula: an apostrophe goes before it.

    Numbers stay as they are.

    >>> guarded("=1+1"), guarded("-5"), guarded("plain")
    ("'=1+1", '-5', 'plain')
    """
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text if text.strip() == text else f"'{text}"


def display(value: object) -> str:
    """Return a cell as people read it: short, on one line, without control characters."""
    if isinstance(value, datetime) and not is_no_time(value):
        zone = "" if value.utcoffset() is None else "Z"
        moment = value.astimezone(timezone.utc) if zone else value
        return f"{moment:%Y-%m-%d %H:%M:%S}{zone}"
    if isinstance(value, timedelta):
        return str(timedelta(seconds=round(value.total_seconds())) if value.days else value)
    if isinstance(value, str):
        text = str.__str__(value[: _LONGEST + 1])
    elif isinstance(value, (list, tuple)) and kind_of(value) == "list[str]":
        text = ", ".join(each[:_LONGEST] for each in value[:_LONGEST])
    elif value is None or isinstance(value, (bool, int, float, date, MetaflowException)):
        text = text_of(value)
    else:
        text = shown(value)
    return visible(text[: _LONGEST + 1])


def cut(text: str) -> str:
    """Return text that takes at most 40 columns of a terminal."""
    if width(text) <= _WIDEST:
        return text
    taken, end = 0, 0
    for character in text:
        taken += _width(character)
        if taken >= _WIDEST:
            break
        end += 1
    return f"{text[:end]}…"


def width(text: str) -> int:
    """Return the columns of a terminal that text takes: two for wide characters.

    >>> width("abc"), width("\u65e5\u672c"), width("e\u0301")
    (3, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1

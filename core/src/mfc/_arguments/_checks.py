"""Checks of the arguments of public functions.

Scalars of numpy and pandas stand for the builtins that they equal.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from mfc.errors import BadArgument

#: Units of numpy: without a fixed length, and finer than those of Python.
_NO_DURATION, _FINER = ("Y", "M", "generic"), ("us", "ns", "ps", "fs", "as")


def text(name: str, value: object, expected: str = "text") -> str:
    """Return an argument that is text.

    Raises:
        BadArgument: it is not.
    """
    if not isinstance(value, str):
        raise BadArgument.of(name, value, expected)
    return str.__str__(value)  # a subclass of str could run any code on comparison


def texts(name: str, values: Iterable[Any], expected: str = "text") -> list[str]:
    """Return an argument that is a collection of text, such as `*names`.

    Raises:
        BadArgument: it is a single text, or a member is not text.
    """
    return [text(name, value, expected) for value in members(name, values, expected)]


def members(name: str, values: object, expected: str) -> Iterator[Any]:
    """Return an iterator over an argument that is a collection; text and mappings are refused.

    Raises:
        BadArgument: it is not.
    """
    try:
        if isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping)):
            return iter(values)
    except Exception as cause:
        raise BadArgument.of(name, values, f"a collection of {expected}") from cause
    raise BadArgument.of(name, values, f"a collection of {expected}")


def one_of(name: str, value: object, words: Collection[str]) -> str:
    """Return an argument that is one of some words.

    Raises:
        BadArgument: it is not.
    """
    if not isinstance(value, str) or (found := str.__str__(value)) not in words:
        raise BadArgument.of(name, value, " or ".join(map(repr, words)))
    return found


def whole(name: str, value: object, expected: str) -> int:
    """Return an argument that is a whole number, 0 or more.

    Raises:
        BadArgument: it is not; `True` and `False` do not count as numbers.
    """
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - an object may do anything when it is asked for its index
        number = -1
    if number < 0:
        raise BadArgument.of(name, value, expected)
    return number


def flag(name: str, value: object) -> bool:
    """Return an argument that is True or False.

    Raises:
        BadArgument: it is not; text such as "no" would otherwise count as true.
    """
    given = plain(value)
    if isinstance(given, int) and given in (0, 1):
        return bool(given)
    raise BadArgument.of(name, value, "True or False")


def path_of(name: str, value: object, expected: str) -> str:
    """Return an argument that is a local path, as text.

    Raises:
        BadArgument: it is not a path, is empty, or cannot be encoded by the system.
    """
    try:
        found = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
        possible = isinstance(found, str) and found and b"\0" not in os.fsencode(found)
    except Exception:  # noqa: BLE001 - a path-like object may do anything
        possible = False
    if not possible:
        raise BadArgument.of(name, value, expected)
    return str(found)


def plain(value: object) -> object:
    """Return the builtin that a scalar of numpy stands for, and any other value unchanged."""
    kind: Any = type(value)
    if kind.__module__ != "numpy" or getattr(value, "shape", None) != ():
        return value
    scalar: Any = value
    if kind.__name__ in ("datetime64", "timedelta64"):
        unit = sys.modules["numpy"].datetime_data(scalar.dtype)[0]
        if unit in _NO_DURATION and kind.__name__ == "timedelta64":
            return value  # months have no fixed length
        found = scalar.astype(f"{kind.__name__}[us]")  # builtins end at microseconds
        if unit not in _FINER and found.astype(scalar.dtype) != scalar and scalar == scalar:  # noqa: PLR0124
            return value  # out of range in microseconds
        scalar = found
    builtin: object = scalar.item()
    return builtin

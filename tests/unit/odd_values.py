"""Values that callers pass by mistake, or that imitate others."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import pathlib
from typing import Any

import numpy as np
import pandas as pd


class Raising:
    """Raises at any use."""

    def _fail(self, *_: object) -> Any:
        raise ZeroDivisionError("of the value's own")

    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __iter__ = __len__ = __index__ = _fail  # type: ignore[assignment]
    __contains__ = __float__ = __int__ = __lt__ = __fspath__ = _fail


class Loose:
    """Equals anything, and has the length of anything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __len__(self) -> int:
        return 1


class Word(str):
    """Text of a class of its own."""

    __slots__ = ()


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


def odd_values() -> dict[str, Any]:
    """Return the values by a name for the test's report."""
    return {
        "None": None,
        "True": True,
        "False": False,
        "0": 0,
        "1": 1,
        "-1": -1,
        "10**30": 10**30,
        "10**5000": 10**5000,
        "1.5": 1.5,
        "2.0": 2.0,
        "nan": float("nan"),
        "inf": float("inf"),
        "complex": 1j,
        "Decimal": decimal.Decimal(1),
        "Fraction": fractions.Fraction(1, 2),
        "empty text": "",
        "blank": " ",
        "text": "x",
        "digits": "7",
        "NUL": "a\0b",
        "control": "\x1b]0;title\x07",
        "lines": "a\nb",
        "bidi": "\u202eabc",
        "surrogate": "\ud800",
        "long text": "x" * 100_000,
        "dots": "..",
        "slashes": "a/b/c",
        "star": "*",
        "bytes": b"x",
        "bytearray": bytearray(b"x"),
        "list": [],
        "list of text": ["a"],
        "list of None": [None],
        "nested list": [["a"]],
        "tuple": ("a", "b"),
        "set": {"a"},
        "dict": {"a": 1},
        "object": object(),
        "class": int,
        "function": len,
        "generator": (c for c in "ab"),
        "path": pathlib.PurePosixPath("x"),
        "Enum": Colour.RED,
        "str subclass": Word("x"),
        "np.int64": np.int64(1),
        "np.bool": np.True_,
        "np.float64": np.float64(1.5),
        "np.nan": np.float64("nan"),
        "np.str_": np.str_("x"),
        "np.datetime64": np.datetime64("2026-03-01T12:00", "ns"),
        "np.timedelta64": np.timedelta64(3, "h"),
        "np.NaT": np.datetime64("NaT"),
        "array": np.arange(3),
        "array of one": np.array([1]),
        "array of none": np.array([]),
        "Timestamp": pd.Timestamp("2026-03-01"),
        "NaT": pd.NaT,
        "Series": pd.Series([1, 2]),
        "naive datetime": dt.datetime(2026, 3, 1),
        "aware datetime": dt.datetime(2026, 3, 1, tzinfo=dt.timezone.utc),
        "datetime.min": dt.datetime.min,
        "date": dt.date(2026, 3, 1),
        "time": dt.time(12),
        "timedelta": dt.timedelta(hours=1),
        "timedelta.max": dt.timedelta.max,
        "ISO": "2026-03-01T12:00",
        "duration": "24h",
        "raising": Raising(),
        "loose": Loose(),
    }

"""Builders for pandas's dtypes, points in time and offsets.

Source:
    Pickles of pandas 1.1, 1.5, 2.0, 2.2, 3.0 and 3.1.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd

from mfc._pickle._builders import ATOMS, Builder, entering
from mfc._pickle._scan import Refused
from mfc._pickle._stdlib import attributes
from mfc.values import Parts

BUILDERS: dict[str, Builder] = {}
builds = entering(BUILDERS, "pandas.")
_MAJOR = int(pd.__version__.partition(".")[0])
_TEXT_IS_A_TYPE = _MAJOR >= 3  # noqa: PLR2004
#: Resolution of times by pandas's number.
_UNITS = {7: "s", 8: "ms", 9: "us", 10: "ns"}
_FREQUENCY = re.compile(r"[A-Za-z0-9-]+")
#: Names of frequencies before and since pandas 2.2.
_SPELLINGS = {"Y": "A", "h": "H", "min": "T", "s": "S", "ms": "L", "us": "U", "ns": "N"}
_NUMBERS = (int, float, np.generic, pd.Timestamp, pd.Timedelta)


_WIDTHS = "Boolean Float32 Float64 Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64"


@builds(*(f"{kind}Dtype" for kind in _WIDTHS.split()))
def _number_dtype(parts: Parts) -> Any:
    return getattr(pd, parts.name.name)(*parts.args)


@builds("PandasDtype", "NumpyEADtype")
def _plain_dtype(parts: Parts) -> Any:
    dtype = attributes(parts.state)["_dtype"]
    if not isinstance(dtype, np.dtype):
        raise Refused("an invalid type of an array")
    kind = getattr(pd.core.dtypes.dtypes, "NumpyEADtype", None)
    return kind(dtype) if kind else type(pd.arrays.PandasArray(np.empty(0)).dtype)(dtype)


@builds("StringDtype")
def _string_dtype(parts: Parts) -> Any:
    state = attributes(parts.state)
    said: list[Any] = [state.get("storage", "python"), None]
    said[: len(parts.args)] = parts.args
    storage, missing = said
    storage = "pyarrow" if storage in {"pyarrow", "pyarrow_numpy"} and _has_arrow() else "python"
    if type(missing) is float and missing != missing:  # noqa: PLR0124 - not a number
        # pandas 3 has a text type with NaN; before, such columns held objects.
        return pd.StringDtype(storage, na_value=np.nan) if _TEXT_IS_A_TYPE else np.dtype(object)
    return pd.StringDtype(storage) if hasattr(pd.StringDtype(), "storage") else pd.StringDtype()


def _has_arrow() -> bool:
    try:
        pd.StringDtype("pyarrow")
    except (ImportError, TypeError):
        return False
    return True


@builds("CategoricalDtype")
def _categorical_dtype(parts: Parts) -> Any:
    state = attributes(parts.state) or dict(
        zip(("categories", "ordered"), parts.args, strict=False)
    )
    categories = state["categories"]
    if categories is not None and not isinstance(categories, pd.Index):
        raise Refused("categories of something else than an index")
    return pd.CategoricalDtype(categories, bool(state["ordered"]))


@builds("DatetimeTZDtype")
def _zone_dtype(parts: Parts) -> Any:
    state = attributes(parts.state) or dict(zip(("unit", "tz"), parts.args, strict=False))
    if not isinstance(state["tz"], dt.tzinfo) or state["unit"] not in _UNITS.values():
        raise Refused("an invalid time zone")
    return pd.DatetimeTZDtype(state["unit"] if _MAJOR > 1 else "ns", state["tz"])


@builds("PeriodDtype")
def _period_dtype(parts: Parts) -> Any:
    frequency = parts.args[0] if parts.args else attributes(parts.state)["_freq"]
    if isinstance(frequency, pd.offsets.BaseOffset):
        return pd.PeriodDtype(frequency)
    name = frequency.removeprefix("period[").removesuffix("]")
    if not _FREQUENCY.fullmatch(name):
        raise Refused("an invalid frequency")
    try:
        return pd.PeriodDtype(name)
    except (ValueError, TypeError):
        base, dash, rest = name.partition("-")
        return pd.PeriodDtype(_SPELLINGS[base] + dash + rest)


@builds("IntervalDtype")
def _interval_dtype(parts: Parts) -> Any:
    state = attributes(parts.state) or dict(zip(("subtype", "closed"), parts.args, strict=False))
    return pd.IntervalDtype(state["subtype"], state.get("closed"))


@builds("SparseDtype")
def _sparse_dtype(parts: Parts) -> Any:
    state = attributes(parts.state)
    return pd.SparseDtype(state["_dtype"], state["_fill_value"])


@builds("ArrowDtype")
def _arrow_dtype(parts: Parts) -> Any:
    return pd.ArrowDtype(attributes(parts.state)["pyarrow_dtype"])


# Scalars


@builds("_nat_unpickle", "__nat_unpickle")
def _nat(_: Parts) -> Any:
    return pd.NaT


@builds("Timestamp", "_unpickle_timestamp")
def _timestamp(parts: Parts) -> Any:
    value, _, zone, *unit = parts.args
    point = pd.Timestamp(np.datetime64(value, _UNITS[unit[0]] if unit else "ns"))
    if zone is None:
        return point
    if not isinstance(zone, dt.tzinfo):
        raise Refused("a time in something else than a time zone")
    return point.tz_localize("UTC").tz_convert(zone)


@builds("Timedelta", "_timedelta_unpickle")
def _timedelta(parts: Parts) -> Any:
    value, *unit = parts.args
    return pd.Timedelta(
        np.timedelta64(value, _UNITS[unit[0]] if unit and unit[0] != "ns" else "ns")
    )


@builds("Period")
def _period(parts: Parts) -> Any:
    _, frequency, ordinal = parts.args
    return pd.Period(ordinal=ordinal, freq=offset_of(frequency))


@builds("Interval")
def _interval(parts: Parts) -> Any:
    left, right, closed = parts.args
    if not isinstance(left, _NUMBERS) or not isinstance(right, _NUMBERS):
        raise Refused("an interval of something else than numbers or times")
    return pd.Interval(left, right, closed)


_OFFSETS = (
    "Tick Day Hour Minute Second Milli Micro Nano BusinessDay BusinessHour BusinessMonthBegin "
    "BusinessMonthEnd CustomBusinessDay CustomBusinessHour CustomBusinessMonthBegin "
    "CustomBusinessMonthEnd MonthBegin MonthEnd SemiMonthBegin SemiMonthEnd QuarterBegin "
    "QuarterEnd BQuarterBegin BQuarterEnd HalfYearBegin HalfYearEnd BHalfYearBegin BHalfYearEnd "
    "YearBegin YearEnd BYearBegin BYearEnd Week WeekOfMonth LastWeekOfMonth FY5253 FY5253Quarter "
    "Easter"
)
_STEPS = "year month week day hour minute second microsecond nanosecond"
_CLOCK = frozenset(step + end for step in _STEPS.split() for end in ("", "s")) | {"milliseconds"}


@builds(*_OFFSETS.split())
def _offset(parts: Parts) -> Any:
    args = [tuple(arg) if type(arg) is list else arg for arg in parts.args]
    for part in [part for arg in args for part in (arg if type(arg) is tuple else (arg,))]:
        if not isinstance(part, (*ATOMS, np.datetime64, dt.timedelta, dt.time)):
            raise Refused(f"an offset with a {type(part).__name__}")
    return getattr(pd.offsets, parts.name.name)(*args)


@builds("DateOffset")
def _date_offset(parts: Parts) -> Any:
    state = attributes(parts.state)
    steps = {name: value for name, value in state.items() if name in _CLOCK and type(value) is int}
    return pd.DateOffset(int(state["n"]), bool(state["normalize"]), **steps)


def offset_of(frequency: Any) -> Any:
    if not isinstance(frequency, pd.offsets.BaseOffset):
        raise Refused("a frequency of something else than an offset")
    return frequency

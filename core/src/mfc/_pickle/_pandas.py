"""Builders for pandas's values: frames from columns, through public constructors.

The internals in a pickle (managers, blocks, arrays backed by numpy) are read as plain data, so that
any version of pandas reads the pickles of any other. pandas checks its arguments: codes against
categories, lengths against the index, places of sparse values.

Source:
    Pickles of pandas 1.1, 1.5, 2.0, 2.2, 3.0 and 3.1, with and without pyarrow.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from attrs import frozen

from mfc._pickle._builders import Internal
from mfc._pickle._pandas_types import BUILDERS, builds, offset_of
from mfc._pickle._scan import Refused
from mfc._pickle._stdlib import attributes, listed, of_types
from mfc._pickle._tree import Name
from mfc.values import Parts

__all__ = ["BUILDERS", "mention"]
#: Memory of a number of a range once it is used, in bytes: twice, as a table finds labels.
_RANGE = 16
#: Memory of the object for one element, and of the pointer to it, in bytes.
_OBJECT = 64


def mention(name: str) -> Any:
    """Return a class of pandas, or NA; None for other names."""
    if name in {"NA", "C_NA"}:
        return pd.NA
    found = getattr(pd, name, None)
    return found if isinstance(found, type) or found is pd.NaT else None


# Tables


@frozen
class _Manager(Internal):
    """Index objects, and blocks: values of several columns, with their places."""

    axes: list[Any]
    blocks: list[tuple[Any, Any]]


@frozen
class _Rows(Internal):
    """Values of a block without a class of its own: one array for each column."""

    rows: list[Any]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Any:
        return self.rows[place]


@builds("BlockPlacement")
def _placement(parts: Parts) -> Any:
    return of_types(parts, (slice,), (np.ndarray,))[0]


@builds("_unpickle_block")
def _block(parts: Parts) -> Any:
    values, place, *_ = parts.args
    return values, place


@builds("BlockManager", "SingleBlockManager")
def _manager(parts: Parts) -> Any:
    if parts.stated:
        said = parts.state[-1]["0.14.1"]
        return _Manager(
            list(listed(said["axes"])),
            [(block["values"], block["mgr_locs"]) for block in listed(said["blocks"])],
        )
    blocks, axes, *_ = parts.args
    pairs = [block if type(block) is tuple else (None, None) for block in listed(blocks)]
    return _Manager(list(listed(axes)), pairs)


def _managed(parts: Parts, axes: int) -> tuple[dict[str, Any], _Manager]:
    state = attributes(parts.state)
    manager = state.get("_mgr", state.get("_data"))
    if (
        type(manager) is not _Manager
        or [isinstance(a, pd.Index) for a in manager.axes] != [True] * axes
    ):
        raise Refused("a table without content")
    return state, manager


@builds("DataFrame")
def _frame(parts: Parts) -> Any:
    state, manager = _managed(parts, 2)
    columns, index = manager.axes
    _charge(parts, columns)
    if len(manager.blocks) == 1 and type(manager.blocks[0][0]) is np.ndarray:
        values, place = manager.blocks[0]
        if list(_places(place, len(columns))) == list(range(len(columns))) and values.ndim == 2:  # noqa: PLR2004
            kind = object if values.dtype == object else None
            _charge(parts, values)
            made = pd.DataFrame(values.T, index, columns, dtype=kind, copy=False)
            return _noted(made, state)
    found: dict[int, Any] = {}
    for values, place in manager.blocks:
        places = _places(place, len(columns))
        rows = values if _is_flat_block(values) else [values]
        if len(rows) != len(places) or not found.keys().isdisjoint(places):
            raise Refused("a block of another shape than its place")
        for number, row in zip(places, rows, strict=True):
            plain = type(row) is np.ndarray and row.dtype != object and len(row) == len(index)
            _charge(parts, row)
            found[number] = row if plain else _series(row, index)
    if len(found) != len(columns):
        raise Refused("blocks that do not cover the table")
    made = pd.DataFrame(
        {number: found[number] for number in range(len(columns))}, index, copy=False
    )
    made.columns = columns
    return _noted(made, state)


def _is_flat_block(values: Any) -> bool:
    return type(values) is _Rows or (isinstance(values, np.ndarray) and values.ndim == 2)  # noqa: PLR2004


def _places(place: Any, columns: int) -> Any:
    if isinstance(place, slice):
        found: Any = range(*place.indices(columns))
        # The end may lie outside; the start and all places between may not.
        if found and not (place.start or 0) == found[0]:
            raise Refused("a block outside of the table")
    else:
        found = [int(number) for number in np.asarray(place)]
    if len(found) > columns or any(not 0 <= number < columns for number in found):
        raise Refused("a block outside of the table")
    return found


def _series(values: Any, index: Any, name: Any = None) -> Any:
    if isinstance(values, pd.Index):
        values = values.array
    if not isinstance(values, (np.ndarray, pd.api.extensions.ExtensionArray)) or values.ndim != 1:
        raise Refused("a column of something else than an array")
    if len(values) != len(index):
        raise Refused("a column of another length than the index")
    kind = object if values.dtype == object else None  # pandas would otherwise infer text
    return pd.Series(values, index, name=name, dtype=kind, copy=False)


@builds("Series")
def _column(parts: Parts) -> Any:
    state, manager = _managed(parts, 1)
    ((values, _),) = manager.blocks
    _charge(parts, values)
    (name,) = parts.hashed([state.get("_name", state.get("name"))])
    return _noted(_series(values, manager.axes[0], name), state)


def _noted(made: Any, state: dict[str, Any]) -> Any:
    if type(state.get("attrs")) is dict:
        made.attrs = state["attrs"]
    if (
        type(state.get("_flags")) is dict
        and state["_flags"].get("allows_duplicate_labels") is False
    ):
        made.flags.allows_duplicate_labels = False
    return made


# Indexes


@builds(
    "_new_Index",
    "_new_DatetimeIndex",
    "_new_TimedeltaIndex",
    "_new_PeriodIndex",
    "_new_IntervalIndex",
)
def _index(parts: Parts) -> Any:
    kind, said = parts.args
    if type(kind) is not Name or type(said) is not dict:
        raise Refused("an index of something else than its description")
    (name,) = parts.hashed([said.get("name")])
    if kind.name == "RangeIndex":
        steps = said["start"], said["stop"], said["step"]
        if any(type(step) is not int for step in steps):
            raise Refused("a range of something else than integers")
        return pd.RangeIndex(*steps, name=name)
    if kind.name == "MultiIndex":
        codes = said.get("codes", said.get("labels"))
        for values in (*listed(said["levels"]), *listed(codes)):
            _charge(parts, values)
        return pd.MultiIndex(said["levels"], codes, said["sortorder"], parts.hashed(said["names"]))
    if kind.name == "IntervalIndex" and "left" in said:
        ends = _array_of(parts, said["left"]), _array_of(parts, said["right"])
        return pd.IntervalIndex.from_arrays(*ends, closed=said["closed"], name=name)
    made = _indexed(parts, said["data"], name, said.get("tz"))
    if made.dtype.kind in "mM" and said.get("freq") is not None:
        made.freq = offset_of(said["freq"])
    return made


def _indexed(parts: Parts, values: Any, name: Any, zone: Any) -> Any:
    values = _array_of(parts, values)
    if values.dtype == object:
        parts.hashed(list(values))
        return pd.Index(values, dtype=object, name=name, copy=False)
    if zone is not None and type(values) is np.ndarray:
        values = _times(values, zone)
    return pd.Index(values, name=name, copy=False)


def _array_of(parts: Parts, values: Any) -> Any:
    _charge(parts, values)
    if isinstance(values, pd.Index):
        return values
    if not isinstance(values, (np.ndarray, pd.api.extensions.ExtensionArray)) or values.ndim != 1:
        raise Refused("an index of something else than an array")
    return values


def _charge(parts: Parts, values: Any) -> None:
    """Count the memory that pandas takes for values that are not yet numbers in memory.

    A range has no values in memory; each text or record of fixed size becomes an object.
    """
    if isinstance(values, pd.RangeIndex):
        parts.spend(_RANGE * len(values))
    elif isinstance(values, np.ndarray) and values.dtype.kind in "SUV":
        parts.spend((_OBJECT + values.dtype.itemsize) * values.size)


def _times(values: Any, zone: Any) -> Any:
    """Return points in time in a zone; `values` are in UTC."""
    if (
        type(values) is not np.ndarray
        or values.dtype.kind not in "mM"
        or (zone and not isinstance(zone, dt.tzinfo))
    ):
        raise Refused("times made of something else")
    if values.dtype.kind == "m":
        return pd.TimedeltaIndex(values)
    return pd.DatetimeIndex(values, tz="UTC").tz_convert(zone) if zone else pd.DatetimeIndex(values)


# Arrays


@builds(
    "__pyx_unpickle_NDArrayBacked",
    "__pyx_unpickle_IntervalMixin",
    "__pyx_unpickle_PeriodMixin",
)
def _extension(parts: Parts) -> Any:
    state = parts.state
    if parts.args and type(parts.args[0]) is Name:
        kind = parts.args[0].name
        if type(state) is tuple and len(state) > 1:
            state = {"_dtype": state[0], "_ndarray": state[1], **attributes(state[2:])}
    else:
        kind = parts.name.name
    make = _ARRAYS.get(kind)
    if make is None:
        raise Refused(f"an array of an unknown class, {kind}")
    return make(parts, attributes(state))


def _categorical(parts: Parts, state: dict[str, Any]) -> Any:
    if isinstance(state["_dtype"], pd.CategoricalDtype):
        _charge(parts, state["_dtype"].categories)
    codes = state["_codes" if "_codes" in state else "_ndarray"]
    if not isinstance(state["_dtype"], pd.CategoricalDtype) or codes.dtype.kind != "i":
        raise Refused("invalid categories")
    return pd.Categorical.from_codes(codes, dtype=state["_dtype"])


def _time_array(_: Parts, state: dict[str, Any]) -> Any:
    values = state.get("_ndarray", state.get("_data"))
    zone = getattr(state.get("_dtype"), "tz", None)
    if isinstance(values, np.ndarray) and values.ndim == 2:  # noqa: PLR2004
        return _Rows([_times(row, zone).array for row in values])
    made = _times(values, zone)
    if state.get("_freq") is None:
        return made.array
    made.freq = offset_of(state["_freq"])
    return made  # the index: from pandas 3.1 on, arrays have no frequency


def _period_array(_: Parts, state: dict[str, Any]) -> Any:
    ordinals = state.get("_ndarray", state.get("_data"))
    if isinstance(ordinals, np.ndarray) and ordinals.ndim == 2:  # noqa: PLR2004
        return _Rows([_periods(row, state["_dtype"]) for row in ordinals])
    return _periods(ordinals, state["_dtype"])


def _periods(ordinals: Any, dtype: Any) -> Any:
    if not isinstance(dtype, pd.PeriodDtype) or ordinals.dtype != np.int64:
        raise Refused("periods of something else than numbers")
    if hasattr(pd.PeriodIndex, "from_ordinals"):
        return pd.PeriodIndex.from_ordinals(ordinals, freq=dtype.freq).array
    return pd.PeriodIndex(ordinal=ordinals, freq=dtype.freq).array


def _text_array(parts: Parts, state: dict[str, Any]) -> Any:
    values: Any = state.get("_ndarray", state.get("_pa_array", state.get("_data")))
    dtype = state.get("_dtype") or pd.StringDtype()
    if hasattr(values, "to_pylist"):
        parts.spend(80 * len(values))
        values = np.array(values.to_pylist(), dtype=object)
    if not isinstance(values, np.ndarray) or not set(map(type, values.flat)) <= {
        str,
        float,
        type(None),
        type(pd.NA),
    }:
        raise Refused("text of something else than text")
    if dtype == np.dtype(object):
        return np.where(pd.isna(values), np.nan, values)
    return pd.array(values, dtype=dtype)


def _plain_array(_: Parts, state: dict[str, Any]) -> Any:
    values = state["_ndarray"]
    if type(values) is not np.ndarray:
        raise Refused("an array of something else")
    made = getattr(pd.arrays, "NumpyExtensionArray", None) or pd.arrays.PandasArray
    return made(values)


def _interval_array(parts: Parts, state: dict[str, Any]) -> Any:
    ends = _array_of(parts, state["_left"]), _array_of(parts, state["_right"])
    closed = state.get("_closed") or state["_dtype"].closed
    return pd.arrays.IntervalArray.from_arrays(*ends, closed=closed)


def _masked_array(_: Parts, state: dict[str, Any]) -> Any:
    values, mask = state["_data"], state["_mask"]
    if (
        type(values) is not np.ndarray
        or type(mask) is not np.ndarray
        or values.shape != mask.shape
        or values.ndim != 1
    ):
        raise Refused("a mask of another shape than its data")
    kind = {"b": "BooleanArray", "f": "FloatingArray"}.get(values.dtype.kind, "IntegerArray")
    return getattr(pd.arrays, kind)(values, mask)


def _sparse_array(parts: Parts, state: dict[str, Any]) -> Any:
    places, values = state["_sparse_index"], state["_sparse_values"]
    if getattr(places, "npoints", None) != len(values):
        raise Refused("sparse values that are not where they should be")
    parts.spend(places.length)  # many operations make it dense
    dtype = state["_dtype"]
    if not isinstance(dtype, pd.SparseDtype):
        raise Refused("sparse values of something else than their type")
    if not hasattr(pd.arrays.SparseArray, "from_indices"):
        return pd.arrays.SparseArray(values, sparse_index=places, dtype=dtype)
    kind = "block" if hasattr(places, "blocs") else "integer"
    places, length = places.to_int_index().indices, places.length
    return pd.arrays.SparseArray.from_indices(
        values, places, length, dtype.fill_value, kind, dtype.subtype
    )


def _arrow_array(_: Parts, state: dict[str, Any]) -> Any:
    values = state.get("_pa_array", state.get("_data"))
    return pd.arrays.ArrowExtensionArray(values)


_ARRAYS: dict[str, Callable[[Parts, dict[str, Any]], Any]] = {
    "Categorical": _categorical, "DatetimeArray": _time_array, "TimedeltaArray": _time_array,
    "PeriodArray": _period_array, "StringArray": _text_array, "ArrowStringArray": _text_array,
    "StringArrayNumpySemantics": _text_array, "ArrowStringArrayNumpySemantics": _text_array,
    "PandasArray": _plain_array, "NumpyExtensionArray": _plain_array,
    "IntervalArray": _interval_array, "IntegerArray": _masked_array, "BooleanArray": _masked_array,
    "FloatingArray": _masked_array, "SparseArray": _sparse_array,
    "ArrowExtensionArray": _arrow_array,
}  # fmt: skip


for _kind in _ARRAYS:
    builds(_kind)(_extension)


@builds("IntIndex", "BlockIndex")
def _sparse_index(parts: Parts) -> Any:
    from pandas._libs import sparse  # the only constructor; it checks its arguments

    length, *places = parts.args
    if type(length) is not int or any(
        type(p) is not np.ndarray or p.dtype != np.int32 or p.ndim != 1 for p in places
    ):
        raise Refused("places of something else than numbers")
    return getattr(sparse, parts.name.name)(length, *places)

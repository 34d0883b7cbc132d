"""Tables in other forms: CSV, pandas, Arrow, polars."""

from __future__ import annotations

import importlib
import io
import os
import re
from datetime import timezone
from typing import Any, TextIO

from mfc._arguments import flag, path_of
from mfc._facts._cells import Cells, encodable, guarded, is_no_time, text_of
from mfc.errors import BadArgument, MissingLibrary

#: Characters for which a field of CSV is quoted.
_SPECIAL = re.compile(r"[\",\r\n]|^\s|\s$")
_TARGET = "a path, a text file, or None for the text"


def to_csv(
    table: Cells, target: str | os.PathLike[str] | TextIO | None, *, guard: bool
) -> str | None:
    """Write a table as CSV; `Table.to_csv` documents the arguments."""
    guard = flag("guard", guard)
    if target is None:
        written = io.StringIO()
        _write(table, written, guard=guard)
        return written.getvalue()
    if isinstance(target, (str, os.PathLike)):
        path = path_of("target", target, _TARGET)
        with open(path, "w", encoding="utf-8", newline="") as file:
            _write(table, file, guard=guard)
    elif callable(getattr(target, "write", None)) and not isinstance(
        target, (io.RawIOBase, io.BufferedIOBase)
    ):
        _write(table, target, guard=guard)
    else:
        raise BadArgument.of("target", target, _TARGET)
    return None


def _write(table: Cells, file: TextIO, *, guard: bool) -> None:
    file.write(_line([guarded(name) if guard else name for name in map(encodable, table.columns)]))
    file.writelines(_line([_field(cell, guard=guard) for cell in row]) for row in table.rows)


def _line(fields: list[str]) -> str:
    """Return a line of CSV; an empty field that is alone is quoted, as it would be no line."""
    return ",".join(map(_quoted, fields)) + "\n" if fields != [""] else '""\n'


def _quoted(field: str) -> str:
    # The writer of older Pythons leaves a carriage return as it is.
    if _SPECIAL.search(field):
        return '"' + field.replace('"', '""') + '"'
    return field


def _field(cell: object, *, guard: bool) -> str:
    text = text_of(cell)
    return guarded(text) if guard and not isinstance(cell, (bool, int, float)) else text


def to_pandas(table: Cells) -> Any:
    """Return a DataFrame; `Table.to_pandas` says of which types."""
    pd = _library("pandas")
    columns = {
        at: _series(pd, [row[at] for row in table.rows], kind)
        for at, kind in enumerate(table.types.values())
    }
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(table)))
    frame.columns = pd.Index(table.columns, dtype=object)
    return frame


def _series(pd: Any, cells: list[Any], kind: str) -> Any:
    missing = any(cell is None for cell in cells)
    types = {
        "int": "Int64" if missing else "int64",
        "bool": "boolean" if missing else "bool",
        "float": "float64",
        "str": "string",
    }
    if kind in types:
        return pd.Series([_exported(cell, kind) for cell in cells], dtype=types[kind])
    series = pd.Series([None] * len(cells), dtype=object)
    for at, cell in enumerate(cells):  # a list or frame is one value
        series.iat[at] = cell
    if kind == "timedelta":
        return pd.to_timedelta(series)
    return pd.to_datetime(series, utc=kind == "datetime") if "datetime" in kind else series


def to_arrow(table: Cells) -> Any:
    """Return a pyarrow Table; `Table.to_arrow` says of which types."""
    pa = _library("pyarrow")
    types = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bytes": pa.binary(),
        "datetime": pa.timestamp("us", tz="UTC"),
        "naive datetime": pa.timestamp("us"),
        "date": pa.date32(),
        "timedelta": pa.duration("us"),
        "list[str]": pa.list_(pa.string()),
        "empty": pa.null(),
    }
    fields, arrays = [], []
    for at, (name, kind) in enumerate(table.types.items()):
        note = {"mfc.type": "object"} if kind == "object" else None
        field = pa.field(encodable(name), types.get(kind, pa.string()), metadata=note)
        cells = [_exported(row[at], kind) for row in table.rows]
        fields.append(field)
        arrays.append(pa.array(cells, type=field.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def to_polars(table: Cells) -> Any:
    """Return a polars DataFrame; columns are of the same types as in Arrow."""
    pl = _library("polars")
    types = {
        "bool": pl.Boolean,
        "int": pl.Int64,
        "float": pl.Float64,
        "bytes": pl.Binary,
        "datetime": pl.Datetime("us", "UTC"),
        "naive datetime": pl.Datetime("us"),
        "date": pl.Date,
        "timedelta": pl.Duration("us"),
        "list[str]": pl.List(pl.String),
        "empty": pl.Null,
    }
    return pl.DataFrame(
        [
            pl.Series(
                encodable(name),
                [_exported(row[at], kind) for row in table.rows],
                dtype=types.get(kind, pl.String),
            )
            for at, (name, kind) in enumerate(table.types.items())
        ]
    )


def _exported(cell: Any, kind: str) -> Any:
    """Return a cell as Arrow takes it, in a column of a type."""
    if cell is None or is_no_time(cell):
        return None
    if kind == "float":
        return float(cell)
    if kind == "int":
        return int(cell)
    if kind == "list[str]":
        return [encodable(each) for each in cell]
    if kind == "datetime":
        return cell.astimezone(timezone.utc)
    return text_of(cell) if kind in ("str", "object") else cell


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)  # optional, and slow to import
    except ImportError as cause:
        raise MissingLibrary(name) from cause

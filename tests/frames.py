"""Tables as frames of the libraries that are installed: `make matrix` runs it beside each of them."""

from __future__ import annotations

import importlib.util
from datetime import date, datetime, timedelta, timezone

from mfc import Table

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
WEST = datetime(2026, 3, 1, 4, 30, tzinfo=timezone(timedelta(hours=-8)))
ALL = Table(
    ("int", "bool", "float", "str", "bytes", "at", "naive", "day", "took", "tags", "any", "none"),
    [
        (1, True, 1, "a", b"a", NOON, datetime(2026, 3, 1), date(2026, 3, 1), timedelta(1), ("a",), {"k": [1]}, None),
        (None,) * 12,
        (2, False, 2.5, "b\ud800", b"", WEST, datetime(2027, 3, 1), date(2027, 3, 1), timedelta(0), (), "x", None),
    ],
)  # fmt: skip


def check_pandas() -> None:
    frame = ALL.to_pandas()
    assert list(frame.columns) == list(ALL.columns)
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert (types["int"], types["bool"], types["float"]) == ("Int64", "boolean", "float64")
    assert types["str"] == "string"
    assert types["at"].startswith("datetime64[")
    assert types["at"].endswith("UTC]")
    assert types["took"].startswith("timedelta64")
    assert frame["int"].tolist()[::2] == [1, 2]
    assert frame["int"].isna().tolist() == [False, True, False]
    assert frame["at"].tolist()[::2] == [NOON, WEST]
    assert frame["any"].tolist() == [{"k": [1]}, None, "x"]
    assert frame["tags"].tolist() == [("a",), None, ()]
    whole = Table(("x", "y"), [(1, "a"), (2, "b")]).to_pandas()
    assert [str(kind) for kind in whole.dtypes] == ["int64", "string"]
    assert Table(("x", "y"), []).to_pandas().shape == (0, 2)


def check_arrow() -> None:
    import pyarrow as pa

    made = ALL.to_arrow()
    assert [str(field.type) for field in made.schema] == [
        "int64", "bool", "double", "string", "binary", "timestamp[us, tz=UTC]", "timestamp[us]",
        "date32[day]", "duration[us]", "list<item: string>", "string", "null",
    ]  # fmt: skip
    assert made.schema.field("any").metadata == {b"mfc.type": b"object"}
    assert made.schema.field("str").metadata is None
    assert made["any"].to_pylist() == ['{"k": [1]}', None, "x"]
    assert made["int"].to_pylist() == [1, None, 2]
    assert made["float"].to_pylist() == [1.0, None, 2.5]
    assert made["at"].to_pylist() == [NOON, None, WEST]
    assert made["tags"].to_pylist() == [["a"], None, []]
    assert pa.table(ALL).equals(made)  # through __arrow_c_stream__
    assert Table(("x",), []).to_arrow().num_rows == 0


def check_polars() -> None:
    import polars as pl

    frame = ALL.to_polars()
    assert frame.columns == list(ALL.columns)
    assert frame.dtypes[:4] == [pl.Int64, pl.Boolean, pl.Float64, pl.String]
    assert frame["at"].dtype == pl.Datetime("us", "UTC")
    assert frame["int"].to_list() == [1, None, 2]
    assert frame["at"].to_list() == [NOON, None, WEST]
    assert frame["any"].to_list() == ['{"k": [1]}', None, "x"]
    assert frame["tags"].to_list() == [["a"], None, []]
    assert frame.shape == (3, 12)


CHECKS = {"pandas": check_pandas, "pyarrow": check_arrow, "polars": check_polars}

if __name__ == "__main__":
    for library, check in CHECKS.items():
        if importlib.util.find_spec(library):
            check()
            print(f"{library}: a table keeps its types")

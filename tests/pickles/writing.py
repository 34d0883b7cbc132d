"""Write the values of the compatibility matrix with the libraries of the interpreter that runs this.

    python writing.py recorded/NAME.json.xz

Runs with Python 3.7 and newer, with or without numpy, pandas and pyarrow.
"""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import json
import lzma
import os
import pathlib
import pickle
import platform
import sys
import tempfile
import types
import uuid
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from described import described

warnings.simplefilter("ignore")


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Basket:
    owner: str
    items: list


Point = collections.namedtuple("Point", "x y")


class Model:
    def __init__(self):
        self.weights = [1.0, 2.0]


#: Classes of the flow's own code, without builders.
OWN = {
    "enum": Colour.RED,
    "dataclass": Basket("ada", [1]),
    "namedtuple": Point(1, 2),
    "object": Model(),
    "class": Model,
}


def standard():
    zones = {
        "utc": datetime.timezone.utc,
        "offset": datetime.timezone(datetime.timedelta(hours=5.5), "X"),
    }
    try:
        import zoneinfo

        zones["zoneinfo"] = zoneinfo.ZoneInfo("Europe/Zurich")
    except ImportError:
        pass
    try:
        import pytz

        zones["pytz"], zones["pytz_utc"] = pytz.timezone("America/New_York"), pytz.utc
    except ImportError:
        pass
    shared = [1, 2]
    values = {
        "scalars": [None, True, False, 0, -1, 255, 256, 65536, -(2**31), 2**70, -(2**200), 0.0, -1.5, 1e300, float("inf"), float("nan"), 1 + 2j],
        "texts": ["", "a", "ü", "€", "\U0001f600", "\ud800", "a\nb\\", "x" * 300, "y" * 70000],
        "bytes": [b"", b"\x00\xff", b"x" * 300, b"y" * 70000, bytearray(b""), bytearray(b"ab\xff"), bytearray(70000)],
        "containers": [[], [[1], [2, [3]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, {"a": {1: (2, None)}}, set(), {1, "a"}, frozenset({1, 2})],
        "many": list(range(3000)), "many_texts": ["n%d" % n for n in range(1500)], "many_pairs": {str(n): n for n in range(2500)},
        "shared": [shared, shared, {"a": shared}], "tuple_keys": {(1, "a"): 1, ((1, 2), 3): 2, frozenset({1}): 3},
        "ranges": [range(3), range(5, 1, -2), slice(None), slice(1, 2, 3), ..., NotImplemented, type(None), int, dict],
        "collections": [collections.OrderedDict([("b", 1), ("a", 2)]), collections.Counter("aab"), collections.defaultdict(list, a=[1]), collections.defaultdict(None, {1: 2}), collections.deque([1, 2], 3), collections.deque(), collections.ChainMap({1: 2}, {3: 4}), collections.UserDict(a=1), collections.UserList([1]), collections.UserString("a")],
        "namespace": types.SimpleNamespace(a=1, b=[2]),
        "days": [datetime.date(2020, 2, 29), datetime.date.min, datetime.date.max, datetime.time(1, 2, 3, 4), datetime.time(1, fold=1), datetime.timedelta(-1, 2, 3), datetime.timedelta.max, datetime.datetime(2020, 1, 2, 3, 4, 5, 6), datetime.datetime(2020, 1, 2, fold=1), datetime.datetime.max],
        "decimals": [decimal.Decimal(text) for text in ("0", "-1.50", "1E+30", "NaN", "Infinity", "0.1")], "fractions": [fractions.Fraction(1, 3), fractions.Fraction(-5)],
        "uuids": [uuid.UUID(int=5), uuid.uuid5(uuid.NAMESPACE_DNS, "a")],
        "paths": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:\\a"), pathlib.Path("/x/y.txt"), pathlib.Path()],
        "addresses": [ipaddress.ip_address("1.2.3.4"), ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("1.2.3.4/8"), ipaddress.ip_address("::1"), ipaddress.ip_network("::/64")],
        "errors": [ValueError("a", 1), KeyError("k"), OSError(2, "no", "f"), UnicodeDecodeError("ascii", b"abc", 1, 2, "r"), UnicodeEncodeError("ascii", "abc", 0, 1, "r"), StopIteration(3), SystemExit(1), ZeroDivisionError()],
    }  # fmt: skip
    for name, zone in zones.items():
        moment = (
            zone.localize(datetime.datetime(2020, 7, 1))
            if hasattr(zone, "localize")
            else datetime.datetime(2020, 7, 1, tzinfo=zone)
        )
        values["zone_" + name] = [moment, zone] if not name.startswith("pytz") else [moment]
    return values


def numbers():
    import numpy as np

    values = {}
    for kind in [
        "?",
        "b",
        "B",
        "h",
        "H",
        "i",
        "I",
        "l",
        "L",
        "q",
        "Q",
        "e",
        "f",
        "d",
        "g",
        "F",
        "D",
        "G",
    ]:
        values["array_" + ("bool" if kind == "?" else kind)] = np.arange(3).astype(kind)
        values["scalar_" + ("bool" if kind == "?" else kind)] = np.dtype(kind).type(1)
    record = np.dtype(
        [("a", "i4"), ("b", "f8", (2,)), ("c", "U3"), ("d", [("e", "?"), ("f", "M8[s]")])],
        align=True,
    )
    titled = np.dtype(
        {
            "names": ["x", "y"],
            "formats": ["i2", "f4"],
            "offsets": [4, 8],
            "titles": ["X", None],
            "itemsize": 16,
        }
    )
    masked_record = np.ma.array(
        [(1, 2.0), (3, 4.0)], mask=[(0, 1), (1, 0)], dtype=[("a", "i4"), ("b", "f8")]
    )
    where = os.path.join(tempfile.mkdtemp(), "mapped")
    mapped = np.memmap(where, dtype="i4", mode="w+", shape=(2, 3))
    mapped[:] = np.arange(6).reshape(2, 3)
    values.update({
        "text": np.array(["a", "ü", "\U0001f600"]), "bytes": np.array([b"a", b"bc"]), "void": np.array([b"abcd"], "V4"),
        "days": np.array(["2020-01-01", "NaT"], "M8[D]"), "nanoseconds": np.array(["2020-01-01T00:00:00.123456789"], "M8[ns]"), "hours3": np.array([1, 2], "m8[3h]"), "no_unit": np.array(["NaT"], "M8"), "took": np.array([1, "NaT"], "m8[ms]"),
        "objects": np.array([1, "a", None, [1, 2], {"k": (1,)}], object), "objects2d": np.array([["a", 1], [None, 2.5]], object), "decimal_objects": np.array([decimal.Decimal(1), uuid.UUID(int=1)], object),
        "nested_objects": np.array([np.arange(2), None], object), "texts": np.array(["name-%d" % n for n in range(300)], object),
        "record": np.zeros(2, record), "record_objects": np.array([(1, [2]), (3, "x")], [("a", "i4"), ("b", "O")]), "titled": np.zeros(2, titled), "recarray": np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), "record_scalar": np.zeros(1, record)[0],
        "big_endian": np.arange(3).astype(">u2"), "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)), "transposed": np.arange(6).reshape(2, 3).T, "strided": np.arange(10)[::3], "reversed": np.arange(4)[::-1],
        "empty": np.zeros(0), "empty2d": np.zeros((0, 3)), "empty_objects": np.zeros((2, 0), object), "zero_dim": np.array(5), "zero_dim_object": np.array(None, object), "ones5d": np.ones((1, 2, 1, 2, 1)),
        "mapped": mapped, "mapped_part": mapped[1:], "masked": np.ma.array([1.5, 2.5], mask=[0, 1]), "masked_int": np.ma.array([[1, 2]], mask=[[1, 0]], fill_value=7), "masked_none": np.ma.array([1, 2]), "masked_text": np.ma.array(["a", "b"], mask=[1, 0]), "masked_record": masked_record, "masked_constant": np.ma.masked,
        "matrix": np.matrix([[1, 2]]), "large": np.arange(9000), "large_fortran": np.asfortranarray(np.arange(9000.0).reshape(90, 100)),
        "scalars": [np.str_("x"), np.str_(""), np.bytes_(b"y"), np.datetime64("2020-01-01"), np.datetime64("NaT"), np.timedelta64(3, "h"), np.bool_(True)],
        "dtypes": [np.dtype(text) for text in ("f8", ">i2", "U5", "S3", "V7", "O", "M8[us]", "m8", "?")] + [record, titled, np.dtype(("f4", (2, 3)))],
        "types": [np.float32, np.int64, np.ndarray, np.datetime64],
        "dict": {"weights": np.ones(3), "bias": np.float64(0.5), np.int64(3): "key"}, "list": [np.arange(n) for n in range(4)],
    })  # fmt: skip
    if hasattr(getattr(np, "dtypes", None), "StringDType"):
        values["string_dtype"] = np.array(
            ["a", "", "long text of more than fifteen bytes"], np.dtypes.StringDType()
        )
    return values


def tables():
    import numpy as np
    import pandas as pd

    index3 = pd.date_range("2020-01-01", periods=3, freq="D")
    columns = {
        "int": [1, 2, 3], "float": [1.5, None, -2.0], "bool": [True, False, True], "text": ["x", "ü", None], "text_full": ["x", "y", "z"],
        "when": pd.to_datetime(["2020-01-01", "2021-01-01", None]), "utc": pd.to_datetime(["2020-01-01", "2021-01-01", None], utc=True), "zone": pd.to_datetime(["2020-07-01", "2021-01-01", None]).tz_localize("Europe/Zurich"), "offset": pd.to_datetime(["2020-01-01", "2021-01-01", "2022-01-01"]).tz_localize(datetime.timezone(datetime.timedelta(hours=2))),
        "took": pd.to_timedelta([1, 2, None], unit="s"), "kind": pd.Categorical(["u", "v", "u"]), "ordered": pd.Categorical(["lo", "hi", None], categories=["lo", "hi"], ordered=True), "kind_int": pd.Categorical([10, 20, 10]), "kind_when": pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01", "2020-01-01"])),
        "Int64": pd.array([1, None, 3], "Int64"), "UInt8": pd.array([1, None, 3], "UInt8"), "boolean": pd.array([True, None, False], "boolean"), "string": pd.array(["a", None, "ü"], "string"),
        "month": pd.period_range("2020", periods=3, freq="M"), "quarter": pd.period_range("2020", periods=3, freq="Q"), "hour": pd.period_range("2020", periods=3, freq="H" if pd.__version__ < "2.2" else "h"), "day": pd.PeriodIndex(["2020-01-01", None, "2020-01-03"], freq="D"),
        "span": pd.interval_range(0, 3), "span_left": pd.interval_range(0.0, 3.0, closed="left"), "span_when": pd.interval_range(pd.Timestamp("2020"), periods=3),
        "sparse": pd.arrays.SparseArray([0, 1, 0]), "sparse_nan": pd.arrays.SparseArray([np.nan, 1.5, np.nan]), "sparse_block": pd.arrays.SparseArray([0, 1, 1], kind="block"),
        "any": [{"a": 1}, [None], "x"], "stamps": np.array([pd.Timestamp("2020"), pd.NaT, None], object), "decimals": [decimal.Decimal("1.5"), None, decimal.Decimal(2)], "dates": [datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)], "arrays": [np.arange(2), None, np.ones(1)],
        "int8": np.array([1, 2, 3], "i1"), "uint64": np.array([1, 2, 2**63], "u8"), "float32": np.array([1, 2, 3], "f4"), "complex": np.array([1j, 2, 3]),
    }  # fmt: skip
    if hasattr(pd, "Float64Dtype"):
        columns["Float64"] = pd.array([1.5, None, 2.0], "Float64")
    values = {"column_" + name: pd.Series(column, name=name) for name, column in columns.items()}
    values.update(
        {
            "frame_" + name: pd.DataFrame({"n": [1, 2, 3], name: column})
            for name, column in columns.items()
        }
    )
    plain = pd.DataFrame(
        {
            "a": [1, 2, 3],
            "b": ["x", "y", "z"],
            "c": [1.0, 2.0, 3.0],
            "d": [4, 5, 6],
            "e": [True, False, True],
            "f": ["u", "v", "w"],
        }
    )
    everything = pd.DataFrame(columns)
    names = [("x", 1), ("x", 2), ("y", 1), ("y", 2), ("z", 1), ("z", 2)]
    several = plain.copy()
    several.columns = pd.MultiIndex.from_tuples(names, names=["up", "low"])
    repeated = plain[["a", "c", "a"]]
    values.update({
        "frame": plain, "frame_all": everything, "frame_empty": pd.DataFrame(), "frame_no_rows": plain.iloc[:0], "frame_no_columns": plain[[]], "frame_index": plain.set_index("b"), "frame_index2": plain.set_index(["a", "b"]), "frame_when": plain.set_index(index3), "frame_columns2": several, "frame_repeated": repeated, "frame_int_columns": pd.DataFrame(np.arange(6).reshape(3, 2)), "frame_floats": pd.DataFrame(np.arange(6.0).reshape(3, 2), columns=["p", "q"]), "frame_filtered": plain[plain.a > 1], "frame_transposed": plain[["a", "c"]].T, "frame_wide": pd.DataFrame(np.zeros((2, 150))), "frame_long": pd.DataFrame({"a": np.arange(900), "b": np.arange(900.0), "c": ["row %d" % n for n in range(900)]}), "frame_zones": pd.DataFrame({"a": columns["zone"], "b": columns["zone"]}), "frame_times": pd.DataFrame({"a": columns["when"], "b": columns["when"], "c": columns["took"]}), "frame_reversed": plain.iloc[::-1, ::-1], "frame_grouped": plain.groupby("e").sum(numeric_only=True), "frame_described": plain.describe(), "frame_counts": plain["b"].value_counts(), "frame_dtypes": plain.dtypes.astype(str),
        "index_range": pd.RangeIndex(1, 9, 2, name="r"), "index_int": pd.Index([1, 5], name="i"), "index_uint": pd.Index(np.array([1, 2], "u8")), "index_float": pd.Index([1.5, 2.5]), "index_text": pd.Index(["a", "b"], name="t"), "index_objects": pd.Index([1, "a", None], dtype=object), "index_tuples": pd.Index([("a", 1), ("b", 2)], tupleize_cols=False), "index_bool": pd.Index([True, False]), "index_when": index3, "index_week": pd.date_range("2020", periods=3, freq="W"), "index_zone": pd.date_range("2020", periods=3, freq="D", tz="Europe/Zurich"), "index_month_end": pd.date_range("2020", periods=3, freq="M" if pd.__version__ < "2.2" else "ME"), "index_took": pd.to_timedelta([1, 2], unit="h"), "index_took_freq": pd.timedelta_range("1s", periods=3), "index_period": pd.period_range("2020", periods=3, freq="M"), "index_span": pd.interval_range(0, 2), "index_kind": pd.CategoricalIndex(["a", "b", "a"]), "index_multi": pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["n", "l"]), "index_multi_gap": pd.MultiIndex.from_arrays([[1, None], ["a", "b"]]), "index_empty": pd.Index([]),
        "stamps": [pd.Timestamp("2020-01-02 03:04:05.123456789"), pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2020-07-01", tz="Europe/Zurich"), pd.Timestamp("2020-01-01", tz=datetime.timezone.utc)], "took": [pd.Timedelta("1 days 00:00:01.5"), pd.Timedelta(5, "ns")], "gaps": [pd.NaT, pd.NA], "periods": [pd.Period("2020", "M"), pd.Period("2020", "D"), pd.Period("2020Q1")], "spans": [pd.Interval(0, 1), pd.Interval(0.5, 1.5, "both"), pd.Interval(pd.Timestamp("2020"), pd.Timestamp("2021"))],
        "offsets": [pd.offsets.MonthEnd(2), pd.offsets.Week(weekday=1), pd.offsets.Hour(3), pd.offsets.BDay(), pd.offsets.QuarterEnd(startingMonth=2), pd.offsets.YearBegin(), pd.offsets.CustomBusinessDay(holidays=["2020-01-01"]), pd.offsets.BusinessHour(start="10:00"), pd.DateOffset(months=1, days=2)],
        "dtypes": [pd.Int64Dtype(), pd.BooleanDtype(), pd.StringDtype(), pd.CategoricalDtype(["a", "b"], ordered=True), pd.CategoricalDtype(), pd.PeriodDtype("D"), pd.IntervalDtype("int64")],
        "arrays": [pd.array([1, None], "Int64"), pd.array(["a", None], "string"), pd.Categorical(["a", "b"]), pd.array(pd.to_datetime(["2020"])), pd.array([1.5, 2.5]), pd.arrays.IntervalArray.from_breaks([0, 1, 2])],
        "dict": {"train": plain, "test": {"x": plain["a"], "at": pd.Timestamp("2020")}}, "list": [plain["a"], plain["b"].iloc[0], 3],
    })  # fmt: skip
    noted = plain[["a"]].copy()
    if hasattr(noted, "attrs"):
        noted.attrs["source"] = "here"
        values["frame_noted"] = noted
    return values


def columns_of_arrow():
    import pandas as pd
    import pyarrow as pa

    values = {"array": pa.array([1, None, 3]), "text": pa.array(["a", None, "ü"]), "table": pa.table({"a": [1, 2], "b": ["x", "y"]}), "chunked": pa.chunked_array([[1], [2, 3]]), "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(), "lists": pa.array([[1], [], None]), "structs": pa.array([{"a": 1}]), "types": [pa.int64(), pa.timestamp("ns", "UTC"), pa.list_(pa.int8())], "sliced": pa.array([1, 2, 3, 4, 5]).slice(1, 3), "bools": pa.array([True, None, False])}  # fmt: skip
    if pd.__version__ >= "1.3":
        values["string_column"] = pd.DataFrame({"s": pd.array(["a", None, "ü"], "string[pyarrow]")})
    if hasattr(pd, "ArrowDtype"):
        kinds = {
            "int64": pa.int64(),
            "string": pa.string(),
            "bool": pa.bool_(),
            "double": pa.float64(),
            "date": pa.date32(),
            "when": pa.timestamp("us"),
            "utc": pa.timestamp("ns", "UTC"),
            "decimal": pa.decimal128(5, 2),
            "list": pa.list_(pa.int64()),
        }
        content = {
            "int64": [1, None],
            "string": ["a", None],
            "bool": [True, None],
            "double": [1.5, None],
            "date": [datetime.date(2020, 1, 1), None],
            "when": [datetime.datetime(2020, 1, 1), None],
            "utc": [datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), None],
            "decimal": [decimal.Decimal("1.50"), None],
            "list": [[1, 2], None],
        }
        for name, kind in kinds.items():
            try:
                values["column_" + name] = pd.DataFrame(
                    {"x": pd.array(content[name], dtype=pd.ArrowDtype(kind))}
                )
            except (TypeError, ValueError, NotImplementedError):
                continue
    return values


def main():
    groups = {
        "own": lambda: OWN,
        "standard": standard,
        "numpy": numbers,
        "pandas": tables,
        "arrow": columns_of_arrow,
    }
    found, versions = [], {}
    for group, make in groups.items():
        try:
            values = make()
        except ImportError:
            continue
        for name, value in values.items():
            written = {}
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                try:
                    written[protocol] = pickle.dumps(value, protocol).hex()
                except Exception as error:  # the library's own fault, which a note reports
                    print(group, name, protocol, error)
            found.append(
                {"name": group + "/" + name, "described": described(value), "pickles": written}
            )
    for library in ("numpy", "pandas", "pyarrow", "pytz", "dateutil"):
        if library in sys.modules:
            versions[library] = sys.modules[library].__version__
    header = {
        "python": platform.python_version(),
        "libraries": versions,
        "platform": platform.platform(),
        "written": datetime.date.today().isoformat(),
        "by": "tests/pickles/writing.py",
    }
    with lzma.open(sys.argv[1], "wt", preset=9) as file:
        json.dump({"provenance": header, "values": found}, file)
    print(
        sys.argv[1],
        header["python"],
        versions,
        len(found),
        "values",
        sum(len(f["pickles"]) for f in found),
        "pickles",
        os.path.getsize(sys.argv[1]),
        "bytes",
    )


if __name__ == "__main__":
    main()

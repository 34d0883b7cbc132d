"""A description of values that no library version changes, to compare written with read ones.

Runs with Python 3.7 and newer, with or without numpy, pandas and pyarrow.
"""

import collections
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import sys
import uuid

PLAIN = {
    decimal.Decimal, fractions.Fraction, uuid.UUID, range, slice, bytearray, type(Ellipsis), type(NotImplemented),
    ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface, ipaddress.IPv6Address,
    ipaddress.IPv6Network, ipaddress.IPv6Interface, complex, bytes, int, bool, type(None),
}  # fmt: skip


def described(value):
    """Return text, numbers and lists that identify a value."""
    kind = type(value)
    if kind is str:
        return [
            "str",
            value.encode("utf-8", "surrogatepass").hex() if not value.isascii() else value,
        ]
    if kind is float:
        return missing() if value != value else ["float", repr(value)]
    if kind in PLAIN:
        return missing() if value is None else [kind.__name__, repr(value)]
    for describe in (standard, numeric, tabular, arrow):
        found = describe(value)
        if found is not None:
            return found
    if isinstance(value, type):
        return ["class", value.__name__.rstrip("_")]
    if isinstance(value, BaseException):
        return ["exception", kind.__name__, described(list(value.args))]
    if isinstance(value, enum.Enum):
        return ["enum", kind.__name__, described(value.value)]
    if hasattr(value, "__dict__"):
        return ["object", kind.__name__, described(dict(vars(value)))]
    return ["?", kind.__name__, repr(value)]


def missing():
    return ["missing"]


def standard(value):
    kind = type(value)
    if isinstance(value, (list, tuple, collections.deque, collections.UserList)) and not hasattr(
        value, "dtype"
    ):
        name = kind.__name__ if kind.__module__ == "builtins" else kind.__name__
        return [name, [described(item) for item in value], getattr(value, "maxlen", None)]
    if isinstance(value, (dict, collections.UserDict, collections.ChainMap)):
        pairs = [[described(key), described(item)] for key, item in value.items()]
        factory = getattr(value, "default_factory", None)
        return [kind.__name__, pairs, factory and factory.__name__]
    if isinstance(value, (set, frozenset)):
        return [kind.__name__, sorted(map(repr, map(described, value)))]
    if isinstance(value, collections.UserString):
        return ["UserString", str(value)]
    if isinstance(value, pathlib.PurePath):
        return [kind.__name__.replace("Pure", ""), str(value)]
    if "pandas" not in kind.__module__ and isinstance(value, (datetime.date, datetime.time)):
        zone = getattr(value, "tzinfo", None)
        offset = None if zone is None else repr(value.utcoffset())
        return [
            kind.__name__,
            value.replace(tzinfo=None).isoformat()
            if hasattr(value, "tzinfo")
            else value.isoformat(),
            offset,
        ]
    if "pandas" not in kind.__module__ and isinstance(value, datetime.timedelta):
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if isinstance(value, datetime.tzinfo):
        return ["zone", str(value)]
    return None


def numeric(value):
    np = sys.modules.get("numpy")
    if np is None:
        return None
    if value is getattr(np.ma, "masked", None):
        return ["masked"]
    if isinstance(value, np.ma.MaskedArray):
        return [
            "MaskedArray",
            described(np.ma.getmaskarray(value)),
            described(value.filled(0) if value.dtype.kind != "V" else value.data),
            described(value.fill_value),
        ]
    if isinstance(value, np.ndarray):
        name = "ndarray" if isinstance(value, np.memmap) else type(value).__name__
        flags = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        plain = np.asarray(value)
        return [name, dtype_text(value.dtype), list(value.shape), flags, element_list(plain)]
    if isinstance(value, np.dtype):
        return ["dtype", dtype_text(value)]
    if isinstance(value, np.generic):
        return ["scalar", dtype_text(value.dtype), element_list(np.asarray(value).reshape(1))]
    return None


def element_list(array):
    if array.dtype.names:
        return [[element_list(array[name].ravel()) for name in array.dtype.names]]
    if array.dtype.kind in "mM":
        return [str(item) for item in array.ravel()]
    if array.dtype.char in "gG":
        return [repr(complex(item)) for item in array.ravel()]
    items = array.ravel().tolist()
    if len(items) > 200:
        items = [*items[:50], len(items), *items[-50:]]
    return [described(item) for item in items]


def dtype_text(dtype):
    if dtype.kind == "V" and dtype.names:
        return [
            [
                name,
                dtype_text(dtype.fields[name][0]),
                dtype.fields[name][1],
                str(dtype.fields[name][2:]),
            ]
            for name in dtype.names
        ] + [dtype.itemsize]
    if dtype.subdtype:
        return [dtype_text(dtype.subdtype[0]), list(dtype.subdtype[1])]
    return dtype.newbyteorder("=").str if dtype.kind != "T" else "T"


def tabular(value):
    pd = sys.modules.get("pandas")
    if pd is None:
        return None
    np = sys.modules["numpy"]
    if value is pd.NaT or value is getattr(pd, "NA", pd):
        return missing()
    if isinstance(value, pd.DataFrame):
        columns = [described(value.iloc[:, place].array) for place in range(value.shape[1])]
        return [
            "DataFrame",
            described(value.columns),
            described(value.index),
            columns,
            described(dict(getattr(value, "attrs", {}))),
        ]
    if isinstance(value, pd.Series):
        return ["Series", described(value.name), described(value.index), described(value.array)]
    if isinstance(value, pd.MultiIndex):
        return [
            "MultiIndex",
            described(list(value.names)),
            [described(value.get_level_values(n).array) for n in range(value.nlevels)],
        ]
    if isinstance(value, pd.Index):
        frequency = getattr(value, "freq", None) if not isinstance(value, pd.PeriodIndex) else None
        return [
            "Index",
            described(value.name),
            described(value.array),
            frequency and described(frequency),
        ]
    if isinstance(value, pd.Timestamp):
        zone = value.tz and str(value.tz)
        return [
            "Timestamp",
            stamp(value),
            zone and zone.replace("tzutc()", "UTC"),
            repr(value.utcoffset()),
        ]
    if isinstance(value, pd.Timedelta):
        return ["Timedelta", value.days, value.seconds, value.microseconds, value.nanoseconds]
    if isinstance(value, pd.Period):
        return ["Period", str(value.start_time), str(value.end_time)[:19]]
    if isinstance(value, pd.Interval):
        return ["Interval", described(value.left), described(value.right), value.closed]
    if isinstance(
        value,
        pd.tseries.offsets.BaseOffset
        if hasattr(pd.tseries.offsets, "BaseOffset")
        else pd.DateOffset,
    ):
        return ["offset", repr(value).lower()]
    if isinstance(value, pd.Categorical):
        return [
            "Categorical",
            described(value.categories),
            bool(value.ordered),
            described(list(value.codes)),
        ]
    if isinstance(value, pd.api.extensions.ExtensionArray):
        name = type(value).__name__
        if name == "SparseArray":
            return ["Sparse", described(value.fill_value), described(list(np.asarray(value)))]
        if name in ("PandasArray", "NumpyExtensionArray"):
            return [
                "array",
                [described(item) for item in np.asarray(value).tolist()]
                if value.dtype.kind not in "mM"
                else [described(item) for item in value],
            ]
        return ["array", [described(item) for item in value]]
    if isinstance(value, pd.CategoricalDtype):
        return [
            "CategoricalDtype",
            described(value.categories) if value.categories is not None else None,
            bool(value.ordered),
        ]
    if isinstance(value, pd.api.extensions.ExtensionDtype):
        return [
            "dtype",
            str(value)
            .replace("us, ", "ns, ")
            .replace("string[python]", "string")
            .replace("string[pyarrow]", "string"),
        ]
    return None


def stamp(value):
    return [
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.nanosecond,
    ]


def arrow(value):
    pa = sys.modules.get("pyarrow")
    if pa is None or not type(value).__module__.startswith("pyarrow"):
        return None
    if hasattr(value, "to_pylist"):
        return [
            "arrow",
            str(getattr(value, "type", getattr(value, "schema", ""))),
            described(value.to_pylist()),
        ]
    return ["arrow", str(value)]

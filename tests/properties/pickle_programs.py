"""Pickles made from bytes: a grammar that turns any bytes into opcodes, so that most are valid pickles.

Used by the fuzzers; `python -m pytest tests/properties/test_pickle_programs.py` runs it for a moment, `make fuzz` for
long.
"""

from __future__ import annotations

import struct

#: Names that builders know, and some unknown ones.
NAMES = [
    name.split()
    for name in [
        "builtins set",
        "builtins list",
        "builtins dict",
        "builtins tuple",
        "builtins frozenset",
        "builtins bytes",
        "builtins bytearray",
        "builtins complex",
        "builtins range",
        "builtins slice",
        "builtins object",
        "builtins type",
        "builtins getattr",
        "builtins int",
        "builtins UnicodeDecodeError",
        "builtins OSError",
        "builtins ValueError",
        "builtins eval",
        "os system",
        "_codecs encode",
        "copyreg _reconstructor",
        "copyreg __newobj__",
        "copyreg __newobj_ex__",
        "collections OrderedDict",
        "collections Counter",
        "collections defaultdict",
        "collections deque",
        "collections ChainMap",
        "collections UserDict",
        "collections UserList",
        "collections UserString",
        "types SimpleNamespace",
        "datetime date",
        "datetime datetime",
        "datetime time",
        "datetime timedelta",
        "datetime timezone",
        "decimal Decimal",
        "fractions Fraction",
        "uuid UUID",
        "pathlib PosixPath",
        "pathlib PurePath",
        "ipaddress IPv4Network",
        "zoneinfo ZoneInfo._unpickle",
        "pytz _p",
        "dateutil.relativedelta relativedelta",
        "metaflow.includefile IncludedFile",
        "__main__ ForeachFrame",
        "metaflow.exception MetaflowExceptionWrapper",
        "metaflow.user_configs.config_parameters ConfigValue",
        "metaflow.datatools.s3 S3Object",
        "metaflow.flowspec ParallelUBF",
        "numpy dtype",
        "numpy ndarray",
        "numpy._core.multiarray _reconstruct",
        "numpy._core.multiarray scalar",
        "numpy._core.numeric _frombuffer",
        "numpy.ma.core _mareconstruct",
        "numpy.ma.core MaskedArray",
        "numpy record",
        "numpy recarray",
        "numpy._core._internal _convert_to_stringdtype_kwargs",
        "pandas DataFrame",
        "pandas Series",
        "pandas Index",
        "pandas RangeIndex",
        "pandas MultiIndex",
        "pandas DatetimeIndex",
        "pandas IntervalIndex",
        "pandas.core.indexes.base _new_Index",
        "pandas.core.internals.managers BlockManager",
        "pandas.core.internals.managers SingleBlockManager",
        "pandas._libs.internals _unpickle_block",
        "pandas._libs.arrays __pyx_unpickle_NDArrayBacked",
        "pandas._libs.interval __pyx_unpickle_IntervalMixin",
        "pandas Categorical",
        "pandas CategoricalDtype",
        "pandas StringDtype",
        "pandas.arrays StringArray",
        "pandas.arrays IntegerArray",
        "pandas.arrays SparseArray",
        "pandas.arrays DatetimeArray",
        "pandas.arrays PeriodArray",
        "pandas.arrays IntervalArray",
        "pandas.arrays ArrowStringArray",
        "pandas._libs.sparse IntIndex",
        "pandas._libs.sparse BlockIndex",
        "pandas SparseDtype",
        "pandas PeriodDtype",
        "pandas DatetimeTZDtype",
        "pandas IntervalDtype",
        "pandas Interval",
        "pandas Period",
        "pandas Int64Dtype",
        "pandas._libs.tslibs.timestamps _unpickle_timestamp",
        "pandas._libs.tslibs.timedeltas _timedelta_unpickle",
        "pandas._libs.tslibs.nattype _nat_unpickle",
        "pandas._libs.tslibs.offsets MonthEnd",
        "pandas._libs.tslibs.offsets CustomBusinessDay",
        "pandas DateOffset",
        "pyarrow.lib _restore_array",
        "pyarrow.lib type_for_alias",
        "pyarrow.lib py_buffer",
        "pyarrow.lib chunked_array",
    ]
]
#: Text that builders look for.
TEXTS = [
    "a",
    "data",
    "_mgr",
    "0.14.1",
    "axes",
    "blocks",
    "values",
    "mgr_locs",
    "name",
    "_name",
    "names",
    "levels",
    "codes",
    "sortorder",
    "start",
    "stop",
    "step",
    "left",
    "right",
    "closed",
    "_ndarray",
    "_data",
    "_mask",
    "_dtype",
    "_freq",
    "_codes",
    "_sparse_index",
    "_sparse_values",
    "_fill_value",
    "_left",
    "_right",
    "categories",
    "ordered",
    "unit",
    "tz",
    "f8",
    "i8",
    "O8",
    "V8",
    "U2",
    "S3",
    "M8",
    "b1",
    "<",
    ">",
    "\\",
    "",
    "ns",
    "period[M]",
    "latin1",
    "UTC",
    "../x",
    "int64",
    "large_string",
    "_pa_array",
    "_descriptor",
    "url",
    "exception",
    "maps",
    "python",
    "pyarrow",
    "1e9",
    "1/3",
    "both",
    "int",
    "n",
    "normalize",
    "__class__",
    "__dict__",
    "start_time",
]
#: Opcodes without arguments, the frequent ones more than once.
BARE = b"((ttttRRRbbb\x81\x81aessuu]}}))\x85\x86\x87l\x94\x94N\x88\x8901d2o\x92\x8f\x90\x91\x93"
NUMBERS = [0, 1, 2, 3, 8, -1, 255, 10**6, 2**31 - 1, -(2**31)]


def text(value: str) -> bytes:
    """Return the opcode of a text."""
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def array(kind: str, content: bytes, shape: int | None = None) -> bytes:
    """Return the opcodes of a sound array, for programs to use."""
    order = "|" if kind in {"O8", "b1", "V8"} else "<"
    dtype = (
        b"cnumpy\ndtype\n"
        + text(kind)
        + b"\x89\x88\x87R(K\x03"
        + text(order)
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    count = len(content) // int(kind[1:] or 1) if shape is None else shape
    husk = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return (
        husk
        + b"(K\x01K"
        + bytes([count % 256])
        + b"\x85"
        + dtype
        + b"\x89C"
        + bytes([len(content)])
        + content
        + b"tb"
    )


def program(data: bytes) -> bytes:
    """Return a pickle: each two bytes of `data` choose an opcode and its argument."""
    made = [b"\x80\x04"]
    for choice, argument in zip(data[::2], data[1::2], strict=False):
        kind = choice % 16
        if kind < 3:
            module, name = NAMES[argument % len(NAMES)]
            made.append(f"c{module}\n{name}\n".encode())
        elif kind < 5:
            made.append(text(TEXTS[argument % len(TEXTS)]))
        elif kind == 5:
            made.append(b"J" + struct.pack("<i", NUMBERS[argument % len(NUMBERS)]))
        elif kind == 6:
            made.append(
                array(
                    ("i8", "f8", "b1", "M8", "i1")[argument % 5],
                    bytes([argument]) * (argument % 4 * 8),
                )
            )
        elif kind == 7:
            made.append(b"h" + bytes([argument % 16]))
        elif kind == 8:
            made.append(b"C" + bytes([argument % 12]) + bytes(range(argument % 12)))
        elif kind == 9 and argument > 250:
            made.append(bytes([choice, argument]))
        else:
            made.append(BARE[argument % len(BARE) :][:1])
    return b"".join(made) + b"."

"""What a safe load may build: an exact list of names, each with a check of what is fed to it.

An allow-list of names is not enough. `numpy.dtype` and the managers of pandas believe what a
pickle tells them, and a forged state reads or writes memory at will: a dtype that hides its
object flag turns raw bytes into pointers, a field offset reads past the buffer, a block
placed at column 10**8 writes there. So each `Rule` says how a name may be used.

Nothing heavy is imported here; the checks get objects of libraries that are loaded already.

Source:
    Names found by pickling values of numpy 1.26 and 2.4, pandas 2.2 and 3.1 under Python 3.11,
    protocols 2 to 5; forged states tried against the same versions.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mfc._pickle import _checks as check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@frozen
class Rule:
    """How one allowed name may be used; by default only as a value, never called."""

    #: checks the arguments of a call; None refuses calls.
    call: Callable[[tuple[Any, ...]], object] | None = None
    #: checks the arguments of `__new__`; None refuses it.
    new: Callable[[tuple[Any, ...]], object] | None = None
    #: checks (object, state) before the state is set; None refuses states.
    state: Callable[[Any, Any], object] | None = None
    #: checks the object once it is whole.
    whole: Callable[[Any], object] | None = None
    #: the object is a husk until its state is set, and nothing may be made from it before.
    husk: bool = False
    #: ours, used instead of the real thing.
    instead: Any = None


VALUE = Rule(call=check.anything, new=check.anything, state=check.plain_state)
CALLED = Rule(call=check.anything)
MENTIONED = Rule()
ANYTHING = Rule(call=check.anything, new=check.anything, state=check.anything_set)
#: An exception given to Metaflow's wrapper would be asked for its text.
WRAPPER = Rule(call=check.only_none, state=check.plain_state)


def _spread(modules: str, names: str, rule: Rule) -> Iterator[tuple[tuple[str, str], Rule]]:
    for pair in product(modules.split(), names.split()):
        yield pair, rule


def _exceptions() -> Iterator[tuple[tuple[str, str], Rule]]:
    builtins = vars(sys.modules["builtins"])
    for name, value in builtins.items():
        if isinstance(value, type) and issubclass(value, BaseException):
            yield ("builtins", name), VALUE


_STDLIB = (
    ("builtins", "set frozenset list tuple dict", Rule(call=check.one_collection)),
    ("builtins", "int float bool str", MENTIONED),
    ("builtins", "bytes", Rule(call=check.bytes_arguments)),
    ("builtins", "bytearray", Rule(call=check.bytes_arguments)),
    ("builtins", "complex slice object", Rule(call=check.anything, new=check.nothing)),
    ("builtins", "range", Rule(call=check.integers)),
    ("builtins", "Ellipsis NotImplemented", MENTIONED),
    ("builtins", "type", Rule(call=check.anything, instead=check.singleton_type)),
    ("builtins", "getattr", Rule(call=check.anything, instead=check.zone_reader)),
    ("_codecs", "encode", Rule(call=check.anything, instead=check.latin1)),
    ("copyreg", "_reconstructor", Rule(instead=check.RECONSTRUCTOR)),
    ("copyreg", "__newobj__", Rule(instead=check.NEWOBJ)),
    ("copyreg", "__newobj_ex__", Rule(instead=check.NEWOBJ_EX)),
    ("collections", "OrderedDict Counter", Rule(call=check.one_collection, new=check.nothing)),
    ("collections", "defaultdict", Rule(call=check.factory)),
    ("collections", "deque", Rule(call=check.queue)),
    (
        "collections",
        "ChainMap UserDict UserList UserString",
        Rule(new=check.anything, state=check.plain_state),
    ),
    ("datetime", "date datetime time timedelta timezone", CALLED),
    ("decimal", "Decimal", CALLED),
    ("fractions", "Fraction", Rule(call=check.fraction)),
    ("uuid", "UUID", Rule(new=check.nothing, state=check.plain_state)),
    (
        "pathlib pathlib._local",
        "PurePath PurePosixPath PureWindowsPath Path PosixPath WindowsPath",
        CALLED,
    ),
    (
        "ipaddress",
        "IPv4Address IPv4Network IPv4Interface IPv6Address IPv6Network IPv6Interface",
        Rule(call=check.anything, new=check.nothing, state=check.plain_state),
    ),
    ("zoneinfo", "ZoneInfo", MENTIONED),
    ("zoneinfo", "ZoneInfo._unpickle", Rule(call=check.anything, instead=check.zone)),
    ("pytz", "_UTC", CALLED),
    ("pytz", "_p FixedOffset", Rule(call=check.zone_name)),
    ("dateutil.tz.tz", "tzutc", CALLED),
    ("dateutil.relativedelta", "relativedelta", VALUE),
)

_NUMPY = (
    ("numpy", "dtype", Rule(check.dtype_arguments, state=check.dtype_state, husk=True)),
    ("numpy", "ndarray matrix recarray record chararray", MENTIONED),
    ("numpy.rec", "recarray record", MENTIONED),
    ("numpy.ma numpy.ma.core", "MaskedArray", MENTIONED),
    (
        "numpy",
        (
            "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc uintc longlong ulonglong "
            "float16 float32 float64 longdouble complex64 complex128 clongdouble str_ bytes_ void "
            "object_ datetime64 timedelta64 bool generic number integer floating"
        ),
        MENTIONED,
    ),
    (
        "numpy.dtypes",
        (
            "BoolDType Int8DType Int16DType Int32DType Int64DType UInt8DType UInt16DType "
            "UInt32DType UInt64DType Float16DType Float32DType Float64DType LongDoubleDType "
            "Complex64DType Complex128DType ObjectDType BytesDType StrDType VoidDType "
            "DateTime64DType TimeDelta64DType StringDType"
        ),
        MENTIONED,
    ),
    (
        "numpy._core.multiarray numpy.core.multiarray",
        "_reconstruct",
        Rule(check.array_arguments, state=check.array_state, husk=True),
    ),
    (
        "numpy.ma.core",
        "_mareconstruct",
        Rule(check.masked_arguments, state=check.array_state, husk=True),
    ),
    ("numpy._core.multiarray numpy.core.multiarray", "scalar", Rule(check.scalar_arguments)),
    ("numpy._core.numeric numpy.core.numeric", "_frombuffer", Rule(check.buffer_arguments)),
    (
        "numpy._core._internal numpy.core._internal",
        "_convert_to_stringdtype_kwargs",
        CALLED,
    ),
)

_FRAME = Rule(new=check.nothing, state=check.anything_set, whole=check.frame, husk=True)
_MANAGER = Rule(check.anything, check.nothing, check.anything_set, check.manager, husk=False)
_SINGLE = Rule(None, check.nothing, check.anything_set, check.manager, husk=True)
_ARRAY = Rule(new=check.nothing, state=check.plain_state, whole=check.extension_array, husk=True)
_INTEGERS = (
    "Int8Dtype Int16Dtype Int32Dtype Int64Dtype UInt8Dtype UInt16Dtype UInt32Dtype UInt64Dtype"
)
_INDEXES = (
    "Index RangeIndex MultiIndex DatetimeIndex TimedeltaIndex PeriodIndex CategoricalIndex "
    "IntervalIndex"
)
_ARRAYS = "BooleanArray IntegerArray FloatingArray IntervalArray SparseArray"
_BACKED = "Categorical DatetimeArray TimedeltaArray PeriodArray StringArray NumpyExtensionArray"
_OFFSETS = (
    "DateOffset Tick Day Hour Minute Second Milli Micro Nano BusinessDay BusinessHour "
    "BusinessMonthBegin BusinessMonthEnd CustomBusinessDay CustomBusinessHour "
    "CustomBusinessMonthBegin CustomBusinessMonthEnd MonthBegin MonthEnd SemiMonthBegin "
    "SemiMonthEnd QuarterBegin QuarterEnd BQuarterBegin BQuarterEnd HalfYearBegin HalfYearEnd "
    "BHalfYearBegin BHalfYearEnd YearBegin YearEnd BYearBegin BYearEnd Week WeekOfMonth "
    "LastWeekOfMonth FY5253 FY5253Quarter Easter"
)

_PANDAS = (
    ("pandas pandas.core.frame", "DataFrame", _FRAME),
    ("pandas pandas.core.series", "Series", _FRAME),
    ("pandas.core.internals.managers", "BlockManager", _MANAGER),
    ("pandas.core.internals.managers", "SingleBlockManager", _SINGLE),
    ("pandas._libs.internals", "_unpickle_block", CALLED),
    ("pandas.core.indexes.base", "_new_Index", Rule(check.index_arguments, whole=check.index)),
    ("pandas.core.indexes.datetimes", "_new_DatetimeIndex", Rule(check.index_arguments)),
    ("pandas.core.indexes.timedeltas", "_new_TimedeltaIndex", Rule(check.index_arguments)),
    ("pandas.core.indexes.interval", "_new_IntervalIndex", Rule(check.index_arguments)),
    ("pandas.core.indexes.period", "_new_PeriodIndex", Rule(check.index_arguments)),
    ("pandas", _INDEXES, MENTIONED),
    ("pandas.core.indexes.base", "Index", MENTIONED),
    ("pandas.core.indexes.range", "RangeIndex", MENTIONED),
    ("pandas.core.indexes.multi", "MultiIndex", MENTIONED),
    ("pandas.core.indexes.datetimes", "DatetimeIndex", MENTIONED),
    ("pandas.core.indexes.timedeltas", "TimedeltaIndex", MENTIONED),
    ("pandas.core.indexes.period", "PeriodIndex", MENTIONED),
    ("pandas.core.indexes.category", "CategoricalIndex", MENTIONED),
    ("pandas.core.indexes.interval", "IntervalIndex", MENTIONED),
    ("pandas pandas.arrays", _BACKED, MENTIONED),
    ("pandas.core.arrays.categorical", "Categorical", MENTIONED),
    ("pandas.core.arrays.datetimes", "DatetimeArray", MENTIONED),
    ("pandas.core.arrays.timedeltas", "TimedeltaArray", MENTIONED),
    ("pandas.core.arrays.period", "PeriodArray", MENTIONED),
    ("pandas.core.arrays.string_", "StringArray", MENTIONED),
    ("pandas.core.arrays.numpy_", "NumpyExtensionArray PandasArray", MENTIONED),
    (
        "pandas._libs.arrays",
        "__pyx_unpickle_NDArrayBacked",
        Rule(check.cython_arguments, None, check.backed_state, check.extension_array, husk=True),
    ),
    (
        "pandas._libs.interval",
        "__pyx_unpickle_IntervalMixin",
        Rule(check.cython_arguments, None, check.plain_state, check.extension_array, husk=True),
    ),
    ("pandas.arrays", _ARRAYS, _ARRAY),
    ("pandas.core.arrays.boolean", "BooleanArray", _ARRAY),
    ("pandas.core.arrays.integer", "IntegerArray", _ARRAY),
    ("pandas.core.arrays.floating", "FloatingArray", _ARRAY),
    ("pandas.core.arrays.interval", "IntervalArray", _ARRAY),
    ("pandas.core.arrays.sparse.array", "SparseArray", _ARRAY),
    ("pandas._libs.sparse", "IntIndex BlockIndex", Rule(check.sparse_arguments)),
    ("pandas", f"BooleanDtype Float32Dtype Float64Dtype {_INTEGERS}", VALUE),
    ("pandas.core.arrays.boolean", "BooleanDtype", VALUE),
    ("pandas.core.arrays.floating", "Float32Dtype Float64Dtype", VALUE),
    ("pandas.core.arrays.integer", _INTEGERS, VALUE),
    ("pandas pandas.core.arrays.string_", "StringDtype", VALUE),
    (
        "pandas pandas.core.dtypes.dtypes",
        "CategoricalDtype DatetimeTZDtype PeriodDtype IntervalDtype SparseDtype",
        VALUE,
    ),
    ("pandas.core.arrays.sparse.dtype", "SparseDtype", VALUE),
    ("pandas pandas._libs.interval", "Interval", CALLED),
    ("pandas pandas._libs.tslibs.period", "Period", CALLED),
    ("pandas pandas._libs.missing", "NA", MENTIONED),
    ("pandas", "NaT Timestamp Timedelta", MENTIONED),
    ("pandas._libs.tslibs.nattype", "_nat_unpickle __nat_unpickle", CALLED),
    ("pandas._libs.tslibs.timestamps", "_unpickle_timestamp", CALLED),
    ("pandas._libs.tslibs.timedeltas", "_timedelta_unpickle", CALLED),
    ("pandas._libs.tslibs.offsets", _OFFSETS, VALUE),
    ("pandas pandas.offsets", "DateOffset", VALUE),
)

#: (module, name) as of Python 3 → rule.
RULES: dict[tuple[str, str], Rule] = dict(_exceptions())
for _modules, _names, _rule in (*_STDLIB, *_NUMPY, *_PANDAS):
    RULES.update(_spread(_modules, _names, _rule))

"""Arbitrary content of a store: the value or an error of mfc, and its code never runs."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import decimal
import fractions
import pathlib
import pickle
import struct
import sys
import types
import uuid
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mfc._pickle import loads
from mfc.errors import MetaflowException, UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

FULL, SAFE = Trust.full(), Trust.safe()

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(dt.timezone.utc))
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.builds(pathlib.PurePosixPath, st.text("abc/", max_size=5))
)
keys = st.text() | st.integers() | st.dates() | st.fractions()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.dictionaries(keys, inner).map(collections.OrderedDict)
        | st.lists(inner).map(collections.deque)
        | st.frozensets(keys)
        | st.sets(keys)
        | st.dictionaries(keys, inner).map(lambda d: collections.defaultdict(list, d))
        | st.lists(keys).map(collections.Counter)
    ),
    max_leaves=20,
)


@given(values, st.integers(2, 5), st.sampled_from([FULL, SAFE]))
def test_values_come_back(value: Any, protocol: int, trust: Trust) -> None:
    got = loads(pickle.dumps(value, protocol), trust)
    assert type(got) is type(value)
    assert got == value


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data(), st.integers(2, 5))
def test_arrays_come_back(data: st.DataObject, protocol: int) -> None:
    np = pytest.importorskip("numpy")
    from hypothesis.extra import numpy as arrays

    dtype = data.draw(arrays.scalar_dtypes() | arrays.nested_dtypes(max_leaves=4, max_itemsize=64))
    value = data.draw(arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_side=3, min_side=0)))
    got: Any = loads(pickle.dumps(value, protocol), SAFE)
    want = pickle.loads(pickle.dumps(value, protocol))
    assert (got.dtype, got.shape, got.tobytes()) == (want.dtype, want.shape, want.tobytes())
    assert np.shares_memory(got, want) is False


#: Callables with a visible effect; each is called with the path of a file or a name.
GADGETS = [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("os", "mkdir"), ("os", "popen"),
    ("builtins", "eval"), ("builtins", "exec"), ("__builtin__", "eval"), ("builtins", "open"),
    ("__builtin__", "file"), ("builtins", "__import__"), ("builtins", "getattr"),
    ("__builtin__", "getattr"), ("builtins", "setattr"), ("builtins", "map"), ("builtins", "type"),
    ("subprocess", "Popen"), ("subprocess", "check_output"), ("importlib", "import_module"),
    ("runpy", "run_path"), ("functools", "partial"), ("operator", "methodcaller"),
    ("operator", "attrgetter"), ("types", "FunctionType"), ("pathlib", "Path.touch"),
    ("pathlib", "os.system"), ("collections", "_sys.exit"), ("numpy", "load"), ("numpy", "save"),
    ("numpy", "savetxt"), ("pandas", "eval"), ("pandas", "read_pickle"), ("pickle", "loads"),
    ("pickle", "_pickle.loads"), ("copyreg", "add_extension"), ("mfc_gadget", "fire"),
    ("mfc_gadget", "Fire"), ("logging.config", "dictConfig"), ("code", "interact"),
    ("pdb", "run"), ("timeit", "timeit"), ("ctypes", "CDLL"), ("shutil", "rmtree"),
    ("webbrowser", "open"), ("socket", "socket"), ("sys", "exit"), ("os", "_exit"),
]  # fmt: skip

#: Names that a safe load knows, for hostile pickles to misuse.
ALLOWED = [
    ("builtins", "set"), ("builtins", "list"), ("builtins", "bytearray"), ("builtins", "type"),
    ("builtins", "getattr"), ("builtins", "object"), ("builtins", "ValueError"),
    ("builtins", "range"), ("_codecs", "encode"), ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"), ("copyreg", "__newobj_ex__"), ("collections", "OrderedDict"),
    ("collections", "defaultdict"), ("collections", "deque"), ("collections", "UserDict"),
    ("datetime", "datetime"), ("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID"),
    ("pathlib", "Path"), ("zoneinfo", "ZoneInfo"), ("zoneinfo", "ZoneInfo._unpickle"),
    ("metaflow.includefile", "IncludedFile"), ("__main__", "ForeachFrame"),
    ("metaflow.exception", "MetaflowExceptionWrapper"), ("metaflow.flowspec", "ParallelUBF"),
    ("metaflow.user_configs.config_parameters", "ConfigValue"), ("numpy", "dtype"),
    ("numpy", "ndarray"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"), ("numpy._core.numeric", "_frombuffer"),
    ("pandas", "DataFrame"), ("pandas", "Index"), ("pandas", "StringDtype"),
    ("pandas", "Interval"), ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.internals.managers", "BlockManager"),
    ("pandas.core.internals.managers", "SingleBlockManager"),
    ("pandas._libs.internals", "_unpickle_block"), ("pandas._libs.sparse", "IntIndex"),
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"), ("pandas.arrays", "IntegerArray"),
]  # fmt: skip

#: Traces of an attack.
fired: list[str] = []


class Fire:
    """Records every way of being used."""

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        fired.append("new")
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        fired.append("setstate")


@pytest.fixture(autouse=True, scope="module")
def gadget() -> Any:
    """Offer a module that records its every use."""
    module = types.ModuleType("mfc_gadget")
    vars(module).update(Fire=Fire, fire=lambda *args: fired.append("called"))
    sys.modules["mfc_gadget"] = module
    yield
    del sys.modules["mfc_gadget"]


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(pair: tuple[str, str]) -> st.SearchStrategy[bytes]:
    module, name = pair
    return st.sampled_from([
        f"c{module}\n{name}\n".encode(),
        text(module) + text(name) + b"\x93",
        f"(i{module}\n{name}\n".encode(),
        b"(" + f"c{module}\n{name}\n".encode() + b"o",
    ])  # fmt: skip


MARK_FILE = "mfc-hostile-effect"
arguments = st.sampled_from([
    text(f"touch {MARK_FILE}"), text(MARK_FILE), text(f"__import__('os').mkdir('{MARK_FILE}')"),
    text("system"), text("__class__"), text("__reduce__"), text("os"), text("f8"), text("latin1"),
    text("_unpickle"), text("UTC"), text("b"), b"N", b"\x88", b"\x89", b"K\x00", b"K\x03",
    b"J\xff\xff\xff\x7f", b"C\x08AAAAAAAA", b"]", b"}", b")", b"\x8f", b"(K\x00t", b"(K\x00l",
    b"}" + text("__class__") + b"Ns", b"}" + text("x") + b"Ns", b"N}" + text("x") + b"Ns\x86",
])  # fmt: skip
acts = st.sampled_from([
    b"R", b"\x81", b"\x92", b"b", b"a", b"s", b"\x85", b"\x86", b"\x87", b"(", b"t", b"l", b"d",
    b"e", b"u", b"\x90", b"\x91", b"o", b"0", b"1", b"2", b"\x94", b"h\x00", b"h\x01", b"q\x00",
    b"q\x01", b"Q", b"P0\n", b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"\x97",
    b"\x98", b"\x93",
])  # fmt: skip
names = st.sampled_from(GADGETS + ALLOWED).flatmap(named)
#: Most random programs stop early; these use a name as pickles do.
used = st.builds(
    lambda name, args, act, state: name + b"(" + b"".join(args) + b"t" + act + state,
    names,
    st.lists(arguments | names, max_size=3),
    st.sampled_from([b"R", b"\x81", b"}\x92"]),
    st.just(b"") | st.builds(lambda value: value + b"b", arguments | names),
)
nested = st.recursive(
    used,
    lambda inner: st.builds(
        lambda name, args: name + b"(" + b"".join(args) + b"tR",
        names,
        st.lists(inner | arguments, max_size=3),
    ),
    max_leaves=4,
)
programs = st.builds(
    lambda header, parts: header + b"".join(parts) + b".",
    st.sampled_from([b"", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"]),
    st.lists(nested | names | arguments | acts, min_size=1, max_size=12),
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs)
@example(b"cos\nsystem\n(Vtouch mfc-hostile-effect\ntR.")
@example(b"\x80\x04cmfc_gadget\nFire\n)\x81}b.")
@example(b"ccollections\nOrderedDict\n(cmfc_gadget\nfire\ntR.")
@example(b"cfractions\nFraction\n(N}Vmark\nI1\nstb.")
def test_no_code_runs(tmp_path_factory: pytest.TempPathFactory, program: bytes) -> None:
    fired.clear()
    classes = (fractions.Fraction, uuid.UUID, pathlib.Path, collections.UserDict, decimal.Decimal)
    before = [dict(vars(cls)) for cls in classes]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(tmp_path_factory.getbasetemp())
        with contextlib.suppress(UntrustedValue, UndecodableArtifact):
            loads(program, SAFE)
        assert not pathlib.Path(MARK_FILE).exists()
    assert fired == []
    assert [dict(vars(cls)) for cls in classes] == before


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error_of_mfc(blob: bytes) -> None:
    said = "F/1/s/2/x: "
    try:
        loads(blob, SAFE, subject="F/1/s/2/x")
    except MetaflowException as error:
        said = str(error)
    assert said.startswith("F/1/s/2/x: ")


@settings(max_examples=200, deadline=None)
@given(
    st.text("cos()R.VISTtb}]0123\n\x00", max_size=60).map(lambda t: t.encode("latin1")),
)
def test_any_bytes_at_full_trust(blob: bytes) -> None:
    with contextlib.suppress(MetaflowException):
        loads(blob, FULL)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values, st.integers(2, 5), st.data())
def test_damaged_pickles_are_a_value_or_an_error_of_mfc(
    value: Any, protocol: int, data: st.DataObject
) -> None:
    blob = bytearray(pickle.dumps(value, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(blob[: data.draw(st.integers(0, len(blob)))])
    for broken in (bytes(blob), cut):
        with contextlib.suppress(MetaflowException):
            loads(broken, SAFE)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([2, 4, 5]))
def test_damaged_tables_are_sound_or_refused(data: st.DataObject, protocol: int) -> None:
    pd = pytest.importorskip("pandas")
    np = pytest.importorskip("numpy")
    value = data.draw(
        st.sampled_from(
            [
                pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"])}),
                pd.Series([1.0, 2.0], index=pd.MultiIndex.from_product([[1, 2], ["a"]])),
                np.zeros(2, [("a", "i4"), ("b", "O")]),
                pd.array([1, None], "Int64"),
                pd.arrays.SparseArray([0, 1]),
            ]
        )
    )
    blob = bytearray(pickle.dumps(value, protocol))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = loads(bytes(blob), SAFE)
        except MetaflowException:
            return
        # Accepted memory must be sound: looking at it may fail, not crash.
        try:
            repr(got)
            got.take([0, -1])  # type: ignore[attr-defined]
        except Exception:
            pass

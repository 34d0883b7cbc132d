"""Pickled values against objects that real Metaflow pickled, at each level of trust."""

from __future__ import annotations

import base64
import collections
import datetime as dt
import decimal
import fractions
import ipaddress
import json
import pathlib
import pickle
import uuid
import zoneinfo
from typing import Any

import pytest

from mfc import errors
from mfc._pickle import loads
from mfc.errors import BadArgument, UntrustedValue
from mfc.trust import Trust

from .trusts import BOTH, NONE, PROTOCOLS, SAFE

#: Pickled by metaflow 2.19.39 under Python 3.11: (object, protocol) → base64.
METAFLOW = {
    ("frame", 4): (
        "gASVOgAAAAAAAABdlIwIX19tYWluX1+UjAxGb3JlYWNoRnJhbWWUk5QojAVzdGFydJSMAnhzlEsDSwGM"
        "AWKUdJSBlGEu"
    ),
    ("frame", 2): (
        "gAJdcQBjX19tYWluX18KRm9yZWFjaEZyYW1lCnEBKFgFAAAAc3RhcnRxAlgCAAAAeHNxA0sDSwFYAQAA"
        "AGJxBHRxBYFxBmEu"
    ),
    ("wrapper", 4): (
        "gASVHwEAAAAAAACMEm1ldGFmbG93LmV4Y2VwdGlvbpSMGE1ldGFmbG93RXhjZXB0aW9uV3JhcHBlcpST"
        "lE6FlFKUfZQojAlleGNlcHRpb26UjBBkaXZpc2lvbiBieSB6ZXJvlIwEdHlwZZSMGmJ1aWx0aW5zLlpl"
        "cm9EaXZpc2lvbkVycm9ylIwKc3RhY2t0cmFjZZSMj1RyYWNlYmFjayAobW9zdCByZWNlbnQgY2FsbCBs"
        "YXN0KToKICBGaWxlICIvdG1wL3BrL2ZpeC5weSIsIGxpbmUgMTIsIGluIDxtb2R1bGU+CiAgICB0cnk6"
        "IDEvMAogICAgICAgICB+Xn4KWmVyb0RpdmlzaW9uRXJyb3I6IGRpdmlzaW9uIGJ5IHplcm8KlHViLg=="
    ),
    ("wrapper", 2): (
        "gAJjbWV0YWZsb3cuZXhjZXB0aW9uCk1ldGFmbG93RXhjZXB0aW9uV3JhcHBlcgpxAE6FcQFScQJ9cQMo"
        "WAkAAABleGNlcHRpb25xBFgQAAAAZGl2aXNpb24gYnkgemVyb3EFWAQAAAB0eXBlcQZYGgAAAGJ1aWx0"
        "aW5zLlplcm9EaXZpc2lvbkVycm9ycQdYCgAAAHN0YWNrdHJhY2VxCFiPAAAAVHJhY2ViYWNrIChtb3N0"
        "IHJlY2VudCBjYWxsIGxhc3QpOgogIEZpbGUgIi90bXAvcGsvZml4LnB5IiwgbGluZSAxMiwgaW4gPG1v"
        "ZHVsZT4KICAgIHRyeTogMS8wCiAgICAgICAgIH5efgpaZXJvRGl2aXNpb25FcnJvcjogZGl2aXNpb24g"
        "YnkgemVybwpxCXViLg=="
    ),
    ("wrapper_bare", 4): (
        "gASVfwAAAAAAAACMEm1ldGFmbG93LmV4Y2VwdGlvbpSMGE1ldGFmbG93RXhjZXB0aW9uV3JhcHBlcpST"
        "lE6FlFKUfZQojAlleGNlcHRpb26UjAhubyB0cmFjZZSMBHR5cGWUjBNidWlsdGlucy5WYWx1ZUVycm9y"
        "lIwKc3RhY2t0cmFjZZROdWIu"
    ),
    ("wrapper_bare", 2): (
        "gAJjbWV0YWZsb3cuZXhjZXB0aW9uCk1ldGFmbG93RXhjZXB0aW9uV3JhcHBlcgpxAE6FcQFScQJ9cQMo"
        "WAkAAABleGNlcHRpb25xBFgIAAAAbm8gdHJhY2VxBVgEAAAAdHlwZXEGWBMAAABidWlsdGlucy5WYWx1"
        "ZUVycm9ycQdYCgAAAHN0YWNrdHJhY2VxCE51Yi4="
    ),
    ("included", 4): (
        "gASVxQAAAAAAAACMFG1ldGFmbG93LmluY2x1ZGVmaWxllIwMSW5jbHVkZWRGaWxllJOUKYGUfZQojAtf"
        "ZGVzY3JpcHRvcpR9lCiMBHR5cGWUjAt1cGxvYWRlci12MpSMCHN1Yi10eXBllIwIdXBsb2FkZWSUjAN1"
        "cmyUjAxsb2NhbDovLy94L3mUjAdpc190ZXh0lIiMCGVuY29kaW5nlIwFdXRmLTiUjARzaXpllEsHjARu"
        "b3RllIwBbpR1jAxfY2FjaGVkX3NpemWUTnViLg=="
    ),
    ("included", 2): (
        "gAJjbWV0YWZsb3cuaW5jbHVkZWZpbGUKSW5jbHVkZWRGaWxlCnEAKYFxAX1xAihYCwAAAF9kZXNjcmlw"
        "dG9ycQN9cQQoWAQAAAB0eXBlcQVYCwAAAHVwbG9hZGVyLXYycQZYCAAAAHN1Yi10eXBlcQdYCAAAAHVw"
        "bG9hZGVkcQhYAwAAAHVybHEJWAwAAABsb2NhbDovLy94L3lxClgHAAAAaXNfdGV4dHELiFgIAAAAZW5j"
        "b2RpbmdxDFgFAAAAdXRmLThxDVgEAAAAc2l6ZXEOSwdYBAAAAG5vdGVxD1gBAAAAbnEQdVgMAAAAX2Nh"
        "Y2hlZF9zaXplcRFOdWIu"
    ),
    ("config", 4): (
        "gASVYAAAAAAAAACMJ21ldGFmbG93LnVzZXJfY29uZmlncy5jb25maWdfcGFyYW1ldGVyc5SMC0NvbmZp"
        "Z1ZhbHVllJOUfZQojAFhlEsBjAFulH2UjAF4lF2UfZSMAXqUSwNzYXN1hZRSlC4="
    ),
    ("config", 2): (
        "gAJjbWV0YWZsb3cudXNlcl9jb25maWdzLmNvbmZpZ19wYXJhbWV0ZXJzCkNvbmZpZ1ZhbHVlCnEAfXEB"
        "KFgBAAAAYXECSwFYAQAAAG5xA31xBFgBAAAAeHEFXXEGfXEHWAEAAAB6cQhLA3Nhc3WFcQlScQou"
    ),
    ("parallel", 4): (
        "gASVPQAAAAAAAACMEW1ldGFmbG93LmZsb3dzcGVjlIwLUGFyYWxsZWxVQkaUk5QpgZR9lIwMbnVtX3Bh"
        "cmFsbGVslEsEc2Iu"
    ),
    ("parallel", 2): (
        "gAJjbWV0YWZsb3cuZmxvd3NwZWMKUGFyYWxsZWxVQkYKcQApgXEBfXECWAwAAABudW1fcGFyYWxsZWxxA0sEc2Iu"
    ),
    ("unbounded", 4): (
        "gASVdQAAAAAAAACMMW1ldGFmbG93LnBsdWdpbnMudGVzdF91bmJvdW5kZWRfZm9yZWFjaF9kZWNvcmF0"
        "b3KUjCFJbnRlcm5hbFRlc3RVbmJvdW5kZWRGb3JlYWNoSW5wdXSUk5QpgZR9lIwIaXRlcmFibGWUXZQo"
        "SwFLAmVzYi4="
    ),
    ("unbounded", 2): (
        "gAJjbWV0YWZsb3cucGx1Z2lucy50ZXN0X3VuYm91bmRlZF9mb3JlYWNoX2RlY29yYXRvcgpJbnRlcm5h"
        "bFRlc3RVbmJvdW5kZWRGb3JlYWNoSW5wdXQKcQApgXEBfXECWAgAAABpdGVyYWJsZXEDXXEEKEsBSwJl"
        "c2Iu"
    ),
    ("json", 4): "gASVLAAAAAAAAACME21ldGFmbG93LnBhcmFtZXRlcnOUjA1KU09OVHlwZUNsYXNzlJOUKYGULg==",
    ("json", 2): "gAJjbWV0YWZsb3cucGFyYW1ldGVycwpKU09OVHlwZUNsYXNzCnEAKYFxAS4=",
    ("context", 4): (
        "gASVRwAAAAAAAACME21ldGFmbG93LnBhcmFtZXRlcnOUjBBQYXJhbWV0ZXJDb250ZXh0lJOUKIwBRpSM"
        "AXWUjAFwlE6MBWxvY2FslE50lIGULg=="
    ),
    ("context", 2): (
        "gAJjbWV0YWZsb3cucGFyYW1ldGVycwpQYXJhbWV0ZXJDb250ZXh0CnEAKFgBAAAARnEBWAEAAAB1cQJY"
        "AQAAAHBxA05YBQAAAGxvY2FscQROdHEFgXEGLg=="
    ),
    ("s3", 4): (
        "gASVBgEAAAAAAACMIG1ldGFmbG93LnBsdWdpbnMuZGF0YXRvb2xzLnMzLnMzlIwIUzNPYmplY3SUk5Qp"
        "gZR9lCiMBV9zaXpllEsFjARfdXJslIwKczM6Ly9iL3Ava5SMBV9wYXRolE6MBF9rZXmUjAFrlIwNX2Nv"
        "bnRlbnRfdHlwZZSMCnRleHQvcGxhaW6UjA5fbGFzdF9tb2RpZmllZJRLEYwJX21ldGFkYXRhlH2UjAFh"
        "lIwBYpRzjAtfcmFuZ2VfaW5mb5RoAIwJUmFuZ2VJbmZvlJOUSwpLAksFh5SBlIwHX3ByZWZpeJSMCHMz"
        "Oi8vYi9wlIwLX2VuY3J5cHRpb26UjAZBRVMyNTaUdWIu"
    ),
    ("s3", 2): (
        "gAJjbWV0YWZsb3cucGx1Z2lucy5kYXRhdG9vbHMuczMuczMKUzNPYmplY3QKcQApgXEBfXECKFgFAAAA"
        "X3NpemVxA0sFWAQAAABfdXJscQRYCgAAAHMzOi8vYi9wL2txBVgFAAAAX3BhdGhxBk5YBAAAAF9rZXlx"
        "B1gBAAAAa3EIWA0AAABfY29udGVudF90eXBlcQlYCgAAAHRleHQvcGxhaW5xClgOAAAAX2xhc3RfbW9k"
        "aWZpZWRxC0sRWAkAAABfbWV0YWRhdGFxDH1xDVgBAAAAYXEOWAEAAABicQ9zWAsAAABfcmFuZ2VfaW5m"
        "b3EQY21ldGFmbG93LnBsdWdpbnMuZGF0YXRvb2xzLnMzLnMzClJhbmdlSW5mbwpxEUsKSwJLBYdxEoFx"
        "E1gHAAAAX3ByZWZpeHEUWAgAAABzMzovL2IvcHEVWAsAAABfZW5jcnlwdGlvbnEWWAYAAABBRVMyNTZx"
        "F3ViLg=="
    ),
    ("event", 4): (
        "gASVOwAAAAAAAACMD21ldGFmbG93LmV2ZW50c5SMDU1ldGFmbG93RXZlbnSUk5QojAFulIwBaZROjAVl"
        "dmVudJR0lIGULg=="
    ),
    ("event", 2): (
        "gAJjbWV0YWZsb3cuZXZlbnRzCk1ldGFmbG93RXZlbnQKcQAoWAEAAABucQFYAQAAAGlxAk5YBQAAAGV2"
        "ZW50cQN0cQSBcQUu"
    ),
}


def recorded(name: str, protocol: int = 4) -> bytes:
    """Return the bytes that Metaflow wrote."""
    return base64.b64decode(METAFLOW[name, protocol])


@BOTH
@pytest.mark.parametrize("protocol", [2, 4])
class TestMetaflowsClasses:
    """Objects pickled by Metaflow come back with their fields, text and behaviour."""

    def load(self, name: str, protocol: int, trust: Trust) -> Any:
        return loads(recorded(name, protocol), trust)

    def test_foreach_frame(self, trust: Trust, protocol: int) -> None:
        (frame,) = self.load("frame", protocol, trust)
        assert frame == ("start", "xs", 3, 1, "b")
        assert (frame.step, frame.var, frame.num_splits, frame.index, frame.value) == frame
        assert type(frame)() == (None,) * 5

    def test_exception(self, trust: Trust, protocol: int) -> None:
        wrapper = self.load("wrapper", protocol, trust)
        assert isinstance(wrapper, Exception)
        assert wrapper.exception == "division by zero"
        assert wrapper.type == "builtins.ZeroDivisionError"
        assert str(wrapper) == repr(wrapper) == wrapper.stacktrace
        assert str(wrapper).startswith("Traceback (most recent call last)")

    def test_exception_without_a_trace(self, trust: Trust, protocol: int) -> None:
        wrapper = self.load("wrapper_bare", protocol, trust)
        assert str(wrapper) == "[no stacktrace]\nbuiltins.ValueError: no trace"
        again = pickle.loads(pickle.dumps(wrapper))
        assert (str(again), again.__dict__) == (str(wrapper), wrapper.__dict__)

    def test_included_file(self, trust: Trust, protocol: int) -> None:
        file = self.load("included", protocol, trust)
        assert file.descriptor["sub-type"] == "uploaded"
        assert (file.size, file.type, file.url) == (7, "uploader-v2", "local:///x/y")
        assert (file.is_text, file.encoding) == (True, "utf-8")

    def test_config(self, trust: Trust, protocol: int) -> None:
        config = self.load("config", protocol, trust)
        assert config == {"a": 1, "n": {"x": [{"z": 3}]}}
        assert isinstance(config, dict)
        assert config.n.x[0].z == 3
        assert json.loads(json.dumps(config)) == config.to_dict()
        assert repr(config) == str(config) == "{'a': 1, 'n': {'x': [{'z': 3}]}}"
        assert (config | {"a": 2})["a"] == 2
        assert pickle.loads(pickle.dumps(config)) == config

    def test_config_is_immutable(self, trust: Trust, protocol: int) -> None:
        config = self.load("config", protocol, trust)
        with pytest.raises(TypeError, match="immutable"):
            config["a"] = 2
        with pytest.raises(TypeError, match="immutable"):
            config.a = 2
        with pytest.raises(TypeError, match="immutable"):
            del config["a"]
        with pytest.raises(TypeError, match="immutable"):
            config.update(a=2)
        with pytest.raises(AttributeError):
            config.missing  # noqa: B018
        copied = config.copy()
        assert copied == config == {"a": 1, "n": {"x": [{"z": 3}]}}
        assert dict(copied) == dict(config)

    def test_parallel(self, trust: Trust, protocol: int) -> None:
        parallel = self.load("parallel", protocol, trust)
        assert (parallel.num_parallel, parallel[None], parallel[3]) == (4, 0, 3)

    def test_unbounded(self, trust: Trust, protocol: int) -> None:
        unbounded = self.load("unbounded", protocol, trust)
        assert (list(unbounded), len(unbounded), unbounded[1]) == ([1, 2], 2, 2)
        assert unbounded[None] is unbounded
        assert repr(unbounded) == "InternalTestUnboundedForeachInput([1, 2])"

    def test_parameters(self, trust: Trust, protocol: int) -> None:
        assert repr(self.load("json", protocol, trust)) == "JSON"
        assert self.load("context", protocol, trust) == ("F", "u", "p", None, "local", None)

    def test_s3_object(self, trust: Trust, protocol: int) -> None:
        found = self.load("s3", protocol, trust)
        assert (found.key, found.prefix, found.url) == ("k", "s3://b/p", "s3://b/p/k")
        assert (found.size, found.exists, found.downloaded) == (5, True, False)
        assert (found.metadata, found.content_type) == ({"a": "b"}, "text/plain")
        assert found.range_info == (10, 2, 5)
        assert found.has_info
        assert (found.blob, found.text, found.path) == (None, None, None)
        assert str(found) == "<S3Object s3://b/p/k (5 bytes, in S3)>"

    def test_event(self, trust: Trust, protocol: int) -> None:
        event = self.load("event", protocol, trust)
        assert (event.name, event.id, event.timestamp, event.type) == ("n", "i", None, "event")


VALUES: list[Any] = [
    None, True, 1, -(2**70), 1.5, 1j, "ü\ud800", b"\x00\xff", bytearray(b"ab"), ..., NotImplemented,
    [1, [2]], (1,), {"a": {1: 2}}, {1, 2}, frozenset({1}), range(1, 9, 2), slice(1, None), int, type(None),
    collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), collections.deque([1], 3),
    collections.Counter("aab"), collections.ChainMap({1: 2}), collections.UserDict(a=1),
    collections.UserList([1]), collections.UserString("a"),
    dt.date(2020, 1, 2), dt.time(1, 2), dt.timedelta(1, 2, 3),
    dt.datetime(2020, 1, 2, tzinfo=dt.timezone.utc),
    dt.datetime(2020, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2), "X")),
    dt.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Zurich")),
    decimal.Decimal("1.50"), fractions.Fraction(-1, 3), uuid.UUID(int=5),
    pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:\\a"), pathlib.Path("a"),
    ipaddress.ip_address("1.2.3.4"), ipaddress.ip_network("::/64"), ipaddress.ip_interface("1.2.3.4/8"),
]  # fmt: skip


@BOTH
@PROTOCOLS
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values(value: Any, protocol: int, trust: Trust) -> None:
    got = loads(pickle.dumps(value, protocol), trust)
    assert type(got) is type(value)
    assert got == value


@BOTH
@PROTOCOLS
def test_exceptions_are_values(protocol: int, trust: Trust) -> None:
    for error in (ValueError("a", 1), OSError(2, "no", "f"), KeyError("k"), SystemExit(3)):
        got = loads(pickle.dumps(error, protocol), trust)
        assert (type(got), got.args) == (type(error), error.args)  # type: ignore[attr-defined]


def metaflows(name: str, state: dict[str, Any]) -> bytes:
    """Return Metaflow's pickle of one of its exceptions."""
    beginning = f"cmetaflow.exception\n{name}\n)R".encode()
    return b"\x80\x02" + beginning + pickle.dumps(state, 2)[2:-1] + b"b."


@BOTH
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MetaflowException", errors.MetaflowException),
        ("MetaflowNotFound", errors.MetaflowNotFound),
        ("MetaflowNamespaceMismatch", errors.MetaflowNamespaceMismatch),
        ("MetaflowInvalidPathspec", errors.MetaflowInvalidPathspec),
        ("MetaflowUnknownUser", errors.MetaflowUnknownUser),
        ("MetaflowDataMissing", errors.MetaflowDataMissing),
        ("CommandException", errors.MetaflowException),
    ],
)
def test_exceptions_of_metaflow_are_exceptions(
    name: str, kind: type[errors.MetaflowException], trust: Trust
) -> None:
    stored = metaflows(name, {"message": "why", "line_no": 3, "source_file": "flow.py"})
    got: Any = loads(stored, trust)
    assert (type(got), got.message, str(got)) == (kind, "why", "why")
    assert (got.line_no, got.source_file) == (3, "flow.py")
    again = pickle.loads(pickle.dumps(got))
    assert (type(again), str(again), again.line_no) == (kind, "why", 3)


@BOTH
def test_exceptions_of_metaflow_stand_in_containers(trust: Trust) -> None:
    stored = metaflows("MetaflowException", {"message": "why"})
    got: Any = loads(b"\x80\x02]" + stored[2:-1] + b"a.", trust)
    assert [str(error) for error in got] == ["why"]


@pytest.mark.parametrize("state", [{"message": "a", "_message": object}, {"args": ("x",)}])
def test_exceptions_of_metaflow_hold_only_texts(state: dict[str, Any]) -> None:
    with pytest.raises(UntrustedValue):
        loads(metaflows("MetaflowException", state), SAFE)


@BOTH
def test_shared_and_cyclic_values(trust: Trust) -> None:
    shared: list[Any] = []
    shared.append({"me": shared})
    got: Any = loads(pickle.dumps((shared, shared)), trust)
    assert got[0] is got[1] is got[0][0]["me"]


class TestArrays:
    """numpy's values, under all protocols, at both levels of trust."""

    @BOTH
    @PROTOCOLS
    def test_round_trip(self, protocol: int, trust: Trust) -> None:
        np = pytest.importorskip("numpy")
        record = np.dtype([("a", "i4"), ("b", "O"), ("c", "f8", 3)], align=True)
        arrays = [
            np.arange(6.0).reshape(2, 3).T,
            np.zeros(3, "?"),
            np.array(["a", "ü"]),
            np.array([b"a"]),
        ]
        arrays += [
            np.array([1, "a", None], object),
            np.array(["2020"], "M8[ns]"),
            np.zeros(2, record),
        ]
        arrays += [
            np.ma.array([1, 2], mask=[0, 1]),
            np.zeros((0, 3)),
            np.zeros(2, ">u2"),
            np.zeros(10**4),
        ]
        arrays += [np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), np.zeros(4)[::2]]
        for array in arrays:
            got: Any = loads(pickle.dumps(array, protocol), trust)
            # numpy itself converts every array to the byte order of the machine.
            want = pickle.loads(pickle.dumps(array, protocol))
            assert (type(got), got.dtype, got.shape) == (type(want), want.dtype, want.shape)
            assert repr(got) == repr(want)
        for scalar in (
            np.float64(1),
            np.int8(2),
            np.str_("x"),
            np.datetime64("2020", "D"),
            np.bool_(1),
        ):
            assert repr(loads(pickle.dumps(scalar, protocol), trust)) == repr(scalar)
        for dtype in (np.dtype("f8"), record, np.dtype("U3"), np.dtype((float, (2, 3)))):
            assert loads(pickle.dumps(dtype, protocol), trust) == dtype
        assert loads(pickle.dumps(np.float32, protocol), trust) is np.float32


class TestFrames:
    """pandas's values, under all protocols, at both levels of trust."""

    @BOTH
    @PROTOCOLS
    def test_round_trip(self, protocol: int, trust: Trust) -> None:
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({
            "int": [1, 2], "text": ["x", "ü"], "when": pd.to_datetime(["2020", "2021"]),
            "kind": pd.Categorical(["u", "v"]), "gap": [1.5, None], "flag": [True, False],
            "Int": pd.array([1, None], "Int64"), "utc": pd.to_datetime(["2020", "2021"], utc=True),
            "zone": pd.to_datetime(["2020", "2021"]).tz_localize("Europe/Zurich"),
            "took": pd.to_timedelta([1, 2], "s"), "Bool": pd.array([True, None], "boolean"),
            "month": pd.period_range("2020", periods=2, freq="M"), "span": pd.interval_range(0, 2),
            "sparse": pd.arrays.SparseArray([0, 1]), "any": [{"a": 1}, [None]],
        })  # fmt: skip
        values = [
            frame,
            frame["int"],
            frame[["int", "text"]],
            frame.set_index(["int", "text"]).iloc[:, :3],
        ]
        values += [pd.DataFrame(), pd.RangeIndex(3), pd.Index([1, "a"], dtype=object), frame.dtypes]
        values += [
            pd.date_range("2020", periods=3, freq="W"),
            pd.MultiIndex.from_product([[1, 2], ["a"]]),
        ]
        values += [
            pd.Timestamp("2020", tz="UTC"),
            pd.Timedelta("1s"),
            pd.Period("2020", "M"),
            pd.NaT,
            pd.NA,
        ]
        values += [
            pd.Interval(0, 1),
            pd.offsets.MonthEnd(2),
            pd.DateOffset(months=1),
            pd.Int64Dtype(),
        ]
        values += [frame[name] for name in frame]
        for value in values:
            got = loads(pickle.dumps(value, protocol), trust)
            assert type(got) is type(value)
            assert repr(got) == repr(value)


class TestTrust:
    """Parsing of the setting."""

    def test_of(self) -> None:
        assert [Trust.of(level).level for level in ("full", "safe", "none")] == [
            "full",
            "safe",
            "none",
        ]
        assert Trust.of(SAFE) is SAFE
        assert Trust.safe(["a.B"]) == Trust.safe(("a.B",)) != SAFE

    @pytest.mark.parametrize("bad", ["", "FULL", None, True, 1, ["safe"], {}])
    def test_bad(self, bad: object) -> None:
        with pytest.raises(
            BadArgument, match="expected 'full', 'safe', 'none' or a Trust"
        ) as caught:
            Trust.of(bad)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("bad", ["a.B", ["B"], [1], [""]])
    def test_bad_allow(self, bad: Any) -> None:
        with pytest.raises(BadArgument, match="full names"):
            Trust.safe(bad)

    def test_none_builds_nothing(self) -> None:
        with pytest.raises(UntrustedValue, match=r"F/1/s/2/x: .*raw.*\(/blob\)") as caught:
            loads(pickle.dumps(None), NONE, subject="F/1/s/2/x", location="/blob")
        assert (caught.value.subject, caught.value.location) == ("F/1/s/2/x", "/blob")

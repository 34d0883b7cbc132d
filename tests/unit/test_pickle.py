"""Pickled values against objects that real Metaflow pickled, and every way to refuse one."""

from __future__ import annotations

import base64
import collections
import copyreg
import datetime as dt
import decimal
import fractions
import hashlib
import ipaddress
import json
import pathlib
import pickle
import sys
import tracemalloc
import types
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any

import pytest

import mfc
from mfc import _pickle
from mfc._known import UNKNOWN, known
from mfc._pickle import STANDINS, Placeholder, loads, register_standin
from mfc.errors import BadSetting, UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL, SAFE, NONE = Trust.full(), Trust.safe(), Trust.none()
BOTH = pytest.mark.parametrize("trust", [FULL, SAFE], ids=["full", "safe"])
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3, 4, 5])

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
    """Return what Metaflow wrote."""
    return base64.b64decode(METAFLOW[name, protocol])


@BOTH
@pytest.mark.parametrize("protocol", [2, 4])
class TestMetaflowsClasses:
    """What Metaflow pickled comes back with its fields, text and behaviour."""

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


@BOTH
def test_shared_and_cyclic_values(trust: Trust) -> None:
    shared: list[Any] = []
    shared.append({"me": shared})
    got: Any = loads(pickle.dumps((shared, shared)), trust)
    assert got[0] is got[1] is got[0][0]["me"]


class TestArrays:
    """numpy's values, under all protocols, both trusts."""

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
            # numpy itself brings every array to the byte order of the machine.
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
    """pandas's values, under all protocols, both trusts."""

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
    """How the setting is read."""

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
            BadSetting, match="expected 'full', 'safe', 'none' or a Trust"
        ) as caught:
            Trust.of(bad)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("bad", ["a.B", ["B"], [1], [""]])
    def test_bad_allow(self, bad: Any) -> None:
        with pytest.raises(BadSetting, match="full names"):
            Trust.safe(bad)

    def test_none_builds_nothing(self) -> None:
        with pytest.raises(UntrustedValue, match=r"F/1/s/2/x: .*raw.*\(/blob\)") as caught:
            loads(pickle.dumps(None), NONE, subject="F/1/s/2/x", location="/blob")
        assert (caught.value.subject, caught.value.location) == ("F/1/s/2/x", "/blob")


class Model:
    """A class of the user."""

    def __init__(self) -> None:
        self.weights = [1]


class TestSafe:
    """What a safe load refuses, and how it is widened."""

    def test_sentence(self) -> None:
        with pytest.raises(UntrustedValue) as caught:
            loads(pickle.dumps(Model()), SAFE, subject="F/1/s/2/x")
        name = f"{Model.__module__}.Model"
        for part in (name, f"allow=['{name}']", "trust='full'", ".raw"):
            assert part in str(caught.value)

    def test_allow(self) -> None:
        name = f"{Model.__module__}.Model"
        sys.modules.setdefault(Model.__module__, sys.modules[__name__])
        for trust, extra in ((Trust.safe([name]), frozenset[str]()), (SAFE, frozenset({name}))):
            got = loads(pickle.dumps(Model()), trust, extra_safe=extra)
            assert isinstance(got, Model)
            assert got.weights == [1]

    @pytest.mark.parametrize(
        "name",
        [
            "os.system", "posix.system", "builtins.eval", "builtins.exec", "builtins.open",
            "builtins.__import__", "builtins.vars", "builtins.map", "operator.attrgetter",
            "functools.partial", "importlib.import_module", "subprocess.Popen", "types.FunctionType",
            "numpy.load", "numpy.memmap", "numpy.f2py.compile", "pandas.eval", "pandas.read_pickle",
            "pandas.core.frame.DataFrame.eval", "builtins.dict.update", "collections.abc.sys",
            "pathlib.Path.unlink", "pathlib.os", "logging.config.dictConfig", "enum.Enum",
            "metaflow.client.core.Run", "__main__.X", "copyreg.add_extension", "pickle.loads",
        ],
    )  # fmt: skip
    def test_refuses(self, name: str) -> None:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            module, rest = ".".join(parts[:cut]), ".".join(parts[cut:])
            texts = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, rest))
            with pytest.raises(UntrustedValue):
                loads(b"\x80\x04" + texts + b"\x93.", SAFE)
            with pytest.raises(UntrustedValue):
                loads(f"\x80\x02c{module}\n{rest}\n.".encode("latin1"), SAFE)

    def test_registered_standins_are_not_safe(self, registered: type) -> None:
        blob = b"cmetaflow.client.core\nRun\n)R."
        assert type(loads(blob, FULL)) is registered
        with pytest.raises(UntrustedValue, match=r"metaflow\.client\.core\.Run"):
            loads(blob, SAFE)

    @pytest.fixture
    def registered(self) -> Iterator[type]:
        before = dict(STANDINS)
        made = type("Run", (), {})
        register_standin("metaflow.client.core", "Run", made)
        yield made
        STANDINS.clear()
        STANDINS.update(before)

    def test_extension_registry(self) -> None:
        code = 0xF1
        copyreg.add_extension("os", "system", code)
        try:
            assert callable(pickle.loads(b"\x82\xf1."))  # now it is in the cache
            for blob in (b"\x82\xf1.", b"\x83\xf1\x00.", b"\x84\xf1\x00\x00\x00."):
                with pytest.raises(UntrustedValue, match="extension registry"):
                    loads(blob, SAFE)
        finally:
            copyreg.remove_extension("os", "system", code)

    @pytest.mark.parametrize(
        "blob",
        [
            b"cfractions\nFraction\n(N}Vx\nI1\nstb.",  # an attribute of a shared class
            b"cfractions\nFraction\n}Vx\nI1\nsb.",
            b"ccollections\nOrderedDict\n)R(N}V__class__\nI1\nstb.",
            b"cbuiltins\nValueError\n)R}V__class__\ncbuiltins\nKeyError\nsb.",
            b"cuuid\nUUID\n)\x81(N}V__class__\nccollections\nUserDict\nstb.",
            b"cuuid\nUUID\n)\x81}Vint\nI1\nsb}Vint\nI2\nsb.",  # a second state
            b"cpathlib\nPurePath\n(Va\ntR}Vx\nI1\nsb.",
            b"(lp0\n}Vx\nI1\nsb.",
            b"cbuiltins\ngetattr\n(cbuiltins\nint\nVreal\ntR.",
            b"cbuiltins\ntype\n(Vx\n(t}tR.",
            b"cbuiltins\ntype\n.",
            b"cbuiltins\nbytearray\n(I999999999999\ntR.",
            b"cbuiltins\nlist\n(cbuiltins\nrange\n(I999999999999\ntRtR.",
            b"ccollections\ndefaultdict\n(c_codecs\nencode\ntR.",
            b"cfractions\nFraction\n(V1e999999999\ntR.",
            b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
            b"czoneinfo\nZoneInfo._unpickle\n(V../../etc/passwd\nI01\ntR.",
            b"ccopyreg\n_reconstructor\n(cbuiltins\nint\ncbuiltins\nobject\nNtR.",
            b"Vx\n)R.",
            b"(lVx\n)\x81.",
        ],
    )  # fmt: skip
    def test_refuses_to_act(self, blob: bytes) -> None:
        with pytest.raises((UntrustedValue, UndecodableArtifact)):
            loads(blob, SAFE)
        assert not hasattr(fractions.Fraction, "x")

    def test_copies_are_bounded(self) -> None:
        again = (
            b"cbuiltins\nlist\nr\x02\x00\x00\x000" + b"(h\x01h\x01t0" + b"h\x02h\x01\x85R0" * 5000
        )
        blob = (
            b"("
            + b"I1\n" * 60000
            + b"lq\x010"
            + again.replace(b"r\x02\x00\x00\x00", b"q\x02")
            + b"N."
        )
        with pytest.raises(UntrustedValue, match="again and again"):
            loads(blob, SAFE)

    def test_bogus_sizes_cost_nothing(self) -> None:
        huge = (2**28).to_bytes(8, "little")
        tracemalloc.start()
        try:
            for blob in (b"\x80\x05\x96" + huge + b".", b"\x80\x04\x8e" + huge + b"."):
                with pytest.raises(UndecodableArtifact):
                    loads(blob, SAFE)
            assert loads(b"Nr\xff\xff\xff\xff.", SAFE) is None
            assert tracemalloc.get_traced_memory()[1] < 1 << 24
        finally:
            tracemalloc.stop()


class TestForgedMemory:
    """States that would make numpy or pandas read or write memory that is not theirs."""

    def refused(self, *parts: object) -> None:
        with pytest.raises((UntrustedValue, UndecodableArtifact)):
            loads(assembled(*parts), SAFE)

    def test_assembled_is_sound(self) -> None:
        np = pytest.importorskip("numpy")
        state = (1, (1,), DTYPE("f8", (3, "<", None, None, None, -1, -1, 0)), False, bytes(8))
        got = loads(assembled(ARRAY(state)), SAFE)
        assert np.array_equal(got, [0.0])

    def test_pointers_from_bytes(self) -> None:
        pytest.importorskip("numpy")
        obj = DTYPE("O8", (3, "|", None, None, None, -1, -1, 63))
        hidden = DTYPE("V8", (3, "|", None, ("f",), {"f": (obj, 0)}, 8, 1, 0))
        self.refused(ARRAY((1, (1,), hidden, False, b"AAAAAAAA")))
        self.refused(
            ARRAY((1, (1,), DTYPE("O8", (3, "|", None, None, None, -1, -1, 0)), False, b"A" * 8))
        )
        honest = DTYPE("V8", (3, "|", None, ("f",), {"f": (obj, 0)}, 8, 1, 27))
        self.refused(ARRAY((1, (1,), honest, False, b"AAAAAAAA")))
        self.refused(CALL("numpy._core.multiarray", "scalar", (honest, b"AAAAAAAA")))
        number = DTYPE("f8", (3, "<", None, None, None, -1, -1, 0))
        laid = DTYPE("V8", (3, "|", None, ("f", "n"), {"f": (obj, 0), "n": (number, 0)}, 8, 1, 27))
        self.refused(ARRAY((1, (1,), laid, False, [(1, 2)])))

    def test_fields_outside(self) -> None:
        pytest.importorskip("numpy")
        number = DTYPE("f8", (3, "<", None, None, None, -1, -1, 0))
        for offset, size in ((10**9, 8), (-8, 8), (0, 16)):
            self.refused(DTYPE("V8", (3, "|", None, ("f",), {"f": (number, offset)}, size, 1, 16)))
        self.refused(DTYPE("V8", (3, "|", (number, (9,)), None, None, 8, 1, 0)))
        self.refused(DTYPE("i4,i4", (3, "|", None, None, None, -1, -1, 0)))

    def test_unfinished_and_shared(self) -> None:
        pytest.importorskip("numpy")
        husk = CALL("numpy", "dtype", ("V8", False, True))
        self.refused(ARRAY((1, (1,), husk, False, b"AAAAAAAA")))
        self.refused(husk)
        self.refused(
            BUILD(
                CALL("numpy", "dtype", ("f8", False, False)), (3, ">", None, None, None, -1, -1, 0)
            )
        )
        self.refused(
            CALL(
                "numpy._core.multiarray", "_reconstruct", (GLOBAL("numpy", "ndarray"), (99,), b"b")
            )
        )
        self.refused(CALL("numpy", "ndarray", ((99,),)))
        array = ARRAY(
            (1, (1,), DTYPE("f8", (3, "<", None, None, None, -1, -1, 0)), False, bytes(8))
        )
        self.refused(BUILD(array, (1, (0,), None, False, b"")))

    def test_tables(self) -> None:
        pd = pytest.importorskip("pandas")
        sound = pickle.dumps(pd.DataFrame({"a": [1], "b": [2.0]}))
        assert repr(loads(sound, SAFE)) == repr(pickle.loads(sound))
        values = pickle.loads(pickle.dumps(pd.Series([1.0])))
        values.index  # noqa: B018
        forged = sound.replace(b"K\x00K\x01K\x01", b"K\x09K\x0aK\x01", 1)
        assert forged != sound
        with pytest.raises(UntrustedValue, match="forged"):
            loads(forged, SAFE)

    def test_index_longer_than_the_values(self) -> None:
        pd = pytest.importorskip("pandas")
        series = pd.Series([1.0], index=pd.RangeIndex(77, 78))
        for value in (series, series.to_frame("a")):
            sound = pickle.dumps(value, 2)
            forged = sound.replace(b"KN", b"M\xff\x7f")
            assert forged != sound
            with pytest.raises((UntrustedValue, UndecodableArtifact)):
                loads(forged, SAFE)

    def test_missing_objects(self) -> None:
        pytest.importorskip("numpy")
        objects = DTYPE("O8", (3, "|", None, None, None, -1, -1, 63))
        self.refused(ARRAY((1, (9,), objects, False, ["one"])))

    def test_dtype_that_changes_under_an_array(self) -> None:
        pytest.importorskip("numpy")
        objects = DTYPE("O8", (3, "|", None, None, None, -1, -1, 63))
        void = CALL("numpy", "dtype", ("V8", False, True)).code + b"q\x63"
        husk = (GLOBAL("numpy", "ndarray"), (0,), b"b")
        array = CALL("numpy._core.multiarray", "_reconstruct", husk).code
        filled = array + b"(K\x01(K\x01th\x63\x89" + piece(b"A" * 8) + b"tbq\x64"
        state = (3, "|", None, ("f",), {"f": (objects, 0)}, 8, 1, 27)
        blob = b"\x80\x03" + void + filled + b"00h\x63" + piece(state) + b"b0h\x64."
        with pytest.raises(UntrustedValue, match="before its state is set"):
            loads(blob.replace(b"00h", b"0" + b"0h", 1), SAFE)

    def test_types_without_size_unit_or_order(self) -> None:
        pytest.importorskip("numpy")
        self.refused(DTYPE("S4", (3, "|", None, None, None, -1, -1, 0)))
        self.refused(DTYPE("M8", (3, "<", None, None, None, -1, -1, 0)))
        number = DTYPE("f8", (3, "<", None, None, None, -1, -1, 0))
        self.refused(DTYPE("V8", (3, ">", None, ("f",), {"f": (number, 0)}, 8, 1, 16)))

    def test_codes(self) -> None:
        pd = pytest.importorskip("pandas")
        for value in (pd.Categorical([2**40, 5]), pd.MultiIndex.from_arrays([[2**40, 5]])):
            sound = pickle.dumps(value)
            codes = value.codes if isinstance(value, pd.Categorical) else value.codes[0]
            forged = sound.replace(codes.tobytes() + b"\x94", b"\x7f" * codes.nbytes + b"\x94")
            assert forged != sound
            with pytest.raises(UntrustedValue, match="codes that point at nothing"):
                loads(forged, SAFE)


class GLOBAL:
    """A reference to a module's member, for `assembled`."""

    def __init__(self, module: str, name: str) -> None:
        self.code = f"c{module}\n{name}\n".encode()


class CALL:
    """A call of a module's member."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...]) -> None:
        self.code = GLOBAL(module, name).code + piece(arguments) + b"R"


class BUILD:
    """An object that is given a state."""

    def __init__(self, made: Any, state: object) -> None:
        self.code = made.code + piece(state) + b"b"


def DTYPE(name: str, state: object) -> BUILD:  # noqa: N802 - reads as the others
    return BUILD(CALL("numpy", "dtype", (name, False, True)), state)


def ARRAY(state: object) -> BUILD:  # noqa: N802 - reads as the others
    husk = (GLOBAL("numpy", "ndarray"), (0,), b"b")
    return BUILD(CALL("numpy._core.multiarray", "_reconstruct", husk), state)


def piece(value: Any) -> bytes:
    """Return opcodes that push `value`."""
    if hasattr(value, "code"):
        return bytes(value.code)
    if isinstance(value, (tuple, list)):
        end = b"t" if isinstance(value, tuple) else b"l"
        return b"(" + b"".join(map(piece, value)) + end
    if isinstance(value, dict):
        return b"(" + b"".join(piece(key) + piece(item) for key, item in value.items()) + b"d"
    return pickle.dumps(value, 3)[2:-1].replace(b"q\x00", b"")


def assembled(*parts: object) -> bytes:
    """Return a pickle made of parts that no library would write."""
    return b"\x80\x03" + b"".join(map(piece, parts)) + b"."


class TestPlaceholder:
    """Classes that are missing here."""

    def stored(self, module: str, name: str, monkeypatch: pytest.MonkeyPatch, value: Any) -> bytes:
        """Pickle an object whose class exists only for a moment."""
        parts = module.split(".")
        for cut in range(len(parts)):
            path = ".".join(parts[: cut + 1])
            if path not in sys.modules:
                monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
        cls = type(value) if not isinstance(value, type) else value
        cls.__module__, cls.__qualname__, cls.__name__ = module, name, name
        monkeypatch.setattr(sys.modules[module], name, cls, raising=False)
        blob = pickle.dumps(value)
        monkeypatch.undo()
        return blob

    def test_object(self, monkeypatch: pytest.MonkeyPatch) -> None:
        value = type("X", (), {})()
        value.coef = [1, 2]
        blob = self.stored("sklearn.linear_model._base", "LinearRegression", monkeypatch, value)
        got: Any = loads(blob, FULL)
        assert isinstance(got, Placeholder)
        assert (got.module, got.qualname) == ("sklearn.linear_model._base", "LinearRegression")
        assert got.install == "scikit-learn"
        assert got.state == {"coef": [1, 2]}
        assert got.raw == blob
        assert "pip install scikit-learn" in repr(got)
        assert {got: 1}[got] == 1
        with pytest.raises(AttributeError, match="pip install scikit-learn"):
            got.predict([1])

    def test_containers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        items: list[tuple[type, Any]] = [
            (list, [1, 2, 3]), (dict, {1: 2, 3: 4}), (list, [1]), (dict, {1: 2}), (set, {1, 2}),
        ]  # fmt: skip
        for base, content in items:
            blob = self.stored("gone", "Many", monkeypatch, type("Many", (base,), {})(content))
            got: Any = loads(blob, FULL)
            assert isinstance(got, Placeholder)
            kept = got.items or got.args[0]
            assert list(kept) == list(content.items() if base is dict else content)

    def test_constructions(self) -> None:
        text = b"\x8c\x04gone\x8c\x01f\x93"
        called: Any = loads(b"\x80\x04" + text + b"K\x01\x85R.", FULL)
        assert called.args == (1,)
        keywords: Any = loads(b"\x80\x04" + text + b")}\x8c\x01kK\x01s\x92.", FULL)
        assert keywords.kwargs == {"k": 1}
        reference: Any = loads(b"\x80\x04" + text + b".", FULL)
        assert issubclass(reference, Placeholder)
        assert "gone.f" in repr(reference)
        member: Any = loads(b"cbuiltins\ngetattr\n(cgone\nColour\nVRED\ntR.", FULL)
        assert member.args == ("RED",)

    def test_advice(self) -> None:
        own: Any = loads(b"c__main__\nModel\n)R.", FULL)
        assert own.install == ""
        assert "run.code.extract()" in own.advice
        older: Any = loads(b"cjson\nGone\n)R.", FULL)
        assert "has no Gone" in older.advice
        other: Any = loads(b"cgone.deep\nX\n)R.", FULL)
        assert other.install == "gone"
        assert "pip install gone" in other.advice

    def test_module_that_fails(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mfc_breaks.py").write_text("raise SystemExit('no licence')")
        (tmp_path / "mfc_lacks.py").write_text("import mfc_not_there")
        monkeypatch.syspath_prepend(tmp_path)
        assert "SystemExit: no licence" in loads(b"cmfc_breaks\nX\n)R.", FULL).advice  # type: ignore[attr-defined]
        assert "mfc_not_there" in loads(b"cmfc_lacks\nX\n)R.", FULL).advice  # type: ignore[attr-defined]

    def test_allowed_but_missing(self) -> None:
        got: Any = loads(b"cgone\nX\n(I1\ntR}Vw\nI2\nsb.", Trust.safe(["gone.X"]))
        assert (type(got).__name__, got.args, got.state) == ("X", (1,), {"w": 2})
        with pytest.raises(UntrustedValue, match=r"gone\.Y"):
            loads(b"cgone\nY\n.", Trust.safe(["gone.X"]))


class Raises:
    """Raises what it was made with as soon as it is loaded."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return throw, (self.error,)


def throw(error: BaseException) -> None:
    raise error


class TestErrors:
    """Nothing but mfc's errors comes out."""

    @BOTH
    @pytest.mark.parametrize(
        "blob", [b"", b"\x80", b"\x80\x04", b".", b"\x80\xff.", b"garbage", b"(", b"P1\n.", b"NQ."]
    )
    def test_no_pickle(self, blob: bytes, trust: Trust) -> None:
        with pytest.raises(UndecodableArtifact, match=r"F/1/s/2/x: .*\.raw") as caught:
            loads(blob, trust, subject="F/1/s/2/x")
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("x"),
            SystemExit(1),
            GeneratorExit(),
            RecursionError(),
            MemoryError(),
            StopIteration(),
        ],
    )
    def test_code_that_raises(self, error: BaseException) -> None:
        with pytest.raises(UndecodableArtifact) as caught:
            loads(pickle.dumps(Raises(error)), FULL)
        assert type(caught.value.__cause__) is type(error)

    def test_keyboard_interrupt_passes(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            loads(pickle.dumps(Raises(KeyboardInterrupt())), FULL)

    @BOTH
    def test_missing_library_is_named(self, trust: Trust) -> None:
        with pytest.raises(UndecodableArtifact, match=r"pip install gone|gone"):
            loads(
                b"cgone\nX\n(I1\ntRI2\na(I1\nu.", trust if trust is FULL else Trust.safe(["gone.X"])
            )


class TestKnown:
    """Values that need no reading."""

    @pytest.mark.parametrize("protocol", [2, 4])
    @pytest.mark.parametrize("value", [True, False, None, []])
    def test_known(self, value: object, protocol: int) -> None:
        assert known(hashlib.sha1(pickle.dumps(value, protocol)).hexdigest()) == value

    def test_unknown(self) -> None:
        assert known("0" * 40) is UNKNOWN

    def test_lists_are_not_shared(self) -> None:
        sha = hashlib.sha1(pickle.dumps([], 4)).hexdigest()
        first: Any = known(sha)
        first.append(1)
        assert known(sha) == []


def test_import_is_light() -> None:
    import subprocess

    code = "import sys, mfc._pickle; print([m for m in ('numpy','pandas','asyncio','zoneinfo','mfc._pickle._safe') if m in sys.modules])"
    paths = {"PYTHONPATH": str(pathlib.Path(_pickle.__file__).parents[2])}
    out = subprocess.run(
        [sys.executable, "-c", code], env=paths, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_pickles_from_elsewhere_load_at_a_trust_of_their_own() -> None:
    blob = pickle.dumps({"a": 1})
    assert mfc.unpickle(blob, trust="safe") == {"a": 1}
    with pytest.raises(UntrustedValue):
        mfc.unpickle(blob, trust="none")


class TestLargePickles:
    def test_they_load_as_small_ones_do(self) -> None:
        value = {
            "text": "ü" * 200_000,
            "bytes": b"x" * 300_000,
            "list": [*range(50_000)],
            "array": bytearray(b"y" * 99),
        }
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            assert loads(pickle.dumps(value, protocol), Trust.full()) == value

    def test_names_in_lines_are_found(self) -> None:
        blob = (
            pickle.PROTO
            + b"\x04"
            + b"ccollections\nOrderedDict\n)R"
            + pickle.POP
            + b"]"
            + b"N"
            + b"N0" * 200_000
            + b"a."
        )
        assert loads(blob, Trust.full()) == [None]

    def test_one_that_is_cut_short_says_so(self) -> None:
        blob = pickle.dumps(["x" * 300_000], 4)
        for end in (len(blob) // 2, len(blob) - 1):
            with pytest.raises(UndecodableArtifact):
                loads(blob[:end], Trust.full())

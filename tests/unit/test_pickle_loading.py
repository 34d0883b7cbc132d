"""Missing classes, errors, known values, light imports and large values."""

from __future__ import annotations

import hashlib
import pathlib
import pickle
import sys
import types
from typing import Any

import pytest

import mfc
from mfc import _pickle
from mfc._pickle import Placeholder, loads
from mfc._storage._known import UNKNOWN, known
from mfc.errors import UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

from .trusts import BOTH, FULL


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
        assert member.qualname == "Colour.RED"

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
    """Raises its argument as soon as it is loaded."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return throw, (self.error,)


def throw(error: BaseException) -> None:
    raise error


class TestErrors:
    """Only mfc's errors are raised."""

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
    """Values that are known without reading."""

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

    code = "import sys, mfc._pickle; print([m for m in ('numpy','pandas','asyncio','zoneinfo','mfc._pickle._pandas') if m in sys.modules])"
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

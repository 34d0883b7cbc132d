"""Lengths declared in a pickle are counted before objects are made; cyclic objects are complete or refused."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from mfc._pickle import loads
from mfc.errors import UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

from .trusts import BOTH, FULL, SAFE

np: Any = pytest.importorskip("numpy")
pd: Any = pytest.importorskip("pandas")
#: With a byte per element, more than allowed.
LONG = 10**8


class Made:
    """On loading, becomes the result of a function."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.function, self.args, self.state = function, args, state

    def __reduce__(self) -> tuple[Any, ...]:
        state = () if self.state is None else (self.state,)
        return self.function, self.args, *state


def index(kind: Any, **said: Any) -> Made:
    return Made(pd.core.indexes.base._new_Index, kind, {"name": None, **said})


def numbers() -> Made:
    return index(pd.RangeIndex, start=0, stop=LONG, step=1)


def array(dtype: Any) -> Made:
    core = getattr(np, "_core", None) or np.core
    state = (1, (LONG,), np.dtype(dtype), False, b"")
    return Made(core.multiarray._reconstruct, np.ndarray, (0,), b"b", state=state)


def levels(**said: Any) -> Made:
    said = {"levels": [pd.Index([1])], "codes": [np.zeros(1, "i1")], "names": [None], **said}
    return index(pd.MultiIndex, sortorder=None, **said)


MADE: dict[str, Any] = {
    "levels": lambda: levels(levels=[numbers()]),
    "codes": lambda: levels(codes=[numbers()]),
    "levels themselves": lambda: levels(levels=numbers()),
    "codes themselves": lambda: levels(codes=numbers()),
    "names": lambda: levels(names=numbers()),
    "ends": lambda: index(pd.IntervalIndex, left=numbers(), right=numbers(), closed="right"),
    "times": lambda: index(pd.DatetimeIndex, data=numbers()),
    "periods": lambda: index(pd.PeriodIndex, data=numbers()),
    "set": lambda: Made(set, numbers()),
    "frozenset": lambda: Made(frozenset, numbers()),
    "list": lambda: Made(list, numbers()),
    "place in a file": lambda: Made(SyntaxError, "m", numbers()),
    "state of a dtype": lambda: Made(np.dtype, "f8", False, True, state=numbers()),
    **{
        f"{kind.__name__} of {dtype}": lambda kind=kind, dtype=dtype: index(kind, data=array(dtype))
        for kind in (pd.Index, pd.DatetimeIndex, pd.CategoricalIndex)
        for dtype in ("V0", "U0", "S0", [])
    },
    "labels": lambda: index(pd.Index, data=np.frombuffer(b"a" * 3_000_000, "S1")),
}
if hasattr(__builtins__, "BaseExceptionGroup"):
    MADE["group"] = lambda: Made(BaseExceptionGroup, "m", numbers())  # noqa: F821, RUF100


@pytest.mark.parametrize("name", MADE)
def test_lengths_are_counted_before_anything_is_made(name: str) -> None:
    with pytest.raises(UntrustedValue):
        loads(pickle.dumps(MADE[name](), 4), SAFE)


def test_usual_indexes_come_back() -> None:
    for value in (
        pd.MultiIndex.from_product([range(100), list("abc")]),
        pd.interval_range(0, 1000),
        pd.CategoricalIndex([1, 2], categories=range(3)),
        pd.DataFrame({"a": np.zeros(10_000, bool)}),
        pd.DataFrame(np.zeros((3, 1000))),
    ):
        got: Any = loads(pickle.dumps(value), SAFE)
        assert value.equals(got)


@BOTH
def test_an_exception_may_hold_itself(trust: Trust) -> None:
    one, other = ValueError("a"), KeyError("b")
    one.other, other.other, one.me = other, one, one  # type: ignore[attr-defined]
    for pickled in (pickle.dumps([one, other]), pickle.dumps([one, other], 2)):
        got: Any = loads(pickled, trust)
        assert got[0].other is got[1]
        assert got[1].other is got[0]
        assert got[0].me is got[0]


def held() -> dict[str, Any]:
    alone = np.empty(1, dtype=object)
    alone[0] = alone
    around = np.empty(1, dtype=object)
    around[0] = SimpleNamespace(inside=around)
    content = np.empty(1, dtype=object)
    masked = np.ma.MaskedArray(content, copy=False)
    content[0] = SimpleNamespace(inside=masked)
    return {"array": alone, "around": around, "masked": masked}


@pytest.mark.parametrize("name", held())
def test_cyclic_objects_are_complete_or_refused(name: str) -> None:
    value = held()[name]
    with pytest.raises(UntrustedValue, match="inside of itself"):
        loads(pickle.dumps([value]), SAFE)
    # Also at full trust, where Python itself cannot load it.
    pickled = pickle.dumps([value])
    gone = pickled[:-1] + b"cgone\nX\n)Ra" + b"."
    with pytest.raises(UndecodableArtifact, match="inside of itself"):
        loads(gone, FULL)


def test_a_column_in_a_list_that_it_holds_is_complete() -> None:
    content = np.empty(1, dtype=object)
    column = pd.Series(content, copy=False)
    column.array[0] = [column]
    got: Any = loads(pickle.dumps([column]), SAFE)[0]  # type: ignore[index]
    assert got[0][0] is got


def test_text_of_any_length_keeps_its_type() -> None:
    if not hasattr(getattr(np, "dtypes", None), "StringDType"):
        pytest.skip("numpy before 2.0 has no such text")
    for options in ({}, {"coerce": False}, {"na_object": None}, {"na_object": np.nan}):
        dtype = np.dtypes.StringDType(**options)
        got: Any = loads(pickle.dumps(np.array(["a", "b"], dtype=dtype)), SAFE)
        assert (got.dtype, list(got)) == (dtype, ["a", "b"])
    missing = np.array(["a", np.nan], dtype=np.dtypes.StringDType(na_object=np.nan))
    got = loads(pickle.dumps(missing), SAFE)
    assert got[0] == "a"
    assert got[1] != got[1]

"""Faulty plugins are found again at the clause that the measure recorded, and right ones pass."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from .faulty.measure import CASES, RIGHT, Case, broken

#: Coroutines of faulty async methods are never awaited.
pytestmark = pytest.mark.filterwarnings("ignore")
#: The clause that finds each, as the measure reports it.
FOUND: dict[str, str] = json.loads(
    (Path(__file__).parent / "faulty" / "found.json").read_text(encoding="utf-8")
)
#: Slow clauses, and random ones.
SLOW = ("random-histories", "threads", "retag-processes", "names-many")
#: Right plugins in memory, on which all clauses run fast.
LIGHT = [
    name for name, case in RIGHT.items() if case[0].__name__ not in ("Quick", "FilesystemTests")
]


def first(case: Case, clause: str) -> str:
    found = next(broken(case, only=clause), None)
    return "" if found is None else found.clause


def test_every_faulty_plugin_is_in_the_measure() -> None:
    assert set(FOUND) == set(CASES)
    assert len(CASES) > 300
    assert len(RIGHT) > 30


@pytest.mark.parametrize("name", [name for name in FOUND if FOUND[name] not in SLOW])
def test_faulty_plugin_is_found_at_its_clause(name: str) -> None:
    assert first(CASES[name], FOUND[name]) == FOUND[name]


@pytest.mark.parametrize("name", LIGHT)
def test_right_plugin_passes(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [str(failure) for failure in broken(RIGHT[name], everything=True)] == []

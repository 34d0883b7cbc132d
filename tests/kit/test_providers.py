from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from mfc_testing import ProviderTests

from .providers import BROKEN
from .right import Place, Right
from .running import broken_clauses


class Quick(ProviderTests):
    shared_by_processes = False
    patience = 0.03


def broken(kind: type[Right], only: Collection[str] = ()) -> dict[str, Any]:
    def fixture() -> Any:
        shared: dict[Any, Any] = {}
        return lambda: Place(kind, shared)

    # Random histories find most of these faults, but cannot name them.
    return broken_clauses(Quick, {"new_backend": fixture}, frozenset({"random-histories"}), only)


def test_the_right_provider_passes() -> None:
    assert broken(Right) == {}


@pytest.mark.parametrize(("kind", "clauses"), BROKEN, ids=[kind.__name__ for kind, _ in BROKEN])
def test_faulty_providers_fail_at_their_clauses(kind: type[Right], clauses: set[str]) -> None:
    found = broken(kind, clauses)
    shown = "\n".join(str(failure) for failure in found.values())
    assert set(clauses) <= set(found), f"{kind.__name__}\n{shown}"
    for failure in found.values():
        assert failure.says
        assert failure.given

"""Run a class of the kit on one implementation, without pytest, and return the failing clauses."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from mfc_testing._contract import ClauseBroken, ContractTests, clauses

Fixtures = Mapping[str, Callable[[], Any]]


def broken_clauses(
    tests: type[ContractTests],
    fixtures: Fixtures,
    leave_out: frozenset[str] = frozenset(),
    only: Collection[str] = (),
) -> dict[str, ClauseBroken]:
    """Return the failing clauses, each with its failure; clauses that are left out count as holding.

    Args:
        tests: the class of the kit.
        fixtures: functions that make its fixtures.
        leave_out: clauses that are not run.
        only: the only clauses to run, if there are any.
    """
    found = {}
    for name, test in clauses(tests).items():
        if name in leave_out or (only and name not in only):
            continue
        wanted = [n for n in inspect.signature(test).parameters if n != "self"]
        given = {n: fixtures[n]() for n in wanted}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                test(tests(), **given)
            except pytest.skip.Exception:
                continue
            except ClauseBroken as broken:
                found[name] = broken
    return found

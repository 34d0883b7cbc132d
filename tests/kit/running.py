"""Run a class of the kit on one implementation, without pytest around: which clauses fail?"""

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
    """Return the clauses that do not hold, each with its failure; those not asked for hold.

    Args:
        tests: the class of the kit.
        fixtures: what makes its fixtures.
        leave_out: clauses that are not asked.
        only: clauses that alone are asked, if there are any.
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

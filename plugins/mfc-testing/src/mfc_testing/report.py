"""The pytest plugin that ends a run with the contract, clause by clause.

The classes of the kit register it themselves. Where tests run in several processes
(pytest-xdist), the one that prints sees no tests; there, a `conftest.py` at the top says
`pytest_plugins = ["mfc_testing.report"]`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

#: The property of a test with its clause and its class of the kit.
CLAUSE = "mfc-clause"
_NAME = "mfc_testing.report"
_PASSED, _FAILED, _DECLARED, _SKIPPED = "passed", "FAILED", "declared", "not asked"
_BY_GRAVITY = (_PASSED, _SKIPPED, _DECLARED, _FAILED)


class _Report:
    """Outcomes of the clauses, by kit class, clause and test class."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, dict[str, str]]] = {}
        self.reasons: dict[tuple[str, str], str] = {}

    def note(self, made: pytest.TestReport) -> None:
        """Keep the outcome of one phase of one test."""
        for name, value in made.user_properties:
            if name != CLAUSE or not isinstance(value, (list, tuple)):
                continue
            kit, clause = map(str, value)
            tests = _class_in(made.nodeid)
            row = self.outcomes.setdefault(kit, {}).setdefault(clause, {})
            outcome = _outcome(made)
            # A clause may be several tests, and a test has three phases: the worst counts.
            row[tests] = max(row.get(tests, _PASSED), outcome, key=_BY_GRAVITY.index)
            if outcome in (_DECLARED, _SKIPPED):
                self.reasons[tests, clause] = _reason(made)

    def lines(self, *, short: bool) -> Iterator[str]:
        """Yield the tables, one for each class of the kit, or only the totals."""
        for kit, rows in sorted(self.outcomes.items()):
            columns = sorted({tests for row in rows.values() for tests in row})
            if not short:
                yield ""
                yield from _table(kit, rows, columns)
            for tests in columns:
                yield _sum(kit, tests, [row[tests] for row in rows.values() if tests in row])
        if not short and self.reasons:
            yield ""
            for (tests, clause), reason in sorted(self.reasons.items()):
                yield f"{tests}, {clause}: {reason}"


def _class_in(nodeid: str) -> str:
    file, *names = nodeid.split("::")
    return names[-2] if len(names) > 1 else file


def _outcome(made: pytest.TestReport) -> str:
    if hasattr(made, "wasxfail"):
        return _DECLARED if made.skipped else _FAILED
    if made.failed:
        return _FAILED
    return _SKIPPED if made.skipped else _PASSED


def _reason(made: pytest.TestReport) -> str:
    if hasattr(made, "wasxfail"):
        return f"declared, {made.wasxfail}"
    text = made.longrepr[2] if isinstance(made.longrepr, tuple) else made.longreprtext
    return f"not asked, {str(text).removeprefix('Skipped: ')}"


def _table(kit: str, rows: dict[str, dict[str, str]], columns: list[str]) -> Iterator[str]:
    first = max(map(len, [kit, *rows]))
    yield "  ".join([kit.ljust(first), *columns])
    for clause, row in rows.items():
        cells = [row.get(tests, "").ljust(len(tests)) for tests in columns]
        yield "  ".join([clause.ljust(first), *cells]).rstrip()


def _sum(kit: str, tests: str, outcomes: list[str]) -> str:
    counts = (
        f"{outcomes.count(outcome)} {outcome}"
        for outcome in (_PASSED, _DECLARED, _FAILED, _SKIPPED)
        if outcomes.count(outcome) or outcome in (_PASSED, _FAILED)
    )
    return f"{kit}, {tests}: {', '.join(counts)}"


def register(config: pytest.Config) -> None:
    """Schedule the tables for the end of this run."""
    if not config.pluginmanager.has_plugin(_NAME):
        config.pluginmanager.register(sys.modules[_NAME], _NAME)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the tables."""
    report = _Report()
    for reports in terminalreporter.stats.values():
        for made in reports:
            if isinstance(made, pytest.TestReport):
                report.note(made)
    if report.outcomes:
        terminalreporter.section("contract of mfc")
        for line in report.lines(short=config.get_verbosity() < 0):
            terminalreporter.write_line(line)

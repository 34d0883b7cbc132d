"""The kit itself: overriding, known gaps, the table, random histories, light import."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mfc_testing import MemoryProvider, ProviderTests, _faults
from mfc_testing._contract import ClauseBroken, clauses

from . import listings, right, sharing, tasks
from .right import Place

HEAD = """
import pytest
from mfc.hookspecs import Capabilities
from mfc_testing import MemoryBackend, MemoryProvider, ProviderTests

class Kit(ProviderTests):
    metered = False
    shared_by_processes = False
    examples = 20
    @pytest.fixture
    def new_backend(self):
        return lambda: MemoryBackend()
"""
OLDEST_FIRST = """
class Backwards(MemoryProvider):
    def children(self, path, query):
        return reversed(list(super().children(path, query)))

class TestBackwards(Kit):
    @pytest.fixture
    def new_backend(self):
        return lambda: MemoryBackend(Backwards())
"""


def run(directory: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_plugin.py").write_text(HEAD + textwrap.dedent(code))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("value", ["lambda self: None", "None"])
def test_a_contract_test_may_not_be_overridden(tmp_path: Path, value: str) -> None:
    shown = run(tmp_path, f"class TestMine(Kit):\n    test_tags = {value}\n")
    assert shown.returncode == 2
    assert "TestMine overrides test_tags, clause query-tags of the contract" in shown.stdout
    assert "known_gaps = {'query-tags': 'why'}" in shown.stdout


def test_a_gap_must_be_a_clause_and_have_a_reason() -> None:
    with pytest.raises(
        TypeError, match="names 'query-tag', which is not a clause; these are: addr"
    ):
        type("Mine", (ProviderTests,), {"known_gaps": {"query-tag": "why"}})
    with pytest.raises(TypeError, match="gives no reason"):
        type("Mine", (ProviderTests,), {"known_gaps": {"query-tags": " "}})


def test_the_table_has_the_outcome_of_each_clause(tmp_path: Path) -> None:
    gap = "    known_gaps = {'listing-order': 'the backend cannot sort'}\n"
    code = f"class TestRight(Kit):\n    pass\n{OLDEST_FIRST}{gap}"
    shown = run(tmp_path, code)
    assert shown.returncode == 1, shown.stdout  # random histories find the order as well
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["ProviderTests", "TestBackwards", "TestRight"] in lines
    assert ["listing-order", "declared", "passed"] in lines
    assert ["random-histories", "FAILED", "passed"] in lines
    assert "TestBackwards, listing-order: declared, the backend cannot sort" in shown.stdout


def test_a_gap_that_holds_fails(tmp_path: Path) -> None:
    code = "class TestRight(Kit):\n    known_gaps = {'query-tags': 'no tags'}\n"
    shown = run(tmp_path, code, "-k", "test_tags", "-q")
    assert shown.returncode == 1
    assert "ProviderTests, TestRight: 1 passed, 0 declared, 1 FAILED" in shown.stdout or (
        "1 FAILED" in shown.stdout
    )


def test_a_failure_names_the_clause_the_call_and_the_expected_answer(tmp_path: Path) -> None:
    shown = run(tmp_path, OLDEST_FIRST, "-k", "newest_first")
    assert "clause listing-order: With order, children of every level come newest" in shown.stdout
    for part in ("given:    times of children('')", "expected: [17000", "got:      [17000"):
        assert part in shown.stdout


def test_clauses_have_ids_and_texts() -> None:
    found = clauses(ProviderTests)
    assert len(found) > 60
    for name, test in found.items():
        assert name == name.lower()
        assert (test.__doc__ or "").strip(), name


@pytest.mark.parametrize(
    "kind",
    [
        listings.OldestFirst,
        listings.TagsOr,
        listings.UntilInclusive,
        listings.MetadataUnanchored,
        listings.LimitBeforeFilters,
        tasks.UnfinishedCounts,
        tasks.OneAttemptForAll,
        sharing.RetagDropsSystemTags,
        listings.TagsOfTheRunOnly,
    ],
)
def test_random_histories_find_faults(kind: type[right.Right]) -> None:
    class Many(ProviderTests):
        examples = 150

    with pytest.raises(ClauseBroken, match="random-histories"):
        clauses(Many)["random-histories"](Many(), lambda: Place(kind, {}))


def test_importing_the_memory_provider_loads_no_pytest() -> None:
    code = (
        "import sys, mfc_testing; mfc_testing.MemoryProvider(); "
        "print(sorted({'pytest', 'hypothesis', '_pytest'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
    assert MemoryProvider().get


def test_failures_leave_the_pipe_alone_that_wakes_an_event_loop() -> None:
    here, there = socket.socketpair()
    with here, there, _faults.failing(1) as met:
        here.send(b"\0")
        assert there.recv(1) == b"\0"
    assert met.error is None
    server, far = socket.create_server(("127.0.0.1", 0)), socket.socket()
    with server, far, pytest.raises(OSError, match=r"host"), _faults.failing(1) as met:
        far.connect(server.getsockname())
    assert met.error is not None

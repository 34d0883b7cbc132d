"""The examples in the documents and docstrings are tests, run on the recorded sample."""

from __future__ import annotations

import os
import tarfile
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import ExitStack
from doctest import ELLIPSIS
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser
from sybil.sybil import SybilCollection
from tests.servers import reaper

from mfc import Client

# A machine may be busy: no example fails for the time that it takes.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")
#: Prints the contract, clause by clause, also where tests run in several processes.
pytest_plugins = ["mfc_testing.report", "tests.servers.fixtures"]
ROOT = Path(__file__).parent
SAMPLE = ROOT / "plugins/mfc-testing/src/mfc_testing/sample/sample.tgz"
#: Folders and files of tests that start servers, run Metaflow or build environments.
SLOW = (
    "contrib/mfc-server/tests/",
    "plugins/mfc-azure/tests/",
    "plugins/mfc-gcs/tests/",
    "plugins/mfc-s3/tests/",
    "plugins/mfc-service/tests/",
    "tests/benchmarks/",
    "tests/differential/",
    "tests/kit/",
    "tests/live/",
    "tests/stores/",
    "tests/test_wheels.py",
    "tests/test_writing_a_plugin.py",
)
#: Parts of the names of long tests that show the same with another server: `-m nightly`.
NIGHTLY = (
    ("contrib/mfc-server/tests/test_bounds.py::TestBodies", "postgresql"),
    ("plugins/mfc-s3/tests/test_contract.py::TestMinistack", ""),
    ("tests/differential/stores/", "[gs]"),
    ("tests/differential/stores/", "[azure]"),
)
#: What CI has: where it is missing there, what is skipped for want of it fails.
REQUIRED = ("MFC_METAFLOW_PYTHON", "PostgreSQL", "azurite")
#: What decides about users and settings; nothing of the developer's own may reach an example.
FOREIGN = ("METAFLOW_", "SUDO_USER", "USER")


def unpack(target: str | Path) -> None:
    """Put the sample's `.metaflow` into a directory."""
    with tarfile.open(SAMPLE) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(target, filter="data")
        else:
            tar.extractall(target)  # noqa: S202 - old Pythons have no filter, the sample is ours


def set_zone() -> None:
    """Let the variable TZ decide what local time is; Windows has no such thing."""
    if hasattr(time, "tzset"):
        time.tzset()


def begin(namespace: dict[str, Any]) -> None:
    """Start a document as ada would: in a directory with results, with a client of her own."""
    namespace["ROOT"] = ROOT  # for invisible blocks that put further results there
    stack = namespace["_stack"] = ExitStack()
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    unpack(directory)
    stack.callback(os.chdir, os.getcwd())
    os.chdir(directory)
    stack.callback(set_zone)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    hers = {"USERNAME": "ada", "HOME": directory, "TZ": "UTC"}
    stack.enter_context(patch.dict(os.environ, {**clean, **hers}, clear=True))
    set_zone()
    stack.enter_context(Client())


def end(namespace: dict[str, Any]) -> None:
    """Undo `begin`."""
    namespace["_stack"].close()


documents = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS), SkipParser()],
    patterns=["*.md"],
    setup=begin,
    teardown=end,
)
docstrings = [
    Sybil(
        parsers=[DocTestParser(ELLIPSIS)],
        patterns=["*.py"],
        path=path,
        document_types={".py": PythonDocStringDocument},
    )
    for path in (
        "core/src",
        *map(str, ROOT.glob("plugins/*/src")),
        *map(str, ROOT.glob("contrib/*/src")),
    )
]

pytest_collect_file = SybilCollection([documents, *docstrings]).pytest()


def pytest_configure(config: pytest.Config) -> None:
    """Let the servers of this process end when it does, whatever ends it."""
    if not config.option.collectonly:
        reaper.start()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the slow tier, and the nightly ones."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
        if any(item.nodeid.startswith(file) and part in item.nodeid for file, part in NIGHTLY):
            item.add_marker("nightly")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test a cache of its own: none may answer for the store of another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / uuid.uuid4().hex))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the examples of one document or module together when tests run in several processes."""
    from xdist.scheduler import LoadGroupScheduling

    class ByDocument(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            document = file.endswith(".md") or "/src/" in file
            return file if document else str(super()._split_scope(nodeid))

    return ByDocument(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what is skipped for want of something that has to be there."""
    report = yield
    reason = str(report.longrepr)
    if report.skipped and "CI" in os.environ and any(name in reason for name in REQUIRED):
        report.outcome = "failed"
    return report

"""Warnings point at the caller's line, however deep in mfc or its plugins they arise."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path

import pytest

from mfc import Client, MfcWarning
from mfc.errors import warn
from mfc_testing import sample


@pytest.fixture
def damaged(tmp_path: Path) -> Client:
    """The sample; the record of the newest run of Train is cut off."""
    sample.unpack(str(tmp_path))
    newest = max(run for run in (tmp_path / ".metaflow/Train").iterdir() if run.name.isdigit())
    (newest / "_meta/_self.json").write_text("{")
    return Client(str(tmp_path), namespace=None)


def test_warning_of_a_listing_points_at_the_loop(damaged: Client) -> None:
    with pytest.warns(MfcWarning, match="Left out") as caught:
        assert list(damaged.flow("Train"))
    line = inspect.currentframe().f_lineno - 1
    assert {(warning.filename, warning.lineno) for warning in caught} == {(__file__, line)}


def test_warning_of_a_query_points_at_the_query(damaged: Client) -> None:
    with pytest.warns(MfcWarning) as caught:
        assert damaged.flow("Train").latest_successful_run
    line = inspect.currentframe().f_lineno - 1
    assert {(warning.filename, warning.lineno) for warning in caught} == {(__file__, line)}


def test_thread_without_a_callers_line_also_warns() -> None:
    def in_a_thread() -> None:
        thread = threading.Thread(target=warn, args=("left out",))
        thread.start()
        thread.join()

    with pytest.warns(MfcWarning, match="left out"):
        in_a_thread()


def test_warning_of_a_plugin_points_at_the_caller() -> None:
    plugin = {"__name__": "survey.records", "warn": warn}
    exec("def children():\n    warn('left out')\n", plugin)
    with pytest.warns(MfcWarning, match="left out") as caught:
        plugin["children"]()
    line = inspect.currentframe().f_lineno - 1
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, line)]

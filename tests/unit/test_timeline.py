"""Timelines: a row for each attempt, by few calls."""

from __future__ import annotations

import pathlib
from datetime import timedelta
from typing import Any

import pytest

from mfc import Client, Run
from mfc_testing import MemoryProvider

from .faraway import Asked
from .test_settled import REMOTE
from .written_runs import BOOM, DAYS_AGO, FAN, UNENDED, WELL, WrittenRun

LASTED = timedelta(seconds=2, milliseconds=1)


@pytest.fixture(params=[MemoryProvider, Asked])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def run_of(written: WrittenRun, kind: type[MemoryProvider]) -> tuple[Client, Run]:
    told, options = written.history, {} if kind is MemoryProvider else {"capabilities": REMOTE}
    provider = kind(told.records, told.artifacts, told.metadata, **options)
    client = Client(provider, namespace=None)
    return client, client.run("F/1")


@pytest.mark.parametrize("silent", [False, True])
def test_each_attempt_has_a_row(tmp_path: pathlib.Path, kind: Any, silent: bool) -> None:
    run = WrittenRun(tmp_path, FAN, **({"created": DAYS_AGO} if silent else {}))
    run.task("start", WELL)
    run.task("work", BOOM, UNENDED, WELL, index=0)
    run.task("work", -9, index=1)
    run.task("work", UNENDED, index=2)
    run.task("work")
    running = "unknown" if silent else "running"
    rows = list(run_of(run, kind)[1].timeline())
    assert [(row.step, row.attempt, row.index, row.status, row.duration) for row in rows] == [
        ("start", 0, None, "completed", LASTED),
        ("work", 0, 0, "failed", LASTED),
        ("work", 1, 0, "failed", None),
        ("work", 2, 0, "completed", LASTED),
        ("work", 0, 1, "failed", None),
        ("work", 0, 2, running, None),
        ("work", None, None, running, None),
    ]
    first, last = rows[0], rows[-1]
    assert first.started is not None
    assert first.started - first.created == timedelta(seconds=1)
    assert first.finished == first.started + LASTED
    assert (last.started, last.finished) == (None, None)


def test_attempts_without_a_noted_outcome_are_told_by_artifacts(
    tmp_path: pathlib.Path, kind: Any
) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", WELL)
    run.task("work", BOOM, WELL, index=0)
    run.task("work", WELL, BOOM, index=1)
    run.metadata = [record for record in run.metadata if record.name != "attempt_ok"]
    words = [row.status for row in run_of(run, kind)[1].timeline()]
    assert words == ["completed", "failed", "completed", "failed", "failed"]


def test_positions_that_metadata_lacks_are_told_by_artifacts(
    tmp_path: pathlib.Path, kind: Any
) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", WELL)
    for index in (2, 0, 1):
        run.task("work", WELL, index=index)
    run.metadata = [record for record in run.metadata if record.name != "foreach-execution-path"]
    assert [row.index for row in run_of(run, kind)[1].timeline()] == [None, 2, 0, 1]


def test_a_timeline_takes_a_call_for_each_step(tmp_path: pathlib.Path, kind: Any) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", WELL)
    for index in range(50):
        run.task("work", WELL, index=index)
    client, of = run_of(run, kind)
    before = client.stats
    timeline = of.timeline()
    spent = client.stats - before
    assert len(timeline) == 51
    # Steps, the tasks of two steps, metadata, and the graph, which is one value.
    assert (spent.calls, spent.reads) == (5, 1)


def test_a_repr_counts(tmp_path: pathlib.Path) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", WELL)
    run.task("work", BOOM, WELL, index=0)
    shown = repr(run_of(run, MemoryProvider)[1].timeline())
    assert shown == "<Timeline of F/1, attempts: 3, tasks: 2, completed: 2, failed: 1>"


def test_a_run_without_tasks_has_an_empty_timeline(tmp_path: pathlib.Path, kind: Any) -> None:
    timeline = run_of(WrittenRun(tmp_path), kind)[1].timeline()
    assert (len(timeline), timeline.rows) == (0, ())

"""Failures of a run of the service: the same as elsewhere, with few requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.servers.front import Front, front
from tests.servers.metadata import Hub
from tests.unit.written_runs import BOOM, FAN, LONG_AGO, UNENDED, WELL, WrittenRun, node

from mfc import Client, Run
from mfc_server._schema import metadata, tasks
from mfc_testing import MemoryProvider

from .backend import Service

WIDTH, FAILED = 2000, 3


@pytest.fixture
def service(services: Hub) -> Service:
    made = Service(*services.new())
    made.recordable = lambda history: history
    return made


def widened(service: Service, number: int) -> None:
    """Add tasks of step `work` of run 1 that went well."""
    ids = {"flow_id": "F", "run_number": 1, "step_name": "work", "user_name": "ada"}
    ids |= {"tags": [], "system_tags": []}
    rows = {tasks: [], metadata: []}
    for n in range(10_000, 10_000 + number):  # names of the other tasks are smaller
        task = {**ids, "task_id": n, "ts_epoch": LONG_AGO + n}
        rows[tasks].append(task)
        for field, value in (("attempt", "0"), ("attempt_ok", "True"), ("attempt-done", "0")):
            serial = 10**9 + len(rows[metadata])
            noted = {"id": serial, "field_name": field, "value": value, "type": field}
            rows[metadata].append({**task, **noted, "tags": ["attempt_id:0"]})
    with service._database.writing() as connection:
        for table, each in rows.items():
            connection.execute(insert(table), each)


def run_of(url: str) -> tuple[Client, Run]:
    client = Client(f"service@{url}", namespace=None)
    return client, client.run("F/1")


def failing(folder: Path, retry: int = 0) -> WrittenRun:
    """Return a run whose step `work` has failed at three indices."""
    written = WrittenRun(folder, {**FAN, "work": node("linear", "join", retry=retry)})
    written.task("start", WELL)
    for index in range(FAILED):
        written.task("work", *[BOOM] * (retry + 1), index=index)
    return written


@pytest.mark.parametrize("retry", [0, 2])
def test_three_failures_of_a_wide_step_take_four_requests(
    service: Service, tmp_path: Path, retry: int
) -> None:
    written = failing(tmp_path, retry)
    service.put(written.history)
    widened(service, WIDTH - FAILED)
    with front(service.url) as watched:
        client, run = run_of(watched.url)
        asked, before = len(watched.asked), client.stats
        found = run.failures()
        assert len(watched.asked) - asked == 4
        assert (client.stats - before).calls == 4
        # The graph; the note of each failure, its exception, which is the same, and its position.
        assert (client.stats - before).reads <= 4 + 1 + 3 * FAILED
    assert [(f.kind, f.attempt, f.index, f.collateral) for f in found] == [
        *(("exception", retry, index, False) for index in range(FAILED)),
        ("never started", None, None, True),
    ]
    assert {f.message for f in found[:FAILED]} == {BOOM.text}


def test_a_completed_run_takes_four_requests(service: Service, tmp_path: Path) -> None:
    written = WrittenRun(tmp_path, FAN)
    written.task("start", WELL)
    written.task("work", WELL, index=0)
    written.task("join", WELL)
    written.task("end", WELL)
    service.put(written.history)
    widened(service, WIDTH)
    with front(service.url) as watched:
        _, run = run_of(watched.url)
        asked = len(watched.asked)
        assert run.failures() == []
        assert len(watched.asked) - asked == 4


def cut_off(written: WrittenRun) -> None:
    written.task("work", UNENDED, index=3)
    written.task("work", -9, index=4)


def values_gone(written: WrittenRun) -> None:
    for file in written.root.glob("F/1/work/*/*.data.json"):
        file.unlink()


@pytest.mark.parametrize("change", [cut_off, values_gone])
def test_failures_are_those_of_the_same_records_in_memory(
    service: Service, tmp_path: Path, change: Callable[[WrittenRun], None]
) -> None:
    written = failing(tmp_path)
    change(written)
    told = written.history
    service.put(told)
    near = Client(MemoryProvider(told.records, told.artifacts, told.metadata), namespace=None)
    expected = near.run("F/1").failures()
    _, run = run_of(service.url)
    assert [*map(repr, run.failures())] == [*map(repr, expected)]
    assert run.failures() == expected
    assert len(expected) > FAILED


@pytest.fixture
def watched(service: Service) -> Front:
    with front(service.url) as server:
        yield server


def test_many_failures_take_no_more_requests(
    service: Service, tmp_path: Path, watched: Front
) -> None:
    written = failing(tmp_path)
    for index in range(FAILED, 60):
        written.task("work", BOOM, index=index)
    service.put(written.history)
    _, run = run_of(watched.url)
    asked = len(watched.asked)
    assert len(run.failures()) == 61
    assert len(watched.asked) - asked == 4
    assert len(run.failures(limit=2)) == 2

"""The hour that daylight saving repeats, in which local times alone do not tell what came first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from mfc import Client, Trigger
from mfc.testing import MemoryProvider

from .conftest import FALSE, artifact, metadata, record

#: Half past two in summer time; forty minutes later it is ten past two in winter time.
SUMMER = datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc)
WINTER = SUMMER + timedelta(minutes=40)

pytestmark = pytest.mark.skipif(
    not hasattr(time, "tzset"), reason="the zone of a process cannot be chosen on Windows"
)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest.fixture
def client() -> Client:
    summer, winter = milliseconds(SUMMER), milliseconds(WINTER)
    records = [record("F", summer)]
    artifacts, marks = [], []
    for run, created in (("1", summer), ("2", winter)):
        records += [record(f"F/{run}", created), record(f"F/{run}/end", created)]
        records += [record(f"F/{run}/_parameters", created)]
        for task, done in (("1", summer), ("2", winter)):
            path = f"F/{run}/end/{task}"
            records.append(record(path, created))
            artifacts.append(artifact(f"{path}/_task_ok", done, FALSE))
            marks.append(metadata(path, "attempt-done", "0", done))
    return Client(MemoryProvider(records, artifacts, marks), namespace=None)


def test_times_know_which_of_the_two_hours_they_are_in(client: Client) -> None:
    runs = list(client.flow("F"))
    assert [run.id for run in runs] == ["2", "1"]
    assert [run.created_at.isoformat() for run in runs] == [
        "2026-10-25T02:10:00",
        "2026-10-25T02:30:00",
    ]
    assert [run.created_at.timestamp() for run in runs] == [WINTER.timestamp(), SUMMER.timestamp()]


def test_a_step_ends_with_the_last_of_its_tasks(client: Client) -> None:
    finished = client.step("F/1/end").finished_at
    assert finished is not None
    assert finished.timestamp() == WINTER.timestamp()


def test_what_an_object_says_of_its_time_selects_it(client: Client) -> None:
    flow = client.flow("F")
    newest, oldest = flow
    assert list(flow.runs(since=newest.created_at)) == [newest]
    assert list(flow.runs(until=newest.created_at)) == [oldest]
    assert list(flow.runs(since="2026-10-25T01:00+00:00")) == [newest]
    assert list(flow.runs(since="2026-10-25T02:30", until="2026-10-25T03:00")) == [newest, oldest]


def test_triggers_are_ordered_in_that_hour_as_well(client: Client) -> None:
    newest, oldest = client.flow("F")
    assert Trigger.from_runs([oldest, newest]).runs is not None
    stamps = [event.timestamp for event in Trigger.from_runs([oldest, newest])]
    assert [stamp.timestamp() for stamp in stamps] == sorted(
        (stamp.timestamp() for stamp in stamps), reverse=True
    )

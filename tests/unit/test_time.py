"""The hour that daylight saving repeats, in which local times alone leave the order open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from mfc import Client, Trigger
from mfc._arguments import moment as moment_of
from mfc._logs._selection import Selection
from mfc.errors import BadArgument
from mfc.query import Query
from mfc_testing import MemoryProvider

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


def test_times_are_in_the_right_one_of_the_two_hours(client: Client) -> None:
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


def test_an_objects_own_time_selects_it(client: Client) -> None:
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


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 10, 24, 12),
        datetime(2026, 10, 24, 10, tzinfo=timezone.utc),
        "2026-10-24T12:00",
        "2026-10-24 12:00:00",
        "2026-10-24T10:00Z",
        np.datetime64("2026-10-24T12:00"),
        np.datetime64("2026-10-24T12:00", "ns"),
        pd.Timestamp("2026-10-24T12:00"),
        pd.Timestamp("2026-10-24T12:00", tz="Europe/Berlin"),
    ],
    ids=repr,
)
def test_runs_and_lines_mean_the_same_time(moment: object) -> None:
    noon = datetime(2026, 10, 24, 10, tzinfo=timezone.utc)
    assert Query(since=moment).since == Query(until=moment).until == milliseconds(noon)
    assert Selection(since=moment).since == b"2026-10-24T10:00:00.000000"


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("24h", timedelta(days=1)),
        ("90s", timedelta(seconds=90)),
        ("15min", timedelta(minutes=15)),
        ("15m", timedelta(minutes=15)),
        ("1.5 d", timedelta(hours=36)),
        ("2w", timedelta(weeks=2)),
        ("1h30m", timedelta(minutes=90)),
        (timedelta(hours=2), timedelta(hours=2)),
        (pd.Timedelta(hours=2), timedelta(hours=2)),
        (np.timedelta64(2, "h"), timedelta(hours=2)),
    ],
)
def test_durations_count_back_from_now(text: object, ago: timedelta) -> None:
    before = datetime.now(timezone.utc)
    found = moment_of("since", text)
    assert before - ago <= found <= datetime.now(timezone.utc) - ago


@pytest.mark.parametrize(
    "wrong",
    [0, 1_700_000_000, 1.5, True, "yesterday", "2026", "20261024", "24", "h", "24 hours ago", "1y", "-3h",
     "2026-13-01", "2026-10-24T25:00", "", " ", "now", b"24h", np.datetime64("NaT"), pd.NaT, "1e3h",
     np.datetime64(2**62, "s"), np.timedelta64(2**62, "D"), np.timedelta64(5, "M"), np.timedelta64(5)],
)  # fmt: skip
def test_invalid_times_are_refused(wrong: object) -> None:
    with pytest.raises(BadArgument, match="since is .*; expected a datetime or date"):
        Client(MemoryProvider([record("F", 0)]), namespace=None).flow("F").runs(since=wrong)


def test_run_is_selected_by_its_own_time(client: Client) -> None:
    for run in client.flow("F"):
        assert run in list(client.flow("F").runs(since=run.created_at))
        assert run not in list(client.flow("F").runs(until=run.created_at))

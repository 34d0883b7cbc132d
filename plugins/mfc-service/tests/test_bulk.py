"""Metadata and artifacts of a wide step: paged, while other requests are answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests
from sqlalchemy import insert
from tests.servers.front import Front, front
from tests.servers.metadata import Hub

from mfc.model import Record
from mfc_server._schema import artifacts, metadata, tasks
from mfc_testing import History

from .backend import Service
from .reading import names, path, provider

WIDTH, ARTIFACTS = 700, ("name", "x", "model", "_task_ok")
STEP = path("Wide/1/work")


@pytest.fixture(scope="module")
def url(services: Hub) -> str:
    """A service with a wide step; the first attempt of every tenth task has one artifact more."""
    made, database = Service(*(new := services.new())), new[1]
    made.put(
        History(
            [
                Record(path("Wide"), 1),
                Record(path("Wide/1"), 2),
                Record(STEP, 3),
                Record(path("Wide/1/other"), 4),
            ]
        )
    )
    ids = {"flow_id": "Wide", "run_number": 1, "step_name": "work", "user_name": "ada"}
    shared = {**ids, "tags": [], "system_tags": []}
    rows = {tasks: [], metadata: [], artifacts: []}
    for number in range(1, WIDTH + 1):
        task = {**shared, "task_id": number, "ts_epoch": 10 + number}
        rows[tasks].append(task)
        for attempt in range(2 if number % 10 == 0 else 1):
            at = {**task, "ts_epoch": task["ts_epoch"] + 1000 * attempt}
            noted = {"field_name": "attempt-done", "value": str(attempt), "type": "attempt-done"}
            serial = 2 * number + attempt
            rows[metadata].append({**at, **noted, "id": serial, "tags": [f"attempt_id:{attempt}"]})
            where = {"location": ":root:/x", "ds_type": "local", "type": "metaflow.artifact"}
            where |= {"sha": "0" * 40, "content_type": "pickle-v4", "attempt_id": attempt}
            first_only = ["only_at_first"] if number % 10 == 0 and attempt == 0 else []
            rows[artifacts] += [{**at, **where, "name": n} for n in (*ARTIFACTS, *first_only)]
    other = {**shared, "step_name": "other", "task_id": WIDTH + 1, "ts_epoch": 5}
    rows[tasks].append(other)
    noted = {"field_name": "attempt-done", "value": "0", "type": "attempt-done", "id": 1}
    rows[metadata].append({**other, **noted, "tags": ["attempt_id:0"]})
    with database.writing() as connection:
        for table, each in rows.items():
            connection.execute(insert(table), each)
    return made.url


@pytest.fixture
def watched(url: str) -> Iterator[Front]:
    with front(url) as server:
        yield server


@pytest.mark.parametrize("where", ["Wide/1", "Wide/1/work"])
def test_artifacts_come_in_pages_of_the_attempt_that_counts(watched: Front, where: str) -> None:
    found = list(provider(watched.url).artifacts(path(where)))
    assert len(found) == WIDTH * len(ARTIFACTS)
    assert {(r.attempt, int(r.path.components[3]) % 10 == 0) for r in found} == {
        (0, False),
        (1, True),
    }
    rows = WIDTH * len(ARTIFACTS) + WIDTH // 10
    assert [asked.params["_limit"] for asked in watched.asked] == ["500"] * -(-rows // 500)


def test_one_artifact_of_each_task_comes_in_pages(watched: Front) -> None:
    found = names(provider(watched.url).artifacts(STEP, names=["x", "nope"]))
    assert found == ["x"] * WIDTH
    assert not list(provider(watched.url).artifacts(STEP, names=["only_at_first"]))


@pytest.mark.parametrize(("where", "more"), [("Wide/1", 1), ("Wide/1/work", 0)])
def test_metadata_comes_in_pages(watched: Front, where: str, more: int) -> None:
    found = list(provider(watched.url).metadata(path(where), ["attempt-done"]))
    assert len(found) == WIDTH + WIDTH // 10 + more
    assert [asked.params["_limit"] for asked in watched.asked] == ["500", "500"]
    first = next(iter(provider(watched.url).metadata(path(where))))
    assert first.task.up(3) == STEP
    assert len(watched.asked) == 3


def test_other_requests_are_answered_in_between(url: str) -> None:
    done, pongs = threading.Event(), []

    def ping() -> None:
        while not done.wait(0.01):
            pongs.append(requests.get(f"{url}/ping", timeout=20).text)

    asking = threading.Thread(target=ping)
    asking.start()
    try:
        assert len(list(provider(url).artifacts(STEP))) == WIDTH * len(ARTIFACTS)
        during = len(pongs)
    finally:
        done.set()
        asking.join(30)
    assert during > 2
    assert set(pongs) == {"pong"}

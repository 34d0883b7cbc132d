"""Every recorded exchange of the protocol, repeated with mfc-server on the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.servers.recordings import DATASET, HEADERS, VOLATILE, exchanges, normal, reads, same_body

from mfc_server.testing import Running, load_rows, running

#: Recordings older than the tables: tags, heartbeats and statuses changed since.
CHANGED = {"03", "05", "09", "25"}
#: Deliberate differences, other than the two rules below: see docs/server.md.
DIFFERENT = {
    "/auth/token": 404,  # credentials of a sandbox's cloud account do not exist here
    "/flows/FailFlow/runs?_limit=-1": 400,  # the real one: all rows but the last
}
#: Requests that cannot be repeated: a status that depends on the clock, rows that the tables lack.
GONE = {
    "/flows/SleeperFlow/runs?status=running",
    "/flows/SleeperFlow/runs?status=failed",
    "/flows/SleeperFlow/runs?status=running,failed,completed",
    "/flows/Odd%20N%C3%A4me%2Fx",
    "/flows?_limit=8",
    "/flows",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    if request.param == "sqlite":
        db_url = f"sqlite:///{tmp_path_factory.mktemp('server')}/meta.db"
    else:
        db_url = request.getfixturevalue("postgres").new()
    load_rows(db_url, DATASET)
    with running(db_url) as server:
        yield server


@pytest.mark.parametrize("number", sorted({number for number, _ in reads()}))
def test_reads_are_answered_as_recorded(server: Running, number: str) -> None:
    volatile = ("tags", "system_tags", *VOLATILE, "user") if number in CHANGED else ()
    asked = [exchange for file, exchange in reads() if file == number]
    differing = [found for each in asked if (found := _difference(server.url, each, volatile))]
    assert not differing


def _difference(url: str, exchange: dict[str, Any], volatile: tuple[str, ...]) -> object:
    """Return the difference from the recording, or None."""
    target = exchange["target"]
    if target in GONE:
        return None
    answer = requests.request(exchange["method"], url + target, timeout=30)
    got = {"target": target, "status": answer.status_code, "text": answer.text[:500]}
    if target in DIFFERENT:
        return None if answer.status_code == DIFFERENT[target] else got
    if exchange["status"] == 500:
        # An invalid request is 400, an impossible id is not found; SQL and tracebacks never appear.
        empty = answer.status_code == 200 and answer.json() == []
        silent = "ERROR" not in answer.text and "Traceback" not in answer.text
        return None if silent and (empty or answer.status_code in (400, 404)) else got
    headers = {name: answer.headers.get(name) for name in HEADERS}
    body = answer.json() if "text" not in exchange and answer.text else None
    same = (
        answer.status_code == exchange["status"]
        and headers == {name: exchange["headers"].get(name) for name in HEADERS}
        and same_body(exchange, body, answer.text, volatile)
    )
    return None if same else {**got, **headers}


def test_all_pages_of_every_listing_are_the_listing(server: Running) -> None:
    for path in (
        "/flows/FailFlow/runs",
        "/flows/ForeachFlow/runs/3/steps/work/tasks",
        "/flows/RetryFlow/runs/5/steps/flaky/tasks/41/metadata",
        "/flows/LinearFlow/runs/1/metadata",
        "/flows/LinearFlow/runs/1/artifacts",
    ):
        whole = requests.get(server.url + path, timeout=30).json()
        for limit in (1, 2, 500):
            assert normal(list(_pages(server.url + path, limit))) == normal(whole), (path, limit)


def _pages(url: str, limit: int) -> Iterator[Any]:
    cursor: str | None = ""
    while cursor is not None:
        params = {"_limit": str(limit), **({"_cursor": cursor} if cursor else {})}
        answer = requests.get(url, params=params, timeout=30)
        yield from answer.json()
        cursor = answer.headers.get("X-Next-Cursor")


class TestWrites:
    """Recorded sequences of writes, from an empty database."""

    @pytest.fixture
    def server(self, db_url: str) -> Iterator[Running]:
        with running(db_url) as server:
            yield server

    @pytest.mark.parametrize("number", ["26", "29"])
    def test_a_sequence_is_answered_as_recorded(self, server: Running, number: str) -> None:
        serials: dict[str, str] = {}
        for exchange in exchanges(number):
            # Null tags can be changed here, which would show in the later answers.
            if "<" in exchange["target"] or "tags are null" in exchange.get("note", ""):
                continue
            answer = _ask(server.url, exchange, serials)
            where = f"{exchange['method']} {exchange['target']}: {answer.text[:300]}"
            if exchange["status"] == 500:
                assert answer.status_code in (400, 404, 200), where
                continue
            assert answer.status_code == exchange["status"], where
            if exchange["status"] >= 400 or answer.text == "pong":
                continue
            _learn(exchange["body"], answer.json(), serials)
            if "body_truncated" not in exchange and exchange["body"] is not None:
                got, expected = answer.json(), exchange["body"]
                assert _bare(got) == _bare(expected), where

    def test_tags_are_changed_as_recorded(self, server: Running) -> None:
        url = server.url
        requests.post(f"{url}/flows/BranchFlow", json={}, timeout=30)
        tags = ["user:alice", "runtime:dev"]
        made = {"user_name": "alice", "tags": [], "system_tags": tags}
        run = requests.post(f"{url}/flows/BranchFlow/run", json=made, timeout=30).json()
        for exchange in exchanges("09"):
            ours = exchange["target"].replace("/runs/2/", f"/runs/{run['run_number']}/")
            if exchange["method"] != "PATCH" or ours == exchange["target"]:
                continue
            answer = _ask(url, {**exchange, "target": ours}, {})
            if exchange["status"] == 500:
                assert answer.status_code == 400, answer.text
                continue
            assert answer.status_code == exchange["status"], exchange
            if exchange["status"] == 200:
                assert sorted(answer.json()["tags"]) == sorted(exchange["body"]["tags"])
            elif exchange["status"] == 400:
                assert answer.json() == exchange["body"]


def _ask(url: str, exchange: dict[str, Any], serials: dict[str, str]) -> requests.Response:
    path = "/".join(serials.get(part, part) for part in exchange["target"].split("/"))
    raw = exchange.get("request_body_raw")
    document = exchange.get("request_body")
    data = raw if document is None else json.dumps(document)
    return requests.request(exchange["method"], url + path, data=data, timeout=30)


def _learn(recorded: Any, got: Any, serials: dict[str, str]) -> None:
    """Note the serial here for a recorded serial."""
    if isinstance(recorded, dict) and isinstance(got, dict):
        for key in ("run_number", "task_id"):
            if key in recorded:
                serials[str(recorded[key])] = str(got[key])


def _bare(body: Any) -> Any:
    return normal(body, (*VOLATILE, "run_number", "task_id", "id"))


def test_the_recordings_are_all_here() -> None:
    assert len(list(reads())) > 450
    assert Path(DATASET, "runs_v3.jsonl.gz").is_file()

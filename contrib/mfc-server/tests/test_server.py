"""The server as a program: durability, access, shutdown."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from sqlalchemy import update

from mfc_server._database import Database
from mfc_server._schema import TABLES
from mfc_server.testing import Running, running

KEY = "a-key-of-the-tests"


@pytest.fixture
def server(db_url: str) -> Iterator[Running]:
    with running(db_url) as server:
        yield server


def make_task(url: str, flow: str = "Flow") -> str:
    """Make a flow, a run, a step and a task; return the path of the task."""
    requests.post(f"{url}/flows/{flow}", json={}, timeout=30)
    made = {"user_name": "ada", "tags": [], "system_tags": ["user:ada"]}
    run = requests.post(f"{url}/flows/{flow}/run", json=made, timeout=30).json()["run_number"]
    step = f"/flows/{flow}/runs/{run}/steps/start"
    requests.post(f"{url}{step}/step", json=made, timeout=30).raise_for_status()
    task = requests.post(f"{url}{step}/task", json=made, timeout=30).json()["task_id"]
    return f"{step}/tasks/{task}"


def rows(count: int, first: int = 0) -> list[dict[str, object]]:
    return [
        {"field_name": f"field-{n}", "value": "x" * 200, "type": "t", "tags": ["attempt_id:0"]}
        for n in range(first, first + count)
    ]


def test_acknowledged_writes_survive_kill_9_under_load(db_url: str) -> None:
    acknowledged: list[str] = []

    def write(url: str, task: str, writer: int) -> None:
        for number in range(10_000):
            name = f"{writer}-{number}"
            row = {"field_name": name, "value": name, "type": "t"}
            try:
                answer = requests.post(f"{url}{task}/metadata", json=[row, row], timeout=30)
            except requests.RequestException:
                return  # killed, possibly during an answer
            assert answer.json() == {"metadata_created": 2}
            acknowledged.append(name)

    with running(db_url) as server:
        task = make_task(server.url)
        writers = [
            threading.Thread(target=write, args=(server.url, task, writer)) for writer in range(8)
        ]
        for each in writers:
            each.start()
        while len(acknowledged) < 200:
            time.sleep(0.01)
        os.kill(server.process.pid, signal.SIGKILL)
        for each in writers:
            each.join()
    with running(db_url) as server:
        found = [row["value"] for row in requests.get(f"{server.url}{task}/metadata").json()]
        assert set(acknowledged) <= set(found)
        # A request is stored completely or not at all.
        assert {found.count(value) for value in found} == {2}
        assert requests.post(f"{server.url}{task}/metadata", json=rows(1)).status_code == 200


def test_no_tag_is_lost_with_many_writers(server: Running) -> None:
    run = make_task(server.url).partition("/steps")[0]

    def add(number: int) -> int:
        body = {"tags_to_add": [f"tag-{number}"], "tags_to_remove": [f"tag-{number - 100}"]}
        return requests.patch(f"{server.url}{run}/tag/mutate", json=body, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(add, range(80))) == {200}
    tags = requests.get(server.url + run, timeout=30).json()["tags"]
    assert sorted(tags) == sorted(f"tag-{number}" for number in range(80))


def test_ties_have_the_same_order_in_listings_and_pages(db_url: str) -> None:
    with running(db_url) as server:
        task = make_task(server.url)
        run, step = task.partition("/steps")[0], task.partition("/tasks")[0]
        body = {"user_name": "ada", "tags": [], "system_tags": []}
        for number in range(3):
            requests.post(f"{server.url}{step}/task", json={**body, "task_id": f"t{number}"})
            requests.post(f"{server.url}{run}/steps/s{number}/step", json=body)
            row = {"name": f"a{number}", "location": "l", "ds_type": "s3", "attempt_id": 0}
            requests.post(f"{server.url}{task}/artifact", json=[row])
        requests.post(f"{server.url}{task}/metadata", json=rows(3))
    database = Database(db_url)
    with database.writing() as connection:
        for table in TABLES:
            connection.execute(update(table).values(ts_epoch=5))
    database.close()
    with running(db_url) as server:
        paths = [f"{step}/tasks", f"{task}/metadata", f"{run}/metadata", f"{task}/artifacts"]
        for path in paths:
            whole = requests.get(f"{server.url}{path}", timeout=30).json()
            assert len(whole) > 2
            assert whole == requests.get(f"{server.url}{path}?_limit=500", timeout=30).json()
        names = [row["step_name"] for row in requests.get(f"{server.url}{run}/steps").json()]
        assert names == ["start", "s2", "s1", "s0"]
        of_attempt = requests.get(f"{server.url}{task}/attempt/0/artifacts", timeout=30).json()
        assert of_attempt == requests.get(f"{server.url}{task}/artifacts", timeout=30).json()


def test_a_large_listing_is_streamed_without_blocking_others(server: Running) -> None:
    task = make_task(server.url)
    for first in range(0, 20_000, 5_000):
        requests.post(f"{server.url}{task}/metadata", json=rows(5_000, first), timeout=60)
    run = task.partition("/steps")[0]
    slowest, stop = [0.0], threading.Event()

    def ping() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                start = time.monotonic()
                session.get(f"{server.url}/ping", timeout=30)
                slowest[0] = max(slowest[0], time.monotonic() - start)

    pinging = threading.Thread(target=ping)
    pinging.start()
    start = time.monotonic()
    answer = requests.get(f"{server.url}{run}/metadata", timeout=60)
    took = time.monotonic() - start
    stop.set()
    pinging.join()
    assert len(answer.json()) == 20_000
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert slowest[0] < max(took, 0.5)

    # A stalled reader blocks neither readers nor writers.
    with requests.get(f"{server.url}{run}/metadata", stream=True, timeout=30) as stuck:
        assert stuck.raw.read(10)
        assert requests.post(f"{server.url}{task}/metadata", json=rows(1), timeout=30).ok
        assert requests.get(f"{server.url}{run}/steps", timeout=30).ok


def test_requests_without_the_key_are_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    with running(f"sqlite:///{tmp_path}/meta.db", "--api-key-file", str(key)) as server:
        for wrong in ({}, {"x-api-key": "wrong"}, {"x-api-key": KEY + "x"}):
            answer = requests.get(f"{server.url}/flows", headers=wrong, timeout=30)
            assert answer.status_code == 401
            assert KEY not in answer.text
            answer = requests.post(f"{server.url}/flows/F", json={}, headers=wrong, timeout=30)
            assert answer.status_code == 401
        assert requests.get(f"{server.url}/ping", timeout=30).text == "pong"
        answer = requests.get(f"{server.url}/flows", headers={"x-api-key": KEY}, timeout=30)
        assert answer.json() == []


def test_a_prefix_applies_to_every_path(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/meta.db", "--prefix", "/metaflow") as server:
        assert server.url.endswith("/metaflow")
        assert requests.get(f"{server.url}/ping", timeout=30).text == "pong"
        assert make_task(server.url, "A%2FB%20%C3%A4")
        (flow,) = requests.get(f"{server.url}/flows", timeout=30).json()
        assert flow["flow_id"] == "A/B ä"
        outside = server.url.removesuffix("/metaflow")
        assert requests.get(f"{outside}/ping", timeout=30).status_code == 404


def test_it_listens_on_ipv6(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with running(f"sqlite:///{tmp_path}/meta.db", "--host", "::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert requests.get(f"{server.url}/ping", timeout=30).text == "pong"


def test_shutdown_finishes_requests_in_flight(db_url: str) -> None:
    with running(db_url) as server:
        task = make_task(server.url)
        with ThreadPoolExecutor(4) as pool:
            posts = [
                pool.submit(requests.post, f"{server.url}{task}/metadata", json=rows(2_000, n))
                for n in (0, 2_000)
            ]
            time.sleep(0.05)
            server.process.send_signal(signal.SIGTERM)
            done = [each.result().json() for each in posts if each.exception() is None]
        assert server.process.wait(30) == 0
    with running(db_url) as server:
        found = requests.get(f"{server.url}{task}/metadata", timeout=30).json()
        assert len(found) >= sum(each["metadata_created"] for each in done)


def test_shutdown_works_right_after_the_start(tmp_path: Path) -> None:
    for _ in range(3):
        with running(f"sqlite:///{tmp_path}/meta.db") as server:
            pass  # stopped right after it printed its address
        assert server.process.returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--db", "mysql://x/y"], "sqlite:///FILE"),
        (["--db", "nonsense"], "sqlite:///FILE"),
        (["--db", "sqlite:///:memory:"], "names no file"),
        (["--db", "sqlite:////no/such/folder/meta.db"], "unable to open"),
        (["--host", "no.such.host.invalid"], "cannot listen"),
        (["--api-key-file", "/no/such/file"], "/no/such/file"),
        (["import", "/no/such/folder"], "/no/such/folder"),
    ],
)
def test_invalid_settings_are_reported(options: list[str], said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mfc_server", *options]
    kept = {"capture_output": True, "text": True}
    ended = subprocess.run(command, cwd=tmp_path, timeout=60, check=False, **kept)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_foreign_tables_are_refused(db_url: str) -> None:
    from mfc_server._database import Database, DatabaseUnusable

    database = Database(db_url)
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE artifact_v3")
    database.close()
    with pytest.raises(DatabaseUnusable, match="not artifact_v3"):
        Database(db_url)


def test_an_expensive_pattern_times_out(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/meta.db") as server:
        task = make_task(server.url)
        row = {"field_name": "f", "value": "a" * 40 + "!", "type": "t"}
        requests.post(f"{server.url}{task}/metadata", json=[row], timeout=30)
        step = task.partition("/tasks")[0]
        url = f"{server.url}{step}/filtered_tasks?pattern=^(a%2B)%2B%24"
        start = time.monotonic()
        answer = requests.get(url, timeout=30)
        assert time.monotonic() - start < 10
        assert answer.status_code in (200, 400, 500)
        assert requests.get(f"{server.url}/ping", timeout=30).text == "pong"

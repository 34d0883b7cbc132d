"""A database that is away, full, locked or read-only: 503 until it is back, then normal answers."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import requests

from mfc_server.testing import running

#: Starts the server with a limit on file sizes, as on a full disk.
SMALL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
from mfc_server.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def make_run(url: str) -> int:
    requests.post(f"{url}/flows/F", json={}, timeout=30)
    return int(requests.post(f"{url}/flows/F/run", json={}, timeout=30).json()["run_number"])


def is_a_sentence(answer: requests.Response) -> bool:
    return (
        answer.status_code == 503
        and isinstance(answer.json(), str)
        and "retry" in answer.json()
        and "Retry-After" in answer.headers
    )


def test_a_full_disk_loses_nothing_and_is_reported(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        SMALL_DISK,
        "--db",
        f"sqlite:///{tmp_path}/meta.db",
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            url = process.stdout.readline().split()[-1]
            run = make_run(url)
            step = f"{url}/flows/F/runs/{run}/steps/start"
            requests.post(f"{step}/step", json={}, timeout=30).raise_for_status()
            task = f"{step}/tasks/{requests.post(f'{step}/task', json={}, timeout=30).json()['task_id']}"
            acknowledged = 0
            for _ in range(40):
                rows = [{"field_name": "f", "value": "x" * 100_000, "type": "t"}] * 5
                answer = requests.post(f"{task}/metadata", json=rows, timeout=30)
                if answer.status_code != 200:
                    break
                acknowledged += 5
            assert is_a_sentence(answer), answer.text
            assert len(requests.get(f"{task}/metadata", timeout=30).json()) == acknowledged
            assert requests.get(f"{url}/healthcheck", timeout=30).status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_a_locked_file_is_reported_and_reads_go_on(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/meta.db", "--seconds", "1") as server:
        run = make_run(server.url)
        connection = sqlite3.connect(tmp_path / "meta.db", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        answers: list[requests.Response] = []
        posts = [
            threading.Thread(
                target=lambda: answers.append(
                    requests.post(f"{server.url}/flows/G", json={}, timeout=120)
                )
            )
            for _ in range(20)
        ]
        for post in posts:
            post.start()
        for _ in range(20):
            assert requests.get(f"{server.url}/flows/F/runs/{run}", timeout=10).status_code == 200
        for post in posts:
            post.join()
        assert all(map(is_a_sentence, answers)), [answer.text for answer in answers]
        connection.execute("ROLLBACK")
        connection.close()
        assert requests.post(f"{server.url}/flows/G", json={}, timeout=30).status_code == 200


def test_broken_connections_are_replaced(postgres: object) -> None:
    url = postgres.new()
    with running(url) as server:
        make_run(server.url)
        for _ in range(3):
            with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    (url.rpartition("/")[2],),
                )
            assert requests.get(f"{server.url}/flows", timeout=30).status_code == 200
            assert (
                requests.post(f"{server.url}/flows/F/run", json={}, timeout=30).status_code == 200
            )


def test_a_database_without_connections_is_reported_until_it_recovers(postgres: object) -> None:
    url = postgres.new()
    name = url.rpartition("/")[2]

    def allow(*, connections: bool) -> None:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {connections}")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )

    with running(url) as server:
        run = make_run(server.url)
        allow(connections=False)
        for _ in range(3):
            assert is_a_sentence(requests.get(f"{server.url}/flows", timeout=60))
            assert is_a_sentence(requests.post(f"{server.url}/flows/G", json={}, timeout=60))
            assert requests.get(f"{server.url}/healthcheck", timeout=60).status_code == 500
            assert requests.get(f"{server.url}/ping", timeout=60).text == "pong"
        allow(connections=True)
        assert requests.get(f"{server.url}/flows/F/runs/{run}", timeout=60).status_code == 200
        assert requests.post(f"{server.url}/flows/G", json={}, timeout=60).status_code == 200
        assert requests.get(f"{server.url}/healthcheck", timeout=60).status_code == 200


def test_a_read_only_database_serves_reads_and_reports_writes(postgres: object) -> None:
    url = postgres.new()
    with running(url) as server:
        make_run(server.url)
        with psycopg.connect(url, autocommit=True) as connection:
            name = url.rpartition("/")[2]
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                (name,),
            )
        assert requests.get(f"{server.url}/flows", timeout=30).status_code == 200
        assert is_a_sentence(requests.post(f"{server.url}/flows/G", json={}, timeout=30))


def test_a_stopping_server_finishes_its_writes(db_url: str) -> None:
    """The write waits longer than a listing, or an idle client, may."""
    with running(db_url) as server:
        run = make_run(server.url)
        answers: list[requests.Response] = []

        def post(number: int) -> None:
            body = {"tags_to_add": [f"t{number}"]}
            url = f"{server.url}/flows/F/runs/{run}/tag/mutate"
            answers.append(requests.patch(url, json=body, timeout=120))

        if db_url.startswith("sqlite"):
            holder = sqlite3.connect(db_url.removeprefix("sqlite:///"), isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
        else:
            holder = psycopg.connect(db_url)
            holder.execute("SELECT * FROM runs_v3 FOR UPDATE")
        posts = [threading.Thread(target=post, args=(number,)) for number in range(4)]
        for each in posts:
            each.start()
        # They are in flight once each has sent its request, which the server reads at once.
        while not all(each.is_alive() for each in posts):
            time.sleep(0.01)
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(12)
        assert server.process.poll() is None
        holder.execute("ROLLBACK")
        for each in posts:
            each.join()
        holder.close()
        assert [answer.status_code for answer in answers] == [200] * 4
        assert server.process.wait(60) == 0
    with running(db_url) as server:
        tags = requests.get(f"{server.url}/flows/F/runs/{run}", timeout=30).json()["tags"]
        assert set(tags) == {f"t{number}" for number in range(4)}

"""Costs of one client for the others: endless bodies, readers, patterns and filters."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest
import requests

from mfc_server._limits import MAX_BODY, MAX_DEPTH, MAX_HEAD, MAX_ITEMS, MAX_TAG_TEXT, MAX_TAGS
from mfc_server.testing import Running, running

#: Seconds that an impatient server gives to a client.
SECONDS = 4.0
MEBI = 1024 * 1024
NUMBERS = itertools.count()


@pytest.fixture
def server(db_url: str) -> Iterator[Running]:
    with running(db_url) as server:
        yield server


@pytest.fixture
def hasty(db_url: str) -> Iterator[Running]:
    """A server with short deadlines, for the tests that wait for them."""
    with running(db_url, "--seconds", str(SECONDS)) as server:
        yield server


def make_task(url: str, flow: str = "Flow") -> str:
    """Make a flow, a run, a step and a task; return the path of the task."""
    made = {"user_name": "ada", "tags": ["t"], "system_tags": ["user:ada"]}
    requests.post(f"{url}/flows/{flow}", json={}, timeout=30)
    run = requests.post(f"{url}/flows/{flow}/run", json=made, timeout=30).json()["run_number"]
    step = f"/flows/{flow}/runs/{run}/steps/start"
    requests.post(f"{url}{step}/step", json=made, timeout=30).raise_for_status()
    task = requests.post(f"{url}{step}/task", json=made, timeout=30).json()["task_id"]
    return f"{step}/tasks/{task}"


def fill(url: str, task: str, count: int, value: str) -> None:
    per_request = max(min(count, MEBI // (len(value) + 100)), 1)
    for first in range(0, count, per_request):
        rows = [
            {"field_name": f"f{n}", "value": value, "type": "t"}
            for n in range(first, min(first + per_request, count))
        ]
        answer = requests.post(f"{url}{task}/metadata", json=rows, timeout=60)
        assert answer.json() == {"metadata_created": len(rows)}


def connect(url: str, window: int | None = None) -> socket.socket:
    at = urlsplit(url)
    connection = socket.socket()
    if window:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(60)
    connection.connect((at.hostname, at.port))
    return connection


def request(url: str, line: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"{line} HTTP/1.1", f"Host: {urlsplit(url).netloc}", *headers, "", ""]
    ).encode()


def rest(connection: socket.socket) -> bytes:
    """Return the bytes that come until the server closes, or resets."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            found += part
    return found


def memory(server: Running) -> int:
    """Return the server's peak memory in bytes."""
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


def open_files(server: Running) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def answered_meanwhile(url: str, *paths: str) -> Iterator[None]:
    """Send other requests all the time; each must be answered with 200."""
    right: list[str] = []
    wrong: list[object] = []
    stop = threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                for path in paths:
                    answer = session.get(url + path, timeout=60)
                    if answer.status_code == 200:
                        right.append(path)
                    else:
                        wrong.append((path, answer.status_code, answer.text))
                time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        stop.set()
        asking.join()
    assert not wrong
    assert {*right} == {*paths}


OTHERS = ("/ping", "/healthcheck", "/flows?_limit=5", "/flows/Flow/runs?_limit=5")


class TestBodies:
    @pytest.mark.parametrize("kind", ["length", "chunked"])
    def test_a_body_that_is_too_large_is_refused_and_not_kept(
        self, server: Running, kind: str
    ) -> None:
        make_task(server.url)
        before = memory(server)
        size = 200 * MEBI

        def parts() -> Iterator[bytes]:
            for _ in range(size // MEBI):
                yield b" " * MEBI

        chunked = kind == "chunked"
        how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        with connect(server.url) as connection:
            connection.sendall(request(server.url, "POST /flows/G", how))
            with contextlib.suppress(ConnectionError):  # cut off: it sent for too long
                for part in parts():
                    connection.sendall(b"%x\r\n%b\r\n" % (MEBI, part) if chunked else part)
                connection.sendall(b"0\r\n\r\n" if chunked else b"")
            found = connection.recv(65536)
            assert found.startswith(b"HTTP/1.1 413")
            assert found.endswith(b'"')
        assert memory(server) - before < 24 * MEBI
        assert requests.get(f"{server.url}/flows/G", timeout=30).status_code == 404

    def test_a_client_that_closes_reads_the_refusal(self, server: Running) -> None:
        size = 30 * MEBI
        with connect(server.url) as connection:
            headers = [f"Content-Length: {size}", "Connection: close"]
            connection.sendall(request(server.url, "POST /flows/G", *headers))
            for _ in range(size // MEBI):
                connection.sendall(b" " * MEBI)
            found = rest(connection)
        assert found.startswith(b"HTTP/1.1 413")
        assert found.endswith(b'"')

    def test_the_largest_body_is_accepted(self, server: Running) -> None:
        task = make_task(server.url)
        row = {"field_name": "f", "type": "t", "value": ""}
        row["value"] = "x" * (MAX_BODY - len(json.dumps([row])))
        body = json.dumps([row])
        assert len(body) == MAX_BODY
        with answered_meanwhile(server.url, *OTHERS):
            answer = requests.post(f"{server.url}{task}/metadata", data=body, timeout=60)
            assert answer.json() == {"metadata_created": 1}
            answer = requests.post(f"{server.url}{task}/metadata", data=body + " ", timeout=60)
            assert answer.status_code == 413
        (found,) = requests.get(f"{server.url}{task}/metadata", timeout=60).json()
        assert found["value"] == row["value"]

    def test_requests_that_do_not_arrive_time_out(self, hasty: Running) -> None:
        cut_off = [
            b"",
            b"GET /flows HT",
            b"GET /flows HTTP/1.1\r\nHost: x\r\nX-Long: ",
            b"POST /flows/F HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
            b"POST /flows/F HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
            b"POST /flows/F HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
            b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nGET /fl",
        ]
        with contextlib.ExitStack() as stack:
            waiting = [(sent, stack.enter_context(connect(hasty.url))) for sent in cut_off]
            for sent, connection in waiting:
                connection.sendall(sent)
            for sent, connection in waiting:
                found = rest(connection)  # ends when the server closes
                if b"POST" in sent:
                    assert b" 408 " in found, sent
        assert requests.get(f"{hasty.url}/flows/F", timeout=30).status_code == 404

    def test_requests_that_trickle_time_out(self, hasty: Running) -> None:
        heads = [
            b"GET /flows HTTP/1.1\r\n",
            b"POST /flows/F HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]

        def trickle(head: bytes) -> None:
            with connect(hasty.url) as connection:
                connection.sendall(head)
                while True:
                    connection.sendall(b"1\r\n \r\n" if b"POST" in head else b"X: y\r\n")
                    time.sleep(SECONDS / 20)

        with ThreadPoolExecutor(len(heads)) as threads:
            for ended in [threads.submit(trickle, head) for head in heads]:
                assert isinstance(ended.exception(timeout=600), ConnectionError)

    @pytest.mark.parametrize("line", ["GET /" + "x" * 2 * MAX_HEAD, "GET /flows"])
    def test_a_head_that_is_too_large_is_refused(self, server: Running, line: str) -> None:
        before = memory(server)
        with connect(server.url) as connection:
            headers = [f"X-{n}: {'y' * 1000}" for n in range(4000)] if len(line) < 99 else []
            connection.sendall(request(server.url, line, *headers))
            assert rest(connection).startswith(b"HTTP/1.1 431 ")
        assert memory(server) - before < 8 * MEBI
        assert requests.get(f"{server.url}/ping", timeout=30).text == "pong"

    def test_a_long_query_is_answered(self, server: Running) -> None:
        make_task(server.url)
        tags = ",".join(f"tag-{n}" for n in range(1000))
        answer = requests.get(f"{server.url}/flows/Flow/runs?_tags:any={tags},t", timeout=30)
        assert answer.status_code in (200, 400)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("", '{"tags":' + "[" * 200_000),
            ("", '{"tags":' + "[" * 200_000 + "]" * 200_000 + "}"),
            ("", '{"x":' * 200_000 + "1" + "}" * 200_000),
            ("metadata", "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)),
            ("metadata", "[" + "{}," * MAX_ITEMS + "{}]"),
            ("metadata", "[" + "[]," * 1_000_000 + "[]]"),
            ("metadata", "[" + "{}," * 1_000_000 + "{}]"),
            ("artifact", "[" + "{}," * 1_000_000 + "{}]"),
            ("metadata", '[{"a":' + "9" * 1_000_000 + "}]"),
            ("metadata", '[{"value":1' + "0" * 5_000 + "}]"),
            ("", json.dumps({"tags": [str(n) for n in range(MAX_TAGS + 1)]})),
            ("", json.dumps({"tags": ["x" * (MAX_TAG_TEXT + 1)]})),
        ],
        ids=range(12),
    )
    def test_a_body_of_many_or_deep_values_is_refused_while_others_are_answered(
        self, server: Running, path: str, body: str
    ) -> None:
        task = make_task(server.url)
        url = f"{server.url}{task}/{path}" if path else f"{server.url}/flows/G"
        with answered_meanwhile(server.url, *OTHERS):
            for _ in range(3):
                answer = requests.post(url, data=body, timeout=60)
                assert answer.status_code in (400, 413), answer.text
                assert isinstance(answer.json(), str)
                assert len(answer.text) < 1000
        assert requests.get(f"{server.url}{task}/metadata", timeout=30).json() == []

    def test_a_request_may_have_the_largest_number_of_rows(self, server: Running) -> None:
        task = make_task(server.url)
        with answered_meanwhile(server.url, *OTHERS):
            answer = requests.post(
                f"{server.url}{task}/metadata",
                data="[" + ",".join(["{}"] * MAX_ITEMS) + "]",
                timeout=60,
            )
            assert answer.json() == {"metadata_created": MAX_ITEMS}

    def test_tags_are_bounded(self, server: Running) -> None:
        run = make_task(server.url).partition("/steps")[0]
        for first in range(0, 3 * MAX_TAGS, 900):
            body = {"tags_to_add": [str(n) for n in range(first, first + 900)]}
            answer = requests.patch(f"{server.url}{run}/tag/mutate", json=body, timeout=30)
        assert answer.status_code == 400
        assert len(requests.get(f"{server.url}{run}", timeout=30).json()["tags"]) <= MAX_TAGS

    def test_an_upgrade_is_answered_with_its_body(self, server: Running) -> None:
        for name, token in (
            ("F", "h2c"),
            ("G", "websocket"),
            ("H", "TLS/1.0"),
            ("I", "h2c, other"),
        ):
            body = b'{"user_name": "ada"}'
            with connect(server.url) as connection:
                headers = [
                    f"Upgrade: {token}",
                    "Connection: Upgrade, HTTP2-Settings",
                    "HTTP2-Settings: AAMAAABk",
                ]
                sent = request(
                    server.url, f"POST /flows/{name}", *headers, f"Content-Length: {len(body)}"
                )
                connection.sendall(sent + body)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
                # The connection stays open.
                connection.sendall(request(server.url, f"GET /flows/{name}", "Connection: close"))
                assert b'"user_name": "ada"' in rest(connection)

    @pytest.mark.parametrize(
        "headers",
        [
            ["Content-Length: 2", "Content-Length: 3"],
            ["Content-Length: 2", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: gzip, chunked"],
            ["Content-Length: -2"],
            ["Content-Length: 2, 2, 3"],
            ["Content-Length: " + "9" * 30],
            ["Host: other.example"],
            ["Bad Name: x"],
            [" folded"],
        ],
    )
    def test_an_ambiguous_head_is_refused(self, server: Running, headers: list[str]) -> None:
        with connect(server.url) as connection:
            connection.sendall(request(server.url, "POST /flows/F", *headers) + b"{}0\r\n\r\n")
            status = connection.recv(65536).split()[1]
        # With both a length and chunks, the standard ignores the length.
        assert status in (b"400", b"403", b"413", b"501")
        assert requests.get(f"{server.url}/flows/F", timeout=30).status_code == 404

    def test_pipelined_requests_are_answered_in_order(self, server: Running) -> None:
        with connect(server.url) as connection:
            body = b'{"user_name": "ada"}'
            one = request(server.url, "POST /flows/F", f"Content-Length: {len(body)}") + body
            two = request(server.url, "GET /flows/F")
            many = [request(server.url, "GET /ping")] * 200
            last = request(server.url, "GET /flows", "Connection: close")
            connection.sendall(one + two + b"".join(many) + last)
            found = rest(connection)
        assert found.count(b"HTTP/1.1 200") == 203
        assert found.count(b"pong") == 200


class TestReaders:
    def test_stalled_readers_do_not_block_others(self, hasty: Running) -> None:
        task = make_task(hasty.url)
        fill(hasty.url, task, 240, "x" * 100_000)
        before = memory(hasty)
        with contextlib.ExitStack() as stack:
            stuck = []
            for _ in range(100):
                connection = stack.enter_context(connect(hasty.url, 4096))
                connection.sendall(request(hasty.url, f"GET {task}/metadata"))
                stuck.append(connection)
            with answered_meanwhile(hasty.url, *OTHERS):
                for n in range(20):
                    row = {"field_name": str(n), "value": "v", "type": "t"}
                    answer = requests.post(f"{hasty.url}{task}/artifact", json=[row], timeout=30)
                    assert answer.status_code == 200
                # A client that reads gets everything.
                url = f"{hasty.url}{task}/metadata"
                assert len(requests.get(url, timeout=60).json()) == 240
            assert memory(hasty) - before < 250 * MEBI
            # The others are cut off in the end, with incomplete data.
            until(lambda: open_files(hasty) < 80)
            assert not rest(stuck[0]).endswith(b"0\r\n\r\n")
        assert requests.get(f"{hasty.url}/healthcheck", timeout=30).status_code == 200

    def test_a_listing_of_large_rows_takes_bounded_memory(self, server: Running) -> None:
        task = make_task(server.url)
        fill(server.url, task, 60, "x" * 3_000_000)
        before = memory(server)
        with requests.get(f"{server.url}{task}/metadata", stream=True, timeout=60) as answer:
            assert sum(map(len, answer.iter_content(65536))) > 180_000_000
        page = requests.get(f"{server.url}{task}/metadata?_limit=500", timeout=60)
        assert 1 <= len(page.json()) < 10
        count, cursor = len(page.json()), page.headers["X-Next-Cursor"]
        while cursor:
            params = {"_limit": "500", "_cursor": cursor}
            page = requests.get(f"{server.url}{task}/metadata", params=params, timeout=60)
            count, cursor = count + len(page.json()), page.headers.get("X-Next-Cursor")
        assert count == 60
        # Rows are fetched some at a time, and exist a second time as JSON.
        assert memory(server) - before < 400 * MEBI

    def test_a_task_whose_artifacts_are_being_read_keeps_its_attempt(self, server: Running) -> None:
        task = make_task(server.url)
        names = [f"a{n:05}" for n in range(3_000)]

        def record(attempt: int, names: list[str]) -> None:
            rows = [
                {"name": name, "location": "l" * 200, "ds_type": "s3", "attempt_id": attempt}
                for name in names
            ]
            requests.post(f"{server.url}{task}/artifact", json=rows, timeout=60).raise_for_status()

        record(0, names)
        with connect(server.url, 4096) as connection:
            connection.sendall(request(server.url, f"GET {task}/artifacts", "Connection: close"))
            begun = connection.recv(1000)
            record(1, names[:5])
            _, _, body = (begun + rest(connection)).partition(b"\r\n\r\n")
        found = json.loads(unchunked(body))
        assert {row["attempt_id"] for row in found} == {0}
        assert sorted(row["name"] for row in found) == names


def unchunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        found, body = found + body[:length], body[length + 2 :]
    return found


class TestQuestions:
    @pytest.mark.parametrize(
        "pattern",
        [
            "(?:a{1000}){1000}(?:a{1000}){1000}(?:a{1000}){1000}(?:a{1000}){1000}",
            "(?:a{255}){255}",
            "(?:(?:a{30}){30}){30}",
            r"^(a|aa|aaa)+b",
            r"(a+)+$b",
            r"(a*)*(a*)*c",
            r"(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)\1x",
            r"((a|b)*c|(a|c)*b)*d",
            "[" + "a-z" * 300 + "]{200}b",
            "(" * 400 + "a" + ")" * 400,
            "x" * 1001,
            "(?=a)(?=a*)b",
            r"(?i)" + "é" * 900,
            r"\u{110000}",
        ],
    )
    def test_a_pattern_is_answered_soon_or_refused(self, shared: Running, pattern: str) -> None:
        task = make_task(shared.url, f"Flow{next(NUMBERS)}")
        fill(shared.url, task, 8, "a" * 40_000)
        step = task.partition("/tasks")[0]
        before = memory(shared)
        with answered_meanwhile(shared.url, *OTHERS):
            answers = []

            def ask() -> None:
                url = f"{shared.url}{step}/filtered_tasks?pattern={quote(pattern)}"
                answers.append(requests.get(url, timeout=120))

            asking = [threading.Thread(target=ask) for _ in range(3)]
            for each in asking:
                each.start()
            for each in asking:
                each.join()
        for answer in answers:
            assert answer.status_code in (200, 400, 503), answer.text
            assert answer.status_code != 200 or len(answer.json()) < 2
        assert memory(shared) - before < 100 * MEBI

    @pytest.mark.parametrize("count", [600, 1_000, 3_000])
    @pytest.mark.parametrize(
        "query",
        [
            "_tags={}",
            "_tags:any={}",
            "_tags:likeany={}",
            "user_name={}",
            "user_name:co={}",
            "user_name:ne={}",
            "run_number={}",
            "status={}",
            "tags={}",
            "user={}",
        ],
    )
    def test_many_values_of_a_filter_are_looked_up_at_once_or_refused(
        self, shared: Running, query: str, count: int
    ) -> None:
        flow = f"Flow{next(NUMBERS)}"
        for _ in range(3):
            make_task(shared.url, flow)
        number = "run_number" in query
        values = ",".join(str(n) if number else f"v{n}" for n in range(count))
        with answered_meanwhile(shared.url, *OTHERS):
            answer = requests.get(
                f"{shared.url}/flows/{flow}/runs?{query.format(values)}", timeout=30
            )
        assert answer.status_code in (200, 400), answer.text
        if count <= 1_000 and query.split("=", maxsplit=1)[0] in (
            "_tags",
            "_tags:any",
            "user_name",
            "run_number",
            "user",
        ):
            assert answer.status_code == 200
            assert "X-Limit" in answer.headers

    def test_many_parameters_are_refused(self, shared: Running) -> None:
        for query in ("&".join(["user_name=a"] * 3000), "&".join(f"x{n}=1" for n in range(3000))):
            answer = requests.get(f"{shared.url}/flows/F/runs?{query}", timeout=30)
            assert answer.status_code == 400

    @pytest.mark.parametrize(
        "query",
        [
            "user_name:li=" + "%25a" * 300,
            "user_name:li=" + "_" * 999,
            "_tags:likeany=" + "%25_" * 300,
            "user_name:co=" + "%25" * 999,
            "user_name:li=x%5C",
            "user_name:sw=%5C",
        ],
    )
    def test_a_like_pattern_is_answered_soon(self, shared: Running, query: str) -> None:
        flow = f"{shared.url}/flows/Flow{next(NUMBERS)}"
        requests.post(flow, json={}, timeout=30)
        made = {"user_name": "a" * 255, "tags": ["a" * 60_000], "system_tags": []}
        for _ in range(5):
            requests.post(f"{flow}/run", json=made, timeout=30).raise_for_status()
        with answered_meanwhile(shared.url, *OTHERS):
            answer = requests.get(f"{flow}/runs?{query}", timeout=60)
        assert answer.status_code in (200, 400), answer.text

    @pytest.mark.parametrize(
        "keys",
        [
            '{"ts_epoch": Infinity, "run_number": 1}', '{"ts_epoch": 1e30, "run_number": 1}',
            '{"ts_epoch": 1000000000000000000000000000000, "run_number": 1}', '{"ts_epoch": NaN, "run_number": 1}',
            '{"ts_epoch": "x", "run_number": 1}', '{"ts_epoch": 1.5, "run_number": 1}', '{"ts_epoch": null, "run_number": 1}',
            '{"ts_epoch": true, "run_number": 1}', '{"ts_epoch": [], "run_number": 1}', '{"ts_epoch": 1}', "[]", "1", '"x"', "null",
            "[" * 20_000, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), '{"ts_epoch": -9223372036854775808, "run_number": -1}',
        ],
    )  # fmt: skip
    def test_any_cursor_is_answered(self, shared: Running, keys: str) -> None:
        flow = f"Flow{next(NUMBERS)}"
        make_task(shared.url, flow)
        for document in (
            keys,
            keys.replace("run_number", "flow_id"),
            keys.replace('"run_number": 1', '"flow_id": "a\\u0000"'),
        ):
            cursor = base64.b64encode(document.encode()).decode()
            for path in (f"/flows/{flow}/runs", "/flows"):
                answer = requests.get(shared.url + path, params={"_cursor": cursor}, timeout=30)
                assert answer.status_code in (200, 400), answer.text


def test_files_are_closed(hasty: Running) -> None:
    task = make_task(hasty.url)
    fill(hasty.url, task, 60, "x" * 100_000)
    for _ in range(40):
        with connect(hasty.url, 4096) as connection:
            connection.sendall(request(hasty.url, f"GET {task}/metadata"))
            connection.recv(100)
    until(lambda: open_files(hasty) < 80)

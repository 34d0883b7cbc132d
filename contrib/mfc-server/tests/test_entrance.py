"""Accepted requests: by path, method, key, host, origin and kind of body."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from mfc_server._app import table
from mfc_server.testing import Running, running

KEY = "a-key-of-the-tests"
ABOUT = ("/ping", "/healthcheck", "/version", "/openapi.json")
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE")
ROUTES = [*ABOUT, *table()]
#: Names like those of open paths.
NAMES = ("ping", "healthcheck", "F")
KEYS = {"missing": {}, "wrong": {"x-api-key": KEY[:-1]}, "right": {"x-api-key": KEY}}
#: Paths that resemble open ones.
TRICKS = (
    "//ping", "/ping/", "/./ping", "/flows/../ping", "/%70ing", "/ping%2F", "/ping;a=b", "/ping%00",
    "/PING", "/ping/../flows", "/flows/ping", "/flows/healthcheck", "/flows/F/runs/ping",
    "/healthcheck/ping", "/x/ping", "//flows", "/flows/", "/ping//", "/\\ping",
)  # fmt: skip


@pytest.fixture(scope="module", params=["", "/metaflow", "/a/ping"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("guarded")
    key = folder / "key"
    key.write_text(f"{KEY}\n")
    options = ["--api-key-file", str(key)]
    if request.param:
        options += ["--prefix", request.param]
    with running(f"sqlite:///{folder}/meta.db", *options) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(f"sqlite:///{tmp_path}/meta.db") as server:
        yield server


def ask(url: str, method: str, path: str, headers: dict[str, str], body: bytes | None = None):
    """Send a path unchanged, because libraries normalise it."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    try:
        connection.putrequest(method, at.path + path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def flows(url: str) -> list[str]:
    answer = requests.get(f"{url}/flows", headers=KEYS["right"], timeout=30)
    return [flow["flow_id"] for flow in answer.json()]


@pytest.mark.parametrize("key", KEYS)
def test_every_route_and_method_but_two_requires_the_key(guarded: Running, key: str) -> None:
    differing = []
    before = flows(guarded.url)
    with requests.Session() as session:
        for route in ROUTES:
            for method in METHODS:
                for name in NAMES:
                    path = route
                    for part in ("flow", "run", "step", "task", "name", "attempt"):
                        path = path.replace(f"{{{part}}}", name)
                    body = {"json": {}} if method in ("POST", "PATCH") else {}
                    answer = session.request(
                        method, guarded.url + path, headers=KEYS[key], timeout=30, **body
                    )
                    is_open = route in ("/ping", "/healthcheck") and method == "GET"
                    known = (route in ABOUT and method == "GET") or method in table().get(route, {})
                    let_in = key == "right" or is_open
                    right = answer.status_code != 401 if let_in else answer.status_code == 401
                    if let_in:
                        right = (
                            right
                            and (answer.status_code != 405) == known
                            and answer.status_code != 500
                        )
                    if not right or KEY in answer.text:
                        differing.append((method, path, answer.status_code))
                    if route == path:
                        break
    assert not differing
    assert key == "right" or flows(guarded.url) == before


@pytest.mark.parametrize("path", TRICKS)
@pytest.mark.parametrize("key", ["missing", "wrong"])
def test_no_spelling_of_an_open_path_bypasses_the_key(
    guarded: Running, path: str, key: str
) -> None:
    before = flows(guarded.url)
    for method in ("GET", "POST", "PATCH"):
        status, _ = ask(guarded.url, method, path, KEYS[key], b"{}" if method != "GET" else None)
        assert status in (400, 401), (method, path)
    assert flows(guarded.url) == before


def test_a_key_is_given_once(guarded: Running) -> None:
    at = urlsplit(guarded.url)
    for values in ([KEY, "x"], ["x", KEY], [KEY, KEY], [f"{KEY}, x"], [""]):
        lines = "".join(f"x-api-key: {value}\r\n" for value in values)
        request = (
            f"GET {at.path}/flows HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: close\r\n{lines}\r\n"
        )
        assert raw(guarded.url, request.encode()).startswith(b"HTTP/1.1 401"), values


def raw(url: str, request: bytes) -> bytes:
    """Send bytes; return all bytes until the server closes."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=30) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def test_the_description_needs_the_key_and_names_every_route(guarded: Running) -> None:
    url = f"{guarded.url}/openapi.json"
    assert requests.get(url, timeout=30).status_code == 401
    described = requests.get(url, headers=KEYS["right"], timeout=30).json()
    assert set(described["paths"]) == set(ROUTES)
    for route, verbs in table().items():
        assert {verb.upper() for verb in described["paths"][route]} == set(verbs)
    assert described["servers"] == [{"url": urlsplit(guarded.url).path or "/"}]


FOREIGN = [
    {"Origin": "http://evil.example", "Content-Type": "text/plain"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://evil.example", "Content-Type": "application/json"},
    {"Origin": "null", "Content-Type": "application/json"},
    {"Origin": "", "Content-Type": "application/json"},
    {"Origin": "file://", "Content-Type": "application/json"},
    {"Origin": "http://127.0.0.1", "Content-Type": "application/json"},  # of another port
    {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
    {"Sec-Fetch-Site": "same-site", "Content-Type": "application/json"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "text/plain; application/json"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": ""},
    {"Content-Encoding": "gzip", "Content-Type": "application/json"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_change_that_a_foreign_page_can_send_is_refused(
    server: Running, headers: dict[str, str]
) -> None:
    for method, path in (("POST", "/flows/F"), ("PATCH", "/flows/F/runs/1/tag/mutate")):
        status, body = ask(server.url, method, path, headers, b"{}")
        assert status in (403, 415), headers
        assert isinstance(json.loads(body), str)
    assert flows(server.url) == []


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "a b",
        "127.0.0.1@evil.example",
        "evil.example.",
    ],
)
def test_a_request_for_a_strangers_name_is_refused(server: Running, host: str) -> None:
    for method in ("GET", "POST"):
        status, body = ask(
            server.url, method, "/flows/F", {"Host": host, "Origin": f"http://{host}"}, b"{}"
        )
        assert status == 403
        assert "evil" in body.decode() or "a b" in body.decode()
    assert flows(server.url) == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": "Application/JSON"},
        {"Host": "localhost:80"},
        {"Host": "metaflow-server"},
        {"Host": "[::1]:8080"},
        {"Host": "10.1.2.3"},
        {"Host": "meta.example"},
        {"Host": "META.example.:8080"},
        {"Host": "db:8080", "Origin": "http://db:8080"},
        {"Host": "meta.example", "Origin": "https://meta.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_client_of_mfc_is_accepted(tmp_path: Path, headers: dict[str, str]) -> None:
    with running(f"sqlite:///{tmp_path}/meta.db", "--allow-host", "meta.example") as server:
        status, _ = ask(server.url, "POST", "/flows/F", headers, b"{}")
        assert status == 200


def test_with_a_key_any_host_name_is_accepted(guarded: Running) -> None:
    headers = {"Host": "meta.example", **KEYS["right"]}
    assert ask(guarded.url, "GET", "/flows", headers)[0] == 200
    assert (
        ask(guarded.url, "POST", "/flows/G", {**headers, "Origin": "http://evil.example"}, b"{}")[0]
        == 403
    )

"""A small HTTP server with scripted answers; it notes requests, and their connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

#: Headers of a single connection, which are not passed on.
OF_CONNECTIONS = {"connection", "transfer-encoding", "content-length", "host", "accept-encoding"}


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; `target` is from its first line."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    connection: int = 0

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    """An answer; a body that is not bytes is sent as JSON, labelled as Metaflow's service does."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


#: The script: a reply, or None to hang up without a word.
Answer = Callable[[Asked], Reply | None]


class Front:
    """The running server.

    Attributes:
        url: the server's URL.
        asked: the requests so far.
        connections: number opened so far; `most`: number open at once.
    """

    def __init__(self, answer: Answer, host: str, context: ssl.SSLContext | None) -> None:
        self.answer, self.asked = answer, list[Asked]()
        self.failures: list[Exception] = []
        self.connections = self.open = self.most = 0
        self.lock = threading.Lock()
        self.server = _Server(self, host, context)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.server.server_port}"

    def targets(self, since: int = 0) -> list[str]:
        """Return the requested targets, from the request number `since` on."""
        return [asked.target for asked in self.asked[since:]]


def passed(asked: Asked, url: str, **changed: Any) -> Reply:
    """Return the answer of the server at `url` to a request."""
    there = urlsplit(url)
    link = http.client.HTTPConnection(there.hostname or "", there.port, timeout=60)
    target = changed.get("target", asked.target)
    headers = {k: v for k, v in asked.headers.items() if k.lower() not in OF_CONNECTIONS}
    with contextlib.closing(link):
        link.request(asked.method, there.path + target, asked.body or None, headers)
        answer = link.getresponse()
        got = {k: v for k, v in answer.getheaders() if k.lower() not in OF_CONNECTIONS}
        return Reply(answer.read(), answer.status, got)


@contextlib.contextmanager
def front(
    answer: Answer | str, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> Iterator[Front]:
    """Run a server until the end of the block; given a URL, it passes everything on to there."""
    url = answer if isinstance(answer, str) else ""
    made = Front(
        (lambda asked: passed(asked, url)) if isinstance(answer, str) else answer, host, context
    )
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join(30)
    for failure in made.failures:
        raise failure


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: Front, host: str, context: ssl.SSLContext | None) -> None:
        self.owner, self.context = owner, context
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that go away, which are part of the tests."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Small answers leave at once, and in one piece.
    disable_nagle_algorithm, wbufsize = True, 1 << 16
    server: _Server

    def setup(self) -> None:
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        owner = self.server.owner
        with owner.lock:
            owner.connections += 1
            owner.open += 1
            owner.most = max(owner.most, owner.open)
            self.number = owner.connections
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        with self.server.owner.lock:
            self.server.owner.open -= 1
        self.request.close()

    def _answer(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, dict(self.headers), body, self.number)
        with owner.lock:
            owner.asked.append(asked)
        try:
            reply = owner.answer(asked)
        except Exception as failure:
            owner.failures.append(failure)
            raise
        if reply is None:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in {"Content-Type": "text/plain; charset=utf-8", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.content)

    do_GET = do_PATCH = do_POST = do_HEAD = do_OPTIONS = do_PUT = do_DELETE = _answer  # noqa: N815

    def do_CONNECT(self) -> None:
        """Tunnel to the host that a client of a proxy names."""
        owner = self.server.owner
        with owner.lock:
            owner.asked.append(Asked("CONNECT", self.path, dict(self.headers), b"", self.number))
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), 30) as there:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            self.wfile.flush()
            back = threading.Thread(target=_poured, args=(there, self.connection), daemon=True)
            back.start()
            _poured(self.connection, there)
            back.join(30)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to the terminal."""


def _poured(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 16):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

"""A scripted HTTP gateway in front of a real server, which misbehaves request by request.

A rule of `gateway.script` is for the next request, `gateway.always` for all others; without either,
the server answers. A rule is a `Reply`, or a function that returns one; it is called with the
request, and with a function for the server's own answer (to another path, if one is given):

    gateway.script += [Reply(503), lambda asked, ask: replace(ask(), length=7)]
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Headers of a single connection, which are not passed on.
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    #: Time on a monotonic clock, in seconds.
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Reply:
    """An answer, however wrong.

    Args:
        status: of the answer.
        body: its bytes.
        headers: in any order; the length is not among them.
        length: the declared length; None: the true one.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


Rule = Reply | Callable[[Asked, Callable[..., Reply]], Reply]


class Gateway:
    """The script, and the requests."""

    def __init__(self, target: str) -> None:
        host, _, prefix = target.removeprefix("http://").partition("/")
        self._host, self._prefix = host, f"/{prefix}" if prefix else ""
        self.script: deque[Rule] = deque()
        self.always: Rule | None = None
        self.asked: list[Asked] = []
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Reply:
        """Return the answer to a request."""
        with self._lock:
            self.asked.append(asked)
            rule = self.script.popleft() if self.script else self.always
        if rule is None:
            return self._forwarded(asked)
        return rule if isinstance(rule, Reply) else rule(asked, partial(self._forwarded, asked))

    def count(self, method: str) -> int:
        """Return how many requests of a method came."""
        return sum(asked.method == method for asked in self.asked)

    def _forwarded(self, asked: Asked, path: str | None = None) -> Reply:
        connection = HTTPConnection(self._host, timeout=30)
        try:
            headers = {k: v for k, v in asked.headers.items() if k.lower() not in _HOP}
            connection.request(
                asked.method, self._prefix + (path or asked.path), asked.body, headers
            )
            found = connection.getresponse()
            kept = {k: v for k, v in found.getheaders() if k.lower() not in _HOP}
            return Reply(found.status, found.read(), kept)
        finally:
            connection.close()


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway: Gateway

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.gateway.answer(Asked(self.command, self.path, dict(self.headers), body))
        lines = [f"HTTP/1.1 {reply.status} As told"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        if reply.status not in (204, 304):
            length = len(reply.body) if reply.length is None else reply.length
            lines.append(f"Content-Length: {length}")
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body)
        # More was declared than comes: only closing the connection ends the answer.
        self.close_connection = reply.length is not None and reply.length > len(reply.body)

    do_GET = do_PATCH = do_POST = _answer  # noqa: N815, as the class is asked

    def log_message(self, *_: Any) -> None:
        """Write nothing to the terminal."""

    def finish(self) -> None:
        # The client may be gone.
        with contextlib.suppress(OSError):
            super().finish()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Ignore clients that go away, which are part of the tests."""

    def get_request(self) -> tuple[socket.socket, Any]:
        there, address = super().get_request()
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return there, address


@contextlib.contextmanager
def running(target: str) -> Iterator[Gateway]:
    """Run a gateway to the server at a URL until the end of the block."""
    gateway = Gateway(target)
    exchange = type("Exchange", (_Exchange,), {"gateway": gateway})
    with _Server(("127.0.0.1", 0), exchange) as server:
        gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="gateway")
        thread.start()
        try:
            yield gateway
        finally:
            server.shutdown()
            thread.join(30)

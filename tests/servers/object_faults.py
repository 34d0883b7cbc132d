"""A relay of HTTP in front of a store that breaks a set number of exchanges."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: Breaks one exchange: receives it, and answers in its own way.
Fault = Callable[["Exchange"], None]
#: More often than any test reads.
ALWAYS = 10**9


@dataclass
class Exchange:
    """One request to a store, and the answer to it."""

    handler: BaseHTTPRequestHandler
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    closing: threading.Event

    def send(self, part: bytes | None = None) -> None:
        """Send the headers, and the body or only a part of it."""
        handler = self.handler
        handler.send_response_only(self.status)
        for name, value in self.headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body if part is None else part)
        handler.wfile.flush()

    def hold(self) -> None:
        """Send nothing more until the relay ends."""
        self.closing.wait(300)
        self.handler.close_connection = True


@dataclass
class Relay:
    """The target of requests, and the coming faults."""

    url: str = ""
    #: Method and path of each request.
    asked: list[str] = field(default_factory=list)
    _fault: Fault | None = None
    _times: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def breaks(self, fault: Fault, times: int = ALWAYS) -> None:
        """Break the next exchanges."""
        self._fault, self._times = fault, times

    def next(self) -> Fault | None:
        """Return the next fault."""
        with self._lock:
            if self._times <= 0:
                return None
            self._times -= 1
            return self._fault


def answer(status: int, code: str, message: str = "Told to fail.", **headers: str) -> Fault:
    """Return the fault of a store that refuses, in the XML of all three."""
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'

    def refuse(exchange: Exchange) -> None:
        head = exchange.handler.command == "HEAD"
        exchange.status, exchange.body = status, b"" if head or not code else text.encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.headers = [*given.items(), ("Content-Length", str(len(exchange.body)))]
        exchange.send()

    return refuse


def corrupt(exchange: Exchange) -> None:
    """Change one byte in the middle."""
    middle = len(exchange.body) // 2
    body = bytearray(exchange.body)
    body[middle] ^= 1
    exchange.send(bytes(body))


def truncate(exchange: Exchange) -> None:
    """End the connection in the middle of the body."""
    exchange.send(exchange.body[: len(exchange.body) // 2])
    exchange.handler.close_connection = True


def reset(exchange: Exchange) -> None:
    """Reset the connection in the middle of the body."""
    exchange.send(exchange.body[: len(exchange.body) // 2])
    now = struct.pack("ii", 1, 0)  # a close without waiting sends a reset
    exchange.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    exchange.handler.close_connection = True


def silence(exchange: Exchange) -> None:
    """Take the request, and never answer."""
    exchange.hold()


def stall(exchange: Exchange) -> None:
    """Send half of the body, and then nothing."""
    exchange.send(exchange.body[: len(exchange.body) // 2])
    exchange.hold()


def slow(seconds: float) -> Fault:
    """Return the fault of a store that is far away."""

    def wait(exchange: Exchange) -> None:
        exchange.closing.wait(seconds)
        exchange.send()

    return wait


@contextlib.contextmanager
def relay(target: str, certificate: tuple[Path, Path] | None = None) -> Iterator[Relay]:
    """Run a relay to a server until the end of the block; with a certificate it speaks TLS.

    The server receives its own name as host, because fake-gcs-server rejects others.
    """
    made, closing, parts = Relay(), threading.Event(), urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            made.asked.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            upstream = http.client.HTTPConnection(parts.netloc, timeout=60)
            headers = {n: v for n, v in self.headers.items() if n.lower() != "host"}
            upstream.request(self.command, self.path, body or None, headers)
            got = upstream.getresponse()
            content = got.read()
            given = [
                (name, value)
                for name, value in got.getheaders()
                if name.lower() not in ("transfer-encoding", "connection", "keep-alive")
            ]
            if got.headers.get("Content-Length") is None:
                given.append(("Content-Length", str(len(content))))
            upstream.close()
            exchange = Exchange(self, got.status, given, content, closing)
            (made.next() or Exchange.send)(exchange)

        do_GET = do_HEAD = do_POST = do_PUT = _pass_on  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Write nothing to the terminal."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore clients that give up, which is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if certificate else "http"
    made.url = f"{scheme}://127.0.0.1:{server.server_port}{parts.path}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        closing.set()
        server.shutdown()
        thread.join(30)
        server.server_close()

"""HTTP with deadlines: a client that neither sends nor reads on is cut off; and how it all ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from mfc_server._limits import MAX_HEAD, SEND_BUFFER

#: Seconds that a request has beyond the deadline of its body, for the answer that says so.
GRACE = 5.0
#: Seconds in which listings that are under way may end when the server is stopped.
LAST_LISTINGS = 10.0


class Ending:
    """Whether the server ends, and since when."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> None:
        """Note that the server ends."""
        self._since = time.monotonic()

    def is_near(self) -> bool:
        """Tell whether listings have had their time. A write that has begun is finished always."""
        return self._since is not None and time.monotonic() > self._since + LAST_LISTINGS


class Server(uvicorn.Server):
    """A server that ends when it is told to, after what it began.

    Args:
        app: what answers.
        seconds: that a client has for each thing it has to do.
        ending: told when the server ends.
    """

    def __init__(self, app: ASGIApp, seconds: float, ending: Ending) -> None:
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="off",
            http=type("Protocol", (_Protocol,), {"seconds": seconds}),
            ws="none",
            h11_max_incomplete_event_size=MAX_HEAD,
            # Every request has an end of its own: none is cut off in the middle.
            timeout_graceful_shutdown=None,
            server_header=False,
        )
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, after what is under way."""
        self._ending.begin()
        await super().shutdown(sockets)


def allow_many_connections() -> None:
    """Let the process have as many open files, and so connections, as it may."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # another system, or not allowed
        import resource  # Unix alone has it

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Transport:
    """A connection that is closed only when its client has read the answer, or its time is over.

    To close while a client sends on would reset the connection, and the answer with it.
    """

    def __init__(self, transport: asyncio.Transport, is_mid_request: Callable[[], bool]) -> None:
        self._transport, self._is_mid_request = transport, is_mid_request
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._ended or self._transport.is_closing()

    def close(self) -> None:
        if self._transport.is_closing() or self._ended:
            return
        if self._is_mid_request() and self._transport.can_write_eof():
            # The client sees the end; what it sends until it closes is read, and dropped.
            self._ended = True
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()


class _Protocol(H11Protocol):
    """One connection.

    h11 refuses what two parsers may read differently, and answers `Upgrade` as if it were not
    there, body and all. What it leaves open are the clocks.
    """

    seconds: float

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._arrival: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._arriving_since: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # Work on parts that a client does not read yet is work that others wait for.
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().connection_made(_Transport(transport, self._is_mid_request))  # type: ignore[arg-type]
        self._watch()

    def _is_mid_request(self) -> bool:
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._arrival, self._writing):
            if timer is not None:
                timer.cancel()
        self._arrival = self._writing = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's
        """Refuse bytes that are not HTTP, in a sentence; called while h11's error is handled."""
        error = sys.exc_info()[1]
        too_large = (
            getattr(error, "error_status_hint", 400) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        )
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
        said = f"the head has more than {MAX_HEAD} bytes" if too_large else f"not HTTP/1.1: {error}"
        headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
        events = (
            h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()),
            h11.Data(data=json.dumps(said).encode()),
            h11.EndOfMessage(),
        )
        try:
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            self.transport.abort()  # an answer is under way
        self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    def _should_upgrade(self) -> bool:
        return False

    def _watch(self) -> None:
        """Give what the client has to do next its time, unless that runs already."""
        state = (self.cycle, self.conn.their_state, self._answered(), self.transport.is_closing())
        if state == self._arriving_since:
            return
        self._arriving_since = state
        if self._arrival is not None:
            self._arrival.cancel()
        in_body = self.cycle is not None and self.conn.their_state is h11.SEND_BODY
        time = self.seconds + (GRACE if in_body else 0)
        self._arrival = self.loop.call_later(time, self._overdue)

    def _answered(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _overdue(self) -> None:
        waits_for_us = not self._answered() and self.conn.their_state is not h11.SEND_BODY
        if waits_for_us and not self.transport.is_closing():
            # The server has its own deadlines. Another look, should the connection close meanwhile.
            self._arrival = self.loop.call_later(self.seconds, self._overdue)
        else:
            self.transport.abort()

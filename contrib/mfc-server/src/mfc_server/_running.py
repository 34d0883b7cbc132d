"""HTTP with deadlines for clients that neither send nor read, and the server's shutdown."""

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

#: Seconds that a request has beyond the deadline of its body, for the answer that reports it.
GRACE = 5.0
#: Seconds for listings in flight to end when the server is stopped.
LAST_LISTINGS = 10.0


class Ending:
    """Whether the server is stopping, and since when."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> None:
        """Note that the server is stopping."""
        self._since = time.monotonic()

    def is_near(self) -> bool:
        """Tell whether the time for listings is over. A write that has begun is always finished."""
        return self._since is not None and time.monotonic() > self._since + LAST_LISTINGS


class Server(uvicorn.Server):
    """A server that, when stopped, first finishes its requests in flight.

    Args:
        app: what answers.
        seconds: that a client has for each of its actions.
        ending: notified when the server stops.
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
            # Each request has its own deadline, so shutdown cuts off none.
            timeout_graceful_shutdown=None,
            server_header=False,
        )
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop after the requests in flight."""
        self._ending.begin()
        await super().shutdown(sockets)


def allow_many_connections() -> None:
    """Raise the limit of open files, and so of connections, as far as allowed."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # another system, or not allowed
        import resource  # only Unix has it

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Transport:
    """A connection that closes only after the client has read the answer, or its time is over.

    Closing while a client still sends would reset the connection, and discard the answer.
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
            # The client sees the end; bytes that it still sends are read and dropped.
            self._ended = True
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()


class _Protocol(H11Protocol):
    """One connection.

    h11 refuses requests that two parsers may read differently, and ignores `Upgrade`, body
    included. Deadlines are added here.
    """

    seconds: float

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._arrival: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._arriving_since: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # Backpressure: while the client does not read, further parts would take time from others.
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

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse bytes that are not HTTP, with a message; called while h11's error is handled."""
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
            self.transport.abort()  # an answer is in flight
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
        """Start the deadline of the client's next action, unless it runs already."""
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
            # The server has its own deadlines. This looks again in case the connection closes
            # meanwhile.
            self._arrival = self.loop.call_later(self.seconds, self._overdue)
        else:
            self.transport.abort()
